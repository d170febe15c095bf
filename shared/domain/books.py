"""The books of a strategy: what fills do to its cash, in the terms of the bot's `strategy_transactions`.

A buy takes its cost out of the cash, a sale brings its proceeds, a fee is a line of its own; a fee in the
base asset made the position smaller instead and costs no cash. The cash may not become negative, so what is
spent beyond it is owed, and paid back out of what comes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.domain.money import COLUMN_STEP, ZERO, exactly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

OPEN, CLOSE, FEE = "position_open", "position_close", "fee"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the books; before plus amount is after, to the last decimal."""

    kind: str
    amount: Decimal
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class Booked:
    """The lines some fills made, and what the strategy has and owes after them."""

    entries: tuple[Entry, ...]
    cash: Decimal
    owed: Decimal


def flows(fills: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """Add up what fills of one order do to the cash, by kind of line; all their fees have a value."""
    sums = {OPEN: ZERO, CLOSE: ZERO, FEE: ZERO}
    with exactly():
        for fill in fills:
            if fill["side"] == "buy":
                sums[OPEN] -= fill["quote"]
            else:
                sums[CLOSE] += fill["quote"]
            if fill["commission_asset"] != fill["base_asset"]:
                sums[FEE] -= fill["commission_in_quote"] or ZERO
        return {kind: amount.quantize(COLUMN_STEP) for kind, amount in sums.items()}


def book(cash: Decimal, owed: Decimal, amounts: Mapping[str, Decimal]) -> Booked:
    """Write amounts into the books, in their order."""
    entries = []
    for kind, amount in amounts.items():
        paid_back = min(owed, max(amount, ZERO))
        owed -= paid_back
        after = cash + amount - paid_back
        if after < 0:
            owed -= after
            after = ZERO
        if after != cash:
            entries.append(Entry(kind, after - cash, cash, after))
        cash = after
    return Booked(tuple(entries), cash, owed)
