"""Futures orders: placing, filling, modifying, refusing; what they do to positions, margin and the stream."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from services.local_exchange.futures import trading
from services.local_exchange.futures.parameters import USE_ALGO
from services.local_exchange.orders import Quote, Side
from tests.unit.local_exchange.futures.futures_desk import FuturesDesk, limit, market, stop

D = Decimal
ORDER = "/fapi/v1/order"


@pytest.fixture
def desk():
    desk = FuturesDesk()
    desk.thin()
    return desk


def rest(desk, side, price, quantity):
    desk.market.book.own(side).add(Quote(-(10**6) - int(D(price) * 10), side, D(price), D(quantity)))


def test_a_market_order_opens_a_position_and_tells_it_in_order(desk):
    """TRADE_LITE, NEW, ACCOUNT_UPDATE, TRADE with one T; ACK says NEW all the same."""
    rest(desk, Side.SELL, "70000", "1")
    answer = desk.order(**market("BUY", "0.1", newClientOrderId="open-1"))
    assert (answer["status"], answer["executedQty"]) == ("NEW", "0")
    assert "avgPrice" not in answer
    assert "cumQuote" not in answer
    events = desk.private["alice"].events
    assert [e["e"] for e in events] == [
        "TRADE_LITE",
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
        "ORDER_TRADE_UPDATE",
    ]
    assert len({e["T"] for e in events}) == 1
    new, trade = events[1]["o"], events[3]["o"]
    assert (new["x"], new["X"], new["z"], new["t"]) == ("NEW", "NEW", "0", 0)
    assert (trade["x"], trade["X"], trade["z"], trade["L"], trade["n"], trade["N"]) == (
        "TRADE",
        "FILLED",
        "0.1",
        "70000",
        "3.5",
        "USDT",
    )
    assert events[0]["t"] == trade["t"]
    update = events[2]["a"]
    assert update["m"] == "ORDER"
    assert update["B"] == [{"a": "USDT", "wb": "99996.5", "cw": "99996.5", "bc": "0"}]
    assert update["P"][0] == {
        "s": "BTCUSDT",
        "pa": "0.1",
        "ep": "70000",
        "cr": "0",
        "up": "0",
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
        "ma": "USDT",
        "bep": "70035",
    }


def test_result_tells_the_quantity_but_no_price(desk):
    """newOrderRespType=RESULT; queries have avgPrice and cumQuote."""
    rest(desk, Side.SELL, "70000", "1")
    answer = desk.order(**market("BUY", "0.1", newOrderRespType="RESULT"))
    assert (answer["status"], answer["executedQty"], answer["cumQty"]) == ("FILLED", "0.100", "0.100")
    found = desk.ask("GET", ORDER, symbol="BTCUSDT", orderId=answer["orderId"])[1]
    assert D(found["avgPrice"]) == 70000
    assert D(found["cumQuote"]) == 7000


def test_closing_realises_profit_and_pays_for_it(desk):
    """rp on the event, wallet up by profit less commission, income lines for both."""
    rest(desk, Side.SELL, "70000", "1")
    desk.order(**market("BUY", "0.1"))
    rest(desk, Side.BUY, "71000", "1")
    desk.events()
    desk.order(**market("SELL", "0.1", reduceOnly="true"))
    trade = desk.events()[-1]["o"]
    assert (trade["rp"], trade["R"]) == ("100", True)
    assert desk.account().balance("USDT") == 100_000 - D("3.5") + 100 - D("3.55")
    income = desk.ask("GET", "/fapi/v1/income", symbol="BTCUSDT")[1]
    assert [line["incomeType"] for line in income] == ["COMMISSION", "REALIZED_PNL", "COMMISSION"]
    assert desk.ask("GET", "/fapi/v3/positionRisk")[1] == []


def test_fees_can_be_paid_in_bnb(desk):
    """A tenth less, and both assets in the account update."""
    desk.account().fee_in_bnb = True
    rest(desk, Side.SELL, "70000", "1")
    desk.order(**market("BUY", "0.1"))
    events = desk.events()
    assert events[-1]["o"]["N"] == "BNB"
    assert D(events[-1]["o"]["n"]) == (D("3.5") * D("0.9") / 600).quantize(D("1e-8"))
    assert [b["a"] for b in events[2]["a"]["B"]] == ["USDT", "BNB"]


def test_a_limit_order_rests_and_counts_in_bids(desk):
    """NEW alone; b is the notional of open buys; margin is reserved."""
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="rest"))
    (event,) = desk.events()
    assert (event["o"]["x"], event["o"]["b"], event["o"]["a"]) == ("NEW", "6900", "0")
    account = desk.ask("GET", "/fapi/v3/account")[1]
    assert D(account["totalOpenOrderInitialMargin"]) == 345
    gone = desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="rest")[1]
    assert gone["status"] == "CANCELED"
    assert desk.events()[0]["o"]["x"] == "CANCELED"
    assert desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="rest")[1]["code"] == -2011


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            limit("BUY", "0.1", "69000", type="STOP_MARKET"),
            (-4120, USE_ALGO),
        ),
        (limit("BUY", "0.1", "69000.05"), (-4014, "Price not increased by tick size.")),
        (limit("BUY", "0.0005", "69000"), (-1111, "Precision is over the maximum defined for this asset.")),
        (limit("BUY", "0.1", "73501"), (-4016, "Limit price can't be higher than 73500.00.")),
        (limit("SELL", "0.1", "66499"), (-4024, "Limit price can't be lower than 66500.00.")),
        (
            limit("BUY", "0.001", "49000"),
            (-4164, "Order's notional must be no smaller than 50 (unless you choose reduce only)."),
        ),
        (limit("BUY", "0", "69000"), (-4003, "Quantity less than zero.")),
        (market("BUY", "121"), (-4005, "Quantity greater than max quantity.")),
        (limit("BUY", "100", "69000"), (-2019, "Margin is insufficient.")),
        (market("BUY", "0.1", reduceOnly="true"), (-2022, "ReduceOnly Order is rejected.")),
        (
            market("BUY", "0.1", positionSide="LONG"),
            (-4061, "Order's position side does not match user's setting."),
        ),
        (
            limit("BUY", "0.1", "69000", newClientOrderId="x" * 37),
            (-4015, "Client order id length should not be more than 36 chars"),
        ),
        (
            limit("BUY", "0.1", "69000", timeInForce="GTD", goodTillDate="1"),
            (
                -5040,
                (
                    "The goodTillDate timestamp must be greater than the current time plus 600 seconds "
                    "and smaller than 253402300799000 (UTC 9999-12-31 23:59:59)"
                ),
            ),
        ),
    ],
)
def test_refusals_have_their_codes(desk, params, expected):
    """Each with the futures API's own code and text."""
    assert desk.refused(**params) == expected
    assert desk.market.orders == {}


def test_client_ids_are_unique_among_open_orders_and_may_hold_more(desk):
    """-4116 while open, free again afterwards; dots, colons and slashes are allowed."""
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="a.b:c/d"))
    assert desk.refused(**limit("BUY", "0.1", "69000", newClientOrderId="a.b:c/d")) == (
        -4116,
        "ClientOrderId is duplicated.",
    )
    desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="a.b:c/d")
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="a.b:c/d"))


def test_fill_or_kill_and_post_only_leave_no_trace(desk):
    """-5021 and -5022: no order, no event."""
    rest(desk, Side.SELL, "70000", "0.05")
    assert desk.refused(**limit("BUY", "0.1", "70000", timeInForce="FOK"))[0] == -5021
    assert desk.refused(**limit("BUY", "0.1", "70000", timeInForce="GTX"))[0] == -5022
    assert desk.events() == []
    assert desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")[1] == []


def test_immediate_or_cancel_expires_with_reason_two(desk):
    """er 2, what filled stays."""
    rest(desk, Side.SELL, "70000", "0.05")
    answer = desk.order(**limit("BUY", "0.1", "70000", timeInForce="IOC", newOrderRespType="RESULT"))
    assert (answer["status"], answer["executedQty"]) == ("EXPIRED", "0.050")
    last = desk.events()[-1]["o"]
    assert (last["x"], last["X"], last["z"], last["er"]) == ("EXPIRED", "EXPIRED", "0.05", "2")


def test_a_market_order_stops_at_its_bound(desk):
    """The remainder expires with er 9; a book that begins beyond the bound refuses with -4131."""
    rest(desk, Side.SELL, "70000", "0.05")
    rest(desk, Side.SELL, "73600", "1")
    desk.order(**market("BUY", "0.1"))
    last = desk.events()[-1]["o"]
    assert (last["X"], last["z"], last["er"]) == ("EXPIRED", "0.05", "9")
    assert desk.refused(**market("BUY", "0.1"))[0] == -4131


def test_self_trades_are_prevented(desk):
    """The default expires the maker with er 1."""
    desk.order(**limit("SELL", "0.1", "70000"))
    desk.events()
    desk.order(**market("BUY", "0.1"))
    events = [e["o"] for e in desk.events() if e["e"] == "ORDER_TRADE_UPDATE"]
    assert [(o["x"], o["X"], o["er"]) for o in events] == [
        ("EXPIRED", "EXPIRED_IN_MATCH", "1"),
        ("NEW", "NEW", "0"),
        ("EXPIRED", "EXPIRED", "9"),
    ]


def test_modifying_moves_price_and_quantity(desk):
    """AMENDMENT with modifyId; the same again is -5027; below what is filled cancels."""
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="m"))
    desk.events()
    change = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "origClientOrderId": "m",
        "quantity": "0.2",
        "price": "69100",
    }
    answer = desk.ask("PUT", ORDER, **change, modifyId=7)[1]
    assert (answer["price"], answer["origQty"], answer["modifyId"]) == ("69100.00", "0.200", 7)
    (event,) = desk.events()
    assert (event["o"]["x"], event["o"]["q"], event["o"]["M"]) == ("AMENDMENT", "0.2", "7")
    assert desk.ask("PUT", ORDER, **change)[1]["code"] == -5027
    desk.order("bob", **market("SELL", "0.15"))
    answer = desk.ask("PUT", ORDER, **(change | {"quantity": "0.1", "price": "69000"}))[1]
    assert (answer["status"], answer["executedQty"]) == ("CANCELED", "0.150")


def test_a_batch_answers_each_order_for_itself(desk):
    """HTTP 200 with orders and errors in the order of the request."""
    orders = [
        limit("BUY", "0.1", "69000", newClientOrderId="b1"),
        limit("BUY", "0.1", "69000.05"),
        limit("BUY", "0.1", "68000", newClientOrderId="b2"),
    ]
    status, answer = desk.ask("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(orders))
    assert status == 200
    assert [row.get("clientOrderId") or row["code"] for row in answer] == ["b1", -4014, "b2"]
    ids = json.dumps(["b1", "nobody"])
    answer = desk.ask("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", origClientOrderIdList=ids)[1]
    assert [row.get("status") or row["code"] for row in answer] == ["CANCELED", -2011]


def test_hedge_mode_keeps_two_sides_apart(desk):
    """positionSide is mandatory, reduceOnly refused, closing implied and shown as R."""
    path = "/fapi/v1/positionSide/dual"
    assert desk.ask("POST", path, dualSidePosition="true")[1] == {"code": 200, "msg": "success"}
    assert desk.ask("POST", path, dualSidePosition="true")[1]["code"] == -4059
    rest(desk, Side.SELL, "70000", "1")
    rest(desk, Side.BUY, "69990", "1")
    assert desk.refused(**market("BUY", "0.1"))[0] == -4061
    assert desk.refused(**market("BUY", "0.1", positionSide="LONG", reduceOnly="false")) == (
        -1106,
        "Parameter 'reduceonly' sent when not required.",
    )
    desk.order(**market("BUY", "0.1", positionSide="LONG"))
    desk.order(**market("SELL", "0.2", positionSide="SHORT"))
    rows = desk.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")[1]
    assert [(r["positionSide"], r["positionAmt"]) for r in rows] == [("LONG", "0.100"), ("SHORT", "-0.200")]
    assert desk.refused(**market("SELL", "0.2", positionSide="LONG"))[0] == -2022
    desk.events()
    desk.order(**market("SELL", "0.1", positionSide="LONG"))
    assert desk.events()[-1]["o"]["R"] is True
    assert desk.ask("POST", path, dualSidePosition="false")[1]["code"] == -4068


def test_reduce_only_orders_are_knocked_out_when_there_is_nothing_left(desk):
    """er 4; a reduce-only order never turns a position round."""
    rest(desk, Side.SELL, "70000", "1")
    rest(desk, Side.BUY, "69000", "1")
    desk.order(**market("BUY", "0.1"))
    desk.order(**limit("SELL", "0.1", "71000", reduceOnly="true", newClientOrderId="take"))
    desk.events()
    desk.order(**market("SELL", "0.1"))
    expired = desk.events()[-1]["o"]
    assert (expired["c"], expired["X"], expired["er"]) == ("take", "EXPIRED", "4")
    desk.order(**market("BUY", "0.1"))
    desk.order(**market("SELL", "0.3", reduceOnly="true"))
    last = desk.events()[-1]["o"]
    assert (last["X"], last["z"], last["er"]) == ("EXPIRED", "0.1", "4")
    assert desk.position().amount == 0


def test_price_match_takes_its_price_from_the_book(desk):
    """QUEUE joins the best of its own side, OPPONENT takes the best of the other."""
    rest(desk, Side.SELL, "70000", "1")
    rest(desk, Side.BUY, "69990", "1")
    order = limit("BUY", "0.1", "1")
    del order["price"]
    assert desk.order(**order, priceMatch="QUEUE")["price"] == "69990.00"
    assert desk.order(**order, priceMatch="OPPONENT")["price"] == "70000.00"
    assert desk.refused(**order, priceMatch="QUEUE_5")[0] == -5041
    assert desk.refused(**order, price="69000", priceMatch="QUEUE")[0] == -4183


def test_good_till_date_expires(desk):
    """At its second, without a reason."""
    until = desk.now + 700_000
    answer = desk.order(**limit("BUY", "0.1", "69000", timeInForce="GTD", goodTillDate=until))
    assert answer["goodTillDate"] == until // 1000 * 1000
    desk.advance(701)
    desk.futures.step()
    last = desk.events()[-1]["o"]
    assert (last["X"], last["er"], last["gtd"]) == ("EXPIRED", "0", answer["goodTillDate"])


def test_the_engine_refuses_late_with_its_own_code(desk):
    """-5028 before the engine, -1021 on arrival; -1007 comes with 408."""
    desk.exchange.faults.add({"action": "hold", "ms": 5001, "client_id": "late"})
    assert desk.refused(**limit("BUY", "0.1", "69000", newClientOrderId="late")) == (
        -5028,
        "Timestamp for this request is outside of the ME recvWindow.",
    )
    assert desk.refused(**limit("BUY", "0.1", "69000", timestamp=desk.now - 5001))[0] == -1021
    desk.exchange.faults.add({"action": "delay_engine", "ms": 11_000, "client_id": "slow"})
    status, answer = desk.ask("POST", ORDER, **limit("BUY", "0.1", "69000", newClientOrderId="slow"))
    assert (status, answer["code"]) == (408, -1007)
    desk.advance(1)
    assert desk.ask("GET", ORDER, symbol="BTCUSDT", origClientOrderId="slow")[0] == 200


def test_orders_count_and_fills_do_not_give_back(desk):
    """300 in ten seconds, 1200 a minute, no weight for placing."""
    rest(desk, Side.SELL, "70000", "1")
    desk.order(**market("BUY", "0.1"))
    limits = desk.exchange.futures_venue.limits
    assert limits.order_counts("alice", desk.now) == (1, 1)
    assert limits.used("127.0.0.1", desk.now) == 0
    for window in (0, 1):
        limits.windows[window] = type(limits.windows[0])(
            *(
                getattr(limits.windows[window], name) if name != "limit" else 1
                for name in ("span_ms", "limit", "interval", "number", "header", "words")
            )
        )
    assert desk.refused(**market("BUY", "0.1")) == (
        -1015,
        "Too many new orders; current limit is 1 orders per TEN_SECONDS.",
    )


def test_leverage_and_margin_type(desk):
    """Leverage changes margin and is told; the margin type only changes while nothing is open."""
    answer = desk.ask("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=50)[1]
    assert answer == {"leverage": 50, "maxNotionalValue": "3000000", "symbol": "BTCUSDT"}
    (event,) = desk.events()
    assert event["ac"] == {"s": "BTCUSDT", "l": 50}
    path = "/fapi/v1/marginType"
    assert desk.ask("POST", path, symbol="BTCUSDT", marginType="ISOLATED")[0] == 200
    assert desk.ask("POST", path, symbol="BTCUSDT", marginType="ISOLATED")[1]["code"] == -4046
    desk.order(**limit("BUY", "0.1", "69000"))
    assert desk.ask("POST", path, symbol="BTCUSDT", marginType="CROSSED")[1]["code"] == -4047
    config = desk.ask("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[1][0]
    assert (config["leverage"], config["marginType"]) == (50, "ISOLATED")
    huge = limit("BUY", "60", "69000")
    assert desk.refused(**huge)[0] == -2027


def test_isolated_margin_moves_with_the_position(desk):
    """Set aside when opened, given back in proportion; more can be added."""
    desk.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    rest(desk, Side.SELL, "70000", "1")
    rest(desk, Side.BUY, "69990", "1")
    desk.order(**market("BUY", "0.2"))
    assert desk.position().isolated_wallet == 700
    desk.order(**market("SELL", "0.1"))
    assert desk.position().isolated_wallet == 350
    path = "/fapi/v1/positionMargin"
    assert desk.ask("POST", path, symbol="BTCUSDT", amount="50", type=1)[0] == 200
    assert desk.position().isolated_wallet == 400
    account = desk.ask("GET", "/fapi/v3/account")[1]
    assert D(account["totalCrossWalletBalance"]) == desk.account().balance("USDT") - 400


def test_queries_forget_and_page(desk):
    """Unfilled ends are forgotten after three days; trades come oldest first; windows are seven days."""
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="old"))
    desk.ask("DELETE", ORDER, symbol="BTCUSDT", origClientOrderId="old")
    rest(desk, Side.SELL, "70000", "1")
    for _ in range(3):
        desk.order(**market("BUY", "0.01"))
    trades = desk.ask("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", limit=2)[1]
    assert [t["id"] for t in trades] == sorted(t["id"] for t in trades)
    after = desk.ask("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", fromId=trades[-1]["id"] + 1)[1]
    assert len(after) == 1
    assert len(desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")[1]) == 4
    assert len(desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", limit=2)[1]) == 2
    desk.advance(3 * 86_400 + 1)
    assert desk.ask("GET", ORDER, symbol="BTCUSDT", origClientOrderId="old")[1]["code"] == -2013
    assert len(desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")[1]) == 3
    wide = {"startTime": desk.now - 8 * 86_400_000, "endTime": desk.now}
    assert desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", **wide)[1]["code"] == -4166


def test_the_dead_mans_switch_cancels(desk):
    """countdownCancelAll; 0 stops it."""
    desk.order(**limit("BUY", "0.1", "69000"))
    answer = desk.ask("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=1000)[1]
    assert answer == {"symbol": "BTCUSDT", "countdownTime": "1000"}
    desk.advance(2)
    desk.futures.step()
    assert desk.ask("GET", "/fapi/v1/openOrders")[1] == []


def test_an_order_test_answers_blanks(desk):
    """Filters are checked, nothing is placed."""
    answer = desk.ask("POST", "/fapi/v1/order/test", **limit("BUY", "0.1", "69000"))[1]
    assert (answer["orderId"], answer["symbol"]) == (0, "")
    assert desk.refused(path="/fapi/v1/order/test", **limit("BUY", "0.1", "69000.05"))[0] == -4014


def test_exchange_info_ignores_the_symbol(desk):
    """Always all contracts, seven filters each."""
    answer = json.loads(desk.send("GET", "/fapi/v1/exchangeInfo", "symbol=BTCUSDT").body)
    assert len(answer["symbols"]) == 6
    assert len(answer["symbols"][0]["filters"]) == 7
    assert [limit["limit"] for limit in answer["rateLimits"]] == [2400, 300, 1200]


def test_a_shrunk_position_keeps_the_oldest_reduce_only_orders(desk):
    """Only what exceeds it is knocked out, the newest first."""
    rest(desk, Side.SELL, "70000", "1")
    rest(desk, Side.BUY, "69000", "1")
    desk.order(**market("BUY", "0.2"))
    for name in ("first", "second"):
        desk.order(**limit("SELL", "0.1", "71000", reduceOnly="true", newClientOrderId=name))
    desk.order(**market("SELL", "0.05"))
    left = desk.ask("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")[1]
    assert [order["clientOrderId"] for order in left] == ["first"]


def test_a_contract_on_a_commodity_wants_its_agreement_signed(desk):
    """Plain and conditional orders are refused until then, of this account only."""
    desk.market.contract.contract_type = "TRADIFI_PERPETUAL"
    order = limit("BUY", "0.1", "69000")
    assert desk.refused(**order)[0] == -4411
    assert desk.refused(path="/fapi/v1/algoOrder", **stop("BUY", "0.1", "71000"))[0] == -4411
    assert desk.ask("POST", "/fapi/v1/stock/contract")[1]["code"] == 200
    desk.order(**order)
    assert desk.refused("bob", **order)[0] == -4411


def test_open_interest_is_what_is_held_long(desk):
    """Whoever holds the other side does not count a second time."""
    rest(desk, Side.SELL, "70000", "1")
    desk.order(**market("BUY", "0.3"))
    desk.order("bob", **limit("SELL", "0.1", "70500"))
    desk.order(**market("BUY", "0.75"))
    answer = json.loads(desk.send("GET", "/fapi/v1/openInterest", "symbol=BTCUSDT").body)
    assert (answer["symbol"], D(answer["openInterest"])) == ("BTCUSDT", D("1.05"))


def test_an_order_is_changed_only_so_often(desk, monkeypatch):
    """-5026 after ten thousand times; it stays as it is."""
    monkeypatch.setattr(trading, "MOST_MODIFICATIONS", 2)
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="moved"))
    change = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.1", "origClientOrderId": "moved"}
    for price in ("69001", "69002"):
        assert desk.ask("PUT", ORDER, **change, price=price)[0] == 200
    assert desk.ask("PUT", ORDER, **change, price="69003")[1]["code"] == -5026
    assert D(desk.ask("GET", ORDER, symbol="BTCUSDT", origClientOrderId="moved")[1]["price"]) == 69002
