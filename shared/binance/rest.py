"""One REST request and what came of it, as a value: nothing the exchange says is an exception here.

Requests go straight to an `httpx.AsyncBaseTransport`. httpx's client would add redirects, cookies, proxies
from the environment and a log line with the whole URL, signature included; none of these may touch an order.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import httpx
import orjson

from shared import failpoints
from shared.binance.clock_offset import Clock, ClockUnknownError
from shared.binance.failures import NoAnswer
from shared.binance.sign import Credentials, Value, query, signed_query
from shared.binance.transport import FIRST_BYTE_BEFORE, ON_WRITTEN, DirectRequest, DirectResponse
from shared.binance.weight import used_of

_EXCERPT_CHARS: Final = 500
_KEPT_HEADERS: Final = ("retry-after", "date", "content-type", "server")
_KEPT_PREFIXES: Final = ("x-mbx-used-weight", "x-mbx-order-count")
_SECRET_PARTS: Final = re.compile(r"(signature|X-MBX-APIKEY)([=:]\s*)[^&\s\"'<>]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer.

    Attributes:
        status: HTTP status.
        headers: retry-after, date, content-type, server, x-mbx-used-weight*, x-mbx-order-count*; lower-case
            names.
        body: the parsed JSON, or None when it is not JSON (or is `null`).
        raw_excerpt: of a body that is not JSON, the first 500 characters as text, signatures blacked out, for
            people only.
        sent_ms: local moment before the request was handed to the transport, on the clock's local scale.
        received_ms: local moment after the last byte came.
        used: what its headers say is used, by kind and interval in ms (`weight.used_of`).

    """

    status: int
    headers: Mapping[str, str]
    body: Any
    raw_excerpt: str
    sent_ms: float
    received_ms: float
    used: Mapping[tuple[str, int], int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "used", used_of(self.headers))

    @property
    def ok(self) -> bool:
        """Whether the status is 200 and the body is JSON."""
        return self.status == 200 and self.body is not None

    @property
    def code(self) -> int | None:
        """Binance's error code, when the body carries one."""
        code = self.body.get("code") if isinstance(self.body, dict) else None
        return code if isinstance(code, int) and not isinstance(code, bool) else None

    @property
    def message(self) -> str | None:
        """Binance's error text, when the body carries one."""
        message = self.body.get("msg") if isinstance(self.body, dict) else None
        return message if isinstance(message, str) else None

    @property
    def retry_after_s(self) -> int | None:
        """Seconds to stay away, when the exchange said so (429, 418)."""
        text = self.headers.get("retry-after", "")
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


@dataclass(frozen=True, slots=True)
class TransportFailure:
    """No trustworthy answer.

    Attributes:
        bytes_written: False only when it is proven that no byte of the request was written.
        reason: a label of `failures.Reason`, "clock" (not asked, the clock is unknown) or "foreign" (another
            transport's error).
        detail: one sentence for people, without parameters, keys or signatures.

    """

    bytes_written: bool
    reason: str
    detail: str


Result: TypeAlias = Answer | TransportFailure
Observer: TypeAlias = Callable[[str, str, Result], None]


class Ticket(Protocol):
    """The share of the exchange's limits that a request has taken."""

    def used(self) -> None:
        """Say that the request was sent, or may have been."""

    def unused(self) -> None:
        """Say that it was not."""


Admit: TypeAlias = Callable[[str, str, str], Awaitable[Ticket | TransportFailure]]
"""Takes the share for method, path and query string, or says why the request has to stay away."""


class RestEndpoint:
    """One base URL of the exchange, asked by one process.

    Args:
        transport: sends once; in production `BinanceTransport`. Only its own errors count as proof that
            nothing was sent.
        base_url: scheme and host, e.g. https://api.binance.com.
        clock: gives the timestamps of the requests signed here.
        recv_window_ms: recvWindow of the requests signed here.
        observe: told method, path and result of every request: for counting failures, weight and metrics.
        admit: asked before every request but the POST of an order, whose grant was taken before its claim.

    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        base_url: str,
        clock: Clock,
        recv_window_ms: int = 5000,
        observe: Observer | None = None,
        admit: Admit | None = None,
    ) -> None:
        self._observe = observe
        self._admit = admit
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self._transport = transport
        self._recv_window_ms = recv_window_ms
        self._headers = {
            "Host": httpx.URL(self.base_url).netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed answer would have no bound once unpacked
            "User-Agent": "order-execution-bridge",
        }

    async def public(
        self,
        path: str,
        params: Mapping[str, Value] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> Result:
        """GET something that needs no key."""
        unsigned = query(params or {})
        return await self._admitted(
            "GET", path, unsigned, lambda: self.send("GET", path, unsigned, extensions=extensions)
        )

    async def time(self, path: str) -> Result:
        """GET the exchange's time and let the clock learn from the answer."""
        answer = await self.public(path)
        if isinstance(answer, Answer) and answer.ok and isinstance(answer.body, dict):
            server_ms = answer.body.get("serverTime")
            if isinstance(server_ms, int):
                self.clock.sample(answer.sent_ms, server_ms, answer.received_ms)
        return answer

    async def post_once(
        self, path: str, signed_query: str, api_key: str, *, first_byte_before: float | None
    ) -> Result:
        """POST one order: exactly these bytes, once (PROTOCOL 4).

        Args:
            path: e.g. /api/v3/order.
            signed_query: of `sign.signed_query`, over the parameters and timestamp stored with the attempt.
            api_key: of the key that signed.
            first_byte_before: `time.monotonic()` value after which no byte may leave any more; then the
                result is a failure with reason "too_late" and nothing written.

        """
        extensions: dict[str, Any] = {ON_WRITTEN: _written}
        if first_byte_before is not None:
            extensions[FIRST_BYTE_BEFORE] = first_byte_before
        return await self.send("POST", path, signed_query, api_key, extensions)

    async def signed(
        self, method: str, path: str, params: Mapping[str, Value], credentials: Credentials
    ) -> Result:
        """Ask something signed with the exchange's time as far as we know it, once it may be asked."""
        return await self._admitted(
            method, path, query(params), lambda: self._sign_and_send(method, path, params, credentials)
        )

    async def _admitted(
        self, method: str, path: str, unsigned: str, ask: Callable[[], Awaitable[Result]]
    ) -> Result:
        if self._admit is None:
            return await ask()
        ticket = await self._admit(method, path, unsigned)
        if isinstance(ticket, TransportFailure):
            return ticket
        result: Result | None = None
        try:
            result = await ask()
            return result
        finally:
            if isinstance(result, TransportFailure) and not result.bytes_written:
                ticket.unused()
            else:  # cancelled as well
                ticket.used()

    async def _sign_and_send(
        self, method: str, path: str, params: Mapping[str, Value], credentials: Credentials
    ) -> Result:
        try:
            timestamp = self.clock.exchange_now_ms()
        except ClockUnknownError as error:
            return TransportFailure(False, "clock", str(error))
        complete = {**params, "recvWindow": self._recv_window_ms, "timestamp": timestamp}
        return await self.send(method, path, signed_query(complete, credentials), credentials.api_key)

    async def send(
        self,
        method: str,
        path: str,
        query_string: str,
        api_key: str | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> Result:
        """Send exactly this query string once, with an empty body.

        Args:
            method: GET, POST, PUT or DELETE.
            path: e.g. /api/v3/order.
            query_string: encoded and, where needed, signed; goes on the wire byte by byte.
            api_key: for the X-MBX-APIKEY header.
            extensions: for the transport (`transport.FIRST_BYTE_BEFORE`, `transport.MAX_ANSWER_BYTES`).

        Raises:
            ValueError: the query string holds characters that httpx would change on the way.

        """
        target = f"{path}?{query_string}" if query_string else path
        headers = self._headers if api_key is None else {**self._headers, "X-MBX-APIKEY": api_key}
        result = await self._ask(DirectRequest(method, self.base_url, target, headers, extensions or {}))
        if self._observe is not None:
            self._observe(method, path, result)
        return result

    async def _ask(self, request: DirectRequest) -> Result:
        sent_ms = self.clock.now_ms()
        try:
            response = await self._transport.handle_async_request(request)
            body = await _body_of(response)
        except NoAnswer as error:
            return TransportFailure(error.bytes_written > 0, error.reason, str(error))
        except httpx.TransportError as error:
            # Not our transport's word: its class name proves nothing about the bytes.
            return TransportFailure(
                True, "foreign", f"{type(error).__name__} of a transport that does not count bytes."
            )
        return _answer(response, _without_key(request, response, body), sent_ms, self.clock.now_ms())


def chosen(**params: Value | None) -> dict[str, Value]:
    """Return the parameters that have a value."""
    return {name: value for name, value in params.items() if value is not None}


def _written() -> None:
    """Say that an order left (PROTOCOL 4)."""
    failpoints.reached_without_await("send.written")


async def _body_of(response: httpx.Response) -> bytes:
    if isinstance(response, DirectResponse):
        return response.answer.body
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError(
            "The transport returned an answer for synchronous code; use an asynchronous transport."
        )
    return b"".join([part async for part in stream])


def _without_key(request: DirectRequest, response: httpx.Response, body: bytes) -> bytes:
    """Take our own key out of an error that quotes it: what an error says is stored with the order."""
    key = request.plain_headers.get("X-MBX-APIKEY", "").encode("ascii", "replace")
    if response.status_code == httpx.codes.OK or not key:
        return body
    return body.replace(key, b"[redacted]")


def _answer(response: httpx.Response, body: bytes, sent_ms: float, received_ms: float) -> Answer:
    excerpt = ""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed, excerpt = None, _excerpt(body)
    if isinstance(parsed, dict) and isinstance(parsed.get("msg"), str):
        # Stored with the order and shown to its owner, whoever reads it from the body.
        parsed["msg"] = _SECRET_PARTS.sub(r"\1\2…", parsed["msg"])
    headers: dict[str, str] = {}
    raw = response.answer.headers if isinstance(response, DirectResponse) else response.headers.raw
    for raw_name, value in raw:
        if (name := _kept(raw_name)) is not None:
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return Answer(response.status_code, MappingProxyType(headers), parsed, excerpt, sent_ms, received_ms)


@lru_cache(maxsize=128)  # the same few names come with every answer
def _kept(raw_name: bytes) -> str | None:
    """Return the name under which a header is kept; None when it is not."""
    name = raw_name.decode("latin-1").lower()
    return name if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIXES) else None


def _excerpt(body: bytes) -> str:
    """Return the beginning of a body for people; an error page may echo our own URL."""
    text = body[: 4 * _EXCERPT_CHARS].decode("utf-8", "replace")
    return _SECRET_PARTS.sub(r"\1\2…", text)[:_EXCERPT_CHARS]
