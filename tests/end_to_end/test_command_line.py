"""The operator's verbs beside a running executor and listener: what he says happens at the exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from tests.command_line import Terminal

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path
    from uuid import UUID

    from services.command_line.local_testnet import LocalTestnet
    from tests.end_to_end.conftest import Trader

WAIT = ("--wait", "20")


@pytest.fixture
def terminal(local: LocalTestnet) -> Terminal:
    environment = local.service_environment()
    nowhere_else = {"BRIDGE_FUTURES_TESTNET_REST_URL": environment["BRIDGE_SPOT_TESTNET_REST_URL"]}
    return Terminal(environment | nowhere_else)


def test_place_look_flatten(terminal: Terminal, trader: Trader, amount: Decimal) -> None:
    """An order placed by hand is filled and seen; its position is shown, closed, and shown as closed."""
    account = ("--account", trader.account)
    told = terminal.json("place", "buy", "BTC/USDT", amount, *account, *WAIT)
    assert (told["state"], told["status"]) == ("done", "filled")
    story = terminal.json("order", told["order"])
    assert [attempt["outcome"] for attempt in story["attempts"]] == ["accepted"]
    trader.until(lambda: bool(terminal.json("positions", *account)), "the position is there")
    (flat,) = terminal.json("flatten", *account, *WAIT)
    assert (flat["symbol"], flat["status"]) == ("BTC/USDT", "filled")
    trader.until(lambda: not terminal.json("positions", *account), "the position is closed")
    (closed,) = terminal.json("positions", *account, "--closed")
    assert closed["status"] == "closed"
    assert "There is no open position" in terminal.run("flatten", *account)


def test_flatten_what_the_bot_closed(terminal: Terminal, trader: Trader, amount: Decimal) -> None:
    """Closed in the bot's table only it is still held: flatten sells it, its row shows what that brought."""
    account = ("--account", trader.account)
    terminal.json("place", "buy", "BTC/USDT", amount, *account, *WAIT)
    trader.until(lambda: bool(trader.positions()), "the position is there")
    trader.bot.connection.execute(
        "UPDATE positions SET status = 'closed', closed_at = now() WHERE user_id = %s", [trader.user]
    )
    (flat,) = terminal.json("flatten", *account, *WAIT)
    assert flat["status"] == "filled"
    assert "There is no open position" in terminal.run("flatten", *account)
    told = trader.at_exchange()
    assert [(order["side"], order["status"]) for order in told] == [("BUY", "FILLED"), ("SELL", "FILLED")]

    def realized() -> bool:
        (row,) = trader.positions()
        return bool(row["status"] == "closed" and row["realized_pnl"] and not row["unrealized_pnl"])

    trader.until(realized, "the bot's row shows what the sale brought")
    (position,) = terminal.json("positions", *account, "--closed")
    assert position["status"] == "closed"


def test_halted_orders_wait_and_go_on(terminal: Terminal, trader: Trader, amount: Decimal) -> None:
    """While an account is halted its orders wait and say why; resumed, they are sent at once."""
    account = ("--account", trader.account)
    terminal.run("halt", *account, "--reason", "lunch")
    told = terminal.json(
        "place", "buy", "ETH/USDT", amount, *account, "--wait", "1", code=ExitCode.UNFINISHED
    )
    assert (told["status"], told["state"]) == ("pending", "new")
    assert trader.at_exchange() == []
    trader.until(
        lambda: "new [halted]: Sending is halted for the account" in terminal.run("order", told["order"]),
        "the order says why it waits",
    )
    (row,) = terminal.json("orders", *account, "--why", "halted")
    assert (row["id"], row["reason"].endswith("`bridge resume`.")) == (told["order"], True)
    terminal.run("resume", *account)
    trader.until_status(told["order"], "filled")


def test_cancel_takes_a_resting_order_off_the_exchange(terminal: Terminal, trader: Trader) -> None:
    """A cancelled row leaves the exchange within moments, and `--wait` sees it."""
    order = terminal.json(
        *(
            "place",
            "buy",
            "BTC/USDT",
            "101",
            "--account",
            trader.account,
            "--type",
            "limit",
            "--price",
            "66000",
        ),
        *WAIT,
    )
    assert (order["state"], order["status"]) == ("submitted", "open")
    (told,) = terminal.json("cancel", order["order"], *WAIT)
    assert (told["state"], told["status"]) == ("done", "canceled")
    assert [one["status"] for one in trader.at_exchange()] == ["CANCELED"]


def test_halt_with_cancel_open(terminal: Terminal, trader: Trader) -> None:
    """`--cancel-open` empties the exchange of an account's orders and lets nothing new out."""
    account = ("--account", trader.account)
    limit = ("--type", "limit", "--price", "66000")
    order = terminal.json("place", "buy", "BTC/USDT", "102", *account, *limit, *WAIT)["order"]
    told = terminal.json("halt", *account, "--cancel-open")
    assert told["canceled"] == [order]
    trader.until(
        lambda: [o["status"] for o in trader.at_exchange()] == ["CANCELED"], "it is off the exchange"
    )
    terminal.run("resume", *account)


def test_a_released_twin_is_sent(terminal: Terminal, trader: Trader, amount: Decimal) -> None:
    """The later of two equal rows is held; released by its owner it is sent like any other."""
    trader.order(symbol="SOL/USDT", amount=amount)
    twin = trader.order(symbol="SOL/USDT", amount=amount)
    trader.until(lambda: trader.entry(twin)["state"] == "held", "the twin is held")
    assert [row["id"] for row in terminal.json("orders", "--why", "twin", "--account", trader.account)] == [
        str(twin)
    ]
    terminal.run("adopt", twin, "send")
    trader.until_status(twin, "filled")


def test_the_doctor_finds_a_running_set_up_healthy(terminal: Terminal) -> None:
    """Executor and listener are seen, the account works; nothing fails."""
    findings = terminal.json("doctor", "--accounts", "1")["findings"]
    levels = {finding["check"]: finding["level"] for finding in findings}
    assert levels["executor"] == "ok"
    assert levels["listener"] == "ok"


def lose(local: LocalTestnet, trader: Trader, order: UUID) -> None:
    """Take from the database what a backup from before the order does not have."""
    assert local.database_url is not None
    with psycopg.connect(local.database_url) as restored:
        for table in ("outbox", "attempt", "evidence", "question", "event", "fill"):
            restored.execute(f"DELETE FROM bridge.{table} WHERE order_id = %s", [order])
        restored.execute("DELETE FROM public.orders WHERE id = %s", [order])
        for table in ("bridge.position", "bridge.holding", "public.positions"):
            column = "account_id" if table == "bridge.holding" else "user_id"
            whose = trader.account if column == "account_id" else trader.user
            restored.execute(f"DELETE FROM {table} WHERE {column} = %s", [whose])


def test_journal_brings_back_what_a_restore_has_lost(
    terminal: Terminal, local: LocalTestnet, trader: Trader, amount: Decimal, tmp_path: Path
) -> None:
    """The disaster drill: a row the backup did not have is there again, with its fills, and was sent once."""
    order = trader.order(symbol="BTC/USDT", amount=amount, agent_id="strategist")
    before = trader.until_status(order, "filled")
    trader.until(lambda: bool(trader.positions()), "the position is there")
    (position,) = trader.positions()
    journal = tmp_path / "lost hour.log"
    lines = [line for process in local.processes for line in process.log.read_text().splitlines()]
    journal.write_text("\n".join(line for line in lines if str(order) in line or "draining" in line) + "\n")
    lose(local, trader, order)

    told = terminal.json("reconcile", "--account", trader.account, "--journal", journal)
    assert told["restored"] == {"lines": 1, "orders": 1, "attempts": 1, "strange": 0}
    after = trader.until_status(order, "filled")
    same = (
        "symbol",
        "side",
        "type",
        "amount",
        "price",
        "agent_id",
        "exchange_order_id",
        "filled_amount",
        "fee",
    )
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    trader.until(
        lambda: [p["size"] for p in trader.positions()] == [position["size"]], "the position is back"
    )
    assert len(trader.at_exchange()) == 1

    again = terminal.json("reconcile", "--account", trader.account, "--journal", journal)
    assert again["restored"] == {"lines": 1, "orders": 0, "attempts": 0, "strange": 0}
    journal.write_text(journal.read_text().replace(str(order), str(trader.user)))
    terminal.run("reconcile", "--journal", journal, code=ExitCode.USAGE)
