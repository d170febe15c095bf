"""A futures order whose answer is lost is asked about where it is: in the book or with the algo service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.command_line.demo import EXECUTOR
from shared.domain.attempt import client_order_id
from tests.command_line import Terminal
from tests.crash.behaviours import ORDER, QUESTIONS
from tests.crash.destination import PLACING, Destination
from tests.crash.ledger import orders_of
from tests.crash.test_kill_between_claim_and_settle import killed_at, start_executor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
    from uuid import UUID

    from services.command_line.local_testnet import Process
    from tests.end_to_end.conftest import Trader

both_services = pytest.mark.parametrize("goes", [Destination.FUTURES, Destination.ALGO])


def order_at_exchange(trader: Trader) -> Mapping[str, Any]:
    """Return the only order of the account, conditional or not, by the exchange's own ledger."""
    ledger = trader.local.admin("GET", f"/ledger?market=futures&account={trader.name}")
    (order,) = orders_of(ledger["orders"])
    return order


def posts(trader: Trader) -> int:
    """Count the requests that would place an order of this account."""
    requests = trader.local.admin("GET", f"/requests?account={trader.name}&method=POST")
    return sum(request["path"] in PLACING for request in requests)


def fault(trader: Trader, action: str, method: str, route: str, **more: Any) -> None:
    """Have something happen to requests of this account."""
    rule = {"action": action, "method": method, "route": route, "account": trader.name, **more}
    trader.local.admin("POST", "/faults", rule)


def found(trader: Trader, order: UUID, executor: Process) -> None:
    """Wait until the row shows the exchange's order, which was sent under the first id and only once."""
    trader.until(lambda: trader.row(order)["exchange_order_id"] != "", "it is found")
    executor.stop()
    at_exchange = order_at_exchange(trader)
    row = trader.row(order)
    assert row["exchange_order_id"] == str(at_exchange["orderId"])
    assert at_exchange["clientOrderId"] == client_order_id(order, 1)
    waits = at_exchange["status"] == "NEW"
    assert (row["status"], trader.entry(order)["state"]) == (
        ("open", "submitted") if waits else ("filled", "done")
    )
    assert posts(trader) == 1


@both_services
def test_found_by_asking(trader: Trader, goes: Destination) -> None:
    """The connection breaks after the exchange took it: one question tells, and its trades fill the row."""
    fault(trader, "drop_after", "POST", ORDER, count=1)
    executor = start_executor(trader)
    order = trader.order(**goes.columns(rests=False))
    found(trader, order, executor)


@both_services
def test_found_although_it_shows_late(trader: Trader, goes: Destination) -> None:
    """Questions deny it as long as a lag may last: a "does not exist" is never taken for the last word."""
    fault(trader, "drop_after", "POST", ORDER, count=1)
    fault(trader, "lag", "GET", QUESTIONS, ms=240)
    executor = start_executor(trader)
    order = trader.order(**goes.columns(rests=False))
    found(trader, order, executor)


@both_services
def test_lost_before_it_arrived(trader: Trader, goes: Destination) -> None:
    """Nothing is there, and after the wait every question says so: the second attempt is the order."""
    fault(trader, "drop_before", "POST", ORDER, count=1)
    executor = start_executor(trader)
    order = trader.order(**goes.columns(rests=True))
    trader.until(lambda: trader.row(order)["exchange_order_id"] != "", "it is sent again")
    executor.stop()
    assert order_at_exchange(trader)["clientOrderId"] == client_order_id(order, 2)
    entry = trader.entry(order)
    assert (entry["attempts"], entry["counted"], entry["state"]) == (2, 1, "submitted")


@both_services
def test_rechecked_after_a_change_of_the_database(trader: Trader, goes: Destination) -> None:
    """Nobody trusts what this history says was sent: all nine ids are asked for, and the order is adopted."""
    order = killed_at(trader, "send.answered", **goes.columns(rests=True))
    Terminal(trader.local.service_environment()).run("epoch", "bump", "--reason", "a drill")
    assert trader.entry(order)["state"] == "unknown"
    heir = trader.local.start_service(EXECUTOR, BRIDGE_ONLY_ACCOUNTS=str(trader.account))
    found(trader, order, heir)
    assert '"recheck.found"' in heir.tail()
