"""PROTOCOL 8: pauses that all processes share: what the exchange said of an address, account or key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class PauseRow:
    """One pause in force.

    Attributes:
        scope: `address`, `account` or `key`.
        key: base URL, or the account's id.
        until: None for a refused key, which waits for the account's row to change.
        reason: a sentence.
        account_version: of the row whose key was refused.

    """

    scope: str
    key: str
    until: datetime | None
    reason: str
    account_version: str | None


async def begin(
    connection: Connection,
    *,
    scope: str,
    key: str,
    lasting: timedelta | None,
    reason: str,
    account_version: str | None = None,
) -> None:
    """Begin or lengthen a pause; a shorter one never shortens it."""
    await connection.execute(statement("begin_pause"), scope, key, lasting, reason, account_version)


async def in_force(connection: Connection) -> list[PauseRow]:
    """Return the pauses in force; those of a refused key end with any change of the account's row."""
    return [
        PauseRow(row["scope"], row["key"], row["until"], row["reason"], row["account_version"])
        for row in await connection.fetch(statement("pauses_in_force"))
    ]
