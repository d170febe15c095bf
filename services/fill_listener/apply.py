"""PROTOCOL 6: apply. Events and answers become orders, fills and positions, many in one transaction.

While one batch commits, the next gathers. Nothing is lost while the database is away: it waits here, and what
a crash takes with it is read again by reconciling. Whatever the order in which things are told, the rows end
the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from shared.database import streams
from shared.database.claim import EpochChangedError
from shared.database.connect import DATABASE_AWAY, NotDurableError
from shared.database.settle import settle
from shared.domain.fees import commission_in_quote
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.reports import order_of_event, report_of_event
from shared.domain.settlement import OrderReport
from shared.trails import record_settled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.fill_listener.venues import Environment
    from shared.database.connect import Connection, Pool
    from shared.database.settle import Settled
    from shared.domain.fill import Fill
    from shared.telemetry.metrics import Metrics
    from shared.telemetry.traces import Tracing

log = structlog.get_logger(__name__)

BATCH = 512
SHARE = 32
"""From so many reports on a batch is settled in two transactions side by side: while one waits for the
database, the other decides."""
RETRY_S = 0.25
ROW_HELD_RETRY_S = 1.0
PRICE_WAIT_S = 0.5
_ROW_HELD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event of the user stream, as it came."""

    account_id: UUID
    event: dict[str, Any]


Item = Arrival | OrderReport | Callable[["Connection"], Awaitable[None]]
"""An event, something asked for by REST, or what is to be written once all before it is applied."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what, so that the lane need not know them.

    Attributes:
        settled: what was written.
        unreadable: something of an account could not be applied; it must be reconciled.
        foreign: events of orders that are not ours.
        account: an event about something else than an order.
        orphans: reports in our id form that settling knows nothing of (PROTOCOL 10).
        epoch_changed: the database is another history than before.

    """

    settled: Callable[[Environment, Settled], None]
    unreadable: Callable[[UUID], None]
    foreign: Callable[[Connection, Environment, Sequence[Arrival]], Awaitable[None]]
    account: Callable[[Environment, Arrival], None]
    orphans: Callable[[Connection, Environment, Sequence[OrderReport]], Awaitable[list[OrderReport]]]
    epoch_changed: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Batch:
    reports: list[OrderReport] = field(default_factory=list)
    foreign: list[Arrival] = field(default_factory=list)
    gaps: set[UUID] = field(default_factory=set)
    after: list[Callable[[Connection], Awaitable[None]]] = field(default_factory=list)


def shares(reports: Sequence[OrderReport]) -> list[list[OrderReport]]:
    """Divide the reports of a batch among transactions: those about one position stay together, in order."""
    if len(reports) < SHARE:
        return [list(reports)] if reports else []
    by_position: dict[tuple[UUID, str], list[OrderReport]] = {}
    for report in reports:
        by_position.setdefault((report.account_id, report.symbol), []).append(report)
    halves: tuple[list[OrderReport], list[OrderReport]] = ([], [])
    for of_position in by_position.values():
        min(halves, key=len).extend(of_position)
    return [half for half in halves if half]


class Lane:
    """Applies what comes of one connection's accounts, in the order of its coming, batch by batch.

    Args:
        environment: where they trade.
        pool: work connections.
        listeners: who is told.
        metrics: of this process.
        tracing: of this process.

    """

    def __init__(
        self,
        environment: Environment,
        pool: Pool,
        listeners: Listeners,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self.environment = environment
        self._pool = pool
        self._listeners = listeners
        self._metrics = metrics
        self._tracing = tracing
        self._queue: asyncio.Queue[Item] = asyncio.Queue()

    def put(self, item: Item) -> None:
        """Hand over something; it is applied as soon as the database takes it."""
        self._queue.put_nowait(item)

    async def drained(self) -> None:
        """Wait until everything handed over is applied."""
        await self._queue.join()

    async def run(self) -> None:
        """Apply until cancelled."""
        while True:
            items = [await self._queue.get()]
            while len(items) < BATCH and not self._queue.empty():
                items.append(self._queue.get_nowait())
            await self._apply(await self._sorted(items))
            for _ in items:
                self._queue.task_done()

    async def _sorted(self, items: Sequence[Item]) -> _Batch:
        batch = _Batch()
        for item in items:
            if isinstance(item, OrderReport):
                batch.reports.append(item)
            elif isinstance(item, Arrival):
                self._read(item, batch)
            else:
                batch.after.append(item)
        batch.reports = [await self._valued(report) for report in batch.reports]
        return batch

    def _read(self, arrival: Arrival, batch: _Batch) -> None:
        event, market = arrival.event, self.environment.market
        order = order_of_event(event)
        self._metrics.stream_events(market, str((order or {}).get("x") or event.get("e"))).inc()
        if order is None:
            self._listeners.account(self.environment, arrival)
            return
        venue = self.environment.venue
        pair = self.environment.pair(str(order.get("s")))
        origin = FillOrigin(
            account_id=arrival.account_id,
            market=market,
            environment_epoch=venue.environment_epoch,
            pair=pair or ("", ""),
        )
        try:
            report = report_of_event(event, origin)
            self._require_known_symbol(report, pair)
        except UnreadablePayloadError as error:
            self._metrics.alarms("event_unreadable").inc()
            log.warning(
                "event.unreadable",
                account_id=str(arrival.account_id),
                error=str(error),
                advice="the account's orders are being asked for instead",
            )
            batch.gaps.add(arrival.account_id)
            return
        if report is None:
            batch.foreign.append(arrival)
        else:
            batch.reports.append(report)

    def _require_known_symbol(self, report: OrderReport | None, pair: tuple[str, str] | None) -> None:
        if report is not None and report.fills and pair is None:
            self.environment.venue.reread_instruments(report.symbol)
            raise UnreadablePayloadError("the symbol is new to us, so its fee cannot be valued yet")

    async def _valued(self, report: OrderReport) -> OrderReport:
        """Value fees charged in a third asset now: the price is fixed when a fill is first stored."""
        if all(fill.commission_in_quote is not None for fill in report.fills):
            return report
        return replace(report, fills=tuple([await self._with_value(fill) for fill in report.fills]))

    async def _with_value(self, fill: Fill) -> Fill:
        pair = self.environment.pair(fill.symbol)
        if fill.commission_in_quote is not None or pair is None:
            return fill
        try:
            async with asyncio.timeout(PRICE_WAIT_S):
                prices = await self.environment.prices_for(fill.commission_asset, pair[1])
        except TimeoutError:
            return fill  # stored without a value, and valued later: the others do not wait for a price
        value = commission_in_quote(fill.commission, fill.commission_asset, pair, fill.price, prices)
        return replace(fill, commission_in_quote=value)

    async def _apply(self, batch: _Batch) -> None:
        async with asyncio.TaskGroup() as tasks:
            for reports in shares(batch.reports):
                tasks.create_task(self._settle(reports, batch.gaps))
        if batch.foreign:
            await self._record_foreign(batch.foreign, batch.gaps)
        if batch.gaps:
            await self._tell_gaps(batch.gaps)
        for write in batch.after:
            await self._write(write)

    async def _tell_gaps(self, accounts: set[UUID]) -> None:
        """Something of these accounts was heard and is not applied: their streams are no proof of absence."""
        clock, market = self.environment.venue.rest.clock, self.environment.market
        now_ms = clock.exchange_now_ms() if clock.known else None
        await self._write(lambda c: streams.gap(c, market, accounts, now_ms))
        for account_id in accounts:
            self._listeners.unreadable(account_id)

    async def _record_foreign(self, arrivals: Sequence[Arrival], gaps: set[UUID]) -> None:
        """Record orders that are not ours; one that cannot be written does not keep the others from it."""
        if await self._write(lambda c: self._listeners.foreign(c, self.environment, arrivals)):
            return
        if len(arrivals) == 1:
            gaps.add(arrivals[0].account_id)
            return
        for arrival in arrivals:
            await self._record_foreign([arrival], gaps)

    async def _write(self, write: Callable[[Connection], Awaitable[None]]) -> bool:
        """Write something that is no finding; again and again while the database is away or a row is held.

        Returns:
            False when the database refuses it for good.

        """
        while True:
            try:
                async with self._pool.acquire() as connection:
                    await write(connection)
            except _REFUSED as error:
                self._shout(error)
                return False
            except (*DATABASE_AWAY, *_ROW_HELD) as error:
                log.warning("apply.put_off", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return True

    def _shout(self, error: Exception, **about: str) -> None:
        self._metrics.alarms("report_unwritable").inc()
        advice = "what is stored stays as it was; see the runbook"
        log.error("apply.unwritable", error=str(error), advice=advice, **about)

    async def _settle(self, reports: list[OrderReport], gaps: set[UUID]) -> None:
        while True:
            try:
                started, begun = time.monotonic(), datetime.now(UTC)
                async with self._pool.acquire() as connection:
                    settled = await settle(connection, reports)
            except (*_ROW_HELD, *_REFUSED) as error:
                # Somebody (the bot) holds a row, or one report cannot be written: the others must not suffer.
                if len(reports) > 1:
                    for report in reports:
                        await self._settle([report], gaps)
                else:
                    gaps.add(reports[0].account_id)
                    self._put_off(reports[0], error)
                return
            except EpochChangedError:
                await self._listeners.epoch_changed()
            except (*DATABASE_AWAY, NotDurableError) as error:
                log.warning("apply.database_away", orders=len(reports), error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                self._metrics.settle.observe(time.monotonic() - started)
                heard = {(one.order_id, one.number) for one in reports if one.source == "stream"}
                record_settled(self._tracing, "apply", settled, begun, datetime.now(UTC), heard)
                await self._settled(settled, gaps)
                return

    def _put_off(self, report: OrderReport, error: asyncpg.PostgresError) -> None:
        """Try again later when a row was held; shout when the database refuses the report for good."""
        if isinstance(error, _ROW_HELD):
            log.warning("apply.row_held", order_id=str(report.order_id), error=str(error))
            asyncio.get_running_loop().call_later(ROW_HELD_RETRY_S, self.put, report)
            return
        self._shout(error, order_id=str(report.order_id))

    async def _settled(self, settled: Settled, gaps: set[UUID]) -> None:
        clock = self.environment.venue.rest.clock
        if clock.known:
            now_ms = clock.exchange_now_ms()
            for line in settled.lines:
                if line.reported_at is not None and settled.positions:
                    lag_s = now_ms / 1000 - line.reported_at.timestamp()
                    self._metrics.event_to_position(line.market).observe(max(0.0, lag_s))
        for labels, count in Counter(settled.fills_stored).items():
            self._metrics.fills(*labels).inc(count)
        for labels, count in Counter(settled.fills_repeated).items():
            self._metrics.fills_repeated(*labels).inc(count)
        if settled.contradictions:
            self._metrics.fill_conflicts(self.environment.market).inc(settled.contradictions)
            self._metrics.alarms("fill_contradiction").inc(settled.contradictions)
        self._listeners.settled(self.environment, settled)
        if settled.orphans:
            await self._adopt(settled.orphans, gaps)

    async def _adopt(self, orphans: Sequence[OrderReport], gaps: set[UUID]) -> None:
        found: list[OrderReport] = []

        async def look(connection: Connection) -> None:
            found.extend(await self._listeners.orphans(connection, self.environment, orphans))

        if not await self._write(look):
            gaps.update(orphan.account_id for orphan in orphans)
        if found:
            await self._settle(found, gaps)
