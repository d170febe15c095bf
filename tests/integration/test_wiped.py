"""DESIGN 6: the testnet's monthly reset. What went with it ends, with a reason; what is there stays."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from services.fill_listener import wiped
from shared.database.wiped import REASON
from tests.listening import LocalMarket, Trader, local_market, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bot import Bot
    from tests.claimed import Claimed


@pytest.fixture
async def market(bridge_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalMarket]:
    monkeypatch.setattr(wiped, "EVERY_S", 0.2)
    monkeypatch.setattr(wiped, "GATHER_S", 0.0)
    monkeypatch.setattr(wiped, "OLD_ENOUGH", timedelta(0))
    async with local_market(bridge_database, monkeypatch, volatility=0) as running:
        yield running


@pytest.fixture
async def trader(market: LocalMarket, bot: Bot) -> Trader:
    return await market.trader(bot, "alice")


async def sent(
    market: LocalMarket, trader: Trader, key_hash: str | None = None, **columns: object
) -> Claimed:
    """Claim an order as the executor does: at this exchange, with this key."""
    order = await trader.order(**columns)
    await market.pool.execute(
        "UPDATE bridge.attempt SET base_url = $2, api_key_hash = $3 WHERE order_id = $1",
        order.order_id,
        market.exchange.rest_url,
        key_hash or trader.credentials.fingerprint,
    )
    return order


async def bought(market: LocalMarket, trader: Trader, quantity: str, key_hash: str | None = None) -> Claimed:
    order = await sent(market, trader, key_hash)
    await trader.send(order, type="MARKET", quantity=quantity)
    await trader.filled(order)
    return order


async def rests(market: LocalMarket, trader: Trader, price: str = "50000", quantity: str = "0.01") -> Claimed:
    order = await sent(market, trader, reasoning="because")
    answer = await trader.send(order, type="LIMIT", quantity=quantity, price=price, timeInForce="GTC")
    await until(lambda: trader.row(order)["exchange_order_id"] == str(answer["orderId"]), "it rests")
    return order


async def wipe(market: LocalMarket, *traders: Trader) -> None:
    """Wipe the exchange; it gives its traders new money, as the testnet does."""
    await market.admin("POST", "/wipe", {})
    for trader in traders:
        await market.admin("POST", "/balances", {"account": trader.name, "asset": "USDT", "delta": "1000000"})


async def epoch(market: LocalMarket, number: int) -> None:
    async def begun() -> bool:
        return bool(await market.pool.fetchval("SELECT max(epoch) = $1 FROM bridge.environment", number))

    await until(begun, f"epoch {number}")


async def kinds(market: LocalMarket, kind: str) -> int:
    count: int = await market.pool.fetchval("SELECT count(*) FROM bridge.event WHERE kind = $1", kind)
    return count


async def test_what_went_with_the_wipe_ends_with_a_reason(market: LocalMarket, trader: Trader) -> None:
    """Open and unknown orders expire, positions are closed, what filled stays; nothing is sold or guessed."""
    await market.listen()
    first, second = [await bought(market, trader, "0.1") for _ in range(2)]
    resting = await rests(market, trader)
    unknown = await sent(market, trader)
    await trader.abandon(unknown)
    assert trader.positions()[0]["status"] == "open"
    await wipe(market, trader)
    await epoch(market, 2)
    await until(lambda: trader.row(resting)["status"] == "expired", "the resting order is over")
    await until(lambda: trader.row(unknown)["status"] == "expired", "the unknown one is over")
    await until(lambda: trader.positions()[0]["status"] == "closed", "the position is closed")
    assert trader.row(resting)["reasoning"] == f"Expired: {REASON} Original reasoning: because"
    assert [trader.row(one)["status"] for one in (first, second)] == ["filled", "filled"]
    (position,) = trader.positions()
    assert position["open_reasoning"].startswith(f"Closed: {REASON}")
    assert (position["closed_at"] is not None, position["unrealized_pnl"]) == (True, 0)
    assert position["size"] == Decimal("0.1998")
    ledger = await market.pool.fetchrow("SELECT status, size, bot_closed_at FROM bridge.position")
    assert ledger is not None
    assert tuple(ledger) == ("closed", 0, None)
    for kind, times in (("environment_wiped", 1), ("expired", 2), ("position_wiped", 1)):
        assert await kinds(market, kind) == times
    states = await market.pool.fetch("SELECT DISTINCT state FROM bridge.outbox")
    assert [row[0] for row in states] == ["done"]
    assert not await market.pool.fetchval("SELECT bool_or(live) FROM bridge.attempt"), "no cap is held"


async def test_trading_goes_on_in_the_new_epoch(market: LocalMarket, trader: Trader) -> None:
    """New orders make positions of their own; the closed one stays as it is, whatever is folded again."""
    listener = await market.listen()
    for _ in range(2):
        await bought(market, trader, "0.1")
    await wipe(market, trader)
    await epoch(market, 2)
    await until(lambda: trader.positions()[0]["status"] == "closed", "the position is closed")
    await until(lambda: listener.ready().ready, "it hears")
    order = await sent(market, trader)
    # As the executor claims it once it has read the epoch, which it does in every sweep.
    await market.pool.execute(
        "UPDATE bridge.attempt SET environment_epoch = 2 WHERE order_id = $1", order.order_id
    )
    await trader.send(order, type="MARKET", quantity="0.3")
    await trader.filled(order)
    rows = sorted((row["status"], row["size"]) for row in trader.positions())
    assert rows == [("closed", Decimal("0.1998")), ("open", Decimal("0.2997"))]
    epochs = await market.pool.fetch("SELECT DISTINCT environment_epoch FROM bridge.fill ORDER BY 1")
    assert [row[0] for row in epochs] == [1, 2]


async def test_trading_that_went_on_hides_no_wipe(market: LocalMarket, trader: Trader) -> None:
    """Claimed before we noticed, in the old epoch, and at the exchange nevertheless: it is left alone."""
    listener = await market.listen()
    for _ in range(2):
        await bought(market, trader, "0.1")
    listener.drain()
    await market.listeners.pop(listener)
    await wipe(market, trader)
    listening = await market.listen()
    await until(lambda: len(listening._accounts) == 1, "it has the account")
    await until(lambda: listening.ready().ready, "it hears it")
    alive = await rests(market, trader)
    await epoch(market, 2)
    await until(lambda: trader.positions()[0]["status"] == "closed", "the position is closed")
    assert trader.row(alive)["status"] == "open"
    assert listening.ready().ready


async def test_another_key_tells_nothing(market: LocalMarket, trader: Trader) -> None:
    """Orders sent with a former key are unknown to the new one's account: no wipe, and nothing is closed."""
    other = await market.trader(trader.bot, "bob")
    await market.listen()
    for _ in range(3):
        await bought(market, trader, "0.1", key_hash="of a former key")
    for _ in range(2):
        await bought(market, other, "0.1")
    await wipe(market, trader, other)
    await epoch(market, 2)
    await until(lambda: other.positions()[0]["status"] == "closed", "the other one's position is closed")
    assert trader.positions()[0]["status"] == "open"


async def test_an_unanswered_question_closes_nothing(market: LocalMarket, trader: Trader) -> None:
    """While queries fail nobody judges; once they are answered the round does."""
    await market.listen()
    for _ in range(2):
        await bought(market, trader, "0.1")
    await market.admin(
        "POST",
        "/faults",
        {"action": "answer_after", "status": 503, "method": "GET", "route": "/api/v3/order"},
    )
    await wipe(market, trader)

    async def asked() -> bool:
        (rule,) = await market.admin("GET", "/faults")
        return bool(rule["applied"] > 2)

    await until(asked, "it was asked and not answered")
    assert await market.pool.fetchval("SELECT epoch FROM bridge.environment") == 1
    assert trader.positions()[0]["status"] == "open"
    await market.admin("DELETE", "/faults")
    await epoch(market, 2)
    await until(lambda: trader.positions()[0]["status"] == "closed", "the position is closed")
