"""PROTOCOL 1 and 2: any row the bot's table can hold gets a verdict, and keeps no other row from its own.

The bot validates almost nothing, and a newer bot may know words that we do not.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from services.order_executor.futures_account import FuturesAccounts
from services.order_executor.pauses import Pauses
from services.order_executor.prepare import Prepared, Preparer
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.rest import Answer, TransportFailure
from shared.binance.sign import Credentials
from shared.database import outbox
from shared.database.connect import open_pool
from shared.domain.order import Market
from shared.domain.sizing import Book
from shared.domain.symbol import index_instruments
from shared.domain.verdicts import Code, Held, Rejected, Waiting
from shared.futures_settings import FuturesSettings
from shared.settings import GuardSettings, ProtocolSettings, load
from shared.telemetry.metrics import Metrics
from tests.intended import epoch_of, peek
from tests.order_rows import BTC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.database.connect import Pool
    from shared.database.outbox import ReadyEntry
    from tests.bot import Bot

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=50)
CYRILLIC, LIGATURE = "\N{CYRILLIC CAPITAL LETTER VE}TC/USDT", "\N{LATIN SMALL LIGATURE FI}/USDT"
SYMBOLS = st.one_of(
    st.sampled_from(
        [
            "BTC/USDT",
            "btc-usdt",
            "BTCUSDT",
            " BTCUSDT ",
            "BTC//USDT",
            "",
            "/",
            CYRILLIC,
            LIGATURE,
        ]
    ),
    TEXT,
)
NUMBERS = st.one_of(
    st.sampled_from([Decimal(n) for n in ("NaN", "0", "-1", "0.00000001", "999999999999.99999999", "350")]),
    st.decimals(min_value=-(10**12) + 1, max_value=10**12 - 1, places=8),
)
MOMENTS = st.sampled_from(
    [
        None,
        "now",
        "infinity",
        "-infinity",
        "4713-01-01 BC",
        "294276-12-31",
        "0001-01-01",
        "9999-12-31",
        "1970-01-01",
    ]
)
SETTINGS = st.sampled_from(
    [
        *(
            "{}",
            "[]",
            "null",
            "7",
            '"text"',
            '{"max_position_size_usd": 1e400}',
            '{"max_position_size_usd": "NaN"}',
        ),
        *('{"max_total_exposure_usd": -1}', '{"min_position_size_usd": 1e-400}', '{"leverage": 1e30}'),
        f'{{"max_position_size_usd": {"9" * 500}}}',
    ]
)
NEW_WORDS = {"order_type": "trailing_stop", "order_side": "short", "market_type": "margin"}
ROWS = st.fixed_dictionaries(
    {
        "symbol": SYMBOLS,
        "market_type": st.sampled_from(["spot", "spot", "spot", "futures", "margin"]),
        "side": st.sampled_from(["buy", "buy", "sell", "short"]),
        "type": st.sampled_from(["market", "limit", "stop_market", "stop_limit", "trailing_stop"]),
        "amount": NUMBERS,
        "price": st.none() | NUMBERS,
        "stop_price": st.none() | NUMBERS,
        "reduce_only": st.none() | st.booleans(),
        "agent_id": st.none() | TEXT,
        "reasoning": st.none() | TEXT,
        "created_at": MOMENTS,
    }
)
PLAIN = {
    "symbol": "BTC/USDT", "market_type": "spot", "side": "buy", "type": "market", "amount": Decimal(350),
    "price": None, "stop_price": None, "reduce_only": None, "agent_id": None, "reasoning": None,
    "created_at": "now",
}  # fmt: skip

UNANSWERED = TransportFailure(bytes_written=True, reason="silence", detail="No answer.")


class Venue:
    """A venue that answers at once, from memory."""

    base_url = "http://127.0.0.1:1"
    live = False

    def __init__(self, market: Market) -> None:
        clock = Clock()
        clock.sample(clock.now_ms(), 1_790_000_000_000, clock.now_ms())
        self.market = market
        # A futures account's mode is asked for first; here it is never answered, so such rows wait.
        self.rest: Any = (
            Mock(spec=FuturesRest, clock=clock)
            if market is Market.FUTURES
            else SimpleNamespace(clock=clock, account=self._account)
        )
        if market is Market.FUTURES:
            self.rest.account_config.return_value = UNANSWERED
        self.instruments = index_instruments(market, [BTC])

    async def book(self, symbol: str) -> Book:
        return Book(Decimal(69990), Decimal(70000), Decimal(1), Decimal(1))

    async def levels(self, symbol: str, side: str) -> list[tuple[Decimal, Decimal]]:
        return [(Decimal(70000), Decimal(1000))]

    def prices(self) -> dict[tuple[str, str], Decimal]:
        return {}

    async def _account(self, _credentials: Credentials) -> Answer:
        return Answer(200, {}, {"balances": [{"asset": "BTC", "free": "1", "locked": "0"}]}, "", 0.0, 0.0)


class Desk:
    """An executor's preparing part on a real database, and a superuser who writes what the bot might."""

    def __init__(self, runner: asyncio.Runner, dsn: str, admin: psycopg.Connection[Any], bot: Bot) -> None:
        self.runner, self.admin, self.bot = runner, admin, bot
        self.pool: Pool = runner.run(open_pool(dsn, size=3, application_name="test"))
        configuration: Any = SimpleNamespace(guards=load(GuardSettings), protocol=load(ProtocolSettings))
        venues: Any = SimpleNamespace(of=lambda market, **_: Venue(market))
        keys: Any = SimpleNamespace(of=lambda *_: Credentials("key", "secret"))
        pauses = Pauses(self.pool, Metrics("order_executor", "test"), lambda: None)
        futures = FuturesAccounts(self.pool, FuturesSettings())
        self.preparer = Preparer(configuration, self.pool, venues, keys, pauses, futures)
        for kind, word in NEW_WORDS.items():
            admin.execute(f"ALTER TYPE public.{kind} ADD VALUE '{word}'")
        runner.run(self._begin())

    async def _begin(self) -> None:
        async with self.pool.acquire() as connection:
            await epoch_of(connection)

    def insert(self, row: dict[str, Any], user: UUID, account: UUID, **more: Any) -> UUID:
        """Insert a row as somebody who is not careful."""
        columns = row | {"id": uuid4(), "user_id": user, "exchange_account_id": account} | more
        names = ", ".join(columns)
        self.admin.execute(
            f"INSERT INTO orders ({names}) VALUES ({', '.join(['%s'] * len(columns))})",
            list(columns.values()),
        )
        identity: UUID = columns["id"]
        return identity

    def look(self) -> tuple[dict[UUID, Any], list[Rejected]]:
        """Sweep, peek and prepare; returns the verdicts by row, and the reasons of what the sweep refuses."""
        return self.runner.run(self._look())

    async def _look(self) -> tuple[dict[UUID, Any], list[Rejected]]:
        async with self.pool.acquire() as connection:
            await outbox.take_in_missed(connection)
            await outbox.keys_waiting(connection)
            await outbox.standing_by(
                connection, limit=100, max_key_block=load(ProtocolSettings).max_key_block
            )
            entries: list[ReadyEntry] = await peek(connection)
            await outbox.get_pending(connection, 100)
            refused = [why for *_, why in await outbox.unknown_types(connection, limit=100)]
        return {entry.order.id: await self.preparer.prepare(entry) for entry in entries}, refused

    def clear(self) -> None:
        """Forget all rows."""
        self.admin.execute("TRUNCATE bridge.outbox; DELETE FROM orders")

    def close(self) -> None:
        self.runner.run(self.pool.close())


@pytest.fixture
def desk(database: str, bridge_database: str, bot: Bot) -> Iterator[Desk]:
    with asyncio.Runner() as runner, psycopg.connect(database, autocommit=True) as admin:
        desk = Desk(runner, bridge_database, admin, bot)
        yield desk
        desk.close()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=ROWS,
    wishes=SETTINGS,
    capital=st.none() | st.sampled_from([Decimal("NaN"), Decimal(1)]),
    child=st.booleans(),
)
@example(row=PLAIN | {"created_at": None}, wishes="{}", capital=None, child=False)
@example(row=PLAIN | {"created_at": "infinity"}, wishes="{}", capital=None, child=False)
@example(row=PLAIN | {"type": "trailing_stop"}, wishes="{}", capital=None, child=False)
@example(row=PLAIN | {"market_type": "futures"}, wishes="{}", capital=None, child=False)
@example(row=PLAIN | {"market_type": "margin"}, wishes="{}", capital=None, child=False)
@example(row=PLAIN, wishes='{"max_position_size_usd": 1e400}', capital=None, child=False)
@example(row=PLAIN, wishes="{}", capital=Decimal("NaN"), child=False)
@example(row=PLAIN, wishes="{}", capital=None, child=True)
def test_any_row_gets_a_verdict_and_keeps_no_other_from_its_own(
    desk: Desk, row: dict[str, Any], wishes: str, capital: Decimal | None, child: bool
) -> None:
    """A good row of another account is prepared beside it, whatever it is."""
    desk.clear()
    user = desk.bot.user()
    account = desk.bot.account(user)
    desk.admin.execute("UPDATE users SET settings = %s::jsonb WHERE id = %s", [wishes, user])
    more: dict[str, Any] = {}
    if capital is not None:
        more["strategy_id"] = uuid4()
        desk.admin.execute(
            "INSERT INTO user_strategies (id, user_id, name, allocated_capital, current_equity, "
            "risk_tolerance, target_allocations) VALUES (%s, %s, 'odd', %s, 1, 'moderate', %s)",
            [more["strategy_id"], user, capital, Jsonb({})],
        )
    if child:
        parent = PLAIN | {"status": "filled", "filled_amount": Decimal("NaN")}
        more["parent_order_id"] = desk.insert(parent, user, account)
    odd = desk.insert(row, user, account, **more)
    other = desk.bot.user()
    good = desk.insert(PLAIN, other, desk.bot.account(other))
    verdicts, refused = desk.look()
    assert isinstance(verdicts[good], Prepared)
    if row["market_type"] == "margin" or row["side"] == "short":
        assert odd not in verdicts  # no word of ours: it is left to whoever understands it
        assert refused == []
        return
    verdict = refused[0] if row["type"] == "trailing_stop" else verdicts[odd]
    assert not isinstance(verdict, Held) or verdict.code is not Code.NOT_PREPARED
    assert isinstance(verdict, Prepared | Waiting | Held | Rejected)
    if not isinstance(verdict, Prepared):
        assert verdict.sentence.isprintable()
        assert len(verdict.sentence) < 600
