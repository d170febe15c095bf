"""Public streams: bookTicker, trade, miniTicker; sent only where somebody listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

if TYPE_CHECKING:
    from services.local_exchange.market import Market, PublicTrade


class StreamReader(Protocol):
    """A connection that reads market streams."""

    def deliver_stream(self, stream: str, payload: bytes) -> None:
        """Send one message of a stream, given as JSON."""


class MarketStreams:
    """Readers by stream name, e.g. `btcusdt@trade`."""

    def __init__(self) -> None:
        self.readers: dict[str, list[StreamReader]] = {}

    def add(self, stream: str, reader: StreamReader) -> None:
        """Let a reader have a stream; a second time changes nothing."""
        reading = self.readers.setdefault(stream, [])
        if reader not in reading:
            reading.append(reader)

    def remove(self, stream: str, reader: StreamReader) -> None:
        """Stop that."""
        reading = self.readers.get(stream, [])
        if reader in reading:
            reading.remove(reader)
        if not reading:
            self.readers.pop(stream, None)

    def trade(self, market: Market, trade: PublicTrade) -> None:
        """Send a trade, and what it did to the book."""
        if not self.readers:
            return
        lower = market.symbol.name.lower()
        if f"{lower}@trade" in self.readers:
            self._send(f"{lower}@trade", trade_event(market, trade))
        self._book(market, lower)

    def step(self, market: Market, now: int) -> None:
        """Send what a step of the price path changed."""
        if not self.readers:
            return
        lower = market.symbol.name.lower()
        self._book(market, lower)
        if f"{lower}@miniTicker" in self.readers:
            self._send(f"{lower}@miniTicker", mini_ticker(market, now))
        if "!miniTicker@arr" in self.readers:
            self._send("!miniTicker@arr", [mini_ticker(market, now)])

    def _book(self, market: Market, lower: str) -> None:
        if f"{lower}@bookTicker" in self.readers:
            self._send(f"{lower}@bookTicker", book_ticker_event(market))

    def _send(self, stream: str, event: dict[str, Any] | list[Any]) -> None:
        payload = orjson.dumps(event)
        for reader in tuple(self.readers.get(stream, ())):
            reader.deliver_stream(stream, payload)


def trade_event(market: Market, trade: PublicTrade) -> dict[str, Any]:
    """One message of `<symbol>@trade`."""
    return {
        "e": "trade",
        "E": trade.time,
        "s": market.symbol.name,
        "t": trade.id,
        "p": f"{trade.price:.8f}",
        "q": f"{trade.qty:.8f}",
        "T": trade.time,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def book_ticker_event(market: Market) -> dict[str, Any]:
    """One message of `<symbol>@bookTicker`; zeros where a side is empty."""
    bids, asks = market.book.bids.depth(1), market.book.asks.depth(1)
    return {
        "u": market.update_id,
        "s": market.symbol.name,
        "b": f"{bids[0][0] if bids else 0:.8f}",
        "B": f"{bids[0][1] if bids else 0:.8f}",
        "a": f"{asks[0][0] if asks else 0:.8f}",
        "A": f"{asks[0][1] if asks else 0:.8f}",
    }


def mini_ticker(market: Market, now: int) -> dict[str, Any]:
    """One message of `<symbol>@miniTicker`."""
    day = market.day
    return {
        "e": "24hrMiniTicker",
        "E": now,
        "s": market.symbol.name,
        "c": f"{market.last_price:.8f}",
        "o": f"{day.open:.8f}",
        "h": f"{day.high:.8f}",
        "l": f"{day.low:.8f}",
        "v": f"{day.volume:.8f}",
        "q": f"{day.quote_volume:.8f}",
    }
