"""PROTOCOL 2 on a real database: a single row is claimed by its notification alone, or looked at."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import psycopg
import pytest

from services.order_executor.announced import Announcements
from shared.database import outbox
from shared.database.connect import open_pool
from tests.bot import order_row
from tests.intended import ask, claim, epoch_of, intend, peek

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from shared.database.connect import Connection
    from shared.database.outbox import ReadyEntry
    from tests.bot import Bot


class Ear:
    """The bot, an executor's ear, and what it knows of who may send."""

    def __init__(self, bot: Bot, dsn: str, admin: psycopg.Connection[tuple[object]]) -> None:
        self.bot = bot
        self.dsn = dsn
        self.admin = admin
        self.user = bot.user()
        self.account = bot.account(self.user)
        self.strategy = bot.strategy(self.user)

    def order(self, **columns: object) -> UUID:
        """Insert a pending row."""
        return self.bot.order(self.user, self.account, **columns)

    async def heard(
        self, connection: Connection, seen: Sequence[ReadyEntry] = (), **columns: Any
    ) -> ReadyEntry | None:
        """Insert a row and read what was notified of it, knowing what was seen before."""
        listener = await asyncpg.connect(self.dsn)
        said: asyncio.Queue[str] = asyncio.Queue()
        await listener.add_listener(outbox.CHANNEL, lambda *notice: said.put_nowait(notice[3]))
        announcements = Announcements(None)
        announcements.meet(await outbox.traders(connection, limit=10))
        announcements.learn(seen)
        self.order(**columns)
        announcements.put(await asyncio.wait_for(said.get(), 30))
        await listener.close()
        entries, left_over = announcements.take(8, set())
        assert len(entries) + left_over == 1
        return entries[0] if entries else None


@pytest.fixture
async def connection(bridge_database: str) -> AsyncIterator[Connection]:
    pool = await open_pool(bridge_database, size=1, application_name="test")
    async with pool.acquire() as acquired:
        await epoch_of(acquired)
        yield acquired
    await pool.close()


@pytest.fixture
def ear(bot: Bot, database: str) -> Iterator[Ear]:
    with psycopg.connect(database, autocommit=True) as admin:
        yield Ear(bot, database, admin)


async def is_claimed(connection: Connection, entry: ReadyEntry) -> bool:
    mine = await claim(connection, [replace(intend(entry), ask=ask(20))])
    return entry.order.id in mine


async def test_a_single_row_is_claimed_without_a_look(ear: Ear, connection: Connection) -> None:
    """What is announced is the row, exactly; with nothing in its way it is claimed as it is."""
    entry = await ear.heard(
        connection, symbol="btc-usdt", amount=Decimal("350.12345678"), agent_id="momentum"
    )
    assert entry is not None
    (looked_at,) = await peek(connection)
    assert replace(entry.order, reasoning=looked_at.order.reasoning) == looked_at.order
    assert (entry.entry_id, entry.key, entry.account) == (
        looked_at.entry_id,
        looked_at.key,
        looked_at.account,
    )
    assert (entry.taken_in_at, entry.user_settings) == (looked_at.taken_in_at, looked_at.user_settings)
    assert await is_claimed(connection, entry)
    assert not await is_claimed(connection, entry)


@pytest.mark.parametrize(
    "columns",
    [
        {"side": "sell"},
        {"market_type": "futures", "reduce_only": True},
        {"agent_id": "a", "strategy_id": "theirs"},
    ],
    ids=["a spot sell", "reduce-only", "a strategy not met before"],
)
async def test_what_a_notification_cannot_say_is_looked_at(
    ear: Ear, connection: Connection, columns: dict[str, Any]
) -> None:
    """A row that reduces needs to know what is held, a strategy's its capital."""
    if "strategy_id" in columns:
        columns = columns | {"strategy_id": ear.strategy}
    assert await ear.heard(connection, **columns) is None


async def test_a_child_is_looked_at(ear: Ear, connection: Connection) -> None:
    """It waits for its parent and is sized by what that filled."""
    parent = ear.order(amount=Decimal(17))
    assert await ear.heard(connection, parent_order_id=parent) is None


async def test_many_rows_of_one_statement_are_looked_at(ear: Ear, database: str) -> None:
    """A burst is no announcement."""
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN bridge_orders")
        ear.bot.orders([order_row(ear.user, ear.account, amount=Decimal(n)) for n in (20, 30)])
        (notice,) = listener.notifies(timeout=30, stop_after=1)
    assert notice.payload == ""


def _executes(statement: str, **values: object) -> Callable[[Ear, ReadyEntry], Awaitable[None]]:
    async def change(ear: Ear, entry: ReadyEntry) -> None:
        ids = {"order": entry.order.id, "account": ear.account, "user": ear.user, "entry": entry.entry_id}
        ear.admin.execute(statement.encode(), ids | values)

    return change


async def _another_row(ear: Ear, entry: ReadyEntry) -> None:
    ear.order(symbol=entry.order.symbol, amount=Decimal(99))


async def _tripped(ear: Ear, _entry: ReadyEntry) -> None:
    ear.bot.trip_breaker(ear.user)


async def _cancelled(ear: Ear, entry: ReadyEntry) -> None:
    ear.bot.cancel(entry.order.id)


@pytest.mark.parametrize(
    "change",
    [
        _executes("UPDATE public.orders SET amount = amount * 2 WHERE id = %(order)s"),
        _executes("UPDATE public.orders SET price = 1 WHERE id = %(order)s"),
        _executes("UPDATE public.orders SET side = 'sell' WHERE id = %(order)s"),
        _executes("UPDATE public.orders SET reduce_only = true WHERE id = %(order)s"),
        _cancelled,
        _executes("UPDATE public.exchange_accounts SET is_active = false WHERE id = %(account)s"),
        _executes("UPDATE public.users SET is_active = false WHERE id = %(user)s"),
        _executes("UPDATE public.users SET settings = '{\"max_position_size_usd\": 1}' WHERE id = %(user)s"),
        _tripped,
        _executes(
            "INSERT INTO bridge.breaker (user_id, tripped_at, reason) VALUES (%(user)s, now(), 'remembered')"
        ),
        _executes(
            "INSERT INTO bridge.control (scope, key, halted, reason) VALUES ('global', '', true, 'test')"
        ),
        _executes(
            "INSERT INTO bridge.control (scope, key, reduce_only, reason) VALUES ('global', '', true, 'test')"
        ),
        _executes(
            "INSERT INTO bridge.pause (scope, key, until, reason)"
            " VALUES ('account', %(account)s::text, NULL, 'test')"
        ),
        _another_row,
        _executes(
            "UPDATE bridge.outbox SET created_at = created_at - interval '1 minute' WHERE id = %(entry)s"
        ),
        _executes("UPDATE bridge.outbox SET symbol = 'ETHUSDT' WHERE id = %(entry)s"),
        _executes(
            "INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market,"
            " symbol, parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token,"
            " base_asset, quote_asset, outcome)"
            " SELECT uuid_generate_v4(), 1, n::text, %(account)s, %(user)s, 'spot', 'ETHUSDT', '', 0, 5000,"
            " '', '', 1, uuid_generate_v4(), 'ETH', 'USDT', 'rejected' FROM generate_series(1, 60) AS n"
        ),
    ],
    ids=[
        *(
            "amount",
            "price",
            "side",
            "reduce-only row",
            "cancelled",
            "account",
            "user",
            "settings",
            "breaker",
        ),
        *("breaker remembered", "halt", "reduce-only switch", "pause", "another row of the key", "too old"),
        *("another key", "sixty orders in a minute"),
    ],
)
async def test_whatever_has_changed_keeps_it_from_being_claimed(
    ear: Ear, connection: Connection, change: Callable[[Ear, ReadyEntry], Awaitable[None]]
) -> None:
    """The claim asks itself what a look would have told."""
    entry = await ear.heard(connection)
    assert entry is not None
    await change(ear, entry)
    assert not await is_claimed(connection, entry)


async def test_an_equal_row_shortly_before_keeps_it_from_being_claimed(
    ear: Ear, connection: Connection
) -> None:
    """The twin is held by the look that follows."""
    first = ear.order()
    ear.admin.execute("UPDATE public.orders SET status = 'filled' WHERE id = %s", [first])
    ear.admin.execute("UPDATE bridge.outbox SET state = 'done' WHERE order_id = %s", [first])
    entry = await ear.heard(connection)
    assert entry is not None
    assert not await is_claimed(connection, entry)


@pytest.mark.parametrize("changed", [False, True], ids=["as known", "changed"])
async def test_a_strategys_capital_is_the_one_that_was_known(
    ear: Ear, connection: Connection, *, changed: bool
) -> None:
    """Sized within another capital, it is not claimed."""
    earlier = ear.order(strategy_id=ear.strategy, symbol="ETH/USDT")
    seen = await peek(connection)
    ear.bot.cancel(earlier)
    ear.admin.execute("UPDATE bridge.outbox SET state = 'done' WHERE order_id = %s", [earlier])
    entry = await ear.heard(connection, seen, strategy_id=ear.strategy)
    assert entry is not None
    if changed:
        ear.admin.execute("UPDATE public.user_strategies SET allocated_capital = allocated_capital + 1")
    wanted = replace(intend(entry), ask=ask(20, capital=entry.strategy_capital))
    assert (entry.order.id in await claim(connection, [wanted])) is not changed


async def test_a_text_that_somebody_made_up_claims_nothing(ear: Ear, connection: Connection) -> None:
    """Whoever may connect may notify; the row decides what is sent."""
    entry = await ear.heard(connection, amount=Decimal(20))
    assert entry is not None
    assert entry.announced is not None
    text = entry.announced.text
    assert "20.00000000" in text
    forged = entry.announced._replace(text=text.replace("20.00000000", "2000.0000000"))
    assert not await is_claimed(connection, replace(entry, announced=forged))
    assert await is_claimed(connection, entry)


NO_TEXT: tuple[object, ...] = ([], {}, 1)


def _made_up(**changes: object) -> str:
    said = {
        "entry_id": 1,
        "taken_in": "1795802233.384777",
        **dict.fromkeys(("order", "user", "account"), "f859ae64-b89d-4030-bb14-eb86749ef106"),
        "strategy": None,
        "symbol": "BTC/USDT",
        "key_symbol": "BTCUSDT",
        "market": "spot",
        "side": "buy",
        "type": "market",
        "amount": "20",
        "price": "0",
        "stop_price": "0",
        "agent": "",
        "created": "1795802233.372613",
    }
    return json.dumps(list((said | changes).values()))


def _announcements() -> Announcements:
    """Know the account and the user that `_made_up` names."""
    known = UUID("f859ae64-b89d-4030-bb14-eb86749ef106")
    account = outbox.AccountRow(known, "binance", b"", b"", is_testnet=True, is_active=True, version="1")
    announcements = Announcements(None)
    announcements.meet([outbox.Trader(known, account, "{}")])
    return announcements


def test_what_is_made_up_below_would_pass_if_it_were_sound() -> None:
    """The cases that follow differ from this one by what they say."""
    announcements = _announcements()
    announcements.put(_made_up())
    (entry,), left_over = announcements.take(8, set())
    assert (entry.entry_id, left_over) == (1, False)


@pytest.mark.parametrize(
    "text",
    [
        *("that is all", "[]", "[1, 2]", "{}", "null", '["a"' + ', "b"' * 15 + "]"),
        *(_made_up(entry_id=wrong) for wrong in ("1", 1.5, None, 0, 2**63)),
        *(_made_up(**{name: wrong}) for name in ("symbol", "key_symbol", "agent") for wrong in NO_TEXT),
        *(_made_up(amount=wrong) for wrong in ([1], {"a": 1}, None)),
        *(_made_up(created=wrong) for wrong in ("NaN", "Infinity", "1e400", None)),
    ],
)
def test_a_text_that_is_no_announcement_means_a_look(text: str) -> None:
    """Nobody is trusted to notify sense."""
    announcements = _announcements()
    assert announcements.put(text)
    assert announcements.take(8, set()) == ([], True)


def test_too_many_at_once_are_not_gone_by() -> None:
    """Which of many is first, a look knows."""
    announcements = Announcements([uuid4()])
    assert [announcements.put(str(n)) for n in range(9)] == [True] * 8 + [False]
    assert announcements.take(8, set()) == ([], False)
