"""DESIGN 6: counting fills into a holding, and what each of them did to the position.

A holding is what one account holds of one symbol for one strategy (spot) or on one side (futures). Its state
is a `Position` of the fold; the ledger keeps it between fills, so that in the common case only the new ones
are counted. A fill older than one counted already means folding all of them again from the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.domain.money import ZERO
from shared.domain.position import apply, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from shared.domain.fill import Fill
    from shared.domain.position import Cycle, Position, Unmatched


class Kind(StrEnum):
    """What happened to a position; the kinds of its events in `bridge.event`."""

    OPENED = "position_opened"
    GROWN = "position_grown"
    REDUCED = "position_reduced"
    CLOSED = "position_closed"
    CORRECTED = "position_corrected"  # folded again, because a fill came late


@dataclass(frozen=True, slots=True)
class Change:
    """What the fills of one order did to one life of a position.

    Attributes:
        number: which life.
        kind: what happened.
        order_id: the order whose fills did it; None for an order we did not place.
        cycle: the life after it.

    """

    number: int
    kind: Kind
    order_id: UUID | None
    cycle: Cycle


@dataclass(frozen=True, slots=True)
class Counted:
    """A holding after some fills.

    Attributes:
        position: the new state; `closed` holds only the lives that ended now.
        changes: in the order they happened, the fills of one order taken together.

    """

    position: Position
    changes: tuple[Change, ...]

    @property
    def cycles(self) -> tuple[Cycle, ...]:
        """The lives to be written: those that ended now, and the open one."""
        live = () if self.position.cycle is None else (self.position.cycle,)
        return (*self.position.closed, *live)

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        """What was sold beyond what we knew was held."""
        return self.position.unmatched


def count_in(start: Position, fills: Iterable[Fill]) -> Counted:
    """Count new fills into a holding.

    Args:
        start: its state so far, with nothing in `closed` and `unmatched`.
        fills: of its key, in any order.

    Raises:
        OutOfOrderError: one is older than what was counted in before; use `count_again`.

    """
    position, changes = start, []
    for fill in sorted({fill.key: fill for fill in fills}.values(), key=lambda one: one.moment):
        after = apply(position, fill)
        changes += _changes(position, after, fill.order_id)
        position = after
    return Counted(position, _merged(changes))


def count_again(start: Position, fills: Iterable[Fill], known: Mapping[int, Cycle]) -> Counted:
    """Fold all fills of a holding again, because one came late.

    Args:
        start: empty, or the opening position.
        fills: all of them.
        known: the lives as the ledger has them, by number.

    Returns:
        The state, and a correction for each life that looks different now.

    """
    position = fold(fills, start)
    counted = Counted(position, ())
    corrected = [
        Change(cycle.number, Kind.CORRECTED, None, cycle)
        for cycle in counted.cycles
        if known.get(cycle.number) != cycle
    ]
    return replace(counted, changes=tuple(corrected))


def emptied(cycle: Cycle) -> Cycle:
    """Return what is left of a life that turned out to be part of another one."""
    return replace(
        cycle,
        size=ZERO,
        cost=ZERO,
        peak=ZERO,
        exited=ZERO,
        exit_value=ZERO,
        realized=ZERO,
        fees=ZERO,
        closed_at=cycle.closed_at or cycle.opened_at,
    )


def _changes(before: Position, after: Position, order_id: UUID | None) -> list[Change]:
    changes = [
        Change(cycle.number, Kind.CLOSED, order_id, cycle) for cycle in after.closed[len(before.closed) :]
    ]
    cycle = after.cycle
    if cycle is None:
        return changes
    if before.cycle is None or before.cycle.number != cycle.number:
        changes.append(Change(cycle.number, Kind.OPENED, order_id, cycle))
    elif cycle.size != before.cycle.size:
        kind = Kind.GROWN if cycle.size > before.cycle.size else Kind.REDUCED
        changes.append(Change(cycle.number, kind, order_id, cycle))
    return changes


def _merged(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Take the steps of one order together: opened and grown is opened, reduced and closed is closed."""
    merged: list[Change] = []
    for change in changes:
        last = merged[-1] if merged else None
        if last is None or (last.number, last.order_id) != (change.number, change.order_id):
            merged.append(change)
        elif (last.kind, change.kind) in ((Kind.OPENED, Kind.GROWN), (Kind.GROWN, Kind.GROWN)):
            merged[-1] = replace(change, kind=last.kind)
        elif last.kind is Kind.REDUCED and change.kind in (Kind.REDUCED, Kind.CLOSED):
            merged[-1] = change
        else:
            merged.append(change)
    return tuple(merged)
