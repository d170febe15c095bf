"""Connections of the command line: one at a time, synchronous, autocommit.

They take the same `$1` statements as the services' connections, so one test plans all of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import RawCursor
from psycopg.rows import dict_row

from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

CONNECT_TIMEOUT_S = 5


def connect(dsn: str, *, application_name: str = "bridge", any_server: bool = False) -> Connection:
    """Open a connection to the read-write primary.

    Args:
        dsn: where the database is.
        application_name: shown in `pg_stat_activity`.
        any_server: take a standby too; only to look at it.

    Raises:
        psycopg.OperationalError: it cannot be reached, or is not a read-write primary.

    """
    connection: Connection = psycopg.connect(
        dsn,
        autocommit=True,
        row_factory=dict_row,
        cursor_factory=RawCursor,
        prepare_threshold=None,  # a transaction pooler would not find the statement again
        connect_timeout=CONNECT_TIMEOUT_S,
        target_session_attrs="any" if any_server else "read-write",
        application_name=application_name,
    )
    return connection


def run(connection: Connection, name: str, *arguments: object) -> list[Row]:
    """Run `shared/database/<name>.sql` and return its rows, if it has any."""
    cursor = connection.execute(statement(name).encode(), arguments)
    return cursor.fetchall() if cursor.description is not None else []


@contextmanager
def changing(connection: Connection) -> Iterator[None]:
    """Begin a transaction that is durable when it ends and waits for no lock longer than the services do.

    Set for the transaction only: behind a pooler a session's settings would stay with the next user.
    """
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '2s'")
        connection.execute("SET LOCAL synchronous_commit = on")
        yield
