"""Where a cell's order goes: each with an endpoint of its own and a row of the bot's that leads there."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any


class Destination(StrEnum):
    """The service of the exchange that takes the order."""

    SPOT = "spot"
    FUTURES = "futures"  # plain orders
    ALGO = "algo"  # conditional ones, until they trigger

    @property
    def conditional(self) -> bool:
        """Whether the order waits for a trigger, so that its absence takes double margins (PROTOCOL 7)."""
        return self is Destination.ALGO

    @property
    def path(self) -> str:
        """The path an order is placed at."""
        return _PATHS[self]

    def columns(self, *, rests: bool) -> dict[str, Any]:
        """Return the columns that differ from the bot's usual ones; the amount is the cell's own.

        Args:
            rests: a limit order far from the market instead of a market order; a conditional one always does.

        """
        market = {} if self is Destination.SPOT else {"market_type": "futures"}
        if self is Destination.ALGO:
            return {"symbol": "BNB/USDT", "type": "stop_market", "stop_price": Decimal(640), **market}
        if rests:
            return {"symbol": "BNB/USDT", "type": "limit", "price": Decimal(560), **market}
        return {"symbol": "BTC/USDT", **market}


_PATHS = {
    Destination.SPOT: "/api/v3/order",
    Destination.FUTURES: "/fapi/v1/order",
    Destination.ALGO: "/fapi/v1/algoOrder",
}
PLACING = frozenset(_PATHS.values())
