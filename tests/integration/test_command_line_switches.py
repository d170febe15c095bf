"""`bridge halt`, `resume`, `reduce-only`, `switches`: what they write, what they wait for, who is woken."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from tests.command_line import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bot import Bot


@pytest.fixture
def terminal(bridge_database: str) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database})


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user, label="main")


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """A second operator, at another terminal."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def send(connection: psycopg.Connection[Any], order: UUID, account: tuple[UUID, UUID]) -> None:
    """Claim an order, as far as the switches can see."""
    connection.execute(
        "UPDATE bridge.outbox SET state = 'sending', attempts = 1, token = %s, "
        "lease_until = clock_timestamp() + interval '30 s' WHERE order_id = %s",
        [uuid4(), order],
    )
    connection.execute(
        "INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, symbol, "
        "parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, base_asset, "
        "quote_asset) "
        "VALUES (%s, 1, %s, %s, %s, 'spot', 'BTCUSDT', '', 0, 5000, '', '', 1, %s, 'BTC', 'USDT')",
        [order, str(order), account[1], account[0], uuid4()],
    )


def settle(connection: psycopg.Connection[Any], order: UUID) -> None:
    """Settle it as accepted."""
    connection.execute("UPDATE bridge.attempt SET outcome = 'accepted' WHERE order_id = %s", [order])
    connection.execute("UPDATE bridge.outbox SET state = 'submitted' WHERE order_id = %s", [order])


def has_looked(connection: psycopg.Connection[Any], since: object) -> bool:
    """Tell whether a halt has begun, after a moment, to look at what is in flight."""
    looked = connection.execute(
        "SELECT FROM pg_stat_activity WHERE application_name = 'bridge' AND datname = current_database() "
        "AND query_start > %s AND query LIKE '%%between claim and settled%%'",
        [since],
    )
    return looked.fetchone() is not None


def turned(connection: psycopg.Connection[Any]) -> object:
    """Wait until a halt is in force; returns since when."""
    while (row := connection.execute("SELECT set_at FROM bridge.control WHERE halted").fetchone()) is None:
        pass
    return row[0]


def now(connection: psycopg.Connection[Any]) -> object:
    """Return the database's time."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0]


def until(condition: Callable[[], object]) -> None:
    """Wait for something another connection does; the test's own timeout is the bound."""
    while not condition():
        pass


def test_halt_and_resume_everything(terminal: Terminal, admin: psycopg.Connection[Any]) -> None:
    """A halt is a row with reason and name, an audit event and a notification; so is its end."""
    admin.execute("LISTEN bridge_orders")
    told = terminal.json("halt", "--reason", "exchange acts strangely")
    assert (told["halted"], told["was_in_flight"], told["in_flight"]) == ("everything", [], [])
    row = admin.execute("SELECT scope, key, halted, reason FROM bridge.control").fetchone()
    assert row == ("global", "", True, "exchange acts strangely")
    assert len(list(admin.notifies(timeout=10, stop_after=1))) == 1
    (switch,) = terminal.json("switches")
    assert (switch["kind"], switch["reason"]) == ("halt", "exchange acts strangely")
    assert switch["set_by"]
    assert "Nothing keeps orders" not in terminal.run("switches")
    told = terminal.json("resume")
    assert told == {"resumed": "everything", "still_halted": []}
    assert len(list(admin.notifies(timeout=10, stop_after=1))) == 1
    assert terminal.json("switches") == []
    kinds = admin.execute("SELECT kind, data ->> 'reason' FROM bridge.event ORDER BY id").fetchall()
    assert kinds == [("halted", "exchange acts strangely"), ("resumed", "resumed by the operator")]


def test_scopes_are_apart(terminal: Terminal, account: tuple[UUID, UUID]) -> None:
    """Halts of an account and of a symbol are switches of their own; resuming one leaves the others."""
    terminal.run("halt", "--account", "main")
    terminal.run("halt", "--symbol", "btc/usdt")
    listed = {(row["scope"], row["key"]) for row in terminal.json("switches")}
    assert listed == {("account", str(account[1])), ("symbol", "BTCUSDT")}
    told = terminal.json("resume", "--symbol", "BTC-USDT")
    assert [(row["scope"], row["key"]) for row in told["still_halted"]] == [("account", str(account[1]))]
    assert "Still halted" in terminal.run("resume", "--symbol", "BTCUSDT")
    terminal.run("halt", "--account", "main", "--symbol", "BTC/USDT", code=ExitCode.USAGE)
    terminal.run("halt", "--account", str(uuid4()), code=ExitCode.NOT_FOUND)


def test_reduce_only_leaves_the_halt_alone(terminal: Terminal) -> None:
    """The two switches of one scope are turned independently of each other."""
    terminal.run("halt")
    terminal.run("reduce-only", "on", "--reason", "winding down")
    (switch,) = terminal.json("switches")
    assert switch["kind"] == "halt, reduce-only"
    terminal.run("resume")
    (switch,) = terminal.json("switches")
    assert switch["kind"] == "reduce-only"
    terminal.run("reduce-only", "off")
    assert terminal.json("switches") == []
    terminal.run("reduce-only", "perhaps", code=ExitCode.USAGE)


def test_halt_returns_when_nothing_is_in_flight(
    terminal: Terminal,
    bot: Bot,
    account: tuple[UUID, UUID],
    admin: psycopg.Connection[Any],
    beside: ThreadPoolExecutor,
) -> None:
    """A halt waits for the answer of what was being sent, and says what became of it."""
    order = bot.order(*account)
    send(admin, order, account)
    halting: Future[Any] = beside.submit(terminal.json, "halt")
    turned(admin)
    assert not halting.done()
    settle(admin, order)
    told = halting.result()
    assert [(row["order_id"], row["outcome"]) for row in told["was_in_flight"]] == [(str(order), "accepted")]
    assert told["in_flight"] == []
    assert told["at_exchange"] == 1


def test_halt_waits_for_a_claim_that_had_not_seen_it(
    terminal: Terminal,
    bot: Bot,
    account: tuple[UUID, UUID],
    admin: psycopg.Connection[Any],
    database: str,
    beside: ThreadPoolExecutor,
) -> None:
    """A claim that began before the halt and commits after it is not missed: halt waits for its answer."""
    order = bot.order(*account)
    with psycopg.connect(database) as claim:
        send(claim, order, account)  # not committed: nobody else sees it
        halting: Future[Any] = beside.submit(terminal.json, "halt")
        since = turned(admin)
        until(lambda: has_looked(admin, since))
        assert admin.execute("SELECT FROM bridge.outbox WHERE state = 'sending'").fetchone() is None
        assert not halting.done()
        claim.commit()
    since = now(admin)
    until(lambda: has_looked(admin, since))
    assert not halting.done()
    settle(admin, order)
    assert [row["order_id"] for row in halting.result()["was_in_flight"]] == [str(order)]


def test_halt_says_what_it_could_not_wait_for(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], admin: psycopg.Connection[Any]
) -> None:
    """What is in flight when the time is over is named, and the exit code says so; another scope is not."""
    order = bot.order(*account)
    send(admin, order, account)
    text = terminal.run("halt", "--wait", "0", code=ExitCode.UNFINISHED)
    assert str(order)[:8] in text
    assert terminal.json("halt", "--symbol", "ETH/USDT", "--wait", "0")["in_flight"] == []


def test_a_bot_that_holds_an_insert_open_does_not_stop_a_halt(
    terminal: Terminal, account: tuple[UUID, UUID], bot_database: str
) -> None:
    """The bot's open transaction is no claim: a halt does not wait for it, nor does the bot for the halt."""
    from tests.bot import Bot as OtherBot

    with OtherBot(bot_database) as slow, slow.connection.transaction():
        slow.order(*account)
        assert terminal.json("halt", "--wait", "0")["in_flight"] == []


async def test_cancel_open_cancels_what_was_sent_only(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], admin: psycopg.Connection[Any]
) -> None:
    """`--cancel-open` writes `canceled` on what is at the exchange; rows that wait keep their place."""
    sent, waiting = bot.order(*account), bot.order(*account, symbol="ETH/USDT")
    send(admin, sent, account)
    settle(admin, sent)
    admin.execute("UPDATE orders SET status = 'open' WHERE id = %s", [sent])
    told = terminal.json("halt", "--cancel-open")
    assert told["canceled"] == [str(sent)]
    assert bot.read_order(sent)["status"] == "canceled"
    assert bot.read_order(waiting)["status"] == "pending"


def test_a_tripped_breaker_is_listed(terminal: Terminal, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """What the bot tripped stands among the switches, with its reason."""
    bot.trip_breaker(account[0], "daily drawdown")
    (switch,) = terminal.json("switches")
    assert (switch["kind"], switch["key"], switch["reason"]) == ("breaker", str(account[0]), "daily drawdown")
