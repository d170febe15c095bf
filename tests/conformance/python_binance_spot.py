"""python-binance, spot: pointed at the local exchange by its URL attributes."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from binance import AsyncClient, BinanceSocketManager  # type: ignore[import-not-found]
from binance.exceptions import BinanceAPIException  # type: ignore[import-not-found]

from tests.conformance.record import Exchange, Record, expect

SYMBOL = "BTCUSDT"


def point(exchange: Exchange) -> None:
    """Set the URL attributes of the client's classes."""
    AsyncClient.API_URL = f"{exchange.rest_url}/api"
    AsyncClient.WS_API_URL = exchange.ws_api_url
    BinanceSocketManager.STREAM_URL = f"{exchange.stream_url}/"


async def run(exchange: Exchange) -> Record:
    """Run every operation."""
    record = Record("python-binance", version("python-binance"))
    point(exchange)
    client = await AsyncClient.create(exchange.api_key, exchange.secret)
    try:
        await _market_data(record, client)
        await _orders(record, client)
        await _errors(record, client)
        await _streams(record, client)
    finally:
        await client.close_connection()
    return record


async def _market_data(record: Record, client: Any) -> None:
    async with record.doing("exchange information and symbol"):
        expect(len((await client.get_exchange_info())["symbols"]) >= 6, "symbols")
        expect((await client.get_symbol_info(SYMBOL))["baseAsset"] == "BTC", "base")
    async with record.doing("prices, book, trades, candles"):
        await client.get_symbol_ticker(symbol=SYMBOL)
        await client.get_orderbook_ticker(symbol=SYMBOL)
        await client.get_order_book(symbol=SYMBOL)
        await client.get_recent_trades(symbol=SYMBOL)
        await client.get_klines(symbol=SYMBOL, interval="1m")
        await client.get_avg_price(symbol=SYMBOL)
        await client.get_ticker(symbol=SYMBOL)


async def _orders(record: Record, client: Any) -> None:
    async with record.doing("test order"):
        await client.create_test_order(symbol=SYMBOL, side="BUY", type="MARKET", quoteOrderQty=100)
    async with record.doing("market orders"):
        bought = await client.order_market_buy(symbol=SYMBOL, quoteOrderQty=350)
        expect(bought["status"] == "FILLED", bought["status"])
        sold = await client.order_market_sell(symbol=SYMBOL, quantity="0.004")
        expect(sold["fills"][0]["commissionAsset"] == "USDT", "fee")
    async with record.doing("limit order: place, query, cancel"):
        placed = await client.order_limit_buy(
            symbol=SYMBOL, quantity="0.001", price="50000", newClientOrderId="pb-1"
        )
        expect(placed["clientOrderId"] == "pb-1", "client id")
        found = await client.get_order(symbol=SYMBOL, origClientOrderId="pb-1")
        expect(found["orderId"] == placed["orderId"], "another order")
        expect(len(await client.get_open_orders(symbol=SYMBOL)) == 1, "not open")
        gone = await client.cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
        expect(gone["status"] == "CANCELED", gone["status"])
    async with record.doing("client order id made by the client"):
        placed = await client.order_limit_buy(symbol=SYMBOL, quantity="0.001", price="50000")
        await client.cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    async with record.doing("orders, trades, account, balance"):
        expect(await client.get_all_orders(symbol=SYMBOL), "no orders")
        expect(await client.get_my_trades(symbol=SYMBOL), "no trades")
        expect((await client.get_account())["canTrade"], "may not trade")
        expect(float((await client.get_asset_balance(asset="USDT"))["free"]) > 0, "no USDT")


async def _errors(record: Record, client: Any) -> None:
    async with record.doing("error: unknown order"):
        try:
            await client.cancel_order(symbol=SYMBOL, orderId=1)
        except BinanceAPIException as refused:
            expect(refused.code == -2011, str(refused))
        else:
            expect(False, "cancelled")
    async with record.doing("error: too small"):
        try:
            await client.order_market_buy(symbol=SYMBOL, quoteOrderQty=1)
        except BinanceAPIException as refused:
            expect(refused.message == "Filter failure: NOTIONAL", str(refused))
        else:
            expect(False, "accepted")


async def _streams(record: Record, client: Any) -> None:
    manager = BinanceSocketManager(client)
    async with record.doing("user socket"), manager.user_socket() as socket:
        await client.order_market_buy(symbol=SYMBOL, quoteOrderQty=350)
        events = [await asyncio.wait_for(socket.recv(), 10) for _ in range(3)]
        kinds = [event.get("x", event["e"]) for event in events]
        expect(kinds == ["NEW", "TRADE", "outboundAccountPosition"], str(kinds))
    async with record.doing("market sockets"):
        async with manager.symbol_book_ticker_socket(SYMBOL) as socket:
            expect("b" in await asyncio.wait_for(socket.recv(), 10), "no bid")
        async with manager.kline_socket(SYMBOL, "1m") as socket:
            expect((await asyncio.wait_for(socket.recv(), 10))["e"] == "kline", "no candle")
    async with record.doing("WebSocket API: place and cancel"):
        placed = await client.ws_create_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.001", price="50000"
        )
        expect(placed["status"] == "NEW", placed["status"])
        await client.ws_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
        await client.ws_get_account()
