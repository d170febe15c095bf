"""DESIGN 5: what a row's `amount` means at the exchange, and the parameters that say so.

Unit: `orders.amount` is in the quote currency unless the unit policy says otherwise. Base misread as
quote is a tiny order that the filters refuse; quote misread as base turns 350 dollars into 350 BTC.

Opening orders: a spot market buy in quote sends `quoteOrderQty`, so the exchange itself bounds what is
spent. All others, and everything on futures, send a quantity: amount / reference price, the reference being
the limit price, else the worse of stop price and book.

Reducing orders (spot sells, `reduce_only`) are compared with the open position (`reading`) and capped at the
smaller of what it holds and what the exchange says is free. Everything is rounded down, never up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from shared.domain import futures_orders
from shared.domain.draft import Draft, draft_of
from shared.domain.filters import Holdings, check
from shared.domain.money import ZERO, exact_product, exactly, floor_to_places, plain
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.reading import Held, Reading, Unclear, Unfit, Unit, choose, read
from shared.domain.verdicts import Code, Rejected, Waiting, reject, shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from shared.domain.futures_orders import PositionMode
    from shared.domain.symbol import Instrument

_QUOTIENT_PLACES = 18


@dataclass(frozen=True, slots=True)
class UnitPolicy:
    """Which unit the amounts are in.

    Args:
        default: for everything not named below.
        by_agent: overrides by `orders.agent_id` (exact text); they win over the market's.
        by_market: overrides by market.

    """

    default: Unit = Unit.QUOTE
    by_agent: Mapping[str, Unit] = field(default_factory=dict)
    by_market: Mapping[Market, Unit] = field(default_factory=dict)

    def override(self, order: PendingOrder) -> Unit | None:
        """Find the unit named explicitly for this row's agent or market."""
        return self.by_agent.get(order.agent_id) or self.by_market.get(order.market)

    def unit_of(self, order: PendingOrder) -> Unit:
        """Find the unit of a row's amount."""
        return self.override(order) or self.default


QUOTE_UNLESS_TOLD = UnitPolicy()


@dataclass(frozen=True, slots=True)
class Book:
    """The best prices of a fresh order book, in quote per base, and how much is to be had at them, in base.

    A price of 0 is an empty side; a size of 0 is not known.
    """

    bid: Decimal
    ask: Decimal
    bid_size: Decimal = ZERO
    ask_size: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Sized:
    """A row in the exchange's terms.

    Args:
        params: request parameters in the exchange's names, without client order id, timestamp and signature.
        quantity: base quantity; for `quoteOrderQty` the estimate by the book.
        quote: what the order is worth in quote, for the caps.
        unit: how the amount was read.
        reduces: whether it can only make a position smaller.
        notes: what was adjusted and why, for the audit trail.

    """

    params: Mapping[str, str]
    quantity: Decimal
    quote: Decimal
    unit: Unit
    reduces: bool
    notes: tuple[str, ...] = ()

    @property
    def conditional(self) -> bool:
        """Whether it goes to the futures exchange's algo service, which has ids of its own."""
        return "algoType" in self.params

    @property
    def client_id_parameter(self) -> str:
        """The parameter that carries the client order id."""
        return "clientAlgoId" if self.conditional else "newClientOrderId"


def reduces(order: PendingOrder) -> bool:
    """Tell whether a row can only shrink a position: `reduce_only`, or a spot sell (there are no shorts)."""
    return order.reduce_only or (order.market is Market.SPOT and order.side is Side.SELL)


def size(
    order: PendingOrder,
    instrument: Instrument,
    book: Book | None,
    held: Held | None = None,
    policy: UnitPolicy = QUOTE_UNLESS_TOLD,
    holdings: Holdings | None = None,
    mode: PositionMode | None = None,
) -> Sized | Rejected | Waiting:
    """Turn a row into request parameters, or say why not.

    Args:
        order: the row.
        instrument: what its symbol resolved to.
        book: fresh best prices; None when there are none.
        held: open position and free balance; None = nothing to reduce.
        policy: unit policy.
        holdings: account-wide figures for MAX_POSITION and the order counts; None leaves these to the
            exchange.
        mode: position mode of a futures account; None = futures are not served.

    Returns:
        The parameters; *waiting* when a price is needed and there is none; else the rejection.

    """
    if (mode is None) is not (order.market is Market.SPOT):
        return reject(Code.MARKET_NOT_SERVED, market=order.market)
    if not instrument.is_trading:
        return reject(Code.SYMBOL_NOT_TRADING, symbol=instrument.slash, status=shown(instrument.status))
    if not order.amount.is_finite() or order.amount <= 0:
        return reject(Code.AMOUNT_NOT_POSITIVE, amount=order.amount)
    fresh = book if book is not None and min(book.bid, book.ask) > 0 else None
    draft = draft_of(order, instrument, fresh, mode)
    if not isinstance(draft, Draft):
        return draft
    sized = _reduce(draft, held, policy) if reduces(order) else _open(draft, policy.unit_of(order))
    if isinstance(sized, Rejected):
        return sized
    return check(instrument.filters, draft.proposal(sized.quantity), holdings) or sized


def _open(draft: Draft, unit: Unit) -> Sized | Rejected:
    """Size an order that opens or adds: by `quoteOrderQty` where the exchange offers it, else by quantity."""
    order, instrument = draft.order, draft.instrument
    reference = draft.opening_reference
    spends = unit is Unit.QUOTE and order.type is OrderType.MARKET and instrument.quote_order_qty_allowed
    spend = floor_to_places(order.amount, instrument.quote_precision) if spends else None
    wanted = order.amount if unit is Unit.BASE else _divide(order.amount, reference)
    quantity = draft.floor(wanted)
    if quantity <= 0 or spend == 0:
        return reject(Code.ROUNDS_TO_ZERO, amount=order.amount, step=draft.step, asset=instrument.base)
    if spend is None:
        return _by_quantity(draft, quantity, reference, unit)
    return Sized(_spot_params(draft, spend=spend), quantity, spend, unit, reduces=False, notes=draft.notes)


def _by_quantity(
    draft: Draft, quantity: Decimal, reference: Decimal, unit: Unit, notes: tuple[str, ...] = ()
) -> Sized:
    worth = exact_product(quantity, reference)
    params = _params(draft, quantity)
    return Sized(params, quantity, worth, unit, reduces=reduces(draft.order), notes=draft.notes + notes)


def _reduce(draft: Draft, held: Held | None, policy: UnitPolicy) -> Sized | Rejected:
    """Size an order that reduces: read the amount against the position, cap it, say what stays behind."""
    order, instrument = draft.order, draft.instrument
    if held is None or held.size <= 0 or held.side is order.side:
        return reject(Code.NOTHING_TO_REDUCE, symbol=instrument.slash, side=order.side)
    if held.free <= 0:
        return reject(Code.NOTHING_FREE, size=held.size, base=instrument.base)
    reference = draft.reducing_reference
    available = draft.floor(min(held.size, held.free))
    if not draft.enough(available):
        return _dust(draft, min(held.size, held.free), reference)
    override = policy.override(order)
    asked = {Unit.BASE: order.amount, Unit.QUOTE: _divide(order.amount, reference)}
    units = (override,) if override is not None else tuple(asked)
    chosen = choose([read(unit, asked[unit], held, draft.floor, draft.enough) for unit in units])
    if isinstance(chosen, Unclear):
        return reject(
            Code.UNIT_UNCLEAR,
            amount=order.amount,
            base_reading=chosen.base.quantity,
            quote_reading=chosen.quote.quantity,
            base=instrument.base,
            quote=instrument.quote,
            size=held.size,
        )
    if isinstance(chosen, Unfit):
        return _unfit(draft, held, reference, chosen.largest)
    return _by_quantity(draft, chosen.quantity, reference, chosen.unit, _reduction_notes(draft, held, chosen))


def _unfit(draft: Draft, held: Held, reference: Decimal, largest: Reading | None) -> Rejected:
    instrument, amount = draft.instrument, draft.order.amount
    if largest is None:
        return reject(
            Code.EXCEEDS_POSITION,
            amount=amount,
            base=instrument.base,
            size=held.size,
            quote=instrument.quote,
            worth=_worth(draft, held.size, reference),
        )
    too_little = check(instrument.filters, draft.proposal(largest.quantity)) if largest.quantity > 0 else None
    return too_little or reject(Code.ROUNDS_TO_ZERO, amount=amount, step=draft.step, asset=instrument.base)


def _dust(draft: Draft, available: Decimal, reference: Decimal) -> Rejected:
    instrument, filters = draft.instrument, draft.instrument.filters
    minimum = f"{plain(max(filters.lot_size.minimum, draft.step))} {instrument.base}"
    if filters.notional is not None and filters.notional.minimum > 0:
        minimum += f" and {plain(filters.notional.minimum)} {instrument.quote}"
    return reject(
        Code.DUST,
        size=available,
        base=instrument.base,
        worth=_worth(draft, available, reference),
        quote=instrument.quote,
        minimum=minimum,
    )


def _worth(draft: Draft, quantity: Decimal, price: Decimal) -> Decimal:
    with exactly():
        return floor_to_places(quantity * price, draft.instrument.quote_precision)


def _reduction_notes(draft: Draft, held: Held, reading: Reading) -> tuple[str, ...]:
    """Say what was capped and what stays behind as dust."""
    base, notes = draft.instrument.base, []
    if reading.asked > held.size:
        notes.append(f"capped at the position of {plain(held.size)} {base}")
    if held.free < min(reading.asked, held.size):
        notes.append(f"capped at the {plain(held.free)} {base} that are free at the exchange")
    with exactly():
        rest = held.size - reading.quantity
    if rest > 0 and not draft.enough(draft.floor(rest)):
        notes.append(f"{plain(rest)} {base} stays behind as dust, too little for the exchange to take")
    return tuple(notes)


def _params(draft: Draft, quantity: Decimal) -> Mapping[str, str]:
    if draft.mode is None:
        return _spot_params(draft, quantity=quantity)
    return futures_orders.parameters(
        draft.order,
        draft.mode,
        draft.instrument.symbol,
        draft.exchange_type,
        quantity,
        draft.price,
        draft.stop_price,
    )


def _spot_params(
    draft: Draft, quantity: Decimal | None = None, spend: Decimal | None = None
) -> Mapping[str, str]:
    """Write the parameters of `POST /api/v3/order` (Spot REST docs, "New order"); LIMIT is always GTC."""
    params = {
        "symbol": draft.instrument.symbol,
        "side": draft.order.side.value.upper(),
        "type": draft.exchange_type,
        "newOrderRespType": "FULL",
    }
    if quantity is not None:
        params["quantity"] = plain(quantity)
    if spend is not None:
        params["quoteOrderQty"] = plain(spend)
    if draft.price is not None:
        params["price"] = plain(draft.price)
        params["timeInForce"] = "GTC"
    if draft.stop_price is not None:
        params["stopPrice"] = plain(draft.stop_price)
    return MappingProxyType(params)


def _divide(amount: Decimal, price: Decimal) -> Decimal:
    """Convert quote to base; the quotient is cut, not rounded, so that it never buys more than asked."""
    with exactly():
        return floor_to_places(amount / price, _QUOTIENT_PLACES)
