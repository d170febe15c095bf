"""What the spot client asks and how it reports: exchange answers are values, never exceptions.

respx stands in for the exchange's wording only; what the transport does on the wire is tested on bare
sockets.
"""

import logging
from urllib.parse import parse_qsl

import httpx
import pytest
import respx

from shared.binance.clock_offset import Clock
from shared.binance.failures import NotSent, OutcomeUnknown, Reason
from shared.binance.rest import Answer, Result, TransportFailure
from shared.binance.sign import Credentials, signed_query
from shared.binance.spot import SpotRest
from shared.binance.transport import FIRST_BYTE_BEFORE, MAX_ANSWER_BYTES
from tests.originals import original

URL = "https://api.exchange.test"
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
KEY = Credentials(API_KEY, SECRET)
NOW = 1_700_000_000_000
ORDER = signed_query(
    {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "10", "timestamp": NOW}, KEY
)


@pytest.fixture
def exchange() -> respx.Router:
    return respx.Router(base_url=URL, assert_all_called=False)


@pytest.fixture
def clock() -> Clock:
    clock = Clock(lambda: 5000.0)
    clock.sample(5000.0, NOW, 5000.0)
    return clock


@pytest.fixture
def spot(exchange, clock) -> SpotRest:
    return SpotRest(httpx.MockTransport(exchange.async_handler), URL, clock)


def answer(result: Result) -> Answer:
    assert isinstance(result, Answer), result
    return result


def failure(result: Result) -> TransportFailure:
    assert isinstance(result, TransportFailure), result
    return result


async def test_order_is_posted_with_exactly_the_signed_bytes(spot, exchange):
    """The query string is the one that was stored and signed, the body is empty, the key is in its header."""
    route = exchange.post("/api/v3/order").respond(200, json={"orderId": 1, "status": "FILLED"})
    result = answer(await spot.place_order(ORDER, API_KEY))
    assert route.call_count == 1
    request = route.calls.last.request
    assert request.url.raw_path == b"/api/v3/order?" + ORDER.encode()
    assert request.content == b""
    assert request.headers["content-length"] == "0"
    assert request.headers["x-mbx-apikey"] == API_KEY
    assert request.headers["accept-encoding"] == "identity"
    assert "cookie" not in request.headers
    assert result.ok
    assert result.body == {"orderId": 1, "status": "FILLED"}


async def test_base64_signature_goes_out_as_it_was_encoded(spot, exchange):
    """Percent signs of an Ed25519 or RSA signature are not encoded twice."""
    route = exchange.post("/api/v3/order").respond(200, json={})
    text = "symbol=%EF%BC%91&timestamp=1&signature=ab%2Bcd%2Fef%3D%3D"
    await spot.place_order(text, API_KEY)
    assert route.calls.last.request.url.query == text.encode()


@pytest.mark.parametrize("text", ["symbol=BTC USDT", "symbol=\uff11", "a=1#b", 'a="1"'])
async def test_query_that_would_change_on_the_way_is_refused(spot, exchange, text):
    """What cannot go out byte by byte is a mistake of ours, found before sending."""
    route = exchange.post("/api/v3/order")
    with pytest.raises(ValueError, match="percent-encoded"):
        await spot.place_order(text, API_KEY)
    assert route.call_count == 0


@pytest.mark.parametrize(
    ("status", "body", "headers", "code", "retry_after"),
    [
        (
            400,
            {"code": -2010, "msg": "Account has insufficient balance for requested action."},
            {},
            -2010,
            None,
        ),
        (400, {"code": -1013, "msg": "Filter failure: LOT_SIZE"}, {}, -1013, None),
        (400, {"code": -1022, "msg": "Signature for this request is not valid."}, {}, -1022, None),
        (
            400,
            {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."},
            {},
            -1021,
            None,
        ),
        (401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}, {}, -2015, None),
        (429, {"code": -1003, "msg": "Too many requests."}, {"Retry-After": "7"}, -1003, 7),
        (429, {"code": -1015, "msg": "Too many new orders."}, {"Retry-After": "10"}, -1015, 10),
        (
            418,
            {"code": -1003, "msg": "Way too many requests; IP banned."},
            {"Retry-After": "120"},
            -1003,
            120,
        ),
        (500, {"code": -1000, "msg": "An unknown error occurred."}, {}, -1000, None),
        (503, {"code": -1008, "msg": "Server is currently overloaded."}, {}, -1008, None),
        (504, {"code": -1007, "msg": "Timeout waiting for response from backend server."}, {}, -1007, None),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
async def test_refusals_are_values(spot, exchange, status, body, headers, code, retry_after):
    """Every class of refusal comes back as status, code and message for the classification, sent once."""
    route = exchange.post("/api/v3/order").respond(status, json=body, headers=headers)
    result = answer(await spot.place_order(ORDER, API_KEY))
    assert (result.status, result.code, result.message) == (status, code, body["msg"])
    assert result.retry_after_s == retry_after
    assert not result.ok
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, b"<html><body>Request blocked</body></html>"),
        (502, b"<html>Bad gateway</html>"),
        (200, b'{"orderId": 1'),
        (200, b""),
        (200, b"\xff\xfe"),
    ],
    ids=["waf", "gateway", "half", "empty", "binary"],
)
async def test_body_that_is_not_json_is_kept_as_an_excerpt(spot, exchange, status, body):
    """No JSON, no guess: body None, the beginning of the text for people."""
    exchange.post("/api/v3/order").respond(status, content=body)
    result = answer(await spot.place_order(ORDER, API_KEY))
    assert result.body is None
    assert not result.ok
    assert (result.code, result.message) == (None, None)
    assert result.raw_excerpt == body.decode("utf-8", "replace")


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b'{"code": true, "msg": 5}', b'{"code": "-1013"}'])
async def test_body_of_an_unexpected_shape_has_no_code(spot, exchange, body):
    """Only an object with an integer code has one."""
    exchange.post("/api/v3/order").respond(400, content=body)
    result = answer(await spot.place_order(ORDER, API_KEY))
    assert (result.code, result.message) == (None, None)


async def test_redirect_is_an_answer_like_any_other(spot, exchange):
    """A signed request is never carried to another address."""
    route = exchange.route().respond(302, headers={"Location": f"{URL}/elsewhere"})
    assert answer(await spot.place_order(ORDER, API_KEY)).status == 302
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("error", "bytes_written", "reason"),
    [
        (NotSent(Reason.DNS, "No such name."), False, "dns"),
        (OutcomeUnknown(Reason.RESET, "Reset.", 12), True, "reset"),
        (httpx.ConnectError("refused"), True, "foreign"),
        (httpx.ConnectTimeout("slow"), True, "foreign"),
        (httpx.ReadTimeout("slow"), True, "foreign"),
    ],
    ids=["not sent", "unknown", "foreign connect error", "foreign connect timeout", "foreign read timeout"],
)
async def test_only_our_transport_can_prove_that_nothing_was_sent(
    spot, exchange, error, bytes_written, reason
):
    """Another transport's ConnectTimeout may stand for a request that arrived: it counts as written."""
    route = exchange.post("/api/v3/order").mock(side_effect=error)
    result = failure(await spot.place_order(ORDER, API_KEY))
    assert (result.bytes_written, result.reason) == (bytes_written, reason)
    assert route.call_count == 1


async def test_secrets_stay_out_of_results_and_logs(spot, exchange, caplog):
    """Neither signature nor key shows in a failure, in an excerpt that echoes the request, or in a log."""
    caplog.set_level(logging.DEBUG)
    signature = ORDER.rpartition("=")[2]
    echo = f"<p>{URL}/api/v3/order?{ORDER} X-MBX-APIKEY: {API_KEY}</p>"
    exchange.post("/api/v3/order").mock(
        side_effect=[
            httpx.Response(403, text=echo),
            OutcomeUnknown(Reason.RESET, "Reset.", 1),
            httpx.ReadError(ORDER),
        ]
    )
    for _ in range(3):
        shown = repr(await spot.place_order(ORDER, API_KEY))
        assert signature not in shown
        assert API_KEY not in shown
    assert caplog.text == ""


async def test_error_that_quotes_the_request_keeps_its_code_and_loses_key_and_signature(spot, exchange):
    """What an error says is stored with the order and shown to its owner."""
    signature = ORDER.rpartition("=")[2]
    said = {"code": -1013, "msg": f"Filter failure of {API_KEY} in {ORDER}"}
    exchange.post("/api/v3/order").mock(return_value=httpx.Response(400, json=said))
    result = answer(await spot.place_order(ORDER, API_KEY))
    assert result.code == -1013
    assert result.message is not None
    assert result.message.startswith("Filter failure of")
    assert API_KEY not in repr(result)
    assert signature[:12] not in repr(result)


async def test_excerpt_is_bounded(spot, exchange):
    """A page of a megabyte does not travel into a log."""
    exchange.get("/api/v3/ping").respond(502, content=b"x" * 1_000_000)
    assert len(answer(await spot.ping()).raw_excerpt) == 500


async def test_headers_that_matter_are_kept_and_no_others(spot, exchange):
    """Weight, order counts, waiting time and date; nothing a server may set for trackers."""
    exchange.get("/api/v3/ping").respond(
        200,
        json={},
        headers={
            "X-MBX-USED-WEIGHT-1M": "12",
            "X-MBX-ORDER-COUNT-10S": "3",
            "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
            "Set-Cookie": "a=b",
        },
    )
    headers = answer(await spot.ping()).headers
    assert headers["x-mbx-used-weight-1m"] == "12"
    assert headers["x-mbx-order-count-10s"] == "3"
    assert "set-cookie" not in headers


async def test_questions_are_signed_when_asked(spot, exchange):
    """Parameters in the query, the exchange's time, our window, a signature the exchange computes as well."""
    route = exchange.get("/api/v3/order").respond(200, json={"status": "NEW"})
    await spot.order(KEY, "BTCUSDT", client_order_id="b0123-1")
    request = route.calls.last.request
    payload, _, signature = request.url.query.decode().rpartition("&signature=")
    assert KEY.signature(payload.encode()) == signature
    assert parse_qsl(payload) == [
        ("symbol", "BTCUSDT"),
        ("origClientOrderId", "b0123-1"),
        ("recvWindow", "5000"),
        ("timestamp", str(NOW)),
    ]
    assert request.headers["x-mbx-apikey"] == API_KEY


QUESTIONS = {
    "order": (
        lambda s: s.order(KEY, "BTCUSDT", order_id=7),
        "GET",
        "/api/v3/order",
        {"symbol": "BTCUSDT", "orderId": "7"},
    ),
    "cancel": (
        lambda s: s.cancel_order(KEY, "BTCUSDT", client_order_id="b-1"),
        "DELETE",
        "/api/v3/order",
        {"symbol": "BTCUSDT", "origClientOrderId": "b-1"},
    ),
    "open": (lambda s: s.open_orders(KEY, "BTCUSDT"), "GET", "/api/v3/openOrders", {"symbol": "BTCUSDT"}),
    "open of all": (lambda s: s.open_orders(KEY), "GET", "/api/v3/openOrders", {}),
    "all": (
        lambda s: s.all_orders(KEY, "BTCUSDT", start_ms=1, end_ms=2),
        "GET",
        "/api/v3/allOrders",
        {"symbol": "BTCUSDT", "startTime": "1", "endTime": "2", "limit": "1000"},
    ),
    "all from": (
        lambda s: s.all_orders(KEY, "BTCUSDT", from_order_id=5, limit=10),
        "GET",
        "/api/v3/allOrders",
        {"symbol": "BTCUSDT", "orderId": "5", "limit": "10"},
    ),
    "trades": (
        lambda s: s.my_trades(KEY, "BTCUSDT", order_id=5),
        "GET",
        "/api/v3/myTrades",
        {"symbol": "BTCUSDT", "orderId": "5", "limit": "1000"},
    ),
    "account": (lambda s: s.account(KEY), "GET", "/api/v3/account", {"omitZeroBalances": "true"}),
    "order counts": (lambda s: s.rate_limit_order(KEY), "GET", "/api/v3/rateLimit/order", {}),
}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_every_signed_question(spot, exchange, name):
    """Method, path and parameters of each question, beside window, time and signature nothing else."""
    ask, method, path, expected = QUESTIONS[name]
    route = exchange.route(method=method, path=path).respond(200, json=[])
    assert answer(await ask(spot)).body == []
    params = dict(parse_qsl(route.calls.last.request.url.query.decode()))
    for added in ("recvWindow", "timestamp", "signature"):
        del params[added]
    assert params == expected


@pytest.mark.parametrize("name", QUESTIONS)
async def test_signed_question_is_not_asked_while_the_clock_is_unknown(exchange, name):
    """No timestamp, no question: reported as not sent, so it can never count as an answer."""
    spot = SpotRest(httpx.MockTransport(exchange.async_handler), URL, Clock())
    result = failure(await QUESTIONS[name][0](spot))
    assert (result.bytes_written, result.reason) == (False, "clock")
    assert exchange.calls.call_count == 0


@pytest.mark.parametrize(
    ("ask", "path", "expected"),
    [
        (lambda s: s.ping(), "/api/v3/ping", ""),
        (lambda s: s.server_time(), "/api/v3/time", ""),
        (lambda s: s.exchange_info(), "/api/v3/exchangeInfo", "showPermissionSets=false"),
        (
            lambda s: s.exchange_info(["BTCUSDT", "ETHUSDT"]),
            "/api/v3/exchangeInfo",
            "showPermissionSets=false&symbols=%5B%22BTCUSDT%22%2C%22ETHUSDT%22%5D",
        ),
        (lambda s: s.book_ticker("BTCUSDT"), "/api/v3/ticker/bookTicker", "symbol=BTCUSDT"),
        (lambda s: s.book_ticker(), "/api/v3/ticker/bookTicker", ""),
        (lambda s: s.ticker_price("BTCUSDT"), "/api/v3/ticker/price", "symbol=BTCUSDT"),
    ],
    ids=["ping", "time", "info", "info of two", "book", "books", "price"],
)
async def test_every_public_question(exchange, ask, path, expected):
    """No key and no signature, and no need of the clock."""
    route = exchange.get(path=path).respond(200, json={})
    spot = SpotRest(httpx.MockTransport(exchange.async_handler), URL + "/", Clock())
    assert answer(await ask(spot)).ok
    request = route.calls.last.request
    assert request.url.query.decode() == expected
    assert "x-mbx-apikey" not in request.headers


async def test_time_request_teaches_the_clock(exchange):
    """The answer to `server_time` makes the clock known, with the moments around the request."""
    exchange.get("/api/v3/time").respond(200, json={"serverTime": NOW})
    ticks = iter([100.0, 300.0])
    clock = Clock(lambda: next(ticks))
    await SpotRest(httpx.MockTransport(exchange.async_handler), URL, clock).server_time()
    assert clock.offset_ms == NOW + 0.5 - 200
    assert clock.error_ms(100) == 100.5


@pytest.mark.parametrize("body", [{"serverTime": "1"}, {}, [], {"serverTime": None}])
async def test_time_that_is_none_teaches_nothing(exchange, body):
    """A strange answer leaves the clock unknown."""
    exchange.get("/api/v3/time").respond(200, json=body)
    spot = SpotRest(httpx.MockTransport(exchange.async_handler), URL, Clock())
    await spot.server_time()
    assert not spot.clock.known


async def test_limits_of_the_transport_are_asked_for(spot, exchange):
    """The latest moment goes to the transport with the order, the larger bound with the list of symbols."""
    order = exchange.post("/api/v3/order").respond(200, json={})
    info = exchange.get("/api/v3/exchangeInfo").respond(200, json={})
    await spot.place_order(ORDER, API_KEY, first_byte_before=12.5)
    await spot.exchange_info()
    assert order.calls.last.request.extensions[FIRST_BYTE_BEFORE] == 12.5
    assert info.calls.last.request.extensions[MAX_ANSWER_BYTES] > 8 * 1024 * 1024


@pytest.mark.parametrize("name", ["ack", "result", "full"])
async def test_documented_answers_come_through_whole(spot, exchange, name):
    """The documented answers of a new order arrive as they are, decimals as text."""
    body = original("spot", f"rest__new-order__response-{name}")
    exchange.post("/api/v3/order").respond(200, json=body)
    assert answer(await spot.place_order(ORDER, API_KEY)).body == body
