"""DESIGN 4: the LISTEN connection. It does nothing else, is probed, and reconnects at once with a catch-up.

A notification is a hint, never the truth: losing one costs latency until the next sweep, nothing more.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import TYPE_CHECKING

import asyncpg
import structlog

from shared.database.connect import CONNECT_TIMEOUT_S, DATABASE_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.database.connect import Connection

log = structlog.get_logger(__name__)

PROBE_EVERY_S = 5.0
PROBE_ANSWER_WITHIN_S = 2.0
FIRST_RETRY_S = 0.02
LONGEST_RETRY_S = 0.5


class Listener:
    """Keeps one connection listening and says when there may be work.

    Args:
        dsn: the *listen* DSN: direct, not through a transaction pooler.
        channels: what to listen on.
        on_notification: called for every notification with the channel, from the event loop.
        on_connected: called after every (re)connect, once listening is proven: notifications may have been
            lost before.
        on_probed: called with the seconds a probe took from its NOTIFY to its arrival.
        on_down: called when the connection is lost or does not deliver.
        application_name: shown in `pg_stat_activity`.

    """

    def __init__(
        self,
        dsn: str,
        channels: Sequence[str],
        *,
        on_notification: Callable[[str, str], None],
        on_connected: Callable[[], None],
        on_probed: Callable[[float], None],
        on_down: Callable[[], None],
        application_name: str,
    ) -> None:
        self._dsn = dsn
        self._channels = channels
        self._on_notification = on_notification
        self._on_connected = on_connected
        self._on_probed = on_probed
        self._on_down = on_down
        self._application_name = application_name
        self._probe_channel = f"bridge_probe_{secrets.token_hex(6)}"
        self._probed = asyncio.Event()
        self.up = False

    async def run(self) -> None:
        """Listen until cancelled; no failure of the database ends this."""
        retry = FIRST_RETRY_S
        while True:
            try:
                await self._listen_once()
                retry = FIRST_RETRY_S
            except DATABASE_AWAY as error:
                log.warning("listen.lost", error=str(error), retry_s=retry)
            except asyncpg.PostgresError as error:
                log.warning(
                    "listen.refused", error=str(error), advice="check BRIDGE_LISTEN_URL and the role's rights"
                )
                retry = LONGEST_RETRY_S
            if self.up:
                self.up = False
                self._on_down()
                retry = FIRST_RETRY_S
            await asyncio.sleep(retry * random.uniform(0.7, 1.0))  # noqa: S311 - jitter, not a secret
            retry = min(retry * 2, LONGEST_RETRY_S)

    async def _listen_once(self) -> None:
        connection: Connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=PROBE_ANSWER_WITHIN_S,
            server_settings={"application_name": self._application_name},
        )
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel in self._channels:
                await connection.add_listener(channel, self._notified)
            await connection.add_listener(self._probe_channel, self._notified)
            while await self._delivers(connection):
                if not self.up:
                    self.up = True
                    log.info("listen.up", channels=list(self._channels))
                    self._on_connected()
                try:
                    await asyncio.wait_for(lost.wait(), PROBE_EVERY_S)
                except TimeoutError:
                    continue
                return
            log.error(
                "listen.silent",
                advice="LISTEN does not deliver here (a transaction pooler?); set BRIDGE_LISTEN_URL to a "
                "direct connection. Until then rows are found by the sweep only.",
            )
        finally:
            connection.terminate()

    def _notified(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        if channel == self._probe_channel:
            self._probed.set()
        else:
            self._on_notification(channel, str(payload))

    async def _delivers(self, connection: Connection) -> bool:
        """Notify ourselves and wait for it."""
        self._probed.clear()
        asked = time.monotonic()
        await connection.execute("SELECT pg_notify($1, '')", self._probe_channel)
        try:
            await asyncio.wait_for(self._probed.wait(), PROBE_ANSWER_WITHIN_S)
        except TimeoutError:
            return False
        self._on_probed(time.monotonic() - asked)
        return True
