"""The stand-in of the bot's tables: what the bot relies on is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bot import Bot


def test_the_bot_writes_zero_values_and_reads_them_back(bot: Bot) -> None:
    """A pending row has every column the Go program reads set; only what it can take as NULL is NULL."""
    user = bot.user()
    order = bot.order(user, bot.account(user))
    row = bot.read_order(order)
    assert {name for name, value in row.items() if value is None} == {
        "strategy_id",
        "parent_order_id",
        "filled_at",
    }
    assert (row["status"], row["exchange_order_id"], row["amount"]) == ("pending", "", 350)
