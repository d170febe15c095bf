"""DESIGN 6: a cycle of the ledger in the terms of the bot's `public.positions`.

The bot reads rows into fixed structs: no column may be NULL, `current_price` is never 0 (it multiplies
into equity), a closed row keeps its exit price there. The formulas are the bot's own: long (current -
entry) x size, short (entry - current) x size, percent points of entry x size without leverage; they are
taken from the rounded columns, so that whoever computes them again from the row gets what the row says.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.domain.money import ZERO, cut_to_column, exactly, to_column
from shared.domain.position import PositionSide

if TYPE_CHECKING:
    from datetime import datetime

    from shared.domain.position import Cycle

_PERCENT_STEP = Decimal("0.0001")
_LARGEST = Decimal("999999999999.99999999")
_LARGEST_PERCENT = Decimal("999999.9999")


class PositionStatus(StrEnum):
    """`positions.status`."""

    OPEN = "open"
    CLOSED = "closed"
    LIQUIDATED = "liquidated"


@dataclass(frozen=True, slots=True)
class PositionFigures:
    """The columns of `public.positions` that fills and prices decide.

    Two equal values mean that there is nothing to write.

    Args:
        side: long or short.
        size: open base quantity; of a closed row the largest it had (the bot's own close leaves the size,
            too).
        entry_price: weighted average of the entries.
        current_price: latest price; of a closed row the average exit price.
        unrealized_pnl: in quote; 0 when closed.
        unrealized_pnl_pct: in percent points; 0 when closed.
        realized_pnl: in quote, net of fees, partial closes included.
        status: open, closed or liquidated.
        opened_at: time of the first fill.
        closed_at: time of the last one, None while open.

    """

    side: PositionSide
    size: Decimal
    entry_price: Decimal
    current_price: Decimal
    unrealized_pnl: Decimal
    unrealized_pnl_pct: Decimal
    realized_pnl: Decimal
    status: PositionStatus
    opened_at: datetime
    closed_at: datetime | None


def project(cycle: Cycle, mark: Decimal | None = None) -> PositionFigures:
    """Write a cycle as the bot's row.

    Args:
        cycle: open or closed.
        mark: fresh market price; without one the last fill's price stands.

    """
    closed = cycle.closed_at is not None
    entry = _column(cycle.entry_price)
    size = _column(cycle.peak if closed else cycle.size, down=True)
    current = _column(cycle.exit_price if closed else _positive(mark) or cycle.last_price) or entry
    pnl, percent = (ZERO, ZERO) if closed else unrealized(cycle.side, size, entry, current)
    return PositionFigures(
        side=cycle.side,
        size=size,
        entry_price=entry,
        current_price=current,
        unrealized_pnl=pnl,
        unrealized_pnl_pct=percent,
        realized_pnl=_column(cycle.realized),
        status=_status(cycle),
        opened_at=cycle.opened_at,
        closed_at=cycle.closed_at,
    )


def _status(cycle: Cycle) -> PositionStatus:
    if cycle.closed_at is None:
        return PositionStatus.OPEN
    return PositionStatus.LIQUIDATED if cycle.liquidated else PositionStatus.CLOSED


def unrealized(
    side: PositionSide, size: Decimal, entry: Decimal, current: Decimal
) -> tuple[Decimal, Decimal]:
    """Compute unrealized profit in quote and in percent points, as the bot's position monitor does."""
    with exactly():
        move = current - entry if side is PositionSide.LONG else entry - current
        pnl, invested = move * size, entry * size
        percent = pnl / invested * 100 if invested else ZERO
        percent = max(-_LARGEST_PERCENT, min(_LARGEST_PERCENT, percent.quantize(_PERCENT_STEP)))
    return _column(pnl), percent


def _positive(price: Decimal | None) -> Decimal | None:
    return price if price is not None and price > 0 else None


def _column(value: Decimal, *, down: bool = False) -> Decimal:
    """Fit a value into `numeric(20,8)`: a number too large for it must not keep a fill from being stored."""
    rounded = cut_to_column(value) if down else to_column(value)
    return max(-_LARGEST, min(_LARGEST, rounded))
