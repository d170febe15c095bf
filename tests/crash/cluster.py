"""A primary with an asynchronous standby, made to lose its last commits: failover after failover."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import psycopg
from psycopg.rows import dict_row

from shared.database.migrate import lay_bot_stand_in, migrate
from tests.crash.processes import ProcessError, until
from tests.crash.world import SETTINGS, new_server

if TYPE_CHECKING:
    from shared.database.embedded import EmbeddedServer

STANDBY = "standby"
CATCHES_UP_WITHIN_S = 30.0


class Cluster:
    """One line of history: the standby of today is the primary of tomorrow."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.primary: EmbeddedServer = new_server(SETTINGS | {"max_connections": "100"})
        self._stack.callback(self.remove)
        lay_bot_stand_in(self.primary.dsn())
        migrate(self.primary.dsn())
        self.standby: EmbeddedServer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def remove(self) -> None:
        """Take both servers away."""
        for server in (self.primary, self.standby):
            if server is not None:
                server.remove()

    def follow(self) -> str:
        """Make a standby that has everything, asynchronous; returns the URL that finds whoever is primary."""
        self.standby = self.primary.standby(STANDBY)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (self.primary, self.standby))
        return f"postgresql://postgres:{quote(self.primary.password)}@{hosts}/postgres"

    def make_synchronous(self) -> None:
        """Let no commit count before the standby has it."""
        ask(self.primary, f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
        ask(self.primary, "SELECT pg_reload_conf()")
        synchronous = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync') AS yes"
        if not until(lambda: bool(ask(self.primary, synchronous)[0]["yes"]), CATCHES_UP_WITHIN_S):
            raise ProcessError("the standby did not become synchronous in time")

    def cut(self) -> None:
        """Let the standby catch up, then hear of no commit any more."""
        assert self.standby is not None
        (here,) = ask(self.primary, "SELECT pg_current_wal_flush_lsn()::text AS at")
        caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{here['at']}'::pg_lsn AS yes"
        self._wait(caught_up, "caught up")
        ask(self.standby, "ALTER SYSTEM SET primary_conninfo = ''")
        ask(self.standby, "SELECT pg_reload_conf()")
        self._wait("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver) AS yes", "cut off")

    def fail_over(self) -> None:
        """Kill -9 the primary and promote the standby: what it did not hear of is lost."""
        assert self.standby is not None
        self.primary.kill()
        self.standby.promote()
        dead, self.primary, self.standby = self.primary, self.standby, None
        dead.remove()

    def _wait(self, query: str, what: str) -> None:
        standby = self.standby
        assert standby is not None
        if not until(lambda: bool(ask(standby, query)[0]["yes"]), CATCHES_UP_WITHIN_S):
            raise ProcessError(f"the standby was not {what} in time")


def ask(server: EmbeddedServer, query: str) -> list[dict[str, Any]]:
    """Run one statement as the superuser."""
    with psycopg.connect(server.dsn(), autocommit=True, row_factory=dict_row) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []
