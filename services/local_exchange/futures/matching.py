"""Futures matching: one taker against the book, and what each fill does to orders, positions and wallets."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any, Protocol

from services.local_exchange.futures import events
from services.local_exchange.futures.orders import (
    AlgoOrder,
    ExpireReason,
    FuturesOrder,
    FuturesTrade,
)
from services.local_exchange.futures.wallet import Income
from services.local_exchange.market import PublicTrade
from services.local_exchange.orders import ZERO, Quote, Side, Status, StpMode

if TYPE_CHECKING:
    from services.local_exchange.futures.market import FuturesMarket, FuturesResting
    from services.local_exchange.futures.positions import Position, PositionSide
    from services.local_exchange.futures.wallet import FuturesAccount

EIGHT = Decimal("0.00000001")
BNB_FACTOR = Decimal("0.9")


class FuturesSink(Protocol):
    """Where the futures engine's news go."""

    def account_event(
        self, account: FuturesAccount, about: FuturesOrder | AlgoOrder | None, event: dict[str, Any]
    ) -> None:
        """Take an event of one account's private stream."""

    def public_trade(self, market: FuturesMarket, trade: PublicTrade) -> None:
        """Take a trade that everybody sees."""

    def order_ended(self, order: FuturesOrder) -> None:
        """Take note of an order that reached a terminal state."""

    def bnb_price(self) -> Decimal:
        """Return the price of BNB, for fees paid in it."""


class FuturesMatching:
    """Executes futures trades; synchronous, `now` in epoch milliseconds.

    Args:
        sink: receives events and public trades.

    """

    def __init__(self, sink: FuturesSink) -> None:
        self.sink = sink
        self.fees: dict[str, Decimal] = {}
        self.shrunk: dict[tuple[FuturesAccount, str, PositionSide], None] = {}
        self._income_id = 9_000_000

    def match(self, market: FuturesMarket, taker: FuturesResting, limit: Decimal | None, now: int) -> None:
        """Trade a taker against the book until it is done, the limit is reached or the book is empty."""
        opposite = market.book.opposite(taker.side)
        buying = taker.side is Side.BUY
        while taker.remaining > ZERO:
            maker = opposite.best()
            if maker is None or (
                limit is not None and (maker.price > limit if buying else maker.price < limit)
            ):
                return
            if isinstance(maker, FuturesOrder):
                if isinstance(taker, FuturesOrder) and maker.account is taker.account:
                    self._prevent(market, taker, maker, now)
                    if not taker.is_open:
                        return
                    continue
                if not closable(maker):
                    self.expire(market, maker, ExpireReason.REDUCE_ONLY, now)
                    continue
            quantity = min(closable(taker), closable(maker))
            if not quantity:
                return
            self.trade(market, taker, maker, quantity, maker.price, now)

    def trade(
        self,
        market: FuturesMarket,
        taker: FuturesResting,
        maker: FuturesResting,
        quantity: Decimal,
        price: Decimal,
        now: int,
    ) -> None:
        """Let two orders trade at a price."""
        trade_id = market.next_trade_id
        market.next_trade_id += 1
        market.last_price = price
        market.update_id += 1
        self._settle(market, taker, trade_id, price, quantity, False, now)
        self._settle(market, maker, trade_id, price, quantity, True, now)
        if not maker.remaining:
            market.book.own(maker.side).remove(maker)
        public = PublicTrade(trade_id, price, quantity, now, maker.side is Side.BUY)
        market.public_trades.append(public)
        market.day.add(public)
        market.candles.add(public)
        self.sink.public_trade(market, public)

    def _settle(
        self,
        market: FuturesMarket,
        order: FuturesResting,
        trade_id: int,
        price: Decimal,
        quantity: Decimal,
        is_maker: bool,
        now: int,
    ) -> None:
        if isinstance(order, Quote):
            order.remaining -= quantity
            sign = 1 if order.side is Side.BUY else -1
            market.crowd_amount += sign * quantity
            market.crowd_cash -= sign * quantity * price
            return
        account = order.account
        position = account.position(order.symbol, order.position_side)
        fee, fee_asset, fee_value = self._fee(account, quantity * price, is_maker)
        realized = self._preview(position, order.side, quantity, price)
        trade = FuturesTrade(
            trade_id, order.symbol, order.id, order.side, order.position_side, price, quantity,
            quantity * price, fee, fee_asset, realized, now, is_maker,
        )  # fmt: skip
        self.sink.account_event(account, order, events.trade_lite(order, trade, market.contract, now))
        self.announce(order, now)
        order.remaining -= quantity
        order.executed += quantity
        order.quote_executed += quantity * price
        order.status = Status.FILLED if not order.remaining else Status.PARTIALLY_FILLED
        order.update_time = now
        order.trades.append(trade)
        market.trades.setdefault(account.name, []).append(trade)
        self._move_money(account, position, order, trade, fee_value, now)
        if order.status is Status.FILLED:
            self.close(order)
        shown = [p for (symbol, _), p in account.positions.items() if symbol == order.symbol]
        pairs = [(p, market.mark) for p in shown if p is position or account.hedge]
        assets = ["USDT"] if fee_asset == "USDT" else ["USDT", fee_asset]
        self.sink.account_event(account, None, events.account_update(account, "ORDER", assets, pairs, now))
        execution = "CALCULATED" if order.by_system else "TRADE"
        report = events.order_trade_update(order, execution, now, trade)
        self.sink.account_event(account, order, report)

    def _preview(self, position: Position, side: Side, quantity: Decimal, price: Decimal) -> Decimal:
        """Return the profit that a fill will realise."""
        if position.amount * (1 if side is Side.BUY else -1) >= 0:
            return ZERO
        closed = min(abs(position.amount), quantity)
        return (price - position.entry) * closed * (1 if position.amount > 0 else -1)

    def _fee(
        self, account: FuturesAccount, notional: Decimal, is_maker: bool
    ) -> tuple[Decimal, str, Decimal]:
        """Return the fee, its asset, and its value in USDT; in BNB it is a tenth less."""
        value = (notional * (account.maker_rate if is_maker else account.taker_rate)).quantize(
            EIGHT, ROUND_DOWN
        )
        if account.fee_in_bnb:
            in_bnb = (value * BNB_FACTOR / self.sink.bnb_price()).quantize(EIGHT, ROUND_DOWN)
            if account.balance("BNB") >= in_bnb:
                return in_bnb, "BNB", value
        return value, "USDT", value

    def _move_money(
        self,
        account: FuturesAccount,
        position: Position,
        order: FuturesOrder,
        trade: FuturesTrade,
        fee_value: Decimal,
        now: int,
    ) -> None:
        """Apply a fill to position and wallet; isolated margin moves with the position's size."""
        before, wallet_before = position.amount, position.isolated_wallet
        realized = position.fill(order.side, trade.qty, trade.price, fee_value)
        position.update_time = now
        account.add("USDT", realized)
        account.add(trade.commission_asset, -trade.commission)
        self.fees[trade.commission_asset] = self.fees.get(trade.commission_asset, ZERO) + trade.commission
        config = account.config(order.symbol)
        if config.isolated:
            grown = abs(position.amount) - abs(before)
            if before * position.amount < 0:
                position.isolated_wallet = position.notional(trade.price) / config.leverage
            elif grown > 0:
                position.isolated_wallet += grown * trade.price / config.leverage
            else:
                position.isolated_wallet = wallet_before * abs(position.amount) / abs(before)
        if realized:
            self.note_income(account, order.symbol, "REALIZED_PNL", realized, "USDT", now, str(trade.id))
        asset = trade.commission_asset
        self.note_income(account, order.symbol, "COMMISSION", -trade.commission, asset, now, str(trade.id))
        if abs(position.amount) < abs(before) or before * position.amount < 0:
            self.shrunk[(account, order.symbol, order.position_side)] = None

    def note_income(
        self,
        account: FuturesAccount,
        symbol: str,
        kind: str,
        amount: Decimal,
        asset: str,
        now: int,
        trade_id: str = "",
    ) -> None:
        """Add a line to an account's income history."""
        self._income_id += 1
        account.income.append(Income(symbol, kind, amount, asset, now, self._income_id, trade_id))

    def announce(self, order: FuturesOrder, now: int) -> None:
        """Send the NEW event of an order, once."""
        if not order.announced:
            order.announced = True
            if not order.by_system:
                self.sink.account_event(order.account, order, events.order_trade_update(order, "NEW", now))

    def close(self, order: FuturesOrder) -> None:
        """Forget an order that ended and free its client order id."""
        account = order.account
        account.open_orders.pop((order.symbol, order.id), None)
        key = (order.symbol, order.client_order_id)
        if account.open_client_ids.get(key) is order:
            del account.open_client_ids[key]
        self.sink.order_ended(order)

    def expire(
        self,
        market: FuturesMarket,
        order: FuturesOrder,
        reason: ExpireReason,
        now: int,
        status: Status = Status.EXPIRED,
    ) -> None:
        """End an order that the exchange takes off."""
        self.announce(order, now)
        order.status = status
        order.expire_reason = reason
        order.update_time = now
        market.book.own(order.side).remove(order)
        self.close(order)
        self.sink.account_event(order.account, order, events.order_trade_update(order, "EXPIRED", now))

    def _prevent(self, market: FuturesMarket, taker: FuturesOrder, maker: FuturesOrder, now: int) -> None:
        """Self-trade prevention by the taker's mode: EXPIRE_TAKER, EXPIRE_MAKER or EXPIRE_BOTH."""
        mode = taker.stp_mode
        if mode in {StpMode.EXPIRE_MAKER, StpMode.EXPIRE_BOTH}:
            self.expire(market, maker, ExpireReason.SELF_TRADE, now, Status.EXPIRED_IN_MATCH)
        if mode in {StpMode.EXPIRE_TAKER, StpMode.EXPIRE_BOTH}:
            self.expire(market, taker, ExpireReason.SELF_TRADE, now, Status.EXPIRED_IN_MATCH)


def closable(order: FuturesResting) -> Decimal:
    """Return how much of an order may trade now: a reducing order no more than there is to reduce."""
    if isinstance(order, Quote) or not order.only_reduces:
        return order.remaining
    position = order.account.positions.get((order.symbol, order.position_side))
    held = ZERO if position is None else position.amount
    reducible = max(ZERO, held if order.side is Side.SELL else -held)
    return min(order.remaining, reducible)
