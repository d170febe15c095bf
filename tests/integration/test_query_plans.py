"""DESIGN 4: every hot statement goes through an index and scans what its batch needs, whatever the backlog.

The functions themselves are run as the services run them; Postgres reports the plan of each statement they
issue (auto_explain with ANALYZE and BUFFERS, as JSON), both planned for the values at hand and planned once
for all values, which is what a prepared statement becomes after a few runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bench.seed import add_backlog, add_old_orders, add_positions, copy_accounts
from shared.database import cancels, leases, outbox, unknowns
from shared.database.connect import open_pool
from shared.database.ledger import known_fills
from shared.database.positions import count_fills
from shared.database.settle import hold, refuse, settle
from shared.database.statements import statement, without
from shared.domain.attempt import client_order_id
from shared.domain.fill import FillOrigin
from shared.domain.order import Market
from shared.domain.reports import report_of_answer
from tests.bot import Bot
from tests.intended import claim, epoch_of, intend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.database.outbox import ReadyEntry
    from tests.database_server import DatabaseServer

BACKLOG = 50_000
OLD = 20_000
ACCOUNTS = 500
YOUNG_ACCOUNTS, YOUNG_OLD, YOUNG_BACKLOG = 100, 20_000, 4_000
BATCH = 64
ALONE = 4
# A table of this many rows may only be reached through an index; the others fit into a page or a few.
LARGE = 1_000
PLANNED = ("force_custom_plan", "force_generic_plan")
EXPLAINED = (
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_analyze = on",
    "auto_explain.log_buffers = on",
    "auto_explain.log_timing = off",
    "auto_explain.log_format = json",
)


@dataclass
class Plan:
    """One statement's plan, as it ran.

    Attributes:
        query: its text.
        scanned: rows looked at by relation, those filtered out included.
        indexes: names of the indexes used.
        sequential: relations read from end to end.

    """

    query: str
    scanned: dict[str, float] = field(default_factory=dict)
    indexes: set[str] = field(default_factory=set)
    sequential: set[str] = field(default_factory=set)

    def read(self, node: Mapping[str, Any]) -> None:
        """Take in a node and those below it."""
        loops = node.get("Actual Loops", 0)
        relation = node.get("Relation Name")
        looked_at = node.get("Actual Rows", 0) + sum(
            node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck", "Join Filter")
        )
        if relation is not None and "Scan" in node["Node Type"]:
            self.scanned[relation] = self.scanned.get(relation, 0) + loops * looked_at
            if node["Node Type"] == "Seq Scan" and loops:
                self.sequential.add(relation)
        if "Index Name" in node and loops:
            self.indexes.add(node["Index Name"])
        for child in node.get("Plans", ()):
            self.read(child)


class Watched:
    """A connection whose plans are told."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._plans: list[Plan] = []
        connection.add_log_listener(self._said)

    def leave(self) -> None:
        """Listen no more."""
        self.connection.remove_log_listener(self._said)

    def _said(self, _connection: object, message: Any) -> None:
        text = str(message.message)
        if message.severity_en == "LOG" and "plan:" in text:
            told = json.loads(text[text.index("{") :])
            plan = Plan(told["Query Text"])
            plan.read(told["Plan"])
            self._plans.append(plan)

    async def plans(self) -> list[Plan]:
        """Return the plans since the last call."""
        # The last statement ends, and is explained, when the next one begins.
        await self.connection.execute("SELECT 1")
        await asyncio.sleep(0)  # the listener is called by the event loop
        plans, self._plans = self._plans, []
        return plans


@dataclass(frozen=True)
class World:
    """A database with a backlog and a past."""

    dsn: str
    accounts: tuple[UUID, ...]
    large: frozenset[str]


@pytest.fixture(scope="module")
def world(database_server: DatabaseServer) -> Iterator[World]:
    """50,000 rows wait, 10,000 of them on one account; 20,000 are over; each account has 20 positions."""
    with database_server.database(database_server.template) as name:
        dsn = database_server.dsn(name)
        with Bot(dsn) as bot, psycopg.connect(dsn, autocommit=True) as connection:
            first = bot.account(bot.user())
            accounts = [first, *copy_accounts(connection, first, ACCOUNTS - 1)]
            add_old_orders(connection, accounts, OLD)
            add_backlog(connection, accounts, BACKLOG)
            add_positions(connection, accounts)
            connection.execute("VACUUM (ANALYZE)")
            large = connection.execute(
                "SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace "
                "WHERE relkind = 'r' AND nspname IN ('public', 'bridge') AND reltuples >= %s",
                [LARGE],
            ).fetchall()
        yield World(dsn, tuple(accounts), frozenset(str(row[0]) for row in large))


@contextlib.asynccontextmanager
async def watching(dsn: str, planned: str) -> AsyncIterator[Watched]:
    """Open one connection, with the services' own settings, that tells its plans; nothing is committed."""
    async with contextlib.AsyncExitStack() as stack:
        pool = await open_pool(dsn, size=1, application_name="test")
        stack.push_async_callback(pool.close)
        connection = await stack.enter_async_context(pool.acquire())
        await epoch_of(connection)
        await connection.execute("LOAD 'auto_explain'")
        for setting in (f"plan_cache_mode = {planned}", "client_min_messages = log", *EXPLAINED):
            await connection.execute(f"SET {setting}")
        transaction = connection.transaction()
        await transaction.start()
        stack.push_async_callback(transaction.rollback)
        watched = Watched(connection)
        stack.callback(watched.leave)
        yield watched


def hold_to(world: World, plans: Sequence[Plan], bounds: Mapping[str, int], indexes: set[str]) -> None:
    """Check plans: indexes by name, no sequential scan of a large table, rows scanned within bounds.

    Args:
        world: says which tables are large.
        plans: of everything one function ran.
        bounds: by relation, the most rows that may have been looked at; a large relation not named: none.
        indexes: that were used.

    """
    assert plans, "no plan was told"
    scanned: dict[str, float] = {}
    for plan in plans:
        assert not plan.sequential & world.large, (
            f"{plan.sequential & world.large} is read whole:\n{plan.query}"
        )
        for relation, rows in plan.scanned.items():
            scanned[relation] = scanned.get(relation, 0) + rows
    too_many = {
        relation: f"{rows:.0f} rows, allowed {bounds.get(relation, 0)}"
        for relation, rows in scanned.items()
        if relation in world.large and rows > bounds.get(relation, 0)
    }
    assert not too_many
    used = {name for plan in plans for name in plan.indexes}
    assert indexes <= used, f"not used: {indexes - used}; used: {used}"


async def peek_at(connection: Connection, *, low_water: int, keys: Sequence[outbox.Key]) -> list[ReadyEntry]:
    return await outbox.peek(
        connection,
        low_water=low_water,
        keys=keys,
        limit=BATCH,
        max_key_block=timedelta(seconds=90),
        twin_window=timedelta(seconds=5),
        max_per_minute=60,
    )


async def some_keys(connection: Connection, world: World) -> list[outbox.Key]:
    """Return as many keys as a batch has rows, the one with a fifth of the backlog among them."""
    keys = await outbox.keys_waiting(connection, list(world.accounts[:BATCH]))
    return sorted(keys)[:BATCH]


async def newest(connection: Connection) -> int:
    value: int = await connection.fetchval("SELECT max(id) FROM bridge.outbox")
    return value


@pytest.mark.parametrize("planned", PLANNED)
async def test_peek_looks_at_the_heads_of_its_keys_only(world: World, planned: str) -> None:
    """64 keys: at most the first four rows of each side, however many wait behind them."""
    async with watching(world.dsn, planned) as watched:
        keys = await some_keys(watched.connection, world)
        mark = await newest(watched.connection)
        await watched.plans()
        entries = await peek_at(watched.connection, low_water=mark + 1, keys=keys)
        assert len(entries) == BATCH
        plans = await watched.plans()
    per_key = 8
    bounds = {
        "outbox": BATCH * (per_key + 2),
        "orders": BATCH * per_key,
        "exchange_accounts": BATCH,
        "users": BATCH,
    }
    hold_to(world, plans, bounds, {"outbox_key", "outbox_twin", "orders_pkey", "exchange_accounts_pkey"})


@pytest.mark.parametrize("planned", PLANNED)
async def test_peek_above_the_low_water_mark_looks_at_the_new_rows_only(world: World, planned: str) -> None:
    """The wake-up of one new row: the fifty thousand old ones are not looked at."""
    async with watching(world.dsn, planned) as watched:
        mark = await newest(watched.connection)
        await watched.plans()
        entries = await peek_at(watched.connection, low_water=mark, keys=())
        assert len(entries) == 1
        plans = await watched.plans()
    bounds = {"outbox": 1 + 8 + 2, "orders": 8, "exchange_accounts": 1, "users": 1}
    hold_to(world, plans, bounds, {"outbox_ready", "outbox_key"})


@pytest.mark.parametrize("planned", PLANNED)
async def test_claim_and_settle_touch_their_batch_only(world: World, planned: str) -> None:
    """64 rows claimed, answered, settled into positions, told again: no step looks at more than its rows."""
    async with watching(world.dsn, planned) as watched:
        await claim_and_settle(world, watched)


async def claim_and_settle(world: World, watched: Watched) -> None:
    """Carry a batch all the way, each step within bounds; a few rows of it are settled each by itself."""
    connection = watched.connection
    epoch = await epoch_of(connection)
    keys, mark = await some_keys(connection, world), await newest(connection)
    await watched.plans()
    entries = await peek_at(connection, low_water=mark, keys=keys)
    rows = 10 * len(entries)
    bounds = {"outbox": rows, "orders": rows, "exchange_accounts": rows, "users": rows, "attempt": rows}
    hold_to(world, await watched.plans(), bounds, {"outbox_key"})
    intents = [intend(entry) for entry in entries]
    claimed = await claim(connection, intents, epoch)
    assert len(claimed) == len(entries)
    plans = await watched.plans()
    rows = 3 * len(entries)
    hold_to(
        world,
        plans,
        {"outbox": rows, "orders": rows, "exchange_accounts": rows, "users": rows},
        {"outbox_pkey", "orders_pkey"},
    )

    reports = [answer(entry, place) for place, entry in enumerate(entries)]
    settled = await settle(connection, reports[ALONE:])
    assert len(settled.lines) == len(entries) - ALONE
    assert len(settled.positions) >= len(entries) - ALONE
    for report in reports[:ALONE]:
        settled = await settle(connection, [report])
        assert len(settled.lines) == len(settled.positions) == 1
        await settle(connection, [report])
    plans = await watched.plans()
    rows = 7 * len(entries)
    names = (
        "orders",
        "outbox",
        "attempt",
        "evidence",
        "exchange_accounts",
        "holding",
        "position",
        "positions",
    )
    bounds = dict.fromkeys(names, rows) | {"fill": 2 * rows}
    hold_to(world, plans, bounds, {"orders_pkey", "attempt_pkey", "fill_unapplied", "holding_key"})

    again = await settle(connection, reports)
    assert again.lines == ()
    hold_to(world, await watched.plans(), bounds, {"orders_pkey", "attempt_pkey", "fill_pkey"})

    fills = [fill for report in reports for fill in report.fills]
    assert len(await known_fills(connection, fills)) == len(fills)
    assert await count_fills(connection, {(one.account_id, one.market, one.symbol) for one in reports}) == []
    hold_to(world, await watched.plans(), bounds, {"fill_pkey", "fill_unapplied"})


# What runs for each order, each answer and each event. Its plans are kept as long as the connection.
FOR_EACH_ORDER = (
    *("peek", "claim", "lock_lines", "read_lines", "write_settled", "new_fills", "known_fills"),
    *("renew_leases", "expire_leases", "take_unknown", "take_cancels", "close_unsent", "recover_attempts"),
    *("lives", "whole_holding", "holdings", "traces_of_positions"),
)


async def plan_now(connection: Connection) -> None:
    """Run each statement with nothing to do, so that its plan is made for the tables as they are."""
    texts = [statement(name) for name in FOR_EACH_ORDER]
    for text in (*texts, without("write_settled", "fills")):
        parameters = (await connection.prepare(text)).get_parameters()
        await connection.fetch(text, *([] if one.kind == "array" else None for one in parameters))


async def test_plans_made_while_the_tables_were_empty_go_by_key_as_well(
    world: World, database_server: DatabaseServer
) -> None:
    """A process that was started on an empty database: by and by there are thousands of rows of each account.

    The planner took each table for empty, and every way through it for as good as any other.
    """
    with database_server.database(database_server.template) as name:
        dsn = database_server.dsn(name)
        async with watching(dsn, "force_generic_plan") as watched:
            connection = watched.connection
            await plan_now(connection)
            with Bot(dsn) as bot, psycopg.connect(dsn, autocommit=True) as seeding:
                first = bot.account(bot.user())
                accounts = [first, *copy_accounts(seeding, first, YOUNG_ACCOUNTS - 1)]
                add_old_orders(seeding, accounts, YOUNG_OLD, analyze=False)
                add_backlog(seeding, accounts, YOUNG_BACKLOG)
                add_positions(seeding, accounts)
            large = world.large | {"users", "exchange_accounts"}
            young = replace(world, dsn=dsn, accounts=tuple(accounts), large=large)
            await claim_and_settle(young, watched)


@pytest.mark.parametrize("planned", PLANNED)
async def test_refuse_and_hold_touch_their_rows_only(world: World, planned: str) -> None:
    """Rows rejected or held before any attempt: found by their entries."""
    async with watching(world.dsn, planned) as watched:
        connection = watched.connection
        entries = await peek_at(
            connection, low_water=await newest(connection), keys=await some_keys(connection, world)
        )
        await watched.plans()
        half = len(entries) // 2
        gone = await refuse(connection, [(e.entry_id, e.row_version, "code", "Why.") for e in entries[:half]])
        kept = await hold(connection, [(e.entry_id, e.row_version, "code", "Why.") for e in entries[half:]])
        assert len(gone) + len(kept) == len(entries)
        plans = await watched.plans()
    rows = 3 * len(entries)
    bounds = {"outbox": rows, "orders": rows, "exchange_accounts": rows, "users": rows}
    hold_to(world, plans, bounds, {"outbox_pkey", "orders_pkey"})


@pytest.mark.parametrize("planned", PLANNED)
async def test_the_lease_and_the_sweeps_of_what_is_in_flight(world: World, planned: str) -> None:
    """Renewing, expiring, resolving and following cancels look at what is in flight only."""
    async with watching(world.dsn, planned) as watched:
        connection = watched.connection
        epoch = await epoch_of(connection)
        entries = await peek_at(
            connection, low_water=await newest(connection), keys=await some_keys(connection, world)
        )
        intents = [intend(entry) for entry in entries]
        await claim(connection, intents, epoch)
        await watched.plans()
        await leases.renew(connection, [i.token for i in intents], lease=timedelta(seconds=0))
        assert len(await leases.expire(connection)) == len(entries)
        taken = await unknowns.take_unknown(
            connection, owner="test", lease=timedelta(seconds=30), accounts=None
        )
        assert taken
        await cancels.take_cancels(connection, again_after=timedelta(seconds=5), accounts=None)
        plans = await watched.plans()
    rows = 12 * len(entries)
    bounds = dict.fromkeys(("outbox", "attempt", "orders", "exchange_accounts"), rows)
    hold_to(world, plans, bounds, {"outbox_in_flight", "attempt_pkey", "outbox_pkey"})


@pytest.mark.parametrize("planned", PLANNED)
async def test_the_sweep_finds_the_keys_by_jumping(world: World, planned: str) -> None:
    """Every key with a backlog costs one step of the index, not one step per row."""
    async with watching(world.dsn, planned) as watched:
        await watched.plans()
        keys = await outbox.keys_waiting(watched.connection)
        hold_to(world, await watched.plans(), {"outbox": 2 * len(keys)}, {"outbox_key"})
        assert len(keys) >= ACCOUNTS


@pytest.mark.parametrize("planned", PLANNED)
async def test_what_rows_stand_in_line_for_is_found_at_the_head_of_their_key(
    world: World, planned: str
) -> None:
    """A thousand rows, most of them of long queues: each looks at itself and at the heads of its key."""
    async with watching(world.dsn, planned) as watched:
        found = await outbox.standing_by(watched.connection, limit=1000, max_key_block=timedelta(seconds=90))
        plans = await watched.plans()
    assert found
    hold_to(world, plans, {"outbox": 1000 * 4}, {"outbox_ready", "outbox_key"})


@pytest.mark.parametrize("planned", PLANNED)
async def test_a_quiet_sweep_reads_nothing_of_the_past(world: World, planned: str) -> None:
    """With ten rows waiting, not 50,000: what the sweep searches and counts is found through the indexes."""
    async with watching(world.dsn, planned) as watched:
        connection = watched.connection
        # The backlog is over, as far as this transaction sees; the statistics follow.
        await connection.execute("UPDATE public.orders SET status = 'filled' WHERE status = 'pending'")
        await connection.execute("DELETE FROM bridge.outbox WHERE state = 'new' AND id % 5000 <> 0")
        await connection.execute("ANALYZE public.orders, bridge.outbox")
        await watched.plans()
        await outbox.take_in_missed(connection)
        await outbox.depth(connection)
        await cancels.close_unsent(connection, None)
        plans = await watched.plans()
    # Index entries of the backlog just deleted are still there to be skipped; they are no rows any more.
    hold_to(world, plans, {"outbox": 500, "orders": 500}, {"outbox_ready", "idx_orders_status"})


def answer(entry: ReadyEntry, place: int) -> Any:
    """Read what the exchange answers to a market buy that fills in two parts."""
    order_id = 1_000_000 + place
    base = entry.key.symbol.removesuffix("USDT")
    body = {
        "symbol": entry.key.symbol,
        "orderId": order_id,
        "clientOrderId": client_order_id(entry.order.id, 1),
        "transactTime": 1_790_000_000_000 + place,
        "executedQty": "2",
        "cummulativeQuoteQty": "20",
        "status": "FILLED",
        "side": "BUY",
        "fills": [
            {
                "price": "10",
                "qty": "1",
                "commission": "0.001",
                "commissionAsset": base,
                "tradeId": 10 * order_id + n,
            }
            for n in range(2)
        ],
    }
    origin = FillOrigin(entry.order.account_id, Market.SPOT, 1, (base, "USDT"))
    report = report_of_answer(body, origin)
    assert report is not None
    return report
