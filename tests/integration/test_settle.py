"""PROTOCOL 6 on a real database: whatever the order in which things are told, the rows end the same."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.database.connect import open_pool
from shared.database.settle import settle
from shared.domain.fill import from_answer
from shared.domain.reports import report_of_answer, report_of_query, with_trades
from shared.domain.settlement import OrderReport, Outcome
from shared.domain.states import AttemptOutcome
from tests.bot import Bot
from tests.claimed import START, Claimed, claimed
from tests.ledger_rows import everything

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.database.connect import Connection

A_SECOND = timedelta(seconds=1)


@pytest.fixture
async def connection(bridge_database: str) -> AsyncIterator[Connection]:
    pool = await open_pool(bridge_database, size=2, application_name="test")
    async with pool.acquire() as acquired:
        yield acquired
    await pool.close()


@contextlib.asynccontextmanager
async def another_process(dsn: str, name: str) -> AsyncIterator[Connection]:
    """Connect as another process would."""
    pool = await open_pool(dsn, size=1, application_name=name)
    async with pool.acquire() as acquired:
        yield acquired
    await pool.close()


async def somebody_waits(connection: Connection, application: str) -> None:
    """Wait until a connection waits for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while not await connection.fetchval(query, application):
            await asyncio.sleep(0.01)
            await connection.execute("SELECT pg_stat_clear_snapshot()")  # a transaction keeps what it saw


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user)


def full_answer(order: Claimed) -> dict[str, Any]:
    """Write the FULL answer that goes with the events of a market order so far."""
    trades = [event for event in order.events if event["x"] == "TRADE"]
    last = order.events[-1]
    return {
        "symbol": last["s"], "orderId": last["i"], "clientOrderId": last["c"], "transactTime": last["T"],
        "status": last["X"], "side": last["S"], "executedQty": last["z"], "cummulativeQuoteQty": last["Z"],
        "fills": [
            {
                "price": t["L"], "qty": t["l"], "tradeId": t["t"],
                "commission": t["n"], "commissionAsset": t["N"],
            }
            for t in trades
        ],
    }  # fmt: skip


def queried(order: Claimed, events: int) -> OrderReport:
    """Read what a query would have told after so many events, without fills."""
    last = order.events[events - 1]
    report = report_of_query(
        {
            "symbol": last["s"], "orderId": last["i"], "updateTime": last["T"],
            "clientOrderId": last["C"] or last["c"],
            "status": last["X"], "side": last["S"], "executedQty": last["z"],
            "cummulativeQuoteQty": last["Z"],
        },
        order.origin,
    )  # fmt: skip
    assert report is not None
    return report


def listed(order: Claimed) -> OrderReport:
    """Read what query and trade list tell together at the end."""
    trades = [
        {
            "symbol": t["s"], "id": t["t"], "orderId": t["i"], "price": t["L"], "qty": t["l"],
            "quoteQty": t["Y"], "commission": t["n"], "commissionAsset": t["N"], "time": t["T"],
            "isBuyer": t["S"] == "BUY", "isMaker": False,
        }
        for t in order.events
        if t["x"] == "TRADE"
    ]  # fmt: skip
    return with_trades(queried(order, len(order.events)), trades, order.origin)


async def test_the_event_may_come_before_the_answer(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The stream is first, the answer changes nothing any more; and the other way round."""
    rows = []
    for number, stream_first in enumerate((True, False), 1):
        order = await claimed(connection, bot, account, exchange_order_id=number)
        order.event()
        order.trade(1, "0.003", "70000", fee="0.000003", asset="BTC", after_ms=0)
        order.trade(2, "0.002", "70010", fee="0.000002", asset="BTC", last=True, after_ms=0)
        answer = report_of_answer(full_answer(order), order.origin)
        assert answer is not None
        told = [order.reports(), [answer]] if stream_first else [[answer], order.reports()]
        for reports in told:
            await settle(connection, reports)
        row = bot.read_order(order.order_id)
        rows.append({name: row[name] for name in ("status", "filled_amount", "avg_fill_price", "fee")})
        assert row["filled_at"] == order.moment
    assert rows[0] == rows[1]
    assert rows[0]["filled_amount"] == Decimal("0.005")
    assert await connection.fetchval("SELECT count(*) FROM bridge.fill") == 4


async def test_an_outcome_without_the_token_counts_for_nothing(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Positive evidence settles at once; a worker's later word that nothing was sent is not believed."""
    order = await claimed(connection, bot, account)
    await settle(connection, [order.report(order.event())])
    word = Outcome(order.order_id, 1, order.token, AttemptOutcome.NOT_SENT, "reset", "the connection broke")
    settled = await settle(connection, [word])
    assert settled.ignored == (word,)
    assert await connection.fetchval("SELECT state FROM bridge.outbox") == "submitted"


async def test_a_report_for_another_symbol_is_no_evidence(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """An answer counts only if its symbol is the attempt's (PROTOCOL 5)."""
    order = await claimed(connection, bot, account)
    report = order.report(order.event(s="ETHUSDT"))
    assert (await settle(connection, [report])).orphans == (report,)
    assert bot.read_order(order.order_id)["exchange_order_id"] == ""


async def test_the_bots_cancel_does_not_hide_a_fill(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What filled stays filled, even over the bot's `canceled` (PROTOCOL 9)."""
    order = await claimed(connection, bot, account)
    bot.cancel(order.order_id)
    order.trade(1, "0.1", "70000", last=True)
    await settle(connection, order.reports())
    assert bot.read_order(order.order_id)["status"] == "filled"


async def test_two_settle_at_the_same_time(
    bridge_database: str, connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The executor's answer and the listener's event at one moment: each fill counts once."""
    pool = await open_pool(bridge_database, size=8, application_name="test")
    orders = [await claimed(connection, bot, account, exchange_order_id=number) for number in range(1, 9)]
    for order in orders:
        order.trade(order.exchange_order_id, "1", "100", last=True)

    async def tell(reports: Sequence[OrderReport]) -> None:
        async with pool.acquire() as own:
            await settle(own, reports)

    stream = [order.report(order.events[-1]) for order in orders]
    answers = [report_of_answer(full_answer(order), order.origin) for order in orders]
    await asyncio.gather(tell(stream), *(tell([answer]) for answer in answers if answer), tell(stream[::-1]))
    await pool.close()
    assert await connection.fetchval("SELECT count(*) FROM bridge.fill") == 8
    assert await connection.fetchval("SELECT size FROM bridge.position") == 8


async def test_a_report_takes_two_round_trips(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """One statement reads, one locks, looks again and writes."""
    ran: list[str] = []
    connection.add_query_logger(lambda query: ran.append(query.query))
    for number in (1, 2):  # the first time asyncpg asks for types
        order = await claimed(connection, bot, account, exchange_order_id=number)
        order.event()
        order.trade(number, "1", "100", last=True)
        for report in order.reports():
            ran.clear()
            await settle(connection, [report])
            assert number == 1 or len(ran) == 2, ran
        assert bot.read_order(order.order_id)["status"] == "filled"


async def test_a_row_that_the_bot_changes_after_it_was_read_is_read_again(
    bridge_database: str, connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The bot cancels while a report is being written: what was decided of the row before is not written."""
    order = await claimed(connection, bot, account)
    order.event()
    async with another_process(bridge_database, "told") as told:
        with bot.connection.transaction():
            bot.connection.execute("UPDATE orders SET status = 'canceled' WHERE id = %s", [order.order_id])
            settling = asyncio.create_task(settle(told, order.reports()))
            await somebody_waits(connection, "told")
        settled = await settling
    assert [line.order_status for line in settled.lines] == ["canceled"]
    assert bot.read_order(order.order_id)["status"] == "canceled"
    assert await connection.fetchval("SELECT count(*) FROM bridge.evidence") == 1


@pytest.mark.parametrize("held", ["nothing yet", "something"])
async def test_a_position_that_moves_after_it_was_read_is_read_again(
    bridge_database: str, connection: Connection, bot: Bot, account: tuple[UUID, UUID], held: str
) -> None:
    """Two orders of one symbol fill at one moment: the second counts into what the first has made of it."""
    before, first, second = [await claimed(connection, bot, account, exchange_order_id=n) for n in (1, 2, 3)]
    for order in (before, first, second):
        order.trade(order.exchange_order_id, "1", "100", last=True)
    if held == "something":
        await settle(connection, before.reports())
    async with another_process(bridge_database, "told") as told:
        async with connection.transaction():
            await settle(connection, first.reports())
            settling = asyncio.create_task(settle(told, second.reports()))
            await somebody_waits(connection, "told")
        settled = await settling
    size = 3 if held == "something" else 2
    assert [change.size for change in settled.positions] == [size]
    assert await connection.fetchval("SELECT size FROM bridge.position") == size
    assert await connection.fetchval("SELECT count(*) FROM bridge.holding") == 1


async def test_a_row_the_bot_holds_is_not_waited_for_long(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Somebody holds the row: settling fails in seconds instead of stalling, and can be repeated."""
    order = await claimed(connection, bot, account)
    order.trade(1, "1", "100", last=True)
    await connection.execute("SET lock_timeout = '50ms'")
    with bot.connection.transaction():
        bot.connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", [order.order_id])
        with pytest.raises(asyncpg.LockNotAvailableError):
            await settle(connection, order.reports())
    await settle(connection, order.reports())
    assert bot.read_order(order.order_id)["status"] == "filled"


@pytest.mark.parametrize("outcome", ["unknown", None])
async def test_a_later_attempt_of_a_lost_history_overtakes_the_one_before(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], outcome: str | None
) -> None:
    """That number 1 was not sent, and the claim of number 2, are lost with a failover; number 2 is there.

    It was claimed when number 1 was known not to exist (PROTOCOL 3), so it is no second order, and nothing to
    halt the account for. If number 1 shows up as well, it is.
    """
    order = await claimed(connection, bot, account)
    await connection.execute("UPDATE bridge.attempt SET outcome = $1", outcome)
    first = order.report(order.event())
    order.number, order.exchange_order_id = 2, 200
    order.trade(1, "0.1", "70000", last=True)
    settled = await settle(connection, [order.report(order.events[-1])])
    assert [(line.number, line.late) for line in settled.lines] == [(2, False)]
    assert bot.read_order(order.order_id)["status"] == "filled"
    attempts = await connection.fetch("SELECT number, outcome, late FROM bridge.attempt ORDER BY number")
    assert [tuple(row) for row in attempts] == [(1, "absent", False), (2, "accepted", False)]
    assert await connection.fetchval("SELECT state FROM bridge.outbox") == "done"
    assert not await connection.fetchval("SELECT EXISTS (SELECT FROM bridge.control WHERE halted)")

    await settle(connection, [first])
    assert await connection.fetchval("SELECT late FROM bridge.attempt WHERE number = 1")
    assert await connection.fetchval("SELECT EXISTS (SELECT FROM bridge.control WHERE halted)")


async def test_a_later_attempt_beside_an_accepted_one_is_a_second_order(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What is accepted stays so; another order of the row that nobody knew of halts the account."""
    order = await claimed(connection, bot, account)
    await settle(connection, [order.report(order.event())])
    order.number, order.exchange_order_id = 2, 200
    await settle(connection, [order.report(order.event())])
    attempts = await connection.fetch("SELECT number, outcome, late FROM bridge.attempt ORDER BY number")
    assert [tuple(row) for row in attempts] == [(1, "accepted", False), (2, "absent", True)]
    assert await connection.fetchval("SELECT EXISTS (SELECT FROM bridge.control WHERE halted)")


async def test_two_processes_are_told_of_a_forgotten_attempt_at_once(
    bridge_database: str, connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """After a failover, the listener by its stream and an executor by asking: one makes it again."""
    order = await claimed(connection, bot, account)
    order.trade(1, "0.1", "70000", last=True)
    await connection.execute("DELETE FROM bridge.attempt")
    await connection.execute("UPDATE bridge.outbox SET state = 'backoff', attempts = 0")
    pool = await open_pool(bridge_database, size=2, application_name="told")

    async def tell(report: OrderReport) -> None:
        async with pool.acquire() as own:
            await settle(own, [report])

    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'told' AND wait_event_type = 'Lock'"
    )
    with bot.connection.transaction():
        bot.connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", [order.order_id])
        told = asyncio.gather(tell(order.reports()[0]), tell(queried(order, 1)))
        async with asyncio.timeout(10):
            while await connection.fetchval(waiting) < 2:
                await asyncio.sleep(0.01)
    await told
    await pool.close()
    assert bot.read_order(order.order_id)["status"] == "filled"
    events = await connection.fetch("SELECT kind FROM bridge.event WHERE order_id = $1", order.order_id)
    assert [row["kind"] for row in events].count("recovered") == 1


FEES = st.sampled_from([("0", None), ("0.001", "SOL"), ("0.0001", "BNB"), ("0.1", "USDT")])


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[tuple[str, str, tuple[str, str | None]]], str]:
    """Some trades of one order, each with price, quantity and fee, and how it ends."""
    trades = draw(
        st.lists(
            st.tuples(st.integers(1, 50).map(lambda n: f"{n / 10}"), st.integers(90, 110).map(str), FEES),
            min_size=1,
            max_size=4,
        )
    )
    return trades, draw(st.sampled_from(["FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"]))


def tell_life(order: Claimed, trades: list[tuple[str, str, tuple[str, str | None]]], end: str) -> None:
    """Let an order live: NEW, its trades, its end."""
    order.event()
    for place, (quantity, price, (fee, asset)) in enumerate(trades, 1):
        last = end == "FILLED" and place == len(trades)
        trade_id = order.exchange_order_id * 100 + place
        order.trade(trade_id, quantity, price, fee=fee, asset=asset, last=last)
    if end != "FILLED":
        order.moment += A_SECOND
        own = order.events[0]["c"]
        ids = {"c": "cancel-request", "C": own} if end == "CANCELED" else {}
        order.event(x=end, X=end, **ids)


@settings(
    max_examples=25,
    derandomize=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)
@given(data=st.data())
def test_any_order_of_reports_ends_the_same(
    bridge_database: str, bot_database: str, data: st.DataObject
) -> None:
    """Permuted, doubled, split into batches, with queries between: same rows, fills and positions."""
    buys = data.draw(st.lists(lives(), min_size=1, max_size=2), label="buys")
    sells = data.draw(st.lists(lives(), max_size=1), label="sells")
    asyncio.run(_any_order(bridge_database, bot_database, data, buys, sells))


async def _any_order(
    bridge_database: str, bot_database: str, data: st.DataObject, buys: list[Any], sells: list[Any]
) -> None:
    pool = await open_pool(bridge_database, size=1, application_name="test")
    async with pool, pool.acquire() as connection:
        with Bot(bot_database) as bot:
            in_order = await _lived(connection, bot, buys, sells, None)
            assert await _lived(connection, bot, buys, sells, data) == in_order


async def _lived(
    connection: Connection, bot: Bot, buys: list[Any], sells: list[Any], data: st.DataObject | None
) -> dict[str, list[Any]]:
    """Let the orders live on an account of their own, told in order or as drawn; returns what was written."""
    user = bot.user()
    account = (user, bot.account(user))
    orders = []
    for number, (trades, end) in enumerate([*buys, *sells], 1):
        side = "buy" if number <= len(buys) else "sell"
        order = await claimed(
            connection, bot, account, base="SOL", lot_step="0.1", side=side, exchange_order_id=number
        )
        tell_life(order, trades, end)
        orders.append(order)
    reports = [valued(report) for order in orders for report in order.reports()]
    for batch in [reports] if data is None else _batches(data, _shuffle(data, orders, reports)):
        await settle(connection, batch)
    return await everything(connection, account[1])


def valued(report: OrderReport) -> OrderReport:
    """Value a fee in BNB as the listener does before it settles; the price is the same whoever asks."""
    return replace(
        report,
        fills=tuple(
            replace(fill, commission_in_quote=fill.commission * 600)
            if fill.commission_asset == "BNB"
            else fill
            for fill in report.fills
        ),
    )


def _shuffle(data: st.DataObject, orders: list[Claimed], reports: list[OrderReport]) -> list[OrderReport]:
    doubled = data.draw(st.lists(st.sampled_from(reports), max_size=4), label="twice")
    queries = [
        queried(order, data.draw(st.integers(1, len(order.events)), label="queried after"))
        for order in orders
    ]
    listings = [valued(listed(order)) for order in orders]
    return list(data.draw(st.permutations([*reports, *doubled, *queries, *listings]), label="told"))


def _batches(data: st.DataObject, reports: list[OrderReport]) -> list[list[OrderReport]]:
    batches: list[list[OrderReport]] = [[]]
    for report in reports:
        begins: bool = data.draw(st.booleans(), label="new batch")
        if batches[-1] and begins:
            batches.append([])
        batches[-1].append(report)
    return batches


def test_an_answers_fills_have_the_keys_of_its_events() -> None:
    """The same execution has the same key wherever it is told, or it would be counted twice."""
    order = Claimed(UUID(int=1), UUID(int=2), UUID(int=3), "SOL", "USDT", 5, "buy", moment=START)
    order.trade(9, "1", "100", last=True)
    (of_event,) = order.reports()[0].fills
    (of_answer,) = from_answer(full_answer(order), order.origin)
    assert of_event.key == of_answer.key == listed(order).fills[0].key
