"""PROTOCOL 7: attempts whose outcome nobody knows, taken by one resolver at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.outbox import AccountRow, account_row
from shared.database.statements import statement

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from uuid import UUID

    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """One attempt to ask about, with the token that may settle it.

    Attributes:
        order_id: the row.
        number: of the attempt.
        token: of this resolver.
        account_id: whose order it is.
        account: the account's row as it is now.
        market: spot or futures.
        symbol: as the exchange writes it.
        client_order_id: what to ask for.
        pair: base and quote asset.
        signed_at_ms: the signing timestamp.
        recv_window_ms: with it the deadline.
        base_url: where it was sent.
        api_key_hash: of the key it was sent with.
        account_uid: the exchange's own name of the account, where known.
        epoch: of the database it was claimed in.
        claimed_at: database time.

    """

    order_id: UUID
    number: int
    token: UUID
    account_id: UUID
    account: AccountRow
    market: str
    symbol: str
    client_order_id: str
    pair: tuple[str, str]
    signed_at_ms: int
    recv_window_ms: int
    base_url: str
    api_key_hash: str
    account_uid: str | None
    epoch: int
    claimed_at: datetime


async def take_unknown(
    connection: Connection,
    *,
    owner: str,
    lease: timedelta,
    limit: int = 100,
    accounts: list[UUID] | None = None,
) -> list[UnknownAttempt]:
    """Take unknown attempts nobody is resolving, each under a fresh token."""
    rows = await connection.fetch(statement("take_unknown"), owner, lease, limit, accounts)
    return [
        UnknownAttempt(
            order_id=row["order_id"],
            number=row["number"],
            token=row["token"],
            account_id=row["account_id"],
            account=account_row(row),
            market=row["market"],
            symbol=row["symbol"],
            client_order_id=row["client_order_id"],
            pair=(row["base_asset"], row["quote_asset"]),
            signed_at_ms=row["signed_at_ms"],
            recv_window_ms=row["recv_window_ms"],
            base_url=row["base_url"],
            api_key_hash=row["api_key_hash"],
            account_uid=row["account_uid"],
            epoch=row["epoch"],
            claimed_at=row["claimed_at"],
        )
        for row in rows
    ]
