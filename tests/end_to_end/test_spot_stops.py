"""Spot rows with a trigger through the whole bridge: each of the four kinds, by the side it lies on."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from uuid import UUID

    from tests.end_to_end.conftest import Trader

D = Decimal


def market_price(trader: Trader, symbol: str, factor: str) -> Decimal:
    """Return the last price times a factor, on a tick that the symbol has."""
    ticker = trader.local.exchange_get(f"/api/v3/ticker/price?symbol={symbol.replace('/', '')}")
    price = D(ticker["price"]) * D(factor)
    return price.quantize(D("0.01" if price > 10 else "0.0001"))


def move(trader: Trader, symbol: str, price: Decimal) -> None:
    """Move the spot market."""
    body = {"symbol": symbol.replace("/", ""), "price": str(price), "market": "spot"}
    trader.local.admin("POST", "/price", body)


def until_resting(trader: Trader, order: UUID, exchange_type: str) -> None:
    """Wait until the order waits at the exchange for its trigger, as the type it has to be."""
    trader.until(lambda: trader.row(order)["exchange_order_id"] != "", "it is at the exchange")
    at_exchange = trader.at_exchange()[-1]
    assert (at_exchange["type"], at_exchange["status"]) == (exchange_type, "NEW")
    assert trader.row(order)["status"] == "open"


@pytest.mark.parametrize(
    ("symbol", "kind", "factor", "exchange_type"),
    [
        ("SOL/USDT", "stop_market", "0.98", "STOP_LOSS"),
        ("ETH/USDT", "stop_limit", "0.98", "STOP_LOSS_LIMIT"),
        ("BNB/USDT", "stop_market", "1.02", "TAKE_PROFIT"),
        ("XRP/USDT", "stop_limit", "1.02", "TAKE_PROFIT_LIMIT"),
    ],
)
def test_a_protective_order_sells_what_is_held(
    trader: Trader, symbol: str, kind: str, factor: str, exchange_type: str
) -> None:
    """Below the market it is a stop-loss, above a take-profit; it rests, triggers, and reduces the position.

    Each on a symbol of its own: whether a price is above the market is judged by one a few seconds old.
    """
    trader.until_status(trader.order(symbol=symbol, amount=D(150)), "filled")
    (held,) = trader.positions()
    trigger = market_price(trader, symbol, factor)
    limit = {"price": market_price(trader, symbol, "0.97")} if kind == "stop_limit" else {}
    order = trader.order(
        symbol=symbol, side="sell", type=kind, stop_price=trigger, amount=held["size"], **limit
    )
    until_resting(trader, order, exchange_type)
    move(trader, symbol, trigger * (D("0.999") if factor < "1" else D("1.001")))
    row = trader.until_status(order, "filled")
    assert row["avg_fill_price"] > 0
    assert row["filled_amount"] <= held["size"], "never more than is held net of fees"

    def reduced() -> bool:
        (position,) = trader.positions()
        left: Decimal = held["size"] - row["filled_amount"]
        return position["status"] == "closed" or bool(position["size"] == left)

    trader.until(reduced, "the position is closed, or smaller by what was sold")


@pytest.mark.parametrize(
    ("symbol", "kind", "factor", "exchange_type"),
    [
        ("SOL/USDT", "stop_market", "1.02", "STOP_LOSS"),
        ("ETH/USDT", "stop_limit", "1.02", "STOP_LOSS_LIMIT"),
        ("BNB/USDT", "stop_market", "0.98", "TAKE_PROFIT"),
        ("DOGE/USDT", "stop_limit", "0.98", "TAKE_PROFIT_LIMIT"),
    ],
)
def test_an_order_that_waits_to_buy(
    trader: Trader, symbol: str, kind: str, factor: str, exchange_type: str
) -> None:
    """The other way round: above the market a stop-loss, below it a take-profit."""
    trigger = market_price(trader, symbol, factor)
    limit = {"price": trigger * D("1.01")} if kind == "stop_limit" else {}
    order = trader.order(symbol=symbol, type=kind, stop_price=trigger, amount=D(140), **limit)
    until_resting(trader, order, exchange_type)
    move(trader, symbol, trigger * (D("1.001") if factor > "1" else D("0.999")))
    row = trader.until_status(order, "filled")
    # Sized by the trigger; what it trades at when that is reached is the market's.
    assert row["filled_amount"] * row["avg_fill_price"] < 141
    trader.until(lambda: len(trader.positions()) == 1, "it is a position")


def test_a_stop_that_waits_follows_the_bots_cancel(trader: Trader) -> None:
    """Nothing has triggered: the exchange takes it off, and the row stays canceled."""
    order = trader.order(
        symbol="BTC/USDT",
        type="stop_market",
        stop_price=market_price(trader, "BTC/USDT", "1.03"),
        amount=D(150),
    )
    until_resting(trader, order, "STOP_LOSS")
    trader.bot.cancel(order)
    trader.until(lambda: trader.entry(order)["state"] == "done", "the cancel reached the exchange")
    assert trader.at_exchange()[-1]["status"] == "CANCELED"
    assert trader.row(order)["status"] == "canceled"
