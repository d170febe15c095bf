"""DESIGN 6, PROTOCOL 7: probe. A connected socket proves nothing; an answered question on it does.

Each probe asks the time on the very connection that carries the streams. Its answer proves that every frame
before it has come; once those are applied, the moment is recorded as verified. A probe without an answer
ends the connection, so a silent one is found within interval plus timeout.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shared.binance.user_stream import StreamDownError, StreamRefusedError
from shared.database import streams

if TYPE_CHECKING:
    from services.fill_listener.apply import Lane
    from services.fill_listener.subscribe import Session
    from shared.database.connect import Connection
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 5.0


async def probe(session: Session, lane: Lane, metrics: Metrics) -> bool:
    """Prove that a connection lives, and record through when; False when it does not answer."""
    try:
        through_ms = await session.stream.probe()
    except StreamDownError:
        return False
    except StreamRefusedError as error:
        # It answered, so it lives; but nothing is proven about the frames before.
        log.warning("probe.refused", connection=str(session.id), error=str(error))
        return True

    async def verified(connection: Connection) -> None:
        await streams.verified(connection, session.id, through_ms)
        session.verified_through_ms = through_ms
        for account_id in session.since_ms:
            metrics.stream_last_probe(str(account_id), lane.environment.market).set(through_ms / 1000)

    lane.put(verified)
    return True


async def keep_proving(session: Session, lane: Lane, metrics: Metrics) -> None:
    """Probe until the connection does not answer; then close it, which ends its reader."""
    alive = True
    while alive:
        await asyncio.sleep(EVERY_S)
        alive = await probe(session, lane, metrics)
    log.warning("stream.silent", connection=str(session.id))
    await session.stream.close()
