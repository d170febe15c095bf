"""A `pending` row inserted the way the bot does it becomes a filled order and a position, or is rejected."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.domain.attempt import client_order_id
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from services.command_line.local_testnet import LocalTestnet
    from services.command_line.stand_in_bot import Bot
    from tests.end_to_end.conftest import Trader


def test_market_buy_becomes_a_filled_order_and_an_open_position(trader: Trader) -> None:
    """350 USDT of BTC: one order at the exchange under our id, the row filled, a position net of the fee."""
    order = trader.order(symbol="BTC/USDT", amount=Decimal(350), reasoning="because")
    row = trader.until_status(order, "filled")
    (at_exchange,) = trader.at_exchange()
    assert at_exchange["clientOrderId"] == client_order_id(order, 1)
    assert row["exchange_order_id"] == str(at_exchange["orderId"])
    assert row["filled_amount"] == Decimal(at_exchange["executedQty"])
    assert row["avg_fill_price"] * row["filled_amount"] <= Decimal(350)
    assert row["fee_currency"] == "BTC"
    assert row["filled_at"] is not None
    assert row["amount"] == Decimal(350), "the bot's own columns are left as inserted"
    assert row["reasoning"] == "because"
    (position,) = trader.positions()
    assert (position["symbol"], position["side"], position["status"]) == ("BTC/USDT", "long", "open")
    assert position["size"] == row["filled_amount"] - row["fee"]
    assert position["entry_price"] == row["avg_fill_price"]
    assert position["current_price"] > 0
    assert None not in [value for name, value in position.items() if name not in NULL_ALLOWED]


NULL_ALLOWED = {"strategy_id", "stop_loss_order_id", "take_profit_order_id", "closed_at"}


def test_sell_of_what_is_held_closes_the_position(trader: Trader) -> None:
    """Buying, then selling the whole position, leaves it closed with a realized PnL and an exit price."""
    buy = trader.order(symbol="ETH/USDT", amount=Decimal(200))
    trader.until_status(buy, "filled")
    (opened,) = trader.positions()
    sell = trader.order(symbol="ETH/USDT", side="sell", amount=opened["size"])
    row = trader.until_status(sell, "filled")
    (position,) = trader.positions()
    assert row["fee_currency"] == "USDT"
    sold = row["filled_amount"]
    assert sold <= opened["size"], "never more than is held net of fees"
    if sold == opened["size"]:
        assert position["status"] == "closed"


def test_resting_limit_order_stays_open_and_follows_the_bots_cancel(trader: Trader) -> None:
    """A limit far below the market rests; the bot cancels in the database only, the exchange is told."""
    order = trader.order(symbol="BNB/USDT", type="limit", price=Decimal(560), amount=Decimal(112))
    trader.until(lambda: trader.row(order)["exchange_order_id"] != "", "the order is at the exchange")
    assert trader.row(order)["status"] == "open"
    trader.bot.cancel(order)
    trader.until(lambda: trader.entry(order)["state"] == "done", "the cancel reached the exchange")
    (at_exchange,) = trader.at_exchange()
    assert at_exchange["status"] == "CANCELED"
    assert trader.row(order)["status"] == "canceled"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"symbol": "MOON/USDT"}, "does not know the symbol MOON/USDT"),
        ({"amount": Decimal(0)}, "must be greater than zero"),
        ({"amount": Decimal(-5)}, "must be greater than zero"),
        ({"amount": Decimal(1)}, "NOTIONAL"),
        ({"type": "limit", "price": Decimal(0)}, "needs a price"),
        ({"side": "sell", "symbol": "SOL/USDT"}, "no open SOL/USDT position"),
    ],
)
def test_bad_row_is_rejected_with_a_reason(trader: Trader, columns: dict[str, object], reason: str) -> None:
    """Nonsense is rejected in words, prefixed the way the bot does it; nothing reaches the exchange."""
    order = trader.order(**{"symbol": "BTC/USDT", "reasoning": "why", **columns})
    row = trader.until_status(order, "rejected")
    assert row["reasoning"].startswith("Rejected: ")
    assert reason in row["reasoning"]
    assert row["reasoning"].endswith("Original reasoning: why")
    assert trader.at_exchange() == []


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"is_active": False}, "switched off"),
        ({"exchange": "bybit"}, "on bybit"),
        ({"is_testnet": False}, "real money"),
        ({"api_key_encrypted": b"test_api_key_binance"}, "cannot be decrypted"),
    ],
)
def test_unusable_account_rejects_its_rows_only(trader: Trader, columns: dict[str, Any], reason: str) -> None:
    """An account that cannot trade costs only its own rows; another row of the same moment is sent."""
    unusable = trader.bot.account(trader.user, **columns)
    order = trader.bot.order(trader.user, unusable, symbol="BTC/USDT", amount=Decimal(120))
    good = trader.order(symbol="BTC/USDT", amount=Decimal(121))
    assert reason in trader.until_status(order, "rejected")["reasoning"]
    trader.until_status(good, "filled")


def test_order_on_another_users_account_is_rejected(trader: Trader, local: LocalTestnet, bot: Bot) -> None:
    """The bot does not check who owns the account a row names; the bridge does."""
    stranger = new_trader(local, bot)
    order = bot.order(trader.user, stranger.account, symbol="BTC/USDT", amount=Decimal(130))
    assert "belongs to another user" in trader.until_status(order, "rejected")["reasoning"]
    assert stranger.at_exchange() == []


def test_equal_rows_of_two_statements_are_sent_once(trader: Trader) -> None:
    """The bot repeats its own INSERT when an answer is lost: the second row is held, not sent."""
    first = trader.order(symbol="SOL/USDT", amount=Decimal(140))
    second = trader.order(symbol="SOL/USDT", amount=Decimal(140))
    trader.until_status(first, "filled")
    trader.until(lambda: trader.entry(second)["state"] == "held", "the twin is held")
    assert trader.row(second)["status"] == "pending"
    assert trader.entry(second)["reason_code"] == "twin"
    assert len(trader.at_exchange()) == 1
