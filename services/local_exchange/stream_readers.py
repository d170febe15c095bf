"""Who reads which public stream."""

from __future__ import annotations

from typing import Any, Protocol

import orjson


class StreamReader(Protocol):
    """A connection that reads market streams."""

    def deliver_stream(self, stream: str, payload: bytes) -> None:
        """Send one message of a stream, given as JSON."""


class StreamReaders:
    """Readers by stream name, e.g. `btcusdt@trade`."""

    def __init__(self) -> None:
        self.readers: dict[str, list[StreamReader]] = {}
        self._by_symbol: dict[str, dict[str, str]] = {}

    def add(self, stream: str, reader: StreamReader) -> None:
        """Let a reader have a stream; a second time changes nothing."""
        reading = self.readers.setdefault(stream, [])
        if reader not in reading:
            reading.append(reader)
        symbol, _, kind = stream.partition("@")
        self._by_symbol.setdefault(symbol, {})[stream] = kind

    def remove(self, stream: str, reader: StreamReader) -> None:
        """Stop that."""
        reading = self.readers.get(stream, [])
        if reader in reading:
            reading.remove(reader)
        if not reading:
            self.readers.pop(stream, None)
            self._by_symbol.get(stream.partition("@")[0], {}).pop(stream, None)

    def listened(self, symbol: str) -> dict[str, str]:
        """Return the streams of a symbol that somebody reads, with what follows the first `@`."""
        return dict(self._by_symbol.get(symbol.lower(), {}))

    def send(self, stream: str, event: dict[str, Any] | list[Any]) -> None:
        """Send a message to all readers of a stream."""
        payload = orjson.dumps(event)
        for reader in tuple(self.readers.get(stream, ())):
            reader.deliver_stream(stream, payload)
