"""kill -9 between claim and settle: the row still becomes exactly one order, and the row says what it became.

Each test kills one executor at a named point and lets a second one, which knows only the database, go on.
"""

from __future__ import annotations

import signal
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from services.command_line.demo import EXECUTOR
from shared.domain.attempt import client_order_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
    from uuid import UUID

    from services.command_line.local_testnet import Process
    from tests.end_to_end.conftest import Trader

DIES_WITHIN_S = 20.0


def start_executor(trader: Trader, failpoints: str = "") -> Process:
    """Start an executor that serves this trader only."""
    return trader.local.start_service(
        EXECUTOR, BRIDGE_ONLY_ACCOUNTS=str(trader.account), BRIDGE_FAILPOINTS=failpoints
    )


def killed_at(trader: Trader, point: str, **columns: Any) -> UUID:
    """Insert an order and let the executor that works on it be killed there; returns the order."""
    doomed = start_executor(trader, f"{point}=kill")
    order = trader.order(**columns)
    doomed.popen.wait(DIES_WITHIN_S)
    assert doomed.popen.returncode == -signal.SIGKILL
    assert f"failpoint {point} kill" in doomed.tail()
    return order


def posts(trader: Trader) -> list[Mapping[str, Any]]:
    """Return every request that reached the exchange to place an order of this account."""
    requests = trader.local.admin("GET", f"/requests?account={trader.name}&path=/api/v3/order&method=POST")
    return list(requests)


def recovered(trader: Trader, order: UUID, status: str) -> Mapping[str, Any]:
    """Let another executor go on; returns the row once it has the status."""
    heir = start_executor(trader)
    try:
        return trader.until_status(order, status)
    finally:
        heir.stop()


@pytest.mark.parametrize("point", ["claim.committed", "send.before"])
def test_killed_after_the_claim_and_before_the_request(trader: Trader, point: str) -> None:
    """Nothing left: the heir waits, asks, judges the first attempt absent and sends a second, once."""
    order = killed_at(trader, point, amount=Decimal("211.5"))
    assert trader.row(order)["status"] == "open"
    assert trader.entry(order)["state"] == "sending"
    assert posts(trader) == []
    row = recovered(trader, order, "filled")
    (at_exchange,) = trader.at_exchange()
    assert at_exchange["clientOrderId"] == client_order_id(order, 2)
    assert row["exchange_order_id"] == str(at_exchange["orderId"])
    assert row["filled_amount"] == Decimal(at_exchange["executedQty"])
    assert len(posts(trader)) == 1
    entry = trader.entry(order)
    assert (entry["attempts"], entry["counted"], entry["state"]) == (2, 1, "done")


@pytest.mark.parametrize("point", ["send.written", "send.answered", "classify.done", "settle.before"])
def test_killed_after_the_request_left(trader: Trader, point: str) -> None:
    """The order exists and the database does not know: the heir finds it by its id and sends nothing."""
    order = killed_at(trader, point, amount=Decimal("212.5"))
    assert trader.row(order)["status"] == "open"
    assert trader.row(order)["exchange_order_id"] == ""
    row = recovered(trader, order, "filled")
    (at_exchange,) = trader.at_exchange()
    assert at_exchange["clientOrderId"] == client_order_id(order, 1)
    assert row["exchange_order_id"] == str(at_exchange["orderId"])
    assert row["filled_amount"] == Decimal(at_exchange["executedQty"])
    assert len(posts(trader)) == 1


def test_killed_after_a_resting_order_was_accepted_and_the_bot_cancels(trader: Trader) -> None:
    """The order the bot cancelled in its row meanwhile is found by the heir and cancelled at the exchange."""
    limit = {"symbol": "BNB/USDT", "type": "limit", "price": Decimal(560), "amount": Decimal(112)}
    order = killed_at(trader, "send.answered", **limit)
    trader.bot.cancel(order)
    heir = start_executor(trader)
    try:
        trader.until(lambda: trader.entry(order)["state"] == "done", "the order is over")
    finally:
        heir.stop()
    (at_exchange,) = trader.at_exchange()
    assert at_exchange["status"] == "CANCELED"
    assert trader.row(order)["status"] == "canceled"
    assert len(posts(trader)) == 1


def test_killed_after_the_exchange_refused(trader: Trader) -> None:
    """A refusal never written down leaves no order: judged absent, it is sent again and refused again."""
    trader.local.admin("POST", "/balances", {"account": trader.name, "asset": "USDT", "delta": "-99990"})
    order = killed_at(trader, "send.answered", amount=Decimal("213.5"))
    row = recovered(trader, order, "rejected")
    assert row["reasoning"].startswith("Rejected: ")
    assert trader.at_exchange() == []
    assert len(posts(trader)) == 2


def test_killed_after_the_settle(trader: Trader) -> None:
    """What was settled stays settled: the heir neither asks nor sends."""
    order = killed_at(trader, "settle.committed", amount=Decimal("214.5"))
    assert trader.row(order)["status"] == "filled"
    start_executor(trader).stop()  # ready means that its first sweep is through
    assert trader.row(order)["status"] == "filled"
    assert len(posts(trader)) == 1


def test_frozen_worker_wakes_after_others_have_judged_and_sent(trader: Trader) -> None:
    """SIGSTOP before the first byte, longer than every wait: the stale request never becomes an order."""
    frozen = start_executor(trader, "send.before=freeze@1")
    order = trader.order(amount=Decimal("215.5"))
    trader.until(lambda: "failpoint send.before freeze" in frozen.tail(), "the first executor is frozen")
    row = recovered(trader, order, "filled")
    frozen.popen.send_signal(signal.SIGCONT)
    trader.until(lambda: '"order.not_accepted"' in frozen.tail(), "the frozen executor went on")
    frozen.stop()
    (at_exchange,) = trader.at_exchange()
    assert at_exchange["clientOrderId"] == client_order_id(order, 2)
    assert trader.row(order) == row, "the late word of the frozen worker changed nothing"
