"""PROTOCOL 1, 2 and 11 on a real database: what waits, what is ready, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.database import breakers, outbox
from shared.database import epoch as epochs
from shared.database import settle as settling
from shared.database.connect import open_pool
from shared.database.old_rows import take_old_rows
from shared.database.outbox import Key
from shared.database.statements import statement
from shared.domain.order import OrderType
from shared.domain.verdicts import Code, wait
from tests.bot import order_row
from tests.intended import QUARANTINE, claim_all, epoch_of, peek

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from shared.database.connect import Connection
    from tests.bot import Bot

BLOCK = timedelta(seconds=90)
LONG_AGO = "clock_timestamp() - interval '1 hour'"


@pytest.fixture
async def connection(bridge_database: str) -> AsyncIterator[Connection]:
    pool = await open_pool(bridge_database, size=2, application_name="test")
    async with pool.acquire() as acquired:
        yield acquired
    await pool.close()


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user)


class Rows:
    """Inserts rows of one account that are no twins of each other."""

    def __init__(self, bot: Bot, user: UUID, account: UUID) -> None:
        self.bot, self.user, self.account = bot, user, account
        self.amount = Decimal(100)

    def __call__(self, **columns: Any) -> UUID:
        self.amount += 1
        return self.bot.order(self.user, self.account, **({"amount": self.amount} | columns))


@pytest.fixture
def rows(bot: Bot, account: tuple[UUID, UUID]) -> Rows:
    return Rows(bot, *account)


async def ready(connection: Connection, **how: Any) -> list[UUID]:
    return [entry.order.id for entry in await peek(connection, **how)]


async def put(
    connection: Connection, order_id: UUID, state: str, *, changed: str = "clock_timestamp()"
) -> None:
    """Put an entry where a claim or a settle leaves it; `changed` is when it got there."""
    if state not in ("new", "held"):
        await connection.execute(
            "UPDATE bridge.outbox SET state = 'sending', token = gen_random_uuid(), attempts = 1 "
            "WHERE order_id = $1 AND state = 'new'",
            order_id,
        )
        await connection.execute(
            "UPDATE public.orders SET status = 'open' WHERE id = $1 AND status = 'pending'", order_id
        )
    await connection.execute(
        f"UPDATE bridge.outbox SET state = $2, changed_at = {changed} WHERE order_id = $1",
        order_id,
        state,
    )


# -- What waits ----------------------------------------------------------------------------------


async def test_pending_rows_come_oldest_first_and_no_more_than_asked(
    connection: Connection, rows: Rows
) -> None:
    """`get_pending` returns the oldest rows, at most the number asked for."""
    first, second, _ = rows(), rows(symbol="ETH/USDT"), rows()
    assert [order.id for order in await outbox.get_pending(connection, 2)] == [first, second]
    assert await outbox.get_pending(connection, 0) == []


async def test_pending_row_is_read_as_the_bot_wrote_it(connection: Connection, rows: Rows) -> None:
    """Amount and price keep all their digits, zero stands for absent, and NULL is read as absent too."""
    order_id = rows(
        symbol="btc-usdt",
        type="limit",
        price=Decimal("12345678.87654321"),
        amount=Decimal("0.00000001"),
        stop_price=None,
        reduce_only=None,
        agent_id=None,
        reasoning=None,
    )
    (order,) = await outbox.get_pending(connection, 10)
    assert (order.id, order.symbol) == (order_id, "btc-usdt")
    assert (order.amount, order.price, order.stop_price) == (
        Decimal("0.00000001"),
        Decimal("12345678.87654321"),
        Decimal(0),
    )
    assert (order.reduce_only, order.agent_id, order.reasoning) == (False, "", "")


async def test_pending_rows_of_a_user_are_his_alone(connection: Connection, bot: Bot, rows: Rows) -> None:
    """`get_pending_by_user` returns every waiting row of one user, and nothing of another's."""
    mine = [rows(), rows(), rows(symbol="ETH/USDT")]
    stranger = bot.user()
    theirs = bot.order(stranger, bot.account(stranger))
    assert [order.id for order in await outbox.get_pending_by_user(connection, rows.user)] == mine
    assert [order.id for order in await outbox.get_pending_by_user(connection, stranger)] == [theirs]
    assert await outbox.get_pending_by_user(connection, uuid4()) == []


@pytest.mark.parametrize("state", ["held", "sending", "unknown", "submitted", "done"])
async def test_row_that_is_not_waiting_is_not_pending(connection: Connection, rows: Rows, state: str) -> None:
    """Held, in flight, at the exchange or finished: nothing that could be sent now."""
    order_id = rows()
    await put(connection, order_id, state)
    assert await outbox.get_pending(connection, 10) == []
    assert await ready(connection) == []


async def test_cancelled_row_is_not_pending(connection: Connection, bot: Bot, rows: Rows) -> None:
    """The bot cancels in the database only; such a row is not offered any more."""
    bot.cancel(rows())
    assert await outbox.get_pending(connection, 10) == []


# -- The order of sending (PROTOCOL 11) -----------------------------------------------------------


async def test_first_row_of_each_key_is_ready(connection: Connection, bot: Bot, rows: Rows) -> None:
    """One row of each (account, market, symbol), whatever the spelling of the symbol, oldest first."""
    other = bot.account(rows.user)
    first = rows(symbol="BTC/USDT")
    rows(symbol="btcusdt")
    second = rows(symbol="ETH/USDT")
    third = bot.order(rows.user, other, symbol="BTC/USDT")
    fourth = rows(symbol="BTC/USDT", market_type="futures")
    assert await ready(connection) == [first, second, third, fourth]


async def test_no_more_rows_than_there_are_slots(connection: Connection, rows: Rows) -> None:
    """The limit bounds the batch; the oldest come first."""
    first = rows(symbol="BTC/USDT")
    second = rows(symbol="ETH/USDT")
    rows(symbol="SOL/USDT")
    assert await ready(connection, limit=2) == [first, second]


@pytest.mark.parametrize("state", ["sending", "unknown", "backoff"])
async def test_one_in_flight_per_key(connection: Connection, rows: Rows, state: str) -> None:
    """Behind a row that is being sent, unknown or backing off, the next one of its key waits."""
    first = rows()
    rows()
    elsewhere = rows(symbol="ETH/USDT")
    await put(connection, first, state)
    await connection.execute(
        "UPDATE bridge.outbox SET not_before = now() + interval '1 h' WHERE attempts > 0"
    )
    assert await ready(connection) == [elsewhere]


@pytest.mark.parametrize("state", ["held", "submitted", "done"])
async def test_what_is_out_of_the_way_blocks_nothing(connection: Connection, rows: Rows, state: str) -> None:
    """A held, resting or finished row lets the next one of its key pass."""
    first = rows()
    second = rows()
    await put(connection, first, state)
    assert await ready(connection) == [second]


async def test_row_in_back_off_is_ready_when_its_time_has_come(connection: Connection, rows: Rows) -> None:
    """A row that may be tried again goes before the younger ones of its key."""
    first = rows()
    rows()
    await put(connection, first, "backoff")
    await connection.execute(
        "UPDATE bridge.outbox SET not_before = now() - interval '1 s' WHERE attempts > 0"
    )
    assert await ready(connection) == [first]


async def test_unknown_blocks_its_key_for_a_while_only(connection: Connection, rows: Rows) -> None:
    """After `max_key_block` the rows behind an unknown one pass it."""
    first = rows()
    second = rows()
    await put(connection, first, "unknown", changed="clock_timestamp() - interval '89 seconds'")
    assert await ready(connection) == []
    await put(connection, first, "unknown", changed="clock_timestamp() - interval '91 seconds'")
    assert await ready(connection) == [second]


async def test_sending_row_blocks_its_key_however_long(connection: Connection, rows: Rows) -> None:
    """Only an unknown one is passed: a sending one has a lease that ends."""
    first = rows()
    rows()
    await put(connection, first, "sending", changed=LONG_AGO)
    assert await ready(connection) == []


@pytest.mark.parametrize(
    "reducing", [{"side": "sell"}, {"side": "sell", "market_type": "futures", "reduce_only": True}]
)
async def test_reducing_row_waits_for_its_own_side_only(
    connection: Connection, rows: Rows, reducing: dict[str, Any]
) -> None:
    """A buy being sent does not keep a sell that only reduces from being sent; an earlier sell does."""
    market = reducing.get("market_type", "spot")
    buy = rows(market_type=market)
    sell = rows(**reducing)
    rows(**reducing)
    await put(connection, buy, "sending")
    assert await ready(connection) == [sell]
    await put(connection, sell, "sending")
    assert await ready(connection) == []


async def test_opening_row_waits_for_both_sides(connection: Connection, rows: Rows) -> None:
    """A buy waits for an earlier sell of its key; a futures sell that opens waits for an earlier buy."""
    sell = rows(side="sell")
    rows(side="buy")
    long = rows(market_type="futures")
    rows(market_type="futures", side="sell")
    await put(connection, sell, "sending")
    await put(connection, long, "sending")
    assert await ready(connection) == []


async def test_deep_backlog_of_one_key_starves_nobody(connection: Connection, bot: Bot, rows: Rows) -> None:
    """Behind 200 rows of one key, the first row of another is in the same batch."""
    first = rows(symbol="BTC/USDT")
    for _ in range(200):
        rows(symbol="BTC/USDT")
    last = rows(symbol="ETH/USDT")
    assert await ready(connection, limit=5) == [first, last]


@pytest.mark.parametrize("status", ["pending", "open", "partial"])
async def test_row_waits_for_its_parent_without_blocking_others(
    connection: Connection, bot: Bot, rows: Rows, status: str
) -> None:
    """A row whose parent is not finished waits; the row behind it does not."""
    parent = rows(symbol="ETH/USDT")
    rows(parent_order_id=parent)
    behind = rows()
    await put(connection, parent, "sending")
    bot.connection.execute("UPDATE orders SET status = %s WHERE id = %s", [status, parent])
    assert await ready(connection) == [behind]


@pytest.mark.parametrize("status", ["filled", "canceled", "expired", "rejected"])
async def test_row_whose_parent_is_finished_is_ready(
    connection: Connection, bot: Bot, rows: Rows, status: str
) -> None:
    """However the parent ended, its child is looked at; what becomes of it is decided by what was filled."""
    parent = rows(symbol="ETH/USDT")
    child = rows(parent_order_id=parent)
    await put(connection, parent, "done")
    bot.connection.execute("UPDATE orders SET status = %s WHERE id = %s", [status, parent])
    assert await ready(connection) == [child]


# -- Where a look begins --------------------------------------------------------------------------


async def test_look_from_the_low_water_mark_finds_new_keys_only_above_it(
    connection: Connection, rows: Rows
) -> None:
    """Below the mark a key is found only when it is named, as the sweep does."""
    first = rows(symbol="BTC/USDT")
    second = rows(symbol="ETH/USDT")
    entries = await peek(connection)
    mark = entries[1].entry_id
    assert await ready(connection, low_water=mark) == [second]
    key = Key(rows.account, "spot", "BTCUSDT")
    assert await ready(connection, low_water=mark, keys=[key]) == [first, second]
    assert await ready(connection, low_water=mark + 1, keys=[key]) == [first]


async def test_key_found_above_the_mark_begins_with_its_oldest_row(
    connection: Connection, rows: Rows
) -> None:
    """A new row of a key with a backlog does not overtake: the key's oldest is offered."""
    first = rows()
    rows()
    (entry,) = await peek(connection)
    assert await ready(connection, low_water=entry.entry_id + 1) == [first]


async def test_low_water_mark_trails_by_the_young_rows(connection: Connection, rows: Rows) -> None:
    """The mark is the oldest entry of the last moments, or beyond the newest when none is that young."""
    assert await outbox.low_water_mark(connection, trail=timedelta(seconds=5)) == 0
    old, young = rows(), rows()
    await connection.execute(f"UPDATE bridge.outbox SET created_at = {LONG_AGO} WHERE order_id = $1", old)
    ids = {
        row["order_id"]: row["id"] for row in await connection.fetch("SELECT id, order_id FROM bridge.outbox")
    }
    assert await outbox.low_water_mark(connection, trail=timedelta(seconds=5)) == ids[young]
    await connection.execute(f"UPDATE bridge.outbox SET created_at = {LONG_AGO}")
    assert await outbox.low_water_mark(connection, trail=timedelta(seconds=5)) == ids[young] + 1


async def test_sweep_names_every_key_once(connection: Connection, bot: Bot, rows: Rows) -> None:
    """`keys_waiting` jumps from key to key, whatever the backlog of each."""
    other = bot.account(rows.user)
    for _ in range(5):
        rows(symbol="BTC/USDT")
        rows(symbol="ETH/USDT")
    bot.order(rows.user, other, symbol="SOL/USDT")
    assert await outbox.keys_waiting(connection) == {
        Key(rows.account, "spot", "BTCUSDT"),
        Key(rows.account, "spot", "ETHUSDT"),
        Key(other, "spot", "SOLUSDT"),
    }
    assert await outbox.keys_waiting(connection, [other]) == {Key(other, "spot", "SOLUSDT")}


async def test_only_the_accounts_served(connection: Connection, bot: Bot, rows: Rows) -> None:
    """A process that serves some accounts is offered nothing of another."""
    rows()
    other = bot.account(rows.user)
    theirs = bot.order(rows.user, other, symbol="SOL/USDT")
    assert await ready(connection, accounts=[other]) == [theirs]


async def test_row_the_trigger_missed_is_taken_in_once(
    connection: Connection, bot: Bot, database: str, rows: Rows
) -> None:
    """The sweep makes the missing entry, with the same key as the trigger; a second sweep finds nothing."""
    order_id = rows(symbol="eth-usdt", side="sell")
    await connection.execute("DELETE FROM bridge.outbox")
    assert await outbox.take_in_missed(connection) == [order_id]
    assert await outbox.take_in_missed(connection) == []
    (entry,) = await peek(connection)
    assert entry.key == Key(rows.account, "spot", "ETHUSDT")


async def test_depth_counts_what_is_not_finished(connection: Connection, rows: Rows) -> None:
    """Each state that is not final, with its number of entries."""
    for state in ("new", "new", "held", "unknown", "done"):
        await put(connection, rows(), state)
    depth = await outbox.depth(connection)
    assert {state: d.entries for state, d in depth.items()} == {"new": 2, "held": 1, "unknown": 1}


# -- What the guards are told ---------------------------------------------------------------------


async def test_account_and_user_are_read_with_the_row(connection: Connection, bot: Bot, rows: Rows) -> None:
    """The account's row, its version, the user and the user's limits come with the look."""
    bot.connection.execute("""UPDATE users SET settings = '{"max_position_size_usd": 250.5}'""")
    rows()
    (entry,) = await peek(connection)
    assert entry.account is not None
    assert (entry.account.user_id, entry.account.exchange) == (rows.user, "binance")
    assert (entry.account.is_testnet, entry.account.is_active, entry.user_active) == (True, True, True)
    assert entry.user_settings == {"max_position_size_usd": 250.5}
    bot.connection.execute("UPDATE exchange_accounts SET is_active = NULL, is_testnet = NULL")
    (after,) = await peek(connection)
    assert after.account is not None
    assert (after.account.is_testnet, after.account.is_active) == (False, False), "NULL is the safe side"
    assert after.account.version != entry.account.version


async def test_age_is_the_databases_and_grows_from_the_take_in(connection: Connection, rows: Rows) -> None:
    """What the bot's clock says does not matter."""
    order_id = rows(created_at="2001-01-01")
    (entry,) = await peek(connection)
    assert timedelta(0) <= entry.age < timedelta(minutes=1)
    await connection.execute(f"UPDATE bridge.outbox SET age_from = {LONG_AGO} WHERE order_id = $1", order_id)
    (entry,) = await peek(connection)
    assert entry.age >= timedelta(hours=1)


async def test_equal_row_of_another_statement_is_a_twin(connection: Connection, bot: Bot, rows: Rows) -> None:
    """The later of two equal rows names the earlier one; the spelling of the symbol makes no difference."""
    first = rows(amount=Decimal(77), symbol="BTC/USDT")
    second = rows(amount=Decimal("77.00"), symbol="btcusdt")
    await put(connection, first, "submitted")
    (entry,) = await peek(connection)
    assert (entry.order.id, entry.twin_of) == (second, first)
    assert entry.twin_apart is not None
    assert entry.twin_apart < timedelta(seconds=5)
    (entry,) = await peek(connection, twin_window=timedelta(0))
    assert entry.twin_of is None


@pytest.mark.parametrize(
    "difference",
    [
        {"amount": Decimal(78)},
        {"side": "sell"},
        {"type": "limit"},
        {"price": Decimal(1)},
        {"stop_price": Decimal(1)},
    ],
)
async def test_row_that_differs_is_no_twin(
    connection: Connection, rows: Rows, difference: dict[str, Any]
) -> None:
    """Amount, side, type, price and stop price all count."""
    first = rows(amount=Decimal(77))
    rows(**({"amount": Decimal(77)} | difference))
    await put(connection, first, "submitted")
    (entry,) = await peek(connection)
    assert entry.twin_of is None


@pytest.mark.parametrize("status", ["rejected", "canceled"])
async def test_row_after_a_rejected_equal_is_no_twin(
    connection: Connection, bot: Bot, rows: Rows, status: str
) -> None:
    """What was rejected or cancelled may be tried again at once."""
    first = rows(amount=Decimal(77))
    rows(amount=Decimal(77))
    await put(connection, first, "done")
    bot.connection.execute("UPDATE orders SET status = %s WHERE id = %s", [status, first])
    (entry,) = await peek(connection)
    assert entry.twin_of is None


async def test_equal_rows_of_one_statement_are_no_twins(connection: Connection, bot: Bot, rows: Rows) -> None:
    """Only a repeated INSERT makes twins; two equal rows of one statement were meant."""
    first, second = bot.orders([order_row(rows.user, rows.account) for _ in range(2)])
    await put(connection, first, "submitted")
    (entry,) = await peek(connection)
    assert (entry.order.id, entry.twin_of) == (second, None)


async def test_adopted_row_is_no_twin(connection: Connection, rows: Rows) -> None:
    """An operator released it."""
    first = rows(amount=Decimal(77))
    second = rows(amount=Decimal(77))
    await put(connection, first, "submitted")
    await connection.execute("UPDATE bridge.outbox SET adopted = true WHERE order_id = $1", second)
    (entry,) = await peek(connection)
    assert (entry.adopted, entry.twin_of) == (True, None)


@pytest.mark.parametrize(
    ("scope", "key", "covers"),
    [
        ("global", "", True),
        ("account", "own", True),
        ("account", "other", False),
        ("symbol", "BTCUSDT", True),
        ("symbol", "ETHUSDT", False),
    ],
)
async def test_switches_that_cover_the_row(
    connection: Connection, rows: Rows, scope: str, key: str, covers: bool
) -> None:
    """Global, the row's account, the row's symbol; nobody else's."""
    key = {"own": str(rows.account), "other": str(uuid4())}.get(key, key)
    await connection.execute(
        "INSERT INTO bridge.control (scope, key, halted, reduce_only, reason) "
        "VALUES ($1, $2, true, true, 'drill')",
        scope,
        key,
    )
    rows()
    (entry,) = await peek(connection)
    assert entry.halt == ((scope, "drill") if covers else None)
    assert entry.reduce_only == ((scope, "drill") if covers else None)


async def test_orders_of_the_last_minute_are_counted_by_user(
    connection: Connection, bot: Bot, rows: Rows
) -> None:
    """Attempts of any account of the user in the last 60 s, and no older ones."""
    other = bot.account(rows.user)
    rows(symbol="BTC/USDT")
    bot.order(rows.user, other, symbol="ETH/USDT")
    stranger = bot.user()
    bot.order(stranger, bot.account(stranger), symbol="SOL/USDT")
    await claim_all(connection)
    rows(symbol="BNB/USDT")
    (entry,) = await peek(connection)
    assert entry.sent_last_minute == 2
    await connection.execute("UPDATE bridge.attempt SET claimed_at = claimed_at - interval '61 s'")
    (entry,) = await peek(connection)
    assert entry.sent_last_minute == 0


# -- Parents, gaps and rows that change -----------------------------------------------------------


async def test_parent_cancelled_in_the_database_only_is_not_over(
    connection: Connection, bot: Bot, rows: Rows
) -> None:
    """While the exchange has not confirmed the cancel the parent may still fill: its child waits."""
    parent = rows(symbol="ETH/USDT")
    child = rows(parent_order_id=parent)
    await put(connection, parent, "submitted")
    bot.cancel(parent)
    assert await ready(connection) == []
    await put(connection, parent, "done")
    assert await ready(connection) == [child]


async def test_child_is_told_what_its_parent_filled(connection: Connection, bot: Bot, rows: Rows) -> None:
    """The filled quantity of the parent's row comes with the look, 0 without a parent."""
    parent = rows(symbol="ETH/USDT")
    rows(parent_order_id=parent)
    rows(symbol="SOL/USDT")
    await put(connection, parent, "done")
    bot.connection.execute(
        "UPDATE orders SET status = 'canceled', filled_amount = 0.25 WHERE id = %s", [parent]
    )
    assert [entry.parent_filled for entry in await peek(connection)] == [Decimal("0.25"), 0]


async def test_any_number_of_long_unknown_rows_is_passed(connection: Connection, rows: Rows) -> None:
    """However many of a key are unknown for long, the next one goes."""
    for _ in range(8):
        await put(connection, rows(), "unknown", changed=LONG_AGO)
    last = rows()
    assert await ready(connection) == [last]


async def test_reducing_row_waits_for_fills_not_applied_yet(connection: Connection, rows: Rows) -> None:
    """The exchange says a buy was executed, its fills are missing: a sell waits, but not for ever."""
    buy = rows()
    await claim_all(connection)
    await connection.execute(
        "UPDATE bridge.attempt SET outcome = 'accepted', exchange_status = 'FILLED', executed = 1, "
        "settled_at = clock_timestamp()"
    )
    await put(connection, buy, "submitted")
    sell, next_buy = rows(side="sell"), rows(symbol="ETH/USDT")
    assert await ready(connection) == [next_buy]
    await connection.execute("UPDATE bridge.attempt SET settled_at = clock_timestamp() - interval '91 s'")
    assert await ready(connection) == [sell, next_buy]
    await connection.execute("UPDATE bridge.attempt SET settled_at = clock_timestamp(), filled = 1")
    assert await ready(connection) == [sell, next_buy]


async def test_look_finds_the_newest_rows_only_and_the_search_the_others(
    connection: Connection, rows: Rows
) -> None:
    """After a burst, a look reads no more than the newest rows; the keys of the others are searched for."""
    orders = [rows(symbol=f"A{number}/USDT") for number in range(70)]
    found = await ready(connection)
    assert found == orders[-64:]
    keys = await outbox.new_keys(connection, low_water=0)
    assert len(keys) == 70
    first = [key for key in keys if key.symbol in ("A0USDT", "A1USDT")]
    assert await ready(connection, low_water=None, keys=first) == orders[:2]
    assert await ready(connection, low_water=None) == []
    mark = max(entry.entry_id for entry in await peek(connection))
    assert await outbox.new_keys(connection, low_water=mark) == {Key(rows.account, "spot", "A69USDT")}
    assert await outbox.new_keys(connection, low_water=0, accounts=[]) == set()


async def test_row_that_was_changed_is_taken_in_again(connection: Connection, bot: Bot, rows: Rows) -> None:
    """A row that names another account or symbol now is said to, and gets its new key."""
    order = rows(symbol="BTC/USDT")
    other = bot.account(rows.user)
    bot.connection.execute(
        "UPDATE orders SET exchange_account_id = %s, symbol = 'ETH/USDT', side = 'sell'", [other]
    )
    (entry,) = await peek(connection)
    assert not entry.as_taken_in
    await outbox.take_in_again(connection, [entry.entry_id])
    (entry,) = await peek(connection)
    assert (entry.order.id, entry.as_taken_in) == (order, True)
    assert entry.key == Key(other, "spot", "ETHUSDT")


async def test_row_that_names_the_nil_account_is_for_the_one_it_resolves_to(
    connection: Connection, bot: Bot, database: str, rows: Rows
) -> None:
    """Possible where the foreign key is missing: trigger and sweep take the user's only account."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("ALTER TABLE orders DROP CONSTRAINT orders_exchange_account_id_fkey")
    order = bot.order(rows.user, UUID(int=0))
    for _ in range(2):
        (entry,) = await peek(connection)
        assert (entry.order.id, entry.order.account_id) == (order, rows.account)
        assert entry.account is not None
        assert entry.as_taken_in
        await connection.execute("DELETE FROM bridge.outbox")
        await outbox.take_in_missed(connection)


async def test_strategys_capital_is_its_users(connection: Connection, bot: Bot, rows: Rows) -> None:
    """A row's strategy brings its capital; another user's brings none, and no strategy no limit."""
    own, stranger = bot.strategy(rows.user), bot.strategy(bot.user())
    for symbol, strategy in (("BTC/USDT", own), ("ETH/USDT", stranger), ("SOL/USDT", None)):
        rows(symbol=symbol, strategy_id=strategy)
    assert [entry.strategy_capital for entry in await peek(connection)] == [1000, 0, None]


# -- Age (PROTOCOL 1) -----------------------------------------------------------------------------


async def aged(connection: Connection, order_id: UUID, minutes: int) -> int:
    """Make an entry that old; returns its id."""
    entry: int = await connection.fetchval(
        "UPDATE bridge.outbox SET age_from = clock_timestamp() - make_interval(mins => $2), "
        "created_at = clock_timestamp() - make_interval(mins => $2) WHERE order_id = $1 RETURNING id",
        order_id,
        minutes,
    )
    return entry


async def test_time_spent_behind_moving_rows_is_not_age(connection: Connection, rows: Rows) -> None:
    """A row behind a moving queue is as old as its turn; a queue that stands still makes it older."""
    first = rows()
    second = rows()
    entry = await aged(connection, second, 60)
    await claim_all(connection)
    await put(connection, first, "submitted")
    await connection.execute(
        "UPDATE bridge.attempt SET outcome = 'accepted', claimed_at = clock_timestamp() - interval '3 min', "
        "settled_at = clock_timestamp() - interval '2 min'"
    )
    age = await outbox.own_age(connection, entry)
    assert timedelta(minutes=2) <= age < timedelta(minutes=3)
    (looked,) = await peek(connection)
    assert looked.age < timedelta(minutes=3), "kept with the entry"


async def test_time_spent_waiting_for_nothing_is_age(connection: Connection, rows: Rows) -> None:
    """Without earlier rows sent, a row is as old as it is: a halt does not keep it young."""
    rows(symbol="ETH/USDT")
    entry = await aged(connection, rows(), 60)
    await claim_all(connection, limit=1)
    assert await outbox.own_age(connection, entry) >= timedelta(minutes=60)


async def test_rows_own_attempts_do_not_keep_it_young(connection: Connection, rows: Rows) -> None:
    """A row that was tried, and not sent, for an hour is an hour old."""
    order = rows()
    await claim_all(connection)
    await put(connection, order, "backoff")
    entry = await aged(connection, order, 60)
    assert await outbox.own_age(connection, entry) >= timedelta(minutes=60)


async def test_age_of_a_child_starts_when_its_parent_is_over(connection: Connection, rows: Rows) -> None:
    """It waited for its parent for an hour; that is no reason to hold it."""
    parent = rows(symbol="ETH/USDT")
    entry = await aged(connection, rows(parent_order_id=parent), 60)
    await put(connection, parent, "done", changed="clock_timestamp() - interval '1 minute'")
    age = await outbox.own_age(connection, entry)
    assert timedelta(minutes=1) <= age < timedelta(minutes=2)


# -- Circuit breakers -----------------------------------------------------------------------------


async def breaker_of(connection: Connection) -> str | None:
    (entry,) = await peek(connection)
    return entry.breaker


async def test_trip_is_seen_at_once_and_remembered(connection: Connection, bot: Bot, rows: Rows) -> None:
    """The bot un-trips its own row by accident: what was seen once counts on."""
    rows()
    assert await breaker_of(connection) is None
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    bot.trip_breaker(rows.user, "drawdown", reset_at=tomorrow)
    assert await breaker_of(connection) == "drawdown"
    assert await breakers.remember(connection) == {rows.user: "drawdown"}
    assert await breakers.remember(connection) == {}
    bot.connection.execute("UPDATE circuit_breaker_states SET is_triggered = false, trigger_reason = NULL")
    assert await breaker_of(connection) == "drawdown"


async def test_trip_ends_when_its_time_has_passed(connection: Connection, bot: Bot, rows: Rows) -> None:
    """The bot never resets it on purpose, so `reset_at` counts."""
    rows()
    now = datetime.now(UTC)
    bot.trip_breaker(rows.user, triggered_at=now - timedelta(hours=2), reset_at=now - timedelta(hours=1))
    await breakers.remember(connection)
    assert await breaker_of(connection) is None


async def test_reset_left_over_from_before_the_trip_does_not_end_it(
    connection: Connection, bot: Bot, rows: Rows
) -> None:
    """A `reset_at` of an earlier day says nothing about this trip: only an operator ends it."""
    rows()
    now = datetime.now(UTC)
    bot.trip_breaker(rows.user, triggered_at=now - timedelta(hours=1), reset_at=now - timedelta(days=3))
    await breakers.remember(connection)
    assert await breaker_of(connection) == "daily drawdown"


async def test_cleared_trip_stays_cleared_and_the_next_one_counts(
    connection: Connection, bot: Bot, rows: Rows
) -> None:
    """The bot's row still shows the old trip; a new trip is another one."""
    rows()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    bot.trip_breaker(rows.user, "first", reset_at=tomorrow)
    await breakers.remember(connection)
    await connection.execute("UPDATE bridge.breaker SET cleared_at = clock_timestamp(), cleared_by = 'ops'")
    assert await breakers.remember(connection) == {}
    assert await breaker_of(connection) is None
    bot.trip_breaker(rows.user, "second", reset_at=tomorrow)
    assert await breakers.remember(connection) == {rows.user: "second"}
    assert await breaker_of(connection) == "second"


# -- Whose turn has not come ----------------------------------------------------------------------


async def test_rows_that_stand_by_are_told_with_what_they_wait_for(
    connection: Connection, rows: Rows
) -> None:
    """Behind an earlier row of the key, or behind a parent; the first of a key stands by for nobody."""
    first = rows(symbol="BTC/USDT")
    second = rows(symbol="BTC/USDT")
    child = rows(symbol="ETH/USDT", parent_order_id=first)
    sell = rows(symbol="BTC/USDT", side="sell")
    third = rows(symbol="BTC/USDT")
    waiting = await outbox.standing_by(connection, limit=100, max_key_block=BLOCK)
    assert [(order, why.code) for order, _, why in waiting] == [
        (second, Code.EARLIER_ROW),
        (child, Code.PARENT_OPEN),
        (third, Code.EARLIER_ROW),
    ], "a sell waits for its own side only"
    sentences = [why.sentence for _, _, why in waiting]
    assert str(first) in sentences[0]
    assert str(first) in sentences[1]
    assert str(first) in sentences[2], "the one in front, whose own story says why"
    assert sell not in [order for order, _, _ in waiting]
    assert await outbox.standing_by(connection, limit=1, max_key_block=BLOCK) == []


async def test_only_what_is_in_the_way_is_told(connection: Connection, rows: Rows) -> None:
    """As the peek has it: an unknown is passed after a while, and what waits for its parent at once."""
    parent = rows(symbol="SOL/USDT")
    child = rows(symbol="BTC/USDT", parent_order_id=parent)
    first, second = rows(symbol="BTC/USDT"), rows(symbol="BTC/USDT")

    async def told() -> dict[UUID, Code]:
        found = await outbox.standing_by(connection, limit=100, max_key_block=BLOCK)
        return {order: why.code for order, _, why in found}

    assert await told() == {child: Code.PARENT_OPEN, second: Code.EARLIER_ROW}
    await put(connection, first, "unknown")
    assert await told() == {child: Code.PARENT_OPEN, second: Code.EARLIER_ROW}
    await put(connection, first, "unknown", changed=LONG_AGO)
    assert await told() == {child: Code.PARENT_OPEN}
    assert second in await ready(connection)


async def test_what_reduces_says_that_fills_are_missing(connection: Connection, rows: Rows) -> None:
    """The exchange has reported more than the ledger has: the sell is not sized before that is there."""
    bought = rows(symbol="BTC/USDT")
    await claim_all(connection)
    await connection.execute(
        "UPDATE bridge.attempt SET outcome = 'accepted', executed = 1, settled_at = now()"
    )
    await put(connection, bought, "done")
    sell = rows(symbol="BTC/USDT", side="sell")
    assert await ready(connection) == []
    ((order, _, why),) = await outbox.standing_by(connection, limit=100, max_key_block=BLOCK)
    assert (order, why.code) == (sell, Code.FILLS_MISSING)
    assert str(bought) in why.sentence


@pytest.mark.parametrize(
    ("kind", "word", "column"),
    [
        ("order_type", "trailing_stop", "type"),
        ("market_type", "margin", "market_type"),
        ("order_side", "short", "side"),
    ],
)
async def test_words_of_a_newer_bot_keep_no_other_row_from_its_turn(
    connection: Connection, rows: Rows, database: str, kind: str, word: str, column: str
) -> None:
    """A row of an unknown type is told of by the sweep, one of an unknown market is left alone."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"ALTER TYPE public.{kind} ADD VALUE '{word}'")
    await epoch_of(connection)
    odd, good = rows(**{column: word}), rows(symbol="ETH/USDT")
    assert await outbox.take_in_missed(connection) == []
    assert await ready(connection) == [good]
    assert [order.id for order in await outbox.get_pending(connection, 10)] == [good]
    found = await outbox.unknown_types(connection, limit=10)
    assert [why.code for *_, why in found] == ([Code.TYPE_UNKNOWN] if column == "type" else [])
    if found:
        ((entry, version, _, why),) = found
        assert await settling.refuse(connection, [(entry, version, why.code, why.sentence)]) == {odd}
        assert await outbox.unknown_types(connection, limit=10) == []


async def test_row_that_takes_an_unknown_market_after_it_was_taken_in_is_not_sent(
    connection: Connection, rows: Rows, database: str
) -> None:
    """Nor followed: its entry keeps the market it was taken in with, and the row says another."""
    rows()
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("ALTER TYPE public.market_type ADD VALUE 'margin'")
        admin.execute("UPDATE orders SET market_type = 'margin'")
    (entry,) = await peek(connection)
    assert not entry.as_taken_in
    assert await outbox.take_in_again(connection, [entry.entry_id]) == 0


async def test_types_that_the_peek_shows_are_all_there_are() -> None:
    """The statement names them, and so does the code."""
    words = ", ".join(f"'{one}'" for one in OrderType)
    for name in ("peek", "pending"):
        assert f"o.type::text IN ({words})" in statement(name)


# -- Why a row waits ------------------------------------------------------------------------------

HALTED = wait(Code.HALTED, scope="everything", reason="a drill")


async def noted(connection: Connection, order: UUID) -> asyncpg.Record:
    row = await connection.fetchrow(
        "SELECT reason_code, reason, changed_at, xmin::text FROM bridge.outbox WHERE order_id = $1", order
    )
    assert row is not None
    return row


async def test_reason_for_waiting_is_kept_with_the_entry(connection: Connection, rows: Rows) -> None:
    """Written when it changes, and not again while it stays; since when the row waits is not touched."""
    order = rows()
    before = await noted(connection, order)
    (entry,) = await peek(connection)
    await outbox.note_waiting(connection, [(entry, HALTED)])
    first = await noted(connection, order)
    assert (first["reason_code"], first["reason"]) == ("halted", HALTED.sentence)
    assert first["changed_at"] == before["changed_at"]
    await outbox.note_waiting(connection, [(entry, HALTED)])  # of a process that looked before
    (entry,) = await peek(connection)
    await outbox.note_waiting(connection, [(entry, HALTED)])
    assert (await noted(connection, order))["xmin"] == first["xmin"]
    other = wait(Code.HALTED, scope="everything", reason="another drill")
    await outbox.note_waiting(connection, [(entry, other)])
    assert (await noted(connection, order))["reason"] == other.sentence


async def test_reason_for_waiting_ends_with_the_waiting(connection: Connection, rows: Rows) -> None:
    """The claim takes it away, and a process that comes late with its word changes nothing."""
    order = rows()
    (late,) = await peek(connection)
    await outbox.note_waiting(connection, [(late, HALTED)])
    await claim_all(connection)
    assert (await noted(connection, order))["reason_code"] is None
    await outbox.note_waiting(connection, [(late, wait(Code.RATE_LIMITED))])
    assert (await noted(connection, order))["reason_code"] is None


async def test_noting_a_reason_waits_for_nobody(
    connection: Connection, rows: Rows, bridge_database: str
) -> None:
    """Whoever has the entry locked is about to say something better."""
    rows()
    (entry,) = await peek(connection)
    with psycopg.connect(bridge_database) as other:
        other.execute("SELECT FROM bridge.outbox FOR UPDATE")
        await connection.execute("SET statement_timeout = '2s'")
        await outbox.note_waiting(connection, [(entry, HALTED)])
        other.rollback()
    assert (await noted(connection, entry.order.id))["reason_code"] is None


async def test_row_older_than_a_change_of_history_is_in_quarantine(
    connection: Connection, rows: Rows
) -> None:
    """Until somebody has asked for its ids; a younger one is not."""
    await epoch_of(connection)
    old = rows(symbol="BTC/USDT")
    changed = await epochs.current(connection, quarantine=QUARANTINE, why="a snapshot was put back")
    rows(symbol="ETH/USDT")
    assert [e.quarantined_until for e in await peek(connection)] == [changed.quarantine_until, None]
    await connection.execute("UPDATE bridge.outbox SET asked_epoch = $1 WHERE order_id = $2", changed.id, old)
    assert [e.quarantined_until for e in await peek(connection)] == [None, None]


async def test_a_row_without_entry_is_older_than_a_change_of_history(
    connection: Connection, rows: Rows
) -> None:
    """A sweep of the lost history may have taken it in, and the order may have been sent."""
    await epoch_of(connection)
    rows()
    await connection.execute("DELETE FROM bridge.outbox")
    changed = await epochs.current(connection, quarantine=QUARANTINE, why="a snapshot was put back")
    assert await outbox.take_in_missed(connection) == []
    assert [e.quarantined_until for e in await peek(connection)] == [changed.quarantine_until]


async def test_a_conditional_row_is_asked_about_later(connection: Connection, rows: Rows) -> None:
    """Its margins are double: the rows beside it do not wait for it."""
    await epoch_of(connection)
    plain = rows(market_type="futures")
    stop = rows(market_type="futures", type="stop_market", stop_price=Decimal(60000))
    changed = await epochs.current(connection, quarantine=timedelta(0), why="a snapshot was put back")

    async def taken(later: timedelta) -> list[tuple[UUID, bool]]:
        old = await take_old_rows(
            connection, changed.id, owner="test", lease=BLOCK, conditional_later=later, accounts=None
        )
        return [(row.order_id, row.conditional) for row in old]

    assert await taken(timedelta(hours=1)) == [(plain, False)]
    assert await taken(timedelta(0)) == [(stop, True)]
