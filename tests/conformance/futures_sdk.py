"""The official connector for USDⓈ-M futures, pointed at the local exchange by its configuration."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from binance_common.configuration import (  # type: ignore[import-not-found]
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError  # type: ignore[import-not-found]
from binance_sdk_derivatives_trading_usds_futures import (  # type: ignore[import-not-found]
    derivatives_trading_usds_futures as connector,
)
from binance_sdk_derivatives_trading_usds_futures.rest_api.models import (  # type: ignore[import-not-found]
    PlaceMultipleOrdersBatchOrdersParameterInner,
)

from tests.conformance.record import Exchange, Record, expect

SYMBOL = "BTCUSDT"
PACKAGE = "binance-sdk-derivatives-trading-usds-futures"


def client_for(exchange: Exchange) -> Any:
    """Build the client by its documented options."""
    return connector.DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(
            api_key=exchange.api_key,
            api_secret=exchange.secret,
            base_path=exchange.futures_rest_url,
            retries=0,
            timeout=5000,
        ),
        config_ws_api=ConfigurationWebSocketAPI(
            api_key=exchange.api_key, api_secret=exchange.secret, stream_url=exchange.futures_ws_api_url
        ),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"{exchange.futures_stream_url}/stream"),
    )


async def run(exchange: Exchange) -> Record:
    """Run every operation."""
    record = Record(PACKAGE, version(PACKAGE))
    client = client_for(exchange)
    rest = client.rest_api
    await _market_data(record, rest)
    await _orders(record, rest)
    await _algo_orders(record, rest)
    await _account(record, rest)
    await _errors(record, rest)
    await _websocket_api(record, client)
    await _streams(record, client)
    return record


async def _market_data(record: Record, rest: Any) -> None:
    async with record.doing("exchange information (typed)"):
        expect(len(rest.exchange_information().data().symbols) == 6, "not six contracts")
    async with record.doing("time, prices, book, mark price"):
        expect(rest.check_server_time().data().server_time > 0, "no time")
        rest.symbol_price_ticker(symbol=SYMBOL).data()
        rest.symbol_order_book_ticker(symbol=SYMBOL).data()
        expect(rest.order_book(SYMBOL, limit=5).data().bids, "no bids")
        rest.mark_price(symbol=SYMBOL).data()
        rest.recent_trades_list(SYMBOL).data()
        rest.kline_candlestick_data(SYMBOL, "1m").data()


def _limit(rest: Any, client_id: str, price: float = 68_000) -> Any:
    return rest.new_order(
        symbol=SYMBOL,
        side="BUY",
        type="LIMIT",
        time_in_force="GTC",
        quantity=0.01,
        price=price,
        new_client_order_id=client_id,
    ).data()


async def _orders(record: Record, rest: Any) -> None:
    async with record.doing("test an order"):
        rest.test_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01).data()
    async with record.doing("market order with RESULT"):
        filled = rest.new_order(
            symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01, new_order_resp_type="RESULT"
        ).data()
        expect(filled.status == "FILLED", filled.status)
    async with record.doing("place, query, modify, cancel a limit order"):
        placed = _limit(rest, "sdk-f-1")
        found = rest.query_order(SYMBOL, order_id=placed.order_id).data()
        expect(found.client_order_id == "sdk-f-1", "another order")
        changed = rest.modify_order(SYMBOL, "BUY", 0.02, 67_000, order_id=placed.order_id).data()
        expect(changed.orig_qty == "0.020", changed.orig_qty)
        expect(len(rest.current_all_open_orders(symbol=SYMBOL).data()) == 1, "not open")
        rest.query_current_open_order(SYMBOL, order_id=placed.order_id).data()
        gone = rest.cancel_order(SYMBOL, orig_client_order_id="sdk-f-1").data()
        expect(gone.status == "CANCELED", gone.status)
    async with record.doing("batch: place and cancel"):
        rows = [
            PlaceMultipleOrdersBatchOrdersParameterInner(
                symbol=SYMBOL,
                side="BUY",
                type="LIMIT",
                time_in_force="GTC",
                quantity=0.01,
                price=price,
                new_client_order_id=name,
            )
            for name, price in (("sdk-b-1", 67_000.0), ("sdk-b-2", 67_000.05))
        ]
        answers = rest.place_multiple_orders(rows).data()
        expect(answers[0].client_order_id == "sdk-b-1", "first")
        rest.cancel_multiple_orders(SYMBOL, orig_client_order_id_list=["sdk-b-1"]).data()
    async with record.doing("cancel all"):
        _limit(rest, "sdk-f-2")
        rest.cancel_all_open_orders(SYMBOL).data()
        expect(rest.current_all_open_orders(symbol=SYMBOL).data() == [], "still open")
    async with record.doing("all orders and trades"):
        expect(rest.all_orders(symbol=SYMBOL).data(), "no orders")
        expect(rest.account_trade_list(SYMBOL).data(), "no trades")


async def _algo_orders(record: Record, rest: Any) -> None:
    async with record.doing("algo order: place, query, list, cancel"):
        placed = rest.new_algo_order(
            algo_type="CONDITIONAL",
            symbol=SYMBOL,
            side="SELL",
            type="STOP_MARKET",
            quantity=0.01,
            trigger_price=60_000,
            client_algo_id="sdk-a-1",
        ).data()
        found = rest.query_algo_order(algo_id=placed.algo_id).data()
        expect(found.algo_status == "NEW", found.algo_status)
        expect(len(rest.current_all_algo_open_orders().data()) == 1, "not open")
        rest.cancel_algo_order(client_algo_id="sdk-a-1").data()
        expect(len(rest.query_all_algo_orders(SYMBOL).data()) == 1, "not in the history")


async def _account(record: Record, rest: Any) -> None:
    async with record.doing("positions"):
        rows = rest.position_information_v3(symbol=SYMBOL).data()
        expect(rows[0].position_amt == "0.010", rows[0].position_amt)
        rest.position_information_v2(symbol=SYMBOL).data()
    async with record.doing("account and balances"):
        rest.account_information_v3().data()
        rest.account_information_v2().data()
        expect(rest.futures_account_balance_v3().data(), "no balance")
        rest.futures_account_configuration().data()
    async with record.doing("leverage, margin type, brackets, symbol configuration"):
        expect(rest.change_initial_leverage("ETHUSDT", 10).data().leverage == 10, "leverage")
        rest.change_margin_type("ETHUSDT", "ISOLATED").data()
        rest.notional_and_leverage_brackets(symbol=SYMBOL).data()
        rest.symbol_configuration(symbol=SYMBOL).data()
    async with record.doing("position mode, commission rate, income, order limits"):
        expect(rest.get_current_position_mode().data().dual_side_position is False, "mode")
        rest.user_commission_rate(SYMBOL).data()
        expect(rest.get_income_history().data(), "no income")
        rest.query_user_rate_limit().data()


async def _errors(record: Record, rest: Any) -> None:
    async with record.doing("error: conditional type on the order endpoint"):
        try:
            rest.new_order(symbol=SYMBOL, side="SELL", type="STOP_MARKET", quantity=0.01)
        except BadRequestError as refused:
            expect("Algo Order API" in str(refused), str(refused))
        else:
            expect(False, "accepted")


async def _websocket_api(record: Record, client: Any) -> None:
    api = client.websocket_api
    try:
        async with record.doing("WebSocket API: place, query, cancel, positions"):
            await api.create_connection()
            placed = await api.new_order(
                symbol=SYMBOL,
                side="BUY",
                type="LIMIT",
                time_in_force="GTC",
                quantity=0.01,
                price=67_000,
                new_client_order_id="sdk-w-1",
            )
            expect(placed.data().result.status == "NEW", "not new")
            await api.query_order(symbol=SYMBOL, orig_client_order_id="sdk-w-1")
            gone = await api.cancel_order(symbol=SYMBOL, orig_client_order_id="sdk-w-1")
            expect(gone.data().result.status == "CANCELED", "not cancelled")
            (await api.position_information_v2()).data()
    finally:
        await api.close_connection(close_session=True)


async def _streams(record: Record, client: Any) -> None:
    rest, streams = client.rest_api, client.websocket_streams
    try:
        async with record.doing("user data stream (typed): order, account, trade events"):
            key = rest.start_user_data_stream().data().listen_key
            await streams.create_connection()
            stream = await streams.user_data(key)
            seen: list[Any] = []
            stream.on("message", seen.append)
            await asyncio.sleep(0.2)
            rest.new_order(symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.01)
            for _ in range(150):
                if len(seen) >= 4:
                    break
                await asyncio.sleep(0.02)
            kinds = [type(event.actual_instance).__name__ for event in seen]
            expect({"OrderTradeUpdate", "AccountUpdate", "TradeLite"} <= set(kinds), str(kinds))
            rest.keepalive_user_data_stream()
            rest.close_user_data_stream()
        async with record.doing("market stream: mark price (typed)"):
            stream = await streams.mark_price_stream(symbol=SYMBOL.lower())
            marks: list[Any] = []
            stream.on("message", marks.append)
            for _ in range(150):
                if marks:
                    break
                await asyncio.sleep(0.02)
            expect(marks and marks[0].s == SYMBOL, "no mark price")
    finally:
        await streams.close_connection(close_session=True)
