"""The services of a soak: several of each, killed, frozen and pointed at the database of today."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.telemetry.metrics import EXECUTOR
from tests.crash.processes import ProcessError
from tests.crash.soak.plan import ENVIRONMENT, SOAK
from tests.crash.world import pause

if TYPE_CHECKING:
    import random

    from tests.crash.processes import Forked
    from tests.crash.soak.database import Database
    from tests.crash.world import World


@dataclass(slots=True)
class _Service:
    """One running process and the database it was pointed at."""

    kind: str
    process: Forked
    dsn: str


class Fleet:
    """Executors and listeners.

    Args:
        world: where they run.
        database: theirs.
        chance: picks whom to kill.

    """

    def __init__(self, world: World, database: Database, chance: random.Random) -> None:
        self._world = world
        self._database = database
        self._chance = chance
        self._services: list[_Service] = []

    def start(self, kind: str) -> None:
        """Start one more."""
        environment = self._world.environment(self._database.dsn) | ENVIRONMENT
        process = self._world.parent.start(kind, environment, kind)
        self._services.append(_Service(kind, process, self._database.dsn))

    def stop(self) -> None:
        """Let all of them end in order."""
        for service in self._services:
            service.process.stop()

    def check(self) -> None:
        """No process may end by itself."""
        for service in self._services:
            if service.process.code is not None:
                raise ProcessError(
                    f"a {service.kind} ended with {service.process.code}:\n{service.process.tail()}"
                )

    def kill_one(self) -> None:
        """Kill -9, and start another in its place."""
        self._replace(self._chance.choice(self._services))

    def freeze_one(self) -> None:
        """Stop an executor for longer than lease and absence wait."""
        service = self._chance.choice([s for s in self._services if s.kind == EXECUTOR])
        service.process.send(signal.SIGSTOP)
        pause(SOAK.freeze_s)
        service.process.send(signal.SIGCONT)

    def replace_strays(self) -> int:
        """Replace what knows neither of today's two servers, as a supervisor would; returns how many."""
        strays = [s for s in self._services if s.dsn != self._database.dsn]
        for service in strays:
            self._replace(service)
        return len(strays)

    def _replace(self, service: _Service) -> None:
        service.process.kill()
        self._services.remove(service)
        self.start(service.kind)
