"""Candles: kept per minute and per second as trades happen, any other interval put together from them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from services.local_exchange.errors import ExchangeError
from services.local_exchange.parameters import integer, symbol_of

if TYPE_CHECKING:
    from services.local_exchange.calls import Call
    from services.local_exchange.market import PublicTrade

SECOND = 1000
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
FIRST_MONDAY = 4 * DAY  # 1970-01-05
INTERVALS: dict[str, int] = {
    "1s": SECOND,
    "1m": MINUTE,
    "3m": 3 * MINUTE,
    "5m": 5 * MINUTE,
    "15m": 15 * MINUTE,
    "30m": 30 * MINUTE,
    "1h": HOUR,
    "2h": 2 * HOUR,
    "4h": 4 * HOUR,
    "6h": 6 * HOUR,
    "8h": 8 * HOUR,
    "12h": 12 * HOUR,
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": WEEK,
    "1M": 31 * DAY,
}


@dataclass(slots=True)
class Candle:
    """One candle; `start` and `end` in epoch milliseconds, `end` included."""

    start: int
    end: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    first_id: int
    last_id: int
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    count: int = 0
    taker_buy: Decimal = Decimal(0)
    taker_buy_quote: Decimal = Decimal(0)

    def add(self, trade: PublicTrade) -> None:
        """Count a trade."""
        quote = trade.price * trade.qty
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)
        self.close = trade.price
        self.last_id = trade.id
        self.volume += trade.qty
        self.quote_volume += quote
        self.count += 1
        if not trade.buyer_is_maker:
            self.taker_buy += trade.qty
            self.taker_buy_quote += quote

    def join(self, later: Candle) -> None:
        """Take in a later candle."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.close = later.close
        self.last_id = later.last_id
        self.volume += later.volume
        self.quote_volume += later.quote_volume
        self.count += later.count
        self.taker_buy += later.taker_buy
        self.taker_buy_quote += later.taker_buy_quote

    def row(self) -> list[Any]:
        """Show the candle as `GET /api/v3/klines` does."""
        return [
            self.start,
            f"{self.open:.8f}",
            f"{self.high:.8f}",
            f"{self.low:.8f}",
            f"{self.close:.8f}",
            f"{self.volume:.8f}",
            self.end,
            f"{self.quote_volume:.8f}",
            self.count,
            f"{self.taker_buy:.8f}",
            f"{self.taker_buy_quote:.8f}",
            "0",
        ]


def bounds(interval: str, time: int) -> tuple[int, int]:
    """Return start and (included) end of the candle that a time falls into."""
    if interval == "1M":
        day = datetime.fromtimestamp(time / 1000, UTC).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        following = (
            day.replace(year=day.year + 1, month=1)
            if day.month == MONTHS
            else day.replace(month=day.month + 1)
        )
        return int(day.timestamp()) * 1000, int(following.timestamp()) * 1000 - 1
    length = INTERVALS[interval]
    offset = FIRST_MONDAY if interval == "1w" else 0
    start = (time - offset) // length * length + offset
    return start, start + length - 1


MONTHS = 12


class Candles:
    """The candles of one symbol: an hour of seconds, a week of minutes."""

    def __init__(self) -> None:
        self._seconds: deque[Candle] = deque(maxlen=3600)
        self._minutes: deque[Candle] = deque(maxlen=10_080)

    def add(self, trade: PublicTrade) -> None:
        """Count a trade."""
        for kept, interval in ((self._seconds, "1s"), (self._minutes, "1m")):
            if not kept or kept[-1].end < trade.time:
                start, end = bounds(interval, trade.time)
                price = trade.price
                kept.append(Candle(start, end, price, price, price, price, trade.id, trade.id))
            kept[-1].add(trade)

    def of(self, interval: str) -> list[Candle]:
        """Return all candles of an interval, the oldest first."""
        base = self._seconds if interval == "1s" else self._minutes
        made: list[Candle] = []
        for candle in base:
            if made and candle.start <= made[-1].end:
                made[-1].join(candle)
                continue
            start, end = bounds(interval, candle.start)
            made.append(
                Candle(start, end, candle.open, candle.open, candle.open, candle.open, candle.first_id, 0)
            )
            made[-1].join(candle)
        return made

    def current(self, interval: str, now: int) -> Candle | None:
        """Return the candle that is still growing, if anything traded in it."""
        start, end = bounds(interval, now)
        base = self._seconds if interval == "1s" else self._minutes
        parts = []
        for candle in reversed(base):
            if candle.start < start:
                break
            parts.append(candle)
        if not parts:
            return None
        price = parts[-1].open
        grown = Candle(start, end, price, price, price, price, parts[-1].first_id, 0)
        for candle in reversed(parts):
            grown.join(candle)
        return grown


def klines(call: Call) -> list[list[Any]]:
    """`GET /api/v3/klines`: since the exchange was started."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    interval = call.params["interval"]
    if interval not in INTERVALS:
        raise ExchangeError(-1120, "Invalid interval.")
    start, end = integer(call.params, "startTime"), integer(call.params, "endTime")
    limit = min(integer(call.params, "limit") or 500, 1000)
    chosen = [
        candle
        for candle in market.candles.of(interval)
        if (start is None or candle.start >= start) and (end is None or candle.start <= end)
    ]
    return [candle.row() for candle in (chosen[:limit] if start is not None else chosen[-limit:])]
