"""Everything the settling of an account has written, without the times of our own writing and our own ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.connect import Connection

QUERIES = {
    "orders": "SELECT o.status::text, o.exchange_order_id, o.filled_amount, o.avg_fill_price, o.fee, "
    "o.fee_currency, o.filled_at FROM public.orders AS o WHERE o.exchange_account_id = $1 "
    "ORDER BY o.exchange_order_id",
    "fills": "SELECT exchange_order_id, trade_id, price, quantity, commission, commission_in_quote, applied "
    "FROM bridge.fill WHERE account_id = $1 ORDER BY 1, 2",
    "attempts": "SELECT outcome, exchange_status, executed, executed_quote, filled, fee, fee_asset, "
    "fee_in_quote FROM bridge.attempt WHERE account_id = $1 ORDER BY exchange_order_id",
    "entries": "SELECT e.state, e.has_evidence FROM bridge.outbox AS e WHERE e.account_id = $1 ORDER BY e.id",
    "alarms": "SELECT kind, data FROM bridge.event WHERE account_id = $1 AND kind = 'fill_contradiction'",
    "holdings": "SELECT cycles, dust, dust_cost, unmatched, unvalued, through_at, through_trade "
    "FROM bridge.holding WHERE account_id = $1",
    "ledger": "SELECT number, side, size, cost, entry_price, peak, exited, exit_value, realized, fees, "
    "status, opened_at, closed_at FROM bridge.position WHERE account_id = $1 AND peak > 0 ORDER BY number",
    "positions": "SELECT symbol, size, entry_price, current_price, unrealized_pnl, realized_pnl, "
    "status::text, opened_at, closed_at FROM public.positions WHERE exchange_account_id = $1 AND size > 0 "
    "ORDER BY opened_at, closed_at",
}


async def everything(connection: Connection, account_id: UUID) -> dict[str, list[Any]]:
    """Read it."""
    return {
        name: [tuple(row) for row in await connection.fetch(query, account_id)]
        for name, query in QUERIES.items()
    }
