"""An order's trace on its way to the exchange: from the bot's INSERT, a span per step, under one root.

The root begins with the first claim that may succeed and counts only when it did; its context goes into the
outbox with that claim. A row that is rejected before has a trace of its own, which ends there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from shared.database.outbox import ReadyEntry
    from shared.telemetry.traces import Begun, Tracing


@dataclass(frozen=True, slots=True)
class Trail:
    """What of an order's trace is known before its claim.

    Attributes:
        trace: W3C traceparent; None while tracing is off.
        root: of a trace that begins with this attempt.

    """

    trace: str | None
    root: Begun | None


UNTRACED = Trail(None, None)


@dataclass(frozen=True, slots=True)
class Look:
    """When the steps of one look at the outbox were over.

    Attributes:
        peeked: the rows were read.
        prepared: all of them were guarded and sized.

    """

    peeked: datetime
    prepared: datetime


def begin(tracing: Tracing, entry: ReadyEntry) -> Trail:
    """Go on with an order's trace, or begin it where the bot inserted the row."""
    if entry.trace is not None:
        return Trail(entry.trace, None)
    if tracing.off:
        return UNTRACED
    order = entry.order
    root = tracing.begin(
        "take_in",
        entry.taken_in_at,
        order_id=str(order.id),
        account_id=str(order.account_id),
        market=str(order.market),
        symbol=order.symbol,
        side=str(order.side),
    )
    return Trail(root.traceparent, root)


def prepared(tracing: Tracing, trail: Trail, look: Look, attempt: int) -> None:
    """Tell of the steps up to the claim, once it is known that they led somewhere."""
    if trail.trace is None:
        return
    if trail.root is not None:
        trail.root.end(look.peeked)
    tracing.record("prepare", look.peeked, look.prepared, trail.trace, attempt=attempt)
