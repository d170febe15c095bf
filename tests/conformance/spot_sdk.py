"""The official connector for spot, `binance-sdk-spot`, pointed at the local exchange by its configuration."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any

from binance_common.configuration import (  # type: ignore[import-not-found]
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError, UnauthorizedError  # type: ignore[import-not-found]
from binance_sdk_spot.rest_api.models import (  # type: ignore[import-not-found]
    KlinesIntervalEnum,
    NewOrderSideEnum,
    NewOrderTimeInForceEnum,
    NewOrderTypeEnum,
    OrderCancelReplaceCancelReplaceModeEnum,
    OrderCancelReplaceSideEnum,
    OrderCancelReplaceTimeInForceEnum,
    OrderCancelReplaceTypeEnum,
    OrderTestSideEnum,
    OrderTestTypeEnum,
)
from binance_sdk_spot.spot import Spot  # type: ignore[import-not-found]
from binance_sdk_spot.websocket_api.models import (  # type: ignore[import-not-found]
    OrderPlaceSideEnum,
    OrderPlaceTimeInForceEnum,
    OrderPlaceTypeEnum,
)

from tests.conformance.record import Exchange, Record, expect

SYMBOL = "BTCUSDT"


def client_for(exchange: Exchange, key: str | None = None) -> Any:
    """Build the client by its documented options."""
    return Spot(
        config_rest_api=ConfigurationRestAPI(
            api_key=key or exchange.api_key,
            api_secret=exchange.secret,
            base_path=exchange.rest_url,
            retries=0,
            timeout=5000,
        ),
        config_ws_api=ConfigurationWebSocketAPI(
            api_key=exchange.api_key, api_secret=exchange.secret, stream_url=exchange.ws_api_url
        ),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"{exchange.stream_url}/stream"),
    )


async def run(exchange: Exchange) -> Record:
    """Run every operation."""
    record = Record("binance-sdk-spot", version("binance-sdk-spot"))
    client = client_for(exchange)
    await _market_data(record, client.rest_api)
    await _orders(record, client.rest_api)
    await _account(record, client.rest_api)
    await _errors(record, exchange, client.rest_api)
    await _websocket_api(record, client)
    await _streams(record, client)
    return record


async def _market_data(record: Record, rest: Any) -> None:
    async with record.doing("ping and time"):
        rest.ping()
        expect(rest.time().data().server_time > 0, "no server time")
    async with record.doing("exchange information (typed)"):
        info = rest.exchange_info().data()
        expect(len(info.symbols) >= 6, "symbols missing")
        expect(rest.exchange_info(symbol=SYMBOL).data().symbols[0].symbol == SYMBOL, "not the symbol asked")
    async with record.doing("ticker price, book ticker, 24 hour ticker"):
        rest.ticker_price(symbol=SYMBOL).data()
        rest.ticker_book_ticker(symbol=SYMBOL).data()
        rest.ticker24hr(symbol=SYMBOL).data()
    async with record.doing("depth, trades, aggregate trades, average price"):
        expect(rest.depth(SYMBOL).data().bids, "no bids")
        rest.get_trades(SYMBOL).data()
        rest.agg_trades(SYMBOL).data()
        expect(float(rest.avg_price(SYMBOL).data().price) > 0, "no price")
    async with record.doing("klines"):
        rest.klines(SYMBOL, KlinesIntervalEnum["INTERVAL_1m"].value).data()
    async with record.doing("execution rules"):
        rest.execution_rules().data()


async def _orders(record: Record, rest: Any) -> None:
    async with record.doing("test an order"):
        rest.order_test(
            symbol=SYMBOL,
            side=OrderTestSideEnum["BUY"].value,
            type=OrderTestTypeEnum["MARKET"].value,
            quote_order_qty=100,
        )
    async with record.doing("place a market order by quote quantity"):
        placed = rest.new_order(
            symbol=SYMBOL,
            side=NewOrderSideEnum["BUY"].value,
            type=NewOrderTypeEnum["MARKET"].value,
            quote_order_qty=350,
        ).data()
        expect(placed.status == "FILLED", f"status {placed.status}")
        expect(placed.fills, "no fills")
    async with record.doing("place, query and cancel a limit order"):
        placed = _limit(rest, "sdk-limit-1", 50_000)
        found = rest.get_order(symbol=SYMBOL, order_id=placed.order_id).data()
        expect(found.client_order_id == "sdk-limit-1", "another order found")
        expect(len(rest.get_open_orders(symbol=SYMBOL).data()) == 1, "not among the open orders")
        gone = rest.delete_order(symbol=SYMBOL, orig_client_order_id="sdk-limit-1").data()
        expect(gone.status == "CANCELED", f"status {gone.status}")
    async with record.doing("cancel and replace"):
        placed = _limit(rest, "sdk-limit-2", 50_000)
        both = rest.order_cancel_replace(
            symbol=SYMBOL,
            side=OrderCancelReplaceSideEnum["BUY"].value,
            type=OrderCancelReplaceTypeEnum["LIMIT"].value,
            cancel_replace_mode=OrderCancelReplaceCancelReplaceModeEnum["STOP_ON_FAILURE"].value,
            time_in_force=OrderCancelReplaceTimeInForceEnum["GTC"].value,
            quantity=0.001,
            price=50_001,
            cancel_order_id=placed.order_id,
        ).data()
        expect(both.new_order_result == "SUCCESS", "not replaced")
    async with record.doing("cancel all open orders"):
        expect(len(rest.delete_open_orders(symbol=SYMBOL).data()) == 1, "not one")
    async with record.doing("all orders and trades"):
        expect(rest.all_orders(symbol=SYMBOL).data(), "no orders")
        expect(rest.my_trades(symbol=SYMBOL).data(), "no trades")


def _limit(rest: Any, client_id: str, price: float) -> Any:
    return rest.new_order(
        symbol=SYMBOL,
        side=NewOrderSideEnum["BUY"].value,
        type=NewOrderTypeEnum["LIMIT"].value,
        time_in_force=NewOrderTimeInForceEnum["GTC"].value,
        quantity=0.001,
        price=price,
        new_client_order_id=client_id,
    ).data()


async def _account(record: Record, rest: Any) -> None:
    async with record.doing("account balances"):
        balances = {b.asset: float(b.free) for b in rest.get_account().data().balances}
        expect(balances["USDT"] > 0, "no USDT")
    async with record.doing("commission rates"):
        expect(rest.account_commission(SYMBOL).data().standard_commission.taker == "0.00100000", "rate")
    async with record.doing("unfilled order count"):
        expect(len(rest.rate_limit_order().data()) == 2, "not two intervals")
    async with record.doing("relevant filters"):
        rest.my_filters(SYMBOL).data()
    async with record.doing("prevented matches"):
        rest.my_prevented_matches(SYMBOL, order_id=1).data()
    async with record.doing("order amendments"):
        rest.order_amendments(SYMBOL, 1).data()


async def _errors(record: Record, exchange: Exchange, rest: Any) -> None:
    async with record.doing("error: filter failure"):
        try:
            _limit(rest, "sdk-wrong", 50_000.001)
        except BadRequestError as refused:
            expect("PRICE_FILTER" in str(refused), str(refused))
        else:
            expect(False, "the order was accepted")
    async with record.doing("error: unknown key"):
        try:
            client_for(exchange, "nobody").rest_api.get_account()
        except UnauthorizedError as refused:
            expect("Invalid API-key" in str(refused), str(refused))
        else:
            expect(False, "the key was accepted")


async def _websocket_api(record: Record, client: Any) -> None:
    api = client.websocket_api
    try:
        async with record.doing("WebSocket API: connect, ping, time"):
            await api.create_connection()
            await api.ping()
            expect((await api.time()).data().result.server_time > 0, "no server time")
        events: list[Any] = []
        async with record.doing("WebSocket API: subscribe to user data by signature"):
            subscribed = await api.user_data_stream_subscribe_signature()
            subscribed.stream.on("message", events.append)
        async with record.doing("WebSocket API: place, query, cancel"):
            placed = await api.order_place(
                symbol=SYMBOL,
                side=OrderPlaceSideEnum["BUY"].value,
                type=OrderPlaceTypeEnum["LIMIT"].value,
                time_in_force=OrderPlaceTimeInForceEnum["GTC"].value,
                quantity=0.001,
                price=50_000,
                new_client_order_id="sdk-ws-1",
            )
            expect(placed.data().result.status == "NEW", "not new")
            await api.order_status(symbol=SYMBOL, orig_client_order_id="sdk-ws-1")
            gone = await api.order_cancel(symbol=SYMBOL, orig_client_order_id="sdk-ws-1")
            expect(gone.data().result.status == "CANCELED", "not cancelled")
        async with record.doing("WebSocket API: typed executionReport and outboundAccountPosition"):
            for _ in range(100):
                if len(events) >= 4:
                    break
                await asyncio.sleep(0.02)
            kinds = [type(event.actual_instance).__name__ for event in events]
            expect("ExecutionReport" in kinds and "OutboundAccountPosition" in kinds, str(kinds))
        async with record.doing("WebSocket API: account, rate limits, subscriptions"):
            (await api.account_status()).data()
            (await api.account_rate_limits_orders()).data()
            expect(len((await api.session_subscriptions()).data().result) == 1, "not one subscription")
        async with record.doing("WebSocket API: unsubscribe"):
            await api.user_data_stream_unsubscribe(subscription_id=0)
    finally:
        await api.close_connection(close_session=True)


async def _streams(record: Record, client: Any) -> None:
    streams = client.websocket_streams
    try:
        for name in ("book_ticker", "trade", "mini_ticker"):
            async with record.doing(f"market stream: {name} (typed)"):
                await streams.create_connection()
                stream = await getattr(streams, name)(symbol=SYMBOL.lower())
                seen: list[Any] = []
                stream.on("message", seen.append)
                for _ in range(150):
                    if seen:
                        break
                    await asyncio.sleep(0.02)
                expect(seen, "no message")
                expect(seen[0].s == SYMBOL, "another symbol")
    finally:
        await streams.close_connection(close_session=True)
