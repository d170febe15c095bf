"""PROTOCOL 10: notice that the database changed under us, and begin the quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from shared.database import epoch as epochs

if TYPE_CHECKING:
    from shared.database.connect import Pool
    from shared.database.epoch import Epoch
    from shared.settings import ProtocolSettings
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class EpochWatch:
    """The epoch this process works in.

    Args:
        pool: work connections.
        protocol: its waits make the quarantine.
        metrics: of this process.

    Attributes:
        epoch: None until the first look.

    """

    def __init__(self, pool: Pool, protocol: ProtocolSettings, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._quarantine = protocol.quarantine
        self.epoch: Epoch | None = None

    async def look(self) -> Epoch:
        """Compare with the live server; record and say loudly when the history changed."""
        async with self._pool.acquire() as connection:
            epoch = await epochs.current(
                connection, quarantine=self._quarantine, seen=self.epoch.written if self.epoch else 0
            )
        if epoch.changed:
            self._metrics.epoch_changes.inc()
            log.error(
                "epoch.changed",
                epoch=epoch.id,
                quarantine_until=epoch.quarantine_until.isoformat(),
                advice="the database is another history than before (failover, restore, copy): runbook",
            )
        self.epoch = epoch
        return epoch
