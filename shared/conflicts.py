"""PROTOCOL 6 and 9: what contradicts what we did. Whoever settles it says so loudly, in the same words.

A row that somebody else moved while it was ours; an order that exists and had been settled as not existing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from shared.domain.settlement import FOUND_LATE, MOVED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from shared.domain.settlement import Line
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


def tell_conflicts(metrics: Metrics, lines: Iterable[Line]) -> None:
    """Count and log what the settled lines contradict.

    Args:
        metrics: of this process.
        lines: as they were settled.

    """
    for line in lines:
        if MOVED in line.events:
            tell_moved(metrics, line.order_id, status_now=line.order_status)
        if FOUND_LATE in line.events:
            metrics.late_evidence(line.market).inc()
            log.error(
                "order.found_late",
                order_id=str(line.order_id),
                client_order_id=line.client_order_id,
                advice="an order exists that was settled as not existing; its account is halted: runbook",
            )


def tell_moved(metrics: Metrics, order_id: UUID, **found: str) -> None:
    """Count and log a row that was moved under us.

    Args:
        metrics: of this process.
        order_id: the row.
        found: what it showed, or shows now.

    """
    metrics.bot_conflicts.inc()
    log.error(
        "order.moved_by_another",
        order_id=str(order_id),
        **found,
        advice="somebody else works on the same rows; switch the bot's own executor off",
    )
