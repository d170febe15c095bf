"""DESIGN 5: what the ledger says is held, for sizing sells and reduce-only rows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.domain.order import Side


async def held_size(
    connection: Connection, account_id: UUID, symbol: str, strategy_id: UUID | None, opened_by: Side
) -> Decimal:
    """Return the size in base of the open spot position a row may reduce; 0 when there is none.

    Args:
        connection: any.
        account_id: the row's account.
        symbol: as the exchange writes it.
        strategy_id: the row's strategy; spot positions are kept apart by strategy.
        opened_by: BUY for a long position.

    """
    size: Decimal | None = await connection.fetchval(
        statement("held_size"), account_id, symbol, strategy_id, "long" if opened_by == "buy" else "short"
    )
    return size if size is not None else Decimal(0)
