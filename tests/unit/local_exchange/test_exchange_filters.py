"""Every filter with its formula and its message."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.unit.local_exchange.desk import Desk, limit, market


@pytest.fixture
def desk():
    return Desk()


def failure(name):
    return (-1013, f"Filter failure: {name}")


def stop(side="SELL", kind="STOP_LOSS", **more):
    return {"symbol": "BTCUSDT", "side": side, "type": kind, "quantity": "0.01", "stopPrice": "69000"} | more


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (limit("BUY", "0.01", "60000.001"), "PRICE_FILTER"),
        (limit("BUY", "0.01", "1400000.01"), "PRICE_FILTER"),
        (stop(stopPrice="69000.001"), "PRICE_FILTER"),
        (limit("BUY", "0.000001", "60000"), "LOT_SIZE"),
        (limit("BUY", "0.010001", "60000"), "LOT_SIZE"),
        (limit("BUY", "9000.1", "60000"), "LOT_SIZE"),
        (market("SELL", quantity="118.3"), "MARKET_LOT_SIZE"),
        (limit("BUY", "0.01", "13999.99"), "PERCENT_PRICE_BY_SIDE"),
        (limit("SELL", "0.01", "350000.01"), "PERCENT_PRICE_BY_SIDE"),
        (limit("BUY", "0.00008", "60000"), "NOTIONAL"),
        (limit("BUY", "200", "60000"), "NOTIONAL"),
        (market("BUY", quoteOrderQty="4.99"), "NOTIONAL"),
        (market("BUY", quantity="0.00007"), "NOTIONAL"),
        (limit("BUY", "1.01", "60000", icebergQty="0.01"), "ICEBERG_PARTS"),
        (stop(trailingDelta="9") | {"stopPrice": "71000"}, "TRAILING_DELTA"),
        (stop(trailingDelta="2001") | {"stopPrice": "71000"}, "TRAILING_DELTA"),
    ],
)
def test_an_order_that_breaks_a_filter_is_refused_by_its_name(desk, params, name):
    """Nothing reaches the engine."""
    assert desk.refuse(**params) == failure(name)
    assert desk.exchange.spot.limits.order_counts("alice", desk.now) == (0, 0)


@pytest.mark.parametrize(
    "params",
    [
        limit("BUY", "0.01", "14000"),
        limit("SELL", "0.01", "350000"),
        limit("BUY", "0.0001", "60000"),
        market("BUY", quoteOrderQty="5"),
        limit("BUY", "1", "60000", icebergQty="0.01"),
    ],
)
def test_the_edges_of_filters_pass(desk, params):
    """Bounds are included."""
    desk.place(**params)


def test_open_orders_are_counted_per_symbol(desk):
    """MAX_NUM_ORDERS and MAX_NUM_ALGO_ORDERS."""
    symbol = desk.exchange.markets["BTCUSDT"].symbol
    symbol.max_num_orders = 3
    symbol.max_num_algo_orders = 1
    desk.place(**stop())
    assert desk.refuse(**stop()) == failure("MAX_NUM_ALGO_ORDERS")
    desk.place(**limit("BUY", "0.01", "60000"))
    desk.place(**limit("BUY", "0.01", "60000"))
    assert desk.refuse(**limit("BUY", "0.01", "60000")) == failure("MAX_NUM_ORDERS")
    desk.place(**limit("BUY", "0.01", "3000", symbol="ETHUSDT"))


def test_open_orders_are_counted_across_the_exchange(desk):
    """EXCHANGE_MAX_NUM_*."""
    filters = desk.exchange.filters
    filters.max_num_orders, filters.max_num_algo_orders, filters.max_num_iceberg_orders = 3, 1, 1
    desk.place(**stop())
    assert desk.refuse(**stop()) == failure("EXCHANGE_MAX_NUM_ALGO_ORDERS")
    iceberg = limit("BUY", "0.1", "60000", icebergQty="0.01")
    desk.place(**iceberg)
    assert desk.refuse(**iceberg) == failure("EXCHANGE_MAX_NUM_ICEBERG_ORDERS")
    desk.place(**limit("BUY", "0.01", "3000", symbol="ETHUSDT"))
    assert desk.refuse(**limit("BUY", "0.01", "3000", symbol="ETHUSDT")) == failure("EXCHANGE_MAX_NUM_ORDERS")


def test_max_position_counts_holdings_and_open_buys(desk):
    """Free, locked, and what open BUY orders may still bring."""
    desk.exchange.markets["BTCUSDT"].symbol.max_position = Decimal("1.02")
    desk.place(**limit("BUY", "0.02", "60000"))
    assert desk.refuse(**limit("BUY", "0.00010", "60000")) == failure("MAX_POSITION")
    desk.place(**limit("SELL", "0.01", "80000"))


def test_filters_that_only_some_symbols_have(desk):
    """MIN_NOTIONAL, PERCENT_PRICE, MAX_NUM_ICEBERG_ORDERS, steps of MARKET_LOT_SIZE."""
    symbol = desk.exchange.markets["BTCUSDT"].symbol
    symbol.notional_filter = "MIN_NOTIONAL"
    symbol.percent_price = (Decimal("0.9"), Decimal("1.1"))
    symbol.max_num_iceberg_orders = 0
    symbol.market_min_qty, symbol.market_step = Decimal("0.001"), Decimal("0.001")
    assert desk.refuse(**market("BUY", quoteOrderQty="4")) == failure("MIN_NOTIONAL")
    assert desk.refuse(**limit("BUY", "0.01", "62000")) == failure("PERCENT_PRICE")
    assert desk.refuse(**limit("BUY", "0.1", "69000", icebergQty="0.01")) == failure("MAX_NUM_ICEBERG_ORDERS")
    assert desk.refuse(**market("SELL", quantity="0.0015")) == failure("MARKET_LOT_SIZE")
    names = {f["filterType"] for f in symbol.filters()}
    assert {"MIN_NOTIONAL", "PERCENT_PRICE", "MAX_NUM_ICEBERG_ORDERS"} <= names
    assert "NOTIONAL" not in names


def test_an_account_may_have_limits_per_asset(desk):
    """MAX_ASSET counts base by quantity and quote by notional; only myFilters shows it."""
    account = desk.exchange.accounts.by_name["alice"]
    account.max_asset["BTC"] = Decimal("0.1")
    account.max_asset["USDT"] = Decimal(1000)
    assert desk.refuse(**limit("SELL", "0.2", "80000")) == failure("MAX_ASSET")
    assert desk.refuse(**market("BUY", quoteOrderQty="1001")) == failure("MAX_ASSET")
    shown = desk.ask("GET", "/api/v3/myFilters", symbol="BTCUSDT")[1]["assetFilters"]
    assert {f["asset"] for f in shown} == {"BTC", "USDT"}
