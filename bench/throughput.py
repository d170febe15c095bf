"""Throughput: many orders inserted at once, until every one is acknowledged and its outcome committed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from bench.figures import Row, rates
from bench.world import wait_for
from services.command_line.stand_in_bot import Bot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contenders.roster import Contender
    from bench.world import World

WITHIN_S = 120.0
LAST_COMMIT = """
SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8
  FROM public.orders WHERE status = 'filled' AND id = ANY(%s)
"""


def sample(world: World, contender: Contender, count: int) -> float:
    """Return orders per second from the commit of the INSERT to the commit of the last outcome."""
    rows = world.new_rows(count)
    with (
        Bot(contender.dsn, world.encryption_key) as bot,
        psycopg.connect(contender.dsn, autocommit=True) as connection,
    ):
        before = contender.settled(connection)
        # COPY, as one statement: 3,000 rows by INSERT exceed the protocol's 65,535 parameters.
        bot.copy_orders(rows)
        committed = time.time()
        wait_for(
            lambda: _settled(contender, connection) >= before + count,
            f"{contender.name} settles {count} orders",
            contender.processes,
            WITHIN_S,
        )
        last = connection.execute(LAST_COMMIT.encode(), [[row["id"] for row in rows]]).fetchone()
        assert last is not None
    world.arrivals()
    return count / (float(last[0]) - committed)


def _settled(contender: Contender, connection: psycopg.Connection[tuple[int]]) -> int:
    time.sleep(0.1)  # counting is work as well: the last commit's own time is what is measured
    return contender.settled(connection)


def measure(
    world: World, contenders: Sequence[Contender], *, repetitions: int, count: int, processes: Sequence[int]
) -> list[Row]:
    """Measure the contenders in turns, with one process each and with two."""
    runs: dict[tuple[int, str], list[float]] = {}
    for repetition in range(repetitions):
        for number in processes:
            turn = repetition % len(contenders)
            for contender in [*contenders[turn:], *contenders[:turn]]:
                contender.start(number)
                sample(world, contender, 200)
                runs.setdefault((number, contender.name), []).append(sample(world, contender, count))
                contender.stop()
    return [
        rates(f"throughput, {number} process{'es' if number > 1 else ''}", name, taken, "orders/s")
        for (number, name), taken in runs.items()
    ]
