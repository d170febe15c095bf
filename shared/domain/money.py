"""DESIGN 4: exact arithmetic on money and quantities.

The default decimal context keeps 28 digits; a `numeric(20,8)` price times a `numeric(20,8)` amount has 40.
`exactly()` opens a context wide enough for any product of two columns, so that sums and products are never
rounded behind our back, and a quotient is rounded only where the code says so.
"""

from __future__ import annotations

from decimal import (
    ROUND_DOWN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

ZERO = Decimal(0)
LEDGER_STEP = Decimal("1e-18")
"""The smallest amount of the ledger: any product of two 8-decimal columns fits without rounding."""
COLUMN_STEP = Decimal("1e-8")
"""The smallest amount of the bot's `numeric(20,8)` columns."""

LONGEST_NUMBER = 64
FURTHEST_DIGIT = 40
"""No number of the exchange's has more characters, or a digit further from the point: `1E999999999` is a
number too, and written out it fills the memory."""

_WIDE = Context(prec=120, traps=[InvalidOperation, DivisionByZero, Overflow])


def exactly() -> AbstractContextManager[Context]:
    """Open the context in which sums and products of money are exact."""
    return localcontext(_WIDE)


def exact_product(one: Decimal, other: Decimal) -> Decimal:
    """Multiply as within `exactly`, at a quarter of its time."""
    return _WIDE.multiply(one, other)


def exact_rest(value: Decimal, step: Decimal) -> Decimal:
    """Return what a value is above a multiple of `step`; a step of 0 means there is no such rule."""
    return _WIDE.remainder(value, step) if step > 0 else ZERO


def floor_to_step(value: Decimal, step: Decimal) -> Decimal:
    """Round towards zero to a multiple of `step`, never up; a step of 0 means there is no such rule."""
    return _WIDE.subtract(value, exact_rest(value, step)) if step > 0 else value


def floor_to_places(value: Decimal, places: int) -> Decimal:
    """Cut a value to so many decimal places, never up."""
    return value.quantize(_place(places), ROUND_DOWN, _WIDE)


@cache  # an instrument's precision: a handful
def _place(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)


def to_column(value: Decimal) -> Decimal:
    """Round to the 8 decimals of the bot's columns, halves away from zero as Postgres does it."""
    return value.quantize(COLUMN_STEP, ROUND_HALF_UP, _WIDE)


def cut_to_column(value: Decimal) -> Decimal:
    """Cut a value to the 8 decimals of the bot's columns, never up."""
    return value.quantize(COLUMN_STEP, ROUND_DOWN, _WIDE)


def to_ledger(value: Decimal) -> Decimal:
    """Round a quotient to the 18 decimals of our ledger, halves away from zero."""
    return value.quantize(LEDGER_STEP, ROUND_HALF_UP, _WIDE)


def plain(value: Decimal) -> str:
    """Write a number the way the exchange takes it: no exponent (illegal there), no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("", "-0", "-") else text


def parse_decimal(value: Any) -> Decimal:
    """Read a finite decimal from a payload.

    Args:
        value: text or a whole number; a float is refused, since it has lost its decimals already.

    Raises:
        ValueError: anything else, and text that is not a finite number of a sensible length.

    """
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f"expected a decimal number as text, got {type(value).__name__}")  # noqa: TRY004 - a payload's fault
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"expected a decimal number, got {str(value)[:40]!r}") from None
    if not number.is_finite():
        raise ValueError(f"expected a finite number, got {str(value)[:40]!r}")
    if abs(number.adjusted()) > FURTHEST_DIGIT or (isinstance(value, str) and len(value) > LONGEST_NUMBER):
        raise ValueError(f"expected a number of a sensible length, got {str(value)[:40]!r}")
    return number
