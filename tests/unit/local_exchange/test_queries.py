"""Queries: selectors, paging, lag, archive; cancels and replacements."""

from __future__ import annotations

import pytest

from services.local_exchange.exchange import Exchange
from tests.unit.local_exchange.desk import Desk, limit, market

ORDER = "/api/v3/order"


@pytest.fixture
def desk():
    return Desk()


def test_an_order_is_found_by_either_id_and_by_both(desk):
    """With both the client id must belong to the order id (-2039); with neither -1102."""
    placed = desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="q"))
    both = {"symbol": "BTCUSDT", "orderId": placed["orderId"], "origClientOrderId": "q"}
    assert desk.ask("GET", ORDER, **both)[1]["clientOrderId"] == "q"
    assert desk.ask("GET", ORDER, **(both | {"origClientOrderId": "other"}))[1]["code"] == -2039
    assert desk.ask("GET", ORDER, symbol="BTCUSDT")[1] == {
        "code": -1102,
        "msg": "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
    }
    assert desk.ask("GET", ORDER, symbol="BTCUSDT", orderId=1)[1]["code"] == -2013
    assert desk.ask("GET", ORDER, "bob", symbol="BTCUSDT", orderId=placed["orderId"])[1]["code"] == -2013


def test_a_lagging_query_denies_an_order_that_exists():
    """-2013 for query_lag_ms, lists for list_lag_ms; presence later."""
    desk = Desk(query_lag_ms=500, list_lag_ms=1000)
    desk.place(**market("BUY", quoteOrderQty="350", newClientOrderId="fresh"))
    one = {"symbol": "BTCUSDT", "origClientOrderId": "fresh"}
    assert desk.ask("GET", ORDER, **one)[1] == {"code": -2013, "msg": "Order does not exist."}
    desk.advance(0.5)
    assert desk.ask("GET", ORDER, **one)[0] == 200
    assert desk.ask("GET", "/api/v3/allOrders", symbol="BTCUSDT")[1] == []
    assert desk.ask("GET", "/api/v3/myTrades", symbol="BTCUSDT")[1] == []
    desk.advance(0.5)
    assert len(desk.ask("GET", "/api/v3/allOrders", symbol="BTCUSDT")[1]) == 1


def test_a_lag_rule_may_hit_single_queries_alone(desk):
    """By route and client id."""
    desk.exchange.faults.add({"action": "lag", "ms": 60_000, "route": "/api/v3/order", "client_id": "x"})
    desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="x"))
    assert desk.ask("GET", ORDER, symbol="BTCUSDT", origClientOrderId="x")[1]["code"] == -2013
    assert len(desk.ask("GET", "/api/v3/openOrders", symbol="BTCUSDT")[1]) == 1


def test_all_orders_page_by_id_and_by_time(desk):
    """From an id on, oldest first; by update time; else the most recent."""
    ids = []
    for _ in range(5):
        ids.append(desk.place(**limit("BUY", "0.001", "60000"))["orderId"])
        desk.advance(1.0)
    path = "/api/v3/allOrders"

    def listed(**params):
        return [o["orderId"] for o in desk.ask("GET", path, symbol="BTCUSDT", **params)[1]]

    assert listed() == ids
    assert listed(limit=2) == ids[-2:]
    assert listed(orderId=ids[1], limit=2) == ids[1:3]
    start = desk.now - 3000
    assert listed(startTime=start) == ids[2:]
    assert listed(startTime=start, orderId=ids[4]) == ids[2:]
    status, answer = desk.ask("GET", path, symbol="BTCUSDT", startTime=1, endTime=1 + 86_400_001)
    assert (status, answer["code"]) == (400, -1127)


def test_trades_take_only_the_documented_combinations(desk):
    """Anything else is -1128; fromId is inclusive."""
    first = desk.place(**market("BUY", quoteOrderQty="350"))
    desk.place(**market("BUY", quoteOrderQty="350"))
    path = "/api/v3/myTrades"
    trades = desk.ask("GET", path, symbol="BTCUSDT")[1]
    assert len(trades) == 2
    assert desk.ask("GET", path, symbol="BTCUSDT", fromId=trades[1]["id"])[1] == trades[1:]
    assert desk.ask("GET", path, symbol="BTCUSDT", orderId=first["orderId"])[1] == trades[:1]
    assert desk.ask("GET", path, symbol="BTCUSDT", orderId=1, startTime=1)[1]["code"] == -1128


def test_a_cancel_of_what_is_not_open_is_refused(desk):
    """-2011 in each case; restrictions have their own words."""
    desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="c"))
    assert desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="nope")[1] == {
        "code": -2011,
        "msg": "Unknown order sent.",
    }
    restricted = {
        "symbol": "BTCUSDT",
        "origClientOrderId": "c",
        "cancelRestrictions": "ONLY_PARTIALLY_FILLED",
    }
    assert desk.ask("DELETE", ORDER, **restricted)[1] == {
        "code": -2011,
        "msg": "Order was not canceled due to cancel restrictions.",
    }
    assert desk.ask("DELETE", ORDER, **(restricted | {"cancelRestrictions": "ALL"}))[1]["code"] == -1145
    assert desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="c")[0] == 200
    assert desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="c")[1]["code"] == -2011
    assert desk.locked("USDT") == 0


def test_cancel_all_takes_one_symbol(desk):
    """Orders on other symbols stay; none open is -2011."""
    desk.place(**limit("BUY", "0.01", "60000"))
    desk.place(**limit("BUY", "0.01", "61000"))
    desk.place(**limit("BUY", "0.01", "3000", symbol="ETHUSDT"))
    status, answer = desk.ask("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    assert (status, [o["status"] for o in answer]) == (200, ["CANCELED", "CANCELED"])
    assert desk.ask("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[1]["code"] == -2011
    assert len(desk.ask("GET", "/api/v3/openOrders")[1]) == 1


def replace(mode, **more):
    return limit("BUY", "0.01", "61000", cancelReplaceMode=mode, **more)


def test_cancel_replace_does_both(desk):
    """The old one goes, the new one comes."""
    desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="old"))
    status, answer = desk.ask(
        "POST",
        "/api/v3/order/cancelReplace",
        **replace("STOP_ON_FAILURE", cancelOrigClientOrderId="old", newClientOrderId="new"),
    )
    assert (status, answer["cancelResult"], answer["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    assert [o["clientOrderId"] for o in desk.ask("GET", "/api/v3/openOrders")[1]] == ["new"]


def test_cancel_replace_reports_half_failures(desk):
    """409 and -2021 when one half fails, 400 and -2022 when both do or the second was not attempted."""
    path = "/api/v3/order/cancelReplace"
    status, answer = desk.ask("POST", path, **replace("STOP_ON_FAILURE", cancelOrderId=1))
    assert (status, answer["code"], answer["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")
    assert desk.exchange.spot.limits.order_counts("alice", desk.now)[0] == 1
    status, answer = desk.ask("POST", path, **replace("ALLOW_FAILURE", cancelOrderId=1))
    assert (status, answer["code"], answer["data"]["cancelResult"]) == (409, -2021, "FAILURE")
    assert answer["data"]["newOrderResult"] == "SUCCESS"
    desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="old"))
    broke = replace("ALLOW_FAILURE", cancelOrigClientOrderId="old") | {"quantity": "3"}
    status, answer = desk.ask("POST", path, **broke)
    assert (status, answer["code"], answer["data"]["newOrderResponse"]["code"]) == (409, -2021, -2010)
    status, answer = desk.ask("POST", path, **broke)
    assert (status, answer["code"], answer["data"]["newOrderResult"]) == (400, -2022, "FAILURE")


def test_an_order_test_never_reaches_the_engine(desk):
    """Filters are checked, nothing is placed; commission rates on demand."""
    path = "/api/v3/order/test"
    assert desk.ask("POST", path, **market("BUY", quoteOrderQty="350"))[1] == {}
    assert desk.refuse(path=path, **market("BUY", quoteOrderQty="1"))[0] == -1013
    rates = desk.ask("POST", path, **market("BUY", quoteOrderQty="350", computeCommissionRates="True"))[1]
    assert rates["standardCommissionForOrder"]["taker"] == "0.00100000"
    assert desk.exchange.markets["BTCUSDT"].orders == {}


def test_old_unfilled_orders_are_archived(desk):
    """-2026 ninety days after an order ended without a fill."""
    placed = desk.place(**limit("BUY", "0.01", "60000"))
    desk.ask("DELETE", ORDER, symbol="BTCUSDT", orderId=placed["orderId"])
    desk.advance(91 * 86_400)
    assert desk.ask("GET", ORDER, symbol="BTCUSDT", orderId=placed["orderId"])[1]["code"] == -2026


def test_a_wipe_forgets_orders_and_starts_ids_again(desk):
    """As on the testnet: keys and accounts stay."""
    first = desk.place(**market("BUY", quoteOrderQty="350"))["orderId"]
    desk.exchange.wipe()
    assert desk.ask("GET", "/api/v3/allOrders", symbol="BTCUSDT")[1] == []
    assert desk.place(**market("BUY", quoteOrderQty="350"))["orderId"] == first
    assert len(desk.ledger("alice")["orders"]) == 1


def test_an_exchange_started_again_gives_no_id_out_twice(desk):
    """It has forgotten the orders, but a client that has not cannot take new ones for them."""
    before = desk.place(**market("BUY", quoteOrderQty="350"))
    desk.advance(1)
    desk.exchange = Exchange(desk.exchange.settings, desk.exchange.later, desk.clock)
    after = desk.place(**market("BUY", quoteOrderQty="350"))
    assert before["orderId"] + 1000 < after["orderId"] < 2**53
    assert before["fills"][-1]["tradeId"] + 1000 < after["fills"][0]["tradeId"] < 2**53


def test_account_shows_balances_and_rates(desk):
    """Zero balances can be left out."""
    desk.exchange.accounts.by_name["alice"].balance("XRP")
    answer = desk.ask("GET", "/api/v3/account")[1]
    assert "XRP" in {b["asset"] for b in answer["balances"]}
    answer = desk.ask("GET", "/api/v3/account", omitZeroBalances="true")[1]
    assert "XRP" not in {b["asset"] for b in answer["balances"]}
    assert answer["commissionRates"]["taker"] == "0.00100000"
    assert isinstance(answer["uid"], int)
