"""The database of a soak: a cluster that restarts and fails over, and the bot's connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from services.command_line.stand_in_bot import Bot
from shared.database.embedded import Stop
from tests.crash.world import pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.crash.cluster import Cluster

LOST_S = 0.5


class Database:
    """Whichever server is primary now.

    Args:
        cluster: the servers.
        encryption_key: of the accounts' keys.

    """

    def __init__(self, cluster: Cluster, encryption_key: str) -> None:
        self._cluster = cluster
        self._encryption_key = encryption_key
        self._restarts = 0
        self.dsn = cluster.follow()
        self.bot = Bot(self.dsn, encryption_key)

    def close(self) -> None:
        """Give the connection back."""
        self.bot.connection.close()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement, on a new connection when the old one is gone."""
        parameters = values[0] if values and isinstance(values[0], dict) else values
        try:
            cursor = self.bot.connection.execute(query.encode(), parameters)
        except psycopg.OperationalError:
            self._connect()
            cursor = self.bot.connection.execute(query.encode(), parameters)
        return list(cursor.fetchall())

    def restart(self) -> None:
        """Restart the primary: in turn in order, at once, and after a crash."""
        primary = self._cluster.primary
        how: tuple[Callable[[], None], ...] = (
            lambda: primary.restart(Stop.FAST),
            lambda: primary.restart(Stop.IMMEDIATE),
            self._crash,
        )
        self.close()
        how[self._restarts % len(how)]()
        self._restarts += 1
        self._connect()

    def fail_over(self) -> None:
        """Lose the commits of half a second: the standby has every row, not what became of the last ones."""
        self._cluster.cut()
        pause(LOST_S)
        self.close()
        self._cluster.fail_over()
        self.dsn = self._cluster.follow()
        self._connect()

    def _crash(self) -> None:
        self._cluster.primary.kill()
        self._cluster.primary.start()

    def _connect(self) -> None:
        self.bot = Bot(self.dsn, self._encryption_key)
