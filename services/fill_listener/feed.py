"""DESIGN 4: the feed. Whoever listens on `bridge_events` is told of news, at most ten times a second.

Events carry no NOTIFY of their own: each would serialise commits across the cluster. The notification is a
hint without content; docs/feed.md shows how to read what is new, exactly once.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import structlog

from shared.database.connect import DATABASE_AWAY
from shared.database.statements import statement

if TYPE_CHECKING:
    from shared.database.connect import Pool

log = structlog.get_logger(__name__)

INTERVAL = timedelta(milliseconds=100)
RETRY_S = 1.0


async def keep_notifying(pool: Pool) -> None:
    """Notify until cancelled; a database that is away is waited for."""
    while True:
        await asyncio.sleep(INTERVAL.total_seconds())
        try:
            await notify(pool)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            log.warning("feed.not_notified", error=str(error))
            await asyncio.sleep(RETRY_S)


async def notify(pool: Pool) -> bool:
    """Notify if there is news and nobody did within the interval; says whether it was done."""
    async with pool.acquire() as connection:
        return await connection.fetchval(statement("notify_events"), INTERVAL) is not None
