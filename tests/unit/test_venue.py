"""What a process knows of a venue: instruments read again once per cause, levels of the book."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.binance import venue as venues
from shared.binance.rest import Answer
from shared.binance.venue import Venue
from shared.domain.order import Market, Side
from shared.domain.symbol import index_instruments
from tests.order_rows import BTC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Rest:
    """Answers what it was told, and counts."""

    base_url = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.read = 0
        self.reading = asyncio.Event()
        self.book: Any = {}

    async def exchange_info(self) -> Answer:
        self.read += 1
        self.reading.set()
        return answered({"symbols": []})

    async def depth(self, symbol: str, limit: int) -> Answer:
        return answered(self.book)


def answered(body: Any, status: int = 200) -> Answer:
    return Answer(status=status, headers={}, body=body, raw_excerpt="", sent_ms=0, received_ms=0)


@pytest.fixture
def rest() -> Rest:
    return Rest()


@pytest.fixture
async def venue(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Venue]:
    monkeypatch.setattr(venues, "RETRY_S", 0.001)
    venue = Venue(Market.SPOT, rest, live=False, max_price_age_s=5)  # type: ignore[arg-type]
    venue._tell_ready = lambda: None  # type: ignore[method-assign]
    task = asyncio.create_task(venue._keep_instruments())
    yield venue
    task.cancel()


async def test_instruments_are_read_again_once_per_cause(rest: Rest, venue: Venue) -> None:
    """The same rejection again was not cured by reading; another one is a reason to read again."""
    await rest.reading.wait()
    for cause, expected in (("BTCUSDT filter", 2), ("BTCUSDT filter", 2), ("ETHUSDT filter", 3)):
        rest.reading.clear()
        venue.reread_instruments(cause)
        if rest.read < expected:
            await asyncio.wait_for(rest.reading.wait(), 5)
        await asyncio.sleep(0.02)
        assert rest.read == expected


@pytest.mark.parametrize(
    ("body", "levels"),
    [
        (
            {"bids": [["9", "1"]], "asks": [["10", "2"], ["11", "3"]]},
            [(Decimal(10), Decimal(2)), (Decimal(11), Decimal(3))],
        ),
        ({"bids": [], "asks": []}, []),
        ({"bids": []}, None),
        ({"asks": [["x", "1"]]}, None),
        ({"asks": [["1"]]}, None),
        ([], None),
    ],
)
async def test_levels_of_the_side_an_order_trades_with(
    rest: Rest, venue: Venue, body: Any, levels: Any
) -> None:
    """A buy trades with the asks; what cannot be read is no answer."""
    rest.book = body
    assert await venue.levels("BTCUSDT", Side.BUY) == levels


def test_prices_are_worked_out_once_and_never_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same prices are given until another is told or the oldest of them is no longer fresh."""
    now = 1000.0
    monkeypatch.setattr("shared.binance.venue.time.monotonic", lambda: now)
    venue = Venue(Market.SPOT, Rest(), live=False, max_price_age_s=5)  # type: ignore[arg-type]
    pair = ("BTC", "USDT")

    def tell(bid: str, ask: str) -> None:
        venue._learn_books(answered({"symbol": "BTCUSDT", "bidPrice": bid, "askPrice": ask}))

    tell("10", "20")
    assert venue.prices() == {}
    venue.instruments = index_instruments(Market.SPOT, [BTC])
    assert (first := venue.prices()) == {pair: Decimal(15)}
    assert venue.prices() is first
    now += 3
    tell("20", "30")
    assert venue.prices() == {pair: Decimal(25)}
    now += 5
    assert venue.prices() == {pair: Decimal(25)}
    now += 0.001
    assert venue.prices() == {}
