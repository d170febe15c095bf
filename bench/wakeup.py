"""Wake-up: from the moment the bot knows that its INSERT committed to the POST at the exchange."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import psycopg

from bench.figures import Row, latencies
from bench.world import BenchError, client_ids, wait_for
from services.command_line.stand_in_bot import Bot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contenders.roster import Contender
    from bench.world import World

MEASURE = "wake-up"
SETTLING_S = 10.0


def sample(world: World, contender: Contender, count: int, gap_s: tuple[float, float]) -> list[float]:
    """Insert orders one by one, with pauses between, and return each one's latency in ms.

    Args:
        world: where it runs.
        contender: started.
        count: how many orders.
        gap_s: shortest and longest pause between two orders, in seconds.

    """
    world.arrivals()
    committed: dict[tuple[str, str], int] = {}
    pauses = random.Random(7)  # noqa: S311 - the same pauses for everybody
    rows = world.new_rows(count)
    with Bot(contender.dsn, world.encryption_key) as bot:
        for row in rows:
            time.sleep(pauses.uniform(*gap_s))
            bot.orders([row])
            committed[client_ids(row["id"])] = time.monotonic_ns()
    with psycopg.connect(contender.dsn, autocommit=True) as connection:
        wait_for(
            lambda: contender.has_settled(connection, [row["id"] for row in rows]),
            f"{contender.name} settles its orders",
            contender.processes,
            SETTLING_S,
        )
    arrived = world.arrivals()
    taken = []
    for ids, at in committed.items():
        arrival = next((arrived[client] for client in ids if client in arrived), None)
        if arrival is None:
            raise BenchError(
                f"{contender.name} did not send order {ids[1]}:\n{contender.processes[0].tail()}"
            )
        taken.append((arrival - at) / 1e6)
    return taken


def measure(
    world: World, contenders: Sequence[Contender], *, repetitions: int, count: int, polling: Contender | None
) -> list[Row]:
    """Measure the contenders in turns, so that a slow minute of the machine meets all of them."""
    runs: dict[str, list[list[float]]] = {contender.name: [] for contender in contenders}
    for repetition in range(repetitions):
        # Another one begins each time: whoever comes first finds the coldest caches.
        turn = repetition % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            contender.start()
            sample(world, contender, 30, (0.01, 0.02))
            runs[contender.name].append(sample(world, contender, count, (0.015, 0.03)))
            contender.stop()
    rows = [latencies(MEASURE, name, taken) for name, taken in runs.items()]
    if polling is not None:
        polling.start()
        taken = [sample(world, polling, max(60, count // 5), (0.1, 0.4))]
        polling.stop()
        rows.append(latencies(MEASURE, polling.name, taken, note="the original plan"))
    return rows
