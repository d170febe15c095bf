"""Futures stream connections: `/private`, `/public`, `/market`, and the old unrouted path that stays silent.

USDⓈ-M docs "Important WebSocket Change Notice": since April 2026 an unrouted connection carries public data
only; a listen key on it, a wrong key, or an event name that does not exist completes the handshake and never
says anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from services.local_exchange.futures.market_streams import is_public
from services.local_exchange.message_limit import MessageLimit
from services.local_exchange.websocket_front import Peer

if TYPE_CHECKING:
    from services.local_exchange.futures.exchange import FuturesExchange
    from services.local_exchange.futures.wallet import FuturesAccount

MOST_MESSAGES = 10
EVENTS = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "TRADE_LITE",
    "ALGO_UPDATE",
    "MARGIN_CALL",
    "ACCOUNT_CONFIG_UPDATE",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
    "listenKeyExpired",
)


class ControlledPeer(Peer):
    """A connection that takes control frames, at most ten a second.

    Args:
        futures: whose streams.
        combined: whether messages are wrapped as `{"stream":…,"data":…}`.

    """

    def __init__(self, futures: FuturesExchange, combined: bool) -> None:
        self.futures = futures
        self.combined = combined
        self._limit = MessageLimit(futures.clock, MOST_MESSAGES)

    def deliver_stream(self, stream: str, payload: bytes) -> None:
        """Send one message of a stream."""
        if self.combined:
            payload = b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"
        self.connection.send(payload)

    def shut_down(self) -> None:
        """Tell the client that the server is about to go."""
        event = {"e": "serverShutdown", "E": self.futures.clock.now_ms()}
        self.connection.send(orjson.dumps(event))

    def received(self, text: str) -> None:
        """See `Peer`: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS."""
        if self._limit.exceeded():
            self.connection.close(1008, "Too many requests")
            return
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._answer({"error": {"code": 3, "msg": "Invalid JSON"}}, None)
            return
        if not isinstance(request, dict):
            self._answer({"error": {"code": 2, "msg": "Invalid request: not an object"}}, None)
            return
        raw = request.get("params") or []
        params = [str(name) for name in raw] if isinstance(raw, list) else []
        method = request.get("method")
        result: Any = None
        if method == "SUBSCRIBE":
            for name in params:
                self.subscribe(name)
        elif method == "UNSUBSCRIBE":
            for name in params:
                self.unsubscribe(name)
        elif method == "LIST_SUBSCRIPTIONS":
            result = self.subscribed()
        else:
            error = {"code": 2, "msg": "Invalid request: unknown variant"}
            self._answer({"error": error}, request.get("id"))
            return
        self._answer({"result": result}, request.get("id"))

    def _answer(self, answer: dict[str, Any], request_id: Any) -> None:
        self.connection.send(orjson.dumps(answer | {"id": request_id}))

    def subscribe(self, name: str) -> None:
        """Add a stream."""

    def unsubscribe(self, name: str) -> None:
        """Take a stream away."""

    def subscribed(self) -> list[str]:
        """Return the streams of the connection."""
        return []


class PublicPeer(ControlledPeer):
    """A connection for public data; `/public` and unrouted paths carry the book, `/market` all else.

    Args:
        futures: whose streams.
        combined: whether messages are wrapped.
        streams: streams named in the URL.
        market: whether this is the `/market` path.

    """

    def __init__(self, futures: FuturesExchange, combined: bool, streams: list[str], market: bool) -> None:
        super().__init__(futures, combined)
        self.streams = list(dict.fromkeys(streams))
        self.market = market

    def opened(self) -> None:
        """See `Peer`."""
        for stream in self.streams:
            self._read(stream)

    def closed(self) -> None:
        """See `Peer`."""
        for stream in self.streams:
            self.futures.market_streams.remove(stream, self)

    def _read(self, stream: str) -> None:
        if is_public(stream) is not self.market:
            self.futures.market_streams.add(stream, self)

    def subscribe(self, name: str) -> None:
        """See `ControlledPeer`; a stream of another path, or none at all, stays silent."""
        if name not in self.streams:
            self.streams.append(name)
            self._read(name)

    def unsubscribe(self, name: str) -> None:
        """See `ControlledPeer`."""
        if name in self.streams:
            self.streams.remove(name)
            self.futures.market_streams.remove(name, self)

    def subscribed(self) -> list[str]:
        """See `ControlledPeer`."""
        return list(self.streams)


class PrivateSubscription:
    """One listen key on one connection, with the events it asked for."""

    __slots__ = ("account", "events", "key", "peer")

    def __init__(self, peer: PrivatePeer, account: FuturesAccount, key: str, wanted: frozenset[str]) -> None:
        self.peer = peer
        self.account = account
        self.key = key
        self.events = wanted

    def deliver(self, payload: bytes) -> None:
        """See `UserStreams`; nothing arrives on a key that has ended, but the news that it has."""
        kind = payload[6 : payload.index(b'"', 6)].decode()
        alive = self.key in self.peer.futures.listen_keys.owners
        if kind in self.events and (alive or kind == "listenKeyExpired"):
            self.peer.deliver_stream(self.key, payload)


class PrivatePeer(ControlledPeer):
    """A connection for user data by listen keys.

    Args:
        futures: whose streams.
        combined: whether messages are wrapped.
        wanted: listen keys of the URL, each with the events it wants.

    """

    def __init__(
        self, futures: FuturesExchange, combined: bool, wanted: list[tuple[str, frozenset[str]]]
    ) -> None:
        super().__init__(futures, combined)
        self._wanted = wanted
        self.subscriptions: dict[str, PrivateSubscription] = {}
        self.named: dict[str, frozenset[str]] = {}

    def opened(self) -> None:
        """See `Peer`."""
        for key, wanted in self._wanted:
            self._listen(key, wanted)

    def closed(self) -> None:
        """See `Peer`."""
        for key in tuple(self.subscriptions):
            self.unsubscribe(key)

    def _listen(self, key: str, wanted: frozenset[str]) -> None:
        self.named[key] = self.named.get(key, frozenset()) | wanted
        account = self.futures.listen_keys.owners.get(key)
        if account is None:
            return
        known = self.subscriptions.get(key)
        if known is not None:
            known.events |= wanted
            return
        subscription = PrivateSubscription(self, account, key, wanted)
        self.subscriptions[key] = subscription
        self.futures.user_streams.subscribe(account.name, subscription)

    def subscribe(self, name: str) -> None:
        """See `ControlledPeer`: a listen key, or a key and an event as `key@EVENT`."""
        key, _, event = name.partition("@")
        self._listen(key, frozenset({event}) if event else frozenset(EVENTS))

    def unsubscribe(self, name: str) -> None:
        """See `ControlledPeer`."""
        key = name.partition("@")[0]
        self.named.pop(key, None)
        subscription = self.subscriptions.pop(key, None)
        if subscription is not None:
            self.futures.user_streams.unsubscribe(subscription.account.name, subscription)

    def subscribed(self) -> list[str]:
        """See `ControlledPeer`."""
        return [f"{key}@{event}" for key, wanted in self.named.items() for event in sorted(wanted)]


def peer_for(futures: FuturesExchange, path: str, query: str) -> ControlledPeer:
    """Return the peer that speaks on a path."""
    root, _, rest = path.strip("/").partition("/")
    if root not in {"private", "public", "market"}:
        root, rest = "", path.strip("/")
    mode, _, name = rest.partition("/")
    combined = mode == "stream"
    named = [value for key, value in parse_qsl(query) if key == "streams"]
    streams = [s for s in "/".join([name, *named]).split("/") if s]
    if root == "private":
        keys = _keys(query) or [(s, frozenset(EVENTS)) for s in streams]
        return PrivatePeer(futures, combined, keys)
    return PublicPeer(futures, combined, streams, market=root == "market")


def _keys(query: str) -> list[tuple[str, frozenset[str]]]:
    """Read `listenKey=…&events=A/B`; `events` belongs to the key before it, without it all are meant."""
    found: list[tuple[str, frozenset[str]]] = []
    for name, value in parse_qsl(query):
        if name == "listenKey":
            found.append((value, frozenset(EVENTS)))
        elif name == "events" and found:
            found[-1] = (found[-1][0], frozenset(value.split("/")))
    return found
