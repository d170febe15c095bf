"""DESIGN 5: caps in the claim: what a row asks for, what its user has in use, and what the claim said.

The claim reads what is in use (open positions, and what may still come of orders that are sent, unknown or
resting) and counts itself in `bridge.cap`, in one statement: of two claims that read the same sums one is
committed, the other drops out and looks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal
    from uuid import UUID

    import asyncpg


@dataclass(frozen=True, slots=True)
class Ask:
    """What an attempt reserves, and the caps it must stay within.

    Attributes:
        quantity: in base; of an order by worth the estimate by the book.
        worth: in quote; 0 = it only reduces, and no cap is asked.
        usd: the same in USD.
        is_testnet: play money; it is added up apart.
        position: cap of the position it adds to, in USD.
        exposure: cap of all positions of the user, in USD.
        capital: of the row's strategy, in USD; None = it has none.

    """

    quantity: Decimal
    worth: Decimal
    usd: Decimal
    is_testnet: bool
    position: Decimal
    exposure: Decimal
    capital: Decimal | None


class Rate(NamedTuple):
    """What one unit of a quote asset is worth in USD, in one environment."""

    asset: str
    is_testnet: bool
    usd: Decimal


@dataclass(frozen=True, slots=True)
class InUse:
    """What a user had in use, in USD, when a row of his dropped out of a claim.

    Attributes:
        position: of the position the row would add to.
        exposure: of all positions.
        strategy: of the row's strategy.
        unvalued: a quote asset something of it is counted in and no rate was given for; then the sums say
            too little.

    """

    position: Decimal
    exposure: Decimal
    strategy: Decimal
    unvalued: str | None


def read_dropped(row: asyncpg.Record) -> Iterator[tuple[UUID, InUse]]:
    """Read which rows dropped out of a claim for their caps, and what was in use."""
    for place, order_id in enumerate(row["dropped"]):
        yield (
            order_id,
            InUse(
                row["position"][place],
                row["exposure"][place],
                row["strategy"][place],
                row["unvalued"][place],
            ),
        )
