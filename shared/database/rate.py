"""PROTOCOL 2: what the exchange allows, leased in slices, so that no order needs a round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from shared.database.connect import Connection


class RateKey(NamedTuple):
    """Which budget: a limit of an address (`scope` address, `key` base URL) or of an API key (its hash)."""

    scope: str
    key: str
    kind: str
    interval_ms: int


class Request(NamedTuple):
    """A slice asked for.

    Attributes:
        of: which budget.
        window: of the exchange's clock.
        ceiling: up to how much of the window may be leased.
        wanted: how much.
        seen: what the exchange has shown as used in this window, by anybody.

    """

    of: RateKey
    window: int
    ceiling: int
    wanted: int
    seen: int


async def lease(connection: Connection, requests: Sequence[Request]) -> dict[RateKey, tuple[int, int]]:
    """Lease slices.

    Args:
        connection: any.
        requests: at most one per budget.

    Returns:
        By budget the window the slice is of, and how much was given: 0 when the window is used up.

    """
    rows = await connection.fetch(
        statement("lease_rate"),
        [r.of.scope for r in requests],
        [r.of.key for r in requests],
        [r.of.kind for r in requests],
        [r.of.interval_ms for r in requests],
        [r.window for r in requests],
        [r.ceiling for r in requests],
        [r.wanted for r in requests],
        [r.seen for r in requests],
    )
    return {RateKey(*row[:4]): (row["window_no"], row["given"]) for row in rows}


async def take_seat(connection: Connection, owner: str, *, lasting: timedelta, seats: int) -> int | None:
    """Hold a standing allowance for a while, the same as before if there was one.

    Args:
        connection: any.
        owner: of the seat.
        lasting: for how long.
        seats: how many there are.

    Returns:
        The seat from 1 to `seats`, None when all are held by others.

    """
    seat: int | None = await connection.fetchval(statement("take_seat"), owner, lasting, seats)
    return seat
