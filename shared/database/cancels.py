"""PROTOCOL 9: cancels. The bot cancels in the database only; what is live is cancelled at the exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.outbox import AccountRow, account_row
from shared.database.statements import statement
from shared.domain.states import ExchangeStatus

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from shared.database.connect import Connection

RESTING = [str(status) for status in ExchangeStatus if not status.is_terminal]


@dataclass(frozen=True, slots=True)
class CancelWanted:
    """One order to cancel that is live, or may be, at the exchange."""

    order_id: UUID
    number: int
    account_id: UUID
    market: str
    symbol: str
    client_order_id: str
    conditional: bool
    account: AccountRow


async def close_unsent(connection: Connection, accounts: list[UUID] | None = None) -> list[tuple[UUID, str]]:
    """Close entries whose row was cancelled, or moved by somebody else, before it was sent.

    A row set back to `pending` between two attempts is opened again instead, and its entry goes on.

    Returns:
        Row and the status found; anything but `canceled` means that somebody else works on the same rows.

    """
    rows = await connection.fetch(statement("close_unsent"), accounts)
    return [(row["order_id"], row["status"]) for row in rows]


async def take_cancels(
    connection: Connection, *, again_after: timedelta, accounts: list[UUID] | None = None
) -> list[CancelWanted]:
    """Return orders to cancel at the exchange now, and note that it is being done.

    The bot's cancels, and what still rests of orders found late (PROTOCOL 6): nobody wants these any more,
    their rows were settled without them, or another attempt took their place.
    """
    rows = await connection.fetch(statement("take_cancels"), again_after, accounts, RESTING)
    return [
        CancelWanted(
            order_id=row["order_id"],
            number=row["number"],
            account_id=row["account_id"],
            market=row["market"],
            symbol=row["symbol"],
            client_order_id=row["client_order_id"],
            conditional=row["conditional"],
            account=account_row(row),
        )
        for row in rows
    ]
