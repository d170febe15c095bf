"""DESIGN 4: the LISTEN connection comes back by itself, catches up, and knows when it does not deliver.

How long each recovery took is kept in the report (`-rA`, junit properties); what is asserted is its order of
magnitude against the connection's own probe, and that nothing was lost.
"""

from __future__ import annotations

import asyncio
import struct
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psycopg
import pytest

from shared.database import embedded, listen
from shared.database.listen import Listener
from tests.database_server import memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from shared.database.embedded import EmbeddedServer

CHANNEL = "bridge_orders"
NAME = "listener under test"
PATIENCE_S = 30.0


@dataclass
class Heard:
    """What a listener told, with the moment of each."""

    connected: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)
    notified: list[float] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, moments: list[float]) -> None:
        moments.append(time.monotonic())
        self.told.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be told that makes this true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.told.clear()
                await self.told.wait()


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[tuple[Heard, asyncio.Task[None]]]:
    """Run a listener for the length of a block; ends with an error if it ended by itself."""
    heard = Heard()
    listener = Listener(
        dsn,
        [CHANNEL],
        on_notification=lambda _channel, _payload: heard.note(heard.notified),
        on_connected=lambda: heard.note(heard.connected),
        on_probed=lambda _seconds: None,
        on_down=lambda: heard.note(heard.down),
        application_name=NAME,
    )
    task = asyncio.create_task(listener.run())
    try:
        yield heard, task
        assert not task.done(), "the listener never ends by itself"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def notify(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])


def kill_listeners(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        killed = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            [NAME],
        ).fetchone()
    assert killed is not None
    return int(killed[0])


async def test_a_killed_listener_is_back_before_a_probe_would_have_noticed(
    database: str, record_property: Callable[[str, object], None]
) -> None:
    """Ten times: the backend is killed, and the catch-up comes at once, not with the next probe or sweep."""
    took = []
    async with listening(database) as (heard, _):
        await heard.until(lambda: len(heard.connected) == 1)
        for times in range(1, 11):
            killed_at = time.monotonic()
            assert await asyncio.to_thread(kill_listeners, database) == 1
            await heard.until(lambda times=times: len(heard.connected) == times + 1)  # type: ignore[misc]
            assert len(heard.down) == times
            took.append(heard.connected[-1] - killed_at)
    took.sort()
    record_property("listener_back_ms", [round(1000 * s, 1) for s in took])
    print(f"listener back after {1000 * took[5]:.1f} ms in the median, {1000 * took[-1]:.1f} ms at most")
    assert took[5] < listen.PROBE_EVERY_S / 20


async def test_a_notification_sent_while_nobody_listened_is_caught_up(database: str) -> None:
    """What was notified in the gap is lost for ever; the catch-up after it stands for it, exactly once."""
    async with listening(database) as (heard, _):
        await heard.until(lambda: len(heard.connected) == 1)
        kill_listeners(database)  # blocks the event loop: nobody reconnects before the next line
        notify(database)
        await heard.until(lambda: len(heard.connected) == 2)
        assert heard.notified == []
        notify(database)
        await heard.until(lambda: len(heard.notified) == 1)
        assert len(heard.connected) == 2


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that may be stopped."""
    server = embedded.create(fsync=False, parent=memory())
    yield server
    server.remove()


async def test_three_seconds_without_postgres(
    own_server: EmbeddedServer, record_property: Callable[[str, object], None]
) -> None:
    """Postgres is away for 3 s: the listener says so once, goes on trying, and is back soon after it."""
    async with listening(own_server.dsn()) as (heard, _):
        await heard.until(lambda: len(heard.connected) == 1)
        await asyncio.to_thread(own_server.stop)
        await heard.until(lambda: len(heard.down) == 1)
        await asyncio.sleep(3)  # the outage itself
        assert len(heard.connected) == 1
        await asyncio.to_thread(own_server.start)
        started_at = time.monotonic()
        await heard.until(lambda: len(heard.connected) == 2)
        record_property("back_after_outage_ms", round(1000 * (heard.connected[-1] - started_at), 1))
        print(f"back {1000 * (heard.connected[-1] - started_at):.1f} ms after Postgres was")
        notify(own_server.dsn())
        await heard.until(lambda: len(heard.notified) == 1)
        assert len(heard.down) == 1
    assert heard.connected[-1] - started_at < listen.PROBE_EVERY_S / 2


async def test_a_database_that_was_never_there(own_server: EmbeddedServer) -> None:
    """A listener started before its database waits for it."""
    own_server.stop()
    async with listening(own_server.dsn()) as (heard, _):
        await asyncio.to_thread(own_server.start)
        await heard.until(lambda: len(heard.connected) == 1)
        assert heard.down == []


class Between:
    """A TCP proxy before Postgres that can hold back all notifications, or everything.

    Args:
        dsn: of the server behind it; TLS is switched off.

    Attributes:
        pooling: notifications are not passed on, as behind a pooler in transaction mode.
        deaf: nothing is passed on any more, and nobody is told.

    """

    def __init__(self, dsn: str) -> None:
        self._behind = urlsplit(dsn)
        self._tasks: set[asyncio.Task[None]] = set()
        self.pooling = False
        self.deaf = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        address = self._behind
        try:
            yield urlunsplit(
                (
                    address.scheme,
                    f"{address.username}:{address.password}@127.0.0.1:{port}",
                    address.path,
                    "sslmode=disable",
                    "",
                )
            )
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._behind.hostname is not None
        behind = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        try:
            await asyncio.gather(self._forward(reader, behind[1]), self._answer(behind[0], writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # one of the two went away; the other is closed below
        finally:
            for open_writer in (writer, behind[1]):
                open_writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if not self.deaf:
                writer.write(data)
        raise ConnectionResetError

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the server's messages on one by one (a letter, a length, a body)."""
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
            if not (self.deaf or (self.pooling and head[:1] == b"A")):
                writer.write(head + body)


async def test_behind_a_transaction_pooler_it_says_that_it_does_not_listen(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LISTEN succeeds and nothing is ever delivered: never up, told loudly; a direct way is found at once."""
    monkeypatch.setattr(listen, "PROBE_ANSWER_WITHIN_S", 0.2)
    said = asyncio.Queue[str]()
    monkeypatch.setattr(listen.log, "error", lambda event, **_more: said.put_nowait(event))
    between = Between(database)
    between.pooling = True
    async with between.serving() as pooled, listening(pooled) as (heard, _):
        assert await said.get() == "listen.silent"
        assert await said.get() == "listen.silent", "it goes on trying"
        assert heard.connected == []
        between.pooling = False
        await heard.until(lambda: len(heard.connected) == 1)


async def test_a_connection_that_died_silently_is_found_by_the_probe(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reset, no end of file, just silence: the probe goes unanswered and a new connection is made."""
    monkeypatch.setattr(listen, "PROBE_EVERY_S", 0.1)
    monkeypatch.setattr(listen, "PROBE_ANSWER_WITHIN_S", 0.3)
    between = Between(database)
    async with between.serving() as through, listening(through) as (heard, _):
        await heard.until(lambda: len(heard.connected) == 1)
        between.deaf = True
        await heard.until(lambda: len(heard.down) == 1)
        between.deaf = False
        await heard.until(lambda: len(heard.connected) == 2)
        notify(database)
        await heard.until(lambda: len(heard.notified) == 1)


async def test_a_refused_login_is_tried_again(database: str) -> None:
    """A wrong password does not end the process either; the operator may correct the role meanwhile."""
    wrong = database.replace(f":{urlsplit(database).password}@", ":wrong@")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)
    async with listening(wrong) as (heard, task):
        done, _ = await asyncio.wait([task], timeout=2 * listen.LONGEST_RETRY_S)
        assert not done
        assert heard.connected == []
