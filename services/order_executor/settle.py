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
RETRY_S = 0.25


class Settler:
    """Settles findings in batches: while one batch commits, the next gathers.

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
        self._queue: asyncio.Queue[Finding] = asyncio.Queue()

    def put(self, finding: Finding) -> None:
        """Hand over a finding; it is settled as soon as the database takes it."""
        self._queue.put_nowait(finding)

    async def run(self) -> None:
        """Settle until cancelled; `drained` first when nothing may be lost."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._settle(batch)
            for _ in batch:
                self._queue.task_done()

    async def drained(self) -> None:
        """Wait until everything handed over is settled."""
        await self._queue.join()

    async def _settle(self, batch: list[Finding]) -> None:
        while True:
            try:
                await failpoints.reached("settle.before")
                started, begun = time.monotonic(), datetime.now(UTC)
                async with self._pool.acquire() as connection:
                    settled = await settle(connection, batch)
                self._metrics.settle.observe(time.monotonic() - started)
                await failpoints.reached("settle.committed")
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                # Somebody (the bot) holds one of the rows; the others must not wait for it.
                if len(batch) > 1:
                    for finding in batch:
                        await self._settle([finding])
                    return
                log.warning("settle.row_locked", order_id=str(batch[0].order_id))
            except EpochChangedError:
                await self._on_epoch()
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, DomainError) as error:
                # One finding that cannot be written must not stop the others: its lease runs out, then we
                # ask.
                if len(batch) > 1:
                    for finding in batch:
                        await self._settle([finding])
                    return
                log.exception("settle.unwritable", order_id=str(batch[0].order_id), error=str(error))
                self._on_settled(batch, Settled())
                return
            except (*DATABASE_AWAY, NotDurableError) as error:
                log.warning("settle.database_away", orders=len(batch), error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                record_settled(self._tracing, "settle", settled, begun, datetime.now(UTC))
                self._on_settled(batch, settled)
                return
