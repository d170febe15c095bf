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
    from uuid import UUID

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
    ids = [row["id"] for row in rows]
    with (
        Bot(contender.dsn, world.encryption_key) as bot,
        psycopg.connect(contender.dsn, autocommit=True) as connection,
    ):
        # COPY, as one statement: 3,000 rows by INSERT exceed the protocol's 65,535 parameters.
        bot.copy_orders(rows)
        committed = time.time()
        wait_for(
            lambda: _have_settled(contender, connection, ids),
            f"{contender.name} settles {count} orders",
            contender.processes,
            WITHIN_S,
        )
        last = connection.execute(LAST_COMMIT.encode(), [ids]).fetchone()
        assert last is not None
    world.arrivals()
    return count / (float(last[0]) - committed)


def _have_settled(
    contender: Contender, connection: psycopg.Connection[tuple[bool]], orders: Sequence[UUID]
) -> bool:
    time.sleep(0.1)  # asking is work as well: the last commit's own time is what is measured
    return contender.has_settled(connection, orders)


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
