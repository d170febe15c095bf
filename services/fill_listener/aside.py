"""What is done beside the fills and may fail as it likes: messages to users, the books of strategies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LONGEST_REST_S = 60.0


async def keep_doing(
    title: str, step: Callable[[], Awaitable[None]], metrics: Metrics, *, every_s: float
) -> None:
    """Do something again and again until cancelled, whatever becomes of it.

    Args:
        title: of the alarm and the log line.
        step: done once a round; it keeps what it could not finish in the database.
        metrics: of this process.
        every_s: rest between two rounds; longer and longer while they fail.

    """
    failures = 0
    while True:
        await asyncio.sleep(min(LONGEST_REST_S, every_s * 2**failures))
        try:
            await step()
        # An option that nobody needs for trading must not end the process that follows the fills, not even
        # by a mistake of ours; it has its own connections, transactions and time.
        except Exception as error:  # noqa: BLE001
            failures = min(failures + 1, 10)
            metrics.alarms(title).inc()
            # Only the type: a message may quote an address with the token in it.
            log.error("option.failed", option=title, error=type(error).__name__)  # noqa: TRY400
        else:
            failures = 0
