"""Futures on a real database: one position per side whatever the strategy, strangers' trades, liquidation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.database.connect import open_pool
from shared.database.ledger import store_external_fills
from shared.database.positions import apply_fills
from shared.database.settle import settle
from shared.domain.attempt import client_order_id
from shared.domain.fill import FillOrigin
from shared.domain.futures_fills import fill_from_event
from shared.domain.holding import Kind
from shared.domain.order import Market
from shared.domain.reports import report_of_event
from tests.claimed import Claimed, claimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.database.settle import Settled
    from shared.domain.fill import Fill
    from tests.bot import Bot

D = Decimal
START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def connection(bridge_database: str) -> AsyncIterator[Connection]:
    pool = await open_pool(bridge_database, size=2, application_name="test")
    async with pool.acquire() as acquired:
        yield acquired
    await pool.close()


@dataclass
class Desk:
    """A futures account, and an exchange that numbers orders and trades."""

    connection: Connection
    bot: Bot
    user: UUID
    account: UUID
    number: int = 0

    @property
    def origin(self) -> FillOrigin:
        return FillOrigin(self.account, Market.FUTURES, 1, ("BTC", "USDT"))

    def event(self, client_id: str, side: str, quantity: str, price: str, **keys: Any) -> dict[str, Any]:
        """Write an ORDER_TRADE_UPDATE of one execution that fills an order."""
        self.number += 1
        at = int((START + timedelta(seconds=self.number)).timestamp() * 1000)
        order = {
            "s": "BTCUSDT", "c": client_id, "S": side.upper(), "o": "MARKET", "x": "TRADE", "X": "FILLED",
            "i": 1000 + self.number, "l": quantity, "z": quantity, "L": price, "n": "0.1", "N": "USDT",
            "T": at, "t": self.number, "m": False, "ps": "BOTH", "rp": "0",
        }  # fmt: skip
        return {"e": "ORDER_TRADE_UPDATE", "T": at, "E": at, "o": order | keys}

    async def claim(self, side: str = "buy", **columns: Any) -> Claimed:
        """Insert a futures row and claim it."""
        return await claimed(
            self.connection,
            self.bot,
            (self.user, self.account),
            market_type="futures",
            side=side,
            lot_step="0.001",
            **columns,
        )

    async def trade(
        self, side: str, quantity: str, price: str, *, strategy: UUID | None = None, **keys: Any
    ) -> Settled:
        """Claim an order, and settle the event that fills it."""
        order = await self.claim(side, strategy_id=strategy, reduce_only=keys.pop("reduce_only", False))
        own_id = client_order_id(order.order_id, 1)
        report = report_of_event(self.event(own_id, side, quantity, price, **keys), self.origin)
        assert report is not None
        return await settle(self.connection, [report])

    def stranger(self, client_id: str, side: str, quantity: str, price: str, **keys: Any) -> Fill:
        """An execution of an order we never sent."""
        fill = fill_from_event(self.event(client_id, side, quantity, price, **keys), self.origin)
        assert fill is not None
        return fill

    async def store(self, *fills: Fill) -> None:
        """Store executions of strangers and count them, as the listener does."""
        async with self.connection.transaction():
            await store_external_fills(self.connection, fills, "stream")
            await apply_fills(self.connection, [(self.account, "futures", "BTCUSDT")])

    def positions(self) -> list[dict[str, Any]]:
        """Read the user's positions as the bot does."""
        return sorted(self.bot.read_positions(self.user), key=lambda row: row["opened_at"])

    async def events(self, kind: str) -> int:
        """Count the events of a kind."""
        count: int = await self.connection.fetchval("SELECT count(*) FROM bridge.event WHERE kind = $1", kind)
        return count


@pytest.fixture
def desk(connection: Connection, bot: Bot) -> Desk:
    user = bot.user()
    return Desk(connection, bot, user, bot.account(user))


async def test_a_long_and_its_close(desk: Desk) -> None:
    """Profit net of fees, the exit price, the slash symbol; quantities are gross, fees leave no base."""
    await desk.trade("buy", "0.01", "70000")
    await desk.trade("sell", "0.01", "71000", rp="10", reduce_only=True)
    (row,) = desk.positions()
    assert (row["symbol"], row["market_type"], row["side"]) == ("BTC/USDT", "futures", "long")
    assert (row["status"], row["size"], row["current_price"]) == ("closed", D("0.01"), D(71000))
    assert row["realized_pnl"] == D("9.8")
    assert await desk.events("realized_differs") == 0


async def test_a_short_and_its_close(desk: Desk) -> None:
    """A futures sell without a position is a short."""
    await desk.trade("sell", "0.01", "70000")
    (row,) = desk.positions()
    assert (row["side"], row["status"], row["size"]) == ("short", "open", D("0.01"))
    await desk.trade("buy", "0.01", "69000", rp="10", reduce_only=True)
    (row,) = desk.positions()
    assert (row["status"], row["realized_pnl"]) == ("closed", D("9.8"))


async def test_one_way_flips(desk: Desk) -> None:
    """One order closes the long and opens the short: two rows, the fee shared."""
    await desk.trade("buy", "0.01", "70000")
    settled = await desk.trade("sell", "0.03", "70000")
    assert [change.kind for change in settled.positions] == [Kind.CLOSED, Kind.OPENED]
    long, short = desk.positions()
    assert (long["status"], short["side"], short["status"], short["size"]) == (
        "closed", "short", "open", D("0.02"),
    )  # fmt: skip


async def test_hedge_mode_keeps_both_sides(desk: Desk) -> None:
    """A long and a short of one symbol stand beside each other, and each closes by itself."""
    await desk.trade("buy", "0.01", "70000", ps="LONG")
    await desk.trade("sell", "0.02", "70000", ps="SHORT")
    assert {(row["side"], row["size"]) for row in desk.positions()} == {
        ("long", D("0.01")),
        ("short", D("0.02")),
    }
    await desk.trade("buy", "0.02", "70000", ps="SHORT", R=True)
    assert {(row["side"], row["status"]) for row in desk.positions()} == {
        ("long", "open"),
        ("short", "closed"),
    }


async def test_strategies_share_the_position_the_exchange_keeps(desk: Desk) -> None:
    """Two strategies on one symbol are one position there, shown under the strategy that opened it."""
    first, second = desk.bot.strategy(desk.user), desk.bot.strategy(desk.user)
    await desk.trade("buy", "0.01", "70000", strategy=first)
    await desk.trade("buy", "0.01", "71000", strategy=second)
    (row,) = desk.positions()
    assert (row["size"], row["entry_price"], row["strategy_id"]) == (D("0.02"), D(70500), first)
    await desk.trade("sell", "0.02", "71000", strategy=second, rp="10")
    await desk.trade("buy", "0.01", "71000", strategy=second)
    closed, opened = desk.positions()
    assert (closed["strategy_id"], opened["strategy_id"]) == (first, second)


async def test_a_manual_trade_counts_into_the_position(desk: Desk) -> None:
    """The exchange knows one position, whoever traded: half closed by hand is half left."""
    await desk.trade("buy", "0.02", "70000")
    await desk.store(desk.stranger("web_1", "sell", "0.01", "70500", rp="5"))
    (row,) = desk.positions()
    assert (row["size"], row["realized_pnl"]) == (D("0.01"), D("4.8"))


async def test_a_manual_trade_alone_makes_no_position_of_ours(desk: Desk) -> None:
    """What the user trades by hand on symbols we never traded is his own business."""
    await desk.store(desk.stranger("web_1", "buy", "0.01", "70000"))
    assert desk.positions() == []


async def test_a_liquidation_ends_the_position_as_such(desk: Desk) -> None:
    """The row says liquidated, the profit is what is left of it."""
    await desk.trade("buy", "0.01", "70000")
    liquidation = desk.stranger(
        "autoclose-1790000000000000001", "sell", "0.01", "63000", x="CALCULATED", rp="-70"
    )
    await desk.store(liquidation)
    (row,) = desk.positions()
    assert (row["status"], row["realized_pnl"], row["current_price"]) == ("liquidated", D("-70.2"), D(63000))
    assert row["closed_at"] is not None
    # Told again, by the trade list this time: nothing changes.
    await desk.store(replace(liquidation))
    assert desk.positions() == [row]
    assert await desk.events("fill_contradiction") == 0


async def test_deleveraging_is_an_ordinary_close(desk: Desk) -> None:
    """ADL closes at a gain; the row is closed."""
    await desk.trade("sell", "0.01", "70000")
    await desk.store(desk.stranger("adl_autoclose", "buy", "0.01", "60000", rp="100"))
    (row,) = desk.positions()
    assert (row["status"], row["realized_pnl"]) == ("closed", D("99.8"))


async def test_a_stranger_told_in_two_ways_is_an_alarm(desk: Desk) -> None:
    """What was stored first stands; the other version is written down."""
    await desk.trade("buy", "0.02", "70000")
    fill = desk.stranger("web_1", "sell", "0.01", "70500", rp="5")
    await desk.store(fill)
    await desk.store(replace(fill, price=D(1), quote=D("0.01")))
    assert await desk.events("fill_contradiction") == 1
    (row,) = desk.positions()
    assert row["realized_pnl"] == D("4.8")


async def test_a_late_fill_folds_liquidations_again(desk: Desk) -> None:
    """A trade from before the liquidation comes late: the row stays liquidated, its figures are corrected."""
    await desk.trade("buy", "0.01", "70000")
    late = desk.stranger("web_1", "buy", "0.01", "69000")
    await desk.store(desk.stranger("autoclose-1", "sell", "0.02", "63000", rp="-130"))
    await desk.store(late)
    rows = [row for row in desk.positions() if row["size"] > 0]
    assert [row["status"] for row in rows] == ["liquidated"]
    assert rows[0]["entry_price"] == D(69500)


async def test_another_profit_than_the_exchanges_is_told(desk: Desk) -> None:
    """A close of more than we know of brings the exchange another profit: somebody misses a trade."""
    await desk.trade("buy", "0.01", "70000")
    await desk.trade("sell", "0.01", "71000", rp="25")
    assert await desk.events("realized_differs") == 1


async def test_a_row_of_the_bots_from_before_us_is_where_it_begins(desk: Desk) -> None:
    """An open futures row of any strategy becomes the opening entry of that side."""
    strategy = desk.bot.strategy(desk.user)
    desk.bot.connection.execute(
        "INSERT INTO positions (user_id, exchange_account_id, strategy_id, symbol, market_type, side, "
        "size, entry_price, current_price, liquidation_price, stop_loss_price, take_profit_price, "
        "trailing_stop_pct, open_reasoning, opened_at) "
        "VALUES (%s, %s, %s, 'BTC/USDT', 'futures', 'short', 0.02, 71000, 71000, 0, 0, 0, 0, '', %s)",
        (desk.user, desk.account, strategy, START - timedelta(days=1)),
    )
    await desk.trade("buy", "0.02", "70000", rp="20", reduce_only=True)
    (row,) = desk.positions()
    assert (row["status"], row["side"], row["realized_pnl"]) == ("closed", "short", D("19.9"))


async def test_conditional_attempts_are_told_by_what_was_signed(desk: Desk) -> None:
    """An attempt knows whether it went to the algo service, also one this history had forgotten."""
    plain = await desk.claim()
    stop = await desk.claim(parameters="algoType=CONDITIONAL&symbol=BTCUSDT", type="stop_market")
    rows = await desk.connection.fetch("SELECT order_id, conditional FROM bridge.attempt")
    assert {row["order_id"]: row["conditional"] for row in rows} == {
        plain.order_id: False,
        stop.order_id: True,
    }
    forgotten = client_order_id(stop.order_id, 2)
    algo = {"caid": forgotten, "aid": 5, "s": "BTCUSDT", "q": "0.01", "X": "NEW", "ai": ""}
    report = report_of_event({"e": "ALGO_UPDATE", "T": 1790000000000, "o": algo}, desk.origin)
    assert report is not None
    await settle(desk.connection, [report])
    assert await desk.connection.fetchval(
        "SELECT conditional FROM bridge.attempt WHERE client_order_id = $1", forgotten
    )


async def test_a_late_fill_that_merges_two_lives_leaves_the_next_one_its_number(desk: Desk) -> None:
    """With the late buy the long never ended in between; what opens afterwards is counted all the same."""
    late = desk.stranger("web_1", "buy", "0.01", "70000")
    await desk.trade("buy", "0.01", "70000")
    await desk.trade("sell", "0.01", "70000")  # ends it, as far as is known
    await desk.trade("buy", "0.01", "70000")
    await desk.store(late)
    await desk.trade("sell", "0.02", "70000")
    await desk.trade("buy", "0.03", "70000")
    (position,) = [row for row in desk.positions() if row["status"] == "open"]
    assert (position["side"], position["size"]) == ("long", D("0.03"))
