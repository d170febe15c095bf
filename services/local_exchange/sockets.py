"""The open connections, so that an operator or a test can close, silence or warn them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from services.local_exchange.futures.stream_peers import ControlledPeer, PrivatePeer, peer_for
from services.local_exchange.stream_peer import StreamPeer
from services.local_exchange.websocket_api import ApiPeer
from services.local_exchange.websocket_front import Peer, WebSocketConnection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.http_front import Front


AnyPeer = ApiPeer | StreamPeer | ControlledPeer


class Sockets:
    """Makes WebSocket connections out of upgrades and remembers them.

    Args:
        exchange: who answers on them.
        start: starts an answer that has to wait as a task.

    """

    def __init__(self, exchange: Exchange, start: Callable[[Coroutine[None, None, None]], None]) -> None:
        self.exchange = exchange
        self.start = start
        self.peers: list[AnyPeer] = []
        self.fronts: list[Front] = []

    def upgrade(
        self, futures: bool, transport: asyncio.Transport, received: bytes, url: str
    ) -> asyncio.Protocol:
        """Take over a connection that asks for a WebSocket."""
        path, _, query = url.partition("?")
        peername = transport.get_extra_info("peername")
        address = peername[0] if peername else ""
        peer = self._futures_peer(path, query, address) if futures else self._spot_peer(path, query, address)
        connection = WebSocketConnection(_Remembered(self, peer), self.exchange.settings, address, futures)
        peer.connection = connection
        self.peers.append(peer)
        connection.begin(transport, received)
        return connection

    def _spot_peer(self, path: str, query: str, address: str) -> AnyPeer:
        if path.startswith("/ws-api/"):
            return ApiPeer(self.exchange, self.exchange.spot, self.start, query, address)
        readers = self.exchange.market_streams
        if path.startswith("/stream"):
            named = parse_qs(query).get("streams", [""])[0]
            return StreamPeer(self.exchange, readers, [s for s in named.split("/") if s], True)
        streams = [s for s in path.removeprefix("/ws").split("/") if s]
        return StreamPeer(self.exchange, readers, streams, False)

    def _futures_peer(self, path: str, query: str, address: str) -> AnyPeer:
        if path.startswith("/ws-fapi/"):
            return ApiPeer(self.exchange, self.exchange.futures_venue, self.start, query, address)
        return peer_for(self.exchange.futures, path, query)

    def forget(self, peer: Peer) -> None:
        """Forget a connection that is gone."""
        self.peers = [known for known in self.peers if known is not peer]

    def accounts_of(self, peer: AnyPeer) -> list[str]:
        """Return the accounts subscribed on a connection."""
        if isinstance(peer, ApiPeer | PrivatePeer):
            return [subscription.account.name for subscription in peer.subscriptions.values()]
        return []

    def kind_of(self, peer: AnyPeer) -> str:
        """Return `ws-api`, `stream`, `futures-ws-api`, `futures-private` or `futures-stream`."""
        if isinstance(peer, ApiPeer):
            return "ws-api" if peer.venue.name == "spot" else "futures-ws-api"
        if isinstance(peer, StreamPeer):
            return "stream"
        return "futures-private" if isinstance(peer, PrivatePeer) else "futures-stream"

    def chosen(self, kind: str | None, account: str | None) -> list[AnyPeer]:
        """Choose connections of a kind that carry an account; None chooses all."""
        return [
            peer
            for peer in self.peers
            if kind in {None, self.kind_of(peer)} and (account is None or account in self.accounts_of(peer))
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
        open_now = [connection for front in self.fronts for connection in front.connections]
        for connection in open_now:
            connection.close()
        return len(open_now)


class _Remembered(Peer):
    """Passes everything on and tells the sockets when the connection is gone."""

    def __init__(self, sockets: Sockets, peer: AnyPeer) -> None:
        self._sockets = sockets
        self._peer = peer

    def opened(self) -> None:
        self._peer.opened()

    def received(self, text: str) -> None:
        self._peer.received(text)

    def closed(self) -> None:
        self._peer.closed()
        self._sockets.forget(self._peer)
