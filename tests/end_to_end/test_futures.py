"""Futures rows through the whole bridge: both directions, both kinds of order, hedge mode, liquidation."""

from __future__ import annotations

import time
import urllib.request
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.binance.sign import Credentials, signed_query
from shared.domain.attempt import client_order_id
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from services.command_line.local_testnet import LocalTestnet
    from services.command_line.stand_in_bot import Bot
    from tests.end_to_end.conftest import Trader

D = Decimal


def market_price(trader: Trader, symbol: str, factor: str) -> Decimal:
    """Return the last price times a factor, on a tick that the contract has."""
    return trader.local.futures_price(symbol, D(factor))


def move(trader: Trader, symbol: str, price: Decimal) -> None:
    """Move the futures market."""
    body = {"symbol": symbol.replace("/", ""), "price": str(price), "market": "futures"}
    trader.local.admin("POST", "/price", body)


def future(trader: Trader, symbol: str, **columns: Any) -> UUID:
    """Insert a futures row."""
    return trader.order(**{"symbol": symbol, "market_type": "futures", **columns})


def until_position(trader: Trader, **columns: Any) -> Mapping[str, Any]:
    """Wait until the user's newest position shows these values."""

    def shown() -> bool:
        rows = trader.positions()
        return bool(rows) and all(rows[-1][name] == value for name, value in columns.items())

    trader.until(shown, f"a position with {columns}")
    return trader.positions()[-1]


def open_long(trader: Trader, symbol: str, amount: int) -> Mapping[str, Any]:
    """Buy, and wait for the position."""
    trader.until_status(future(trader, symbol, amount=D(amount)), "filled")
    return until_position(trader, side="long", status="open")


def test_long_and_its_close(trader: Trader) -> None:
    """A market buy is a long at the configured leverage; a reduce-only sell of its size closes it."""
    opening = future(trader, "BTC/USDT", amount=D(350))
    row = trader.until_status(opening, "filled")
    (order,) = trader.at_exchange("futures")
    assert order["clientOrderId"] == client_order_id(opening, 1)
    position = until_position(trader, symbol="BTC/USDT", side="long", size=row["filled_amount"])
    assert position["entry_price"] == row["avg_fill_price"] > 0
    until_position(trader, leverage=20, margin_mode="isolated")
    trader.until(lambda: trader.positions()[-1]["liquidation_price"] > 0, "the liquidation price is shown")
    assert trader.positions()[-1]["liquidation_price"] < position["entry_price"]
    closing = future(trader, "BTC/USDT", side="sell", amount=position["size"], reduce_only=True)
    trader.until_status(closing, "filled")
    until_position(trader, status="closed")
    requests = trader.local.admin("GET", f"/requests?account={trader.name}&path=/fapi/v1/leverage")
    assert len(requests) == 1, "leverage is set once"


def test_short_and_its_close(trader: Trader) -> None:
    """A market sell without a position is a short; a reduce-only buy, named in quote, closes it."""
    trader.until_status(future(trader, "ETH/USDT", side="sell", amount=D(200)), "filled")
    position = until_position(trader, symbol="ETH/USDT", side="short", status="open")
    closing = future(trader, "ETH/USDT", amount=position["size"], reduce_only=True)
    trader.until_status(closing, "filled")
    until_position(trader, status="closed")


def test_reduce_only_without_a_position_is_rejected(trader: Trader) -> None:
    """There is nothing to reduce: a reason, and nothing at the exchange."""
    order = future(trader, "SOL/USDT", side="sell", amount=D(100), reduce_only=True)
    assert "no open SOL/USDT position" in trader.until_status(order, "rejected")["reasoning"]
    assert trader.at_exchange("futures") == []


@pytest.mark.parametrize(
    ("symbol", "kind", "factor"),
    [
        ("SOL/USDT", "stop_market", "0.97"),
        ("ETH/USDT", "stop_limit", "0.97"),
        ("BNB/USDT", "stop_market", "1.03"),
        ("DOGE/USDT", "stop_limit", "1.03"),
    ],
)
def test_protective_order_triggers(trader: Trader, symbol: str, kind: str, factor: str) -> None:
    """A stop or a take-profit rests with the algo service; what it becomes closes the long.

    Each on a symbol of its own: whether a price is above the market is judged by one a few seconds old.
    """
    position = open_long(trader, symbol, 150)
    trigger = market_price(trader, symbol, factor)
    near = "0.96" if factor < "1" else "1.01"  # a limit far from the price it triggers at is refused then
    limit = {"price": market_price(trader, symbol, near)} if kind == "stop_limit" else {}
    order = future(
        trader,
        symbol,
        side="sell",
        type=kind,
        stop_price=trigger,
        amount=position["size"],
        reduce_only=True,
        **limit,
    )
    trader.until(lambda: trader.row(order)["exchange_order_id"].startswith("algo-"), "it rests")
    assert trader.row(order)["status"] == "open"
    move(trader, symbol, trigger * (D("0.999") if factor < "1" else D("1.001")))
    row = trader.until_status(order, "filled")
    assert row["exchange_order_id"].isdecimal(), "the order it became"
    assert row["filled_amount"] == position["size"]
    until_position(trader, status="closed")


def test_cancels_of_both_kinds(trader: Trader) -> None:
    """A resting limit and an untriggered stop follow the bot's cancel."""
    limit = future(
        trader, "BNB/USDT", type="limit", price=market_price(trader, "BNB/USDT", "0.97"), amount=D(120)
    )
    stop = future(
        trader,
        "XRP/USDT",
        type="stop_market",
        stop_price=market_price(trader, "XRP/USDT", "1.04"),
        amount=D(121),
    )
    for order in (limit, stop):
        trader.until(lambda order=order: trader.row(order)["exchange_order_id"] != "", "it rests")  # type: ignore[misc]
        trader.bot.cancel(order)
    for order in (limit, stop):
        trader.until(lambda order=order: trader.entry(order)["state"] == "done", "it is cancelled")  # type: ignore[misc]
        assert trader.row(order)["status"] == "canceled"
    plain, conditional = trader.at_exchange("futures")
    assert plain["status"] == "CANCELED"
    assert conditional["algoStatus"] == "CANCELED"


def test_a_triggered_stop_limit_that_rests_follows_the_bots_cancel(trader: Trader) -> None:
    """The algo order is over; what is cancelled is the order it became."""
    trigger = market_price(trader, "BNB/USDT", "1.02")
    order = future(
        trader,
        "BNB/USDT",
        type="stop_limit",
        stop_price=trigger,
        price=market_price(trader, "BNB/USDT", "0.97"),
        amount=D(122),
    )
    trader.until(lambda: trader.row(order)["exchange_order_id"].startswith("algo-"), "it rests")
    move(trader, "BNB/USDT", trigger * D("1.001"))
    trader.until(lambda: trader.row(order)["exchange_order_id"].isdecimal(), "it has triggered")
    assert trader.row(order)["status"] == "open"
    trader.bot.cancel(order)
    trader.until(lambda: trader.entry(order)["state"] == "done", "it is cancelled")
    assert trader.row(order)["status"] == "canceled"
    became = [one for one in trader.at_exchange("futures") if "orderId" in one]
    assert [one["status"] for one in became] == ["CANCELED"]


def hedge_mode(trader: Trader) -> None:
    """Let the account hold a long and a short beside each other."""
    key = Credentials(trader.at_local["api_key"], trader.at_local["secret"])
    query = signed_query({"dualSidePosition": "true", "timestamp": int(time.time() * 1000)}, key)
    url = f"http://127.0.0.1:{trader.local.futures_port}/fapi/v1/positionSide/dual?{query}"
    request = urllib.request.Request(url, method="POST", headers={"X-MBX-APIKEY": key.api_key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def sent(trader: Trader) -> list[dict[str, str]]:
    """Read the parameters of every order as they came over the wire, plain and conditional."""
    requests = [
        request
        for path in ("/fapi/v1/order", "/fapi/v1/algoOrder")
        for request in trader.local.admin("GET", f"/requests?account={trader.name}&path={path}&method=POST")
    ]
    return [one["params"] for one in sorted(requests, key=lambda one: one["arrived_ns"])]


def test_hedge_mode_holds_both_directions(local: LocalTestnet, bot: Bot) -> None:
    """In hedge mode a buy and a sell open two positions; a reduce-only row closes the side it means."""
    trader = new_trader(local, bot)
    hedge_mode(trader)
    trader.until_status(future(trader, "DOGE/USDT", amount=D(100)), "filled")
    trader.until_status(future(trader, "DOGE/USDT", side="sell", amount=D(101)), "filled")
    trader.until(lambda: len(trader.positions()) == 2, "both positions are shown")
    long, short = trader.positions()
    assert (long["side"], short["side"]) == ("long", "short")
    closing = future(trader, "DOGE/USDT", amount=short["size"], reduce_only=True)
    trader.until_status(closing, "filled")
    until_position(trader, side="short", status="closed")
    assert trader.positions()[0]["status"] == "open"
    stop = future(
        trader,
        "DOGE/USDT",
        side="sell",
        type="stop_market",
        stop_price=market_price(trader, "DOGE/USDT", "0.97"),
        amount=long["size"],
        reduce_only=True,
    )
    trader.until(lambda: trader.row(stop)["exchange_order_id"] != "", "the stop rests")
    on_the_wire = [(one["side"], one.get("positionSide"), one.get("reduceOnly")) for one in sent(trader)]
    assert on_the_wire == [
        ("BUY", "LONG", None),
        ("SELL", "SHORT", None),
        ("BUY", "SHORT", None),  # reduceOnly is refused in hedge mode, even as false
        ("SELL", "LONG", None),
    ]


def test_one_way_mode_says_reduce_only(trader: Trader) -> None:
    """There is one position and no side to name: what only reduces says so, plain or conditional."""
    position = open_long(trader, "DOGE/USDT", 150)
    stop = future(
        trader,
        "DOGE/USDT",
        side="sell",
        type="stop_market",
        stop_price=market_price(trader, "DOGE/USDT", "0.97"),
        amount=position["size"],
        reduce_only=True,
    )
    trader.until(lambda: trader.row(stop)["exchange_order_id"] != "", "the stop rests")
    closing = future(trader, "DOGE/USDT", side="sell", amount=position["size"], reduce_only=True)
    trader.until_status(closing, "filled")
    on_the_wire = [(one["side"], one.get("positionSide"), one.get("reduceOnly")) for one in sent(trader)]
    assert on_the_wire == [("BUY", None, None), ("SELL", None, "true"), ("SELL", None, "true")]


@pytest.mark.parametrize("mode", ["one-way", "hedge"])
def test_a_row_that_asks_for_the_impossible_is_rejected_in_words(trader: Trader, mode: str) -> None:
    """A reduce-only row of the position's own direction, or larger than it: nothing reaches the exchange."""
    if mode == "hedge":
        hedge_mode(trader)
    position = open_long(trader, "DOGE/USDT", 151)
    grows = future(trader, "DOGE/USDT", amount=position["size"], reduce_only=True)
    reason = trader.until_status(grows, "rejected")["reasoning"]
    assert "no open DOGE/USDT position" in reason
    assert "buy" in reason
    too_large = future(trader, "DOGE/USDT", side="sell", amount=position["size"] * 100, reduce_only=True)
    assert "position" in trader.until_status(too_large, "rejected")["reasoning"]
    assert len(sent(trader)) == 1, "the order that opened it"


def test_a_position_mode_changed_under_us_costs_one_row_and_is_learned(trader: Trader) -> None:
    """The exchange refuses an order made for the other mode; the row says why, and the next one fits."""
    trader.until_status(future(trader, "XRP/USDT", amount=D(60)), "filled")
    position = until_position(trader, side="long", status="open")
    closing = future(trader, "XRP/USDT", side="sell", amount=position["size"], reduce_only=True)
    trader.until_status(closing, "filled")
    hedge_mode(trader)
    refused = future(trader, "XRP/USDT", amount=D(61))
    assert "position mode" in trader.until_status(refused, "rejected")["reasoning"]
    trader.until_status(future(trader, "XRP/USDT", amount=D(62)), "filled")
    assert sent(trader)[-1]["positionSide"] == "LONG"


def test_deleveraging_closes_the_position(trader: Trader) -> None:
    """The exchange takes a position to pay another's losses: closed, as by an order of somebody else."""
    open_long(trader, "DOGE/USDT", 152)
    trader.local.admin("POST", "/futures/adl", {"account": trader.name, "symbol": "DOGEUSDT"})
    until_position(trader, status="closed")
    flag = "SELECT flag FROM bridge.external_order WHERE account_id = %s"
    trader.until(
        lambda: (
            (row := trader.bot.connection.execute(flag, [trader.account]).fetchone()) is not None
            and row["flag"] == "adl"
        ),
        "it is recorded as such",
    )


def test_liquidation_ends_the_position(trader: Trader) -> None:
    """The exchange closes a long that lost its margin: the row says liquidated."""
    position = open_long(trader, "XRP/USDT", 200)
    move(trader, "XRP/USDT", (position["entry_price"] * D("0.93")).quantize(D("0.0001")))
    ended = until_position(trader, status="liquidated")
    assert ended["realized_pnl"] < 0
