"""Market stream connections: `/ws/<stream>` raw and `/stream?streams=a/b` combined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.local_exchange.message_limit import MessageLimit
from services.local_exchange.websocket_front import Peer

if TYPE_CHECKING:
    from services.local_exchange.exchange import Exchange
    from services.local_exchange.stream_readers import StreamReaders

MOST_STREAMS = 1024
MOST_MESSAGES = 5


class StreamPeer(Peer):
    """One connection to the market streams.

    Args:
        exchange: whose clock.
        readers: where streams are read.
        streams: streams named in the URL.
        combined: whether messages are wrapped as `{"stream":…,"data":…}`.

    """

    def __init__(
        self, exchange: Exchange, readers: StreamReaders, streams: list[str], combined: bool
    ) -> None:
        self.exchange = exchange
        self.readers = readers
        self.streams = list(dict.fromkeys(streams))
        self.combined = combined
        self._limit = MessageLimit(exchange.clock, MOST_MESSAGES)

    def opened(self) -> None:
        """See `Peer`."""
        for stream in self.streams:
            self.readers.add(stream, self)

    def closed(self) -> None:
        """See `Peer`."""
        for stream in self.streams:
            self.readers.remove(stream, self)

    def deliver_stream(self, stream: str, payload: bytes) -> None:
        """See `MarketStreams`."""
        if self.combined:
            payload = b'{"stream":"' + stream.encode() + b'","data":' + payload + b"}"
        self.connection.send(payload)

    def shut_down(self) -> None:
        """Tell the client that the server is about to go."""
        event = {"e": "serverShutdown", "E": self.exchange.clock.now_ms()}
        self.deliver_stream("!serverShutdown", orjson.dumps(event))

    def received(self, text: str) -> None:
        """See `Peer`: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, GET_PROPERTY, SET_PROPERTY.

        At most five a second, or the connection is closed.
        """
        if self._limit.exceeded():
            self.connection.close(1008, "Too many requests")
            return
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._refuse("Invalid JSON: expected value at line 1 column 1")
            return
        if not isinstance(request, dict):
            self._refuse("Invalid request: not an object")
            return
        params = request.get("params") or []
        answer = self._control(request.get("method"), params if isinstance(params, list) else [])
        self.connection.send(orjson.dumps(answer | {"id": request.get("id")}))

    def _control(self, method: Any, params: list[Any]) -> dict[str, Any]:
        streams = self.readers
        result: Any = None
        if method == "SUBSCRIBE":
            names = [str(name) for name in params if name not in self.streams]
            if len(self.streams) + len(names) > MOST_STREAMS:
                return {"error": {"code": 2, "msg": "Invalid request: too many subscriptions"}}
            for name in names:
                self.streams.append(name)
                streams.add(name, self)
        elif method == "UNSUBSCRIBE":
            for name in params:
                if name in self.streams:
                    self.streams.remove(name)
                    streams.remove(name, self)
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(self.streams)
        elif method == "GET_PROPERTY" and params == ["combined"]:
            result = self.combined
        elif method == "SET_PROPERTY" and params[:1] == ["combined"]:
            self.combined = params[1:] == [True]
        else:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant {method}"}}
        return {"result": result}

    def _refuse(self, message: str) -> None:
        self.connection.send(orjson.dumps({"error": {"code": 3, "msg": message}}))
