"""PROTOCOL 1: take in.

Notifications wake us at once; the sweep finds what they, the trigger or a restart left behind.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import structlog

from services.order_executor.announced import Announcements
from services.order_executor.backlog import Backlog
from shared.database import leases, outbox
from shared.database.connect import DATABASE_AWAY
from shared.database.listen import Listener
from shared.database.settle import refuse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import timedelta
    from uuid import UUID

    from shared.database.connect import Connection, Pool
    from shared.database.outbox import Key
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

STANDING_BY = 1000  # of the oldest rows, so many are looked at for what keeps them from their turn

OPEN_STATES = ("new", "held", "sending", "unknown", "backoff", "submitted")


class TakeIn:
    """What wakes this process, and what it knows to wait.

    Args:
        pool: work connections.
        metrics: of this process.
        accounts: served by this process; None = all.
        sweep_interval: between two full looks.
        max_key_block: how long an unknown order keeps the others of its key from their turn.
        on_sweep: further work of a sweep (epoch, cancels), on the same beat.

    Attributes:
        wake: set when there may be something to claim; cleared before the look.
        news: there may be rows of keys that are not in the backlog; cleared before the look.
        backlog: keys known to have rows waiting.
        announcements: of single rows, which can be claimed without a look.
        low_water: ids from here on are looked through when there is news.

    """

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        *,
        accounts: list[UUID] | None,
        sweep_interval: timedelta,
        max_key_block: timedelta,
        on_sweep: Callable[[], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._metrics = metrics
        self._accounts = accounts
        self._interval = sweep_interval
        self._max_key_block = max_key_block
        self._on_sweep = on_sweep
        self._sweep_now = asyncio.Event()
        self.wake = asyncio.Event()
        self.news = True
        self.backlog = Backlog()
        self.announcements = Announcements(accounts)
        self.low_water = 0
        self.swept = False

    def listener(self, dsn: str, application_name: str) -> Listener:
        """Make the LISTEN connection that wakes this process."""
        return Listener(
            dsn,
            [outbox.CHANNEL],
            on_notification=lambda _channel, payload: self._notified(payload),
            on_connected=self._connected,
            on_down=lambda: self._metrics.listen_up.set(0),
            on_probed=self._metrics.listen_lag.set,
            application_name=application_name,
        )

    def _notified(self, payload: str) -> None:
        if payload and self.announcements.put(payload):
            self.wake.set()
        else:
            self.look_again()

    def _connected(self) -> None:
        """Catch up: what was notified while nobody listened is found now, not at the next beat."""
        self._metrics.listen_up.set(1)
        self._metrics.listen_reconnects.inc()
        self._sweep_now.set()

    def look_again(self) -> None:
        """Look for rows at once: some were inserted, or an address is open again."""
        self.news = True
        self.wake.set()

    def look_again_at(self, keys: Collection[Key]) -> None:
        """Look at these keys and the others in the backlog: what their rows waited for may be there."""
        self.backlog.add(keys)
        self.wake.set()

    async def run(self) -> None:
        """Sweep at every interval, and right after each reconnect, until cancelled."""
        while True:
            self._sweep_now.clear()
            try:
                await self._sweep()
                self.swept = True
                self._metrics.database_up.set(1)
            except DATABASE_AWAY as error:
                self._metrics.database_up.set(0)
                self._metrics.database_errors("away").inc()
                log.warning("sweep.database_away", error=str(error))
            except asyncpg.PostgresError as error:
                self._metrics.database_errors("refused").inc()
                log.warning("sweep.failed", error=str(error), advice="run `bridge doctor`")
            try:
                await asyncio.wait_for(self._sweep_now.wait(), self._interval.total_seconds())
            except TimeoutError:
                continue

    async def _measure(self, connection: Connection) -> None:
        depth = await outbox.depth(connection)
        states = [(state, depth.get(state)) for state in OPEN_STATES]
        self._metrics.queue_depth.replace({(s,): float(d.entries if d else 0) for s, d in states})
        self._metrics.queue_oldest.replace({(s,): d.oldest.total_seconds() if d else 0.0 for s, d in states})
        self._metrics.queue_read.set_to_current_time()
        self._metrics.trigger_errors.set(await outbox.trigger_failures(connection))
        switches = await outbox.switches(connection)
        scopes = [(scope, switches.get(scope, (0, 0))) for scope in ("global", "account", "symbol")]
        self._metrics.halted.replace({(scope,): float(halted) for scope, (halted, _) in scopes})
        self._metrics.reduce_only.replace({(scope,): float(reduce) for scope, (_, reduce) in scopes})

    async def _refuse_unknown_types(self, connection: Connection) -> None:
        """Reject what the peek cannot read: order types of a newer bot."""
        found = await outbox.unknown_types(connection, limit=STANDING_BY, accounts=self._accounts)
        if not found:
            return
        refused = await refuse(
            connection, [(entry, version, why.code, why.sentence) for entry, version, _, why in found]
        )
        log.warning("sweep.unknown_types", orders=[str(order) for order in refused])
        for _, _, market, why in found:
            self._metrics.orders_failed(market, why.code).inc()

    async def _sweep(self) -> None:
        async with self._pool.acquire() as connection:
            missed = await outbox.take_in_missed(connection)
            if missed:
                log.warning("sweep.trigger_missed", orders=len(missed), advice="see bridge.trigger_failures")
                self._metrics.sweep_found.inc(len(missed))
            expired = await leases.expire(connection, self._accounts)
            if expired:
                log.warning("sweep.leases_expired", orders=[str(order) for order in expired])
            self.backlog.add(await outbox.keys_waiting(connection, self._accounts))
            self.low_water = await outbox.low_water_mark(connection, trail=self._interval)
            await self._measure(connection)
            await self._refuse_unknown_types(connection)
            standing_by = await outbox.standing_by(
                connection,
                limit=STANDING_BY,
                max_key_block=self._max_key_block,
                accounts=self._accounts,
            )
        for order_id, market, why in standing_by:
            self._metrics.orders_waiting(market, why.code).inc()
            log.debug("order.waiting", order_id=str(order_id), reason_code=why.code, reason=why.sentence)
        await self._on_sweep()
        self.look_again()
