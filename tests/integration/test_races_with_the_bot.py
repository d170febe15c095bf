"""PROTOCOL 9 and 12 on a real database: the bot writes to the very rows that are being sent."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.database.cancels import close_unsent, take_cancels
from shared.database.connect import open_pool
from shared.database.settle import hold, settle
from shared.domain.settlement import MOVED, Outcome
from shared.domain.states import AttemptOutcome
from tests.claimed import Claimed, claimed
from tests.intended import claim_all, epoch_of, peek

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.database.connect import Connection
    from tests.bot import Bot

MOVED_TO = ("open", "partial", "filled", "rejected", "expired")
AGAIN_AFTER = timedelta(seconds=5)


@pytest.fixture
async def connection(bridge_database: str) -> AsyncIterator[Connection]:
    pool = await open_pool(bridge_database, size=1, application_name="test")
    async with pool.acquire() as acquired:
        await epoch_of(acquired)
        yield acquired
    await pool.close()


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user)


@pytest.fixture
def order(bot: Bot, account: tuple[UUID, UUID]) -> UUID:
    return bot.order(*account)


def move(bot: Bot, order: UUID, status: str) -> None:
    """Write the row's status, as whoever works on the same rows does."""
    bot.connection.execute("UPDATE orders SET status = %s WHERE id = %s", [status, order])


async def entry_of(connection: Connection, order: UUID) -> dict[str, Any]:
    row = await connection.fetchrow("SELECT * FROM bridge.outbox WHERE order_id = $1", order)
    assert row is not None
    return dict(row)


async def told(connection: Connection, order: UUID) -> list[str]:
    """Read what the feed says about an order."""
    rows = await connection.fetch("SELECT kind FROM bridge.event WHERE order_id = $1 ORDER BY id", order)
    return [row["kind"] for row in rows]


async def hold_it(connection: Connection) -> None:
    """Hold what is ready."""
    (entry,) = await peek(connection)
    assert await hold(connection, [(entry.entry_id, entry.row_version, "twin", "It may be a twin.")])


async def not_sent(connection: Connection) -> None:
    """Claim what is ready, and find that nothing of it was sent."""
    (intent,) = await claim_all(connection)
    word = Outcome(
        intent.order_id, intent.number, intent.token, AttemptOutcome.NOT_SENT, "dns", "No such host."
    )
    assert (await settle(connection, [word])).lines


# -- Before the claim ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", MOVED_TO)
async def test_a_row_that_somebody_else_took_is_closed_and_stands_in_nobodys_way(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], order: UUID, status: str
) -> None:
    """The bot's own executor moved it: never sent, said, and the next row of its key is free."""
    behind = bot.order(*account, amount=Decimal(77))
    move(bot, order, status)
    assert await peek(connection) == [], "until the sweep has looked, the key waits"
    assert await close_unsent(connection) == [(order, status)]
    entry = await entry_of(connection, order)
    assert (entry["state"], entry["reason_code"]) == ("done", MOVED)
    assert bot.read_order(order)["status"] == status, "what the other wrote stays"
    assert (await told(connection, order))[-1] == MOVED
    assert [ready.order.id for ready in await peek(connection)] == [behind]


@pytest.mark.parametrize("status", MOVED_TO)
async def test_a_held_row_that_somebody_else_took_is_closed(
    connection: Connection, bot: Bot, order: UUID, status: str
) -> None:
    """Nothing is left to adopt: what became of the row is another's word."""
    await hold_it(connection)
    move(bot, order, status)
    assert await close_unsent(connection) == [(order, status)]
    assert (await entry_of(connection, order))["reason_code"] == MOVED


@pytest.mark.parametrize("before", ["new", "held", "backoff"])
async def test_a_cancel_before_the_next_attempt_ends_the_row(
    connection: Connection, bot: Bot, order: UUID, before: str
) -> None:
    """New, held or between two attempts: cancelled, and nothing more is sent."""
    if before == "held":
        await hold_it(connection)
    elif before == "backoff":
        await not_sent(connection)
    assert (await entry_of(connection, order))["state"] == before
    bot.cancel(order)
    assert await close_unsent(connection) == [(order, "canceled")]
    entry = await entry_of(connection, order)
    assert (entry["state"], entry["reason_code"]) == ("done", "canceled")
    assert await peek(connection) == []


async def test_what_we_wrote_ourselves_is_no_conflict(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], order: UUID
) -> None:
    """A row that waits, one being retried, one in flight, one held: the look finds nothing."""
    await not_sent(connection)
    await connection.execute("UPDATE bridge.outbox SET not_before = clock_timestamp() + interval '1 hour'")
    bot.order(*account, symbol="ETH/USDT")
    await hold_it(connection)
    bot.order(*account, symbol="SOL/USDT")
    await claim_all(connection)
    bot.order(*account, symbol="BNB/USDT")
    assert await close_unsent(connection) == []
    states = await connection.fetch("SELECT state FROM bridge.outbox ORDER BY id")
    assert [row["state"] for row in states] == ["backoff", "held", "sending", "new"]


async def test_a_row_the_bot_holds_open_is_left_for_the_next_look(
    connection: Connection, bot: Bot, order: UUID
) -> None:
    """The look does not wait for the bot's transaction, and misses nothing when it is over."""
    move(bot, order, "filled")
    await connection.execute("SET lock_timeout = '1ms'")
    with bot.connection.transaction():
        bot.connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", [order])
        assert await close_unsent(connection) == []
    assert await close_unsent(connection) == [(order, "filled")]


async def test_a_row_set_back_to_pending_between_two_attempts_is_opened_and_tried_again(
    connection: Connection, bot: Bot, order: UUID
) -> None:
    """As pending the bot's own executor would take it; it is ours, so it goes on where it was."""
    await not_sent(connection)
    await connection.execute("UPDATE bridge.outbox SET not_before = NULL")
    move(bot, order, "pending")
    assert await peek(connection) == []
    assert await close_unsent(connection) == [(order, "pending")]
    assert bot.read_order(order)["status"] == "open"
    assert (await entry_of(connection, order))["state"] == "backoff"
    (again,) = await claim_all(connection)
    assert (again.order_id, again.number) == (order, 2)


# -- In flight -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["pending", "filled", "rejected", "expired"])
async def test_the_exchange_has_the_last_word_about_a_row_moved_in_flight(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], status: str
) -> None:
    """Our order rests there, whatever somebody else wrote: the row shows it, and it is said once."""
    order = await claimed(connection, bot, account)
    move(bot, order.order_id, status)
    report = order.report(order.event())
    (line,) = (await settle(connection, [report])).lines
    assert MOVED in line.events
    assert bot.read_order(order.order_id)["status"] == "open"
    await settle(connection, [report])
    assert (await told(connection, order.order_id)).count(MOVED) == 1


async def test_the_bots_cancel_in_flight_is_no_conflict(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The bot may cancel at any time: the row stays canceled until the exchange says what became of it."""
    order = await claimed(connection, bot, account)
    bot.cancel(order.order_id)
    await settle(connection, [order.report(order.event())])
    assert bot.read_order(order.order_id)["status"] == "canceled"
    assert MOVED not in await told(connection, order.order_id)


@pytest.mark.parametrize("status", ["filled", "partial", "expired", "rejected"])
async def test_what_another_executed_is_not_overwritten_by_our_refusal(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], status: str
) -> None:
    """Our order was refused; the row tells of another's, which may be real money: it stays as it is."""
    order = await claimed(connection, bot, account)
    bot.connection.execute(
        "UPDATE orders SET status = %s, filled_amount = 0.005, avg_fill_price = 70000 WHERE id = %s",
        [status, order.order_id],
    )
    word = Outcome(
        order.order_id, 1, order.token, AttemptOutcome.REJECTED, "exchange_balance", "Not enough balance."
    )
    await settle(connection, [word])
    row = bot.read_order(order.order_id)
    assert (row["status"], row["filled_amount"]) == (status, Decimal("0.005"))
    assert "Rejected" not in row["reasoning"]
    entry = await entry_of(connection, order.order_id)
    assert (entry["state"], entry["reason_code"]) == ("done", MOVED)
    assert (await told(connection, order.order_id))[-1] == MOVED


@pytest.mark.parametrize("state", ["submitted", "unknown"])
async def test_a_cancel_in_flight_is_taken_once_and_again_after_a_while(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], state: str
) -> None:
    """Live or unknown at the exchange: one replica cancels, and it is repeated while it is not over."""
    order = await claimed(connection, bot, account)
    if state == "submitted":
        await settle(connection, [order.report(order.event())])
    else:
        word = Outcome(order.order_id, 1, order.token, AttemptOutcome.UNKNOWN, "timeout", "No answer.")
        await settle(connection, [word])
    assert await take_cancels(connection, again_after=AGAIN_AFTER) == []
    bot.cancel(order.order_id)
    assert await close_unsent(connection) == []
    (wanted,) = await take_cancels(connection, again_after=AGAIN_AFTER)
    assert (wanted.order_id, wanted.number) == (order.order_id, 1)
    assert await take_cancels(connection, again_after=AGAIN_AFTER) == []
    assert len(await take_cancels(connection, again_after=timedelta(0))) == 1


async def test_a_cancel_does_not_wait_for_a_row_the_bot_holds(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The bot's transaction goes on for seconds after its cancel: the order is taken anyway."""
    order = await claimed(connection, bot, account)
    await settle(connection, [order.report(order.event())])
    bot.cancel(order.order_id)
    await connection.execute("SET lock_timeout = '1ms'")
    with bot.connection.transaction():
        bot.connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", [order.order_id])
        assert len(await take_cancels(connection, again_after=AGAIN_AFTER)) == 1


# -- Found late ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settled_as", [AttemptOutcome.NOT_SENT, AttemptOutcome.REJECTED, AttemptOutcome.ABSENT]
)
async def test_an_order_found_late_halts_the_account_and_is_cancelled(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], settled_as: AttemptOutcome
) -> None:
    """It was settled as not existing and rests at the exchange: nothing more is sent, and it is taken off."""
    order = await claimed(connection, bot, account)
    if settled_as is AttemptOutcome.ABSENT:
        unknown = Outcome(order.order_id, 1, order.token, AttemptOutcome.UNKNOWN, "timeout", "No answer.")
        await settle(connection, [unknown])
    word = Outcome(order.order_id, 1, order.token, settled_as, "code", "It is not there.")
    assert (await settle(connection, [word])).lines
    assert await take_cancels(connection, again_after=AGAIN_AFTER) == []
    (line,) = (await settle(connection, [order.report(order.event())])).lines
    assert line.late
    halt = await connection.fetchrow("SELECT key, reason FROM bridge.control WHERE halted")
    assert halt is not None
    assert halt["key"] == str(order.account_id)
    assert f"b{order.order_id.hex}-1" in halt["reason"]
    (wanted,) = await take_cancels(connection, again_after=AGAIN_AFTER)
    assert (wanted.order_id, wanted.number) == (order.order_id, 1)
    order.event(x="CANCELED", X="CANCELED")
    await settle(connection, [order.report(order.events[-1])])
    assert await take_cancels(connection, again_after=timedelta(0)) == []
    assert bot.read_order(order.order_id)["status"] == "canceled"


async def test_an_order_found_late_beside_the_one_that_took_its_place_is_cancelled_alone(
    connection: Connection, bot: Bot, order: UUID
) -> None:
    """The second attempt is live and stays; of the first only what still rests goes."""
    await not_sent(connection)
    await connection.execute("UPDATE bridge.outbox SET not_before = NULL")
    (second,) = await claim_all(connection)
    assert second.number == 2
    first = Claimed(order, await account_of(connection, order), second.token, "BTC", "USDT", 11, "buy")
    await settle(connection, [first.report(first.event())])
    (wanted,) = await take_cancels(connection, again_after=AGAIN_AFTER)
    assert (wanted.order_id, wanted.number) == (order, 1)
    assert bot.read_order(order)["status"] == "open"
    assert (await entry_of(connection, order))["state"] == "sending"


async def account_of(connection: Connection, order: UUID) -> UUID:
    return (await entry_of(connection, order))["account_id"]  # type: ignore[no-any-return]
