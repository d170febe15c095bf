"""HTTP/1.1 over asyncio, lean: one parser per connection, one request at a time, upgrades handed on."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import httptools

from services.local_exchange.faults import Action
from services.local_exchange.rest import Answer, Request, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.venue import Venue

REASONS = {status.value: status.phrase for status in HTTPStatus} | {418: "I'm a teapot"}
DROPS = frozenset({Action.DROP_BEFORE, Action.DROP_AFTER})
NEVERS = frozenset({Action.NEVER_BEFORE, Action.NEVER_AFTER})
ANSWERS = frozenset({Action.ANSWER_BEFORE, Action.ANSWER_AFTER})


class Front:
    """What all connections share.

    Args:
        exchange: who answers.
        venue: for which market.
        start: starts an answer that has to wait as a task.
        upgrade: takes over a connection that asks for a WebSocket, with the bytes read so far.

    """

    def __init__(
        self,
        exchange: Exchange,
        venue: Venue,
        start: Callable[[Coroutine[None, None, None]], None],
        upgrade: Callable[[asyncio.Transport, bytes, str], asyncio.Protocol],
    ) -> None:
        self.exchange = exchange
        self.venue = venue
        self.start = start
        self.upgrade = upgrade
        self.connections: set[HttpConnection] = set()

    def __call__(self) -> HttpConnection:
        """Return a protocol for a new connection."""
        return HttpConnection(self)


class HttpConnection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._received = bytearray()
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._waiting: list[tuple[Request, bool]] = []
        self._busy = False
        self._address = ""
        self._last_used = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one by behaviour, not by class
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        self._front.connections.add(self)
        self._last_used = time.monotonic()
        self._look_again()

    def _look_again(self) -> None:
        """Close the connection once it has been idle for as long as the server keeps connections."""
        if self._transport is None:
            return
        left = self._front.exchange.settings.keep_alive_s - (time.monotonic() - self._last_used)
        if left <= 0 and not self._busy:
            self._transport.close()
        else:
            asyncio.get_running_loop().call_later(left if left > 0 else 1.0, self._look_again)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._transport = None
        self._front.connections.discard(self)

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._received += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._hand_on()
        except httptools.HttpParserError:
            self._write(Answer(400, b"<html>Bad Request</html>", content_type="text/html"), False)
            if self._transport is not None:
                self._transport.close()

    def _hand_on(self) -> None:
        transport, self._transport = self._transport, None
        if transport is None:
            return
        self._front.connections.discard(self)
        path = self._url.decode("ascii", "replace")
        protocol = self._front.upgrade(transport, bytes(self._received), path)
        transport.set_protocol(protocol)

    def on_message_begin(self) -> None:
        """See httptools."""
        self._url, self._headers, self._body = b"", {}, b""

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body += body

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._parser.should_upgrade():
            return
        self._received.clear()
        self._last_used = time.monotonic()
        path, _, query = self._url.partition(b"?")
        request = Request(
            self._parser.get_method().decode("ascii"),
            path.decode("latin-1"),
            query,
            self._body,
            self._headers,
            self._address,
            time.time_ns(),
        )
        keep_alive = self._parser.should_keep_alive()
        if self._busy:
            self._waiting.append((request, keep_alive))
        else:
            self._serve(request, keep_alive)

    def _serve(self, request: Request, keep_alive: bool) -> None:
        steps = respond(self._front.exchange, self._front.venue, request)
        try:
            wait = next(steps)
        except StopIteration as done:
            self._send(done.value, keep_alive)
            return
        self._busy = True
        self._front.start(self._continue(steps, wait, keep_alive))

    async def _continue(self, steps: Generator[float, None, Answer], wait: float, keep_alive: bool) -> None:
        while True:
            await asyncio.sleep(wait)
            try:
                wait = next(steps)
            except StopIteration as done:
                self._busy = False
                self._send(done.value, keep_alive)
                break
        while self._waiting and not self._busy:
            self._serve(*self._waiting.pop(0))

    def _send(self, answer: Answer, keep_alive: bool) -> None:
        rule = answer.fault
        if rule is None:
            self._write(answer, keep_alive)
        elif rule.action in DROPS:
            self.close()
        elif rule.action in NEVERS:
            self._busy = True
        elif rule.action in ANSWERS:
            headers = {name.lower(): value for name, value in rule.headers.items()}
            kind = headers.pop("content-type", "application/json;charset=UTF-8")
            self._write(Answer(rule.status, rule.body.encode(), tuple(headers.items()), kind), keep_alive)
        else:
            self._write(answer, False, cut=rule.size)

    def _write(self, answer: Answer, keep_alive: bool, cut: int | None = None) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Unknown')}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
            f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
        )
        for name, value in answer.headers:
            head += f"{name}: {value}\r\n"
        transport.write(f"{head}\r\n".encode("latin-1") + answer.body[:cut])
        if not keep_alive:
            transport.close()
