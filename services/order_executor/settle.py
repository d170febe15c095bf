"""PROTOCOL 6: settle what came back, many orders at once, losing none while the database is away."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import structlog

from shared import failpoints
from shared.database.claim import EpochChangedError
from shared.database.connect import DATABASE_AWAY, NotDurableError
from shared.database.settle import Settled, settle
from shared.domain.errors import DomainError
from shared.trails import record_settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from shared.database.connect import Pool
    from shared.database.settle import Finding
    from shared.telemetry.metrics import Metrics
    from shared.telemetry.traces import Tracing

log = structlog.get_logger(__name__)

BATCH = 64
LANES = 2
"""So many batches are settled side by side: while one waits for the database, the other decides. All about
one order goes one lane, in its order; of one position there is rarely more than one order in flight."""
RETRY_S = 0.25
ASIDE = 2
"""So many rows that somebody holds are waited for at a time; each keeps a connection busy."""
_ROW_HELD = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, DomainError)


class Settler:
    """Settles findings in batches, a few side by side: while one commits, the next gathers.

    A batch in which the bot holds a row, or in which one finding cannot be written, is settled aside, one by
    one: the next batch does not wait for it.

    Args:
        pool: work connections.
        metrics: of this process.
        tracing: of this process.
        on_settled: told what was written.
        on_epoch: compares the epoch, after a restart or a change of the database.

    """

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        tracing: Tracing,
        on_settled: Callable[[Sequence[Finding], Settled], None],
        on_epoch: Callable[[], Awaitable[object]],
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._tracing = tracing
        self._on_epoch = on_epoch
        self._on_settled = on_settled
        self._lanes: list[asyncio.Queue[Finding]] = [asyncio.Queue() for _ in range(LANES)]
        self._aside: asyncio.Queue[Finding] = asyncio.Queue()

    def put(self, finding: Finding) -> None:
        """Hand over a finding; it is settled as soon as the database takes it."""
        self._lane(finding).put_nowait(finding)

    async def run(self) -> None:
        """Settle until cancelled; `drained` first when nothing may be lost."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(ASIDE):
                tasks.create_task(self._settle_aside())
            for lane in self._lanes:
                tasks.create_task(self._settle(lane))

    async def drained(self) -> None:
        """Wait until everything handed over is settled."""
        for lane in self._lanes:
            await lane.join()

    def _lane(self, finding: Finding) -> asyncio.Queue[Finding]:
        return self._lanes[finding.order_id.int % LANES]

    async def _settle(self, lane: asyncio.Queue[Finding]) -> None:
        while True:
            batch = [await lane.get()]
            while len(batch) < BATCH and not lane.empty():
                batch.append(lane.get_nowait())
            if await self._write(batch) is None:
                for _ in batch:
                    lane.task_done()
            else:
                for finding in batch:
                    self._aside.put_nowait(finding)

    async def _settle_aside(self) -> None:
        while True:
            finding = await self._aside.get()
            while isinstance(error := await self._write([finding]), _ROW_HELD):
                log.warning("settle.row_locked", order_id=str(finding.order_id))
            if error is not None:
                # Its lease runs out, then we ask.
                log.error("settle.unwritable", order_id=str(finding.order_id), exc_info=error)
                self._on_settled([finding], Settled())
            self._lane(finding).task_done()

    async def _write(self, batch: list[Finding]) -> Exception | None:
        """Write a batch, however long the database is away; returns why it cannot be written as it is."""
        while True:
            try:
                await failpoints.reached("settle.before")
                started, begun = time.monotonic(), datetime.now(UTC)
                async with self._pool.acquire() as connection:
                    settled = await settle(connection, batch)
                self._metrics.settle.observe(time.monotonic() - started)
                await failpoints.reached("settle.committed")
            except (*_ROW_HELD, *_REFUSED) as error:
                return error
            except EpochChangedError:
                await self._compare_epochs()
            except (*DATABASE_AWAY, NotDurableError) as error:
                log.warning("settle.database_away", orders=len(batch), error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                record_settled(self._tracing, "settle", settled, begun, datetime.now(UTC))
                self._on_settled(batch, settled)
                return None

    async def _compare_epochs(self) -> None:
        """Find out which history this is; a database that goes away meanwhile is asked again."""
        try:
            await self._on_epoch()
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            log.warning("settle.epoch_unknown", error=str(error))
            await asyncio.sleep(RETRY_S)
