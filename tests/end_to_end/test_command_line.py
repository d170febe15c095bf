"""The operator's verbs beside a running executor and listener: what he says happens at the exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.command_line.terminal import ExitCode
from tests.command_line import Terminal

if TYPE_CHECKING:
    from decimal import Decimal

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


def test_halted_orders_wait_and_go_on(terminal: Terminal, trader: Trader, amount: Decimal) -> None:
    """While an account is halted its orders wait and say why; resumed, they are sent at once."""
    account = ("--account", trader.account)
    terminal.run("halt", *account, "--reason", "lunch")
    told = terminal.json(
        "place", "buy", "ETH/USDT", amount, *account, "--wait", "1", code=ExitCode.UNFINISHED
    )
    assert (told["status"], told["state"]) == ("pending", "new")
    assert trader.at_exchange() == []
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
