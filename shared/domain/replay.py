"""Promise 4, checked: what is stored of a holding beside what its stored fills come to, folded once more.

The fold is the truth. What differs from it was written by hand, by a mistake of ours, or by the bot.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.domain.holding import Counted, emptied
from shared.domain.money import ZERO
from shared.domain.position import Cycle
from shared.domain.projection import project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from shared.domain.position import Position


class Place(StrEnum):
    """Where something differs."""

    HOLDING = "bridge.holding"
    LEDGER = "bridge.position"
    ROW = "public.positions"
    FILLS = "bridge.fill"


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not what the fills say.

    Attributes:
        place: the table.
        number: the life of the position it is about; 0 = all of the holding.
        field: the column.
        stored: what stands there; None also where nothing does.
        folded: what the fills come to.

    """

    place: Place
    number: int
    field: str
    stored: object
    folded: object


@dataclass(frozen=True, slots=True)
class Stored:
    """A holding as the tables have it.

    Attributes:
        position: its state between two fills.
        unmatched: sold beyond what we knew was held, in base.
        lives: of the ledger, by number.
        rows: the bot's rows of these lives, by number, column by column; a life without one is left out.
        bot_closed: lives whose row the bot closed while they were open: they stay as it left them (DESIGN 6).

    """

    position: Position
    unmatched: Decimal
    lives: Mapping[int, Cycle]
    rows: Mapping[int, Mapping[str, object]]
    bot_closed: frozenset[int] = frozenset()


def differences(stored: Stored, folded: Position) -> Iterator[Difference]:
    """Compare what is stored with what the fills come to.

    Args:
        stored: a holding.
        folded: all its fills, from the beginning or from the position it was opened with.

    """
    yield from _of_holding(stored, folded)
    lives = {cycle.number: cycle for cycle in Counted(folded, ()).cycles}
    for number in sorted(stored.lives.keys() | lives.keys()):
        known = stored.lives.get(number)
        if known is None:
            yield Difference(Place.LEDGER, number, "number", None, number)
            continue
        cycle = lives.get(number) or emptied(known)
        for name in _LIFE:
            was, now = getattr(known, name), getattr(cycle, name)
            if was != now:
                yield Difference(Place.LEDGER, number, name, was, now)
        if cycle.closed_at is not None or number not in stored.bot_closed:
            yield from _of_row(stored.rows.get(number), cycle)


def _of_holding(stored: Stored, folded: Position) -> Iterator[Difference]:
    pairs = [(name, getattr(stored.position, name), getattr(folded, name)) for name in _STATE]
    unmatched = sum((part.quantity for part in folded.unmatched), ZERO)
    for name, was, now in (*pairs, ("unmatched", stored.unmatched, unmatched)):
        if was != now:
            yield Difference(Place.HOLDING, 0, name, was, now)


def _of_row(row: Mapping[str, object] | None, cycle: Cycle) -> Iterator[Difference]:
    """Compare the bot's row; the price of an open one is the market's, and its profit follows that."""
    if row is None:
        yield Difference(Place.ROW, cycle.number, "id", None, "a row")
        return
    shown = project(cycle)
    for name in _SHOWN if cycle.closed_at is None else (*_SHOWN, *_SHOWN_AT_THE_END):
        now = getattr(shown, name)
        if row[name] != now:
            yield Difference(Place.ROW, cycle.number, name, row[name], now)


_STATE = ("cycles", "dust", "dust_cost", "unvalued", "through")
_LIFE = tuple(field.name for field in fields(Cycle) if field.name != "number")
_SHOWN = ("size", "entry_price", "realized_pnl", "status", "opened_at", "closed_at")
_SHOWN_AT_THE_END = ("current_price", "unrealized_pnl", "unrealized_pnl_pct")
