"""PROTOCOL 10: orders at the exchange that we did not place, or do not know despite our id form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID

    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class ExternalOrder:
    """An order at the exchange that we did not place; `flag` says whose it seems to be."""

    account_id: UUID
    market: str
    symbol: str
    exchange_order_id: str
    client_order_id: str
    side: str
    type: str
    status: str
    executed: Decimal
    flag: str


async def store_external(connection: Connection, orders: Sequence[ExternalOrder]) -> list[ExternalOrder]:
    """Record orders we did not place; returns those that are new to us."""
    newest = {(o.account_id, o.market, o.symbol, o.exchange_order_id): o for o in orders}
    columns: list[list[Any]] = [
        [getattr(order, name) for order in newest.values()] for name in ExternalOrder.__slots__
    ]
    rows = await connection.fetch(statement("store_external"), *columns)
    new = {(row["account_id"], row["symbol"], row["exchange_order_id"]) for row in rows if row["is_new"]}
    return [o for o in newest.values() if (o.account_id, o.symbol, o.exchange_order_id) in new]


async def known_rows(connection: Connection, order_ids: Collection[UUID]) -> set[UUID]:
    """Return those ids that are rows of `public.orders`."""
    rows = await connection.fetch("SELECT id FROM public.orders WHERE id = ANY ($1::uuid[])", list(order_ids))
    return {row["id"] for row in rows}


async def accounts_of(connection: Connection, order_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """Return the accounts that entries of ours name, by row."""
    rows = await connection.fetch(
        "SELECT order_id, account_id FROM bridge.outbox WHERE order_id = ANY ($1::uuid[])", list(order_ids)
    )
    return {row["order_id"]: row["account_id"] for row in rows}


async def installed_at(connection: Connection) -> datetime:
    """Return when the bridge was switched on."""
    moment: datetime = await connection.fetchval("SELECT installed_at FROM bridge.installation")
    return moment


async def halt(connection: Connection, accounts: Collection[UUID], kind: str, reason: str) -> None:
    """Halt accounts on which something happened that must not happen, and say so in the feed.

    Args:
        connection: any.
        accounts: those to halt; placements only, everything else goes on (DESIGN 5).
        kind: of the event.
        reason: a sentence for the operator.

    """
    async with connection.transaction():
        await connection.execute(statement("halt_accounts"), list(accounts), reason)
        await connection.execute(
            "INSERT INTO bridge.event (kind, account_id, data) "
            "SELECT $2, id, jsonb_build_object('reason', $3::text) FROM unnest($1::uuid[]) AS id",
            list(accounts),
            kind,
            reason,
        )
