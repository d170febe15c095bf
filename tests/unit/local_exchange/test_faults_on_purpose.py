"""Faults: which requests and events they hit, and that the ledger tells the truth all the same."""

from __future__ import annotations

import pytest

from services.local_exchange.faults import Action, Faults
from tests.unit.local_exchange.desk import KEYS, Desk, limit, market


@pytest.fixture
def desk():
    return Desk()


def fault(desk, **description):
    return desk.exchange.faults.add(description)


def post(desk, client_id, **more):
    query = desk.signed_query(**market("BUY", quoteOrderQty="350", newClientOrderId=client_id, **more))
    return desk.send("POST", "/api/v3/order", query, X_MBX_APIKEY=KEYS["alice"])


def placed(desk):
    return [o.client_order_id for o in desk.exchange.markets["BTCUSDT"].orders.values()]


@pytest.mark.parametrize(
    ("action", "executes"),
    [
        ("drop_before", False),
        ("never_before", False),
        ("answer_before", False),
        ("drop_after", True),
        ("never_after", True),
        ("answer_after", True),
        ("truncate", True),
    ],
)
def test_before_means_not_executed_and_after_means_executed(desk, action, executes):
    """The answer carries the fault; the book knows the truth."""
    fault(desk, action=action, client_id="x-.*", status=502, body="<html>Bad Gateway</html>")
    answer = post(desk, "x-1")
    assert answer.fault is not None
    assert answer.fault.action is Action(action)
    assert placed(desk) == (["x-1"] if executes else [])
    entry = desk.exchange.ledger.requests[-1].shown()
    assert entry["client_order_id"] == "x-1"
    assert action in entry["result"]
    assert "signature" not in entry["params"]


def test_rules_match_whole_values_and_count_down(desk):
    """Patterns match completely; count ends a rule; others pass."""
    rule = fault(desk, action="drop_before", client_id="b.*-1", count=1, method="POST", account="alice")
    assert post(desk, "b77-12").fault is None
    assert post(desk, "b77-1").fault is rule
    assert post(desk, "b77-1").fault is None
    assert (rule.applied, rule.left) == (1, 0)


def test_probability_is_seeded():
    """The same seed decides the same way."""

    def decisions(seed):
        faults = Faults()
        faults.add({"action": "drop_before", "probability": 0.5, "seed": seed})
        return [bool(faults.plan("POST", "/", "", "", "").rules) for _ in range(40)]

    assert decisions(1) == decisions(1)
    assert decisions(1) != decisions(2)
    assert 5 < sum(decisions(1)) < 35


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"action": "explode"}, "explode"),
        ({"action": "hold"}, "needs 'ms'"),
        ({"action": "drop_before", "colour": "red"}, "colour"),
        ({"action": "drop_before", "client_id": "("}, "regular expression"),
    ],
)
def test_a_wrong_rule_is_explained(description, words):
    """ValueError with a sentence."""
    with pytest.raises(ValueError, match=words):
        Faults().add(description)


def test_delays_add_up_along_the_way(desk):
    """One rule per action; different actions combine."""
    sent = desk.now
    fault(desk, action="delay_forward", ms=100)
    fault(desk, action="hold", ms=200)
    fault(desk, action="delay_answer", ms=400)
    answer = desk.place(**market("BUY", quoteOrderQty="350"))
    assert answer["transactTime"] == sent + 300
    assert desk.now == sent + 700


def kinds(desk):
    return [event.get("x", event["e"]) for event in desk.listeners["alice"].take()]


def test_events_can_be_lost_doubled_delayed_and_reordered(desk):
    """The ledger keeps them as they were."""
    fault(desk, action="event_lose", event="TRADE", count=1)
    desk.place(**market("BUY", quantity="0.001"))
    assert kinds(desk) == ["NEW", "outboundAccountPosition"]
    fault(desk, action="event_duplicate", event="TRADE", count=1)
    desk.place(**market("BUY", quantity="0.001"))
    assert kinds(desk) == ["NEW", "TRADE", "TRADE", "outboundAccountPosition"]
    fault(desk, action="event_reorder", event="NEW", count=1)
    desk.place(**market("BUY", quantity="0.001"))
    assert kinds(desk) == ["TRADE", "NEW", "outboundAccountPosition"]
    fault(desk, action="event_delay", event="TRADE", count=1, ms=500)
    desk.place(**market("BUY", quantity="0.001"))
    assert kinds(desk) == ["NEW", "outboundAccountPosition"]
    desk.advance(0.5)
    assert kinds(desk) == ["TRADE"]
    ledger = desk.ledger("alice", symbol="BTCUSDT")
    assert [[e["x"] for e in o["events"]] for o in ledger["orders"]] == [["NEW", "TRADE"]] * 4
    assert len(ledger["account_events"]) == 4


def test_the_last_event_is_not_held_for_ever(desk):
    """Reordered, with nothing after it, it comes alone a second later."""
    fault(desk, action="event_reorder", event="outboundAccountPosition", count=1)
    desk.place(**market("BUY", quantity="0.001"))
    assert kinds(desk) == ["NEW", "TRADE"]
    desk.advance(1)
    assert kinds(desk) == ["outboundAccountPosition"]


def test_the_ledger_filters_by_account_and_prefix(desk):
    """So that a test reads only its own."""
    desk.place("alice", **limit("BUY", "0.01", "60000", newClientOrderId="one-1"))
    desk.place("alice", **limit("BUY", "0.01", "60000", newClientOrderId="two-1"))
    desk.place("bob", **limit("BUY", "0.01", "60000", newClientOrderId="one-2"))
    shown = desk.ledger("alice", "one")
    assert [entry["order"]["clientOrderId"] for entry in shown["orders"]] == ["one-1"]


def test_maintenance_refuses_every_call(desk):
    """503 until it is over."""
    desk.exchange.maintenance_until = desk.now + 1000
    status, answer = desk.ask("POST", "/api/v3/order", **market("BUY", quoteOrderQty="350"))
    assert (status, answer["code"]) == (503, -1016)
    desk.advance(1)
    desk.place(**market("BUY", quoteOrderQty="350"))
