"""What the bot pays: its own INSERT commits a second, with our trigger and its notification and without."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg

from bench.contenders.roster import BRIDGE, enter
from bench.figures import Row, rates
from services.command_line.stand_in_bot import Bot

if TYPE_CHECKING:
    from bench.world import World

# `session_replication_role` would switch the bot's own triggers off as well.
SWITCH = "ALTER TABLE public.orders {} TRIGGER bridge_take_in"


def measure(world: World, *, connections: tuple[int, ...], repetitions: int, seconds: float) -> list[Row]:
    """Insert row by row, each its own transaction, from so many connections; nobody carries the orders."""
    dsn = enter(world, BRIDGE, "inserts").dsn
    runs: dict[tuple[int, str], list[float]] = {}
    for _ in range(repetitions):
        for count in connections:
            for contender, switch in (("bridge", "ENABLE"), ("without our trigger", "DISABLE")):
                with psycopg.connect(dsn, autocommit=True) as admin:
                    admin.execute(SWITCH.format(switch).encode())
                runs.setdefault((count, contender), []).append(_rate(world, dsn, count, seconds))
    return [
        rates(f"INSERTs per second, {count} connection{'s' if count > 1 else ''}", name, taken, "commits/s")
        for (count, name), taken in runs.items()
    ]


def _rate(world: World, dsn: str, connections: int, seconds: float) -> float:
    begin = threading.Barrier(connections)

    def insert(_: int) -> int:
        with Bot(dsn, world.encryption_key) as bot:
            begin.wait()
            ends = time.monotonic() + seconds
            done = 0
            while time.monotonic() < ends:
                bot.orders(world.new_rows(1))
                done += 1
            return done

    with ThreadPoolExecutor(connections) as inserters:
        return sum(inserters.map(insert, range(connections))) / seconds
