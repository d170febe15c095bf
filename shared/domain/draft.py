"""DESIGN 5: a row on its way to its size: prices lowered to the tick, the exchange's type chosen."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.domain import futures_orders
from shared.domain.filters import Proposal, too_small
from shared.domain.money import floor_to_places, floor_to_step, plain
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.verdicts import Code, Rejected, Waiting, reject, wait

if TYPE_CHECKING:
    from shared.domain.futures_orders import PositionMode
    from shared.domain.sizing import Book
    from shared.domain.symbol import Instrument


@dataclass(frozen=True, slots=True)
class Draft:
    """A row on its way: prices lowered to the tick, the exchange's type chosen."""

    order: PendingOrder
    instrument: Instrument
    book: Book | None
    exchange_type: str
    price: Decimal | None
    stop_price: Decimal | None
    notes: tuple[str, ...]
    mode: PositionMode | None = None

    @property
    def step(self) -> Decimal:
        """The grid of quantities; where the filters have none, the last decimal the exchange takes."""
        step = self.instrument.filters.quantity_step(self.order.type)
        return step if step > 0 else Decimal(1).scaleb(-self.instrument.base_precision)

    def floor(self, quantity: Decimal) -> Decimal:
        """Round a base quantity down to what the symbol's steps and precision allow."""
        return floor_to_places(floor_to_step(quantity, self.step), self.instrument.base_precision)

    def enough(self, quantity: Decimal) -> bool:
        """Tell whether the exchange takes as little as this quantity."""
        return not too_small(self.instrument.filters, self.proposal(quantity))

    def proposal(self, quantity: Decimal) -> Proposal:
        """Put the order before the filters."""
        return Proposal(
            base=self.instrument.base,
            quote=self.instrument.quote,
            side=self.order.side,
            type=self.order.type,
            quantity=quantity,
            price=self.price,
            stop_price=self.stop_price,
            reference=self.market_price,
            reduce_only=self.order.reduce_only and self.order.market is Market.FUTURES,
        )

    @property
    def market_price(self) -> Decimal | None:
        """What the order would trade at now."""
        if self.book is None:
            return None
        return self.book.ask if self.order.side is Side.BUY else self.book.bid

    @property
    def opening_reference(self) -> Decimal:
        """The price an opening order is converted with: the highest it may trade at; never overspends."""
        if self.price is not None:
            return self.price
        return max(known for known in (self.market_price, self.stop_price) if known is not None)

    @property
    def reducing_reference(self) -> Decimal:
        """The price a reducing order is read with: the highest in sight; never sells more than asked."""
        return max(known for known in (self.market_price, self.price) if known is not None)


def draft_of(
    order: PendingOrder, instrument: Instrument, book: Book | None, mode: PositionMode | None
) -> Draft | Rejected | Waiting:
    """Prepare a row for its size, or say why it has none.

    Args:
        order: the row.
        instrument: what its symbol resolved to.
        book: fresh best prices; only a plain limit order can do without.
        mode: position mode of a futures account.

    """
    if book is None and order.type is not OrderType.LIMIT:
        return wait(Code.NO_FRESH_PRICE, symbol=instrument.slash)
    price = _lower(order.price, instrument, "price") if order.type.has_limit_price else None
    if isinstance(price, Rejected):
        return price
    stop_price = _lower(order.stop_price, instrument, "stop price") if order.type.has_trigger else None
    if isinstance(stop_price, Rejected):
        return stop_price
    exchange_type = _exchange_type(order, stop_price, book)
    if isinstance(exchange_type, Rejected):
        return exchange_type
    if exchange_type not in instrument.order_types:
        return reject(Code.TYPE_NOT_ALLOWED, type=exchange_type, symbol=instrument.slash)
    notes = tuple(
        f"{which} {plain(asked)} was lowered to {plain(lowered)}, a multiple of the tick"
        for which, asked, lowered in (
            ("price", order.price, price),
            ("stop price", order.stop_price, stop_price),
        )
        if lowered is not None and lowered != asked
    )
    return Draft(order, instrument, book, exchange_type, price, stop_price, notes, mode)


def _lower(price: Decimal, instrument: Instrument, which: str) -> Decimal | Rejected:
    """Round a price down to the tick; what is not even one tick is rejected."""
    tick = instrument.filters.price.step
    lowered = floor_to_step(price, tick) if price.is_finite() else price
    if lowered.is_finite() and lowered > 0:
        return lowered
    relation = "less than one tick,"
    return reject(
        Code.FILTER_PRICE, filter="PRICE_FILTER", which=which, value=price, relation=relation, limit=tick
    )


def _exchange_type(order: PendingOrder, stop_price: Decimal | None, book: Book | None) -> str | Rejected:
    """Name the exchange's type of an order.

    A trigger above the market is a stop for a buy and a take-profit for a sell, below it the other way round
    (Spot REST docs, "New order"; Futures docs, "New Algo Order"); between bid and ask it would trigger at
    once.
    """
    if stop_price is None or book is None:
        return "LIMIT" if order.type.has_limit_price else "MARKET"
    if book.bid < stop_price < book.ask:
        return reject(Code.TRIGGERS_AT_ONCE, stop=stop_price, bid=book.bid, ask=book.ask)
    above = stop_price >= book.ask
    as_stop = above is (order.side is Side.BUY)
    if order.market is Market.FUTURES:
        return futures_orders.conditional_type(order.type, as_stop=as_stop)
    family = "STOP_LOSS" if as_stop else "TAKE_PROFIT"
    return f"{family}_LIMIT" if order.type.has_limit_price else family
