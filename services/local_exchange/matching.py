"""Matching: one taker against the book, trade by trade, with the money of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.local_exchange.fees import commission
from services.local_exchange.market import PublicTrade
from services.local_exchange.orders import (
    ZERO,
    ExpiryReason,
    Order,
    PreventedMatch,
    Quote,
    Resting,
    Side,
    Status,
    StpMode,
    Trade,
)
from services.local_exchange.user_data import execution_report, status_after_fill

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from services.local_exchange.accounts import Account
    from services.local_exchange.market import Market


class Sink(Protocol):
    """Where the engine's news go."""

    def account_event(self, account: Account, order: Order | None, event: dict[str, Any]) -> None:
        """Take an event of one account's user data stream."""

    def public_trade(self, market: Market, trade: PublicTrade) -> None:
        """Take a trade that everybody sees."""

    def first_fill(self, account: Account, is_maker: bool) -> None:
        """Count an order that was filled for the first time (unfilled order counting)."""


class Money:
    """What the crowd and the fee purse hold, so that nothing appears or vanishes."""

    __slots__ = ("crowd", "fees")

    def __init__(self) -> None:
        self.crowd: dict[str, Decimal] = {}
        self.fees: dict[str, Decimal] = {}


class Matching:
    """Executes trades. Every call is synchronous and leaves the book uncrossed.

    Args:
        sink: receives events and public trades.
        markets: all markets by symbol, for the price of BNB.

    """

    def __init__(self, sink: Sink, markets: dict[str, Market]) -> None:
        self.sink = sink
        self.markets = markets
        self.money = Money()
        self.touched: dict[Account, dict[str, None]] = {}

    def touch(self, account: Account, *assets: str) -> None:
        """Note assets whose balance an `outboundAccountPosition` must show at the end of the operation."""
        known = self.touched.setdefault(account, {})
        for asset in assets:
            known[asset] = None

    def match(self, market: Market, taker: Resting, limit: Decimal | None, now: int) -> ExpiryReason | None:
        """Trade a taker against the book until it is done, the limit is reached or the book is empty.

        Args:
            market: where.
            taker: the incoming order.
            limit: worst acceptable price, None for a market order.
            now: epoch milliseconds.

        Returns:
            Why it stopped early, where that is a reason of its own (price range), else None.

        """
        opposite = market.book.opposite(taker.side)
        buying = taker.side is Side.BUY
        bounds = _price_bounds(market, taker)
        while taker.remaining > ZERO:
            maker = opposite.best()
            if maker is None:
                return None
            price = maker.price
            if limit is not None and (price > limit if buying else price < limit):
                return None
            if bounds is not None and not bounds[0] <= price <= bounds[1]:
                return ExpiryReason.PRICE_RANGE
            if isinstance(maker, Order) and isinstance(taker, Order) and maker.account is taker.account:
                self._prevent(market, taker, maker, now)
                if not taker.is_open:
                    return None
                continue
            self._trade(market, taker, maker, min(taker.remaining, maker.remaining), now)
        return None

    def _trade(self, market: Market, taker: Resting, maker: Resting, qty: Decimal, now: int) -> None:
        price = maker.price
        quote_qty = price * qty
        trade_id = market.next_trade_id
        market.next_trade_id += 1
        market.last_price = price
        market.update_id += 1
        self._settle(market, taker, trade_id, price, qty, quote_qty, False, now)
        self._settle(market, maker, trade_id, price, qty, quote_qty, True, now)
        if maker.remaining == ZERO:
            market.book.own(maker.side).remove(maker)
        public = PublicTrade(trade_id, price, qty, now, maker.side is Side.BUY)
        market.public_trades.append(public)
        market.day.add(public)
        market.candles.add(public)
        self.sink.public_trade(market, public)

    def _settle(
        self,
        market: Market,
        order: Resting,
        trade_id: int,
        price: Decimal,
        qty: Decimal,
        quote_qty: Decimal,
        is_maker: bool,
        now: int,
    ) -> None:
        order.remaining -= qty
        market.execution_id += 1
        symbol = market.symbol
        if isinstance(order, Quote):
            sign = 1 if order.side is Side.BUY else -1
            crowd = self.money.crowd
            crowd[symbol.base] = crowd.get(symbol.base, ZERO) + sign * qty
            crowd[symbol.quote] = crowd.get(symbol.quote, ZERO) - sign * quote_qty
            return
        execution_id = market.execution_id
        account = order.account
        self._exchange_money(market, order, qty, quote_qty)
        bnb = self.markets.get(f"BNB{symbol.quote}")
        fee = commission(
            account, symbol, order.side, qty, quote_qty, is_maker, None if bnb is None else bnb.last_price
        )
        account.balance(fee.asset).free -= fee.amount
        self.money.fees[fee.asset] = self.money.fees.get(fee.asset, ZERO) + fee.amount
        order.executed += qty
        order.quote_executed += quote_qty
        order.status = status_after_fill(order)
        order.update_time = now
        trade = Trade(
            trade_id, symbol.name, order.id, price, qty, quote_qty, fee.amount, fee.asset, now,
            order.side is Side.BUY, is_maker,
        )  # fmt: skip
        order.trades.append(trade)
        market.remember_trade(account, trade)
        if not order.counted_fill:
            order.counted_fill = True
            self.sink.first_fill(account, is_maker)
        if order.status is Status.FILLED:
            self.close(market, order)
        self.touch(account, symbol.base, symbol.quote, fee.asset)
        self.sink.account_event(account, order, execution_report(order, "TRADE", execution_id, now, trade))

    def _exchange_money(self, market: Market, order: Order, qty: Decimal, quote_qty: Decimal) -> None:
        base = order.account.balance(market.symbol.base)
        quote = order.account.balance(market.symbol.quote)
        if order.side is Side.BUY:
            if order.locked:
                held = order.price * qty
                order.locked -= held
                quote.locked -= held
                quote.free += held - quote_qty
            else:
                quote.free -= quote_qty
            base.free += qty
        else:
            if order.locked:
                order.locked -= qty
                base.locked -= qty
            else:
                base.free -= qty
            quote.free += quote_qty

    def close(self, market: Market, order: Order) -> None:
        """Close an order that ended: give back what is still locked, free its client order id."""
        account = order.account
        if order.locked:
            asset = market.symbol.quote if order.side is Side.BUY else market.symbol.base
            account.release(asset, order.locked)
            order.locked = ZERO
        account.open_orders.pop((order.symbol, order.id), None)
        key = (order.symbol, order.client_order_id)
        if account.open_client_ids.get(key) is order:
            del account.open_client_ids[key]
        market.waiting.pop(order.id, None)

    def expire(
        self,
        market: Market,
        order: Order,
        reason: ExpiryReason | None,
        now: int,
        status: Status = Status.EXPIRED,
    ) -> None:
        """End an order that the exchange, not its owner, takes off; tells the owner."""
        order.status = status
        order.expiry_reason = reason
        order.update_time = now
        market.book.own(order.side).remove(order)
        self.close(market, order)
        self.touch(order.account, market.symbol.base, market.symbol.quote)
        market.execution_id += 1
        self.sink.account_event(
            order.account, order, execution_report(order, "EXPIRED", market.execution_id, now)
        )

    def _prevent(self, market: Market, taker: Order, maker: Order, now: int) -> None:
        """Self-trade prevention by the taker's mode (Binance docs "STP FAQ")."""
        mode = taker.stp_mode
        quantity = min(taker.remaining, maker.remaining)
        decrement = mode in {StpMode.DECREMENT, StpMode.TRANSFER}
        taker_loses = ZERO
        maker_loses = ZERO
        if decrement:
            taker_loses = maker_loses = quantity
        if mode in {StpMode.EXPIRE_TAKER, StpMode.EXPIRE_BOTH}:
            taker_loses = taker.remaining
        if mode in {StpMode.EXPIRE_MAKER, StpMode.EXPIRE_BOTH}:
            maker_loses = maker.remaining
        prevented = PreventedMatch(
            market.next_prevented_id, market.symbol.name, taker.id, maker.id, maker.price,
            taker_loses, maker_loses, mode, now,
        )  # fmt: skip
        market.next_prevented_id += 1
        for order, lost in ((taker, taker_loses), (maker, maker_loses)):
            order.prevented_matches.append(prevented)
            if lost:
                self._lose(market, order, lost, prevented, now)

    def _lose(self, market: Market, order: Order, lost: Decimal, prevented: PreventedMatch, now: int) -> None:
        order.prevented += lost
        order.remaining -= lost
        order.prevented_match_id = prevented.id
        order.update_time = now
        if order.locked:
            freed = lost * order.price if order.side is Side.BUY else lost
            order.locked -= freed
            asset = market.symbol.quote if order.side is Side.BUY else market.symbol.base
            order.account.release(asset, freed)
        if order.remaining == ZERO:
            order.status = Status.EXPIRED_IN_MATCH
            market.book.own(order.side).remove(order)
            self.close(market, order)
        self.touch(order.account, market.symbol.base, market.symbol.quote)
        market.execution_id += 1
        report = execution_report(order, "TRADE_PREVENTION", market.execution_id, now, prevented=prevented)
        self.sink.account_event(order.account, order, report)


def _price_bounds(market: Market, taker: Resting) -> tuple[Decimal, Decimal] | None:
    limits = market.symbol.price_range
    if limits is None or isinstance(taker, Quote):
        return None
    reference = market.path.price
    return reference * limits[0], reference * limits[1]
