"""PROTOCOL 10: what was asked about old rows is the whole list, however many pages it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.order_executor import recheck
from services.order_executor.recheck import everything
from shared.binance.rest import Answer, Result, TransportFailure
from tests.futures_listening import futures_market

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bot import Bot
    from tests.futures_listening import FuturesMarket, FuturesTrader

PAGE = 10
"""More than an account places within one millisecond here: that many in one end the search."""
BROKEN = TransportFailure(bytes_written=True, reason="reset", detail="The connection broke.")


@pytest.fixture
async def market(bridge_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FuturesMarket]:
    monkeypatch.setattr(recheck, "FULL_PAGE", PAGE)
    async with futures_market(bridge_database, monkeypatch) as running:
        yield running


@pytest.fixture
async def trader(market: FuturesMarket, bot: Bot) -> FuturesTrader:
    return await market.trader(bot, "many")


async def test_every_order_is_found_though_a_page_shows_the_newest(trader: FuturesTrader) -> None:
    """Futures end a page with the newest order, so going on from its last one would find nothing more."""
    rest = trader.market.rest
    placed = [
        await trader.place(
            symbol="BTCUSDT", side="BUY", type="LIMIT", quantity="0.01", price="60000", timeInForce="GTC"
        )
        for _ in range(3 * PAGE + 1)
    ]
    found = await everything(
        lambda start, end: rest.all_orders(
            trader.credentials, "BTCUSDT", start_ms=start, end_ms=end, limit=PAGE
        ),
        *around(trader),
    )
    assert found is not None
    assert {order["orderId"] for order in found} == {order["orderId"] for order in placed}


async def test_every_conditional_order_is_found(trader: FuturesTrader) -> None:
    """The algo service shows the newest first."""
    rest = trader.market.rest
    stops = [await trader.stop("sell", "60000", quantity=f"0.{n}") for n in range(1, 2 * PAGE + 2)]
    found = await everything(
        lambda start, end: rest.all_algo_orders(
            trader.credentials, "BTCUSDT", start_ms=start, end_ms=end, limit=PAGE
        ),
        *around(trader),
    )
    assert found is not None
    assert len({order["algoId"] for order in found}) == len(stops)


def around(trader: FuturesTrader) -> tuple[int, int]:
    """Return a span in which everything of a test happened, on the exchange's clock."""
    now_ms = trader.market.rest.clock.exchange_now_ms()
    return now_ms - 60_000, now_ms + 1000


async def test_a_page_that_is_not_answered_proves_nothing() -> None:
    """One failed question among the pages, and nothing is concluded."""
    asked: list[tuple[int, int]] = []

    async def ask(start_ms: int, end_ms: int) -> Result:
        asked.append((start_ms, end_ms))
        if end_ms - start_ms > 40:
            return answer([{}] * 1000)
        return (
            answer([])
            if start_ms < 50
            else TransportFailure(bytes_written=True, reason="reset", detail="It broke.")
        )

    assert await everything(ask, 0, 100) is None
    assert asked[0] == (0, 100)


async def test_spans_meet_without_a_gap_and_without_an_overlap() -> None:
    """Every millisecond is asked for once; one that fills a page by itself ends the search."""
    moments: list[int] = []

    async def ask(start_ms: int, end_ms: int) -> Result:
        if end_ms - start_ms > 5:
            return answer([{}] * 1000)
        moments.extend(range(start_ms, end_ms + 1))
        return answer([])

    assert await everything(ask, 0, 1000) == []
    assert moments == list(range(1001))

    async def full(_start_ms: int, _end_ms: int) -> Result:
        return answer([{}] * 1000)

    assert await everything(full, 0, 10**12) is None


def answer(body: list[dict[str, Any]]) -> Answer:
    """Answer with a list."""
    return Answer(200, {}, body, "", 0.0, 0.0)
