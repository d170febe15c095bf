"""PROTOCOL 1: `bridge adopt` against the local exchange: held rows leave by their owner's word only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from services.command_line.terminal import ExitCode
from services.local_exchange.settings import Settings
from tests.command_line import AtExchange, Terminal, exchange_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.bot import Bot


@pytest.fixture
def exchange() -> Iterator[AtExchange]:
    with exchange_in_thread(Settings(volatility=0)) as running:
        yield AtExchange(running)


@pytest.fixture
def terminal(bridge_database: str, exchange: AtExchange) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database, **exchange.variables})


@pytest.fixture
def account(bot: Bot, exchange: AtExchange) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user, **exchange.key)


@pytest.fixture
def order(bot: Bot, account: tuple[UUID, UUID]) -> UUID:
    return bot.order(*account, reasoning="the trend")


def hold(database: str, order: UUID, code: str, attempts: int = 0) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "UPDATE bridge.outbox SET state = 'held', reason_code = %s, reason = 'a test', attempts = %s, "
            "age_from = clock_timestamp() - interval '90 days' WHERE order_id = %s",
            [code, attempts, order],
        )


def entry(database: str, order: UUID) -> dict[str, Any]:
    with psycopg.connect(database, row_factory=dict_row) as connection:
        row = connection.execute(
            "SELECT *, clock_timestamp() - age_from < interval '1 min' AS young FROM bridge.outbox "
            "WHERE order_id = %s",
            [order],
        ).fetchone()
    assert row is not None
    return row


def test_send_releases_a_twin(terminal: Terminal, order: UUID, database: str) -> None:
    """A released row is new again, adopted, of a fresh age, and the executors are woken; nothing is asked."""
    hold(database, order, "twin")
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("LISTEN bridge_orders")
        assert terminal.json("adopt", order, "send", "--reason", "wanted twice")["state"] == "new"
        assert len(list(admin.notifies(timeout=10, stop_after=1))) == 1
    released = entry(database, order)
    assert (released["state"], released["adopted"], released["reason_code"]) == ("new", True, None)
    assert released["young"]
    (event,) = terminal.json("order", order)["events"]
    assert (event["kind"], event["data"]["how"], event["data"]["why"]) == ("adopted", "send", "wanted twice")
    assert "not held" in terminal.run("adopt", order, "send", code=ExitCode.REFUSED)


def test_send_asks_whether_the_bot_has_sent_a_row_from_before(
    terminal: Terminal, exchange: AtExchange, order: UUID, database: str
) -> None:
    """A row from before us that the bot sent under its bare id is not sent again."""
    hold(database, order, "from_before")
    exchange.place(str(order))
    text = terminal.run("adopt", order, "send", code=ExitCode.REFUSED)
    assert "The bot has sent it itself" in text
    assert "link" in text
    assert entry(database, order)["state"] == "held"


def test_a_futures_row_from_before_is_asked_for_and_linked(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """A futures row the bot sent itself is found at the futures market: not sent again, but linked."""
    order = bot.order(*account, market_type="futures")
    hold(database, order, "from_before")
    exchange.place_future(str(order))
    assert "The bot has sent it itself" in terminal.run("adopt", order, "send", code=ExitCode.REFUSED)
    assert terminal.json("adopt", order, "link")["status"] == "filled"
    (position,) = bot.read_positions(account[0])
    assert (position["market_type"], position["side"]) == ("futures", "long")


def test_send_from_before_needs_an_answer(
    terminal: Terminal, exchange: AtExchange, order: UUID, database: str
) -> None:
    """Where the exchange does not answer nothing is released; where it has nothing, the row goes."""
    hold(database, order, "from_before")
    fault = exchange.admin("POST", "/faults", {"action": "drop_before", "route": "/api/v3/order"})
    terminal.run("adopt", order, "send", code=ExitCode.UNREACHABLE)
    assert entry(database, order)["state"] == "held"
    exchange.admin("DELETE", f"/faults/{fault['id']}")
    terminal.run("adopt", order, "send")
    assert entry(database, order)["state"] == "new"


def test_send_after_attempts_goes_to_backoff(
    terminal: Terminal, bot: Bot, order: UUID, database: str
) -> None:
    """A row with attempts is claimed as a retry; one whose nine numbers are used up cannot be sent."""
    hold(database, order, "attempts_used_up", attempts=9)
    bot.connection.execute("UPDATE orders SET status = 'open' WHERE id = %s", [order])
    assert "nine attempt numbers" in terminal.run("adopt", order, "send", code=ExitCode.REFUSED)
    hold(database, order, "too_old", attempts=2)
    assert terminal.json("adopt", order, "send")["state"] == "backoff"


def test_a_row_the_bot_cancelled_is_not_released(
    terminal: Terminal, bot: Bot, order: UUID, database: str
) -> None:
    """The bot's cancel counts more than the operator's word."""
    hold(database, order, "twin")
    bot.cancel(order)
    terminal.run("adopt", order, "send", code=ExitCode.REFUSED)
    terminal.run("adopt", order, "reject", code=ExitCode.REFUSED)
    assert entry(database, order)["state"] == "held"


def test_reject_writes_the_reason_the_way_the_bot_does(
    terminal: Terminal, bot: Bot, order: UUID, database: str
) -> None:
    """The row is rejected, its reasoning kept behind the reason; the entry is done, with an audit entry."""
    hold(database, order, "too_old")
    terminal.run("adopt", order, "reject", "--reason", "the chance is gone.")
    row = bot.read_order(order)
    assert row["status"] == "rejected"
    assert row["reasoning"] == "Rejected: the chance is gone. Original reasoning: the trend"
    done = entry(database, order)
    assert (done["state"], done["reason_code"]) == ("done", "operator")


def test_link_takes_the_bots_order_for_the_row(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, database: str
) -> None:
    """The order the bot sent is settled like one of ours: row filled, fills stored, position counted."""
    hold(database, order, "from_before")
    placed = exchange.place(str(order))
    told = terminal.json("adopt", order, "link")
    assert (told["status"], told["exchange_order_id"]) == ("filled", str(placed["orderId"]))
    row = bot.read_order(order)
    assert (row["status"], row["exchange_order_id"]) == ("filled", str(placed["orderId"]))
    (position,) = bot.read_positions(row["user_id"])
    assert position["size"] > 0
    story = terminal.json("order", order)
    assert story["attempts"][0]["client_order_id"] == str(order)
    assert story["attempts"][0]["executed"] == story["attempts"][0]["filled"]
    assert [fill["applied"] for fill in story["fills"]] == [True] * len(story["fills"])


def test_link_to_an_order_by_its_number(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID], order: UUID, database: str
) -> None:
    """An order somebody placed by hand is linked by its number, to one row only and only of the same side."""
    hold(database, order, "too_old")
    by_hand = exchange.place("by-hand")["orderId"]
    terminal.run("adopt", order, "link", code=ExitCode.NOT_FOUND)
    terminal.run("adopt", order, "link", "--exchange-order-id", by_hand)
    assert bot.read_order(order)["status"] == "filled"
    second = bot.order(*account, amount=7)
    hold(database, second, "too_old")
    text = terminal.run("adopt", second, "link", "--exchange-order-id", by_hand, code=ExitCode.REFUSED)
    assert "another row" in text
    sell = bot.order(*account, side="sell")
    hold(database, sell, "too_old")
    text = terminal.run("adopt", sell, "link", "--exchange-order-id", by_hand, code=ExitCode.REFUSED)
    assert "the row is a sell" in text
    terminal.run("adopt", sell, "send", "--exchange-order-id", 1, code=ExitCode.USAGE)


def test_link_waits_until_the_order_is_over(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, database: str
) -> None:
    """An order of the bot's that still rests is not linked; when it is over, it is."""
    hold(database, order, "from_before")
    exchange.place_far_below(str(order))
    assert "still rests" in terminal.run("adopt", order, "link", code=ExitCode.REFUSED)
    assert entry(database, order)["state"] == "held"
    exchange.cancel(str(order))
    assert terminal.json("adopt", order, "link")["status"] == "canceled"
    assert bot.read_order(order)["status"] == "canceled"


def test_link_without_trades_changes_nothing(
    terminal: Terminal, exchange: AtExchange, order: UUID, database: str
) -> None:
    """An order whose trades are not told would give a wrong position, so it is left for a second try."""
    hold(database, order, "from_before")
    exchange.place(str(order))
    fault = exchange.admin("POST", "/faults", {"action": "drop_before", "route": "/api/v3/myTrades"})
    terminal.run("adopt", order, "link", code=ExitCode.UNREACHABLE)
    assert (entry(database, order)["state"], entry(database, order)["attempts"]) == ("held", 0)
    exchange.admin("DELETE", f"/faults/{fault['id']}")
    terminal.run("adopt", order, "link")
