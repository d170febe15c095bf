"""Recovery: how long the next order waits after something went away, and whether a wake-up can be lost."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench.figures import Row, latencies
from bench.wakeup import sample
from bench.world import BenchError, client_ids, wait_for
from services.command_line.stand_in_bot import Bot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bench.contenders.roster import Contender
    from bench.world import World

AWAY_S = 3.0
WAITED_MS = 500.0
"""Longer than any wake-up, shorter than a tenth of the sweep's interval: what takes longer was not woken."""
GAP = (0.015, 0.03)
DEAD = 200_000
# The LISTEN connection carries the process's name, the pool's only the service's.
LISTENERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'order_executor %'
"""
KILL_LISTENER = LISTENERS.replace("count(*)", "count(pg_terminate_backend(pid))")
DIE = Path(__file__).with_name("dead_entries.sql").read_text(encoding="utf-8").split(";\n")


class Recovery:
    """Measures one running bridge against the lean exchange."""

    def __init__(self, world: World, bridge: Contender) -> None:
        self._world = world
        self._bridge = bridge

    def measure(self, *, kills: int, outages: int, pairs: int, samples: int, dead: int = DEAD) -> list[Row]:
        """Measure everything; the bridge is started and stopped here."""
        self._bridge.start()
        sample(self._world, self._bridge, 30, GAP)
        rows = [
            latencies("listener backend killed", "bridge", [self._listener_killed(kills)]),
            self._pairs(pairs),
            self._out_of_order(max(20, pairs // 15)),
            latencies("Postgres away for 3 s", "bridge", [self._postgres_away(outages)]),
        ]
        self._bridge.stop()
        return rows + self._pinned(samples, dead)

    def _listener_killed(self, times: int) -> list[float]:
        taken = []
        with (
            Bot(self._bridge.dsn, self._world.encryption_key) as bot,
            psycopg.connect(self._bridge.dsn, autocommit=True) as admin,
        ):
            for _ in range(times):
                wait_for(lambda: _one(admin, LISTENERS) > 0, "LISTEN is up", self._bridge.processes)
                self._world.arrivals()
                killed = _one(admin, KILL_LISTENER)
                if killed != 1:
                    raise BenchError(f"{killed} listening backends instead of one")
                taken += self._arrivals([self._insert(bot)])
        return taken

    def _postgres_away(self, times: int) -> list[float]:
        """Measure from the first connection that is accepted again, with an order inserted over it."""
        taken = []
        for _ in range(times):
            self._world.arrivals()
            self._world.server.stop()
            time.sleep(AWAY_S)
            self._world.server.start()
            back = time.monotonic_ns()
            with Bot(self._bridge.dsn, self._world.encryption_key) as bot:
                (row, _) = self._insert(bot)
            taken += self._arrivals([(row, back)])
            time.sleep(1.0)  # let pools and sweeps come to rest before the next outage
        return taken

    def _pairs(self, count: int) -> Row:
        """Insert pairs from two connections, 0 to 10 ms apart: the second meets every moment of a look."""
        gaps = random.Random(11)  # noqa: S311 - the same gaps every time
        inserted = []
        with (
            Bot(self._bridge.dsn, self._world.encryption_key) as first,
            Bot(self._bridge.dsn, self._world.encryption_key) as second,
        ):
            for _ in range(count):
                inserted.append(self._insert(first))
                time.sleep(gaps.uniform(0, 0.01))
                inserted.append(self._insert(second))
                time.sleep(gaps.uniform(0, 0.01))
        return self._waited(f"waited for the sweep, {count:,} pairs", inserted)

    def _out_of_order(self, count: int) -> Row:
        """Let a transaction that inserted earlier commit later than one that inserted after it."""
        gaps = random.Random(13)  # noqa: S311
        inserted = []
        with (
            Bot(self._bridge.dsn, self._world.encryption_key) as slow,
            Bot(self._bridge.dsn, self._world.encryption_key) as fast,
        ):
            for _ in range(count):
                slow.connection.execute("BEGIN")
                (early, _) = self._insert(slow)
                inserted.append(self._insert(fast))
                time.sleep(gaps.uniform(0, 0.02))
                slow.connection.execute("COMMIT")
                inserted.append((early, time.monotonic_ns()))
        return self._waited("waited for the sweep, commits out of order", inserted)

    def _pinned(self, samples: int, dead: int) -> list[Row]:
        """Compare wake-ups before and after many rows died under a snapshot that still sees them."""
        before = self._wakeups(samples)
        with (
            psycopg.connect(self._bridge.dsn) as pin,
            psycopg.connect(self._bridge.dsn, autocommit=True) as writer,
        ):
            pin.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            pin.execute("SELECT count(*) FROM bridge.outbox")
            for statement in DIE:
                writer.execute(statement.encode(), {"dead": dead} if "%(dead)s" in statement else None)
            after = self._wakeups(samples)
            pin.rollback()
        return [
            latencies("wake-up before the dead rows", "bridge", before),
            latencies(f"wake-up, {dead:,} dead rows under a pinned snapshot", "bridge", after),
        ]

    def _wakeups(self, samples: int) -> list[list[float]]:
        self._bridge.start()
        sample(self._world, self._bridge, 30, GAP)
        # Longer than a sweep, so that the mark below which nobody looks has moved on.
        time.sleep(6)
        taken = [sample(self._world, self._bridge, samples, GAP) for _ in range(3)]
        self._bridge.stop()
        return taken

    def _insert(self, bot: Bot) -> tuple[Any, int]:
        (row,) = self._world.new_rows(1)
        bot.orders([row])
        return row["id"], time.monotonic_ns()

    def _arrivals(self, inserted: Sequence[tuple[Any, int]]) -> list[float]:
        """Wait until all have arrived; returns each one's latency in ms."""
        arrived: dict[str, int] = {}
        names = [client_ids(row)[0] for row, _ in inserted]

        def complete() -> bool:
            arrived.update(self._world.arrivals())
            return all(name in arrived for name in names)

        wait_for(complete, "the orders arrive", self._bridge.processes)
        return [(arrived[name] - at) / 1e6 for name, (_, at) in zip(names, inserted, strict=True)]

    def _waited(self, measure: str, inserted: Sequence[tuple[Any, int]]) -> Row:
        taken = sorted(self._arrivals(inserted))
        waited = sum(ms > WAITED_MS for ms in taken)
        row = latencies(measure, "bridge", [taken], note=f"slowest {taken[-1]:.1f} ms")
        return Row(
            measure, "bridge", row.p50, row.p95, row.p99, rate=waited, unit="ms; rate = orders", note=row.note
        )


def _one(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])
