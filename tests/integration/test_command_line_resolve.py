"""PROTOCOL 7: `bridge resolve` against the local exchange: what is visible counts more than any word.

And `bridge reconcile`, which asks without anybody's word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from services.command_line.terminal import ExitCode
from services.local_exchange.settings import Settings
from tests.command_line import AtExchange, Terminal, exchange_in_thread, make_unknown

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


@pytest.fixture
def client_id(order: UUID, exchange: AtExchange, database: str) -> str:
    return make_unknown(database, order, base_url=exchange.running.rest_url, api_key=exchange.key["api_key"])


def entry(database: str, order: UUID) -> dict[str, Any]:
    with psycopg.connect(database, row_factory=dict_row) as connection:
        row = connection.execute("SELECT * FROM bridge.outbox WHERE order_id = %s", [order]).fetchone()
    assert row is not None
    return row


def kinds(database: str, order: UUID) -> list[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT kind FROM bridge.event WHERE order_id = %s ORDER BY id", [order])
        return [kind for (kind,) in rows]


def test_placed_adopts_what_the_exchange_shows(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, client_id: str, database: str
) -> None:
    """`--placed` asks, finds the order with its fills, and settles it: row and position."""
    exchange.place(client_id)
    told = terminal.json("resolve", order, "--placed")
    assert (told["outcome"], told["state"], told["status"]) == ("accepted", "done", "filled")
    row = bot.read_order(order)
    assert row["status"] == "filled"
    assert row["filled_amount"] > 0
    (position,) = bot.read_positions(row["user_id"])
    assert position["status"] == "open"
    assert kinds(database, order)[:2] == ["unknown", "operator_resolves"]


def test_not_placed_is_refused_while_the_order_is_visible(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, client_id: str
) -> None:
    """What the exchange shows is believed: it is settled as placed, and the word is refused."""
    exchange.place_far_below(client_id)
    text = terminal.run("resolve", order, "--not-placed", "--retry", code=ExitCode.REFUSED)
    assert "the order is at the exchange" in text
    assert bot.read_order(order)["status"] == "open"
    assert terminal.json("order", order)["head"]["state"] == "submitted"


def unknown_future(
    exchange: AtExchange,
    bot: Bot,
    account: tuple[UUID, UUID],
    database: str,
    parameters: str = "",
    **row: Any,
) -> tuple[UUID, str]:
    """Leave a futures order as a worker does that died after its claim; returns row and client order id."""
    order = bot.order(*account, market_type="futures", **row)
    name = make_unknown(
        database,
        order,
        base_url=exchange.running.futures_rest_url,
        api_key=exchange.key["api_key"],
        parameters=parameters,
    )
    return order, name


def test_placed_adopts_a_futures_order(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """A futures order is asked for at the futures market, and its trades tell the price."""
    order, name = unknown_future(exchange, bot, account, database)
    exchange.place_future(name)
    told = terminal.json("resolve", order, "--placed")
    assert (told["outcome"], told["state"], told["status"]) == ("accepted", "done", "filled")
    (position,) = bot.read_positions(account[0])
    assert (position["market_type"], position["side"], position["status"]) == ("futures", "long", "open")
    assert position["entry_price"] == bot.read_order(order)["avg_fill_price"] > 0


def test_not_placed_is_refused_while_a_conditional_order_is_visible(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """A stop that rests is found at the algo service; where there is none, the word counts."""
    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "90000"}
    row: dict[str, Any] = {
        "parameters": "algoType=CONDITIONAL&symbol=BTCUSDT",
        "type": "stop_market",
        "stop_price": 90000,
    }
    order, name = unknown_future(exchange, bot, account, database, **row)
    exchange.place_future(name, **stop)
    assert "conditional order" in terminal.run("resolve", order, "--not-placed", code=ExitCode.REFUSED)
    assert bot.read_order(order)["status"] == "open"
    assert bot.read_order(order)["exchange_order_id"].startswith("algo-")
    nowhere, _ = unknown_future(exchange, bot, account, database, **row)
    assert "the row is rejected" in terminal.run("resolve", nowhere, "--not-placed")


def test_not_placed_ends_rejected(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, client_id: str, database: str
) -> None:
    """Where the exchange has nothing the word counts: rejected with who said so, and an audit entry."""
    text = terminal.run("resolve", order, "--not-placed")
    assert "the row is rejected" in text
    row = bot.read_order(order)
    assert row["status"] == "rejected"
    assert row["reasoning"].startswith("Rejected: Operator ")
    assert "the trend" in row["reasoning"]
    assert entry(database, order)["state"] == "done"
    events = kinds(database, order)
    assert events[:2] == ["unknown", "operator_resolves"]
    assert "rejected" in events
    assert "nothing to settle" in terminal.run("resolve", order, "--placed", code=ExitCode.REFUSED)


def test_not_placed_with_retry_is_sent_again(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, client_id: str, database: str
) -> None:
    """`--retry` leaves the row open and its entry in back-off, for the next number."""
    told = terminal.json("resolve", order, "--not-placed", "--retry")
    assert (told["outcome"], told["state"]) == ("absent", "backoff")
    assert bot.read_order(order)["status"] == "open"
    assert entry(database, order)["counted"] == 1


def test_placed_needs_a_number_where_nothing_is_shown(
    terminal: Terminal, exchange: AtExchange, order: UUID, client_id: str, database: str
) -> None:
    """`--placed` alone is not enough where the exchange shows nothing; a number it contradicts is refused."""
    assert "--exchange-order-id" in terminal.run("resolve", order, "--placed", code=ExitCode.REFUSED)
    other = exchange.place("somebody-elses")
    text = terminal.run(
        "resolve", order, "--placed", "--exchange-order-id", other["orderId"], code=ExitCode.REFUSED
    )
    assert "another one" in text
    text = terminal.run("resolve", order, "--placed", "--exchange-order-id", 999999999, code=ExitCode.REFUSED)
    assert "no order 999999999" in text
    assert entry(database, order)["state"] == "unknown"


def test_where_the_exchange_cannot_be_asked_the_operators_word_is_evidence(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, client_id: str
) -> None:
    """Questions that are refused prove nothing: `--placed` with a number becomes operator's evidence."""
    exchange.admin("POST", "/accounts/alice", {"key_revoked": True})
    told = terminal.json("resolve", order, "--placed", "--exchange-order-id", 4711)
    assert (told["outcome"], told["state"], told["status"]) == ("accepted", "submitted", "open")
    story = terminal.json("order", order)
    assert [(seen["source"], seen["exchange_order_id"]) for seen in story["evidence"]] == [
        ("operator", "4711")
    ]
    assert bot.read_order(order)["exchange_order_id"] == "4711"


def test_unanswered_questions_are_no_absence(
    terminal: Terminal, exchange: AtExchange, order: UUID, client_id: str, database: str
) -> None:
    """Without an answer `--not-placed` needs the further word that nobody could be asked."""
    exchange.admin("POST", "/faults", {"action": "drop_before", "route": "/api/v3/openOrders"})
    text = terminal.run("resolve", order, "--not-placed", code=ExitCode.REFUSED)
    assert "--without-asking" in text
    assert entry(database, order)["state"] == "unknown"
    assert terminal.json("resolve", order, "--not-placed", "--without-asking")["status"] == "rejected"


def test_another_key_proves_no_absence(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID], order: UUID, database: str
) -> None:
    """An answer to another key than the attempt's is no answer about it."""
    make_unknown(database, order, base_url=exchange.running.rest_url, api_key="an older key")
    assert "not the one it was sent with" in terminal.run(
        "resolve", order, "--not-placed", code=ExitCode.REFUSED
    )


def test_too_early_is_refused(
    terminal: Terminal, exchange: AtExchange, order: UUID, client_id: str, database: str
) -> None:
    """While the request may still take effect, or queries may lag, nobody's word makes it absent."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE bridge.attempt SET claimed_at = clock_timestamp() - interval '64 s'")
    text = terminal.run("resolve", order, "--not-placed", "--without-asking", code=ExitCode.REFUSED)
    assert "Too early" in text
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE bridge.attempt SET claimed_at = clock_timestamp() - interval '66 s'")
    terminal.run("resolve", order, "--not-placed")


def test_what_is_being_sent_or_done_is_left_alone(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], order: UUID
) -> None:
    """Only unknown orders are settled by word; wrong combinations of options are usage errors."""
    assert "It is new, not unknown" in terminal.run("resolve", order, "--placed", code=ExitCode.REFUSED)
    terminal.run("resolve", order, "--placed", "--retry", code=ExitCode.USAGE)
    terminal.run("resolve", order, "--not-placed", "--exchange-order-id", 1, code=ExitCode.USAGE)
    terminal.run("resolve", order, code=ExitCode.USAGE)


def test_reconcile_settles_what_the_exchange_shows(
    terminal: Terminal, exchange: AtExchange, bot: Bot, order: UUID, client_id: str
) -> None:
    """Without anybody's word: the order is found, its fills and its position with it."""
    exchange.place(client_id)
    told = terminal.json("reconcile")
    (asked,) = told["orders"]
    assert (asked["order"], asked["found"], asked["status"]) == (str(order), True, "filled")
    assert told["problems"] == []
    row = bot.read_order(order)
    assert (row["status"], str(row["filled_amount"]).rstrip("0")) == ("filled", asked["executed"].rstrip("0"))
    assert [position["status"] for position in bot.read_positions(row["user_id"])] == ["open"]
    assert "No order is open" in terminal.run("reconcile")


def test_reconcile_asks_for_futures_orders_where_they_are(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """One order filled, a stop rests with the algo service, another stop triggered: each is found."""
    stop: dict[str, Any] = {
        "parameters": "algoType=CONDITIONAL&symbol=BTCUSDT",
        "type": "stop_market",
    }
    filled, filled_name = unknown_future(exchange, bot, account, database)
    resting, resting_name = unknown_future(exchange, bot, account, database, stop_price=90000, **stop)
    fired, fired_name = unknown_future(
        exchange, bot, account, database, stop_price=69000, side="sell", amount=280, **stop
    )
    conditional = {"algoType": "CONDITIONAL", "type": "STOP_MARKET"}
    exchange.place_future(filled_name)
    exchange.place_future(resting_name, triggerPrice="90000", **conditional)
    exchange.place_future(fired_name, triggerPrice="69000", side="SELL", **conditional)
    exchange.admin("POST", "/price", {"symbol": "BTCUSDT", "market": "futures", "price": "68000"})
    told = {one["order"]: one for one in terminal.json("reconcile")["orders"]}
    assert {one["market"] for one in told.values()} == {"futures"}
    assert told[str(filled)]["status"] == "filled"
    assert (told[str(resting)]["found"], told[str(resting)]["status"]) == (True, "open")
    assert "conditional order" in told[str(resting)]["exchange"]
    assert (told[str(fired)]["found"], told[str(fired)]["status"]) == (True, "filled")
    (position,) = bot.read_positions(account[0])
    assert (position["market_type"], position["status"]) == ("futures", "closed")
    assert position["realized_pnl"] < 0
    (again,) = terminal.json("reconcile")["orders"]
    assert (again["order"], again["executed"]) == (str(resting), "0")


def test_reconcile_concludes_nothing_from_an_empty_answer(
    terminal: Terminal, exchange: AtExchange, order: UUID, client_id: str, database: str
) -> None:
    """What is not shown, or cannot be asked for, stays as it is; the exit code tells the second."""
    (asked,) = terminal.json("reconcile")["orders"]
    assert (asked["found"], asked["status"]) == (False, None)
    assert entry(database, order)["state"] == "unknown"
    nowhere = {"BRIDGE_SPOT_TESTNET_REST_URL": "http://127.0.0.1:1"}
    text = terminal.run("reconcile", code=ExitCode.UNREACHABLE, **nowhere)
    assert "does not answer" in text
    assert entry(database, order)["state"] == "unknown"
