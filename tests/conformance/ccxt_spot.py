"""ccxt, spot: pointed at the local exchange by its `urls`."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import ccxt  # type: ignore[import-not-found]
import ccxt.pro  # type: ignore[import-not-found]

from tests.conformance.record import Exchange, Record, expect

SYMBOL = "BTC/USDT"


def client_for(exchange: Exchange, secret: str | None = None) -> Any:
    """Build the client by its documented options and URLs."""
    client = ccxt.pro.binance(
        {
            "apiKey": exchange.api_key,
            "secret": secret or exchange.secret,
            "enableRateLimit": False,
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
            },
        }
    )
    api = client.urls["api"]
    for name, url in api.items():
        if isinstance(url, str):
            api[name] = f"{exchange.rest_url}/elsewhere"  # nothing may leave this machine
    api["public"] = api["private"] = f"{exchange.rest_url}/api/v3"
    api["ws"]["spot"] = f"{exchange.stream_url}/ws"
    api["ws"]["ws-api"]["spot"] = exchange.ws_api_url
    return client


async def run(exchange: Exchange) -> Record:
    """Run every operation."""
    record = Record("ccxt", version("ccxt"))
    client = client_for(exchange)
    try:
        await _market_data(record, client)
        await _orders(record, client)
        await _errors(record, exchange, client)
        await _streams(record, client)
    finally:
        await client.close()
    return record


async def _market_data(record: Record, client: Any) -> None:
    async with record.doing("load markets"):
        markets = await client.load_markets()
        expect(markets[SYMBOL]["limits"]["cost"]["min"] == 5, "minimum notional")
    async with record.doing("time, ticker, order book, trades, candles"):
        await client.fetch_time()
        expect((await client.fetch_ticker(SYMBOL))["last"] > 0, "no price")
        expect((await client.fetch_order_book(SYMBOL))["bids"], "no bids")
        await client.fetch_trades(SYMBOL)
        await client.fetch_ohlcv(SYMBOL, "1m")
    async with record.doing("tickers of all symbols"):
        expect(len(await client.fetch_tickers()) >= 6, "too few")
        await client.fetch_bids_asks()


async def _orders(record: Record, client: Any) -> None:
    async with record.doing("market order by amount and by cost"):
        filled = await client.create_market_buy_order(SYMBOL, 0.005)
        expect(filled["status"] == "closed", filled["status"])
        expect(filled["filled"] == 0.005, "not filled")
        expect(filled["fees"][0]["currency"] == "BTC", "fee")
        await client.create_market_buy_order_with_cost(SYMBOL, 350)
        await client.create_market_sell_order(SYMBOL, 0.004)
    async with record.doing("limit order: place, fetch, cancel"):
        placed = await client.create_limit_buy_order(SYMBOL, 0.001, 50_000, {"clientOrderId": "ccxt-1"})
        expect(placed["status"] == "open", placed["status"])
        found = await client.fetch_order(placed["id"], SYMBOL)
        expect(found["clientOrderId"] == "ccxt-1", "another order")
        expect(len(await client.fetch_open_orders(SYMBOL)) == 1, "not among the open orders")
        gone = await client.cancel_order(placed["id"], SYMBOL)
        expect(gone["status"] == "canceled", gone["status"])
    async with record.doing("stop loss order, cancel all"):
        await client.create_order(SYMBOL, "STOP_LOSS_LIMIT", "sell", 0.001, 49_000, {"stopPrice": 50_000})
        expect(len(await client.cancel_all_orders(SYMBOL)) == 1, "not one")
    async with record.doing("edit an order"):
        placed = await client.create_limit_buy_order(SYMBOL, 0.001, 50_000)
        edited = await client.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.002, 50_001)
        expect(edited["amount"] == 0.002, "amount")
        await client.cancel_order(edited["id"], SYMBOL)
    async with record.doing("orders, trades, balance"):
        expect(await client.fetch_orders(SYMBOL), "no orders")
        expect(await client.fetch_my_trades(SYMBOL), "no trades")
        expect((await client.fetch_balance())["USDT"]["total"] > 0, "no USDT")


async def _errors(record: Record, exchange: Exchange, client: Any) -> None:
    async with record.doing("error: insufficient funds"):
        try:
            await client.create_limit_buy_order(SYMBOL, 100, 60_000)
        except ccxt.InsufficientFunds:
            pass
        else:
            expect(False, "accepted")
    async with record.doing("error: order not found"):
        try:
            await client.fetch_order("1", SYMBOL)
        except ccxt.OrderNotFound:
            pass
        else:
            expect(False, "found")
    async with record.doing("error: wrong signature"):
        stranger = client_for(exchange, "wrong")
        try:
            await stranger.fetch_balance()
        except ccxt.AuthenticationError:
            pass
        else:
            expect(False, "accepted")
        finally:
            await stranger.close()


async def _streams(record: Record, client: Any) -> None:
    async with record.doing("watch own orders and balance"):
        orders = asyncio.create_task(client.watch_orders(SYMBOL))
        balance = asyncio.create_task(client.watch_balance())
        await asyncio.sleep(1.0)
        await client.create_market_buy_order(SYMBOL, 0.001)
        seen = await asyncio.wait_for(orders, 10)
        expect(seen[-1]["symbol"] == SYMBOL, "another symbol")
        await asyncio.wait_for(balance, 10)
    async with record.doing("watch ticker, trades"):
        await asyncio.wait_for(client.watch_ticker(SYMBOL), 10)
        expect(await asyncio.wait_for(client.watch_trades(SYMBOL), 10), "no trades")
    async with record.doing("place and cancel over the WebSocket API"):
        placed = await client.create_order_ws(SYMBOL, "limit", "buy", 0.001, 50_000)
        gone = await client.cancel_order_ws(placed["id"], SYMBOL)
        expect(gone["status"] == "canceled", gone["status"])
