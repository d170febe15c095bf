"""A process frozen in the middle of a transaction holds up neither the bot nor the other executors."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from shared.database import epoch as epochs
from shared.database.connect import DATABASE_AWAY, open_pool

if TYPE_CHECKING:
    from tests.bot import Bot

QUARANTINE = timedelta(seconds=1)


async def test_the_look_at_an_unchanged_epoch_waits_for_nobody(bridge_database: str) -> None:
    """Somebody stopped while he held the epoch's lock: the regular look of the others does not need it."""
    pool = await open_pool(bridge_database, size=2, application_name="test")
    async with pool.acquire() as frozen, pool.acquire() as other:
        first = await epochs.current(other, quarantine=QUARANTINE)
        async with frozen.transaction():
            await frozen.execute("LOCK TABLE bridge.epoch IN SHARE ROW EXCLUSIVE MODE")
            again = await epochs.current(other, quarantine=QUARANTINE, seen=first.written)
    assert (again.id, again.changed) == (first.id, False)
    await pool.close()


async def test_the_server_gives_back_what_a_frozen_transaction_locked(bridge_database: str, bot: Bot) -> None:
    """The bot's row is free again after the idle limit; to us it looks like a database that went away."""
    user = bot.user()
    order = bot.order(user, bot.account(user))
    pool = await open_pool(bridge_database, size=1, application_name="test")
    async with pool.acquire() as frozen:
        assert await frozen.fetchval("SHOW idle_in_transaction_session_timeout") == "5s"
        await frozen.execute("SET idle_in_transaction_session_timeout = '50ms'")
        await frozen.execute("BEGIN")
        await frozen.execute("SELECT FROM public.orders WHERE id = $1 FOR UPDATE", order)
        bot.cancel(order)  # waits until the server has ended the frozen session
        with pytest.raises(DATABASE_AWAY) as ended:
            await frozen.fetchval("SELECT 1")
    assert not isinstance(ended.value, asyncpg.DataError)
    await pool.close()
