"""What a request must get past, and in which order; the three checks of its time."""

from __future__ import annotations

import json

import pytest

from services.local_exchange.faults import Action
from tests.unit.local_exchange.desk import KEYS, Desk, limit, market

AHEAD = (-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
LATE = (-1021, "Timestamp for this request is outside of the recvWindow.")


@pytest.fixture
def desk():
    return Desk()


def code(answer):
    return json.loads(answer.body)["code"]


def test_the_checks_come_in_their_order(desk):
    """-2014, -1102, -2015, -1022, -1021, -11xx, -1013: each seen once those before are mended."""
    path = "/api/v3/order"
    order = "symbol=BTCUSDT&side=BUY&type=MARKET&quoteOrderQty=1"
    assert code(desk.send("POST", path, order)) == -2014
    assert code(desk.send("POST", path, order, X_MBX_APIKEY="bad key")) == -2014
    assert code(desk.send("POST", path, order, X_MBX_APIKEY="unknown")) == -1102
    assert code(desk.send("POST", path, f"{order}&timestamp=1&signature=00", X_MBX_APIKEY="unknown")) == -2015
    late = f"{order}&timestamp=1&signature=00"
    assert code(desk.send("POST", path, late, X_MBX_APIKEY=KEYS["alice"])) == -1022
    assert desk.refuse(**market("BUY", quoteOrderQty="1", timestamp=desk.now - 6000, x="1")) == LATE
    assert desk.refuse(**market("BUY", quoteOrderQty="1", x="1"))[0] == -1104
    assert desk.refuse(**market("BUY", quoteOrderQty="1")) == (-1013, "Filter failure: NOTIONAL")


def test_a_revoked_key_answers_401(desk):
    """The key is known but gone."""
    desk.exchange.accounts.by_name["alice"].key_revoked = True
    status, answer = desk.ask("GET", "/api/v3/account")
    assert (status, answer["code"]) == (401, -2015)


@pytest.mark.parametrize(("offset", "expected"), [(999, None), (1000, AHEAD), (-5000, None), (-5001, LATE)])
def test_the_arrival_check_has_exact_edges(desk, offset, expected):
    """Less than 1000 ms ahead, at most recvWindow behind."""
    params = market("BUY", quoteOrderQty="350", timestamp=desk.now + offset)
    if expected is None:
        desk.place(**params)
    else:
        assert desk.refuse(**params) == expected


def test_microsecond_timestamps_and_fractional_windows(desk):
    """A timestamp may be in microseconds, recvWindow has up to three decimals."""
    stamp = desk.clock.us - 1500
    desk.place(**market("BUY", quoteOrderQty="350", timestamp=stamp, recvWindow="1.5"))
    assert desk.refuse(**market("BUY", quoteOrderQty="350", timestamp=stamp, recvWindow="1.499")) == LATE
    assert desk.refuse(**market("BUY", quoteOrderQty="350", recvWindow="60000.001"))[0] == -1131
    assert desk.refuse(**market("BUY", quoteOrderQty="350", recvWindow="1.2345"))[0] == -1100
    assert desk.refuse(**market("BUY", quoteOrderQty="350", timestamp="soon"))[0] == -1100
    assert desk.refuse(**market("BUY", quoteOrderQty="350", timestamp="1000000000000"))[0] == -1021


def hold(desk, action, ms, client_id="held"):
    desk.exchange.faults.add({"action": action, "ms": ms, "client_id": client_id})


def test_a_delay_before_arrival_is_caught_by_the_first_check(desk):
    """Nothing is counted, nothing is placed."""
    hold(desk, "delay_arrival", 5001)
    assert desk.refuse(**market("BUY", quoteOrderQty="350", newClientOrderId="held")) == LATE
    assert desk.exchange.spot.limits.order_counts("alice", desk.now) == (0, 0)


def test_a_delay_before_forwarding_is_refused_and_counted(desk):
    """The second check charges the unfilled order count."""
    hold(desk, "delay_forward", 5001)
    assert desk.refuse(**market("BUY", quoteOrderQty="350", newClientOrderId="held")) == LATE
    assert desk.exchange.spot.limits.order_counts("alice", desk.now) == (1, 1)


def test_a_hold_before_the_engine_is_caught_by_the_third_check(desk):
    """An order whose deadline passes in the broker never enters the engine."""
    hold(desk, "hold", 5001)
    assert desk.refuse(**market("BUY", quoteOrderQty="350", newClientOrderId="held")) == LATE
    assert desk.exchange.markets["BTCUSDT"].orders == {}


def test_a_hold_within_the_window_executes_late(desk):
    """Until its deadline a request may enter the engine at any time."""
    sent = desk.now
    hold(desk, "hold", 4999)
    answer = desk.place(**market("BUY", quoteOrderQty="350", newClientOrderId="held"))
    assert answer["transactTime"] == sent + 4999


def test_time_inside_the_engine_is_checked_no_more(desk):
    """After the third check an order executes however long it takes."""
    sent = desk.now
    hold(desk, "delay_engine", 9000)
    answer = desk.place(**market("BUY", quoteOrderQty="350", newClientOrderId="held"))
    assert answer["transactTime"] == sent + 9000


def test_an_engine_that_takes_too_long_is_reported_as_unknown_and_executes(desk):
    """-1007 after ten seconds; the order lives."""
    hold(desk, "delay_engine", 12_000)
    status, answer = desk.ask(
        "POST", "/api/v3/order", **market("BUY", quoteOrderQty="350", newClientOrderId="held")
    )
    assert (status, answer["code"]) == (504, -1007)
    query = {"symbol": "BTCUSDT", "origClientOrderId": "held"}
    assert desk.ask("GET", "/api/v3/order", **query)[1]["code"] == -2013
    desk.advance(2.0)
    assert desk.ask("GET", "/api/v3/order", **query)[1]["status"] == "FILLED"


def test_a_settings_delay_takes_time_in_the_engine():
    """engine_delay_ms applies to every trading call."""
    desk = Desk(engine_delay_ms=250)
    sent = desk.now
    assert desk.place(**market("BUY", quoteOrderQty="350"))["transactTime"] == sent + 250


def test_clock_skew_moves_every_check(desk):
    """An exchange six seconds ahead finds an honest request late."""
    desk.clock.skew_us = 6_000_000
    assert desk.refuse(**market("BUY", quoteOrderQty="350", timestamp=desk.clock.us // 1000)) == LATE


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (market("HOLD", quoteOrderQty="350"), (-1117, "Invalid side.")),
        ({"symbol": "BTCUSDT", "side": "BUY", "type": "NOW", "quantity": "1"}, (-1116, "Invalid orderType.")),
        (limit("BUY", "0.01", "60000", timeInForce="GTX"), (-1115, "Invalid timeInForce.")),
        (market("BUY", quoteOrderQty="350", symbol="NOPEUSDT"), (-1121, "Invalid symbol.")),
        (
            market("BUY", quoteOrderQty="350", symbol="btcusdt"),
            (-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."),
        ),
        (
            market("BUY", quoteOrderQty="350", newClientOrderId="a" * 37),
            (
                -1100,
                (
                    "Illegal characters found in parameter 'newClientOrderId'; "
                    "legal range is '^[a-zA-Z0-9-_]{1,36}$'."
                ),
            ),
        ),
        (
            market("BUY", quantity="1e-3"),
            (
                -1100,
                (
                    "Illegal characters found in parameter 'quantity'; "
                    "legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'."
                ),
            ),
        ),
        (market("BUY", quantity="0.001000001"), (-1111, "Parameter 'quantity' has too much precision.")),
        (market("BUY", quantity="0"), (-1102, "Parameter 'quantity' must be greater than 0.")),
        (
            market("BUY", quantity="0.01", quoteOrderQty="350"),
            (-1128, "Combination of optional parameters invalid."),
        ),
        (
            market("BUY"),
            (-1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."),
        ),
        (
            market("BUY", quantity="0.01", timeInForce="GTC"),
            (-1106, "Parameter 'timeInForce' sent when not required."),
        ),
        (market("BUY", quantity="0.01", price="1"), (-1106, "Parameter 'price' sent when not required.")),
        (
            market("BUY", quoteOrderQty="350", colour="red"),
            (-1104, "Not all sent parameters were read; read '6' parameter(s) but was sent '7'."),
        ),
        (
            market("BUY", quoteOrderQty="350", newClientOrderId=""),
            (-1105, "Parameter 'newClientOrderId' was empty."),
        ),
        (
            market("BUY", quoteOrderQty="350", strategyType="999"),
            (-1134, "Value for 'strategyType' was less than 1000000."),
        ),
        (
            market("BUY", quoteOrderQty="350", selfTradePreventionMode="NONE"),
            (-1013, "This symbol does not allow the specified self-trade prevention mode."),
        ),
    ],
)
def test_parameters_are_refused_in_the_exchanges_words(desk, params, expected):
    """Code and text as documented."""
    assert desk.refuse(**params) == expected


def test_trailing_zeros_are_no_precision(desk):
    """Clients may send 0.0100000000."""
    desk.place(**limit("BUY", "0.0100000000", "60000.0000000000"))


def test_a_parameter_in_query_and_body_counts_as_in_the_query(desk):
    """The signature covers both, the query wins; twice in one place is refused."""
    import hashlib
    import hmac

    from tests.unit.local_exchange.desk import SECRETS

    query = "symbol=BTCUSDT&side=BUY&type=MARKET&quoteOrderQty=350"
    body = f"quoteOrderQty=700&timestamp={desk.now}"
    signature = hmac.new(SECRETS["alice"].encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    answer = desk.send(
        "POST", "/api/v3/order", query, f"{body}&signature={signature}", X_MBX_APIKEY=KEYS["alice"]
    )
    assert json.loads(answer.body)["origQuoteOrderQty"] == "350.00000000"
    twice = desk.send("POST", "/api/v3/order", f"{query}&side=SELL", X_MBX_APIKEY=KEYS["alice"])
    assert code(twice) == -1101


def test_routes_that_are_not_there(desk):
    """404 and 405 without JSON, 410 for the retired listen keys."""
    assert desk.send("GET", "/api/v3/nothing", "").status == 404
    assert desk.send("PUT", "/api/v3/order", "").status == 405
    gone = desk.send("POST", "/api/v3/userDataStream", "")
    assert gone.status == 410
    assert gone.body.startswith(b"<html>")
    assert desk.send("GET", "/api/v3/nothing", "", accept="application/json").body == b""


def test_answers_in_microseconds_on_demand(desk):
    """The header X-MBX-TIME-UNIT turns all times; an unknown unit is refused."""
    answer = desk.send("GET", "/api/v3/time", "", X_MBX_TIME_UNIT="MICROSECOND")
    assert json.loads(answer.body)["serverTime"] == desk.now * 1000
    assert code(desk.send("GET", "/api/v3/time", "", X_MBX_TIME_UNIT="HOURS")) == -1194


def test_every_fault_action_is_documented_by_its_order():
    """The enumeration lists request actions in the order of a request's life."""
    names = [str(action) for action in Action]
    assert names.index("delay_arrival") < names.index("delay_forward") < names.index("hold")
    assert names.index("hold") < names.index("delay_engine") < names.index("delay_answer")
