"""PROTOCOL 1: what becomes of rows that are not sent: rejected and held ones are settled, the others wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.order_executor import trail
from shared.database.settle import hold, refuse
from shared.domain.verdicts import Held, Rejected, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.order_executor.backlog import Backlog
    from services.order_executor.prepare import Prepared
    from shared.database.connect import Connection
    from shared.database.outbox import ReadyEntry
    from shared.domain.verdicts import Verdict
    from shared.telemetry.metrics import Metrics
    from shared.telemetry.traces import Tracing

log = structlog.get_logger(__name__)


class Verdicts:
    """Carries out verdicts.

    Args:
        metrics: of this process.
        tracing: of this process.
        backlog: a key whose first row waits is not asked again before something names it.

    """

    def __init__(self, metrics: Metrics, tracing: Tracing, backlog: Backlog) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._backlog = backlog

    async def carry_out(
        self,
        connection: Connection,
        looked_at: Sequence[tuple[ReadyEntry, Prepared | Verdict]],
        look: trail.Look,
    ) -> int:
        """Settle at once what is rejected or held, leave what waits; returns how many rows were settled."""
        rejected = [(entry, verdict) for entry, verdict in looked_at if isinstance(verdict, Rejected)]
        held = [(entry, verdict) for entry, verdict in looked_at if isinstance(verdict, Held)]
        for entry, verdict in looked_at:
            if isinstance(verdict, Waiting):
                self._metrics.orders_waiting(entry.order.market, verdict.code).inc()
                self._backlog.forget([entry.key])
        settled = await self._reject(connection, rejected, look) if rejected else 0
        return settled + (await self._hold(connection, held) if held else 0)

    async def _reject(
        self, connection: Connection, rejected: Sequence[tuple[ReadyEntry, Rejected]], look: trail.Look
    ) -> int:
        gone = await refuse(
            connection, [(e.entry_id, e.row_version, v.code, v.sentence) for e, v in rejected]
        )
        for entry, verdict in rejected:
            if entry.order.id in gone:
                self._metrics.orders_failed(entry.order.market, verdict.code).inc()
                begun = trail.begin(self._tracing, entry)
                trail.prepared(self._tracing, begun, look, entry.attempts)
                with self._tracing.span("reject", begun.trace, reason_code=verdict.code):
                    log.info("order.rejected", order_id=str(entry.order.id), reason_code=verdict.code)
        return len(gone)

    async def _hold(self, connection: Connection, held: Sequence[tuple[ReadyEntry, Held]]) -> int:
        kept = await hold(connection, [(e.entry_id, e.row_version, v.code, v.sentence) for e, v in held])
        for entry, verdict in held:
            self._metrics.orders_held(entry.order.market, verdict.code).inc()
            log.warning("order.held", order_id=str(entry.order.id), reason_code=verdict.code)
        return len(kept)
