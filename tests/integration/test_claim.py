"""PROTOCOL 3 on a real database: who may claim what, and what a claim leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest

from shared.database import settle as settling
from shared.database.claim import EpochChangedError
from shared.database.connect import open_pool
from shared.domain.attempt import client_order_id
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from tests.intended import BASE_URL, QUARANTINE, claim, claim_all, epoch_of, intend, peek

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.database.claim import Intent
    from shared.database.connect import Connection, Pool
    from tests.bot import Bot


@pytest.fixture
async def pool(bridge_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(bridge_database, size=4, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as acquired:
        await epoch_of(acquired)
        yield acquired


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user)


@pytest.fixture
def order(bot: Bot, account: tuple[UUID, UUID]) -> UUID:
    return bot.order(*account)


async def entry_of(connection: Connection, order_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow("SELECT * FROM bridge.outbox WHERE order_id = $1", order_id)
    assert row is not None
    return dict(row)


async def attempts_of(connection: Connection, order_id: UUID) -> list[dict[str, Any]]:
    rows = await connection.fetch(
        "SELECT * FROM bridge.attempt WHERE order_id = $1 ORDER BY number", order_id
    )
    return [dict(row) for row in rows]


async def untouched(connection: Connection, order_id: UUID) -> bool:
    """Tell whether nothing of a claim can be seen: no attempt, entry new, row pending."""
    entry = await entry_of(connection, order_id)
    status = await connection.fetchval("SELECT status::text FROM public.orders WHERE id = $1", order_id)
    nothing = (entry["state"], entry["attempts"], entry["token"], status) == ("new", 0, None, "pending")
    return nothing and await attempts_of(connection, order_id) == []


# -- What a claim writes --------------------------------------------------------------------------


async def test_claim_writes_row_entry_and_attempt_together(
    connection: Connection, bot: Bot, order: UUID
) -> None:
    """One commit: row `open`, entry `sending` under token and lease, the attempt with its exact words."""
    (entry,) = await peek(connection)
    intent = intend(entry, parameters="symbol=BTCUSDT&timestamp=1700000000000")
    epoch = await epoch_of(connection)
    assert await claim(connection, [intent], epoch) == {order}
    assert bot.read_order(order)["status"] == "open"
    written = await entry_of(connection, order)
    assert (written["state"], written["attempts"], written["token"]) == ("sending", 1, intent.token)
    assert written["owner"] == "test"
    lease = await connection.fetchval("SELECT lease_until - clock_timestamp() FROM bridge.outbox")
    assert timedelta(seconds=20) < lease <= timedelta(seconds=30)
    (attempt,) = await attempts_of(connection, order)
    assert attempt["client_order_id"] == client_order_id(order, 1)
    assert (attempt["number"], attempt["outcome"], attempt["epoch"]) == (1, None, epoch.id)
    assert (attempt["signed_at_ms"], attempt["recv_window_ms"]) == (1_700_000_000_000, 5000)
    assert attempt["parameters"] == "symbol=BTCUSDT&timestamp=1700000000000"
    assert (attempt["base_url"], attempt["api_key_hash"], attempt["token"]) == (BASE_URL, "00", intent.token)
    assert (attempt["account_id"], attempt["user_id"]) == (entry.key.account_id, entry.order.user_id)


async def test_claim_changes_nothing_of_the_bots_columns(
    connection: Connection, bot: Bot, order: UUID
) -> None:
    """Status (and the bot's own `updated_at` trigger) apart, the row is as inserted."""
    before = bot.read_order(order)
    await claim_all(connection)
    after = bot.read_order(order)
    assert {name for name in before if before[name] != after[name]} == {"status", "updated_at"}


async def test_batch_is_claimed_at_once(connection: Connection, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """Rows of different keys go in one claim, each with its own token."""
    orders = {bot.order(*account, symbol=f"{base}/USDT") for base in ("BTC", "ETH", "SOL")}
    intents = await claim_all(connection)
    assert {intent.order_id for intent in intents} == orders
    assert len({intent.token for intent in intents}) == 3


# -- Who may not claim ----------------------------------------------------------------------------


async def test_of_two_workers_that_race_one_claims(pool: Pool, order: UUID) -> None:
    """Both peeked at the same row; exactly one attempt exists afterwards, under the winner's token."""
    async with pool.acquire() as one, pool.acquire() as two:
        epoch = await epoch_of(one)
        first, second = intend((await peek(one))[0]), intend((await peek(two))[0])
        results = await asyncio.gather(claim(one, [first], epoch), claim(two, [second], epoch))
        assert sorted(map(len, results)) == [0, 1]
        (attempt,) = await attempts_of(one, order)
        winner = first if results[0] else second
        assert attempt["token"] == winner.token


async def test_many_workers_on_many_rows_never_claim_one_twice(
    pool: Pool, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Four workers claim the same forty rows at once: each row once, none left."""
    orders = {bot.order(*account, symbol=f"A{number}/USDT") for number in range(40)}
    async with pool.acquire() as connection:
        epoch = await epoch_of(connection)

    async def work() -> list[UUID]:
        mine: list[UUID] = []
        async with pool.acquire() as worker:
            while entries := await peek(worker, limit=7):
                mine += await claim(worker, [intend(entry) for entry in entries], epoch)
        return mine

    claimed = [order for mine in await asyncio.gather(*(work() for _ in range(4))) for order in mine]
    assert len(claimed) == 40
    assert set(claimed) == orders


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE orders SET amount = amount + 1",
        "UPDATE orders SET reasoning = reasoning",
        "UPDATE orders SET status = 'canceled'",
        "UPDATE orders SET status = 'open'",
    ],
)
async def test_row_changed_since_the_peek_is_not_claimed(
    connection: Connection, bot: Bot, order: UUID, change: str
) -> None:
    """Whatever the bot wrote since, even the same values again: it was sized on another version."""
    (entry,) = await peek(connection)
    bot.connection.execute(change)
    assert await claim(connection, [intend(entry)]) == frozenset()
    assert await attempts_of(connection, order) == []
    assert (await entry_of(connection, order))["state"] == "new"


async def test_row_cancelled_before_the_look_is_not_claimed(
    connection: Connection, bot: Bot, order: UUID
) -> None:
    """A row that was cancelled first is never `pending` again, so no claim takes it."""
    bot.cancel(order)
    for entry in await peek(connection):
        assert await claim(connection, [intend(entry)]) == frozenset()
    assert bot.read_order(order)["status"] == "canceled"
    assert await attempts_of(connection, order) == []


async def test_row_the_bot_holds_open_does_not_stall_the_batch(
    connection: Connection, bot_connection: Any, bot: Bot, account: tuple[UUID, UUID], order: UUID
) -> None:
    """A locked row is skipped, not waited for; the others are claimed, and it is when it is free again."""
    other = bot.order(*account, symbol="ETH/USDT")
    async with bot_connection.transaction():
        await bot_connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", [order])
        intents = [intend(entry) for entry in await peek(connection)]
        assert await claim(connection, intents) == {other}
        assert await untouched(connection, order)
    assert [intent.order_id for intent in await claim_all(connection)] == [order]


@pytest.mark.parametrize("scope", ["global", "account", "symbol"])
async def test_halt_after_the_peek_stops_the_claim(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], order: UUID, scope: str
) -> None:
    """Halt is read inside the claim; after `bridge resume` the row is claimed."""
    (entry,) = await peek(connection)
    key = {"global": "", "account": str(account[1]), "symbol": "BTCUSDT"}[scope]
    await connection.execute(
        "INSERT INTO bridge.control (scope, key, halted) VALUES ($1, $2, true)", scope, key
    )
    assert await claim(connection, [intend(entry)]) == frozenset()
    assert await untouched(connection, order)
    await connection.execute("UPDATE bridge.control SET halted = false")
    assert await claim(connection, [intend(entry)]) == {order}


async def test_halt_of_something_else_stops_nothing(connection: Connection, order: UUID) -> None:
    """A halt of another account or symbol."""
    await connection.execute(
        "INSERT INTO bridge.control (scope, key, halted) VALUES ('symbol', 'ETHUSDT', true), "
        "('account', gen_random_uuid()::text, true)"
    )
    assert len(await claim_all(connection)) == 1


@pytest.mark.parametrize("scope", ["address", "account", "key"])
async def test_pause_stops_the_claim_until_it_ends(
    connection: Connection, account: tuple[UUID, UUID], order: UUID, scope: str
) -> None:
    """Nothing is claimed for what is paused, with an end or without; a pause that has ended stops nothing."""
    (entry,) = await peek(connection)
    await connection.execute(
        "INSERT INTO bridge.pause (scope, key, reason, until) VALUES ($1, $2, 'test', NULL)",
        scope,
        BASE_URL if scope == "address" else str(account[1]),
    )
    assert await claim(connection, [intend(entry)]) == frozenset()
    await connection.execute("UPDATE bridge.pause SET until = clock_timestamp() + interval '1 hour'")
    assert await claim(connection, [intend(entry)]) == frozenset()
    assert await untouched(connection, order)
    await connection.execute("UPDATE bridge.pause SET until = clock_timestamp() - interval '1 second'")
    assert await claim(connection, [intend(entry)]) == {order}


async def test_row_in_back_off_is_not_claimed_before_its_time(connection: Connection, order: UUID) -> None:
    """A second attempt waits for `not_before`, whoever peeked before that was set."""
    (intent,) = await claim_all(connection)
    await back_off(connection, intent)
    entry = (await peek(connection, keys=[]))[0]
    await connection.execute("UPDATE bridge.outbox SET not_before = now() + interval '1 hour'")
    assert await claim(connection, [intend(entry)]) == frozenset()


# -- The history of the database (PROTOCOL 10) ----------------------------------------------------


@pytest.mark.parametrize(
    "difference",
    [
        {"timeline": "0000000F"},
        {"id": 99},
        {"postmaster_start": None},
    ],
)
async def test_claim_of_another_history_is_refused(
    connection: Connection, order: UUID, difference: dict[str, Any]
) -> None:
    """Another timeline, a restart not looked at yet, an epoch that is not the newest: nothing is claimed."""
    epoch = await epoch_of(connection)
    if difference.get("postmaster_start", "") is None:
        difference = {"postmaster_start": epoch.postmaster_start - timedelta(seconds=1)}
    intents = [intend(entry) for entry in await peek(connection)]
    with pytest.raises(EpochChangedError):
        await claim(connection, intents, replace(epoch, **difference))
    assert await untouched(connection, order)


async def test_older_epoch_claims_nothing(connection: Connection, order: UUID) -> None:
    """A worker that has not noticed the newer epoch is told so."""
    from shared.database import epoch as epochs

    old = await epoch_of(connection)
    new = await epochs.current(connection, quarantine=QUARANTINE, why="a snapshot was put back")
    assert new.id > old.id
    with pytest.raises(EpochChangedError):
        await claim(connection, [intend(entry) for entry in await peek(connection)], old)


async def test_row_older_than_a_change_is_claimed_only_after_it_was_asked_for(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], order: UUID
) -> None:
    """All nine ids of an older row are asked for first; a row younger than the change needs no asking."""
    from shared.database import epoch as epochs

    await epoch_of(connection)
    await epochs.current(connection, quarantine=QUARANTINE, why="a snapshot was put back")
    young = bot.order(*account, symbol="ETH/USDT")
    assert [intent.order_id for intent in await claim_all(connection)] == [young]
    assert await attempts_of(connection, order) == []
    await connection.execute(
        "UPDATE bridge.outbox SET asked_epoch = (SELECT max(id) FROM bridge.epoch) WHERE order_id = $1", order
    )
    assert [intent.order_id for intent in await claim_all(connection)] == [order]


# -- Attempts after the first ---------------------------------------------------------------------


async def back_off(connection: Connection, intent: Intent) -> None:
    """Settle an attempt as not sent; its time to be tried again has come."""
    await settling.settle(connection, [not_sent(intent)])
    await connection.execute(
        "UPDATE bridge.outbox SET not_before = clock_timestamp() WHERE state = 'backoff'"
    )


def not_sent(intent: Intent, **changes: Any) -> Outcome:
    """Say that an attempt was not sent."""
    outcome = Outcome(
        intent.order_id,
        intent.number,
        intent.token,
        AttemptOutcome.NOT_SENT,
        "dns",
        "The name could not be resolved.",
    )
    return replace(outcome, **changes)


async def test_attempts_are_numbered_and_keep_their_ids(connection: Connection, order: UUID) -> None:
    """A row not sent is tried again under the next number, up to nine, and never goes back to `pending`."""
    for number in range(1, 10):
        (intent,) = await claim_all(connection)
        assert (intent.number, intent.client_order_id) == (number, client_order_id(order, number))
        await back_off(connection, intent)
        status = await connection.fetchval("SELECT status::text FROM public.orders WHERE id = $1", order)
        assert status == "open"
    attempts = await attempts_of(connection, order)
    assert [attempt["number"] for attempt in attempts] == list(range(1, 10))
    assert len({attempt["client_order_id"] for attempt in attempts}) == 9


async def test_number_that_was_used_is_not_claimed_again(connection: Connection, order: UUID) -> None:
    """A worker that read the entry before the last attempt intends one that is taken; none is left out."""
    (entry,) = await peek(connection)
    (intent,) = await claim_all(connection)
    await back_off(connection, intent)
    (again,) = await peek(connection)
    for attempts in (entry.attempts, again.attempts + 1):
        assert await claim(connection, [intend(replace(again, attempts=attempts))]) == frozenset()
    assert len(await attempts_of(connection, order)) == 1


@pytest.mark.parametrize("status", ["canceled", "filled", "pending"])
async def test_retry_needs_the_status_we_wrote(
    connection: Connection, bot: Bot, order: UUID, status: str
) -> None:
    """A cancel during back-off, or anything else but our `open`, ends the retries."""
    (intent,) = await claim_all(connection)
    await back_off(connection, intent)
    bot.connection.execute("UPDATE orders SET status = %s", [status])
    entries = await peek(connection)
    assert await claim(connection, [intend(entry) for entry in entries]) == frozenset()


async def test_evidence_for_an_earlier_attempt_stops_the_retry(connection: Connection, order: UUID) -> None:
    """What may exist at the exchange is never sent again, whoever learned of it."""
    (intent,) = await claim_all(connection)
    await back_off(connection, intent)
    (entry,) = await peek(connection)
    await connection.execute("UPDATE bridge.outbox SET has_evidence = true")
    assert await claim(connection, [intend(entry)]) == frozenset()


async def test_second_live_attempt_is_refused_by_the_database_itself(
    connection: Connection, order: UUID
) -> None:
    """Even if every check above were missing: one row, one attempt that may be an order (PROTOCOL 6)."""
    await claim_all(connection)
    with pytest.raises(asyncpg.UniqueViolationError, match="attempt_one_live"):
        await connection.execute(
            "INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, "
            "symbol, parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, "
            "base_asset, quote_asset) "
            "SELECT order_id, 2, 'x', account_id, user_id, market, symbol, '', 0, 0, '', '', epoch, "
            "gen_random_uuid(), '', '' FROM bridge.attempt"
        )


# -- Rejecting and holding without a claim --------------------------------------------------------


async def test_refused_row_is_rejected_the_way_the_bot_words_it(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Entry done, row rejected, the reason before the bot's own reasoning; no attempt, one event."""
    order = bot.order(*account, reasoning="the trend")
    (entry,) = await peek(connection)
    refusal = (entry.entry_id, entry.row_version, "cap_order", "Too much.")
    assert await settling.refuse(connection, [refusal]) == {order}
    row = bot.read_order(order)
    assert row["status"] == "rejected"
    assert row["reasoning"] == "Rejected: Too much. Original reasoning: the trend"
    written = await entry_of(connection, order)
    assert (written["state"], written["reason_code"], written["reason"]) == ("done", "cap_order", "Too much.")
    assert await connection.fetchval("SELECT kind FROM bridge.event WHERE order_id = $1", order) == "rejected"


async def test_held_row_is_not_touched(connection: Connection, bot: Bot, order: UUID) -> None:
    """Holding writes our entry only; the bot's row stays `pending`."""
    before = bot.read_order(order)
    (entry,) = await peek(connection)
    hold = (entry.entry_id, entry.row_version, "twin", "Equal.")
    assert await settling.hold(connection, [hold]) == {order}
    assert bot.read_order(order) == before
    assert (await entry_of(connection, order))["state"] == "held"
    assert await peek(connection) == []


@pytest.mark.parametrize("leave", [settling.refuse, settling.hold])
async def test_row_that_changed_is_neither_refused_nor_held(
    connection: Connection, bot: Bot, order: UUID, leave: Any
) -> None:
    """The verdict was about another version of the row; it is looked at again."""
    (entry,) = await peek(connection)
    bot.connection.execute("UPDATE orders SET amount = 1")
    assert await leave(connection, [(entry.entry_id, entry.row_version, "x", "X.")]) == frozenset()
    assert await untouched(connection, order)


@pytest.mark.parametrize("leave", [settling.refuse, settling.hold])
async def test_claimed_row_is_neither_refused_nor_held(
    connection: Connection, order: UUID, leave: Any
) -> None:
    """A worker that judged the row while another claimed it changes nothing."""
    (entry,) = await peek(connection)
    await claim_all(connection)
    assert await leave(connection, [(entry.entry_id, entry.row_version, "x", "X.")]) == frozenset()
    assert (await entry_of(connection, order))["state"] == "sending"


async def test_unsettled_words_need_the_token(connection: Connection, order: UUID) -> None:
    """A worker without the token, or with another number, settles nothing."""
    (intent,) = await claim_all(connection)
    for stranger in (not_sent(intent, token=UUID(int=1)), not_sent(intent, number=2)):
        settled = await settling.settle(connection, [stranger])
        assert (settled.lines, settled.ignored) == ((), (stranger,))
    assert (await entry_of(connection, order))["state"] == "sending"
