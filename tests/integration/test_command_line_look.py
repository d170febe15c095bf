"""`bridge orders`, `bridge order`, `bridge positions`: what an operator sees, on a real database."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from tests.command_line import Terminal, settled_buy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bot import Bot


@pytest.fixture
def terminal(bridge_database: str) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database})


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user, label="main")


def test_orders_are_listed_and_filtered(terminal: Terminal, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """Every filter narrows the list; the newest comes first; JSON keeps every digit."""
    first = bot.order(*account, symbol="BTC/USDT", amount=Decimal("350.12345678"))
    second = bot.order(*account, symbol="ETH/USDT", side="sell")
    rows = terminal.json("orders")
    assert [row["id"] for row in rows] == [str(second), str(first)]
    assert rows[1]["amount"] == "350.12345678"
    assert (rows[1]["status"], rows[1]["state"]) == ("pending", "new")
    for arguments, expected in (
        (["--symbol", "btcusdt"], [first]),
        (["--symbol", "SOL/USDT"], []),
        (["--state", "waiting"], [second, first]),
        (["--state", "held"], []),
        (["--status", "pending", "--limit", "1"], [second]),
        (["--account", "main"], [second, first]),
        (["--account", str(account[1])[:10]], [second, first]),
        (["--user", str(account[0])], [second, first]),
        (["--user", str(uuid4())], []),
        (["--since", "1"], [second, first]),
        (["--why", "twin"], []),
    ):
        assert [row["id"] for row in terminal.json("orders", *arguments)] == [str(i) for i in expected]
    text = terminal.run("orders")
    assert str(first)[:8] in text
    assert "BTC/USDT" in text
    assert "No order is like that" in terminal.run("orders", "--state", "unknown")


async def test_an_order_tells_its_whole_story(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], bridge_database: str
) -> None:
    """Row, entry, attempt, evidence, fill and events stand in one line of time, without token or secret."""
    order = await settled_buy(bridge_database, bot, account)
    told = terminal.json("order", str(order)[:12])
    assert told["head"]["status"] == "filled"
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["accepted"]
    assert told["evidence"][0]["source"] == "stream"
    assert told["fills"][0]["quantity"] == "0.005"
    assert [event["kind"] for event in told["events"]][:1] == ["accepted"]
    assert "token" not in told["attempts"][0]
    text = terminal.run("order", order)
    assert "the trend" in text
    places = [
        text.index(word) for word in ("entry     taken in", "attempt   1: claimed", "evidence  1: stream")
    ]
    assert places == sorted(places)
    assert "fee 0.000005 BTC" in text


def test_what_the_bot_wrote_cannot_steer_the_terminal(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Escape sequences and line breaks in the bot's free text are not printed."""
    order = bot.order(*account, reasoning="calm\x1b[31m\nrow      forged", symbol="BTC\x1b]0;x\x07/USDT")
    for text in (terminal.run("order", order), terminal.run("orders")):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "\nrow      forged" not in terminal.run("order", order)


def test_a_held_order_says_what_can_be_done(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """The story ends with the commands that fit the order's state."""
    order = bot.order(*account)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE bridge.outbox SET state = 'held', reason_code = 'twin', reason = 'as another'")
    text = terminal.run("order", order)
    assert "held [twin]: as another" in text
    assert f"bridge adopt {str(order)[:8]} send" in text


def test_a_waiting_order_says_why(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """What a guard said is kept with the entry; what stands in line says behind what, and nothing is kept."""
    first, second = bot.order(*account), bot.order(*account, amount=Decimal(7))
    assert "no executor has looked at it" in terminal.run("order", first)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "UPDATE bridge.outbox SET reason_code = 'halted', reason = 'Sending is halted.' "
            "WHERE order_id = %s",
            [first],
        )
    assert "new [halted]: Sending is halted.;" in terminal.run("order", first)
    assert f"new [earlier_row]: An earlier order of the same account and symbol, {first}" in terminal.run(
        "order", second
    )
    rows = {row["id"]: (row["reason_code"], row["reason"]) for row in terminal.json("orders")}
    assert rows[str(first)] == ("halted", "Sending is halted.")
    assert rows[str(second)][0] == "earlier_row"
    assert str(first) in rows[str(second)][1]
    listed = [line for line in terminal.run("orders").splitlines() if "halted" in line]
    assert str(first)[:8] in listed[0]
    for why, expected in (("halted", first), ("earlier_row", second)):
        assert [row["id"] for row in terminal.json("orders", "--why", why)] == [str(expected)]
    assert terminal.json("order", second)["head"]["reason_code"] == "earlier_row"


def test_ids_that_fit_none_or_several_are_refused(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """A beginning that is not unique lists what it could mean; what is no id at all is a usage error."""
    bot.order(*account, id=UUID("aaaaaaaa-0000-4000-8000-000000000001"), symbol="BTC/USDT")
    bot.order(*account, id=UUID("aaaaaaaa-0000-4000-8000-000000000002"), symbol="ETH/USDT")
    text = terminal.run("order", "aaaaaaaa", code=ExitCode.USAGE)
    assert "BTC/USDT" in text
    assert "ETH/USDT" in text
    assert terminal.json("order", "aaaaaaaa000040008000000000000002")["head"]["symbol"] == "ETH/USDT"
    assert "no order bbbb" in terminal.run("order", "bbbb", code=ExitCode.NOT_FOUND)
    assert "is no order id" in terminal.run("order", "my order", code=ExitCode.USAGE)


async def test_positions(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], bridge_database: str
) -> None:
    """The ledger's positions, at full precision, with their account."""
    await settled_buy(bridge_database, bot, account)
    (position,) = terminal.json("positions", "--symbol", "BTC/USDT")
    assert (position["symbol"], position["size"], position["status"]) == ("BTC/USDT", "0.004995", "open")
    assert position["account_id"] == str(account[1])
    assert "0.004995" in terminal.run("positions")
    assert terminal.json("positions", "--symbol", "ETH/USDT") == []


def test_without_a_database_the_message_names_the_variable() -> None:
    """A wrong environment and a dead database are two different exit codes, each with the next step."""
    lost = Terminal({"BRIDGE_DATABASE_URL": "postgresql://nobody:hush-hush-password@127.0.0.1:1/none"})
    text = lost.run("orders", code=ExitCode.UNREACHABLE)
    assert "BRIDGE_DATABASE_URL" in text
    assert "hush" not in text
    empty = Terminal({"BRIDGE_DATABASE_URL": "", "POSTGRES_HOST": ""})
    assert "BRIDGE_DATABASE_URL" in empty.run("orders", code=ExitCode.USAGE)


def test_without_our_schema_the_message_says_migrate(database_server, bare_database_name) -> None:
    """A database the bridge has never been in says which verb comes first."""
    terminal = Terminal({"BRIDGE_DATABASE_URL": database_server.dsn(bare_database_name)})
    assert "bridge migrate" in terminal.run("orders", code=ExitCode.FAILED)


def test_top_reads_everything_and_draws_it(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], tmp_path: Path
) -> None:
    """One look as JSON holds what there is, and the same look can be kept as a picture."""
    order = bot.order(*account, symbol="BTC/USDT", amount=Decimal(350))
    terminal.run("halt", "--symbol", "ETH/USDT", "--reason", "a drill", "--wait", "0")
    now = terminal.json("top")
    assert [row["id"] for row in now["orders"]] == [str(order)]
    assert (now["flow"]["new"], now["flow"]["sent"]) == (1, 0)
    assert [(row["what"], row["scope"], row["reason"]) for row in now["stops"]] == [
        ("halted", "symbol", "a drill")
    ]
    picture = tmp_path / "top.svg"
    terminal.run("top", "--picture", picture)
    assert str(order)[:8] in picture.read_text()
