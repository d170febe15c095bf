"""The books of strategies in the bot's tables: an option, in transactions of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from shared.database.ledger import as_columns
from shared.database.statements import statement
from shared.domain.books import CLOSE, FEE, OPEN, book, flows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection, Pool
    from shared.domain.books import Entry

READER = "strategy_books"
UNVALUED_AGAIN = timedelta(seconds=5)
FAILED_AGAIN = timedelta(minutes=1)
MOST = 100

_WORDS = {OPEN: "Position opened", CLOSE: "Position closed", FEE: "Fee"}
_KEY = ("account_id", "environment_epoch", "symbol", "exchange_order_id", "trade_id")


async def due(pool: Pool) -> list[tuple[UUID, UUID]]:
    """Note the orders with new fills, and return (order, strategy) of those to book now."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            query = "SELECT FROM bridge.feed_reader WHERE name = $1 FOR UPDATE SKIP LOCKED"
            if await connection.fetchrow(query, READER) is not None:
                await connection.execute(statement("strategy_due"))
        rows = await connection.fetch(
            "SELECT order_id, strategy_id FROM bridge.strategy_due WHERE due_at <= clock_timestamp() "
            "ORDER BY due_at, order_id LIMIT $1",
            MOST,
        )
    return [(row["order_id"], row["strategy_id"]) for row in rows]


async def put_off(pool: Pool, order_id: UUID, rest: timedelta = FAILED_AGAIN) -> None:
    """Book an order later."""
    await pool.execute(
        "UPDATE bridge.strategy_due SET due_at = clock_timestamp() + $2 WHERE order_id = $1", order_id, rest
    )


async def value(pool: Pool, time_zone: str) -> None:
    """Bring equity and profit of all strategies with books in line with prices."""
    async with pool.acquire() as connection, connection.transaction():
        await _use_time_zone(connection, time_zone)
        await connection.execute(statement("value_strategies"), None)


async def book_order(pool: Pool, order_id: UUID, strategy_id: UUID, time_zone: str) -> int:
    """Write what is not booked yet of an order into its strategy's books, once.

    Args:
        pool: work connections.
        order_id: the row.
        strategy_id: whose books.
        time_zone: of the bot's host: its strategy tables hold local time without saying so.

    Returns:
        How many lines were written.

    """
    async with pool.acquire() as connection, connection.transaction():
        await _use_time_zone(connection, time_zone)
        cash = await connection.fetchval(
            "SELECT cash_reserve FROM public.user_strategies WHERE id = $1 FOR UPDATE", strategy_id
        )
        if cash is None:  # deleted since
            await connection.execute("DELETE FROM bridge.strategy_due WHERE order_id = $1", order_id)
            return 0
        owed = await connection.fetchval(
            "INSERT INTO bridge.strategy_book AS b (strategy_id) VALUES ($1) "
            "ON CONFLICT (strategy_id) DO UPDATE SET owed = b.owed RETURNING owed",
            strategy_id,
        )
        fills = await connection.fetch(statement("unbooked_fills"), order_id)
        valued = [fill for fill in fills if fill["commission_in_quote"] is not None]
        booked = book(cash, owed, flows([dict(fill) for fill in valued]))
        if valued:
            await _write(connection, order_id, strategy_id, valued, booked.entries)
            await connection.execute(
                "UPDATE public.user_strategies SET cash_reserve = $2 WHERE id = $1", strategy_id, booked.cash
            )
            await connection.execute(
                "UPDATE bridge.strategy_book SET owed = $2 WHERE strategy_id = $1", strategy_id, booked.owed
            )
            await connection.execute(statement("value_strategies"), [strategy_id])
        if len(valued) < len(fills):
            await connection.execute(
                "UPDATE bridge.strategy_due SET due_at = clock_timestamp() + $2 WHERE order_id = $1",
                order_id,
                UNVALUED_AGAIN,
            )
        else:
            await connection.execute("DELETE FROM bridge.strategy_due WHERE order_id = $1", order_id)
        return len(booked.entries)


async def _write(
    connection: Connection,
    order_id: UUID,
    strategy_id: UUID,
    fills: Sequence[asyncpg.Record],
    entries: Sequence[Entry],
) -> None:
    await connection.execute(
        "INSERT INTO bridge.strategy_booked "
        "SELECT * FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::bigint[])",
        *as_columns([[fill[name] for name in _KEY] for fill in fills], len(_KEY)),
    )
    last = fills[-1]
    for entry in entries:
        subject = order_id if entry.kind == FEE else last["position_id"]
        await connection.execute(
            statement("write_transaction"),
            strategy_id,
            last["user_id"],
            entry.kind,
            entry.amount,
            entry.before,
            entry.after,
            last["position_id"],
            order_id,
            f"{_WORDS[entry.kind]}: {subject}",
            {"symbol": last["shown_symbol"], "side": last["side"]},
        )


async def _use_time_zone(connection: Connection, name: str) -> None:
    """Have naive columns, also those a trigger of the bot's fills, hold the bot's local time."""
    await connection.execute("SELECT set_config('timezone', $1, true)", name)
