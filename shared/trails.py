"""An order's trace where its findings are settled: by the executor, by the listener, always the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.domain.holding import Kind

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from shared.database.positions import PositionChange
    from shared.database.settle import Settled
    from shared.telemetry.traces import Tracing


def record_settled(
    tracing: Tracing,
    step: str,
    settled: Settled,
    begun: datetime,
    ended: datetime,
    told: Collection[tuple[UUID, int]] = (),
) -> None:
    """Add to the trace of each order what one settling transaction did to it and to its position.

    Args:
        tracing: of this process.
        step: `settle` or `apply`.
        settled: what was written.
        begun: when the transaction began.
        ended: when it was committed.
        told: (order, attempt) shown in the trace although somebody else was faster.

    """
    quiet = [line for line in settled.unchanged if (line.order_id, line.number) in told]
    for line in (*settled.lines, *quiet):
        if line.trace is not None:
            tracing.record(
                step,
                begun,
                ended,
                line.trace,
                order_id=str(line.order_id),
                attempt=line.number,
                outcome=str(line.outcome),
                state=str(line.entry_state),
                status=str(line.order_status),
                executed=str(line.executed),
            )
    traces = {line.order_id: line.trace for line in settled.lines}
    for change in settled.positions:
        parents = set(settled.closed.get(change.position_id, ())) if change.kind is Kind.CLOSED else set()
        if change.order_id is not None and (own := traces.get(change.order_id)) is not None:
            parents.add(own)
        for parent in sorted(parents):
            _record_position(tracing, change, begun, ended, parent)


def _record_position(
    tracing: Tracing, change: PositionChange, begun: datetime, ended: datetime, parent: str
) -> None:
    tracing.record(
        str(change.kind),
        begun,
        ended,
        parent,
        position_id=str(change.position_id),
        symbol=change.symbol,
        size=str(change.size),
        entry_price=str(change.entry_price),
        realized=str(change.realized),
    )
