"""Conditional orders: the Algo service, its triggers, the child order."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.unit.local_exchange.futures.futures_desk import FuturesDesk, limit, market, stop

ALGO = "/fapi/v1/algoOrder"


@pytest.fixture
def desk():
    return FuturesDesk()


def place(desk, **params):
    status, answer = desk.ask("POST", ALGO, **params)
    assert status == 200, answer
    return answer


def test_a_stop_waits_apart_from_orders(desk):
    """It is in no order list, survives cancel-all, and has an id of its own."""
    answer = place(desk, **stop("SELL", "0.1", "69000", clientAlgoId="s-1"))
    assert answer["algoId"] >= 4 * 10**15
    assert (answer["algoStatus"], answer["orderType"]) == ("NEW", "STOP_MARKET")
    (event,) = desk.events()
    body = event["o"]
    assert (event["e"], body["X"], body["ai"], body["ia"]) == ("ALGO_UPDATE", "NEW", "", False)
    assert not {"ap", "aq", "act", "rm"} & set(body)
    assert desk.ask("GET", "/fapi/v1/openOrders")[1] == []
    assert desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")[1] == []
    desk.ask("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert len(desk.ask("GET", "/fapi/v1/openAlgoOrders")[1]) == 1
    status, query = desk.ask("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="s-1")
    assert (status, query["code"]) == (400, -2013)
    gone = desk.ask("DELETE", ALGO, clientAlgoId="s-1")[1]
    assert gone == {"algoId": answer["algoId"], "clientAlgoId": "s-1", "code": "200", "msg": "success"}
    assert desk.ask("DELETE", ALGO, clientAlgoId="s-1")[1]["code"] == -2011


def test_a_trigger_makes_an_ordinary_order_and_tells_it_first(desk):
    """TRIGGERING, the child's events, TRIGGERED, FINISHED; the child has the algo's client id."""
    desk.order(**market("BUY", "0.1"))
    answer = place(desk, **stop("SELL", "0.1", "69000", clientAlgoId="s-2", reduceOnly="true"))
    desk.events()
    desk.move("68900")
    events = desk.private["alice"].events
    kinds = [e["e"] if e["e"] != "ALGO_UPDATE" else e["o"]["X"] for e in events]
    assert kinds[0] == "TRIGGERING"
    assert kinds[-2:] == ["TRIGGERED", "FINISHED"]
    assert "ORDER_TRADE_UPDATE" in kinds[1:-2]
    child = next(e["o"] for e in events if e["e"] == "ORDER_TRADE_UPDATE")
    assert (child["c"], child["o"], child["ot"], child["sp"]) == ("s-2", "MARKET", "MARKET", "0")
    finished = events[-1]["o"]
    assert (finished["ai"], finished["aq"], finished["act"]) == (str(child["i"]), "0.1", "MARKET")
    found = desk.ask("GET", ALGO, algoId=answer["algoId"])[1]
    assert (found["algoStatus"], found["actualOrderId"]) == ("FINISHED", str(child["i"]))
    listed = desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")[1][-1]
    assert (listed["clientOrderId"], listed["type"], listed["stopPrice"]) == ("s-2", "MARKET", "0")


def test_a_stop_limit_finishes_when_its_child_ends(desk):
    """TRIGGERED while the child rests, FINISHED when it is cancelled; aq tells that nothing filled."""
    place(desk, **stop("BUY", "0.1", "70500", "STOP", price="70000", timeInForce="GTC", clientAlgoId="sl"))
    desk.move("71000")
    assert desk.kinds()[-1] == "ALGO_UPDATE TRIGGERED"
    desk.ask("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="sl")
    assert desk.private["alice"].events[-1]["o"]["aq"] == "0"
    assert desk.kinds() == ["ORDER_TRADE_UPDATE CANCELED", "ALGO_UPDATE FINISHED"]


@pytest.mark.parametrize(
    ("side", "kind", "trigger"),
    [
        ("SELL", "STOP_MARKET", "71000"),
        ("BUY", "STOP_MARKET", "69000"),
        ("SELL", "TAKE_PROFIT_MARKET", "69000"),
        ("BUY", "TAKE_PROFIT_MARKET", "71000"),
    ],
)
def test_what_would_trigger_at_once_is_refused(desk, side, kind, trigger):
    """-2021."""
    assert desk.refused(path=ALGO, **stop(side, "0.1", trigger, kind)) == (
        -2021,
        "Order would immediately trigger.",
    )


def test_a_child_that_is_refused_rejects_the_algo(desk):
    """REJECTED with the engine's words in rm."""
    place(desk, **stop("BUY", "110", "70500"))
    desk.events()
    desk.move("71000")
    last = desk.events()[-1]["o"]
    assert (last["X"], last["rm"], last["ai"]) == ("REJECTED", "Margin is insufficient.", "")


def test_close_position_takes_whatever_is_held(desk):
    """No quantity; expires when the position is closed otherwise."""
    desk.order(**market("BUY", "0.3"))
    params = stop("SELL", "0", "69000", closePosition="true")
    assert desk.refused(path=ALGO, **params)[0] == -4137
    del params["quantity"]
    place(desk, **params)
    desk.move("68900")
    assert desk.position().amount == 0
    desk.order(**market("BUY", "0.2"))
    place(desk, **(params | {"triggerPrice": "60000"}))
    desk.advance(1)
    desk.events()
    desk.order(**market("SELL", "0.2"))
    assert desk.kinds()[-1] == "ALGO_UPDATE EXPIRED"


def test_a_trailing_stop_activates_and_follows(desk):
    """Two NEW events, ia false then true; triggers callbackRate percent below the highest price."""
    params = stop("SELL", "0.1", "1", "TRAILING_STOP_MARKET", activatePrice="70500", callbackRate="1")
    del params["triggerPrice"]
    place(desk, **params)
    desk.move("71000")
    activations = [e["o"]["ia"] for e in desk.events() if e["e"] == "ALGO_UPDATE"]
    assert activations == [False, True]
    desk.move("72000")
    desk.move("71500")
    assert desk.events() == []
    desk.move("71200")
    assert "ALGO_UPDATE TRIGGERING" in desk.kinds()


def test_mark_price_triggers_independently_of_the_last_price(desk):
    """workingType=MARK_PRICE looks at the mark alone."""
    place(desk, **stop("SELL", "0.1", "69000", workingType="MARK_PRICE"))
    desk.events()
    desk.market.mark_offset = Decimal(-1500)
    desk.futures.settle_down(desk.market, desk.now)
    assert desk.kinds()[0] == "ALGO_UPDATE TRIGGERING"


def test_at_most_two_hundred_wait(desk):
    """-4045 across all contracts; a client id in use is -4116."""
    desk.exchange.futures_venue.limits.raise_to(100)
    place(desk, **stop("SELL", "0.1", "69000", clientAlgoId="same"))
    assert desk.refused(path=ALGO, **stop("SELL", "0.1", "69000", clientAlgoId="same"))[0] == -4116
    for _ in range(199):
        place(desk, **stop("SELL", "0.1", "69000"))
    assert desk.refused(path=ALGO, **stop("SELL", "0.1", "69000"))[0] == -4045
    desk.ask("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT")
    assert desk.ask("GET", "/fapi/v1/openAlgoOrders")[1] == []
    assert len(desk.ask("GET", "/fapi/v1/allAlgoOrders", symbol="BTCUSDT")[1]) == 200


def test_an_ordinary_order_keeps_no_algo_busy(desk):
    """A limit order next to algos fills without touching them."""
    place(desk, **stop("SELL", "0.1", "60000"))
    desk.order(**limit("BUY", "0.1", "69000"))
    desk.move("68900")
    assert len(desk.account().open_algos) == 1
