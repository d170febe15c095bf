"""The matching engine's operations: place, cancel, a step of the price path, triggers."""

from __future__ import annotations

import random
import string
from decimal import Decimal
from typing import TYPE_CHECKING

from services.local_exchange.accounts import INSUFFICIENT
from services.local_exchange.errors import ExchangeError, rejected
from services.local_exchange.filters import RISING, check_converted_quantity
from services.local_exchange.matching import Matching, Sink
from services.local_exchange.orders import (
    CONDITIONAL,
    PRICED,
    ZERO,
    ExpiryReason,
    Order,
    OrderRequest,
    OrderType,
    Side,
    Status,
    TimeInForce,
)
from services.local_exchange.user_data import account_position, execution_report

if TYPE_CHECKING:
    from services.local_exchange.accounts import Account
    from services.local_exchange.market import Market

ALPHANUMERIC = string.ascii_letters + string.digits


class Engine:
    """Places and cancels orders on all markets; synchronous, `now` is epoch milliseconds.

    Args:
        markets: the markets by symbol.
        sink: receives events and public trades.
        seed: seeds the ids the exchange invents.

    """

    def __init__(self, markets: dict[str, Market], sink: Sink, seed: int) -> None:
        self.markets = markets
        self.sink = sink
        self.matching = Matching(sink, markets)
        self._random = random.Random(f"ids:{seed}")

    def invent_id(self) -> str:
        """Invent a client order id as the exchange makes it: 22 letters and digits."""
        return "".join(self._random.choices(ALPHANUMERIC, k=22))

    def place(self, account: Account, request: OrderRequest, now: int) -> Order:
        """Accept an order, trade it as far as it goes, and let the rest lie or expire.

        Raises:
            ExchangeError: -2010 with the engine's text; nothing has changed then.

        """
        market = self.markets[request.symbol]
        self._may_place(market, account, request)
        quantity = self._quantity(market, account, request)
        order = Order(
            account=account,
            symbol=request.symbol,
            id=market.next_order_id,
            client_order_id=request.client_order_id or self.invent_id(),
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            price=request.price,
            quantity=quantity,
            time=now,
            quote_order_qty=request.quote_order_qty,
            stop_price=request.stop_price,
            trailing_delta=request.trailing_delta,
            iceberg_qty=request.iceberg_qty,
            stp_mode=request.stp_mode,
            strategy_id=request.strategy_id,
            strategy_type=request.strategy_type,
            remaining=quantity,
            update_time=now,
            working_time=now,
        )
        self._fund(market, order)
        market.next_order_id += 1
        market.remember(order)
        account.open_orders[(order.symbol, order.id)] = order
        account.open_client_ids[(order.symbol, order.client_order_id)] = order
        if order.type in CONDITIONAL:
            self._wait_for_trigger(market, order, now)
        else:
            self._new(market, order, now)
            self._work(market, order, now)
        self.finish(market, now)
        return order

    def cancel(self, order: Order, cancel_id: str, now: int) -> None:
        """Cancel an open order; `cancel_id` is the client order id of the cancel itself.

        Raises:
            ExchangeError: -2011 when it is not open any more.

        """
        if not order.is_open:
            raise ExchangeError(-2011, "Unknown order sent.")
        market = self.markets[order.symbol]
        order.status = Status.CANCELED
        order.update_time = now
        market.book.own(order.side).remove(order)
        self.matching.close(market, order)
        self.matching.touch(order.account, market.symbol.base, market.symbol.quote)
        market.update_id += 1
        market.execution_id += 1
        report = execution_report(order, "CANCELED", market.execution_id, now, cancel_id=cancel_id)
        self.sink.account_event(order.account, order, report)
        self.finish(market, now)

    def step(self, market: Market, now: int) -> None:
        """One step of the price path: the crowd quotes anew around it and trades a little."""
        market.path.step()
        self.refresh(market, now)

    def refresh(self, market: Market, now: int) -> None:
        """Let the crowd quote anew around the path's price, trading with what is in its way."""
        market.withdraw_crowd()
        price = market.path.price
        quotes = market.crowd.quotes(price)
        for quote in quotes:
            self.matching.match(market, quote, quote.price, now)
            if quote.remaining:
                market.book.own(quote.side).add(quote)
        market.update_id += 1
        taker = market.crowd.taker(price)
        if taker.remaining:
            self.matching.match(market, taker, None, now)
        self.finish(market, now)

    def expire_all(self, market: Market, now: int) -> int:
        """Expire every open order of a symbol (EXCHANGE_CANCELED, as in maintenance); how many."""
        found = [order for order in market.orders.values() if order.is_open]
        for order in found:
            self.matching.expire(market, order, ExpiryReason.EXCHANGE_CANCELED, now)
        self.finish(market, now)
        return len(found)

    def finish(self, market: Market, now: int) -> None:
        """Run the triggers the new price sets off, then tell every touched account its balances."""
        while market.waiting and self._trigger_one(market, now):
            pass
        touched = self.matching.touched
        if touched:
            self.matching.touched = {}
            for account, assets in touched.items():
                account.update_time = now
                self.sink.account_event(account, None, account_position(account, assets, now))

    def _may_place(self, market: Market, account: Account, request: OrderRequest) -> None:
        if market.symbol.status != "TRADING":
            raise rejected("Market is closed.")
        if not account.can_trade:
            raise rejected("This account may not place or cancel orders.")
        if (request.symbol, request.client_order_id) in account.open_client_ids:
            raise rejected("Duplicate order sent.")
        if request.iceberg_qty > request.quantity:
            raise rejected("IcebergQty exceeds QTY.")
        if request.type is OrderType.LIMIT_MAKER:
            best = market.book.opposite(request.side).best_price()
            buying = request.side is Side.BUY
            if best is not None and (request.price >= best if buying else request.price <= best):
                raise rejected("Order would immediately match and take.")
        if request.stop_price and not request.trailing_delta:
            above = request.stop_price > market.last_price
            if above is not ((request.type, request.side) in RISING):
                raise rejected("Order would trigger immediately.")

    def _quantity(self, market: Market, account: Account, request: OrderRequest) -> Decimal:
        if not request.quote_order_qty:
            return request.quantity
        if market.book.opposite(request.side).best() is None:
            raise rejected("Order book liquidity is less than symbol minimum quantity.")
        quantity = market.convert_quote_quantity(request.side, request.quote_order_qty, account)
        check_converted_quantity(quantity, market.symbol)
        return quantity

    def _fund(self, market: Market, order: Order) -> None:
        """Lock what a resting order may need; for a market order only look whether it is there."""
        symbol, account = market.symbol, order.account
        if order.side is Side.SELL:
            needed, asset = order.quantity, symbol.base
        elif order.type in PRICED:
            needed, asset = order.price * order.quantity, symbol.quote
        elif order.type is OrderType.MARKET:
            needed = order.quote_order_qty or market.cost_to_fill(order.side, order.quantity, account)
            asset = symbol.quote
        else:
            needed, asset = (order.stop_price or market.last_price) * order.quantity, symbol.quote
        if order.type is OrderType.MARKET:
            if account.balance(asset).free < needed:
                raise rejected(INSUFFICIENT)
            return
        account.lock(asset, needed)
        order.locked = needed

    def _new(self, market: Market, order: Order, now: int) -> None:
        market.execution_id += 1
        self.sink.account_event(
            order.account, order, execution_report(order, "NEW", market.execution_id, now)
        )
        self.matching.touch(order.account, market.symbol.base, market.symbol.quote)

    def _work(self, market: Market, order: Order, now: int) -> None:
        """Match an order that is live now and decide about what is left of it."""
        at_market = order.type not in PRICED
        if order.time_in_force is TimeInForce.FOK and (
            market.fillable(order.side, order.price, order.account) < order.remaining
        ):
            self.matching.expire(market, order, ExpiryReason.UNFILLED_FOK, now)
            return
        reason = self.matching.match(market, order, None if at_market else order.price, now)
        if not order.is_open:
            return
        if reason is not None:
            self.matching.expire(market, order, reason, now)
        elif at_market:
            self.matching.expire(market, order, ExpiryReason.INSUFFICIENT_LIQUIDITY, now)
        elif order.time_in_force is TimeInForce.IOC:
            self.matching.expire(market, order, ExpiryReason.UNFILLED_IOC, now)
        else:
            market.book.own(order.side).add(order)
            market.update_id += 1

    def _wait_for_trigger(self, market: Market, order: Order, now: int) -> None:
        order.is_working = False
        order.working_time = 0
        if order.trailing_delta and not order.stop_price:
            order.trailing_extreme = market.last_price
        market.waiting[order.id] = order
        self._new(market, order, now)

    def _trigger_one(self, market: Market, now: int) -> bool:
        for order in market.waiting.values():
            if _is_triggered(order, market.last_price):
                break
        else:
            return False
        del market.waiting[order.id]
        order.is_working = True
        order.working_time = order.update_time = now
        order.report = None  # it has a working time now
        if order.type in PRICED or self._can_pay_at_market(market, order):
            self._work(market, order, now)
        else:
            self.matching.expire(market, order, ExpiryReason.INSUFFICIENT_LIQUIDITY, now)
        return True

    def _can_pay_at_market(self, market: Market, order: Order) -> bool:
        """Unlock the money of a triggered market order, to pay as it trades; whether it suffices."""
        asset = market.symbol.quote if order.side is Side.BUY else market.symbol.base
        order.account.release(asset, order.locked)
        order.locked = ZERO
        cost = market.cost_to_fill(order.side, order.remaining, order.account)
        return order.side is Side.SELL or cost <= order.account.balance(asset).free


def _is_triggered(order: Order, price: Decimal) -> bool:
    rising = (order.type, order.side) in RISING
    if not order.trailing_delta:
        return price >= order.stop_price if rising else price <= order.stop_price
    if not order.trailing_extreme:
        activated = price <= order.stop_price if rising else price >= order.stop_price
        if activated:
            order.trailing_extreme = price
        return False
    share = Decimal(order.trailing_delta) / 10_000
    if rising:
        order.trailing_extreme = min(order.trailing_extreme, price)
        return price >= order.trailing_extreme * (1 + share)
    order.trailing_extreme = max(order.trailing_extreme, price)
    return price <= order.trailing_extreme * (1 - share)
