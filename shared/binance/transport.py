"""PROTOCOL 4 and 5: the transport under httpx that sends once and says whether any byte was written.

What it promises to the layers above:

- A request is written at most once. Nothing is ever sent again, on whatever connection, for whatever failure.
- A failure is `NotSent` (our socket took no byte) or `OutcomeUnknown` (it took at least one); see `failures`.
- A connection is used again only if its last answer was whole and alone, it shows no end of file and no
  unread byte when asked at that very moment, and it was idle for less than `idle_limit_s`. After a timeout, a
  cancellation or a framing error it is closed.
- Servers are verified; answers, their headers and the time they may take are bounded.
- Neither proxies nor redirects, cookies nor environment variables play a part.

A cancelled request raises `asyncio.CancelledError` and may have been sent.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from types import TracebackType
from typing import Any, Final, Self

import httpx

from shared.binance.connection import Connection
from shared.binance.dial import dial
from shared.binance.failures import NoAnswer, NotSent, OutcomeUnknown, Reason
from shared.binance.http_answer import WholeAnswer

__all__ = [
    "FIRST_BYTE_BEFORE",
    "MAX_ANSWER_BYTES",
    "ON_WRITTEN",
    "BinanceTransport",
    "DirectRequest",
    "DirectResponse",
    "NoAnswer",
    "NotSent",
    "OutcomeUnknown",
    "Reason",
]

FIRST_BYTE_BEFORE: Final = "first_byte_before"
"""Request extension: a `time.monotonic()` value after which the first byte must not leave (PROTOCOL 4)."""

MAX_ANSWER_BYTES: Final = "max_answer_bytes"
"""Request extension: an own bound for an answer known to be large (the list of all symbols)."""

ON_WRITTEN: Final = "on_written"
"""Request extension: called once the socket took the first bytes, before anything is awaited."""

_TARGET: Final = re.compile(r"[A-Za-z0-9/?&=%._~!$'()*+,;:@-]*")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "DELETE"})
_WITH_BODY: Final = frozenset({"POST", "PUT"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class DirectRequest(httpx.Request):
    """A request without a body, whose target and headers go on the wire as they are.

    httpx looks at each character of a URL and at each header in Python, which takes longer than all the rest
    of sending an order; here it does so only for whoever asks.

    Args:
        method: GET, POST, PUT or DELETE.
        base_url: scheme, host and port.
        target: path and query, percent-encoded.
        headers: `Host` among them.
        extensions: see `FIRST_BYTE_BEFORE`, `MAX_ANSWER_BYTES`, `ON_WRITTEN`.

    Raises:
        ValueError: the target holds characters that httpx would change.

    """

    def __init__(
        self,
        method: str,
        base_url: str,
        target: str,
        headers: Mapping[str, str],
        extensions: Mapping[str, Any],
    ) -> None:
        if _TARGET.fullmatch(target) is None:
            raise ValueError("The query string is not percent-encoded; build it with sign.signed_query.")
        self.method = method
        self.base_url = base_url
        self.target = target
        self.plain_headers = {**headers, "Content-Length": "0"} if method in _WITH_BODY else headers
        self.extensions = dict(extensions)
        self.stream = httpx.ByteStream(b"")
        self._content = b""

    @cached_property
    def url(self) -> httpx.URL:  # type: ignore[override]  # httpx assigns it; here it is made when asked for
        """The whole URL."""
        return httpx.URL(self.base_url + self.target)

    @cached_property
    def headers(self) -> httpx.Headers:  # type: ignore[override]
        """The headers."""
        return httpx.Headers(self.plain_headers)


class DirectResponse(httpx.Response):
    """A whole answer; httpx reads its headers only for whoever asks.

    Args:
        answer: as it came over the wire.

    """

    def __init__(self, answer: WholeAnswer) -> None:
        self.answer = answer
        self.status_code = answer.status
        self.stream = httpx.ByteStream(answer.body)
        self.extensions = {"http_version": b"HTTP/1.1"}
        self.history = []
        self.next_request = None
        self.is_closed = self.is_stream_consumed = False
        self.default_encoding = "utf-8"
        self._request = None
        self._num_bytes_downloaded = 0

    @cached_property
    def headers(self) -> httpx.Headers:  # type: ignore[override]
        """The headers."""
        return httpx.Headers(self.answer.headers)


class _Origin:
    """The connections to one (scheme, host, port)."""

    def __init__(self, max_connections: int) -> None:
        self.slots = asyncio.Semaphore(max_connections)
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()

    def usable(self, now: float, idle_limit_s: float) -> Iterator[Connection]:
        """Take idle connections out, the one used last first; those past use are closed on the way."""
        while self.idle:
            connection = self.idle.pop()
            if now - connection.idle_since < idle_limit_s and connection.look():
                yield connection
            else:
                connection.close()


class BinanceTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 over asyncio with warm connections; belongs to the event loop it is first used in.

    httpx's own per-request timeouts are not read: their default of 5 s is shorter than the 10 s the exchange
    allows itself (Binance REST docs, general API information) and would make slow answers unknown.

    Args:
        connect_timeout_s: seconds for getting a connection: a free slot, DNS, TCP and TLS together.
        answer_timeout_s: seconds from the first byte out to the last byte in; must stay above the exchange's
            own 10 s.
        idle_limit_s: seconds a connection may be idle and still be used; below the 60 s after which common
            load balancers close.
        max_connections: connections per (scheme, host, port); a request beyond them waits within
            `connect_timeout_s`.
        max_answer_bytes: the most one answer may measure on the wire.
        tls: a context of one's own (a private CA); it has to verify certificates and host names.

    Raises:
        ValueError: `tls` does not verify.

    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 5.0,
        answer_timeout_s: float = 15.0,
        idle_limit_s: float = 20.0,
        max_connections: int = 100,
        max_answer_bytes: int = 8 * 1024 * 1024,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls or httpx.create_ssl_context(trust_env=False)
        if self._tls.verify_mode is not ssl.CERT_REQUIRED or not self._tls.check_hostname:
            raise ValueError(
                "The TLS context must verify certificates and host names; add the private CA to it instead."
            )
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._idle_limit_s = idle_limit_s
        self._max_connections = max_connections
        self._max_answer_bytes = max_answer_bytes
        self._origins: dict[tuple[str, str, int], _Origin] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` once and return its whole answer, body included.

        Raises:
            NotSent: no byte was written.
            OutcomeUnknown: at least one byte was written and no trustworthy answer came.

        """
        if isinstance(request, DirectRequest):
            wire = _head(request.method, request.target, request.plain_headers.items())
            key = _origin_of(request.base_url)
        else:
            headers = [(name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers.raw]
            head = _head(request.method, request.url.raw_path.decode("ascii"), headers)
            wire, key = head + await request.aread(), _origin_key(request.url)
        return DirectResponse(await self._send_once(key, wire, request.extensions))

    async def _send_once(
        self, key: tuple[str, str, int], wire: bytes, extensions: Mapping[str, Any]
    ) -> WholeAnswer:
        origin = self._origin(key)
        connection = await self._lease(key, origin)
        try:
            latest = extensions.get(FIRST_BYTE_BEFORE)
            if latest is not None and time.monotonic() >= latest:
                raise NotSent(Reason.TOO_LATE, "The moment to send this request has passed; claim it anew.")
            return await connection.exchange(
                wire,
                self._answer_timeout_s,
                extensions.get(MAX_ANSWER_BYTES, self._max_answer_bytes),
                extensions.get(ON_WRITTEN),
            )
        finally:
            self._give_back(origin, connection)

    async def warm(self, url: str | httpx.URL, n: int) -> int:
        """Open connections ahead until `n` idle ones are there and return how many there are.

        One past half of `idle_limit_s` is replaced.
        Call it again every half `idle_limit_s` to keep them so.

        Raises:
            NotSent: a connection could not be opened.

        """
        key = _origin_key(httpx.URL(url))
        origin = self._origin(key)
        fresh = list(origin.usable(time.monotonic(), self._idle_limit_s / 2))
        origin.idle = fresh[::-1]
        missing = min(n, self._max_connections - len(origin.busy)) - len(origin.idle)
        if missing > 0:
            opened = await asyncio.gather(
                *(self._open_idle(key, origin) for _ in range(missing)), return_exceptions=True
            )
            for failure in opened:
                if isinstance(failure, BaseException):
                    raise failure
        return len(origin.idle)

    async def aclose(self) -> None:
        """Close every connection; requests in flight fail, later ones are `NotSent`."""
        self._closed = True
        for origin in self._origins.values():
            for connection in [*origin.idle, *origin.busy]:
                connection.close()
            origin.idle.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    def _origin(self, key: tuple[str, str, int]) -> _Origin:
        if self._closed:
            raise NotSent(Reason.CLOSED_HERE, "The transport is closed.")
        origin = self._origins.get(key)
        if origin is None:
            origin = self._origins[key] = _Origin(self._max_connections)
        return origin

    async def _lease(self, key: tuple[str, str, int], origin: _Origin) -> Connection:
        """Return a connection with no sign of trouble, a warm one without giving way to other tasks."""
        if not origin.slots.locked():
            await origin.slots.acquire()  # does not suspend
        else:
            try:
                async with asyncio.timeout(self._connect_timeout_s):
                    await origin.slots.acquire()
            except TimeoutError:
                raise NotSent(
                    Reason.NO_FREE_CONNECTION,
                    f"All {self._max_connections} connections to {key[1]} stayed busy.",
                ) from None
        connection = None
        try:
            connection = next(origin.usable(time.monotonic(), self._idle_limit_s), None)
            if connection is None:
                connection = await self._open(key)
                if not connection.look():
                    raise NotSent(Reason.CLOSED, f"{key[1]} closed the connection before it was used.")
        finally:
            if connection is None or connection.closed:
                origin.slots.release()
        origin.busy.add(connection)
        return connection

    def _give_back(self, origin: _Origin, connection: Connection) -> None:
        origin.busy.discard(connection)
        origin.slots.release()
        self._keep(origin, connection)

    def _keep(self, origin: _Origin, connection: Connection) -> None:
        if self._closed or len(origin.idle) + len(origin.busy) >= self._max_connections:
            connection.close()
        elif not connection.closed:
            origin.idle.append(connection)

    async def _open(self, key: tuple[str, str, int]) -> Connection:
        scheme, host, port = key
        context = self._tls if scheme == "https" else None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                sock, session = await dial(host, port, context, self._connect_timeout_s)
        except TimeoutError:
            raise NotSent(
                Reason.CONNECT_TIMEOUT,
                f"No connection to {host}:{port} within {self._connect_timeout_s:g} s; check the network.",
            ) from None
        if self._closed:  # while this connection was being opened
            sock.close()
            raise NotSent(Reason.CLOSED_HERE, "The transport is closed.")
        return Connection(sock, session)

    async def _open_idle(self, key: tuple[str, str, int], origin: _Origin) -> None:
        self._keep(origin, await self._open(key))


def _origin_key(url: httpx.URL) -> tuple[str, str, int]:
    scheme = url.scheme
    if scheme not in _DEFAULT_PORTS or not url.host:
        raise NotSent(Reason.BAD_REQUEST, "The base URL needs http:// or https:// and a host name.")
    return scheme, url.raw_host.decode("ascii"), url.port or _DEFAULT_PORTS[scheme]


@lru_cache(maxsize=64)
def _origin_of(base_url: str) -> tuple[str, str, int]:
    return _origin_key(httpx.URL(base_url))


def _head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return the head of a request as it goes on the wire."""
    if method not in _METHODS:
        raise NotSent(Reason.BAD_REQUEST, f"Method {method} is not supported.")
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers]]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1 or "\0" in head:
        raise NotSent(Reason.BAD_REQUEST, "A header holds a line break; check the stored API key.")
    if "\r\ntransfer-encoding:" in head.lower():
        raise NotSent(Reason.BAD_REQUEST, "A body of unknown length is not supported; give it as bytes.")
    return f"{head}\r\n\r\n".encode("latin-1")
