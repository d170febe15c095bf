"""DESIGN 6: fees that had no price when their fill was stored get their value once there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.database.ledger import as_columns, position_key, read_fill
from shared.database.positions import recount
from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from decimal import Decimal
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.database.positions import PositionChange
    from shared.domain.fill import Fill


async def unvalued_fills(
    connection: Connection, accounts: Collection[UUID], market: str, *, most: int
) -> list[Fill]:
    """Return fills whose fee has no value in quote yet, oldest first."""
    rows = await connection.fetch(statement("unvalued_fills"), list(accounts), market, most)
    return [read_fill(row) for row in rows]


async def value_fills(connection: Connection, values: Sequence[tuple[Fill, Decimal]]) -> list[PositionChange]:
    """Fix the values of some fees, in one transaction with the orders' sums and the positions.

    Args:
        connection: any.
        values: fills of ours with the value of their fee in quote.

    Returns:
        The positions that look different now.

    """
    orders = sorted({fill.order_id for fill, _ in values if fill.order_id is not None})
    keys = {position_key(fill.account_id, fill.market, fill.symbol) for fill, _ in values}
    async with connection.transaction():
        # The lock order of settling: rows and attempts, positions, fills.
        await connection.execute(
            "SELECT FROM public.orders AS o JOIN bridge.attempt AS a ON a.order_id = o.id "
            "WHERE o.id = ANY ($1::uuid[]) ORDER BY o.id FOR UPDATE OF o, a",
            orders,
        )
        await connection.execute(statement("lock_holdings"), list(keys))
        rows = await connection.fetch(
            statement("value_fills"), *as_columns([(*fill.key, value) for fill, value in values], 7)
        )
        return await recount(connection, [row["id"] for row in rows])
