"""Public streams, built only where somebody listens.

Binance docs "WebSocket Streams": trade, aggTrade, bookTicker, miniTicker, ticker, kline, avgPrice, partial
depth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.candles import INTERVALS, Candle, bounds
from services.local_exchange.stream_readers import StreamReaders

if TYPE_CHECKING:
    from services.local_exchange.market import Market, PublicTrade

DEPTHS = {"depth5": 5, "depth10": 10, "depth20": 20}


class MarketStreams(StreamReaders):
    """The public streams of the spot market."""

    def __init__(self) -> None:
        super().__init__()
        self._candle_ends: dict[str, int] = {}

    def trade(self, market: Market, trade: PublicTrade) -> None:
        """Send a trade, and what it did to the book."""
        if not self.readers:
            return
        for stream, kind in self.listened(market.symbol.name).items():
            if kind == "trade":
                self.send(stream, trade_event(market, trade))
            elif kind == "aggTrade":
                self.send(stream, aggregate_trade_event(market, trade))
            elif kind == "bookTicker":
                self.send(stream, book_ticker_event(market))

    def step(self, market: Market, now: int) -> None:
        """Send what a step of the price path changed."""
        if not self.readers:
            return
        for stream, kind in self.listened(market.symbol.name).items():
            if kind.startswith("kline_"):
                self._candle(market, stream, kind.removeprefix("kline_").partition("@")[0], now)
                continue
            event = step_event(market, kind, now)
            if event is not None:
                self.send(stream, event)
        for stream, build in (("!miniTicker@arr", mini_ticker), ("!ticker@arr", ticker)):
            if stream in self.readers:
                self.send(stream, [build(market, now)])

    def _candle(self, market: Market, stream: str, interval: str, now: int) -> None:
        """Send the growing candle; when one has ended, first the ended one as closed."""
        if interval not in INTERVALS:
            return
        ended = self._candle_ends.get(stream)
        if ended is not None and now > ended:
            last = market.candles.current(interval, ended)
            if last is not None:
                self.send(stream, kline_event(market, interval, last, True, now))
        self._candle_ends[stream] = bounds(interval, now)[1]
        growing = market.candles.current(interval, now)
        if growing is not None:
            self.send(stream, kline_event(market, interval, growing, False, now))


def step_event(market: Market, kind: str, now: int) -> dict[str, Any] | None:
    """Return what a step of the price path sends on a stream of this kind; None for unknown kinds."""
    if kind == "bookTicker":
        return book_ticker_event(market)
    if kind == "miniTicker":
        return mini_ticker(market, now)
    if kind == "ticker":
        return ticker(market, now)
    if kind == "avgPrice":
        return average_price_event(market, now)
    levels = DEPTHS.get(kind.partition("@")[0])
    return None if levels is None else depth_event(market, levels)


def trade_event(market: Market, trade: PublicTrade) -> dict[str, Any]:
    """Return one message of `<symbol>@trade`."""
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


def aggregate_trade_event(market: Market, trade: PublicTrade) -> dict[str, Any]:
    """Return one message of `<symbol>@aggTrade`; here every trade is an aggregate of its own."""
    return {
        "e": "aggTrade",
        "E": trade.time,
        "s": market.symbol.name,
        "a": trade.id,
        "p": f"{trade.price:.8f}",
        "q": f"{trade.qty:.8f}",
        "f": trade.id,
        "l": trade.id,
        "T": trade.time,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def book_ticker_event(market: Market) -> dict[str, Any]:
    """Return one message of `<symbol>@bookTicker`; zeros where a side is empty."""
    bids, asks = market.book.bids.depth(1), market.book.asks.depth(1)
    return {
        "u": market.update_id,
        "s": market.symbol.name,
        "b": f"{bids[0][0] if bids else 0:.8f}",
        "B": f"{bids[0][1] if bids else 0:.8f}",
        "a": f"{asks[0][0] if asks else 0:.8f}",
        "A": f"{asks[0][1] if asks else 0:.8f}",
    }


def depth_event(market: Market, levels: int) -> dict[str, Any]:
    """Return one message of `<symbol>@depth<levels>`."""
    return {
        "lastUpdateId": market.update_id,
        "bids": [[f"{p:.8f}", f"{q:.8f}"] for p, q in market.book.bids.depth(levels)],
        "asks": [[f"{p:.8f}", f"{q:.8f}"] for p, q in market.book.asks.depth(levels)],
    }


def average_price_event(market: Market, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@avgPrice`."""
    last = market.public_trades[-1].time if market.public_trades else now
    return {
        "e": "avgPrice",
        "E": now,
        "s": market.symbol.name,
        "i": "5m",
        "w": f"{market.path.price:.8f}",
        "T": last,
    }


def mini_ticker(market: Market, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@miniTicker`."""
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


def ticker(market: Market, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@ticker`."""
    day, best = market.day, book_ticker_event(market)
    last = market.public_trades[-1] if market.public_trades else None
    change = market.last_price - day.open
    average = day.quote_volume / day.volume if day.volume else market.last_price
    return {
        "e": "24hrTicker",
        "E": now,
        "s": market.symbol.name,
        "p": f"{change:.8f}",
        "P": f"{change / day.open * 100:.3f}",
        "w": f"{average:.8f}",
        "x": f"{day.open:.8f}",
        "c": f"{market.last_price:.8f}",
        "Q": f"{last.qty if last else 0:.8f}",
        "b": best["b"],
        "B": best["B"],
        "a": best["a"],
        "A": best["A"],
        "o": f"{day.open:.8f}",
        "h": f"{day.high:.8f}",
        "l": f"{day.low:.8f}",
        "v": f"{day.volume:.8f}",
        "q": f"{day.quote_volume:.8f}",
        "O": now - 86_400_000,
        "C": now,
        "F": day.first_id,
        "L": last.id if last else -1,
        "n": day.count,
    }


def kline_event(market: Market, interval: str, candle: Candle, closed: bool, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@kline_<interval>`."""
    return {
        "e": "kline",
        "E": now,
        "s": market.symbol.name,
        "k": {
            "t": candle.start,
            "T": candle.end,
            "s": market.symbol.name,
            "i": interval,
            "f": candle.first_id,
            "L": candle.last_id,
            "o": f"{candle.open:.8f}",
            "c": f"{candle.close:.8f}",
            "h": f"{candle.high:.8f}",
            "l": f"{candle.low:.8f}",
            "v": f"{candle.volume:.8f}",
            "n": candle.count,
            "x": closed,
            "q": f"{candle.quote_volume:.8f}",
            "V": f"{candle.taker_buy:.8f}",
            "Q": f"{candle.taker_buy_quote:.8f}",
            "B": "0",
        },
    }
