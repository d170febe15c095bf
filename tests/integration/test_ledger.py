"""DESIGN 6 on a real database: fills stored once, positions counted from them, the bot's rows written."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from shared.database.connect import open_pool
from shared.database.settle import settle
from shared.database.valuation import unvalued_fills, value_fills
from shared.domain.holding import Kind
from tests.claimed import Claimed, claimed
from tests.ledger_rows import everything

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.database.connect import Connection
    from tests.bot import Bot


@pytest.fixture
async def connection(bridge_database: str) -> AsyncIterator[Connection]:
    pool = await open_pool(bridge_database, size=2, application_name="test")
    async with pool.acquire() as acquired:
        yield acquired
    await pool.close()


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user)


async def bought(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], quantity: str, price: str, **how: Any
) -> Claimed:
    """Buy and settle, fee of 0.1 % in base."""
    order = await claimed(connection, bot, account, **how)
    fee = str(Decimal(quantity) / 1000)
    order.trade(order.exchange_order_id * 10, quantity, price, fee=fee, asset=order.base, last=True)
    await settle(connection, order.reports())
    return order


async def test_a_buy_opens_a_position_net_of_its_fee(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """One filled buy gives one open row: slash symbol, no NULL, net size, the order's reasoning."""
    order = await claimed(connection, bot, account, reasoning="the trend")
    order.trade(7, "0.005", "70000", fee="0.000005", asset="BTC", last=True)
    settled = await settle(connection, order.reports())
    assert [change.kind for change in settled.positions] == [Kind.OPENED]
    (row,) = bot.read_positions(account[0])
    assert row["symbol"] == "BTC/USDT"
    assert (row["size"], row["entry_price"]) == (Decimal("0.004995"), Decimal(70000))
    assert (row["current_price"], row["leverage"], row["margin_mode"]) == (Decimal(70000), 1, "cross")
    assert row["realized_pnl"] == Decimal("-0.35")
    assert (row["status"], row["side"], row["open_reasoning"]) == ("open", "long", "the trend")
    may_be_null = {"strategy_id", "stop_loss_order_id", "take_profit_order_id", "closed_at"}
    assert {name for name, value in row.items() if value is None} <= may_be_null
    ledger = await connection.fetchrow("SELECT id, size FROM bridge.position")
    assert ledger is not None
    assert (ledger["id"], ledger["size"]) == (row["id"], Decimal("0.004995"))


async def test_grow_reduce_close(connection: Connection, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """A position grows, shrinks and ends; the closed row keeps exit price, realized profit and its end."""
    await bought(connection, bot, account, "1", "100", base="SOL", lot_step="0.001", exchange_order_id=1)
    await bought(connection, bot, account, "1", "200", base="SOL", lot_step="0.001", exchange_order_id=2)
    (row,) = bot.read_positions(account[0])
    assert (row["size"], row["entry_price"]) == (Decimal("1.998"), Decimal(150))
    sell = await claimed(
        connection, bot, account, base="SOL", lot_step="0.001", side="sell", exchange_order_id=3
    )
    sell.trade(90, "0.998", "210", fee="0.20958", asset="USDT")
    first = await settle(connection, sell.reports())
    assert [change.kind for change in first.positions] == [Kind.REDUCED]
    sell.trade(91, "1", "220", fee="0.22", asset="USDT", last=True)
    second = await settle(connection, sell.reports())
    assert [(change.kind, change.order_id) for change in second.positions] == [(Kind.CLOSED, sell.order_id)]
    (row,) = bot.read_positions(account[0])
    assert row["status"] == "closed"
    assert row["closed_at"] == sell.moment
    assert row["current_price"] == Decimal("215.00500501")  # (0.998 * 210 + 220) / 1.998
    assert (row["unrealized_pnl"], row["unrealized_pnl_pct"]) == (0, 0)
    # proceeds 429.58 - cost of 1.998 at 150 (299.7) - fees (0.1 + 0.2 in base, 0.42958 in quote)
    assert row["realized_pnl"] == Decimal("429.58") - Decimal("299.7") - Decimal("0.72958")
    kinds = await connection.fetch("SELECT kind FROM bridge.event WHERE kind LIKE 'position%' ORDER BY id")
    assert [kind for (kind,) in kinds] == [
        "position_opened",
        "position_grown",
        "position_reduced",
        "position_closed",
    ]


async def test_dust_ends_a_position(connection: Connection, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """What is smaller than the lot step cannot be sold: it ends the position and goes into the next."""
    await bought(connection, bot, account, "0.005", "70000", exchange_order_id=1)
    sell = await claimed(connection, bot, account, side="sell", exchange_order_id=2)
    sell.trade(20, "0.00499", "71000", fee="0.35429", asset="USDT", last=True)
    await settle(connection, sell.reports())
    (row,) = bot.read_positions(account[0])
    assert row["status"] == "closed"
    await bought(connection, bot, account, "0.01", "70000", exchange_order_id=3)
    _, second = bot.read_positions(account[0])
    assert second["size"] == Decimal("0.00999") + Decimal("0.000005")


async def test_a_fill_again_changes_nothing(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The same event settled three times leaves rows, fills, positions and events as after the first."""
    order = await bought(connection, bot, account, "0.005", "70000")
    before = await everything(connection, account[1])
    for _ in range(2):
        again = await settle(connection, order.reports())
        assert again.positions == ()
    assert await everything(connection, account[1]) == before


async def test_a_late_fill_folds_again(connection: Connection, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """A buy that becomes known after a later sell was counted gives what the right order would have given."""
    first = await claimed(connection, bot, account, base="SOL", lot_step="0.001", exchange_order_id=1)
    early = first.trade(10, "1", "100", fee="0.001", asset="SOL")
    sell = await claimed(
        connection, bot, account, base="SOL", lot_step="0.001", side="sell", exchange_order_id=2
    )
    sell.moment = first.moment
    late_buy = first.trade(11, "1", "100", fee="0.001", asset="SOL", last=True)
    sale = sell.trade(20, "0.999", "110", last=True, after_ms=5)
    again = await claimed(connection, bot, account, base="SOL", lot_step="0.001", exchange_order_id=3)
    again.moment = sell.moment
    more = again.trade(30, "2", "120", fee="0.002", asset="SOL", last=True)
    await settle(connection, [first.report(early)])
    await settle(connection, [sell.report(sale)])
    assert [row["status"] for row in bot.read_positions(account[0])] == ["closed"]
    await settle(connection, [again.report(more)])
    assert [row["status"] for row in bot.read_positions(account[0])] == ["closed", "open"]
    settled = await settle(connection, [first.report(late_buy)])
    assert {change.kind for change in settled.positions} == {Kind.CORRECTED}
    # All in order: 0.999 + 0.999 bought, 0.999 sold, 1.998 bought, never flat: one life.
    one, other = bot.read_positions(account[0])
    assert (one["status"], one["size"]) == ("open", Decimal("2.997"))
    assert (other["status"], other["size"], other["realized_pnl"]) == ("closed", 0, 0)
    opened = await connection.fetch("SELECT size FROM bridge.position WHERE status = 'open'")
    assert [row["size"] for row in opened] == [Decimal("2.997")]


async def test_two_strategies_do_not_mix(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Each strategy has its own position on a symbol, with its id on the row."""
    user, _ = account
    strategies = [bot.strategy(user), bot.strategy(user)]
    for number, strategy in enumerate(strategies, 1):
        await bought(connection, bot, account, "1", "100", strategy_id=strategy, exchange_order_id=number)
    rows = bot.read_positions(user)
    assert {row["strategy_id"] for row in rows} == set(strategies)
    assert [row["size"] for row in rows] == [Decimal("0.999")] * 2


async def test_a_spot_sell_without_a_position_makes_no_short(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What is sold beyond the ledger is told as an event, and the bot sees no position."""
    sell = await claimed(connection, bot, account, side="sell")
    sell.trade(1, "0.1", "70000", fee="7", asset="USDT", last=True)
    await settle(connection, sell.reports())
    assert bot.read_positions(account[0]) == []
    unmatched = await connection.fetch("SELECT data FROM bridge.event WHERE kind = 'position_unmatched'")
    assert [Decimal(row["data"]["quantity"]) for row in unmatched] == [Decimal("0.1")]


async def test_a_row_of_the_bots_from_before_us_is_the_opening_entry(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """A position the bot kept before the bridge came goes on under its own id."""
    user, account_id = account
    theirs = open_position_of_the_bot(bot, user, account_id)
    await bought(connection, bot, account, "1", "200", base="SOL", lot_step="0.001")
    (row,) = bot.read_positions(user)
    assert (row["id"], row["size"], row["entry_price"]) == (theirs, Decimal("1.999"), Decimal("149.97498749"))
    ledger = await connection.fetchrow("SELECT id, opening FROM bridge.position")
    assert ledger is not None
    assert (ledger["id"], ledger["opening"]) == (theirs, True)


async def test_a_row_the_bot_closed_is_not_opened_again(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The kill switch closes in the database only: a later fill keeps the row closed, the ledger goes on."""
    await bought(connection, bot, account, "1", "100", base="SOL", lot_step="0.001", exchange_order_id=1)
    bot.connection.execute("UPDATE positions SET status = 'closed', closed_at = now()")
    await bought(connection, bot, account, "1", "100", base="SOL", lot_step="0.001", exchange_order_id=2)
    (row,) = bot.read_positions(account[0])
    assert (row["status"], row["size"]) == ("closed", Decimal("0.999"))
    assert await connection.fetchval("SELECT size FROM bridge.position") == Decimal("1.998")


async def test_a_deleted_strategy_keeps_no_fill_from_being_stored(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The strategy vanished between order and fill: the position is written without it."""
    user, _ = account
    strategy = bot.strategy(user)
    order = await claimed(connection, bot, account, strategy_id=strategy)
    order.trade(1, "0.1", "70000")
    await settle(connection, order.reports())
    bot.connection.execute("DELETE FROM user_strategies WHERE id = %s", [strategy])
    order.trade(2, "0.1", "70000", last=True)
    await settle(connection, order.reports())
    assert sum(row["size"] for row in bot.read_positions(user)) == Decimal("0.2")


async def test_contradiction_raises_the_alarm(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The same execution with another price is never skipped silently; what was stored first stands."""
    order = await claimed(connection, bot, account)
    event = order.trade(1, "0.1", "70000", last=True)
    await settle(connection, [order.report(event)])
    await settle(connection, [order.report(event | {"L": "1"})])
    (alarm,) = await connection.fetch("SELECT data FROM bridge.event WHERE kind = 'fill_contradiction'")
    assert alarm["data"]["fields"] == "price"
    assert await connection.fetchval("SELECT price FROM bridge.fill") == Decimal(70000)


def open_position_of_the_bot(bot: Bot, user: UUID, account_id: UUID) -> UUID:
    """Insert an open SOL position as the bot would."""
    identity = uuid4()
    bot.connection.execute(
        "INSERT INTO positions (id, user_id, exchange_account_id, symbol, market_type, side, size, "
        "entry_price, current_price, liquidation_price, stop_loss_price, take_profit_price, "
        "trailing_stop_pct, open_reasoning, opened_at) "
        "VALUES (%s, %s, %s, 'SOL/USDT', 'spot', 'long', 1, 100, 100, 0, 0, 0, 0, '', now())",
        [identity, user, account_id],
    )
    return identity


async def test_a_fee_without_a_price_is_valued_later_once(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Stored without a value, counted without it; valued, it is in the position and in the order's sum."""
    order = await claimed(connection, bot, account, base="SOL", lot_step="0.001")
    order.trade(1, "1", "100", fee="0.001", asset="BNB")
    order.trade(2, "1", "100", fee="0.1", asset="SOL", last=True)
    await settle(connection, order.reports())
    assert bot.read_positions(account[0])[0]["realized_pnl"] == Decimal(-10)
    for value in ("0.6", "0.7"):
        fills = await unvalued_fills(connection, [account[1]], "spot", most=10)
        await value_fills(connection, [(fill, Decimal(value)) for fill in fills])
    assert bot.read_positions(account[0])[0]["realized_pnl"] == Decimal("-10.6")
    row = bot.read_order(order.order_id)
    assert (row["fee"], row["fee_currency"]) == (Decimal("10.6"), "USDT")
    assert await connection.fetchval("SELECT unvalued FROM bridge.holding") == 0
