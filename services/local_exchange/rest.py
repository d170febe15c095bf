"""REST: a request's way to its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from services.local_exchange.calls import Call, Outcome, run
from services.local_exchange.errors import ExchangeError
from services.local_exchange.ledger import RequestRecord, client_order_id
from services.local_exchange.parameters import Params, decode
from services.local_exchange.signature import signed_payload
from services.local_exchange.time_units import in_microseconds, wants_microseconds

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.faults import Rule
    from services.local_exchange.venue import Venue

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


def respond(exchange: Exchange, venue: Venue, request: Request) -> Generator[float, None, Answer]:
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
    operations = venue.routes.get(request.path)
    operation = None if operations is None else operations.get(request.method)
    if operation is None:
        answer = _no_such_route(venue, request, operations is not None)
        record.result = str(answer.status)
        return answer
    try:
        microseconds = wants_microseconds(request.headers.get("x-mbx-time-unit"))
        params = decode(request.query, request.body)
    except ExchangeError as error:
        record.result = f"{error.status} {error.code}"
        return Answer(error.status, orjson.dumps(error.body()))
    call = _call(exchange, venue, request, params, record)
    outcome = yield from run(call, operation)
    record.result = result_of(outcome)
    record.answered_ns = time.time_ns()
    if microseconds and outcome.error is None:
        outcome = replace(outcome, result=in_microseconds(outcome.result))
    return _answer(call, outcome)


def _call(exchange: Exchange, venue: Venue, request: Request, params: Params, record: RequestRecord) -> Call:
    api_key = request.headers.get("x-mbx-apikey")
    account = exchange.accounts.by_key.get(api_key) if api_key else None
    record.account = account.name if account else ""
    payload = signed_payload(request.query, request.body) if "signature" in params else None
    call = Call(exchange, params, request.address, api_key, payload, record, venue)
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


def _answer(call: Call, outcome: Outcome) -> Answer:
    now = call.exchange.clock.now_ms()
    used = str(call.limits.used(call.address, now))
    headers = [("x-mbx-used-weight", used), ("x-mbx-used-weight-1m", used)]
    error = outcome.error
    if error is not None:
        if error.retry_after is not None:
            headers.append(("Retry-After", str(error.retry_after)))
        body = error.body()
        if "retryAfter" in body.get("data", ()):
            del body["data"]  # REST says it by header
        return Answer(error.status, orjson.dumps(body), tuple(headers), fault=outcome.fault)
    if call.counts_orders:
        headers += call.limits.order_headers(call.holder.name, now)
    return Answer(outcome.status, orjson.dumps(outcome.result), tuple(headers), fault=outcome.fault)


def _no_such_route(venue: Venue, request: Request, known: bool) -> Answer:
    """Answer 404, 405 or 410 as nginx does: a page, or nothing to a client that wants no HTML."""
    if request.path in venue.gone:
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
