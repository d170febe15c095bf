"""What `bridge doctor` asks the database; nothing here changes anything."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from shared.database.operator import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.operator import Connection, Row

TAKEN_IN_WITHIN = timedelta(seconds=15)
CONFLICTS_WITHIN = timedelta(days=1)

# As the bot inserts it; rolled back before anybody can see it.
_PROOF = """
INSERT INTO public.orders (
    id, user_id, strategy_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type, status,
    price, amount, filled_amount, avg_fill_price, stop_price, reduce_only, agent_id, reasoning,
    parent_order_id, fee, fee_currency, created_at, updated_at, filled_at)
VALUES (
    $1, $2, NULL, $3, '', 'BTC/USDT', 'spot', 'buy', 'market', 'pending',
    0, 1, 0, 0, 0, false, 'bridge doctor', 'rolled back',
    NULL, 0, '', clock_timestamp(), clock_timestamp(), NULL)
"""


def server_facts(connection: Connection) -> Row:
    """Return version, role, and whether it is a read-write primary with our schema."""
    return run(connection, "server_facts")[0]


def trigger_facts(connection: Connection) -> Row:
    """Return whether the trigger is there, how often it failed, and an account to prove it with."""
    return run(connection, "trigger_facts")[0]


def trigger_works(connection: Connection, user_id: UUID, account_id: UUID) -> bool:
    """Insert a row as the bot does, see whether an entry comes of it, and roll both back."""
    order_id = uuid4()
    with connection.transaction(force_rollback=True):
        connection.execute("SET LOCAL lock_timeout = '2s'")
        connection.execute(_PROOF, [order_id, user_id, account_id])
        found = connection.execute("SELECT FROM bridge.outbox WHERE order_id = $1", [order_id])
        return found.fetchone() is not None


def flow(connection: Connection) -> Row:
    """Return how the flow of orders is: what waits, since when, and what should not be."""
    return run(connection, "health", TAKEN_IN_WITHIN, CONFLICTS_WITHIN)[0]


def epoch(connection: Connection) -> Row | None:
    """Return the newest recorded history beside the live one; None when no service has started yet."""
    rows = run(connection, "epoch_compared")
    return rows[0] if rows else None


def balances(connection: Connection) -> tuple[int, list[Row]]:
    """Return how often a balance changed beside our fills of late, and the assets that are short."""
    rows = run(connection, "balances_compared", CONFLICTS_WITHIN)
    return rows[0]["changes"], [row for row in rows if row["account_id"] is not None]


def missing_rights(connection: Connection, rights: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return those rights on the bot's tables that this role lacks.

    Args:
        connection: as the role in question.
        rights: (right, column or '' for the whole table, table).

    """
    names, columns, tables = ([right[i] for right in rights] for i in range(3))
    return [row["missing"] for row in run(connection, "missing_rights", names, columns, tables)]


def epochs(connection: Connection) -> list[Row]:
    """Return every history this database has had, the newest first."""
    return run(connection, "epochs_recorded")
