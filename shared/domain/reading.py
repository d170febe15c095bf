"""DESIGN 5: how the amount of a reducing row is read, by comparing it with the open position.

"Sell 0.005 of BTC" and "sell 350 USDT of BTC" are the same number column. A reading *fits* when it is not
more than the position (with a tolerance on top) and enough for the exchange to take. One fitting reading
is taken; of two, the one that names the whole position, and of two such the smaller; otherwise the row is
rejected, because nothing tells the readings apart. A unit the policy names explicitly leaves only that
reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.domain.money import exactly

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.domain.order import Side

WHOLE_BASE_TOLERANCE = Decimal("0.01")
"""An amount within 1 % of the size names the whole position: the bot may count before the fee."""
WHOLE_QUOTE_TOLERANCE = Decimal("0.05")
"""An amount within 5 % of the worth names the whole position: the price moved since the bot decided."""


class Unit(StrEnum):
    """The currency `orders.amount` is counted in."""

    QUOTE = "quote"
    BASE = "base"


@dataclass(frozen=True, slots=True)
class Held:
    """What a reducing order may reduce.

    Args:
        size: open position in base, net of fees; of a row with a parent, what the parent filled (PROTOCOL
            11).
        free: what the exchange says is free of the base asset (futures: what the position holds there).
        side: the side that opened the position: BUY for a long one, SELL for a short one.

    """

    size: Decimal
    free: Decimal
    side: Side


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the amount of a reducing row.

    Args:
        unit: the unit it is read in.
        asked: what it means in base.
        quantity: what could be sent: capped at position and free balance, rounded down to the steps.
        within: whether it asks for no more than the position holds.
        whole: whether it names the whole position.
        enough: whether the exchange takes as little as `quantity`.

    """

    unit: Unit
    asked: Decimal
    quantity: Decimal
    within: bool
    whole: bool
    enough: bool

    @property
    def fits(self) -> bool:
        """Whether the row may have meant this."""
        return self.within and self.enough


@dataclass(frozen=True, slots=True)
class Unclear:
    """Both readings fit and neither names the whole position."""

    base: Reading
    quote: Reading


@dataclass(frozen=True, slots=True)
class Unfit:
    """No reading fits; `largest` is the largest that is within the position, None when all ask for more."""

    largest: Reading | None


def read(
    unit: Unit,
    asked: Decimal,
    held: Held,
    floor: Callable[[Decimal], Decimal],
    enough: Callable[[Decimal], bool],
) -> Reading:
    """Judge one reading.

    Args:
        unit: how the amount is read.
        asked: the amount in base under that reading.
        held: position and free balance.
        floor: rounds a quantity down to the symbol's steps.
        enough: whether the exchange takes as little as a quantity.

    """
    tolerance = WHOLE_BASE_TOLERANCE if unit is Unit.BASE else WHOLE_QUOTE_TOLERANCE
    quantity = floor(min(asked, held.size, held.free))
    with exactly():
        return Reading(
            unit=unit,
            asked=asked,
            quantity=quantity,
            within=asked <= held.size * (1 + tolerance),
            whole=abs(asked - held.size) <= held.size * tolerance,
            enough=enough(quantity),
        )


def choose(readings: list[Reading]) -> Reading | Unclear | Unfit:
    """Take the reading the row must have meant, or say why none can be taken."""
    fitting = [reading for reading in readings if reading.fits]
    if not fitting:
        within = [reading for reading in readings if reading.within]
        return Unfit(max(within, key=_quantity, default=None))
    if len(fitting) == 1:
        return fitting[0]
    whole = [reading for reading in fitting if reading.whole]
    if whole:
        return min(whole, key=_quantity)
    by_unit = {reading.unit: reading for reading in fitting}
    return Unclear(by_unit[Unit.BASE], by_unit[Unit.QUOTE])


def _quantity(reading: Reading) -> Decimal:
    return reading.quantity
