"""The arithmetic of positions: average entry, realised profit, break-even."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from services.local_exchange.orders import ZERO, Side

if TYPE_CHECKING:
    from decimal import Decimal


class PositionSide(StrEnum):
    """BOTH in one-way mode; LONG and SHORT in hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


@dataclass(slots=True, eq=False)
class Position:
    """What an account holds of one contract on one side.

    Args:
        symbol: the contract.
        side: position side.
        amount: contracts held, negative when short.
        entry: average entry price, exact.
        realized: profit realised so far, before fees.
        isolated_wallet: margin set aside for it when isolated, in quote.
        fees: fees paid for what is held now, in quote; they move the break-even price.
        update_time: epoch milliseconds.

    """

    symbol: str
    side: PositionSide
    amount: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    fees: Decimal = ZERO
    update_time: int = 0

    def fill(self, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Apply a fill and return the profit it realises, before fees.

        Args:
            side: side of the order.
            quantity: contracts filled.
            price: fill price.
            fee: fee of the fill in quote.

        """
        change = quantity if side is Side.BUY else -quantity
        before = self.amount
        realized = ZERO
        if before * change < 0:
            closed = min(abs(before), quantity)
            direction = 1 if before > 0 else -1
            realized = (price - self.entry) * closed * direction
            self.fees -= self.fees * closed / abs(before)
        self.amount = before + change
        if self.amount == 0:
            self.entry = self.fees = ZERO
        elif before * change >= 0:
            self.entry = (abs(before) * self.entry + quantity * price) / abs(self.amount)
            self.fees += fee
        elif before * self.amount < 0:
            self.entry = price
            self.fees = fee * abs(self.amount) / quantity
        self.realized += realized
        return realized

    def unrealized(self, mark: Decimal) -> Decimal:
        """Return the profit at a mark price."""
        return (mark - self.entry) * self.amount

    def notional(self, mark: Decimal) -> Decimal:
        """Return the size in quote, without a sign."""
        return abs(self.amount) * mark

    def break_even(self) -> Decimal:
        """Return the price at which closing would pay what was paid in fees."""
        return self.entry + self.fees / self.amount if self.amount else ZERO
