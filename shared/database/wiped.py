"""DESIGN 6: a wiped testnet: who can tell, what it left behind, and how that ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.ledger import position_key
from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from uuid import UUID

    from shared.database.connect import Connection

REASON = "The testnet was wiped; nothing of it is left at the exchange."


@dataclass(frozen=True, slots=True)
class Witness:
    """An order that the exchange had accepted."""

    symbol: str
    client_order_id: str


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """An order of a former epoch that is not over, or an open position with the order of its newest fill.

    Attributes:
        account_id: whose.
        order_id: the row.
        number: the attempt.
        holding_id: of the position; None: it is about the order itself.
        symbol: as the exchange writes it.
        client_order_id: what to ask about.
        exchange_order_id: what the exchange called it.
        api_key_hash: of the key it was sent with.

    """

    account_id: UUID
    order_id: UUID
    number: int
    holding_id: UUID | None
    symbol: str
    client_order_id: str
    exchange_order_id: str | None
    api_key_hash: str


async def witnesses(
    connection: Connection,
    account_id: UUID,
    market: str,
    base_url: str,
    environment_epoch: int,
    api_key_hash: str,
    *,
    older_than: timedelta,
) -> list[Witness]:
    """Return a few of the first and newest accepted orders of an account in this epoch, oldest first."""
    rows = await connection.fetch(
        statement("witnesses"), account_id, market, base_url, environment_epoch, api_key_hash, older_than
    )
    return [Witness(**row) for row in rows]


async def begin_epoch(connection: Connection, base_url: str, ended: int, why: str) -> bool:
    """Begin a new epoch of an environment; False when another process did."""
    return await connection.fetchval(statement("begin_environment"), base_url, ended, why) is not None


async def left_behind(
    connection: Connection,
    accounts: Collection[UUID],
    market: str,
    base_url: str,
    environment_epoch: int,
    *,
    older_than: timedelta,
) -> list[LeftBehind]:
    """Return what former epochs of an environment left behind in some accounts."""
    rows = await connection.fetch(
        statement("left_behind"), list(accounts), market, base_url, environment_epoch, older_than
    )
    return [LeftBehind(**row) for row in rows]


async def close(connection: Connection, market: str, gone: Sequence[LeftBehind]) -> tuple[int, int]:
    """End orders and positions that went with a wiped testnet; returns how many of each.

    Args:
        connection: any.
        market: spot or futures.
        gone: what the exchange was asked about and does not know any more.

    """
    orders = [one for one in gone if one.holding_id is None]
    positions = [one for one in gone if one.holding_id is not None]
    async with connection.transaction():
        ended = await connection.fetch(
            statement("close_wiped_orders"),
            [one.order_id for one in orders],
            [one.number for one in orders],
            REASON,
        )
        await connection.execute(
            statement("lock_holdings"),
            [position_key(one.account_id, market, one.symbol) for one in positions],
        )
        closed = await connection.fetch(
            statement("close_wiped_positions"),
            [one.holding_id for one in positions],
            [one.exchange_order_id for one in positions],
            REASON,
        )
    return len(ended), len(closed)
