"""The stand-in of the bot's tables has the properties of the real ones that the bridge must live with."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from psycopg import errors

from tests.bot import order_row

if TYPE_CHECKING:
    from tests.bot import Bot


@pytest.fixture
def user(bot: Bot) -> UUID:
    return bot.user()


@pytest.fixture
def account(bot: Bot, user: UUID) -> UUID:
    return bot.account(user)


def test_the_bot_writes_zero_values_and_reads_them_back(bot: Bot, user: UUID, account: UUID) -> None:
    """A pending row has every column the Go program reads set; only what it can take as NULL is NULL."""
    row = bot.read_order(bot.order(user, account))
    unset = {name for name, value in row.items() if value is None}
    assert unset == {"strategy_id", "parent_order_id", "filled_at"}
    assert (row["status"], row["exchange_order_id"], row["amount"]) == ("pending", "", 350)


def test_a_row_needs_neither_id_nor_times(bot: Bot, user: UUID, account: UUID) -> None:
    """A row inserted by hand gets an id, a status and times from the defaults, and NULL for what has none."""
    row = bot.connection.execute(
        "INSERT INTO orders (user_id, exchange_account_id, symbol, market_type, side, type, amount) "
        "VALUES (%s, %s, 'BTC/USDT', 'spot', 'buy', 'market', 350) RETURNING *",
        [user, account],
    ).fetchone()
    assert row is not None
    assert isinstance(row["id"], UUID)
    assert (row["status"], row["filled_amount"], row["fee"], row["reduce_only"]) == ("pending", 0, 0, False)
    assert row["created_at"] == row["updated_at"]
    assert {row[name] for name in ("exchange_order_id", "price", "stop_price", "reasoning")} == {None}


def test_every_update_stamps_the_row(bot: Bot, user: UUID, account: UUID) -> None:
    """A trigger sets updated_at, whatever the UPDATE says."""
    order = bot.order(user, account)
    before = bot.read_order(order)["updated_at"]
    bot.connection.execute("UPDATE orders SET updated_at = 'epoch' WHERE id = %s", [order])
    assert bot.read_order(order)["updated_at"] > before


def test_an_amount_below_the_last_decimal_becomes_zero(bot: Bot, user: UUID, account: UUID) -> None:
    """Eight decimals: the bot's validation passes 0.000000001, the table stores 0."""
    assert bot.read_order(bot.order(user, account, amount=Decimal("0.000000001")))["amount"] == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"price": Decimal(-1)},
        {"amount": Decimal(0)},
        {"symbol": "to the moon"},
        {"type": "stop_limit"},
    ],
    ids=str,
)
def test_nonsense_is_accepted(columns: dict[str, object], bot: Bot, user: UUID, account: UUID) -> None:
    """The tables check nothing of an order; the bridge must."""
    assert bot.read_order(bot.order(user, account, **columns))["status"] == "pending"


def test_another_users_account_is_accepted(bot: Bot, user: UUID) -> None:
    """Nothing ties the account of an order to its user."""
    stranger = bot.account(bot.user())
    assert bot.read_order(bot.order(user, stranger))["exchange_account_id"] == stranger


def test_what_the_tables_do_refuse(bot: Bot, user: UUID, account: UUID) -> None:
    """Unknown market or status, missing account, deleting an account with orders, a user without login."""
    with pytest.raises(errors.InvalidTextRepresentation):
        bot.order(user, account, market_type="")
    with pytest.raises(errors.InvalidTextRepresentation):
        bot.order(user, account, status="submitted")
    with pytest.raises(errors.ForeignKeyViolation):
        bot.order(user, user)
    bot.order(user, account)
    with pytest.raises(errors.ForeignKeyViolation):
        bot.connection.execute("DELETE FROM exchange_accounts WHERE id = %s", [account])
    with pytest.raises(errors.CheckViolation):
        bot.user(telegram_id=None)


def test_a_strategy_cannot_go_below_nothing(bot: Bot, user: UUID) -> None:
    """Cash and equity are never negative, and a ledger line must add up to eight decimals."""
    strategy = bot.strategy(user)
    with pytest.raises(errors.CheckViolation):
        bot.connection.execute("UPDATE user_strategies SET cash_reserve = -1 WHERE id = %s", [strategy])
    ledger = (
        "INSERT INTO strategy_transactions (strategy_id, user_id, type, amount, balance_before, "
        "balance_after) VALUES (%s, %s, 'position_open', %s, 1000, 650)"
    )
    bot.connection.execute(ledger, [strategy, user, Decimal(-350)])
    for wrong in (Decimal("-350.00000001"), Decimal(0)):
        with pytest.raises(errors.CheckViolation):
            bot.connection.execute(ledger, [strategy, user, wrong])


def test_bulk_ways_write_the_same_row(bot: Bot, user: UUID, account: UUID) -> None:
    """INSERT and COPY store the same."""
    rows = [order_row(user, account, amount=Decimal(n)) for n in (10, 20, 30)]
    bot.orders(rows[:1])
    bot.copy_orders(rows[1:])
    for row in rows:
        stored = bot.read_order(row["id"])
        assert {**stored, "updated_at": row["updated_at"]} == row
