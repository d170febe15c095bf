"""What the exchange does to accounts: margin calls, liquidation, auto-deleveraging, funding."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from services.local_exchange.futures import events
from services.local_exchange.futures.orders import ExpireReason, FuturesOrder, FuturesTimeInForce
from services.local_exchange.orders import ZERO, Quote, Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from services.local_exchange.futures.engine import FuturesEngine
    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.futures.positions import Position
    from services.local_exchange.futures.wallet import FuturesAccount

WARN_AT = Decimal("0.8")


class Risk:
    """Watches margins at every mark price.

    Args:
        engine: trades the liquidations.
        accounts: all futures accounts.

    """

    def __init__(self, engine: FuturesEngine, accounts: Mapping[str, FuturesAccount]) -> None:
        self.engine = engine
        self.accounts = accounts
        self.insurance = ZERO
        self.forced: dict[str, list[FuturesOrder]] = {}
        self._next_id = 1

    def check(self, now: int) -> None:
        """Warn and liquidate where margins are too thin."""
        for account in tuple(self.accounts.values()):
            if account.held():
                self._check_cross(account, now)
                self._check_isolated(account, now)

    def _check_cross(self, account: FuturesAccount, now: int) -> None:
        marks = self.engine.marks()
        contracts = {name: market.contract for name, market in self.engine.markets.items()}
        held = [p for p in account.held() if not account.config(p.symbol).isolated]
        if not held:
            return
        equity = account.cross_wallet("USDT") + account.cross_unrealized(marks)
        maintenance = account.maintenance_margin(marks, contracts)
        if equity <= maintenance:
            total = sum((p.notional(marks[p.symbol]) for p in held), ZERO)
            for position in held:
                share = equity * position.notional(marks[position.symbol]) / total
                self._liquidate(account, position, share, now)
            account.warned = False
            return
        thin = maintenance > equity * WARN_AT
        if thin and not account.warned:
            rows = [
                (
                    p,
                    marks[p.symbol],
                    contracts[p.symbol].maintenance_margin(p.notional(marks[p.symbol])),
                )
                for p in held
            ]
            self.engine.sink.account_event(
                account, None, events.margin_call(account, rows, cross=True, now=now)
            )
        account.warned = thin

    def _check_isolated(self, account: FuturesAccount, now: int) -> None:
        for position in account.held():
            if not account.config(position.symbol).isolated:
                continue
            market = self.engine.markets[position.symbol]
            equity = position.isolated_wallet + position.unrealized(market.mark)
            maintenance = market.contract.maintenance_margin(position.notional(market.mark))
            if equity <= maintenance:
                self._liquidate(account, position, equity, now)

    def _liquidate(self, account: FuturesAccount, position: Position, equity: Decimal, now: int) -> None:
        """Take over a position: orders off, sold into the book, the rest deleveraged or insured."""
        market = self.engine.markets[position.symbol]
        matching = self.engine.matching
        for order in [o for o in account.open_orders.values() if o.symbol == position.symbol]:
            matching.expire(market, order, ExpireReason.LIQUIDATION, now)
        if not position.amount:
            return
        bankruptcy = max(
            market.contract.tick,
            (market.mark - equity / position.amount).quantize(market.contract.tick),
        )
        order = self._system_order(account, position, f"autoclose-{now}", bankruptcy, now)
        matching.match(market, order, bankruptcy, now)
        if order.remaining:
            self._deleverage(market, order, bankruptcy, now)
        if order.remaining:
            other = Side.SELL if order.side is Side.BUY else Side.BUY
            insured = Quote(-1, other, bankruptcy, order.remaining)
            matching.trade(market, order, insured, order.remaining, bankruptcy, now)
        self._clear(account, order, now)
        self.engine.finish(market, now)

    def _system_order(
        self, account: FuturesAccount, position: Position, name: str, price: Decimal, now: int
    ) -> FuturesOrder:
        market = self.engine.markets[position.symbol]
        order = FuturesOrder(
            account=account,
            symbol=position.symbol,
            id=market.next_order_id,
            client_order_id=f"{name}{self._next_id:07d}" if name.endswith("-") else name,
            side=Side.SELL if position.amount > 0 else Side.BUY,
            position_side=position.side,
            market=False,
            time_in_force=FuturesTimeInForce.IOC,
            price=price,
            quantity=abs(position.amount),
            time=now,
            reduce_only=position.side == "BOTH",
            remaining=abs(position.amount),
            update_time=now,
            announced=True,
            by_system=True,
        )
        self._next_id += 1
        market.next_order_id += 1
        market.remember(order)
        self.forced.setdefault(account.name, []).append(order)
        return order

    def _deleverage(self, market: FuturesMarket, order: FuturesOrder, price: Decimal, now: int) -> None:
        """Close the most profitable opposite positions of others against a liquidation (ADL)."""
        for account, position in self._opposite(market, order):
            self.deleverage(market, account, position, order, price, now)
            if not order.remaining:
                return

    def deleverage(
        self,
        market: FuturesMarket,
        account: FuturesAccount,
        position: Position,
        against: FuturesOrder | Quote,
        price: Decimal,
        now: int,
    ) -> None:
        """Close as much of a position as the other side wants, at a price, by an `adl_autoclose` order."""
        order = self._system_order(account, position, "adl_autoclose", price, now)
        order.quantity = order.remaining = min(order.remaining, against.remaining)
        self.engine.matching.trade(market, against, order, order.remaining, price, now)

    def settle(self, market: FuturesMarket, now: int) -> None:
        """End a delisted contract: orders off, every position closed at the mark price."""
        name = market.contract.name
        for account in tuple(self.accounts.values()):
            for order in [o for o in account.open_orders.values() if o.symbol == name]:
                self.engine.matching.expire(market, order, ExpireReason.DELISTED, now)
            for position in [p for p in account.held() if p.symbol == name]:
                order = self._system_order(account, position, "settlement_autoclose-", market.mark, now)
                other = Side.SELL if order.side is Side.BUY else Side.BUY
                house = Quote(-1, other, market.mark, order.remaining)
                self.engine.matching.trade(market, order, house, order.remaining, market.mark, now)
        self.engine.finish(market, now)

    def _opposite(
        self, market: FuturesMarket, order: FuturesOrder
    ) -> Iterable[tuple[FuturesAccount, Position]]:
        wanted = 1 if order.side is Side.BUY else -1
        found = [
            (account, position)
            for account in self.accounts.values()
            if account is not order.account
            for position in account.held()
            if position.symbol == order.symbol and position.amount * wanted > 0
        ]
        found.sort(key=lambda pair: -pair[1].unrealized(market.mark) / pair[1].notional(market.mark))
        return found

    def _clear(self, account: FuturesAccount, order: FuturesOrder, now: int) -> None:
        """Charge the liquidation fee as far as there is money, or let the insurance make good a debt."""
        market = self.engine.markets[order.symbol]
        free = account.cross_wallet("USDT") + account.cross_unrealized(self.engine.marks())
        if free < ZERO:
            change = -free
        elif account.config(order.symbol).isolated:
            return
        else:
            fee = order.quote_executed * market.contract.liquidation_fee
            change = -min(free, fee)
        if not change:
            return
        change = events.eight(change)
        account.add("USDT", change)
        self.insurance -= change
        self.engine.matching.note_income(account, order.symbol, "INSURANCE_CLEAR", change, "USDT", now)
        update = events.account_update(account, "INSURANCE_CLEAR", ["USDT"], [], now, change)
        self.engine.sink.account_event(account, None, update)

    def funding(self, market: FuturesMarket, rate: Decimal, now: int) -> None:
        """Let longs pay shorts `rate` of their notional, or the other way round below zero."""
        for account in tuple(self.accounts.values()):
            for position in account.held():
                if position.symbol == market.contract.name:
                    self._fund(account, position, market, rate, now)

    def _fund(
        self,
        account: FuturesAccount,
        position: Position,
        market: FuturesMarket,
        rate: Decimal,
        now: int,
    ) -> None:
        fee = events.eight(-position.amount * market.mark * rate)
        account.add("USDT", fee)
        market.crowd_cash -= fee
        isolated = account.config(position.symbol).isolated
        if isolated:
            position.isolated_wallet += fee
        self.engine.matching.note_income(account, position.symbol, "FUNDING_FEE", fee, "USDT", now)
        shown = [(position, market.mark)] if isolated else []
        update = events.account_update(account, "FUNDING_FEE", ["USDT"], shown, now, fee, position.symbol)
        self.engine.sink.account_event(account, None, update)
