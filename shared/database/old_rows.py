"""PROTOCOL 10: rows from before a change of the database's history; they are asked about first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.outbox import AccountRow, account_row
from shared.database.statements import statement
from shared.domain.states import EntryState

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class OldRow:
    """A row that may have been sent in a history this database has lost.

    Attributes:
        order_id: the row.
        account_id: whose.
        account: as it is now.
        market: spot or futures.
        symbol: as the bot wrote it.
        conditional: it goes, or went, to the futures exchange's algo service.
        state: of the entry.
        attempts: as far as this history knows.
        token: of whoever asks now.
        created_at: when it was taken in.

    """

    order_id: UUID
    account_id: UUID
    account: AccountRow
    market: str
    symbol: str
    conditional: bool
    state: EntryState
    attempts: int
    token: UUID
    created_at: datetime


async def take_old_rows(
    connection: Connection,
    epoch: int,
    *,
    owner: str,
    lease: timedelta,
    conditional_later: timedelta,
    accounts: list[UUID] | None,
    limit: int = 500,
) -> list[OldRow]:
    """Take rows to ask about; none before the quarantine is over.

    Args:
        connection: any.
        epoch: the history we are in.
        owner: who asks.
        lease: nobody else takes them for that long.
        conditional_later: how much longer the quarantine of a conditional order is.
        accounts: served by this process; None = all.
        limit: at most so many.

    """
    rows = await connection.fetch(
        statement("old_rows"), epoch, owner, lease, accounts, limit, conditional_later
    )
    return [
        OldRow(
            order_id=row["order_id"],
            account_id=row["account_id"],
            account=account_row(row),
            market=row["market"],
            symbol=row["symbol"],
            conditional=row["conditional"],
            state=EntryState(row["state"]),
            attempts=row["attempts"],
            token=row["token"],
            created_at=row["created_at"],
        )
        for row in rows
    ]


async def mark_asked(connection: Connection, epoch: int, tokens: list[UUID]) -> None:
    """Note that the exchange has none of the nine ids of these rows; they may be claimed again."""
    await connection.execute(statement("mark_asked"), epoch, tokens)


async def leave_old_rows(connection: Connection, tokens: list[UUID]) -> None:
    """Give rows back about which nothing could be asked yet."""
    await connection.execute(statement("leave_old_rows"), tokens)
