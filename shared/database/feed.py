"""DESIGN 4: how far our own readers of the feed have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from datetime import timedelta

    import asyncpg

    from shared.database.connect import Connection, Pool


async def begin(pool: Pool, reader: str) -> None:
    """Have a reader begin now, if it never did: what happened before does not concern it."""
    await pool.execute("INSERT INTO bridge.feed_reader (name) VALUES ($1) ON CONFLICT DO NOTHING", reader)


async def is_ours(connection: Connection, reader: str) -> bool:
    """Lock a reader for this transaction; False while another replica reads.

    The next statement must be the one that reads: only its snapshot is known to be no older than the
    reader's.
    """
    query = "SELECT FROM bridge.feed_reader WHERE name = $1 FOR UPDATE SKIP LOCKED"
    return await connection.fetchrow(query, reader) is not None


async def telegram_news(pool: Pool, *, not_older_than: timedelta) -> list[asyncpg.Record]:
    """Return what users are to be told, each once; nothing while another replica asks."""
    async with pool.acquire() as connection, connection.transaction():
        if not await is_ours(connection, "telegram"):
            return []
        return await connection.fetch(statement("telegram_news"), not_older_than)
