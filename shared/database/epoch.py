"""PROTOCOL 10: which history of the database we are in, and what to do when it changed under us.

An epoch is system identifier + timeline + database oid. A plain restart keeps it; a promoted standby, a
restored backup or a copy does not. Every claim and settle compares timeline and postmaster start inside its
statement; `current` compares all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import asyncpg

    from shared.database.connect import Connection

ALL_ROWS = 2**31


@dataclass(frozen=True, slots=True)
class Epoch:
    """One history of the database, as recorded in `bridge.epoch`.

    `written` is the position of the write-ahead log in bytes. `changed` says that this very call found the
    history changed: tokens were replaced, what was in flight became unknown, and a quarantine began.
    """

    id: int
    timeline: str
    postmaster_start: datetime
    quarantine_until: datetime
    written: int
    changed: bool


async def current(
    connection: Connection, *, quarantine: timedelta, seen: int = 0, why: str | None = None
) -> Epoch:
    """Compare the live server with the newest recorded epoch, and record a change in one transaction.

    Args:
        connection: to a read-write primary.
        quarantine: recvWindow + clock error + engine_delay + query_lag: how long rows older than a change
            stay untouched.
        seen: the highest `written` this process was told before; a lower one now means that a snapshot was
            put back.
        why: given by an operator (`bridge epoch bump`) who put a snapshot back: begin a new epoch although
            nothing differs.

    Raises:
        asyncpg.PostgresError: the server is a replica, or the migrations are missing.

    """
    if why is None:
        unchanged = await _unchanged(connection, seen)
        if unchanged is not None:
            return unchanged
    async with connection.transaction():
        # One process at a time decides; the others then read what it recorded.
        await connection.execute("LOCK TABLE bridge.epoch IN SHARE ROW EXCLUSIVE MODE")
        live = await connection.fetchrow(statement("epoch_live"))
        assert live is not None
        last = await connection.fetchrow("SELECT * FROM bridge.epoch ORDER BY id DESC LIMIT 1")
        if last is None:
            return await _begin(connection, live, quarantine=None, why="first start")
        reason = why or _difference(last, live) or await _went_back(connection, live, seen)
        if reason is None:
            if last["postmaster_start"] != live["postmaster_start"]:
                await connection.execute(
                    "UPDATE bridge.epoch SET postmaster_start = $2 WHERE id = $1",
                    last["id"],
                    live["postmaster_start"],
                )
            return Epoch(
                last["id"],
                last["timeline"],
                live["postmaster_start"],
                last["quarantine_until"],
                int(live["written"]),
                changed=False,
            )
        return await _begin(connection, live, quarantine=quarantine, why=reason)


async def _unchanged(connection: Connection, seen: int) -> Epoch | None:
    """Return the epoch when nothing changed, without a lock: a frozen process must block nobody."""
    live = await connection.fetchrow(statement("epoch_live"))
    assert live is not None
    last = await connection.fetchrow("SELECT * FROM bridge.epoch ORDER BY id DESC LIMIT 1")
    if (
        last is None
        or _difference(last, live)
        or int(live["written"]) < seen
        or last["postmaster_start"] != live["postmaster_start"]
    ):
        return None
    return Epoch(
        last["id"],
        last["timeline"],
        last["postmaster_start"],
        last["quarantine_until"],
        int(live["written"]),
        changed=False,
    )


def _difference(last: asyncpg.Record, live: asyncpg.Record) -> str | None:
    for column in ("system_identifier", "timeline", "database_oid"):
        if last[column] != live[column]:
            return f"{column.replace('_', ' ')} changed from {last[column]} to {live[column]}"
    return None


async def _went_back(connection: Connection, live: asyncpg.Record, seen: int) -> str | None:
    """Confirm by a second read that the log is shorter than it was: a snapshot was put back."""
    if int(live["written"]) >= seen:
        return None
    again = await connection.fetchrow(statement("epoch_live"))
    assert again is not None
    if int(again["written"]) >= seen:
        return None
    return f"the write-ahead log went back from {seen} to {again['written']} bytes"


async def _begin(
    connection: Connection, live: asyncpg.Record, *, quarantine: timedelta | None, why: str
) -> Epoch:
    if quarantine is not None:
        # Its entry may be lost, taken in by a sweep and not by the trigger: the row is older than the change.
        await connection.execute(statement("take_in_missed"), ALL_ROWS)
    row = await connection.fetchrow(
        statement("epoch_begin"),
        live["system_identifier"],
        live["timeline"],
        live["database_oid"],
        live["postmaster_start"],
        quarantine,
        why,
    )
    assert row is not None
    if quarantine is not None:
        # What was in flight may have been sent by a worker whose claim this history has lost or half lost.
        await connection.execute(statement("epoch_fence"))
    return Epoch(
        row["id"],
        row["timeline"],
        row["postmaster_start"],
        row["quarantine_until"],
        int(live["written"]),
        changed=quarantine is not None,
    )
