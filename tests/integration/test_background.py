"""DESIGN 6: the background round: what no event told is found; differences are reported, never corrected."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from services.fill_listener import background, wallets
from services.fill_listener.background import period_s
from tests.listening import LocalMarket, local_market, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bot import Bot

PAGE = Path(__file__).parents[2] / "docs" / "reconciliation.md"


@pytest.fixture
async def market(bridge_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalMarket]:
    monkeypatch.setattr(background, "SHORTEST_S", 0.1)
    monkeypatch.setattr(wallets, "CONFIRM_S", 0.1)
    monkeypatch.setattr(background, "WEIGHT_PER_S", 10_000.0)
    async with local_market(bridge_database, monkeypatch) as running:
        yield running


async def test_what_no_event_told_is_found_and_only_reported(market: LocalMarket, bot: Bot) -> None:
    """A trade by hand, its events lost: the order is recorded, both balances differ, the ledger stays."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    await trader.filled(await trader.buy("0.5"))

    async def compared() -> bool:
        query = "SELECT ledger = 0.4995 FROM bridge.wallet WHERE asset = 'BTC'"
        return bool(await market.pool.fetchval(query))

    await until(compared, "the balance was read after the fill")
    assert await market.pool.fetchval("SELECT count(*) FROM bridge.event WHERE kind = 'balance_differs'") == 0
    before = trader.positions()
    await market.admin("POST", "/faults", {"action": "event_lose", "probability": 1})
    await trader.place(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.2")

    async def reported() -> bool:
        query = "SELECT count(*) = 2 FROM bridge.event WHERE kind = 'balance_differs'"
        return bool(await market.pool.fetchval(query))

    await until(reported, "both balances are reported")
    (bitcoin,) = await market.pool.fetch(
        "SELECT data FROM bridge.event WHERE kind = 'balance_differs' AND data ->> 'asset' = 'BTC'"
    )
    assert Decimal(str(bitcoin["data"]["change"])) == Decimal("-0.2")
    assert await market.pool.fetchval("SELECT flag FROM bridge.external_order") == "manual"
    after = trader.positions()
    assert [(one["size"], one["status"]) for one in after] == [(one["size"], "open") for one in before]
    assert await market.pool.fetchval("SELECT count(*) FROM bridge.fill WHERE order_id IS NULL") == 0


def test_the_page_tells_the_length_of_a_round() -> None:
    """docs/reconciliation.md: 1, 100, 1,000 and 10,000 accounts with two symbols each."""
    rows = re.findall(r"^\| ([\d,]+) \| (?:(\d+) h )?(\d+) min \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {int(n.replace(",", "")): int(h or 0) * 3600 + int(m) * 60 for n, h, m in rows}
    assert told == {n: period_s(n, 2 * n) for n in (1, 100, 1000, 10000)}
