"""What `bridge top` shows, read in one go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.database import story
from shared.database.operator import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.operator import Connection, Row

WINDOW = timedelta(minutes=5)
MOST = 50


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment.

    Attributes:
        flow: how many entries are in each state, and the latencies of the last minutes.
        stops: halts, switches and pauses in force.
        limits: of the exchange, how much of each is leased.
        streams: which accounts are heard.
        orders: the newest.
        positions: those that are open.

    """

    flow: Row
    stops: Sequence[Row]
    limits: Sequence[Row]
    streams: Sequence[Row]
    orders: Sequence[Row]
    positions: Sequence[Row]


def look(connection: Connection) -> Picture:
    """Read everything."""
    return Picture(
        flow=run(connection, "top_flow", WINDOW)[0],
        stops=run(connection, "top_stops"),
        limits=run(connection, "top_limits", MOST),
        streams=run(connection, "top_streams", MOST),
        orders=run(connection, "top_orders", MOST),
        positions=story.list_positions(connection, limit=MOST),
    )
