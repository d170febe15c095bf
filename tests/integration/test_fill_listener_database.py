"""PROTOCOL 8, DESIGN 6: the listener outlives the database; nothing it heard meanwhile is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from services.command_line.stand_in_bot import Bot
from shared.database import embedded
from shared.database import epoch as epochs
from shared.database.connect import DATABASE_AWAY
from shared.database.migrate import lay_bot_stand_in, migrate
from tests.bot import ENCRYPTION_KEY
from tests.crash.behaviours import QUESTIONS
from tests.listening import local_market, until

if TYPE_CHECKING:
    import pytest


async def test_the_database_restarts_under_a_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders fill while Postgres is down; as soon as it is back their fills and positions are there."""
    with embedded.serving(fsync=False) as server:
        dsn = server.dsn()
        lay_bot_stand_in(dsn)
        migrate(dsn)
        async with local_market(dsn, monkeypatch) as market:
            with Bot(dsn, ENCRYPTION_KEY) as bot:
                trader = await market.trader(bot, "alice")
                listener = await market.listen()
                orders = [await trader.order(exchange_order_id=number) for number in range(1, 6)]
            await asyncio.to_thread(server.kill)
            for order in orders:
                await trader.send(order, type="MARKET", quantity="1")
            await asyncio.to_thread(server.start)

            async def filled() -> bool:
                try:
                    count = await market.pool.fetchval(
                        "SELECT count(*) FROM public.orders AS o "
                        "JOIN bridge.attempt AS a ON a.order_id = o.id "
                        "WHERE o.status = 'filled' AND a.filled = a.executed"
                    )
                    return bool(count == len(orders))
                except DATABASE_AWAY:
                    return False

            await until(filled, "every order is filled")
            size = await market.pool.fetchval("SELECT size FROM public.positions")
            assert str(size) == "4.99500000"
            assert not market.listeners[listener].done()


async def test_another_history_is_asked_about_what_it_may_have_lost(
    bridge_database: str, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was heard and written down went with the other history: each account is asked for at once."""
    async with local_market(bridge_database, monkeypatch) as market:
        trader = await market.trader(bot, "alice")
        listener = await market.listen()
        await market.admin("POST", "/faults", {"action": "event_lose", "account": trader.name})
        order = await trader.buy("0.01")
        async with market.pool.acquire() as connection:
            await epochs.current(connection, quarantine=timedelta(0), why="a drill")
        await listener._look_at_epoch()  # as whoever settles next does, when the timelines differ
        await trader.filled(order)


async def test_what_does_not_show_yet_is_asked_for_again(
    bridge_database: str, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event is lost and the first question too early: the next one does not wait for minutes."""
    monkeypatch.setenv("BRIDGE_QUERY_LAG", "0.8")
    async with local_market(bridge_database, monkeypatch) as market:
        trader = await market.trader(bot, "alice")
        listener = await market.listen()
        await market.admin("POST", "/faults", {"action": "event_lose", "probability": 1})
        await market.admin(
            "POST",
            "/faults",
            {"action": "lag", "method": "GET", "route": QUESTIONS, "ms": 700, "count": None},
        )
        order = await trader.buy("0.01")
        async with market.pool.acquire() as connection:
            await epochs.current(connection, quarantine=timedelta(0), why="a drill")
        await listener._look_at_epoch()
        await trader.filled(order)
