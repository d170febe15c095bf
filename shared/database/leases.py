"""PROTOCOL 3 and 7: leases on entries in flight.

They end a dead worker's ownership; they never prove that nothing was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta
    from uuid import UUID

    from shared.database.connect import Connection


async def renew(connection: Connection, tokens: Collection[UUID], *, lease: timedelta) -> int:
    """Renew the leases of what is still in flight under these tokens; returns how many still were ours."""
    renewed: int = await connection.fetchval(statement("renew_leases"), list(tokens), lease)
    return renewed


async def expire(connection: Connection, accounts: list[UUID] | None = None) -> list[UUID]:
    """Turn entries whose lease ran out into `unknown` (PROTOCOL 7); returns their rows."""
    return [row["order_id"] for row in await connection.fetch(statement("expire_leases"), accounts)]


async def release(connection: Connection, owner: str) -> None:
    """Leave everything this process was resolving to others at once."""
    await connection.execute(statement("release_leases"), owner)
