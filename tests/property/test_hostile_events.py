"""PROTOCOL 6: events of any form between good ones, on a real database: each good one is applied.

Each odd one leaves the others alone, is counted, and has its account's orders asked for again.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace as tracing

from services.fill_listener.apply import Arrival, Lane, Listeners
from services.fill_listener.foreign import Foreign
from shared.binance.clock_offset import Clock
from shared.database.connect import open_pool
from shared.domain.attempt import client_order_id
from shared.domain.order import Market
from shared.telemetry.metrics import Metrics
from shared.telemetry.redaction import Redactor
from shared.telemetry.traces import Tracing
from tests.claimed import Claimed, claimed
from tests.intended import epoch_of
from tests.property.hostile import changed, names, payload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.bot import Bot

MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOW = 1_790_000_000_000


class Listening:
    """A lane on a real database, and what it told."""

    def __init__(self, runner: asyncio.Runner, dsn: str, market: Market) -> None:
        self.runner = runner
        self.pool = runner.run(open_pool(dsn, size=3, application_name="test"))
        self.metrics = Metrics("fill_listener", "test")
        self.asked_for: set[UUID] = set()
        self.made = 1000
        runner.run(self._begin(market))

    async def _begin(self, market: Market) -> None:
        async with self.pool.acquire() as connection:
            await epoch_of(connection)
        clock = Clock()
        clock.sample(clock.now_ms(), NOW, clock.now_ms())

        async def no_prices(*_: Any) -> Any:
            return {}

        async def no_change() -> None:
            pass

        environment: Any = SimpleNamespace(
            market=market,
            venue=SimpleNamespace(
                environment_epoch=1,
                rest=SimpleNamespace(clock=clock),
                prices=dict,
                reread_instruments=lambda _cause: None,
            ),
            pair=lambda symbol: (symbol.removesuffix("USDT"), "USDT") if symbol.endswith("USDT") else None,
            prices_for=no_prices,
        )
        foreign = Foreign(self.metrics)
        listeners = Listeners(
            settled=lambda *_: None,
            unreadable=self.asked_for.add,
            foreign=foreign.record,
            account=lambda *_: None,
            orphans=foreign.orphans,
            epoch_changed=no_change,
        )
        self.lane = Lane(
            environment, self.pool, listeners, self.metrics, Tracing(tracing.NoOpTracer(), Redactor())
        )

    def apply(self, items: list[Any]) -> None:
        """Apply all of it, as one batch or several."""
        self.runner.run(self._apply(items))

    async def _apply(self, items: list[Any]) -> None:
        running = asyncio.create_task(self.lane.run())
        for item in items:
            self.lane.put(item)
        drained = asyncio.create_task(self.lane.drained())
        await asyncio.wait({running, drained}, return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), running.exception()
        running.cancel()
        await asyncio.wait({running})

    async def orders(self, bot: Bot, account: tuple[UUID, UUID]) -> tuple[Claimed, Claimed]:
        """Make two orders in flight."""
        self.made += 2
        async with self.pool.acquire() as connection:
            kind = str(self.lane.environment.market)
            return (
                await claimed(connection, bot, account, exchange_order_id=self.made, market_type=kind),
                await claimed(connection, bot, account, exchange_order_id=self.made + 1, market_type=kind),
            )

    async def filled(self, order: Claimed) -> Decimal:
        """Read what is counted of an order."""
        query = "SELECT filled FROM bridge.attempt WHERE order_id = $1"
        return Decimal(await self.pool.fetchval(query, order.order_id))

    def close(self) -> None:
        self.runner.run(self.pool.close())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@pytest.fixture(params=list(Market))
def listening(
    runner: asyncio.Runner, bridge_database: str, request: pytest.FixtureRequest
) -> Iterator[Listening]:
    listening = Listening(runner, bridge_database, request.param)
    yield listening
    listening.close()


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user)


def events(market: Market, client_id: str) -> list[dict[str, Any]]:
    """Return events about orders: ours under this id, and somebody else's."""
    found = []
    for part in ("executionReport", "derived__uds", "event-ORDER", "event-ALGO"):
        for name in names(market, part):
            told = payload(market, name)
            told = told.get("event", told.get("data", told))
            order = told["o"] if isinstance(told.get("o"), dict) else told
            mine = {key: client_id for key in ("c", "caid") if key in order}
            found += [told, told | {"o": order | mine} if order is not told else told | mine]
    return found


def trade(market: Market, good: Claimed) -> dict[str, Any]:
    """Return the event that fills a good order whole."""
    if market is Market.SPOT:
        return good.trade(good.exchange_order_id, "0.5", "70000", last=True)
    told: dict[str, Any] = payload("futures", "derived-event-ORDER_TRADE_UPDATE-TRADE-PARTIALLY_FILLED")
    order = {
        "c": client_order_id(good.order_id, 1), "s": "BTCUSDT", "S": "BUY", "i": good.exchange_order_id,
        "t": 7, "X": "FILLED", "x": "TRADE", "z": "0.5", "l": "0.5", "L": "70000", "ps": "BOTH", "n": "0",
    }  # fmt: skip
    return told | {"o": told["o"] | order}


@MANY
@given(data=st.data())
def test_odd_events_leave_the_good_ones_alone(
    listening: Listening, bot: Bot, account: tuple[UUID, UUID], data: st.DataObject
) -> None:
    """Whatever else comes, before and after: the good order is filled and its fill is in the ledger."""
    market = listening.lane.environment.market
    victim, good = listening.runner.run(listening.orders(bot, account))
    originals = st.sampled_from(events(market, client_order_id(victim.order_id, 1)))
    hostile = originals.flatmap(changed).filter(lambda one: isinstance(one, dict))
    before = data.draw(st.lists(hostile, min_size=1, max_size=4))
    after = data.draw(st.lists(hostile, max_size=4))
    written: list[bool] = []

    async def last(_connection: object) -> None:
        written.append(True)

    listening.apply([Arrival(account[1], one) for one in (*before, trade(market, good), *after)] + [last])
    assert written == [True]
    assert bot.read_order(good.order_id)["status"] == "filled"
    assert listening.runner.run(listening.filled(good)) == Decimal("0.5")


@pytest.mark.parametrize("ours", [True, False], ids=["ours", "foreign"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("s", "BTC\x00USDT"),
        ("s", "x" * 9000 + "USDT"),
        ("i", 2**64 - 1),
        ("t", 2**64 - 1),
        ("N", "B\x00B"),
        ("n", "9" * 38),
        ("z", "9" * 38),
        ("T", 2**53),
        ("T", -(2**62)),
    ],
    ids=str,
)
def test_what_the_database_refuses_stops_nothing(
    listening: Listening, bot: Bot, account: tuple[UUID, UUID], field: str, value: Any, ours: bool
) -> None:
    """The others of its batch are written, what comes later too, and the account is asked about."""
    market = listening.lane.environment.market
    victim, good = listening.runner.run(listening.orders(bot, account))
    told = trade(market, victim)
    odd = {field: value} | ({} if ours else {"c": "by-hand"})
    event = told | odd if market is Market.SPOT else told | {"o": told["o"] | odd}
    listening.apply([Arrival(account[1], event), Arrival(account[1], trade(market, good))])
    assert bot.read_order(good.order_id)["status"] == "filled"
    assert listening.runner.run(listening.filled(good)) == Decimal("0.5")
