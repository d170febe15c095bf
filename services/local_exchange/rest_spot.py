"""Spot REST: which routes there are, and a request's way to its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from services.local_exchange import spot_market_data, spot_queries, spot_trading
from services.local_exchange.calls import Call, Operation, Outcome, Security, run
from services.local_exchange.errors import ExchangeError
from services.local_exchange.ledger import RequestRecord, client_order_id
from services.local_exchange.parameters import Params, decode
from services.local_exchange.signature import signed_payload

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.faults import Rule

SIGNING = frozenset({"timestamp", "signature", "recvWindow"})
ORDER_FIELDS = (
    "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType "
    "stopPrice trailingDelta icebergQty newOrderRespType selfTradePreventionMode"
)


def _named(*names: str) -> frozenset[str]:
    return SIGNING | {name for group in names for name in group.split()}


PLACE = Operation(
    spot_trading.place,
    Security.SIGNED,
    mandatory=("symbol", "side", "type"),
    optional=_named(ORDER_FIELDS),
    waits=True,
    free_on_success=True,
)
CANCEL = Operation(
    spot_trading.cancel,
    Security.SIGNED,
    mandatory=("symbol",),
    optional=_named("symbol orderId origClientOrderId newClientOrderId cancelRestrictions"),
    waits=True,
    free_on_success=True,
)
STATUS = Operation(
    spot_queries.order,
    Security.SIGNED,
    4,
    mandatory=("symbol",),
    optional=_named("symbol orderId origClientOrderId"),
)
OPEN_ORDERS = Operation(
    spot_queries.open_orders,
    Security.SIGNED,
    lambda params: 6 if "symbol" in params else 80,
    optional=_named("symbol"),
)
ALL_ORDERS = Operation(
    spot_queries.all_orders,
    Security.SIGNED,
    20,
    mandatory=("symbol",),
    optional=_named("symbol orderId startTime endTime limit"),
)
MY_TRADES = Operation(
    spot_queries.my_trades,
    Security.SIGNED,
    lambda params: 5 if "orderId" in params else 20,
    mandatory=("symbol",),
    optional=_named("symbol orderId startTime endTime fromId limit"),
)
ACCOUNT = Operation(spot_queries.account, Security.SIGNED, 20, optional=_named("omitZeroBalances"))
UNFILLED = Operation(spot_queries.unfilled_orders, Security.SIGNED, 40, optional=_named())
PING = Operation(spot_market_data.ping)
TIME = Operation(spot_market_data.time)
EXCHANGE_INFO = Operation(
    spot_market_data.exchange_info,
    weight=20,
    optional=frozenset({"symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"}),
)


def _per_symbol(one: int, many: int) -> Any:
    return lambda params: one if "symbol" in params else many


TICKER_OPTIONS = frozenset({"symbol", "symbols", "symbolStatus"})
TICKER_PRICE = Operation(spot_market_data.ticker_price, weight=_per_symbol(2, 4), optional=TICKER_OPTIONS)
BOOK_TICKER = Operation(spot_market_data.book_ticker, weight=_per_symbol(2, 4), optional=TICKER_OPTIONS)
TICKER_24HR = Operation(
    spot_market_data.ticker_24hr, weight=_per_symbol(2, 80), optional=TICKER_OPTIONS | {"type"}
)
DEPTH = Operation(
    spot_market_data.depth,
    weight=5,
    mandatory=("symbol",),
    optional=frozenset({"symbol", "limit", "symbolStatus"}),
)
TRADES = Operation(
    spot_market_data.recent_trades, weight=25, mandatory=("symbol",), optional=frozenset({"symbol", "limit"})
)
AVERAGE = Operation(
    spot_market_data.average_price, weight=2, mandatory=("symbol",), optional=frozenset({"symbol"})
)

ROUTES: dict[str, dict[str, Operation]] = {
    "/api/v3/ping": {"GET": PING},
    "/api/v3/time": {"GET": TIME},
    "/api/v3/exchangeInfo": {"GET": EXCHANGE_INFO},
    "/api/v3/order": {"POST": PLACE, "GET": STATUS, "DELETE": CANCEL},
    "/api/v3/openOrders": {"GET": OPEN_ORDERS},
    "/api/v3/allOrders": {"GET": ALL_ORDERS},
    "/api/v3/myTrades": {"GET": MY_TRADES},
    "/api/v3/account": {"GET": ACCOUNT},
    "/api/v3/rateLimit/order": {"GET": UNFILLED},
    "/api/v3/ticker/price": {"GET": TICKER_PRICE},
    "/api/v3/ticker/bookTicker": {"GET": BOOK_TICKER},
    "/api/v3/ticker/24hr": {"GET": TICKER_24HR},
    "/api/v3/depth": {"GET": DEPTH},
    "/api/v3/trades": {"GET": TRADES},
    "/api/v3/avgPrice": {"GET": AVERAGE},
}
GONE = frozenset({"/api/v3/userDataStream"})
JSON_TYPE = "application/json;charset=UTF-8"
HTML_TYPE = "text/html"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came over the wire. `arrived_ns` in epoch nanoseconds of the machine's clock."""

    method: str
    path: str
    query: bytes
    body: bytes
    headers: Mapping[str, str]
    address: str
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to be sent; `fault` says what else is to happen to it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON_TYPE
    fault: Rule | None = None


def respond(exchange: Exchange, request: Request) -> Generator[float, None, Answer]:
    """Take one request to its answer; yields the seconds it wants to wait."""
    record = RequestRecord(
        request.arrived_ns,
        "rest",
        request.method,
        request.path,
        "",
        request.query + b"&" + request.body if request.body else request.query,
    )
    exchange.ledger.requests.append(record)
    operations = ROUTES.get(request.path)
    operation = None if operations is None else operations.get(request.method)
    if operation is None:
        answer = _no_such_route(request, operations is not None)
        record.result = str(answer.status)
        return answer
    try:
        params = decode(request.query, request.body)
    except ExchangeError as error:
        record.result = f"{error.status} {error.code}"
        return Answer(error.status, orjson.dumps(error.body()))
    call = _call(exchange, request, params, record)
    outcome = yield from run(call, operation)
    record.result = result_of(outcome)
    record.answered_ns = time.time_ns()
    return _answer(call, operation, outcome)


def _call(exchange: Exchange, request: Request, params: Params, record: RequestRecord) -> Call:
    api_key = request.headers.get("x-mbx-apikey")
    account = exchange.accounts.by_key.get(api_key) if api_key else None
    record.account = account.name if account else ""
    payload = signed_payload(request.query, request.body) if "signature" in params else None
    call = Call(exchange, params, request.address, api_key, payload, record)
    if exchange.faults.on_requests:
        call.plan = exchange.faults.plan(
            request.method, request.path, record.account, params.get("symbol", ""), client_order_id(params)
        )
    return call


def result_of(outcome: Outcome) -> str:
    """Say in a few words what became of a call."""
    if outcome.error is not None:
        text = f"{outcome.status} {outcome.error.code} {outcome.error.msg}"
    else:
        text = str(outcome.status)
    return text if outcome.fault is None else f"{text} ({outcome.fault.action})"


def _answer(call: Call, operation: Operation, outcome: Outcome) -> Answer:
    exchange = call.exchange
    now = exchange.clock.now_ms()
    used = str(exchange.limits.used(call.address, now))
    headers = [("x-mbx-used-weight", used), ("x-mbx-used-weight-1m", used)]
    error = outcome.error
    if error is not None:
        if error.retry_after is not None:
            headers.append(("Retry-After", str(error.retry_after)))
        body = error.body()
        if error.status in {418, 429}:
            body.pop("data", None)
        return Answer(error.status, orjson.dumps(body), tuple(headers), fault=outcome.fault)
    if call.counts_orders:
        ten, day = exchange.limits.order_counts(call.holder.name, now)
        headers += [("x-mbx-order-count-10s", str(ten)), ("x-mbx-order-count-1d", str(day))]
    assert operation is not None
    return Answer(outcome.status, orjson.dumps(outcome.result), tuple(headers), fault=outcome.fault)


def _no_such_route(request: Request, known: bool) -> Answer:
    """Answer 404, 405 or 410 as nginx does: a page, or nothing to a client that wants no HTML."""
    if request.path in GONE:
        status, reason = 410, "Gone"
    elif known:
        status, reason = 405, "Not Allowed"
    else:
        status, reason = 404, "Not Found"
    if "text/html" not in request.headers.get("accept", "text/html"):
        return Answer(status, b"", content_type=HTML_TYPE)
    heading = f"{status} {reason}"
    page = f"<html>\r\n<head><title>{heading}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1>"
    return Answer(status, f"{page}</center>\r\n</body>\r\n</html>\r\n".encode(), content_type=HTML_TYPE)
