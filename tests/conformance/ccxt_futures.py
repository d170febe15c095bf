"""ccxt, USDⓈ-M futures: pointed at the local exchange by its `urls`."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

import ccxt  # type: ignore[import-not-found]
import ccxt.pro  # type: ignore[import-not-found]

from tests.conformance.record import Exchange, Record, expect

SYMBOL = "BTC/USDT:USDT"


def client_for(exchange: Exchange) -> Any:
    """Build the client by its documented options and URLs."""
    client = ccxt.pro.binanceusdm(
        {
            "apiKey": exchange.api_key,
            "secret": exchange.secret,
            "enableRateLimit": False,
            "options": {
                "defaultType": "future",
                "fetchMarkets": {"types": ["linear"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
            },
        }
    )
    api = client.urls["api"]
    for name, url in api.items():
        if isinstance(url, str):
            api[name] = f"{exchange.rest_url}/elsewhere"  # nothing may leave this machine
    for suffix, path in (("", "v1"), ("V2", "v2"), ("V3", "v3")):
        base = f"{exchange.futures_rest_url}/fapi/{path}"
        api[f"fapiPublic{suffix}"] = api[f"fapiPrivate{suffix}"] = base
    api["ws"]["future"] = f"{exchange.futures_stream_url}/ws"
    api["ws"]["ws-api"]["future"] = exchange.futures_ws_api_url
    return client


async def run(exchange: Exchange) -> Record:
    """Run every operation."""
    record = Record("ccxt (futures)", version("ccxt"))
    client = client_for(exchange)
    try:
        await _market_data(record, client)
        await _orders(record, client)
        await _account(record, client)
        await _errors(record, client)
        await _streams(record, client)
    finally:
        await client.close()
    return record


async def _market_data(record: Record, client: Any) -> None:
    async with record.doing("load markets"):
        markets = await client.load_markets()
        expect(markets[SYMBOL]["linear"], "not linear")
    async with record.doing("ticker, order book, trades, candles, funding rate"):
        expect((await client.fetch_ticker(SYMBOL))["last"] > 0, "no price")
        expect((await client.fetch_order_book(SYMBOL))["bids"], "no bids")
        await client.fetch_trades(SYMBOL)
        await client.fetch_ohlcv(SYMBOL, "1m")
        await client.fetch_funding_rate(SYMBOL)


async def _orders(record: Record, client: Any) -> None:
    async with record.doing("market order"):
        filled = await client.create_market_buy_order(SYMBOL, 0.01)
        expect(filled["id"], "no id")
    async with record.doing("limit order: place, fetch, edit, cancel"):
        placed = await client.create_limit_buy_order(SYMBOL, 0.01, 68_000, {"clientOrderId": "ccxt-f-1"})
        expect(placed["status"] == "open", placed["status"])
        edited = await client.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.02, 67_000)
        expect(edited["amount"] == 0.02, "amount")
        found = await client.fetch_order(edited["id"], SYMBOL)
        expect(found["clientOrderId"] == "ccxt-f-1", "another order")
        gone = await client.cancel_order(edited["id"], SYMBOL)
        expect(gone["status"] == "canceled", gone["status"])
    async with record.doing("stop order through the Algo service"):
        stop = await client.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": 60_000})
        expect(stop["id"], "no id")
        await client.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    async with record.doing("batch, cancel all"):
        rows = [
            {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": price}
            for price in (67_000, 66_900)
        ]
        expect(len(await client.create_orders(rows)) == 2, "not two")
        await client.cancel_all_orders(SYMBOL)
        expect(await client.fetch_open_orders(SYMBOL) == [], "still open")
    async with record.doing("orders and trades"):
        expect(await client.fetch_orders(SYMBOL), "no orders")
        expect(await client.fetch_my_trades(SYMBOL), "no trades")


async def _account(record: Record, client: Any) -> None:
    async with record.doing("balance and positions"):
        expect((await client.fetch_balance())["USDT"]["total"] > 0, "no USDT")
        positions = await client.fetch_positions([SYMBOL])
        expect(positions[0]["contracts"] == 0.01, "position")
    async with record.doing("leverage, margin mode, position mode"):
        await client.set_leverage(10, SYMBOL)
        await client.set_margin_mode("isolated", "ETH/USDT:USDT")
        expect((await client.fetch_position_mode())["hedged"] is False, "mode")


async def _errors(record: Record, client: Any) -> None:
    async with record.doing("error: insufficient margin"):
        try:
            await client.create_limit_buy_order(SYMBOL, 20, 68_000)
        except ccxt.ExchangeError as refused:  # ccxt knows futures errors by the exchange's host names only
            expect("-2019" in str(refused), str(refused))
        else:
            expect(False, "accepted")


async def _streams(record: Record, client: Any) -> None:
    async with record.doing("watch own orders"):
        orders = asyncio.create_task(client.watch_orders(SYMBOL))
        await asyncio.sleep(1.0)
        await client.create_market_sell_order(SYMBOL, 0.01)
        seen = await asyncio.wait_for(orders, 10)
        expect(seen[-1]["symbol"] == SYMBOL, "another symbol")
    async with record.doing("watch mark price"):
        expect((await asyncio.wait_for(client.watch_mark_price(SYMBOL), 10))["markPrice"] > 0, "no price")
