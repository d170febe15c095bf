"""Public futures streams, built only where somebody listens; `/public` and `/market` carry different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.candles import INTERVALS, Candle
from services.local_exchange.futures.events import plain
from services.local_exchange.stream_readers import StreamReaders

if TYPE_CHECKING:
    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.market import PublicTrade

DEPTHS = {"depth5": 5, "depth10": 10, "depth20": 20}


def is_public(stream: str) -> bool:
    """Say whether a stream belongs on the `/public` path: book ticker and depth; all else is `/market`."""
    kind = stream.partition("@")[2]
    return kind.startswith(("bookTicker", "depth")) or stream == "!bookTicker"


class FuturesMarketStreams(StreamReaders):
    """The public streams of the futures market."""

    def trade(self, market: FuturesMarket, trade: PublicTrade) -> None:
        """Send a trade, and what it did to the book."""
        if not self.readers:
            return
        for stream, kind in self.listened(market.contract.name).items():
            if kind == "aggTrade":
                self.send(stream, aggregate_trade_event(market, trade))
            elif kind == "bookTicker":
                self.send(stream, book_ticker_event(market, trade.time))

    def step(self, market: FuturesMarket, now: int) -> None:
        """Send what a step of the price path changed."""
        if not self.readers:
            return
        for stream, kind in self.listened(market.contract.name).items():
            event = step_event(market, kind, now)
            if event is not None:
                self.send(stream, event)
        for stream in ("!markPrice@arr", "!markPrice@arr@1s"):
            if stream in self.readers:
                self.send(stream, [mark_price_event(market, now)])


def step_event(market: FuturesMarket, kind: str, now: int) -> dict[str, Any] | None:
    """Return what a step of the price path sends on a stream of this kind; None for unknown kinds."""
    base, _, rest = kind.partition("@")
    if base == "markPrice":
        return mark_price_event(market, now)
    if base == "bookTicker":
        return book_ticker_event(market, now)
    if base == "miniTicker":
        return mini_ticker_event(market, now)
    if base in DEPTHS:
        return depth_event(market, DEPTHS[base], now)
    interval = base.removeprefix("kline_")
    if interval != base and interval in INTERVALS and not rest:
        candle = market.candles.current(interval, now)
        return None if candle is None else kline_event(market, interval, candle, now)
    return None


def mark_price_event(market: FuturesMarket, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@markPrice`."""
    return {
        "e": "markPriceUpdate",
        "E": now,
        "s": market.contract.name,
        "p": f"{market.mark:.8f}",
        "ap": f"{market.mark:.8f}",
        "P": f"{market.path.price:.8f}",
        "i": f"{market.path.price:.8f}",
        "r": f"{market.funding_rate:.8f}",
        "T": market.next_funding,
    }


def aggregate_trade_event(market: FuturesMarket, trade: PublicTrade) -> dict[str, Any]:
    """Return one message of `<symbol>@aggTrade`."""
    return {
        "e": "aggTrade",
        "E": trade.time,
        "s": market.contract.name,
        "a": trade.id,
        "p": market.contract.price_text(trade.price),
        "q": plain(trade.qty),
        "f": trade.id,
        "l": trade.id,
        "T": trade.time,
        "m": trade.buyer_is_maker,
    }


def book_ticker_event(market: FuturesMarket, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@bookTicker`."""
    bids, asks = market.book.bids.depth(1), market.book.asks.depth(1)
    price = market.contract.price_text
    return {
        "e": "bookTicker",
        "u": market.update_id,
        "s": market.contract.name,
        "b": price(bids[0][0]) if bids else "0",
        "B": plain(bids[0][1]) if bids else "0",
        "a": price(asks[0][0]) if asks else "0",
        "A": plain(asks[0][1]) if asks else "0",
        "T": now,
        "E": now,
    }


def depth_event(market: FuturesMarket, levels: int, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@depth<levels>`."""
    price = market.contract.price_text
    return {
        "e": "depthUpdate",
        "E": now,
        "T": now,
        "s": market.contract.name,
        "U": market.update_id,
        "u": market.update_id,
        "pu": market.update_id - 1,
        "b": [[price(p), plain(q)] for p, q in market.book.bids.depth(levels)],
        "a": [[price(p), plain(q)] for p, q in market.book.asks.depth(levels)],
    }


def mini_ticker_event(market: FuturesMarket, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@miniTicker`."""
    day, price = market.day, market.contract.price_text
    return {
        "e": "24hrMiniTicker",
        "E": now,
        "s": market.contract.name,
        "c": price(market.last_price),
        "o": price(day.open),
        "h": price(day.high),
        "l": price(day.low),
        "v": plain(day.volume),
        "q": f"{day.quote_volume:.2f}",
    }


def kline_event(market: FuturesMarket, interval: str, candle: Candle, now: int) -> dict[str, Any]:
    """Return one message of `<symbol>@kline_<interval>`."""
    price = market.contract.price_text
    return {
        "e": "kline",
        "E": now,
        "s": market.contract.name,
        "k": {
            "t": candle.start,
            "T": candle.end,
            "s": market.contract.name,
            "i": interval,
            "f": candle.first_id,
            "L": candle.last_id,
            "o": price(candle.open),
            "c": price(candle.close),
            "h": price(candle.high),
            "l": price(candle.low),
            "v": plain(candle.volume),
            "n": candle.count,
            "x": now > candle.end,
            "q": f"{candle.quote_volume:.4f}",
            "V": plain(candle.taker_buy),
            "Q": f"{candle.taker_buy_quote:.4f}",
            "B": "0",
        },
    }
