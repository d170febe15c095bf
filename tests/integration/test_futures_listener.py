"""The futures listener between a real database and a local exchange: streams, algo orders, positions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from services.fill_listener import futures_work, margin, reconcile, share_out, wallets
from services.fill_listener.markets import MarketListeners
from shared.binance import futures_stream
from shared.database import futures
from shared.database.settle import settle
from shared.domain.fill import FillOrigin
from shared.domain.order import Market
from shared.domain.reports import report_of_answer
from shared.service import surroundings
from shared.telemetry.metrics import LISTENER
from tests.futures_listening import futures_market
from tests.listening import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bot import Bot
    from tests.claimed import Claimed
    from tests.futures_listening import FuturesMarket, FuturesTrader

D = Decimal


@pytest.fixture
async def market(bridge_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FuturesMarket]:
    async with futures_market(bridge_database, monkeypatch) as one:
        yield one


async def events(market: FuturesMarket, kind: str) -> int:
    count: int = await market.local.pool.fetchval("SELECT count(*) FROM bridge.event WHERE kind = $1", kind)
    return count


async def test_a_long_and_its_close_come_by_the_stream_alone(market: FuturesMarket, bot: Bot) -> None:
    """The listener settles what no answer was settled for: rows, fills, position, profit."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    opening = await trader.trade("buy", "0.1")
    await trader.status(opening, "filled")
    await trader.shown(side="long", size=D("0.1"), status="open", symbol="BTC/USDT")
    row = trader.row(opening)
    assert row["filled_amount"] == D("0.1")
    assert row["avg_fill_price"] == trader.position()["entry_price"]
    assert row["fee"] > 0
    assert row["fee_currency"] == "USDT"
    closing = await trader.trade("sell", "0.1", reduceOnly="true")
    await trader.status(closing, "filled")
    await trader.shown(status="closed")
    assert await events(market, "realized_differs") == 0


async def settled_by_its_answer(market: FuturesMarket, trader: FuturesTrader) -> Claimed:
    """Send a market order and settle its answer, as an executor does; the row waits for its fills."""
    order = await trader.order("buy")
    answer = await trader.send(order, type="MARKET", quantity="0.1", newOrderRespType="RESULT")
    assert (answer["status"], "avgPrice" in answer) == ("FILLED", False)
    origin = FillOrigin(trader.account, Market.FUTURES, 1, ("BTC", "USDT"))
    report = report_of_answer(answer, origin)
    assert report is not None
    async with market.local.pool.acquire() as connection:
        await settle(connection, [report])
    row = trader.row(order)
    assert (row["status"], row["filled_amount"], row["avg_fill_price"]) == ("open", 0, 0)
    return order


async def test_a_fill_whose_event_was_lost_is_asked_for(
    market: FuturesMarket, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the answer came, and not to the listener: it finds the gap in the database, soon."""
    monkeypatch.setattr(reconcile, "LOOK_FOR_GAPS_S", 0.2)
    trader = await market.trader(bot, "alice")
    await market.listen()
    await market.admin("POST", "/faults", {"action": "event_lose", "account": trader.name})
    order = await settled_by_its_answer(market, trader)
    await trader.status(order, "filled")
    await trader.shown(side="long", size=D("0.1"), status="open")


async def test_an_answer_without_fills_waits_for_them(market: FuturesMarket, bot: Bot) -> None:
    """The answer tells no price: the row stays open, and whoever listens next completes it."""
    trader = await market.trader(bot, "alice")
    order = await settled_by_its_answer(market, trader)
    await market.listen()
    await trader.status(order, "filled")
    row = trader.row(order)
    assert row["filled_amount"] == D("0.1")
    assert row["avg_fill_price"] == trader.position()["entry_price"] > 0
    assert row["filled_at"] is not None


async def test_a_short(market: FuturesMarket, bot: Bot) -> None:
    """A sell without a position is a short."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    await trader.status(await trader.trade("sell", "0.2"), "filled")
    await trader.shown(side="short", size=D("0.2"), status="open")


async def test_a_stop_is_followed_to_the_order_it_becomes(market: FuturesMarket, bot: Bot) -> None:
    """The algo order rests under the algo service's id; what it becomes fills on the same row."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    stop = await trader.stop("buy", "71000")
    await until(lambda: trader.row(stop)["exchange_order_id"] != "", "the algo order is known")
    resting = trader.row(stop)
    assert resting["exchange_order_id"].startswith("algo-")
    assert (resting["status"], resting["filled_amount"]) == ("open", 0)
    await market.price("71100")
    await trader.status(stop, "filled")
    row = trader.row(stop)
    assert row["exchange_order_id"].isdecimal()
    assert row["filled_amount"] == D("0.1")
    assert row["avg_fill_price"] >= 71000
    await trader.shown(side="long", size=D("0.1"))


async def test_a_stop_that_triggered_unheard_is_found(market: FuturesMarket, bot: Bot) -> None:
    """Nobody listened: reconciling asks for the algo order, and for what it became."""
    trader = await market.trader(bot, "alice")
    stop = await trader.stop("buy", "71000")
    await market.price("71100")

    async def triggered() -> bool:
        told = await market.rest.algo_order(trader.credentials, f"b{stop.order_id.hex}-1")
        return getattr(told, "body", {}).get("algoStatus") == "FINISHED"

    await until(triggered, "the stop has triggered")
    await market.local.pool.execute(
        "UPDATE bridge.outbox SET state = 'unknown' WHERE order_id = $1", stop.order_id
    )
    await market.listen()
    await trader.status(stop, "filled")
    assert trader.row(stop)["exchange_order_id"].isdecimal()
    await trader.shown(side="long", size=D("0.1"))


async def test_a_stop_whose_order_is_refused_at_the_trigger(market: FuturesMarket, bot: Bot) -> None:
    """Its margin is looked at only then: the row is rejected in the exchange's words, heard or not."""
    trader = await market.trader(bot, "poor", balance="100")
    listener = await market.listen()
    heard = await trader.stop("buy", "71000", quantity="5")
    unheard = await trader.stop("buy", "72000", quantity="6")
    await until(lambda: trader.row(unheard)["exchange_order_id"] != "", "both are known")
    await market.price("71100")
    await trader.status(heard, "rejected")
    assert "Margin is insufficient" in trader.row(heard)["reasoning"]
    await market.local.kill(listener)
    await market.price("72100")
    await market.listen()
    await trader.status(unheard, "rejected")
    assert trader.row(unheard)["reasoning"].startswith("Rejected: ")
    assert trader.positions() == []


async def test_a_canceled_stop(market: FuturesMarket, bot: Bot) -> None:
    """Cancelled at the algo service, it ends on the row."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    stop = await trader.stop("buy", "71000")
    await until(lambda: trader.row(stop)["exchange_order_id"] != "", "the algo order is known")
    await market.rest.cancel_algo_order(trader.credentials, f"b{stop.order_id.hex}-1")
    await trader.status(stop, "canceled")


async def test_a_lost_connection_loses_nothing(market: FuturesMarket, bot: Bot) -> None:
    """What was traded while nobody listened is asked for when somebody does again."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await market.admin("POST", "/streams/disconnect", {"kind": "futures-private"})
    second = await trader.trade("buy", "0.1")
    await trader.status(second, "filled")
    await trader.shown(size=D("0.2"))


async def test_an_expired_listen_key_is_replaced(market: FuturesMarket, bot: Bot) -> None:
    """The exchange ends the key; a new one is made and what was missed is read."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await market.admin("POST", "/futures/expire_listen_key", {"account": "alice"})
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await trader.shown(size=D("0.2"))


async def test_two_accounts_on_one_connection(
    bridge_database: str, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is configured, accounts share a socket and their events stay apart."""
    monkeypatch.setenv("BRIDGE_FUTURES_ACCOUNTS_PER_STREAM", "10")
    monkeypatch.setattr(futures_stream, "BETWEEN_MESSAGES_S", 0.12)
    async with futures_market(bridge_database, monkeypatch) as market:
        alice, bob = await market.trader(bot, "alice"), await market.trader(bot, "bob")
        listener = await market.listen()
        assert len(list(listener.carriers())) == 1
        long, short = await alice.trade("buy", "0.1"), await bob.trade("sell", "0.2")
        await alice.status(long, "filled")
        await bob.status(short, "filled")
        await alice.shown(side="long", size=D("0.1"))
        await bob.shown(side="short", size=D("0.2"))


async def test_an_account_about_to_trade_is_followed_at_once(
    market: FuturesMarket, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The executor announces an account nobody follows: no listener waits for its next beat."""
    monkeypatch.setattr(share_out, "BEAT_S", 3600.0)
    monkeypatch.setattr(share_out, "LEASE", timedelta(hours=2))
    pool = market.local.pool
    listeners = MarketListeners(surroundings(LISTENER, pool))
    running = asyncio.create_task(listeners.run())
    await until(lambda: listeners.announcements.up, "announcements are heard")
    await until(lambda: listeners.ready().ready, "the first beat is over")
    trader = await market.trader(bot, "alice")
    async with pool.acquire() as connection:
        await futures.announce(connection, trader.account)
    heard = "SELECT 1 FROM bridge.stream WHERE market = 'futures' AND connection_id IS NOT NULL"
    await until(lambda: _some(market, heard), "the account is heard")
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    listeners.drain()
    await running


async def test_manual_trades_count_and_are_recorded(market: FuturesMarket, bot: Bot) -> None:
    """Half of the position closed by hand: the row shows what is left."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    await trader.status(await trader.trade("buy", "0.2"), "filled")
    await trader.place(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.1", newClientOrderId="web_1")
    await trader.shown(size=D("0.1"), status="open")
    flag = await market.local.pool.fetchval("SELECT flag FROM bridge.external_order")
    assert flag == "manual"


async def test_manual_trades_while_nobody_listened_are_found(market: FuturesMarket, bot: Bot) -> None:
    """The trade list of the symbols we hold is looked through on every connect."""
    trader = await market.trader(bot, "alice")
    first = await market.listen()
    await trader.status(await trader.trade("buy", "0.2"), "filled")
    await market.local.kill(first)
    await trader.place(symbol="BTCUSDT", side="SELL", type="MARKET", quantity="0.1")
    await market.listen()
    await trader.shown(size=D("0.1"), status="open")


async def test_the_bots_own_orders_halt_the_account_though_nobody_listened(
    market: FuturesMarket, bot: Bot
) -> None:
    """The bare id of a row, on an order found in the trade list: two programs send the same rows."""
    trader = await market.trader(bot, "alice")
    listener = await market.listen()
    await trader.status(await trader.trade("buy", "0.2"), "filled")
    await market.local.kill(listener)
    row = bot.order(trader.user, trader.account, market_type="futures")
    await trader.place(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1", newClientOrderId=str(row))
    await market.listen()
    halted = f"SELECT 1 FROM bridge.control WHERE halted AND key = '{trader.account}'"
    await until(lambda: _some(market, halted), "the account is halted")
    await trader.shown(side="long", size=D("0.3"))


async def test_margin_is_shown(market: FuturesMarket, bot: Bot) -> None:
    """Liquidation price, leverage and margin mode stand in the bot's columns."""
    trader = await market.trader(bot, "alice")
    await market.rest.set_leverage(trader.credentials, "BTCUSDT", 5)
    await market.rest.set_margin_type(trader.credentials, "BTCUSDT", "ISOLATED")
    await market.listen()
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await trader.shown(leverage=5, margin_mode="isolated")
    row = trader.position()
    assert 0 < row["liquidation_price"] < row["entry_price"]


async def test_a_liquidation_ends_the_position(market: FuturesMarket, bot: Bot) -> None:
    """The exchange closes it by force: the row says liquidated, an alarm says so."""
    trader = await market.trader(bot, "alice", balance="2000")
    await market.rest.set_leverage(trader.credentials, "BTCUSDT", 20)
    await market.listen()
    await trader.status(await trader.trade("buy", "0.4"), "filled")
    await market.price("60000")
    await trader.shown(status="liquidated")
    assert trader.position()["realized_pnl"] < 0
    assert await market.local.pool.fetchval("SELECT flag FROM bridge.external_order") == "liquidation"


async def test_a_liquidation_nobody_heard_is_found(market: FuturesMarket, bot: Bot) -> None:
    """It happened while the listener was away: its order's id tells what it was."""
    trader = await market.trader(bot, "alice", balance="2000")
    await market.rest.set_leverage(trader.credentials, "BTCUSDT", 20)
    first = await market.listen()
    await trader.status(await trader.trade("buy", "0.4"), "filled")
    await market.local.kill(first)
    await market.price("60000")

    async def gone() -> bool:
        told = await market.rest.position_risk(trader.credentials, "BTCUSDT")
        return all(D(row["positionAmt"]) == 0 for row in getattr(told, "body", ()))

    await until(gone, "the position is liquidated")
    await market.listen()
    await trader.shown(status="liquidated")


async def test_hedge_mode(market: FuturesMarket, bot: Bot) -> None:
    """A long and a short beside each other are two rows."""
    trader = await market.trader(bot, "alice")
    await market.rest._rest.signed(
        "POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "true"}, trader.credentials
    )
    await market.listen()
    await trader.status(await trader.trade("buy", "0.1", positionSide="LONG"), "filled")
    await trader.status(await trader.trade("sell", "0.2", positionSide="SHORT"), "filled")
    await until(lambda: len(trader.positions()) == 2, "both sides are shown")
    assert {(row["side"], row["size"]) for row in trader.positions()} == {
        ("long", D("0.1")),
        ("short", D("0.2")),
    }


async def test_funding_is_recorded_once(market: FuturesMarket, bot: Bot) -> None:
    """Told by the stream, and again with an id by the income history."""
    trader = await market.trader(bot, "alice")
    first = await market.listen()
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await market.admin("POST", "/futures/funding", {"symbol": "BTCUSDT", "rate": "0.0001"})
    query = "SELECT amount, transaction_id FROM bridge.funding"
    await until(lambda: _some(market, query), "the funding is recorded")
    await market.local.kill(first)
    await market.listen()
    named = "SELECT 1 FROM bridge.funding WHERE transaction_id IS NOT NULL"
    await until(lambda: _some(market, named), "its id is known")
    (row,) = await market.local.pool.fetch(query)
    assert row["amount"] < 0


async def test_the_wallet_is_profit_fees_and_funding(
    market: FuturesMarket, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bought, funded, sold: the ledger explains the wallet; money from outside is told, and not corrected."""
    monkeypatch.setattr(futures_work, "WALLETS_EVERY_S", 0.2)
    monkeypatch.setattr(wallets, "CONFIRM_S", 0.2)
    trader = await market.trader(bot, "alice")
    await market.listen()
    first = "SELECT 1 FROM bridge.wallet WHERE market = 'futures'"
    await until(lambda: _some(market, first), "a first look was taken")
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await market.admin("POST", "/futures/funding", {"symbol": "BTCUSDT", "rate": "0.0001"})
    await until(lambda: _some(market, "SELECT 1 FROM bridge.funding"), "the funding is recorded")
    await market.price("71000")
    await trader.status(await trader.trade("sell", "0.1", reduceOnly="true"), "filled")
    explained = (
        "SELECT 1 FROM bridge.wallet "
        "WHERE market = 'futures' AND asset = 'USDT' AND ledger > 50 AND exchange - ledger = 100000"
    )
    await until(lambda: _some(market, explained), "profit, fees and funding are all that moved the wallet")
    assert await events(market, "balance_differs") == 0
    deposit = {"account": "alice", "asset": "USDT", "delta": "5", "market": "futures"}
    await market.admin("POST", "/balances", deposit)
    told = "SELECT 1 FROM bridge.event WHERE kind = 'balance_differs' AND (data ->> 'change')::numeric = 5"
    await until(lambda: _some(market, told), "the deposit is told")


async def _some(market: FuturesMarket, query: str) -> bool:
    return await market.local.pool.fetchval(query) is not None


async def test_a_size_that_stays_different_is_told(
    market: FuturesMarket, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A position from before the bridge: the ledger has less than the exchange, and says so."""
    monkeypatch.setattr(margin, "EVERY_S", 0.2)
    monkeypatch.setattr(margin, "GATHER_S", 0.01)
    monkeypatch.setattr(margin, "EVENTS_NEED_S", 0.5)
    trader = await market.trader(bot, "alice")
    await trader.place(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.3")
    listener = await market.listen()
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await until(
        lambda: "position_differs" in str(list(listener.metrics.registry.collect())), "the difference is told"
    )


async def test_prices_are_marked(market: FuturesMarket, bot: Bot) -> None:
    """Open positions follow the market by its streams."""
    trader = await market.trader(bot, "alice")
    await market.listen()
    await trader.status(await trader.trade("buy", "0.1"), "filled")
    await market.price("71000")
    await until(lambda: trader.position()["current_price"] > 70500, "the position is marked")
    assert trader.position()["unrealized_pnl"] > 0
