"""Growth: the same work with ever more orders that are over, and what many orders leave in the tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg

from bench.contenders.roster import BRIDGE, enter
from bench.figures import Row, latencies, rates
from bench.seed import add_old_orders
from bench.throughput import sample as carry
from bench.wakeup import sample as wake

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from bench.contenders.roster import Contender
    from bench.world import World

GAP = (0.015, 0.03)
# What a statement of the hot path could come to scan: dead versions, and how large an index has become.
LEFT_BEHIND = """
SELECT t.relname AS name, t.n_dead_tup AS dead, t.n_live_tup AS live,
       pg_indexes_size(t.relid) / 1048576.0 AS indexes_mb
  FROM pg_stat_user_tables AS t
 WHERE (t.schemaname, t.relname) IN (('public', 'orders'), ('bridge', 'outbox'), ('bridge', 'attempt'))
 ORDER BY 1
"""


def measure(world: World, *, old: Sequence[int], repetitions: int, samples: int, count: int) -> list[Row]:
    """Measure wake-up and throughput of databases of different age, in turns."""
    aged = {number: _aged(world, number) for number in old}
    wakeups: dict[int, list[list[float]]] = {number: [] for number in old}
    throughputs: dict[int, list[float]] = {number: [] for number in old}
    for repetition in range(repetitions):
        turn = repetition % len(old)
        for number in [*old[turn:], *old[:turn]]:
            bridge = aged[number]
            bridge.start()
            wake(world, bridge, 30, GAP)
            wakeups[number].append(wake(world, bridge, samples, GAP))
            throughputs[number].append(carry(world, bridge, count))
            bridge.stop()
    return [
        row
        for number in old
        for row in (
            latencies(f"wake-up, {number:,} old orders", BRIDGE, wakeups[number]),
            rates(f"throughput, {number:,} old orders", BRIDGE, throughputs[number], "orders/s"),
        )
    ]


def wear(world: World, *, count: int, at_once: int) -> list[Row]:
    """Carry many orders and tell what they leave behind, autovacuum at its work meanwhile."""
    bridge = enter(world, BRIDGE, "wear")
    bridge.start()
    rate = [carry(world, bridge, min(at_once, count - done)) for done in range(0, count, at_once)]
    bridge.stop()
    with psycopg.connect(bridge.dsn, autocommit=True) as connection:
        left = connection.execute(LEFT_BEHIND.encode()).fetchall()
    rows = [rates(f"throughput, {count:,} orders in portions of {at_once:,}", BRIDGE, rate, "orders/s")]
    for name, dead, live, indexes_mb in left:
        after = f"{name} after {count:,} orders"
        rows += [
            Row(f"dead rows of {after}", BRIDGE, p50=float(dead), unit="rows", note=f"{live:,} live"),
            Row(f"indexes of {after}", BRIDGE, p50=float(indexes_mb), unit="MB"),
        ]
    return rows


def _aged(world: World, old: int) -> Contender:
    bridge = enter(world, BRIDGE, f"old_{old}")
    accounts = [account for _, account in world.traders]
    halves = (accounts[::2], old - old // 2), (accounts[1::2], old // 2)
    with ThreadPoolExecutor(len(halves)) as seeders:
        for seeded in [seeders.submit(_seed, bridge.dsn, *half) for half in halves]:
            seeded.result()
    with psycopg.connect(bridge.dsn, autocommit=True) as connection:
        # Autovacuum went over rows as old as these pretend to be long ago; it would go now, in the midst of
        # what is measured, and each first look at a row would write its hint bits.
        connection.execute("VACUUM (ANALYZE)")
    return bridge


def _seed(dsn: str, accounts: Sequence[UUID], old: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")  # only here: nothing is measured yet
        connection.execute("SET work_mem = '64MB'")
        add_old_orders(connection, accounts, old)
