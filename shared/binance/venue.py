"""One market of one environment as a process knows it: its clock, its instruments, its prices.

Everything here is filled before a row is claimed, never after (PROTOCOL 2).
"""

from __future__ import annotations

import asyncio
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog

from shared.binance.rest import Answer
from shared.domain.money import parse_decimal
from shared.domain.order import Side
from shared.domain.sizing import Book
from shared.domain.symbol import parse_instruments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from shared.binance.ask import MarketRest
    from shared.domain.order import Market
    from shared.domain.symbol import Instruments

log = structlog.get_logger(__name__)

CLOCK_EVERY_S = 15.0
INSTRUMENTS_EVERY_S = 1800.0
PRICES_EVERY_S = 2.0  # 4 of 6,000 request weight each: 2 % of an address's budget
RETRY_S = 0.5
LEVELS = 1000  # what a market order larger than the best level is measured against


class Venue:
    """What one process knows of one market of one environment.

    Attributes:
        instruments: None until the exchange has told them.
        environment_epoch: of the base URL (`bridge.environment`); the service that owns a database sets it.

    Args:
        market: spot or futures.
        rest: its REST requests; one per base URL and process.
        live: whether it trades real money.
        max_price_age_s: a price older than this is not fresh.
        on_ready: called once, when clock and instruments are known.

    """

    def __init__(
        self,
        market: Market,
        rest: MarketRest,
        *,
        live: bool,
        max_price_age_s: float,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self.market = market
        self.rest = rest
        self.live = live
        self.instruments: Instruments | None = None
        self.environment_epoch = 1
        self._max_price_age_s = max_price_age_s
        self._on_ready: Callable[[], None] | None = on_ready
        self._books: dict[str, tuple[Book, float]] = {}
        self._prices: Mapping[tuple[str, str], Decimal] = MappingProxyType({})
        self._prices_until = 0.0
        self._want_instruments = asyncio.Event()
        self._causes: set[str] = set()
        self._want_time = asyncio.Event()

    @property
    def base_url(self) -> str:
        """The address orders go to."""
        return self.rest.base_url

    @property
    def ready(self) -> bool:
        """Whether clock and instruments are known, so that a row can be prepared."""
        return self.rest.clock.known and self.instruments is not None

    async def run(self) -> None:
        """Keep clock, instruments and prices fresh until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_time())
            tasks.create_task(self._keep_instruments())
            tasks.create_task(self._keep_prices())

    def resync_clock(self) -> None:
        """Forget the clock and ask again at once: the exchange refused a timestamp (PROTOCOL 8)."""
        self.rest.clock.forget()
        self._want_time.set()

    def reread_instruments(self, cause: str) -> None:
        """Read the instruments again at once: something says that what we know is stale.

        Args:
            cause: what says so; one that comes again was not cured by reading, and waits for the regular
                reading.

        """
        if cause not in self._causes:
            self._causes.add(cause)
            self._want_instruments.set()

    async def book(self, symbol: str) -> Book | None:
        """Return fresh best bid and ask, asking for them if need be; None when there are none."""
        if (book := self.known_book(symbol)) is not None:
            return book
        self._learn_books(await self.rest.book_ticker(symbol))
        return self.known_book(symbol)

    def known_book(self, symbol: str) -> Book | None:
        """Return best bid and ask if they are fresh already."""
        book, at = self._books.get(symbol, (None, 0.0))
        return book if time.monotonic() - at <= self._max_price_age_s else None

    async def levels(self, symbol: str, side: Side) -> list[tuple[Decimal, Decimal]] | None:
        """Ask for the levels an order of this side would trade with, best first; None without an answer."""
        answer = await self.rest.depth(symbol, LEVELS)
        if not isinstance(answer, Answer) or not answer.ok:
            return None
        try:
            rows = answer.body["asks" if side is Side.BUY else "bids"]
            return [(parse_decimal(price), parse_decimal(size)) for price, size, *_ in rows]
        except (KeyError, TypeError, ValueError):
            return None

    def prices(self) -> Mapping[tuple[str, str], Decimal]:
        """Return the fresh mid prices by (base, quote), to value commissions and caps."""
        now = time.monotonic()
        if now > self._prices_until and self.instruments is not None:
            oldest, known = now - self._max_price_age_s, self.instruments.by_symbol
            fresh = [
                (known[symbol], book, at)
                for symbol, (book, at) in self._books.items()
                if at >= oldest and symbol in known
            ]
            self._prices = MappingProxyType(
                {(of.base, of.quote): (book.bid + book.ask) / 2 for of, book, _ in fresh}
            )
            # Kept until the first of them is stale; there are thousands, and every order asks.
            self._prices_until = min((at for *_, at in fresh), default=now) + self._max_price_age_s
        return self._prices

    async def _keep_time(self) -> None:
        while True:
            self._want_time.clear()
            answer = await self.rest.server_time()
            known = isinstance(answer, Answer) and answer.ok
            self._tell_ready()
            await _wait(self._want_time, CLOCK_EVERY_S if known else RETRY_S)

    async def _keep_instruments(self) -> None:
        while True:
            self._want_instruments.clear()
            learned = self._learn_instruments(await self.rest.exchange_info())
            self._tell_ready()
            # A second wish within a moment waits: one stale rejection brings many.
            await asyncio.sleep(RETRY_S)
            if not await _wait(self._want_instruments, INSTRUMENTS_EVERY_S if learned else RETRY_S):
                self._causes.clear()

    async def _keep_prices(self) -> None:
        while True:
            self._learn_books(await self.rest.book_ticker())
            await asyncio.sleep(PRICES_EVERY_S)

    def _tell_ready(self) -> None:
        if self.ready and self._on_ready is not None:
            tell, self._on_ready = self._on_ready, None
            tell()

    def _learn_instruments(self, answer: object) -> bool:
        if not isinstance(answer, Answer) or not answer.ok:
            return False
        try:
            self.instruments = parse_instruments(self.market, answer.body)
        except ValueError as error:
            log.warning("instruments.unreadable", base_url=self.base_url, error=str(error))
            return False
        self._prices_until = 0.0
        return True

    def _learn_books(self, answer: object) -> None:
        if not isinstance(answer, Answer) or not answer.ok:
            return
        now = time.monotonic()
        for row in answer.body if isinstance(answer.body, list) else [answer.body]:
            symbol = row.get("symbol") if isinstance(row, dict) else None
            if isinstance(symbol, str) and (book := _book(row)) is not None:
                self._books[symbol] = (book, now)
                self._prices_until = 0.0


def _book(row: Mapping[str, Any]) -> Book | None:
    try:
        bid, ask = parse_decimal(row["bidPrice"]), parse_decimal(row["askPrice"])
        sizes = parse_decimal(row.get("bidQty", 0)), parse_decimal(row.get("askQty", 0))
    except (KeyError, ValueError):
        return None
    return Book(bid, ask, *sizes) if min(bid, ask) > 0 else None


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; False when it did not come in time."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
