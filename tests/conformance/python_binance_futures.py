"""python-binance, USDⓈ-M futures: pointed at the local exchange by its URL attributes."""

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
    AsyncClient.FUTURES_URL = f"{exchange.futures_rest_url}/fapi"
    AsyncClient.WS_FUTURES_URL = exchange.futures_ws_api_url
    BinanceSocketManager.FSTREAM_URL = f"{exchange.futures_stream_url}/"


async def run(exchange: Exchange) -> Record:
    """Run every operation."""
    record = Record("python-binance (futures)", version("python-binance"))
    point(exchange)
    client = await AsyncClient.create(exchange.api_key, exchange.secret)
    try:
        await _orders(record, client)
        await _account(record, client)
        await _errors(record, client)
        await _streams(record, client)
    finally:
        await client.close_connection()
    return record


async def _orders(record: Record, client: Any) -> None:
    async with record.doing("exchange information, prices, mark price"):
        expect(len((await client.futures_exchange_info())["symbols"]) == 6, "not six")
        await client.futures_symbol_ticker(symbol=SYMBOL)
        await client.futures_mark_price(symbol=SYMBOL)
        await client.futures_klines(symbol=SYMBOL, interval="1m")
    async with record.doing("market order with RESULT"):
        filled = await client.futures_create_order(
            symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01", newOrderRespType="RESULT"
        )
        expect(filled["status"] == "FILLED", filled["status"])
    async with record.doing("limit order: place, query, cancel"):
        placed = await client.futures_create_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="68000"
        )
        found = await client.futures_get_order(symbol=SYMBOL, orderId=placed["orderId"])
        expect(found["status"] == "NEW", found["status"])
        expect(len(await client.futures_get_open_orders(symbol=SYMBOL)) == 1, "not open")
        gone = await client.futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
        expect(gone["status"] == "CANCELED", gone["status"])
    async with record.doing("conditional order"):
        stop = await client.futures_create_order(
            symbol=SYMBOL, side="SELL", type="STOP_MARKET", quantity="0.01", triggerPrice="60000"
        )
        expect(stop["algoStatus"] == "NEW", str(stop))
    async with record.doing("orders and trades"):
        expect(await client.futures_get_all_orders(symbol=SYMBOL), "no orders")
        expect(await client.futures_account_trades(symbol=SYMBOL), "no trades")


async def _account(record: Record, client: Any) -> None:
    async with record.doing("account, balance, positions"):
        await client.futures_account()
        expect(await client.futures_account_balance(), "no balance")
        rows = await client.futures_position_information(symbol=SYMBOL)
        expect(float(rows[0]["positionAmt"]) == 0.01, "position")
    async with record.doing("leverage, margin type, position mode"):
        await client.futures_change_leverage(symbol=SYMBOL, leverage=10)
        await client.futures_change_margin_type(symbol="ETHUSDT", marginType="ISOLATED")
        expect((await client.futures_get_position_mode())["dualSidePosition"] is False, "mode")


async def _errors(record: Record, client: Any) -> None:
    async with record.doing("error: off the tick"):
        try:
            await client.futures_create_order(
                symbol=SYMBOL, side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="68000.05"
            )
        except BinanceAPIException as refused:
            expect(refused.code == -4014, str(refused))
        else:
            expect(False, "accepted")


async def _streams(record: Record, client: Any) -> None:
    manager = BinanceSocketManager(client)
    async with record.doing("user socket"), manager.futures_user_socket() as socket:
        await asyncio.sleep(0.5)
        await client.futures_create_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity="0.01")
        kinds = {(await asyncio.wait_for(socket.recv(), 10))["e"] for _ in range(4)}
        expect(kinds == {"TRADE_LITE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"}, str(kinds))
    async with record.doing("mark price socket"), manager.symbol_mark_price_socket(SYMBOL) as socket:
        frame = await asyncio.wait_for(socket.recv(), 10)
        expect(frame["data"]["e"] == "markPriceUpdate", str(frame))
