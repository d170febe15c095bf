"""`bridge place`, `cancel` and `accounts prefer`: rows as the bot writes them, accounts as DESIGN 5 says."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from tests.command_line import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bot import Bot

NIL = UUID(int=0)


@pytest.fixture
def terminal(bridge_database: str) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database})


@pytest.fixture
def user(bot: Bot) -> UUID:
    return bot.user()


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def resolved(connection: psycopg.Connection[Any], user: UUID, strategy: UUID | None = None) -> UUID | None:
    row = connection.execute("SELECT bridge.resolve_account(%s, %s)", [user, strategy]).fetchone()
    assert row is not None
    account: UUID | None = row[0]
    return account


def test_a_placed_row_is_one_of_the_bots(terminal: Terminal, bot: Bot, user: UUID) -> None:
    """Same columns, same zero values, no NULL the bot cannot read; the trigger takes it in."""
    account = bot.account(user, label="main")
    placed = UUID(terminal.json("place", "buy", "BTC/USDT", "350", "--account", "main")["order"])
    ours, theirs = bot.read_order(placed), bot.read_order(bot.order(user, account))
    for row in (ours, theirs):
        for name in ("id", "created_at", "updated_at", "agent_id", "reasoning"):
            row.pop(name)
    assert ours == theirs
    (listed,) = terminal.json("orders", "--state", "new", "--limit", "1", "--symbol", "BTCUSDT")[:1]
    assert listed["status"] == "pending"


def test_every_column_can_be_given(terminal: Terminal, bot: Bot, user: UUID) -> None:
    """Limit and stop orders, reduce-only, agent, reason, parent and strategy arrive in the row."""
    strategy = bot.strategy(user)
    parent = bot.order(user, bot.account(user))
    told = terminal.json(
        *("place", "sell", "ETH/USDT", "0.5", "--strategy", strategy, "--type", "stop_limit"),
        *("--price", "3400.5", "--stop-price", "3450", "--reduce-only", "--agent", "desk", "--reason", "cut"),
        *("--parent", str(parent)[:8], "--market", "futures"),
    )
    row = bot.read_order(UUID(told["order"]))
    assert (row["side"], row["type"], row["market_type"]) == ("sell", "stop_limit", "futures")
    assert (row["amount"], row["price"], row["stop_price"]) == (
        Decimal("0.5"),
        Decimal("3400.5"),
        Decimal(3450),
    )
    assert (row["reduce_only"], row["agent_id"], row["reasoning"]) == (True, "desk", "cut")
    assert (row["strategy_id"], row["parent_order_id"], row["user_id"]) == (strategy, parent, user)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["buy", "BTC/USDT", "0"], "more than 0"),
        (["buy", "BTC/USDT", "-5"], ""),
        (["buy", "BTC/USDT", "NaN"], ""),
        (["buy", "BTC/USDT", "1", "--type", "limit"], "needs --price"),
        (["buy", "BTC/USDT", "1", "--type", "stop_limit"], "needs --stop-price"),
        (["buy", " ", "1"], "like BTC/USDT"),
        (["hold", "BTC/USDT", "1"], ""),
        (["buy", "BTC/USDT", "1"], "--account, --user or --strategy"),
    ],
)
def test_nonsense_is_not_placed(terminal: Terminal, bot: Bot, arguments: list[str], sentence: str) -> None:
    """What no order can be is a usage error, and nothing is inserted."""
    assert sentence in terminal.run("place", *arguments, code=ExitCode.USAGE)
    assert terminal.json("orders") == []


def test_the_only_active_account_is_taken(
    terminal: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """Without a preference a single active account is clear; none or several are not: nothing is guessed."""
    assert resolved(admin, user) is None
    assert "no active account" in terminal.run(
        "place", "buy", "BTC/USDT", "1", "--user", user, code=ExitCode.REFUSED
    )
    bot.account(user, is_active=False)
    bot.account(user, exchange="bybit")
    only = bot.account(user)
    assert resolved(admin, user) == only
    told = terminal.json("place", "buy", "BTC/USDT", "1", "--user", user)
    assert told["account"] == str(only)
    assert "only active" in told["account_chosen"]
    bot.account(user)
    assert resolved(admin, user) is None
    text = terminal.run("place", "buy", "BTC/USDT", "1", "--user", user, code=ExitCode.REFUSED)
    assert "2 active accounts" in text
    assert "bridge accounts prefer" in text


def test_preferences(terminal: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]) -> None:
    """The strategy's preference counts before the user's; forgetting one brings the other back."""
    strategy = bot.strategy(user)
    first, second = bot.account(user, label="first"), bot.account(user, label="second")
    terminal.run("accounts", "prefer", "first")
    assert resolved(admin, user, strategy) == first
    terminal.run("accounts", "prefer", "second", "--strategy", strategy)
    assert (resolved(admin, user, strategy), resolved(admin, user)) == (second, first)
    assert resolved(admin, user, uuid4()) == first
    assert len(terminal.json("accounts", "prefer")) == 2
    assert terminal.json("place", "buy", "BTC/USDT", "1", "--strategy", strategy)["account"] == str(second)
    terminal.run("accounts", "prefer", "--strategy", strategy, "--forget")
    assert resolved(admin, user, strategy) == first
    terminal.run("accounts", "prefer", "--strategy", strategy, "--forget", code=ExitCode.NOT_FOUND)


def test_a_preferred_account_that_cannot_be_used_is_not_replaced(
    terminal: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """An inactive preferred account is no reason to take another; a foreign one cannot be preferred."""
    preferred = bot.account(user, label="first")
    bot.account(user, label="second")
    terminal.run("accounts", "prefer", "first")
    bot.connection.execute("UPDATE exchange_accounts SET is_active = false WHERE id = %s", [preferred])
    assert resolved(admin, user) is None
    text = terminal.run("place", "buy", "BTC/USDT", "1", "--user", user, code=ExitCode.REFUSED)
    assert "inactive" in text
    bot.account(bot.user(), label="foreign")
    terminal.run("accounts", "prefer", "foreign", "--user", user, code=ExitCode.REFUSED)


def test_a_row_that_names_the_nil_account_is_resolved(
    bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """Where the foreign key is missing the bot may name the nil UUID: its entry gets the resolved account."""
    admin.execute("ALTER TABLE orders DROP CONSTRAINT orders_exchange_account_id_fkey")
    unclear = bot.order(user, NIL)
    only = bot.account(user)
    clear = bot.order(user, NIL, symbol="ETH/USDT")
    accounts = dict(admin.execute("SELECT order_id, account_id FROM bridge.outbox").fetchall())
    assert accounts == {unclear: NIL, clear: only}


def test_accounts_and_users_must_fit(terminal: Terminal, bot: Bot, user: UUID) -> None:
    """Another user's account or strategy, and ones that are not there, are refused; nothing is inserted."""
    bot.account(user, label="main")
    other = bot.user()
    place = ("place", "buy", "BTC/USDT", "1")
    terminal.run(*place, "--account", "main", "--user", other, code=ExitCode.USAGE)
    terminal.run(*place, "--strategy", bot.strategy(other), "--user", user, code=ExitCode.USAGE)
    terminal.run(*place, "--strategy", uuid4(), code=ExitCode.NOT_FOUND)
    terminal.run(*place, "--account", "none", code=ExitCode.USAGE)
    assert terminal.json("orders") == []


def test_waiting_for_what_becomes_of_it(terminal: Terminal, bot: Bot, user: UUID) -> None:
    """`--wait` ends without an executor in `unfinished`, and says how to look."""
    bot.account(user, label="main")
    text = terminal.run(
        "place", "buy", "BTC/USDT", "1", "--account", "main", "--wait", "0.01", code=ExitCode.UNFINISHED
    )
    assert "pending (new)" in text


def test_cancel_writes_what_the_bot_writes(
    terminal: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """Only rows that are not over are cancelled; ended ones keep their status."""
    account = bot.account(user, label="main")
    pending, filled = bot.order(user, account), bot.order(user, account, status="filled", symbol="ETH/USDT")
    told = terminal.json("cancel", pending, filled, code=ExitCode.REFUSED)
    assert [(row["order"], row["before"], row["status"]) for row in told] == [
        (str(pending), "pending", "canceled")
    ]
    assert bot.read_order(filled)["status"] == "filled"
    kinds = admin.execute("SELECT kind, data ->> 'status' FROM bridge.event").fetchall()
    assert kinds == [("cancel_requested", "pending")]


def test_cancel_by_scope(terminal: Terminal, bot: Bot, user: UUID) -> None:
    """By account, by symbol, or everything; never both, never nothing."""
    first, second = bot.account(user, label="first"), bot.account(user, label="second")
    a = bot.order(user, first, symbol="BTC/USDT")
    b = bot.order(user, second, symbol="BTC/USDT")
    c = bot.order(user, second, symbol="ETH/USDT")
    assert [row["order"] for row in terminal.json("cancel", "--account", "first")] == [str(a)]
    assert [row["order"] for row in terminal.json("cancel", "--symbol", "btcusdt")] == [str(b)]
    assert [row["order"] for row in terminal.json("cancel", "--all")] == [str(c)]
    assert "Nothing to cancel" in terminal.run("cancel", "--all")
    terminal.run("cancel", code=ExitCode.USAGE)
    terminal.run("cancel", "--all", "--account", "first", code=ExitCode.USAGE)
    terminal.run("cancel", a, "--all", code=ExitCode.USAGE)
