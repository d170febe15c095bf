"""PROTOCOL 9: a row that somebody else moved while it was ours; whoever notices says it in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from uuid import UUID

    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


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
