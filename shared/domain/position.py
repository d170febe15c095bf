"""DESIGN 6, promise 4: a position is a pure function of its fills, fees included.

Average cost. A cycle is one life of a position, from its first fill to flat; each is one row of
`public.positions`. Fees are charged to `realized` when they are charged by the exchange. A spot fee in
the base asset leaves the wallet, so the size is net of it; it counts as base given away at the fill's own
price. Amounts are exact: a cycle that ended flat has realized exactly proceeds - cost - fees; only the
cost taken out by a partial close is rounded (18 decimals).

After a spot sell a rest smaller than the lot step can never be sold by itself. It ends the cycle and is
carried as dust, with its cost, into the next one, so that sizes still add up to what the exchange holds.

A spot sell beyond what is held never makes a short: the excess is reported as unmatched, with its share
of the fee.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.domain.fill import Fill, FillKey, contradiction
from shared.domain.money import ZERO, exactly, to_ledger
from shared.domain.order import Market, Side

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal


class PositionSide(StrEnum):
    """Direction of a position (`positions.side`)."""

    LONG = "long"
    SHORT = "short"

    @property
    def opened_by(self) -> Side:
        """The side of the fills that add to it."""
        return Side.BUY if self is PositionSide.LONG else Side.SELL


class Netting(StrEnum):
    """How buys and sells of one key meet."""

    LONG_ONLY = "long_only"
    """Spot, and the LONG side of a futures account in hedge mode."""
    SHORT_ONLY = "short_only"
    """The SHORT side of a futures account in hedge mode."""
    ONE_WAY = "one_way"
    """A futures account in one-way mode: a fill may close, open and flip."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What folding needs to know beside the fills; constant for one key.

    Args:
        netting: how buys and sells meet.
        base: base asset, to know a fee that shrinks the position (spot only).
        dust_below: a rest smaller than this ends a cycle after a sell: the lot step on spot, 0 on futures.

    """

    netting: Netting
    base: str
    dust_below: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Cycle:
    """One life of a position.

    Args:
        number: counts the cycles of a key from 1.
        side: long or short.
        size: open base quantity, net of base fees; 0 when closed.
        cost: what the open size cost, in quote.
        entry_price: weighted average of the entries; kept when it closes.
        peak: largest size it had.
        exited: base quantity closed so far.
        exit_value: what that brought, in quote.
        realized: profit in quote, net of all fees so far.
        fees: fees so far, in quote.
        last_price: price of the last fill.
        opened_at: time of the first fill.
        closed_at: time of the last fill when flat, else None.
        liquidated: the exchange closed it by force.

    """

    number: int
    side: PositionSide
    size: Decimal
    cost: Decimal
    entry_price: Decimal
    peak: Decimal
    exited: Decimal
    exit_value: Decimal
    realized: Decimal
    fees: Decimal
    last_price: Decimal
    opened_at: datetime
    closed_at: datetime | None = None
    liquidated: bool = False

    @property
    def exit_price(self) -> Decimal:
        """Weighted average of the exits; 0 before the first."""
        with exactly():
            return to_ledger(self.exit_value / self.exited) if self.exited > 0 else ZERO


@dataclass(frozen=True, slots=True)
class Unmatched:
    """What of a fill met no position: sold from holdings we do not know of."""

    fill: FillKey
    quantity: Decimal
    quote: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Position:
    """Everything the fills of one key have come to so far.

    Args:
        rules: how they are folded.
        cycle: the open one, or None when flat.
        closed: cycles that ended since this value was started.
        unmatched: parts of fills that met no position, since this value was started.
        dust: base quantity carried into the next cycle.
        dust_cost: what it cost, in quote.
        cycles: how many cycles there have been.
        through: the moment of the last fill counted in.
        unvalued: fills whose fee has no value in quote yet; they count without it.

    """

    rules: Rules
    cycle: Cycle | None = None
    closed: tuple[Cycle, ...] = ()
    unmatched: tuple[Unmatched, ...] = ()
    dust: Decimal = ZERO
    dust_cost: Decimal = ZERO
    cycles: int = 0
    through: tuple[datetime, int, str] | None = None
    unvalued: int = 0

    @property
    def held(self) -> Decimal:
        """What can be sold: the open size, dust included when flat."""
        return self.cycle.size if self.cycle is not None else self.dust


class OutOfOrderError(ValueError):
    """A fill is older than one already counted in: fold all fills of the key again."""


class ContradictionError(ValueError):
    """Two fills with one key differ: never skipped silently."""


def rules_of(market: Market, position_side: str, base: str, lot_step: Decimal) -> Rules:
    """Choose the rules of a key by market and futures position side (BOTH, LONG, SHORT)."""
    if market is Market.SPOT:
        return Rules(Netting.LONG_ONLY, base, lot_step)
    by_side = {"LONG": Netting.LONG_ONLY, "SHORT": Netting.SHORT_ONLY}
    return Rules(by_side.get(position_side, Netting.ONE_WAY), base)


def opening(
    rules: Rules, side: PositionSide, size: Decimal, entry_price: Decimal, opened_at: datetime
) -> Position:
    """Start from a position that was there before us (a row of the bot's): all our fills come after it."""
    with exactly():
        cost = size * entry_price
    cycle = Cycle(1, side, size, cost, entry_price, size, ZERO, ZERO, ZERO, ZERO, entry_price, opened_at)
    return Position(rules, cycle, cycles=1)


def fold(fills: Iterable[Fill], start: Position) -> Position:
    """Count fills in, in any order and with any repetition.

    Args:
        fills: all of one key (account, market, epoch, symbol, and strategy or side).
        start: an empty position, or an opening one.

    Raises:
        ContradictionError: the same execution is told in two ways.
        OutOfOrderError: a fill is older than what `start` has counted in.

    """
    once: dict[FillKey, Fill] = {}
    for fill in fills:
        known = once.setdefault(fill.key, fill)
        difference = contradiction(known, fill) if known is not fill else None
        if difference is not None:
            raise ContradictionError(
                f"trade {fill.trade_id} of {fill.symbol} is told twice with another {difference}"
            )
    position = start
    for fill in sorted(once.values(), key=lambda one: one.moment):
        position = apply(position, fill)
    return position


def apply(position: Position, fill: Fill) -> Position:
    """Count one fill in; the fill counted last changes nothing when it comes again.

    Raises:
        OutOfOrderError: the fill is older than the last one.

    """
    if position.through is not None and fill.moment <= position.through:
        if fill.moment == position.through:
            return position
        raise OutOfOrderError(f"trade {fill.trade_id} of {fill.symbol} is older than the last one counted in")
    with exactly():
        step = _Step.of(position, fill)
        after = _close(position, fill, step)
        after = _enter(after, fill, step)
        return replace(after, through=fill.moment, unvalued=after.unvalued + step.unvalued)


@dataclass(frozen=True, slots=True)
class _Step:
    """How one fill splits: what it closes, opens, and leaves unmatched; each with its share of the fee."""

    closes: Decimal
    opens: Decimal
    side: PositionSide
    base_fee: Decimal
    closing_fee: Decimal
    opening_fee: Decimal
    unmatched: Unmatched | None
    unvalued: int

    @classmethod
    def of(cls, position: Position, fill: Fill) -> _Step:
        rules, cycle = position.rules, position.cycle
        side = _side_of(rules.netting, cycle, fill)
        adds = fill.side is side.opened_by
        held = ZERO if cycle is None else cycle.size
        closes = ZERO if adds else min(fill.quantity, held)
        rest = fill.quantity - closes
        flips = rules.netting is Netting.ONE_WAY
        opens = rest if adds or flips else ZERO
        fee, base_fee, unvalued = _fee(rules, fill)
        closing_fee = _share(fee, closes, fill.quantity)
        opening_fee = fee - closing_fee if opens else ZERO
        unmatched = None
        if rest and not opens:
            quote = _share(fill.quote, rest, fill.quantity)
            unmatched = Unmatched(fill.key, rest, quote, fee - closing_fee)
        opened = side if adds else PositionSide.LONG if fill.side is Side.BUY else PositionSide.SHORT
        return cls(closes, opens, opened, base_fee, closing_fee, opening_fee, unmatched, unvalued)


def _side_of(netting: Netting, cycle: Cycle | None, fill: Fill) -> PositionSide:
    if netting is Netting.LONG_ONLY:
        return PositionSide.LONG
    if netting is Netting.SHORT_ONLY:
        return PositionSide.SHORT
    if cycle is not None:
        return cycle.side
    return PositionSide.LONG if fill.side is Side.BUY else PositionSide.SHORT


def _share(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    if part == of:
        return whole
    return to_ledger(whole * part / of)


def _fee(rules: Rules, fill: Fill) -> tuple[Decimal, Decimal, int]:
    """Give a fill's fee in quote, what of it leaves the wallet in base, and 1 if it has no value yet."""
    in_base = fill.market is Market.SPOT and fill.commission_asset == rules.base
    if in_base:
        return fill.commission * fill.price, fill.commission, 0
    if fill.commission_in_quote is None:
        return ZERO, ZERO, 1
    return fill.commission_in_quote, ZERO, 0


def _close(position: Position, fill: Fill, step: _Step) -> Position:
    """Take out what the fill closes; a sell's fee in base goes with it, at the same price."""
    cycle = position.cycle
    if step.unmatched is not None:
        position = replace(position, unmatched=(*position.unmatched, step.unmatched))
        if cycle is None:
            return _use_dust(position, step.unmatched.quantity)
    if cycle is None or not step.closes:
        return position
    given_away = min(step.base_fee, cycle.size - step.closes)
    leaves = step.closes + given_away
    cost = _share(cycle.cost, leaves, cycle.size)
    value = leaves * fill.price
    gain = value - cost if cycle.side is PositionSide.LONG else cost - value
    cycle = replace(
        cycle,
        size=cycle.size - leaves,
        cost=cycle.cost - cost,
        exited=cycle.exited + leaves,
        exit_value=cycle.exit_value + value,
        realized=cycle.realized + gain - step.closing_fee,
        fees=cycle.fees + step.closing_fee,
        last_price=fill.price,
    )
    if cycle.size and cycle.size >= position.rules.dust_below:
        return replace(position, cycle=cycle)
    ended = replace(cycle, size=ZERO, cost=ZERO, closed_at=fill.traded_at, liquidated=fill.liquidates)
    return replace(
        position,
        cycle=None,
        closed=(*position.closed, ended),
        dust=position.dust + cycle.size,
        dust_cost=position.dust_cost + cycle.cost,
    )


def _use_dust(position: Position, quantity: Decimal) -> Position:
    """Sold from outside while flat: the dust we carry went first."""
    used = min(quantity, position.dust)
    if not used:
        return position
    cost = _share(position.dust_cost, used, position.dust)
    return replace(position, dust=position.dust - used, dust_cost=position.dust_cost - cost)


def _enter(position: Position, fill: Fill, step: _Step) -> Position:
    """Add what the fill opens, net of a fee taken in base, to the open cycle or to a new one."""
    if not step.opens:
        return position
    net = max(step.opens - step.base_fee, ZERO)
    cycle = position.cycle
    if cycle is None:
        position = replace(position, cycles=position.cycles + 1)
        cycle = Cycle(
            number=position.cycles,
            side=step.side,
            size=position.dust,
            cost=position.dust_cost,
            entry_price=fill.price,
            peak=position.dust,
            exited=ZERO,
            exit_value=ZERO,
            realized=ZERO,
            fees=ZERO,
            last_price=fill.price,
            opened_at=fill.traded_at,
        )
    size, cost = cycle.size + net, cycle.cost + net * fill.price
    cycle = replace(
        cycle,
        size=size,
        cost=cost,
        entry_price=to_ledger(cost / size) if size else cycle.entry_price,
        peak=max(cycle.peak, size),
        realized=cycle.realized - step.opening_fee,
        fees=cycle.fees + step.opening_fee,
        last_price=fill.price,
    )
    return replace(position, cycle=cycle, dust=ZERO, dust_cost=ZERO)
