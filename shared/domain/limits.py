"""DESIGN 5: collar and caps, the checks that need the sized order and a price, in this order.

 1. the collar: limit price, stop price and the walk of a market order through the book;
 2. the caps in USD: the user's minimum, order, position, exposure, strategy.

Caps never stop an order that only reduces. They are a preview here, which explains; what holds when two
executors race is the reservation in the attempt's commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from shared.domain.fees import usd_value
from shared.domain.money import ZERO, exactly, floor_to_places
from shared.domain.order import OrderType, PendingOrder, Side
from shared.domain.verdicts import Code, Rejected, Verdict, reject, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shared.domain.sizing import Book, Sized

_USD_PLACES = 2


@dataclass(frozen=True, slots=True)
class Collar:
    """How far from the market an order may trade or rest, as shares of the price.

    Args:
        adverse: how much worse than the market a limit may be.
        away: how far from the market a resting limit or a stop may be.
        walk: how far a market order may walk the book.

    """

    adverse: Decimal = Decimal("0.05")
    away: Decimal = Decimal("0.5")
    walk: Decimal = Decimal("0.02")


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a market order would end in the book.

    Args:
        worst: price of the last level it touches.
        enough: whether the levels known hold all of it.

    """

    worst: Decimal
    enough: bool


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits in USD; None = no such limit.

    Args:
        per_order: worth of one order; the bridge's own absolute cap.
        position: worth of one position after the order (`max_position_size_usd`).
        exposure: worth of all positions and open orders after it (`max_total_exposure_usd`).
        minimum: least worth of an order (`min_position_size_usd`).

    """

    per_order: Decimal
    position: Decimal
    exposure: Decimal
    minimum: Decimal = ZERO


def user_caps(settings: Mapping[str, Any], own: Caps) -> Caps:
    """Read a user's caps from `users.settings`.

    Args:
        settings: the JSON object; Go writes 0 for "no limit", and `{}` decodes to zeros there.
        own: our conservative caps, taken wherever the user's is 0, missing, negative or no number; the
            cap per
            order is ours alone.

    """
    return Caps(
        per_order=own.per_order,
        position=_setting(settings, "max_position_size_usd") or own.position,
        exposure=_setting(settings, "max_total_exposure_usd") or own.exposure,
        minimum=_setting(settings, "min_position_size_usd") or own.minimum,
    )


def _setting(settings: Mapping[str, Any], key: str) -> Decimal | None:
    value = settings.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = Decimal(str(value))
    return number if number.is_finite() and number > 0 else None


@dataclass(frozen=True, slots=True)
class Priced:
    """Everything the checks after sizing look at.

    Args:
        order: the row.
        sized: what it became.
        quote_asset: what `sized.quote` is counted in.
        symbol: with the slash, for the sentences.
        book: fresh best prices; None only for a pure limit order.
        walk: where a market order of this size would end; None when the best level holds all of it.
        prices: fresh prices by (base, quote), to value the order in USD.
        caps: of the user.
        position_usd: worth of the position it adds to, unknown attempts counted as filled.
        exposure_usd: worth of all positions and live orders of the user.
        strategy_used_usd: what the row's strategy has in use.
        strategy_capital_usd: its capital; None when the row has no strategy.
        collar: how far from the market it may be.

    """

    order: PendingOrder
    sized: Sized
    quote_asset: str
    symbol: str
    book: Book | None
    walk: Walk | None
    prices: Mapping[tuple[str, str], Decimal]
    caps: Caps
    position_usd: Decimal
    exposure_usd: Decimal
    strategy_used_usd: Decimal
    strategy_capital_usd: Decimal | None
    collar: Collar


def walk(levels: Iterable[tuple[Decimal, Decimal]], quantity: Decimal) -> Walk | None:
    """Walk one side of the book.

    Args:
        levels: (price, quantity), best first.
        quantity: base quantity to trade.

    Returns:
        How far it goes; None when there is no level at all.

    """
    left, last = quantity, None
    for last, available in levels:
        with exactly():
            left -= available
        if left <= 0:
            return Walk(last, enough=True)
    return Walk(last, enough=False) if last is not None else None


def check_collar_limit(priced: Priced) -> Verdict | None:
    """Reject a limit price that is far worse than the market, or far away from it."""
    order, book = priced.order, priced.book
    if not order.type.has_limit_price:
        return None
    if order.type.has_trigger:
        reference: Decimal | None = order.stop_price  # it trades near its trigger, not near today's book
    else:
        reference = _market_price(book, order.side)
    if reference is None:
        return wait(Code.NO_FRESH_PRICE, symbol=priced.symbol)
    worse = order.price > reference if order.side is Side.BUY else order.price < reference
    limit = priced.collar.adverse if worse else priced.collar.away
    return _too_far(Code.COLLAR_LIMIT, order.price, reference, limit)


def check_collar_stop(priced: Priced) -> Verdict | None:
    """Reject a stop price far away from the market."""
    if not priced.order.type.has_trigger:
        return None
    reference = _market_price(priced.book, priced.order.side)
    if reference is None:
        return wait(Code.NO_FRESH_PRICE, symbol=priced.symbol)
    return _too_far(Code.COLLAR_STOP, priced.order.stop_price, reference, priced.collar.away)


def check_collar_market(priced: Priced) -> Verdict | None:
    """Reject a market order that would walk the book too far from its best price."""
    if priced.order.type is not OrderType.MARKET:
        return None
    reference = _market_price(priced.book, priced.order.side)
    if reference is None:
        return wait(Code.NO_FRESH_PRICE, symbol=priced.symbol)
    if priced.walk is None:
        return None
    limit = priced.collar.walk
    distance = _distance(priced.walk.worst, reference)
    if priced.walk.enough and distance <= limit:
        return None
    how = "up to" if priced.walk.enough else "more than"
    return reject(
        Code.COLLAR_MARKET,
        how=how,
        reference=reference,
        distance=_percent(distance if priced.walk.enough else max(distance, limit)),
        limit=limit * 100,
    )


def _market_price(book: Book | None, side: Side) -> Decimal | None:
    if book is None or min(book.bid, book.ask) <= 0:
        return None
    return book.ask if side is Side.BUY else book.bid


def _too_far(code: Code, price: Decimal, reference: Decimal, limit: Decimal) -> Rejected | None:
    distance = _distance(price, reference)
    if distance <= limit:
        return None
    return reject(code, price=price, reference=reference, distance=_percent(distance), limit=limit * 100)


def _distance(price: Decimal, reference: Decimal) -> Decimal:
    with exactly():
        return abs(price - reference) / reference


def _percent(share: Decimal) -> Decimal:
    with exactly():
        return floor_to_places(share * 100, 2)


def check_caps(priced: Priced) -> Verdict | None:
    """Reject what opens or adds beyond a cap in USD; wait while the quote asset cannot be valued."""
    if priced.sized.reduces:
        return None
    worth = usd_value(priced.sized.quote, priced.quote_asset, priced.prices)
    if worth is None:
        return wait(Code.NO_USD_PRICE, asset=priced.quote_asset)
    caps = priced.caps
    with exactly():
        limits = [
            (Code.CAP_ORDER, worth, caps.per_order),
            (Code.CAP_POSITION, priced.position_usd + worth, caps.position),
            (Code.CAP_EXPOSURE, priced.exposure_usd + worth, caps.exposure),
        ]
        if priced.strategy_capital_usd is not None:
            limits.append((Code.CAP_STRATEGY, priced.strategy_used_usd + worth, priced.strategy_capital_usd))
    if worth < caps.minimum:
        return reject(Code.BELOW_USER_MINIMUM, value=_usd(worth), limit=caps.minimum)
    for code, value, limit in limits:
        if value > limit:
            return reject(code, value=_usd(value), limit=limit)
    return None


AFTER_SIZING: tuple[Callable[[Priced], Verdict | None], ...] = (
    check_collar_limit,
    check_collar_stop,
    check_collar_market,
    check_caps,
)


def after_sizing(priced: Priced) -> Verdict | None:
    """Give the first verdict of the checks that need the sized order; None lets it be claimed and sent."""
    for check in AFTER_SIZING:
        if (verdict := check(priced)) is not None:
            return verdict
    return None


def _usd(value: Decimal) -> Decimal:
    """Show an amount in USD, rounded up, so that what is above a cap never reads as equal to it."""
    shown_value = floor_to_places(value, _USD_PLACES)
    return shown_value if shown_value == value else shown_value + Decimal("0.01")
