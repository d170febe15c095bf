"""DESIGN 6: mark. Open positions get their market price and what they have gained, once a second at most.

The bot's own monitor cannot do it: it asks the exchange for the symbol with its slash, which is refused.
Prices come from the market streams, a first one by REST; one statement writes all positions whose price has
changed, and nothing where it has not.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from services.fill_listener.overlap import BackOff
from shared.binance.market_stream import MarketStream, open_market_stream
from shared.binance.rest import Answer
from shared.binance.user_stream import StreamDownError
from shared.database import streams
from shared.database.connect import DATABASE_AWAY
from shared.domain.fees import usd_value
from shared.domain.money import parse_decimal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from decimal import Decimal
    from uuid import UUID

    from services.fill_listener.accounts import Accounts
    from services.fill_listener.venues import Environment
    from shared.database.connect import Pool
    from shared.database.streams import PositionTotals
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 1.0
AT_ONCE = 50
"""Accounts whose positions one statement marks: whoever settles a fill waits for the rows it holds."""
LOOK_FOR_CLOSED_EVERY = 5
# What `PositionTotals` calls it, and the metric it is shown in.
_GAUGES = {
    "open": "positions_open",
    "exposure": "exposure",
    "unrealized": "unrealized_pnl",
    "realized": "realized_pnl",
}


class PositionGauges:
    """What all positions followed here come to, as metrics; an account that left disappears.

    Args:
        metrics: of this process.

    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._totals: dict[Environment, Sequence[PositionTotals]] = {}

    def show(self, environment: Environment, totals: Sequence[PositionTotals]) -> None:
        """Show the totals of one environment beside those of the others."""
        self._totals[environment] = totals
        for name, family in _GAUGES.items():
            getattr(self._metrics, family).replace(self._sums(name))

    def _sums(self, name: str) -> dict[tuple[str, ...], float]:
        sums: dict[tuple[str, ...], float] = {}
        for environment, totals in self._totals.items():
            prices = environment.venue.prices()
            for total in totals:
                labels = (str(total.account_id), str(environment.market))
                amount = getattr(total, name)
                worth = amount if name == "open" else usd_value(amount, total.quote_asset, prices)
                sums[labels] = sums.get(labels, 0.0) + float(worth or 0)
        return sums


class Marker:
    """Marks the open positions of one environment's accounts.

    Args:
        environment: where they trade.
        accounts: those followed here.
        pool: work connections.
        gauges: shown what the positions come to.
        metrics: of this process.

    """

    def __init__(
        self,
        environment: Environment,
        accounts: Accounts,
        pool: Pool,
        gauges: PositionGauges,
        metrics: Metrics,
    ) -> None:
        self._environment = environment
        self._accounts = accounts
        self._pool = pool
        self._gauges = gauges
        self._metrics = metrics
        self._prices: dict[str, Decimal] = {}
        self._symbols: frozenset[str] = frozenset()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Mark until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_prices())
            beat = 0
            while True:
                await asyncio.sleep(EVERY_S)
                beat += 1
                try:
                    await self._mark()
                    if beat % LOOK_FOR_CLOSED_EVERY == 0:
                        await self._notice_bot_closed()
                        await self._measure()
                except DATABASE_AWAY as error:
                    log.warning("mark.database_away", error=str(error))

    async def _mark(self) -> None:
        market, accounts = self._environment.market, self._ours()
        async with self._pool.acquire() as connection:
            symbols = frozenset(await streams.open_symbols(connection, accounts, market))
            known = {symbol: self._prices[symbol] for symbol in symbols if symbol in self._prices}
            for start in range(0, len(accounts) if known else 0, AT_ONCE):
                some = accounts[start : start + AT_ONCE]
                if await streams.mark_positions(connection, some, market, known):
                    self._metrics.marked(market).set_to_current_time()
        if symbols != self._symbols:
            self._symbols = symbols
            self._wanted.set()

    async def _notice_bot_closed(self) -> None:
        """Say so, once, when the bot closed a position in its table that is still held (DESIGN 6)."""
        async with self._pool.acquire() as connection:
            closed = await streams.bot_closed(connection, self._ours(), self._environment.market)
        for position in closed:
            self._metrics.alarms("position_closed_by_bot").inc()
            log.error(
                "position.closed_by_bot",
                position_id=str(position.position_id),
                account_id=str(position.account_id),
                symbol=position.symbol,
                size=str(position.size),
                advice="it is still held at the exchange; sell it with `bridge flatten` if it should not be",
            )

    async def _measure(self) -> None:
        """Show what the positions come to, in dollars as far as prices lead there."""
        market = self._environment.market
        async with self._pool.acquire() as connection:
            totals = await streams.position_totals(connection, self._ours(), market)
        self._gauges.show(self._environment, totals)

    def _ours(self) -> list[UUID]:
        return [account.id for account in self._accounts if account.environment is self._environment]

    async def _keep_prices(self) -> None:
        """Keep a market stream open for the symbols of the open positions."""
        failures = 0
        while True:
            await self._wanted.wait()
            await asyncio.sleep(BackOff().delay_s(failures, random.random()))  # noqa: S311
            try:
                stream = await open_market_stream(self._environment.market_stream, self._learn)
            except StreamDownError as error:
                failures += 1
                log.warning("market_stream.not_opened", error=str(error))
                continue
            failures = 1
            async with asyncio.TaskGroup() as tasks:
                subscribing = tasks.create_task(self._keep_subscribed(stream))
                why = await stream.read()
                subscribing.cancel()
            self._wanted.set()
            log.info("market_stream.ended", why=why)

    async def _keep_subscribed(self, stream: MarketStream) -> None:
        while True:
            self._wanted.clear()
            news = self._symbols - stream.symbols
            try:
                await stream.want(self._symbols)
            except StreamDownError:
                await stream.close()
                return
            if news:
                await self._ask(news)
            await self._wanted.wait()

    async def _ask(self, symbols: Collection[str]) -> None:
        """Ask for prices by REST: a stream tells one only when something trades."""
        answer = await self._environment.venue.rest.ticker_price()
        if not isinstance(answer, Answer) or not isinstance(answer.body, list):
            return
        for row in answer.body:
            try:
                if row["symbol"] in symbols:
                    self._prices.setdefault(row["symbol"], parse_decimal(row["price"]))
            except (KeyError, TypeError, ValueError):
                continue

    def _learn(self, symbol: str, price: Decimal) -> None:
        self._prices[symbol] = price
