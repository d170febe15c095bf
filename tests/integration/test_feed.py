"""DESIGN 4: the feed: nobody misses an event, and nobody is told too often."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from services.fill_listener import feed
from shared.database.connect import open_pool
from tests.listening import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.database.connect import Connection, Pool

PAGE = Path(__file__).parents[2] / "docs" / "feed.md"
WRITE = "INSERT INTO bridge.event (kind) VALUES ($1)"
AFTER = "SELECT kind FROM bridge.events_after($1::text::pg_snapshot)"


@pytest.fixture
async def pool(bridge_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(bridge_database, size=4, application_name="test")
    yield pool
    await pool.close()


@asynccontextmanager
async def heard(dsn: str) -> AsyncIterator[list[str]]:
    """The notifications that come meanwhile."""
    told: list[str] = []
    connection = await asyncpg.connect(dsn)
    await connection.add_listener("bridge_events", lambda *_: told.append("news"))
    try:
        yield told
    finally:
        await connection.close()


async def kinds(connection: Connection, seen: str) -> list[str]:
    return [row["kind"] for row in await connection.fetch(AFTER, seen)]


async def test_what_commits_late_under_an_earlier_id_is_not_missed(pool: Pool) -> None:
    """A reader that remembered the newest id would never see the earlier one."""
    async with pool.acquire() as slow, pool.acquire() as quick:
        start = await quick.fetchval("SELECT pg_current_snapshot()::text")
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(WRITE, "earlier id, later commit")
        await quick.execute(WRITE, "later id, earlier commit")
        assert await kinds(quick, start) == ["later id, earlier commit"]
        seen = await quick.fetchval("SELECT pg_current_snapshot()::text")
        assert await kinds(quick, seen) == []
        await transaction.commit()
        assert await kinds(quick, seen) == ["earlier id, later commit"]


async def test_one_notification_for_many_events(pool: Pool, bridge_database: str) -> None:
    """A hundred events between two looks are one hint, and none is given when nothing happened since."""
    async with heard(bridge_database) as told:
        for _ in range(100):
            await pool.execute(WRITE, "filled")
        assert await feed.notify(pool)
        await until(lambda: told == ["news"], "told")
        await pool.execute("UPDATE bridge.feed_reader SET read_at = '-infinity'")
        assert not await feed.notify(pool)


async def test_not_more_often_than_the_interval_whoever_notifies(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas are one: what one told, the other does not tell again, nor sooner than allowed."""
    monkeypatch.setattr(feed, "INTERVAL", timedelta(hours=1))
    await pool.execute(WRITE, "filled")
    told = await asyncio.gather(*(feed.notify(pool) for _ in range(4)))
    assert sum(told) == 1
    await pool.execute(WRITE, "filled")
    assert not await feed.notify(pool)
    monkeypatch.setattr(feed, "INTERVAL", timedelta(0))
    assert await feed.notify(pool)


async def test_the_example_of_the_page_runs(pool: Pool, bridge_database: str) -> None:
    """The consumer of docs/feed.md, as it stands there, prints each event once while the feed is kept."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", example, bridge_database, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    notifying = asyncio.create_task(feed.keep_notifying(pool))
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"following\n"
            for kind in ("accepted", "filled"):
                await pool.execute(WRITE, kind)
                assert (await process.stdout.readline()).split()[1] == kind.encode()
    finally:
        notifying.cancel()
        process.kill()
        await process.wait()
