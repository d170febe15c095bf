"""A WebSocket connection over asyncio, framed by the sans-I/O half of `websockets`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from services.local_exchange.settings import Settings

GOING_AWAY = 1001
POLICY = 1008


class Peer:
    """What speaks over a connection; the WebSocket API and the market streams derive from it."""

    connection: WebSocketConnection

    def opened(self) -> None:
        """Begin: the handshake is done."""

    def received(self, text: str) -> None:
        """Take a text frame."""

    def closed(self) -> None:
        """Clean up: the connection is gone."""


class WebSocketConnection(asyncio.Protocol):
    """Frames in, frames out, pings on time.

    Args:
        peer: who speaks.
        settings: ping interval, pong deadline, life.
        address: the client's.
        futures: whether futures' slower pings apply.

    """

    def __init__(self, peer: Peer, settings: Settings, address: str, futures: bool = False) -> None:
        self.peer = peer
        self.address = address
        self.silent = False
        self.closing = False
        peer.connection = self
        self._ping_s = settings.futures_ping_s if futures else settings.ping_s
        self._pong_s = settings.futures_pong_s if futures else settings.pong_s
        self._life_s = settings.connection_life_s
        self._protocol = ServerProtocol()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._pong_due: asyncio.TimerHandle | None = None
        self._fragments: list[bytes] = []

    def begin(self, transport: asyncio.Transport, received: bytes) -> None:
        """Take over a connection whose handshake request has been read already."""
        self._transport = transport
        self.data_received(received)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Handshake):
                self._answer_handshake(event)
            elif not isinstance(event, Frame):
                continue  # responses never reach a server
            elif event.opcode is Opcode.TEXT or event.opcode is Opcode.CONT:
                self._fragments.append(bytes(event.data))
                if event.fin:
                    text = b"".join(self._fragments).decode("utf-8", "replace")
                    self._fragments.clear()
                    self.peer.received(text)
            elif event.opcode is Opcode.PONG and self._pong_due is not None:
                self._pong_due.cancel()
                self._pong_due = None
        self._flush()

    def _answer_handshake(self, handshake: Handshake) -> None:
        response = self._protocol.accept(handshake)
        self._protocol.send_response(response)
        self._flush()
        if response.status_code == 101:
            self._timers.append(self._loop.call_later(self._ping_s, self._ping))
            self._timers.append(self._loop.call_later(self._life_s, self.close, GOING_AWAY, "24h"))
            self.peer.opened()

    def _ping(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._timers[0] = self._loop.call_later(self._ping_s, self._ping)
        if self.silent:
            return
        if self._pong_due is None:
            self._pong_due = self._loop.call_later(self._pong_s, self.close, POLICY, "Pong timeout")
        self._protocol.send_ping(str(int(self._loop.time() * 1000)).encode())
        self._flush()

    def send(self, payload: bytes) -> None:
        """Send one text frame; nothing on a silent or closed connection."""
        if self.silent or self.closing or self._transport is None or self._transport.is_closing():
            return
        self._protocol.send_text(payload)
        self._flush()

    def close(self, code: int = GOING_AWAY, reason: str = "") -> None:
        """Close with a close frame."""
        if self._transport is None or self.closing:
            return
        self.closing = True
        self._protocol.send_close(code, reason)
        self._flush()
        self._loop.call_later(1.0, self.abort)

    def abort(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        transport = self._transport
        for data in self._protocol.data_to_send():
            if transport is None or transport.is_closing():
                continue
            if data:
                if not self.silent:
                    transport.write(data)
            else:
                transport.close()
        if self._protocol.close_expected() and transport is not None and not self.closing:
            self.closing = True
            self._loop.call_later(1.0, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._transport = None
        for timer in self._timers:
            timer.cancel()
        if self._pong_due is not None:
            self._pong_due.cancel()
        self.peer.closed()
