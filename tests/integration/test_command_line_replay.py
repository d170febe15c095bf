"""Promise 4 from the keyboard: positions are what their fills come to, and can be made so again."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from shared.database.connect import open_pool
from shared.database.settle import settle
from tests.claimed import claimed
from tests.command_line import Terminal

if TYPE_CHECKING:
    from uuid import UUID

    from tests.bot import Bot


@pytest.fixture
def terminal(bridge_database: str) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database})


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user, label="main")


@pytest.fixture
def traded(bridge_database: str, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """Two lives of SOL, the first over, the second half sold; one of BTC."""

    async def trade() -> None:
        pool = await open_pool(bridge_database, size=1, application_name="test")
        async with pool.acquire() as connection:

            async def done(number: int, base: str, side: str, quantity: str, price: str) -> None:
                order = await claimed(
                    connection,
                    bot,
                    account,
                    base=base,
                    side=side,
                    lot_step="0.001",
                    exchange_order_id=number,
                )
                order.trade(number, quantity, price, fee="0.1", asset="USDT", last=True, after_ms=number)
                await settle(connection, order.reports())

            await done(1, "SOL", "buy", "2", "150")
            await done(2, "SOL", "sell", "2", "160")
            await done(3, "SOL", "buy", "4", "155")
            await done(4, "SOL", "sell", "1", "170")
            await done(5, "BTC", "buy", "0.005", "70000")
        await pool.close()

    asyncio.run(trade())


def changed(database: str, *statements: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement.encode())


def tables(database: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything replay may write, without the times of writing."""
    queries = {
        "holding": "SELECT to_jsonb(h) - 'changed_at' FROM bridge.holding AS h ORDER BY id",
        "position": "SELECT to_jsonb(p) - 'changed_at' FROM bridge.position AS p ORDER BY id",
        "row": "SELECT to_jsonb(p) - 'updated_at' FROM public.positions AS p ORDER BY id",
        "fill": "SELECT to_jsonb(f) FROM bridge.fill AS f ORDER BY trade_id",
    }
    with psycopg.connect(database) as admin:
        return {name: admin.execute(query.encode()).fetchall() for name, query in queries.items()}


def named(told: dict[str, Any]) -> set[tuple[str, str, int, str]]:
    return {
        (one["symbol"], difference["place"], difference["number"], difference["field"])
        for one in told["differing"]
        for difference in one["found"]
    }


@pytest.mark.usefixtures("traded")
def test_what_was_counted_one_by_one_is_what_all_fills_come_to(terminal: Terminal, database: str) -> None:
    """Folded again at once, nothing differs, and nothing is written, with --repair neither."""
    before = tables(database)
    told = terminal.json("replay")
    assert (told["holdings"], told["fills"], told["differing"], told["left"]) == (2, 5, [], 0)
    assert terminal.json("replay", "--account", "main", "--symbol", "sol/usdt", "--repair")["fills"] == 4
    assert "5 fills of 2 holdings folded again" in terminal.run("replay", "--repair")
    assert tables(database) == before


@pytest.mark.usefixtures("traded")
def test_what_somebody_wrote_by_hand_is_shown_and_mended(terminal: Terminal, database: str) -> None:
    """Ledger, state and the bot's row: each difference by column; mended it is as it was, and audited."""
    before = tables(database)
    changed(
        database,
        "UPDATE bridge.position SET size = 99, realized = 0 WHERE symbol = 'SOLUSDT' AND number = 2",
        "UPDATE bridge.holding SET dust = 1, cycles = 1 WHERE symbol = 'SOLUSDT'",
        "UPDATE positions SET realized_pnl = 1000 WHERE symbol = 'SOL/USDT' AND status = 'closed'",
        "UPDATE positions SET entry_price = 1, closed_at = now() WHERE symbol = 'BTC/USDT'",
    )
    wanted = {
        ("SOLUSDT", "bridge.position", 2, "size"),
        ("SOLUSDT", "bridge.position", 2, "realized"),
        ("SOLUSDT", "bridge.holding", 0, "dust"),
        ("SOLUSDT", "bridge.holding", 0, "cycles"),
        ("SOLUSDT", "public.positions", 1, "realized_pnl"),
        ("BTCUSDT", "public.positions", 1, "entry_price"),
        ("BTCUSDT", "public.positions", 1, "closed_at"),
    }
    spoiled = tables(database)
    told = terminal.json("replay", code=ExitCode.FAILED)
    assert (named(told), told["left"]) == (wanted, len(wanted))
    assert tables(database) == spoiled, "looking writes nothing"
    text = terminal.run("replay", code=ExitCode.FAILED)
    assert "bridge replay --repair" in text
    assert "99" in text

    mended = terminal.json("replay", "--repair")
    assert (named(mended), mended["left"]) == (wanted, 0)
    assert tables(database) == before
    with psycopg.connect(database) as admin:
        query = "SELECT data FROM bridge.event WHERE kind = 'operator_replays' ORDER BY data ->> 'symbol'"
        events = [data for (data,) in admin.execute(query).fetchall()]
    assert [event["symbol"] for event in events] == ["BTCUSDT", "SOLUSDT"]
    assert all(event["by"] for event in events)
    assert {one["stored"] for one in events[1]["mended"] if one["field"] == "size"} == {"99"}
    assert terminal.json("replay")["differing"] == []


@pytest.mark.usefixtures("traded")
def test_a_fill_that_nobody_counted_is_counted(terminal: Terminal, database: str) -> None:
    """A fill that is stored and marked as not counted is told; the repair counts it, once."""
    before = tables(database)
    changed(database, "UPDATE bridge.fill SET applied = false WHERE trade_id = 5")
    told = terminal.json("replay", code=ExitCode.FAILED)
    assert named(told) == {("BTCUSDT", "bridge.fill", 0, "applied")}
    assert terminal.json("replay", "--repair")["left"] == 0
    assert tables(database) == before


@pytest.mark.usefixtures("traded")
def test_what_the_bot_closed_stays_closed(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """A position the bot closed while it is held is no difference, and is not opened again (DESIGN 6)."""
    changed(
        database,
        "UPDATE positions SET status = 'closed', closed_at = now() WHERE symbol = 'BTC/USDT'",
        "UPDATE bridge.position SET bot_closed_at = now() WHERE symbol = 'BTCUSDT'",
    )
    assert terminal.json("replay", "--repair")["differing"] == []
    (row,) = [row for row in bot.read_positions(account[0]) if row["symbol"] == "BTC/USDT"]
    assert row["status"] == "closed"


@pytest.mark.usefixtures("traded")
def test_what_has_lost_its_row_is_told_and_left(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], database: str
) -> None:
    """No second row is made for a life the ledger has lost, nor a new one for a row somebody deleted."""
    changed(
        database,
        "DELETE FROM bridge.position WHERE symbol = 'SOLUSDT' AND number = 1",
        "DELETE FROM positions WHERE symbol = 'BTC/USDT'",
    )
    told = terminal.json("replay", "--repair", code=ExitCode.FAILED)
    assert named(told) == {
        ("SOLUSDT", "bridge.position", 1, "number"),
        ("BTCUSDT", "public.positions", 1, "id"),
    }
    assert told["left"] == 2
    assert "runbook" in terminal.run("replay", "--repair", code=ExitCode.FAILED)
    rows = [(row["symbol"], row["size"]) for row in bot.read_positions(account[0])]
    assert rows == [("SOL/USDT", Decimal(2)), ("SOL/USDT", Decimal(3))]
