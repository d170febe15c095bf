"""DESIGN 5 on a real database: caps are reserved by the claim and follow what becomes of the order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from shared.database.caps import InUse, Rate
from shared.database.connect import open_pool
from shared.database.holdings import held_size
from shared.database.settle import settle
from shared.domain.order import Side
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from tests.claimed import Claimed
from tests.intended import ask, claim_within_caps, epoch_of, intend, peek

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.database.caps import Ask
    from shared.database.claim import Claims, Intent
    from shared.database.connect import Connection, Pool
    from tests.bot import Bot

BASES = ("BTC", "ETH", "SOL", "BNB", "XRP", "ADA", "DOT", "LTC")
D = Decimal


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


async def intents(connection: Connection, *asks: Ask) -> list[Intent]:
    """Intend what is ready, each row asking for the next of these; the last one is asked again."""
    entries = await peek(connection)
    wanted = [*asks, *[asks[-1]] * len(entries)]
    return [intend(entry, ask=one) for entry, one in zip(entries, wanted, strict=False)]


async def claim(connection: Connection, *asks: Ask, **how: Any) -> Claims:
    """Claim what is ready."""
    return await claim_within_caps(connection, await intents(connection, *asks), **how)


def at_exchange(intent: Intent, account_id: UUID, *, side: str = "buy") -> Claimed:
    """See a claimed order as the exchange does, to write its events."""
    return Claimed(
        intent.order_id,
        account_id,
        intent.token,
        intent.base_asset,
        intent.quote_asset,
        exchange_order_id=100 + intent.entry_id,
        side=side,
        number=intent.number,
    )


async def in_use(connection: Connection, bot: Bot, account: tuple[UUID, UUID]) -> Decimal:
    """Ask what the user has in use: a row that asks for more than any cap drops out and is told."""
    order = bot.order(*account, symbol=f"{uuid4().hex[:8]}/USDT")
    probe = intend(
        next(entry for entry in await peek(connection) if entry.order.id == order), ask=ask(1, exposure=D(0))
    )
    _, dropped = await claim_within_caps(connection, [probe])
    bot.cancel(order)
    return dropped[order].exposure


# -- What a claim reserves ------------------------------------------------------------------------


async def test_claim_reserves_what_the_order_may_cost(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Worth, quantity, side and strategy stand on the attempt."""
    strategy = bot.strategy(account[0])
    order = bot.order(*account, strategy_id=strategy)
    claimed, dropped = await claim(connection, ask("350.5", quantity=D("0.005")))
    assert claimed == {order}
    assert not dropped
    row = await connection.fetchrow(
        "SELECT reserved, quantity, side, strategy_id, live FROM bridge.attempt WHERE order_id = $1", order
    )
    assert row is not None
    assert tuple(row) == (D("350.5"), D("0.005"), "buy", strategy, True)


@pytest.mark.parametrize(
    ("worth", "caps", "passes"),
    [
        (350, {"exposure": D(350)}, True),
        ("350.00000001", {"exposure": D(350)}, False),
        (350, {"position": D(350)}, True),
        ("350.00000001", {"position": D(350)}, False),
        (350, {"capital": D(350)}, True),
        ("350.00000001", {"capital": D(350)}, False),
        (350, {"capital": D(0)}, False),
        (350, {"capital": None}, True),
    ],
)
async def test_each_cap_passes_at_its_value_and_not_above(
    connection: Connection,
    bot: Bot,
    account: tuple[UUID, UUID],
    worth: str,
    caps: dict[str, Any],
    passes: bool,
) -> None:
    """A row that does not fit is not touched, and told what was in use."""
    order = bot.order(*account)
    claimed, dropped = await claim(connection, ask(worth, **caps))
    assert (claimed == {order}) is passes
    assert set(dropped) == (set() if passes else {order})
    if not passes:
        used = dropped[order]
        assert used == InUse(D(0), D(0), D(0), None)
        assert bot.read_order(order)["status"] == "pending"
        assert await connection.fetchval("SELECT count(*) FROM bridge.attempt") == 0


async def test_row_that_does_not_fit_drops_out_of_the_batch(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Of five rows of 300 under a cap of 1000 the first three pass; the rest is left for another look."""
    orders = [bot.order(*account, symbol=f"{base}/USDT") for base in BASES[:5]]
    claimed, dropped = await claim(connection, ask(300, exposure=D(1000)))
    assert claimed == set(orders[:3])
    assert set(dropped) == set(orders[3:])
    again, dropped = await claim(connection, ask(100, exposure=D(1000)))
    assert again == {orders[3]}
    assert dropped[orders[4]].exposure == 900


async def test_caps_of_one_user_are_not_anothers(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Each user has his own; a user's accounts share his."""
    stranger = bot.user()
    theirs = bot.order(stranger, bot.account(stranger))
    mine = bot.order(*account)
    second = bot.order(account[0], bot.account(account[0]))
    claimed, dropped = await claim(connection, ask(600, exposure=D(1000)))
    assert claimed == {theirs, mine}
    assert set(dropped) == {second}


async def test_position_cap_is_the_positions_own(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Another symbol, account or strategy is another position; the same one adds up."""
    strategy = bot.strategy(account[0])
    first = bot.order(*account)
    await claim(connection, ask(600, position=D(1000)))
    await connection.execute("UPDATE bridge.outbox SET state = 'submitted' WHERE order_id = $1", first)
    same = bot.order(*account, amount=D(1))
    others = {
        bot.order(*account, symbol="ETH/USDT"),
        bot.order(account[0], bot.account(account[0])),
    }
    claimed, dropped = await claim(connection, ask(600, position=D(1000)))
    assert claimed == others
    assert dropped[same].position == 600
    bot.cancel(same)
    await connection.execute("UPDATE bridge.outbox SET state = 'done' WHERE order_id = $1", same)
    with_strategy = bot.order(*account, strategy_id=strategy, amount=D(2))
    assert (await claim(connection, ask(600, position=D(1000)))).orders == {with_strategy}


async def test_strategy_may_use_its_capital(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What a strategy has in use counts for it alone."""
    strategy, other = bot.strategy(account[0]), bot.strategy(account[0])
    first = bot.order(*account, strategy_id=strategy)
    assert (await claim(connection, ask(600, capital=D(1000)))).orders == {first}
    over = bot.order(*account, strategy_id=strategy, symbol="ETH/USDT")
    fits = bot.order(*account, strategy_id=other, symbol="SOL/USDT")
    claimed, dropped = await claim(connection, ask(600, capital=D(1000)))
    assert claimed == {fits}
    assert dropped[over].strategy == 600


async def test_play_money_is_added_up_apart(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What a user has on the testnet does not use up his caps for real money."""
    bot.order(*account)
    await claim(connection, ask(900, exposure=D(1000)))
    live = bot.order(account[0], bot.account(account[0], is_testnet=False))
    rates = [Rate("USDT", is_testnet=False, usd=D(1))]
    claimed, _ = await claim(connection, ask(900, exposure=D(1000), is_testnet=False), rates=rates)
    assert claimed == {live}


async def test_what_only_reduces_needs_no_cap(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """However far over the caps a user is, a position can be closed; and nothing is counted for it."""
    bot.order(*account)
    await claim(connection, ask(5000))
    sell = bot.order(*account, side="sell", symbol="ETH/USDT")
    nothing_allowed = ask(0, exposure=D(0), position=D(0), capital=D(0))
    assert (await claim(connection, nothing_allowed)).orders == {sell}
    assert await connection.fetchval("SELECT claims FROM bridge.cap") == 1


async def test_other_quote_assets_are_valued(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What is counted in another asset uses its rate; without a rate the row drops out and names it."""
    bot.order(*account, symbol="ETH/BTC")
    entries = await peek(connection)
    in_btc = intend(entries[0], base_asset="ETH", quote_asset="BTC", ask=ask("0.01", usd=D(700)))
    await claim_within_caps(connection, [in_btc])
    order = bot.order(*account, symbol="SOL/USDT")
    _, dropped = await claim(connection, ask(200, exposure=D(1000)))
    assert dropped[order].unvalued == "BTC"
    dollars = Rate("USDT", is_testnet=True, usd=D(1))
    dear = [dollars, Rate("BTC", is_testnet=True, usd=D(80001))]
    _, dropped = await claim(connection, ask(200, exposure=D(1000)), rates=dear)
    assert (dropped[order].exposure, dropped[order].unvalued) == (D("800.01"), None)
    cheap = [dollars, Rate("BTC", is_testnet=True, usd=D(80000))]
    assert (await claim(connection, ask(200, exposure=D(1000)), rates=cheap)).orders == {order}


# -- Two executors --------------------------------------------------------------------------------


async def test_of_two_executors_that_race_for_the_last_of_a_cap_one_passes(
    pool: Pool, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Both have read that 600 of 1000 fit; the second waits for the first's commit and then drops out."""
    one_order, other_order = (bot.order(*account, symbol=f"{base}/USDT") for base in BASES[:2])
    async with pool.acquire() as one, pool.acquire() as two, pool.acquire() as watch:
        epoch = await epoch_of(one)
        entries = {entry.order.id: entry for entry in await peek(one)}
        wanted = ask(600, exposure=D(1000))
        mine = intend(entries[one_order], ask=wanted)
        theirs = intend(entries[other_order], ask=wanted)
        transaction = one.transaction()
        await transaction.start()
        assert (await claim_within_caps(one, [mine], epoch)).orders == {one_order}
        racing = asyncio.create_task(claim_within_caps(two, [theirs], epoch))
        waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid <> $1)"
        while not racing.done() and not await watch.fetchval(waiting, 0):
            await asyncio.sleep(0.01)
        assert not racing.done(), "the second claim did not wait for the first"
        await transaction.commit()
        claimed, dropped = await racing
        assert claimed == frozenset()
        assert set(dropped) == {other_order}
        assert bot.read_order(other_order)["status"] == "pending"
        _, dropped = await claim_within_caps(two, [theirs], epoch)
        assert dropped[other_order].exposure == 600, "the next look sees what the other one took"


async def test_many_executors_together_stay_within_the_cap(
    pool: Pool, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Four workers claim forty rows of 100 at once under a cap of 1000: ten pass, whoever took them."""
    for number in range(40):
        bot.order(*account, symbol=f"A{number}/USDT")
    async with pool.acquire() as connection:
        epoch = await epoch_of(connection)

    async def work() -> int:
        claimed = 0
        async with pool.acquire() as worker:
            while True:
                entries = (await peek(worker))[:5]
                result = await claim_within_caps(
                    worker, [intend(entry, ask=ask(100, exposure=D(1000))) for entry in entries], epoch
                )
                claimed += len(result.orders)
                if result.dropped and min(u.exposure for u in result.dropped.values()) > 900:
                    return claimed

    assert sum(await asyncio.gather(*(work() for _ in range(4)))) == 10
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT sum(reserved) FROM bridge.attempt WHERE live") == 1000


async def test_claims_of_two_batches_of_users_do_not_deadlock(pool: Pool, bot: Bot) -> None:
    """Two batches with the same users in opposite order: both end."""
    accounts = [(user, bot.account(user)) for user in (bot.user() for _ in range(6))]
    for user, account_id in accounts:
        bot.order(user, account_id, symbol="BTC/USDT")
    for user, account_id in reversed(accounts):
        bot.order(user, account_id, symbol="ETH/USDT")
    async with pool.acquire() as one, pool.acquire() as two:
        epoch = await epoch_of(one)
        entries = await peek(one)
        first = [intend(entry, ask=ask(1)) for entry in entries if entry.key.symbol == "BTCUSDT"]
        second = [intend(entry, ask=ask(1)) for entry in entries if entry.key.symbol == "ETHUSDT"]
        results = await asyncio.gather(
            claim_within_caps(one, first, epoch), claim_within_caps(two, second, epoch)
        )
        assert sum(len(result.orders) + len(result.dropped) for result in results) == 12


# -- What becomes of a reservation ----------------------------------------------------------------


async def reserve(connection: Connection, bot: Bot, account: tuple[UUID, UUID], worth: str) -> Intent:
    """Claim one buy of BTC."""
    bot.order(*account)
    (intent,) = await intents(connection, ask(worth))
    claimed, _ = await claim_within_caps(connection, [intent])
    assert claimed == {intent.order_id}
    return intent


def says(intent: Intent, outcome: AttemptOutcome) -> Outcome:
    return Outcome(intent.order_id, intent.number, intent.token, outcome, "test", "Said so.")


async def test_reservation_is_kept_while_the_order_is_unknown(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """What may exist counts as if it did."""
    intent = await reserve(connection, bot, account, "350")
    assert await in_use(connection, bot, account) == 350
    await settle(connection, [says(intent, AttemptOutcome.UNKNOWN)])
    assert await in_use(connection, bot, account) == 350


@pytest.mark.parametrize("outcome", [AttemptOutcome.REJECTED, AttemptOutcome.NOT_SENT])
async def test_reservation_ends_with_an_order_that_does_not_exist(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID], outcome: AttemptOutcome
) -> None:
    """Rejected, or not sent."""
    intent = await reserve(connection, bot, account, "350")
    await settle(connection, [says(intent, outcome)])
    assert await in_use(connection, bot, account) == 0


async def test_reservation_ends_with_absence_and_returns_with_late_evidence(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """An order judged absent frees its cap; if it turns up after all, it counts again."""
    intent = await reserve(connection, bot, account, "350")
    await settle(connection, [says(intent, AttemptOutcome.UNKNOWN)])
    await settle(connection, [says(intent, AttemptOutcome.ABSENT)])
    await connection.execute("DELETE FROM bridge.control")
    assert await in_use(connection, bot, account) == 0
    order = at_exchange(intent, account[1])
    await settle(connection, [order.report(order.event())])
    await connection.execute("DELETE FROM bridge.control")
    assert await in_use(connection, bot, account) == 350


async def test_resting_order_keeps_its_reservation_until_it_is_cancelled(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Accepted and resting counts whole; cancelled counts nothing."""
    intent = await reserve(connection, bot, account, "350")
    order = at_exchange(intent, account[1])
    await settle(connection, [order.report(order.event())])
    assert await in_use(connection, bot, account) == 350
    await settle(connection, [order.report(order.event(x="CANCELED", X="CANCELED"))])
    assert await in_use(connection, bot, account) == 0


async def test_what_filled_is_a_position_and_the_rest_stays_reserved(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Half filled at 70000: half is position, half reservation; filled whole, only the position is left."""
    intent = await reserve(connection, bot, account, "700")
    order = at_exchange(intent, account[1])
    await settle(connection, [order.report(order.trade(1, "0.005", "70000"))])
    assert await in_use(connection, bot, account) == 700
    row = await connection.fetchrow("SELECT cost FROM bridge.position")
    assert row is not None
    assert row["cost"] == 350
    await settle(connection, [order.report(order.trade(2, "0.005", "70000", last=True))])
    assert await in_use(connection, bot, account) == 700
    assert await connection.fetchval("SELECT count(*) FROM bridge.attempt WHERE live") == 0


async def test_execution_without_its_fills_counts_too(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """The exchange says filled, the fills are still missing: nothing falls between the two."""
    intent = await reserve(connection, bot, account, "350")
    order = at_exchange(intent, account[1])
    report = replace(order.report(order.trade(1, "0.005", "69000", last=True)), fills=())
    await settle(connection, [report])
    assert await in_use(connection, bot, account) == 350
    await settle(connection, order.reports())
    assert await in_use(connection, bot, account) == 345


async def test_position_counts_at_what_it_cost_or_is_worth_whichever_is_more(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """A rise of the price uses up the cap; a fall gives nothing back."""
    intent = await reserve(connection, bot, account, "350")
    order = at_exchange(intent, account[1])
    await settle(connection, [order.report(order.trade(1, "0.005", "70000", last=True))])
    for price, worth in ((80000, 400), (60000, 350), (0, 350)):
        await connection.execute("UPDATE bridge.position SET current_price = $1", D(price))
        assert await in_use(connection, bot, account) == worth


async def test_closed_position_uses_nothing(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """Sold, the cap is free again; the sell itself never used any."""
    intent = await reserve(connection, bot, account, "350")
    buy = at_exchange(intent, account[1])
    await settle(connection, [buy.report(buy.trade(1, "0.005", "70000", last=True))])
    bot.order(*account, side="sell")
    (selling,) = await intents(connection, ask(0))
    await claim_within_caps(connection, [selling])
    assert await in_use(connection, bot, account) == 350
    sell = at_exchange(selling, account[1], side="sell")
    await settle(connection, [sell.report(sell.trade(2, "0.005", "70000", last=True))])
    assert await in_use(connection, bot, account) == 0


async def test_what_is_being_sold_is_not_sold_again(
    connection: Connection, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """A sell that is sent, unknown or resting leaves only the rest; its fills change nothing."""
    intent = await reserve(connection, bot, account, "700")
    buy = at_exchange(intent, account[1])
    await settle(connection, [buy.report(buy.trade(1, "0.01", "70000", last=True))])

    async def sellable() -> Decimal:
        return await held_size(connection, account[1], "BTCUSDT", None, Side.BUY)

    assert await sellable() == D("0.01")
    bot.order(*account, side="sell")
    (selling,) = await intents(connection, ask(0, quantity=D("0.004")))
    await claim_within_caps(connection, [selling])
    assert await sellable() == D("0.006")
    await settle(connection, [says(selling, AttemptOutcome.UNKNOWN)])
    assert await sellable() == D("0.006")
    sell = at_exchange(selling, account[1], side="sell")
    await settle(connection, [sell.report(sell.event())])
    assert await sellable() == D("0.006")
    await settle(connection, [sell.report(sell.trade(2, "0.003", "70000"))])
    assert await sellable() == D("0.006")
    await settle(connection, [sell.report(sell.event(x="CANCELED", X="CANCELED"))])
    assert await sellable() == D("0.007")
