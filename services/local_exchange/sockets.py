"""The open connections, so that an operator or a test can close, silence or warn them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from services.local_exchange.stream_peer import StreamPeer
from services.local_exchange.websocket_api import ApiPeer
from services.local_exchange.websocket_front import Peer, WebSocketConnection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.http_front import Front


class Sockets:
    """Makes WebSocket connections out of upgrades and remembers them.

    Args:
        exchange: who answers on them.
        start: starts an answer that has to wait as a task.

    """

    def __init__(self, exchange: Exchange, start: Callable[[Coroutine[None, None, None]], None]) -> None:
        self.exchange = exchange
        self.start = start
        self.peers: list[ApiPeer | StreamPeer] = []
        self.front: Front | None = None

    def upgrade(self, transport: asyncio.Transport, received: bytes, url: str) -> asyncio.Protocol:
        """Take over a connection that asks for a WebSocket."""
        path, _, query = url.partition("?")
        peername = transport.get_extra_info("peername")
        address = peername[0] if peername else ""
        peer = self._peer_for(path, query, address)
        connection = WebSocketConnection(_Remembered(self, peer), self.exchange.settings, address)
        peer.connection = connection
        self.peers.append(peer)
        connection.begin(transport, received)
        return connection

    def _peer_for(self, path: str, query: str, address: str) -> ApiPeer | StreamPeer:
        if path.startswith("/ws-api/"):
            return ApiPeer(self.exchange, self.exchange.spot, self.start, query, address)
        streams = self.exchange.market_streams
        if path.startswith("/stream"):
            named = parse_qs(query).get("streams", [""])[0]
            return StreamPeer(self.exchange, streams, [s for s in named.split("/") if s], True)
        return StreamPeer(
            self.exchange, streams, [s for s in path.removeprefix("/ws").split("/") if s], False
        )

    def forget(self, peer: Peer) -> None:
        """Forget a connection that is gone."""
        self.peers = [known for known in self.peers if known is not peer]

    def accounts_of(self, peer: ApiPeer | StreamPeer) -> list[str]:
        """Return the accounts subscribed on a connection."""
        if isinstance(peer, StreamPeer):
            return []
        return [subscription.account.name for subscription in peer.subscriptions.values()]

    def chosen(self, kind: str | None, account: str | None) -> list[ApiPeer | StreamPeer]:
        """Choose connections of a kind (`ws-api`, `stream`) that carry an account; None chooses all."""
        return [
            peer
            for peer in self.peers
            if kind in {None, "ws-api" if isinstance(peer, ApiPeer) else "stream"}
            and (account is None or account in self.accounts_of(peer))
        ]

    def disconnect(self, kind: str | None, account: str | None, clean: bool) -> int:
        """Close connections, with or without a close frame; how many."""
        chosen = self.chosen(kind, account)
        for peer in chosen:
            if clean:
                peer.connection.close()
            else:
                peer.connection.abort()
        return len(chosen)

    def announce_shutdown(self, close_after_s: float) -> int:
        """Send `serverShutdown` to every connection and close them later; how many."""
        told = list(self.peers)
        for peer in told:
            peer.shut_down()
            self.exchange.later(close_after_s, peer.connection.close)
        return len(told)

    def drop_rest(self) -> int:
        """Drop all REST connections; how many."""
        assert self.front is not None
        open_now = list(self.front.connections)
        for connection in open_now:
            connection.close()
        return len(open_now)


class _Remembered(Peer):
    """Passes everything on and tells the sockets when the connection is gone."""

    def __init__(self, sockets: Sockets, peer: ApiPeer | StreamPeer) -> None:
        self._sockets = sockets
        self._peer = peer

    def opened(self) -> None:
        self._peer.opened()

    def received(self, text: str) -> None:
        self._peer.received(text)

    def closed(self) -> None:
        self._peer.closed()
        self._sockets.forget(self._peer)
