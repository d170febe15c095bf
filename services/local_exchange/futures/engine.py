"""The futures engine's operations: place, cancel, modify, a step of the price path."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING

from services.local_exchange.engine import ALPHANUMERIC
from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures import events
from services.local_exchange.futures.matching import FuturesMatching, FuturesSink, closable
from services.local_exchange.futures.orders import (
    ExpireReason,
    FuturesOrder,
    FuturesRequest,
    FuturesTimeInForce,
    PriceMatch,
    closes,
)
from services.local_exchange.futures.wallet import FuturesAccount, Orders
from services.local_exchange.orders import ZERO, Side, Status

if TYPE_CHECKING:
    from services.local_exchange.futures.market import FuturesMarket

FOK_REFUSED = (
    "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history"
)
GTX_REFUSED = (
    "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history"
)
TAKERS_MARGIN = Decimal("0.0005")


class FuturesEngine:
    """Places, cancels and modifies futures orders; synchronous, `now` in epoch milliseconds.

    Args:
        markets: the markets by contract.
        sink: receives events and public trades.
        seed: seeds the ids the exchange invents.

    """

    def __init__(self, markets: dict[str, FuturesMarket], sink: FuturesSink, seed: int) -> None:
        self.markets = markets
        self.sink = sink
        self.matching = FuturesMatching(sink)
        self._random = random.Random(f"futures-ids:{seed}")

    def invent_id(self, length: int = 22) -> str:
        """Invent a client order id, or a listen key, of letters and digits."""
        return "".join(self._random.choices(ALPHANUMERIC, k=length))

    def marks(self) -> dict[str, Decimal]:
        """Return all mark prices."""
        return {name: market.mark for name, market in self.markets.items()}

    def place(self, account: FuturesAccount, request: FuturesRequest, now: int) -> FuturesOrder:
        """Accept an order, trade it as far as it goes, let the rest lie or expire.

        Raises:
            ExchangeError: the engine's refusal; nothing has changed then.

        """
        market = self.markets[request.symbol]
        order = self._draft(market, account, request, now)
        self._may_place(market, order)
        self._can_pay(market, order)
        market.next_order_id += 1
        market.remember(order)
        account.open_orders[(order.symbol, order.id)] = order
        account.open_client_ids[(order.symbol, order.client_order_id)] = order
        self.work(market, order, now)
        self.finish(market, now)
        return order

    def _draft(
        self, market: FuturesMarket, account: FuturesAccount, request: FuturesRequest, now: int
    ) -> FuturesOrder:
        price = request.price
        if request.price_match is not PriceMatch.NONE:
            matched = market.matched_price(request.side, request.price_match)
            if matched is None:
                raise ExchangeError(-5041, "The order book depth is insufficient for priceMatch.")
            price = matched
        return FuturesOrder(
            account=account,
            symbol=request.symbol,
            id=market.next_order_id,
            client_order_id=request.client_order_id or self.invent_id(),
            side=request.side,
            position_side=request.position_side,
            market=request.market,
            time_in_force=request.time_in_force,
            price=price,
            quantity=request.quantity,
            time=now,
            reduce_only=request.reduce_only,
            close_position=request.close_position,
            price_match=request.price_match,
            stp_mode=request.stp_mode,
            good_till=request.good_till,
            remaining=request.quantity,
            update_time=now,
        )

    def _may_place(self, market: FuturesMarket, order: FuturesOrder) -> None:
        account = order.account
        if market.contract.status != "TRADING":
            raise ExchangeError(-4141, "Symbol is closed")
        if (order.symbol, order.client_order_id) in account.open_client_ids:
            raise ExchangeError(-4116, "ClientOrderId is duplicated.")
        reducible = closable(order)
        if order.only_reduces and not reducible:
            raise ExchangeError(-2022, "ReduceOnly Order is rejected.")
        if closes(order.side, order.position_side) and reducible < order.quantity:
            raise ExchangeError(-2022, "ReduceOnly Order is rejected.")
        best = market.book.opposite(order.side).best_price()
        buying = order.side is Side.BUY
        if order.market:
            bound = take_bound(market, order.side)
            if best is not None and (best > bound if buying else best < bound):
                raise ExchangeError(
                    -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit"
                )
        elif order.time_in_force is FuturesTimeInForce.GTX:
            if best is not None and (order.price >= best if buying else order.price <= best):
                raise ExchangeError(-5022, GTX_REFUSED)
        elif (
            order.time_in_force is FuturesTimeInForce.FOK
            and market.fillable(order.side, order.price, account) < order.quantity
        ):
            raise ExchangeError(-5021, FOK_REFUSED)

    def _can_pay(self, market: FuturesMarket, order: FuturesOrder) -> None:
        """Check margin and the largest position of the leverage; a reducing order needs neither."""
        if order.only_reduces:
            return
        account, side = order.account, order.position_side
        if order.market:
            notional = market.cost_to_fill(order.side, order.quantity)
        else:
            notional = order.price * order.quantity
        extra = Orders(side, buys=notional) if order.side is Side.BUY else Orders(side, sells=notional)
        config = account.config(order.symbol)
        position = account.positions.get((order.symbol, side))
        held = ZERO if position is None else position.amount * market.mark
        reached = abs(held + notional) if order.side is Side.BUY else abs(held - notional)
        if reached > abs(held) and reached > market.contract.largest_notional(config.leverage):
            raise ExchangeError(-2027, "Exceeded the maximum allowable position at current leverage.")
        marks = self.marks()
        needed = account.order_margin(order.symbol, market.mark, extra) - account.order_margin(
            order.symbol, market.mark
        )
        if needed and needed + notional * TAKERS_MARGIN > account.available(marks):
            raise ExchangeError(-2019, "Margin is insufficient.")

    def work(self, market: FuturesMarket, order: FuturesOrder, now: int) -> None:
        """Match an accepted order and decide about what is left of it."""
        limit = take_bound(market, order.side) if order.market else order.price
        self.matching.match(market, order, limit, now)
        if not order.is_open:
            return
        self.matching.announce(order, now)
        if order.only_reduces and not closable(order):
            self.matching.expire(market, order, ExpireReason.REDUCE_ONLY, now)
        elif order.market:
            self.matching.expire(market, order, ExpireReason.MARKET_REMAINDER, now)
        elif order.time_in_force is FuturesTimeInForce.IOC:
            self.matching.expire(market, order, ExpireReason.IOC_REMAINDER, now)
        else:
            market.book.own(order.side).add(order)
            market.update_id += 1

    def cancel(self, order: FuturesOrder, now: int) -> None:
        """Cancel an open order.

        Raises:
            ExchangeError: -2011 when it is not open any more.

        """
        if not order.is_open:
            raise ExchangeError(-2011, "Unknown order sent.")
        market = self.markets[order.symbol]
        order.status = Status.CANCELED
        order.update_time = now
        market.book.own(order.side).remove(order)
        market.update_id += 1
        self.matching.close(order)
        self.sink.account_event(order.account, order, events.order_trade_update(order, "CANCELED", now))

    def modify(
        self, order: FuturesOrder, quantity: Decimal, price: Decimal, modify_id: int | None, now: int
    ) -> None:
        """Change quantity and price of an open order; it loses its place in the queue.

        A new quantity that is filled already, or a GTX order that would take, cancels it.

        Raises:
            ExchangeError: -5027 when nothing would change, -2019 when the margin does not suffice.

        """
        market = self.markets[order.symbol]
        if quantity == order.quantity and price == order.price:
            raise ExchangeError(-5027, "No need to modify the order.")
        best = market.book.opposite(order.side).best_price()
        crosses = best is not None and (price >= best if order.side is Side.BUY else price <= best)
        if quantity <= order.executed or (order.time_in_force is FuturesTimeInForce.GTX and crosses):
            self.cancel(order, now)
            return
        market.book.own(order.side).remove(order)
        order.quantity, order.price = quantity, price
        order.remaining = quantity - order.executed
        order.modifications += 1
        order.update_time = now
        self.sink.account_event(
            order.account, order, events.order_trade_update(order, "AMENDMENT", now, modify_id=modify_id)
        )
        self.work(market, order, now)
        self.finish(market, now)

    def refresh(self, market: FuturesMarket, now: int) -> None:
        """Let the crowd quote anew around the path's price, trading with what is in its way."""
        market.withdraw_crowd()
        price = market.path.price
        for quote in market.crowd.quotes(price):
            self.matching.match(market, quote, quote.price, now)
            if quote.remaining:
                market.book.own(quote.side).add(quote)
        market.update_id += 1
        taker = market.crowd.taker(price)
        if taker.remaining:
            self.matching.match(market, taker, None, now)
        self._expire_overdue(market, now)
        self.finish(market, now)

    def _expire_overdue(self, market: FuturesMarket, now: int) -> None:
        overdue = [
            order
            for orders in market.by_account.values()
            for order in orders
            if order.good_till and order.is_open and order.good_till <= now
        ]
        for order in overdue:
            self.matching.expire(market, order, ExpireReason.NONE, now)

    def finish(self, market: FuturesMarket, now: int) -> None:
        """Knock out reduce-only orders that have more to reduce than there is."""
        while self.matching.shrunk:
            (account, symbol, side), _ = self.matching.shrunk.popitem()
            position = account.positions.get((symbol, side))
            held = ZERO if position is None else position.amount
            waiting = [
                order
                for order in account.open_orders.values()
                if order.symbol == symbol and order.position_side is side and order.only_reduces
            ]
            left = sum((order.remaining for order in waiting), ZERO)
            for order in reversed(waiting):
                wrong_way = held * (1 if order.side is Side.BUY else -1) >= 0
                if wrong_way or left > abs(held):
                    left -= order.remaining
                    self.matching.expire(self.markets[symbol], order, ExpireReason.REDUCE_ONLY, now)


def take_bound(market: FuturesMarket, side: Side) -> Decimal:
    """Return the worst price at which a market order may trade."""
    bound = market.contract.market_take_bound
    return market.mark * (1 + bound) if side is Side.BUY else market.mark * (1 - bound)
