"""The books of strategies: cash, transactions and figures, each fill once, none of it in a fill's way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fill_listener.books import StrategyBooks
from shared.database import feed, strategy_books
from shared.database.connect import open_pool
from shared.database.settle import settle
from shared.domain.books import CLOSE, FEE, OPEN, book
from shared.telemetry.metrics import LISTENER, Metrics
from tests.claimed import claimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.database.connect import Pool
    from tests.bot import Bot

ZONE = "Asia/Bangkok"


@pytest.fixture
async def pool(bridge_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(bridge_database, size=4, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
async def books(pool: Pool) -> StrategyBooks:
    books = StrategyBooks(pool, ZONE, Metrics(LISTENER))
    await books.keep()
    return books


async def trade(
    pool: Pool, bot: Bot, who: tuple[UUID, UUID], number: int, quantity: str, price: str, **columns: Any
) -> None:
    async with pool.acquire() as connection:
        order = await claimed(connection, bot, who, exchange_order_id=number, **columns)
        order.trade(number, quantity, price, fee="1", asset="USDT", last=True, after_ms=number)
        await settle(connection, order.reports())


async def lines(pool: Pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch(
        "SELECT type::text, amount, balance_after FROM strategy_transactions ORDER BY created_at"
    )
    return [tuple(row) for row in rows]


async def test_bought_and_sold(pool: Pool, bot: Bot, books: StrategyBooks) -> None:
    """Cost out, proceeds in, fees a line each; asked again, nothing more; the figures follow."""
    user = bot.user()
    who = user, bot.account(user)
    strategy = bot.strategy(user)
    await trade(pool, bot, who, 100, "0.01", "60000", strategy_id=strategy)
    await books.keep()
    assert await lines(pool) == [(OPEN, -600, 400), (FEE, -1, 399)]
    figures = "SELECT cash_reserve, current_equity, total_pnl, total_pnl_percent FROM user_strategies"
    assert tuple(await pool.fetchrow(figures) or ()) == (399, 999, -1, Decimal("-0.1"))
    await trade(pool, bot, who, 101, "0.01", "65000", strategy_id=strategy, side="sell")
    for _ in range(2):
        await pool.execute("INSERT INTO bridge.event (kind, order_id) SELECT 'filled', id FROM public.orders")
        await books.keep()
    assert sorted(await lines(pool)) == sorted(
        [(OPEN, -600, 400), (FEE, -1, 399), (CLOSE, 650, 1049), (FEE, -1, 1048)]
    )
    assert tuple(await pool.fetchrow(figures) or ()) == (1048, 1048, 48, Decimal("4.8"))
    one = await pool.fetchrow("SELECT * FROM strategy_transactions WHERE type = 'position_close'")
    assert one is not None
    assert (one["position_id"], one["metadata"]) == (
        bot.read_positions(user)[0]["id"],
        {"symbol": "BTC/USDT", "side": "sell"},
    )
    local = datetime.now(UTC).astimezone(ZoneInfo(ZONE)).replace(tzinfo=None)
    assert abs(one["created_at"] - local) < timedelta(hours=1)  # 7 hours apart if it were UTC


async def test_more_spent_than_there_was(pool: Pool, bot: Bot, books: StrategyBooks) -> None:
    """The cash stops at nothing and the rest is owed; the fill is stored and the position open."""
    user = bot.user()
    who = user, bot.account(user)
    strategy = bot.strategy(user)
    await trade(pool, bot, who, 100, "0.02", "60000", strategy_id=strategy)
    await books.keep()
    assert await lines(pool) == [(OPEN, -1000, 0)]
    assert await pool.fetchval("SELECT owed FROM bridge.strategy_book") == 201
    assert await pool.fetchval("SELECT current_equity FROM user_strategies") == 999
    assert bot.read_positions(user)[0]["status"] == "open"


async def test_an_order_that_cannot_be_booked_stops_no_other(
    pool: Pool, bot: Bot, books: StrategyBooks, database: str
) -> None:
    """A strategy whose row refuses the figures is put off; the next one is booked, and the first later."""
    user = bot.user()
    who = user, bot.account(user)
    bad, good = bot.strategy(user, name="bad"), bot.strategy(user, name="good")
    owner = await open_pool(database, size=1, application_name="test")
    refusing = "ADD CONSTRAINT no CHECK (name <> 'bad' OR cash_reserve = 1000)"
    await owner.execute(f"ALTER TABLE user_strategies {refusing}")
    await trade(pool, bot, who, 100, "0.01", "60000", strategy_id=bad)
    await trade(pool, bot, who, 101, "0.01", "60000", strategy_id=good)
    await books.keep()
    assert await pool.fetchval("SELECT cash_reserve FROM user_strategies WHERE id = $1", good) == 399
    assert await pool.fetchval("SELECT count(*) FROM bridge.fill WHERE applied") == 2
    await owner.execute("ALTER TABLE user_strategies DROP CONSTRAINT no")
    await owner.close()
    late = await pool.fetchval("SELECT order_id FROM bridge.strategy_due")
    await strategy_books.put_off(pool, late, timedelta(0))
    await books.keep()
    assert await pool.fetchval("SELECT cash_reserve FROM user_strategies WHERE id = $1", bad) == 399


async def test_what_was_before_the_switch_is_not_booked(pool: Pool, bot: Bot) -> None:
    """Switched on later, the books begin then."""
    user = bot.user()
    await trade(pool, bot, (user, bot.account(user)), 100, "0.01", "60000", strategy_id=bot.strategy(user))
    books = StrategyBooks(pool, ZONE, Metrics(LISTENER))
    await feed.begin(pool, strategy_books.READER)
    await pool.execute("INSERT INTO bridge.event (kind, order_id) SELECT 'filled', id FROM public.orders")
    await books.keep()
    assert await lines(pool) == []


@given(st.lists(st.decimals(-1000, 1000, places=8), max_size=20))
def test_no_money_is_made_or_lost(amounts: list[Decimal]) -> None:
    """Cash less debt is always the start plus all amounts; cash is never negative; every line adds up."""
    cash, owed = Decimal(100), Decimal(0)
    for amount in amounts:
        booked = book(cash, owed, {OPEN if amount < 0 else CLOSE: amount})
        assert all(one.before + one.amount == one.after and one.amount != 0 for one in booked.entries)
        cash, owed = booked.cash, booked.owed
        assert cash >= 0
        assert owed >= 0
    assert cash - owed == 100 + sum(amounts)
