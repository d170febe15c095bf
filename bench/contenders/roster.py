"""The contenders by name: how each gets its database, its processes, and how it is known to be done."""

from __future__ import annotations

import asyncio
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import psycopg

from bench.world import trigger, wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from bench.world import Running, World

# By their ids: who measures would otherwise read the whole table ten times a second, and with a million old
# orders in it that took more of the machine than the orders that are measured.
UNSETTLED = "SELECT EXISTS (SELECT FROM public.orders WHERE id = ANY(%s) AND status <> 'filled')"


@dataclass(slots=True)
class Contender:
    """One way of carrying orders.

    Args:
        name: as the tables show it.
        world: where it runs.
        dsn: its database.

    """

    name: str
    world: World
    dsn: str
    processes: list[Running] = field(default_factory=list)

    def start(self, count: int = 1) -> None:
        """Start so many processes and wait until the next order would be taken."""
        for _ in range(count):
            ready = self.world.folder / f"{self.name}-{len(list(self.world.folder.glob('*.ready')))}.ready"
            process = self._start_one(ready)
            self.processes.append(process)
            wait_for(
                lambda process=process, ready=ready: self._is_ready(process, ready), self.name, [process]
            )

    def stop(self) -> None:
        """End its processes."""
        for process in self.processes:
            process.stop()
        self.processes.clear()

    def has_settled(self, connection: psycopg.Connection[tuple[bool]], orders: Sequence[UUID]) -> bool:
        """Say whether these orders are over and known to be."""
        row = connection.execute(UNSETTLED, [orders]).fetchone()
        assert row is not None
        return not row[0]

    def _start_one(self, ready: Path) -> Running:
        module, *options = MODULES[self.name]
        return self.world.start(
            self.name,
            module,
            f"--dsn={self.dsn}",
            f"--url={self.world.url}",
            f"--keys={self.world.folder / 'keys.json'}",
            f"--ready={ready}",
            *options,
        )

    def _is_ready(self, _process: Running, ready: Path) -> bool:
        return ready.exists()


class Bridge(Contender):
    """The real executor, as an operator starts it."""

    def _start_one(self, ready: Path) -> Running:
        environment = self.world.bridge_environment(self.dsn) | {"BRIDGE_METRICS_PORT_FILE": str(ready)}
        return self.world.start(self.name, "services.order_executor", environment=environment)

    def _is_ready(self, _process: Running, ready: Path) -> bool:
        if not ready.exists():
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{int(ready.read_text())}/readyz", timeout=2):
                return True
        except OSError:
            return False


MODULES = {
    "bare script": ("bench.contenders.bare",),
    "polling every 5 s": ("bench.contenders.bare", "--polls"),
    "floor": ("bench.contenders.floor",),
    "pgqueuer": ("bench.contenders.pgqueuer_worker",),
    "procrastinate": ("bench.contenders.procrastinate_worker",),
}
BRIDGE = "bridge"


def enter(world: World, name: str, database: str | None = None) -> Contender:
    """Make a contender's database and say how it learns of rows."""
    database = database or name.split()[0]
    bridged = name in (BRIDGE, "floor")
    dsn = world.database(f"bench_{database}", bridged=bridged)
    with psycopg.connect(dsn, autocommit=True) as connection:
        if name in ("bare script", "polling every 5 s"):
            connection.execute(trigger("notify"))
        elif name == "pgqueuer":
            asyncio.run(_install_pgqueuer(dsn))
            connection.execute(trigger("pgqueuer"))
        elif name == "procrastinate":
            from procrastinate import App, SyncPsycopgConnector  # in the benchmark's environment only

            with App(connector=SyncPsycopgConnector(conninfo=dsn)).open() as app:
                app.schema_manager.apply_schema()
            connection.execute(trigger("procrastinate"))
    return (Bridge if name == BRIDGE else Contender)(name, world, dsn)


async def _install_pgqueuer(dsn: str) -> None:
    from pgqueuer.db import AsyncpgDriver  # in the benchmark's environment only
    from pgqueuer.queries import Queries

    connection = await asyncpg.connect(dsn)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()
