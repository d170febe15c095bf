"""What the futures client asks: the endpoints, the algo service, and the listen key that is never deleted."""

import inspect
from urllib.parse import parse_qsl

import httpx
import pytest
import respx

from shared.binance.clock_offset import Clock
from shared.binance.failures import NotSent, Reason
from shared.binance.futures import FuturesRest, listen_key_of, setting_holds
from shared.binance.rest import Answer, Result, TransportFailure
from shared.binance.sign import Credentials, Value, signed_query
from shared.binance.spot import SpotRest
from tests.originals import original

URL = "https://fapi.exchange.test"
API_KEY = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83"
SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
KEY = Credentials(API_KEY, SECRET)
NOW = 1_591_702_613_943


@pytest.fixture
def exchange() -> respx.Router:
    return respx.Router(base_url=URL, assert_all_called=False)


@pytest.fixture
def futures(exchange) -> FuturesRest:
    clock = Clock(lambda: 5000.0)
    clock.sample(5000.0, NOW, 5000.0)
    return FuturesRest(httpx.MockTransport(exchange.async_handler), URL, clock)


def answer(result: Result) -> Answer:
    assert isinstance(result, Answer), result
    return result


def asked(route) -> dict[str, str]:
    """The parameters of the last request, without what signing adds."""
    request = route.calls.last.request
    params = dict(parse_qsl(request.url.query.decode(), strict_parsing=True)) if request.url.query else {}
    for name in ("timestamp", "recvWindow", "signature"):
        params.pop(name, None)
    return params


def test_documented_signature_vector():
    """The documentation's own example is signed as printed there."""
    params: dict[str, Value] = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "quantity": "1",
        "price": "9000",
        "timeInForce": "GTC",
        "recvWindow": 5000,
        "timestamp": NOW,
    }
    signature = signed_query(params, KEY).rpartition("=")[2]
    assert signature == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"symbol": "BTCUSDT", "type": "MARKET", "newClientOrderId": "b1-1"}, "/fapi/v1/order"),
        ({"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "clientAlgoId": "b1-1"}, "/fapi/v1/algoOrder"),
        ({"symbol": "BTCUSDT", "newClientOrderId": "algoType=CONDITIONAL"}, "/fapi/v1/order"),
    ],
)
async def test_conditional_orders_go_to_the_algo_service(futures, exchange, params, path):
    """The stored parameters alone choose the endpoint, and go out byte by byte, once."""
    route = exchange.post(path).respond(200, json={"algoId": 1})
    text = signed_query({**params, "timestamp": NOW}, KEY)
    assert answer(await futures.place_order(text, API_KEY, first_byte_before=1e9)).ok
    assert route.call_count == 1
    request = route.calls.last.request
    assert request.url.raw_path == f"{path}?{text}".encode()
    assert request.content == b""
    assert request.headers["x-mbx-apikey"] == API_KEY


QUESTIONS = [
    (
        lambda f: f.order(KEY, "BTCUSDT", client_order_id="b1-1"),
        "GET",
        "/fapi/v1/order",
        {"symbol": "BTCUSDT", "origClientOrderId": "b1-1"},
    ),
    (
        lambda f: f.order(KEY, "BTCUSDT", order_id=7),
        "GET",
        "/fapi/v1/order",
        {"symbol": "BTCUSDT", "orderId": "7"},
    ),
    (
        lambda f: f.cancel_order(KEY, "BTCUSDT", client_order_id="b1-1"),
        "DELETE",
        "/fapi/v1/order",
        {"symbol": "BTCUSDT", "origClientOrderId": "b1-1"},
    ),
    (lambda f: f.open_orders(KEY, "BTCUSDT"), "GET", "/fapi/v1/openOrders", {"symbol": "BTCUSDT"}),
    (
        lambda f: f.all_orders(KEY, "BTCUSDT", start_ms=5),
        "GET",
        "/fapi/v1/allOrders",
        {"symbol": "BTCUSDT", "startTime": "5", "limit": "1000"},
    ),
    (
        lambda f: f.my_trades(KEY, "BTCUSDT", order_id=7),
        "GET",
        "/fapi/v1/userTrades",
        {"symbol": "BTCUSDT", "orderId": "7", "limit": "1000"},
    ),
    (
        lambda f: f.my_trades(KEY, "BTCUSDT", from_id=8, limit=5),
        "GET",
        "/fapi/v1/userTrades",
        {"symbol": "BTCUSDT", "fromId": "8", "limit": "5"},
    ),
    (lambda f: f.algo_order(KEY, "b1-1"), "GET", "/fapi/v1/algoOrder", {"clientAlgoId": "b1-1"}),
    (lambda f: f.cancel_algo_order(KEY, "b1-1"), "DELETE", "/fapi/v1/algoOrder", {"clientAlgoId": "b1-1"}),
    (lambda f: f.open_algo_orders(KEY, "BTCUSDT"), "GET", "/fapi/v1/openAlgoOrders", {"symbol": "BTCUSDT"}),
    (
        lambda f: f.all_algo_orders(KEY, "BTCUSDT", start_ms=5),
        "GET",
        "/fapi/v1/allAlgoOrders",
        {"symbol": "BTCUSDT", "startTime": "5", "limit": "1000"},
    ),
    (lambda f: f.account(KEY), "GET", "/fapi/v3/account", {}),
    (lambda f: f.account_config(KEY), "GET", "/fapi/v1/accountConfig", {}),
    (lambda f: f.symbol_config(KEY, "BTCUSDT"), "GET", "/fapi/v1/symbolConfig", {"symbol": "BTCUSDT"}),
    (lambda f: f.position_risk(KEY), "GET", "/fapi/v2/positionRisk", {}),
    (
        lambda f: f.set_leverage(KEY, "BTCUSDT", 5),
        "POST",
        "/fapi/v1/leverage",
        {"symbol": "BTCUSDT", "leverage": "5"},
    ),
    (
        lambda f: f.set_margin_type(KEY, "BTCUSDT", "ISOLATED"),
        "POST",
        "/fapi/v1/marginType",
        {"symbol": "BTCUSDT", "marginType": "ISOLATED"},
    ),
    (
        lambda f: f.income(KEY, income_type="FUNDING_FEE", start_ms=5),
        "GET",
        "/fapi/v1/income",
        {"incomeType": "FUNDING_FEE", "startTime": "5", "limit": "1000"},
    ),
]


@pytest.mark.parametrize(("ask", "method", "path", "params"), QUESTIONS)
async def test_signed_requests(futures, exchange, ask, method, path, params):
    """Each question goes to its documented endpoint, signed now, with the key in its header."""
    route = exchange.request(method, path).respond(200, json={})
    answer(await ask(futures))
    assert asked(route) == params
    request = route.calls.last.request
    assert request.headers["x-mbx-apikey"] == API_KEY
    assert f"timestamp={NOW}".encode() in request.url.query
    assert request.url.query.rpartition(b"&")[2].startswith(b"signature=")


@pytest.mark.parametrize(
    ("ask", "path", "params"),
    [
        (lambda f: f.ping(), "/fapi/v1/ping", {}),
        (lambda f: f.exchange_info(["BTCUSDT"]), "/fapi/v1/exchangeInfo", {}),
        (lambda f: f.book_ticker("BTCUSDT"), "/fapi/v1/ticker/bookTicker", {"symbol": "BTCUSDT"}),
        (lambda f: f.book_ticker(), "/fapi/v1/ticker/bookTicker", {}),
        (lambda f: f.ticker_price(), "/fapi/v2/ticker/price", {}),
    ],
)
async def test_public_requests(futures, exchange, ask, path, params):
    """What needs no key is asked without one; a choice of symbols is not sent, since it would be ignored."""
    route = exchange.get(path).respond(200, json={})
    answer(await ask(futures))
    assert asked(route) == params
    assert "x-mbx-apikey" not in route.calls.last.request.headers


async def test_the_clock_learns_from_time_alone(futures, exchange):
    """`time` teaches the clock; the serverTime of exchangeInfo, which may be days old, does not."""
    exchange.get("/fapi/v1/exchangeInfo").respond(200, json={"serverTime": NOW - 86_400_000, "symbols": []})
    exchange.get("/fapi/v1/time").respond(200, json={"serverTime": NOW + 50})
    await futures.exchange_info()
    assert futures.clock.exchange_now_ms() == NOW
    futures.clock.forget()
    await futures.server_time()
    assert futures.clock.exchange_now_ms() == NOW + 50


async def test_listen_keys_need_the_key_alone(futures, exchange):
    """Created and extended without timestamp or signature; both answers carry the key."""
    for method, ask in (("POST", futures.create_listen_key), ("PUT", futures.extend_listen_key)):
        route = exchange.request(method, "/fapi/v1/listenKey").respond(200, json={"listenKey": "pqia"})
        result = await ask(API_KEY)
        assert listen_key_of(result) == "pqia"
        request = route.calls.last.request
        assert request.url.query == b""
        assert request.headers["x-mbx-apikey"] == API_KEY


def test_nothing_here_deletes_a_listen_key():
    """The bot may share the account's key, so the client has no way to delete it."""
    assert [name for name in dir(FuturesRest) if "listen_key" in name] == [
        "create_listen_key",
        "extend_listen_key",
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, {"code": -1125, "msg": "This listenKey does not exist."}), (200, {}), (200, [])],
)
async def test_an_answer_without_a_listen_key(futures, exchange, status, body):
    """An expired key, and an answer of another form, are no key."""
    exchange.put("/fapi/v1/listenKey").respond(status, json=body)
    assert listen_key_of(await futures.extend_listen_key(API_KEY)) is None


@pytest.mark.parametrize(
    ("status", "body", "holds"),
    [
        (200, {"code": 200, "msg": "success"}, True),
        (400, {"code": -4046, "msg": "No need to change margin type."}, True),
        (400, {"code": -4059, "msg": "No need to change position side."}, True),
        (400, {"code": -4047, "msg": "Margin type cannot be changed if there exists open orders."}, False),
        (503, {"code": -1001, "msg": "Internal error"}, False),
    ],
)
async def test_a_setting_that_needs_no_change_holds(futures, exchange, status, body, holds):
    """A setting that is as wished already is as good as success; a refusal is not."""
    exchange.post("/fapi/v1/marginType").respond(status, json=body)
    assert setting_holds(await futures.set_margin_type(KEY, "BTCUSDT", "CROSSED")) is holds


async def test_failures_are_values(futures, exchange):
    """What the transport proves about the bytes is passed on, as on spot."""
    exchange.post("/fapi/v1/order").mock(side_effect=NotSent(Reason.DNS, "no such host"))
    result = await futures.place_order("a=1", API_KEY)
    assert result == TransportFailure(False, "dns", "no such host Nothing was sent.")


def test_whoever_serves_both_markets_finds_the_same_methods():
    """Every method of the spot client that is used for orders exists here with the same parameters."""
    for name in (
        "ping",
        "server_time",
        "exchange_info",
        "book_ticker",
        "ticker_price",
        "place_order",
        "order",
        "cancel_order",
        "open_orders",
        "all_orders",
        "my_trades",
    ):
        ours, spots = getattr(FuturesRest, name), getattr(SpotRest, name)
        assert inspect.signature(ours) == inspect.signature(spots), name


async def test_captured_error_bodies_are_read(futures, exchange):
    """Code and text of captured errors come out as they are."""
    body = original("futures", "err-400-4061")
    exchange.get("/fapi/v1/order").respond(400, json=body)
    result = answer(await futures.order(KEY, "BTCUSDT", order_id=1))
    assert (result.code, result.message) == (body["code"], body["msg"])
