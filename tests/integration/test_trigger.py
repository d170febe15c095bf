"""PROTOCOL 1: the trigger takes the bot's rows in and can never make the bot's INSERT fail."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row

from shared.database.migrate import migrate
from tests.bot import Bot, order_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.database_server import DatabaseServer

Row = dict[str, Any]


class Ours:
    """Schema `bridge` as a superuser sees it, and what was notified."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self.connection.execute("LISTEN bridge_orders")

    def entries(self) -> list[Row]:
        return self.connection.execute("SELECT * FROM bridge.outbox ORDER BY id").fetchall()

    def entry(self, order_id: UUID) -> Row:
        (found,) = (entry for entry in self.entries() if entry["order_id"] == order_id)
        return found

    def failures(self) -> int:
        row = self.connection.execute(
            "SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS n FROM bridge.trigger_failures"
        ).fetchone()
        assert row is not None
        count: int = row["n"]
        return count

    def notified(self) -> list[str]:
        """What came since the last call, up to a notification of our own (they arrive in order of commit)."""
        with psycopg.connect(self.dsn, autocommit=True) as other:
            other.execute("NOTIFY bridge_orders, 'that is all'")
        came = []
        for notice in self.connection.notifies():
            if notice.payload == "that is all":
                break
            came.append(notice.payload)
        return came


@pytest.fixture
def ours(database: str) -> Iterator[Ours]:
    seen = Ours(database)
    yield seen
    seen.connection.close()


@pytest.fixture
def user(bot: Bot) -> UUID:
    return bot.user()


@pytest.fixture
def account(bot: Bot, user: UUID) -> UUID:
    return bot.account(user)


def test_a_pending_row_becomes_an_entry_and_one_notification(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """The entry carries what the row says, ready to be claimed; so does the notification."""
    strategy = bot.strategy(user)
    order = bot.order(user, account, symbol="btc-usdt", strategy_id=strategy)
    entry = ours.entry(order)
    assert (entry["state"], entry["attempts"], entry["symbol"], entry["market"]) == (
        "new",
        0,
        "BTCUSDT",
        "spot",
    )
    assert (entry["user_id"], entry["account_id"], entry["strategy_id"]) == (user, account, strategy)
    assert (entry["side"], entry["reduces"], entry["parent_id"]) == ("buy", False, None)
    (announced,) = ours.notified()
    assert json.loads(announced)[2:6] == [str(order), str(user), str(account), str(strategy)]
    assert ours.failures() == 0


def test_the_bots_role_has_no_right_on_schema_bridge(bot: Bot) -> None:
    """The tests here prove something: the inserting role can neither see nor call anything of ours."""
    for forbidden in (
        "SELECT FROM bridge.outbox",
        "SELECT bridge.key_symbol('x')",
        "SELECT nextval('bridge.statement_id')",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            bot.connection.execute(forbidden.encode())


@pytest.mark.parametrize("way", [Bot.orders, Bot.copy_orders], ids=["one INSERT", "COPY"])
def test_a_bulk_insert_is_taken_in_whole_with_one_notification(
    way: Any, ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """Each of 500 rows becomes an entry of the same statement, and the executor is woken once."""
    ids = way(bot, [order_row(user, account, amount=Decimal(100 + n)) for n in range(500)])
    entries = ours.entries()
    assert sorted(entry["order_id"] for entry in entries) == sorted(ids)
    assert len({entry["statement_id"] for entry in entries}) == 1
    assert ours.notified() == [""]


def test_many_statements_of_one_transaction_are_announced_at_its_commit(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """Each by itself: the lock that NOTIFY takes across the cluster is taken once."""
    with bot.connection.transaction():
        for _ in range(3):
            bot.order(user, account)
        assert ours.entries() == []
    assert len({entry["statement_id"] for entry in ours.entries()}) == 3
    assert [json.loads(text)[0] for text in ours.notified()] == [entry["id"] for entry in ours.entries()]


def test_a_transaction_that_is_rolled_back_leaves_nothing(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """No row, no entry, no notification."""
    with bot.connection.transaction(force_rollback=True):
        bot.order(user, account)
    assert ours.entries() == []
    assert ours.notified() == []


def test_only_pending_rows_are_taken_in(ours: Ours, bot: Bot, user: UUID, account: UUID) -> None:
    """Rows inserted in another status are none of our business, alone or among pending ones."""
    bot.order(user, account, status="open")
    assert (ours.entries(), ours.notified()) == ([], [])
    pending = order_row(user, account)
    bot.orders([order_row(user, account, status="filled"), pending])
    assert [entry["order_id"] for entry in ours.entries()] == [pending["id"]]


def test_updates_and_deletes_wake_nobody(ours: Ours, bot: Bot, user: UUID, account: UUID) -> None:
    """The trigger is insert-only: what the bot does to a row later is found by the sweep."""
    order = bot.order(user, account)
    ours.notified()
    before = ours.entries()
    bot.cancel(order)
    bot.connection.execute("UPDATE orders SET status = 'pending'")
    bot.connection.execute("DELETE FROM orders")
    assert (ours.entries(), ours.notified()) == (before, [])


@pytest.mark.parametrize(
    ("columns", "reduces"),
    [
        ({"side": "buy"}, False),
        ({"side": "sell"}, True),
        ({"market_type": "futures", "side": "sell"}, False),
        ({"market_type": "futures", "side": "sell", "reduce_only": True}, True),
        ({"market_type": "futures", "side": "sell", "reduce_only": None}, False),
    ],
)
def test_the_entry_knows_whether_the_row_only_reduces(
    columns: Row, reduces: bool, ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """A spot sell and a reduce-only row can only make a position smaller."""
    assert ours.entry(bot.order(user, account, **columns))["reduces"] is reduces


def test_nulls_where_the_bot_writes_zeros_are_taken_in(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """A row somebody wrote by hand, with NULL for what is absent, is a twin of the same row with zeros."""
    absent = (
        "exchange_order_id",
        "price",
        "stop_price",
        "reduce_only",
        "agent_id",
        "reasoning",
        "fee_currency",
    )
    by_hand = ours.entry(bot.order(user, account, **dict.fromkeys(absent)))
    by_bot = ours.entry(bot.order(user, account))
    assert by_hand["twin_key"] == by_bot["twin_key"]
    assert ours.failures() == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"symbol": "ETH/USDT"},
        {"market_type": "futures"},
        {"side": "sell"},
        {"type": "limit"},
        {"amount": Decimal("350.00000001")},
        {"price": Decimal(1)},
        {"stop_price": Decimal(1)},
    ],
    ids=lambda columns: next(iter(columns)),
)
def test_a_row_that_differs_is_no_twin(columns: Row, ours: Ours, bot: Bot, user: UUID, account: UUID) -> None:
    """Whatever the two rows would be sent with makes them different orders."""
    first = ours.entry(bot.order(user, account))
    second = ours.entry(bot.order(user, account, **columns))
    assert first["twin_key"] != second["twin_key"]


def test_the_bots_own_retry_is_a_twin_from_another_statement(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """The bot repeats an INSERT under a new id: same twin key, other statement, any spelling."""
    first, second = (
        ours.entry(bot.order(user, account, symbol=symbol)) for symbol in ("BTC/USDT", "BTCUSDT")
    )
    assert first["twin_key"] == second["twin_key"]
    assert first["statement_id"] != second["statement_id"]


BREAK_IN = {
    "our table is gone": "ALTER TABLE bridge.outbox RENAME TO mislaid",
    "our table refuses the row": "ALTER TABLE bridge.outbox ADD CHECK (false) NOT VALID",
    "a column was added that we do not fill": "ALTER TABLE bridge.outbox ADD COLUMN more text NOT NULL",
    "our function calls what is not there": "DROP FUNCTION bridge.twin_key CASCADE",
    "our function's owner lost its rights": "REVOKE ALL ON bridge.outbox FROM PUBLIC, {owner}",
    "our sequence is gone": "DROP SEQUENCE bridge.statement_id",
    "a trigger of ours raises": (
        "CREATE FUNCTION bridge.no() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no'; END $$; "
        "CREATE TRIGGER no BEFORE INSERT ON bridge.outbox FOR EACH ROW EXECUTE FUNCTION bridge.no()"
    ),
}


@pytest.mark.parametrize("accident", BREAK_IN)
def test_the_bots_insert_succeeds_whatever_happens_to_us(
    accident: str, ours: Ours, bot: Bot, user: UUID, account: UUID, database_server: DatabaseServer
) -> None:
    """With our part broken the bot's rows are committed; each failed statement is counted."""
    ours.connection.execute(BREAK_IN[accident].format(owner=database_server.bridge.name).encode())
    with bot.connection.transaction():
        first = bot.order(user, account)
        rest = bot.orders([order_row(user, account) for _ in range(3)])
    rest += bot.copy_orders([order_row(user, account)])
    assert {bot.read_order(order)["status"] for order in (first, *rest)} == {"pending"}
    assert ours.failures() == 3
    assert ours.notified() == []


def test_even_counting_may_fail(ours: Ours, bot: Bot, user: UUID, account: UUID) -> None:
    """Without the counter too the bot notices nothing."""
    ours.connection.execute("DROP SEQUENCE bridge.trigger_failures, bridge.statement_id")
    assert bot.read_order(bot.order(user, account))["status"] == "pending"
    assert ours.entries() == []


def test_a_lock_on_our_table_does_not_hold_the_bot(
    database: str, ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """While somebody holds bridge.outbox the trigger gives up after a moment; the row is committed."""
    with psycopg.connect(database) as somebody:
        somebody.execute("LOCK TABLE bridge.outbox IN ACCESS EXCLUSIVE MODE")
        order = bot.order(user, account)
        assert bot.read_order(order)["status"] == "pending"
        assert ours.failures() == 1
    assert ours.entries() == []


def test_a_failed_insert_of_the_bot_fails_as_without_us(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """The bot's own errors reach it unchanged, and leave no entry."""
    order = bot.order(user, account)
    with pytest.raises(errors.UniqueViolation):
        bot.order(user, account, id=order)
    with pytest.raises(errors.ForeignKeyViolation):
        bot.order(user, uuid4())
    assert len(ours.entries()) == 1
    assert ours.failures() == 0


def test_the_bots_session_cannot_lead_the_function_astray(
    ours: Ours, bot: Bot, user: UUID, account: UUID
) -> None:
    """Objects of the same names in the bot's search path are not used; its lock_timeout is left alone."""
    bot.connection.execute(
        "CREATE TEMP TABLE inserted (status text); CREATE TEMP TABLE outbox (order_id uuid); "
        "CREATE FUNCTION public.nextval(text) RETURNS bigint LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'led astray as %', current_user; END $$; "
        "SET search_path = public, pg_catalog; SET lock_timeout = '7s'"
    )
    order = bot.order(user, account)
    assert ours.entry(order)["state"] == "new"
    assert ours.failures() == 0
    assert bot.connection.execute("SHOW lock_timeout").fetchone() == {"lock_timeout": "7s"}


def test_rows_from_before_us_are_held(database_server: DatabaseServer, bare_database_name: str) -> None:
    """What was pending when the bridge was switched on waits for its owner; the rest has no entry."""
    dsn = database_server.dsn(bare_database_name)
    with Bot(database_server.dsn(bare_database_name, database_server.bot)) as bot:
        user = bot.user()
        account = bot.account(user)
        old = [bot.order(user, account), bot.order(user, account, side="sell")]
        bot.order(user, account, status="filled")
        migrate(dsn)
        new = bot.order(user, account)
        ours = Ours(dsn)
        entries = {entry["order_id"]: entry for entry in ours.entries()}
        ours.connection.close()
        assert list(entries) == [*old, new]
        assert [entries[order]["state"] for order in (*old, new)] == ["held", "held", "new"]
        assert {entries[order]["reason_code"] for order in old} == {"from_before"}
        assert "bridge adopt" in entries[old[0]]["reason"]
        assert {bot.read_order(order)["status"] for order in old} == {"pending"}


def test_no_row_slips_between_before_and_after(
    database_server: DatabaseServer, bare_database_name: str
) -> None:
    """Rows inserted while the bridge is being switched on are all taken in, each once: held or new."""
    dsn = database_server.dsn(bare_database_name)
    bot_dsn = database_server.dsn(bare_database_name, database_server.bot)
    inserted: list[UUID] = []
    under_way, switched_on = threading.Event(), threading.Event()

    def trade() -> None:
        with Bot(bot_dsn) as bot:
            user = bot.user()
            account = bot.account(user)
            while not switched_on.is_set():
                inserted.append(bot.order(user, account))
                if len(inserted) == 50:
                    under_way.set()
            inserted.append(bot.order(user, account))

    trader = threading.Thread(target=trade)
    trader.start()
    try:
        assert under_way.wait(30)
        migrate(dsn)
    finally:
        switched_on.set()
        trader.join()
    ours = Ours(dsn)
    states = {entry["order_id"]: entry["state"] for entry in ours.entries()}
    ours.connection.close()
    assert set(states) == set(inserted)
    in_order = [states[order] for order in inserted]
    assert in_order == sorted(in_order)  # first the held ones, then the new ones
    assert {"held", "new"} == set(in_order)
