"""PROTOCOL 8: waiting. A paused address is probed with `ping` and `time`, never with an order.

Three transport failures in a row pause an address for this process; what the exchange itself says (429, 418,
-1015, a refused key) is shared by all through the database.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from shared.binance.rest import Answer
from shared.database import pauses as database
from shared.database.connect import DATABASE_AWAY
from shared.domain.backoff import Address
from shared.domain.classify import classify_failure
from shared.domain.order import Market
from shared.domain.verdicts import Code, reject, wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.binance.rest import Result
    from shared.binance.venue import Venue
    from shared.database.connect import Pool
    from shared.database.outbox import ReadyEntry
    from shared.domain.classify import Pause
    from shared.domain.verdicts import Rejected, Waiting
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

STORE_AGAIN_AFTER_S = 0.25
DEFAULT_PAUSE = timedelta(seconds=10)
BANNED_STATUS = 418  # Binance REST docs, "IP limits": the address went on after a 429


OPEN = Address()


@dataclass(frozen=True, slots=True)
class _Begin:
    scope: str
    key: str
    lasting: timedelta | None
    reason: str
    account_version: str | None


class Pauses:
    """What is paused, as far as this process knows.

    Args:
        pool: work connections.
        metrics: of this process.
        on_open: called when a paused address answers again.

    """

    def __init__(self, pool: Pool, metrics: Metrics, on_open: Callable[[], None]) -> None:
        self._pool = pool
        self._metrics = metrics
        self._on_open = on_open
        self._addresses: dict[str, Address] = {}
        self._to_probe: asyncio.Queue[Venue] = asyncio.Queue()
        self._to_store: asyncio.Queue[_Begin] = asyncio.Queue()
        self._shared: dict[tuple[str, str], database.PauseRow] = {}

    def verdict(self, venue: Venue, entry: ReadyEntry) -> Waiting | Rejected | None:
        """Say whether a row has to wait, or, with a refused key, is rejected; None when nothing is paused."""
        if not self._address(venue).is_open(time.monotonic()):
            return wait(Code.PAUSED, address=venue.base_url)
        if not self._shared:
            return None
        if pause := self._shared.get(("address", venue.base_url)):
            return wait(Code.BANNED, until=pause.until.isoformat() if pause.until else "further notice")
        account = _account_key(entry)
        if ("account", account) in self._shared:
            return wait(Code.RATE_LIMITED)
        key = self._shared.get(("key", account))
        if key is not None and entry.account is not None and key.account_version == entry.account.version:
            return reject(Code.KEY_REFUSED, reason=key.reason)
        return None

    def _address(self, venue: Venue) -> Address:
        return self._addresses.get(venue.base_url, OPEN)

    def observed(self, venue: Venue, result: Result) -> None:
        """Count what came of any request: the third transport failure in a row pauses the address."""
        if isinstance(result, Answer):
            if (address := self._address(venue)).failures:
                self._addresses[venue.base_url] = address.after_answer()
            if result.status == BANNED_STATUS and ("address", venue.base_url) not in self._shared:
                self._metrics.bans(venue.market, "live" if venue.live else "testnet").inc()
        elif classify_failure(result.reason, int(result.bytes_written)).endpoint_failed:
            self._failed(venue)

    def _failed(self, venue: Venue) -> None:
        before = self._address(venue)
        after = self._addresses[venue.base_url] = before.after_failure(time.monotonic())
        if before.probe_at is None and after.probe_at is not None:
            self._to_probe.put_nowait(venue)
            self._metrics.pauses("address", "transport").inc()
            log.warning("address.paused", base_url=venue.base_url, failures=after.failures)

    def pause_address(self, venue: Venue, seconds: float | None, reason: str) -> None:
        """Pause an address for everybody: the exchange said so."""
        self._begin("address", venue.base_url, seconds, reason, None)

    def pause_account(self, entry: ReadyEntry, scope: Pause, seconds: float | None, reason: str) -> None:
        """Pause an account for everybody; one whose key was refused until its row changes."""
        version = entry.account.version if entry.account else None
        self._begin(str(scope), _account_key(entry), seconds, reason, version)

    def _begin(
        self, scope: str, key: str, seconds: float | None, reason: str, account_version: str | None
    ) -> None:
        lasting = None if scope == "key" else timedelta(seconds=seconds) if seconds else DEFAULT_PAUSE
        # Known here at once; the database tells the others.
        self._shared[scope, key] = database.PauseRow(scope, key, None, reason, account_version)
        self._to_store.put_nowait(_Begin(scope, key, lasting, reason, account_version))
        self._metrics.pauses(scope, "exchange").inc()
        log.warning("paused", scope=scope, key=key, seconds=seconds, reason=reason)

    async def refresh(self) -> None:
        """Read what is in force; called with every sweep."""
        async with self._pool.acquire() as connection:
            rows = await database.in_force(connection)
        self._shared = {(row.scope, row.key): row for row in rows}
        here = sum(not address.is_open(time.monotonic()) for address in self._addresses.values())
        shown: dict[tuple[str, ...], float] = {("address", "transport"): float(here)}
        for scope in ("address", "account", "key"):
            shown[scope, "exchange"] = float(sum(row.scope == scope for row in rows))
        self._metrics.paused.replace(shown)

    async def run(self) -> None:
        """Store pauses and probe paused addresses until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._store())
            while True:
                venue = await self._to_probe.get()
                tasks.create_task(self._probe(venue))

    async def _store(self) -> None:
        while True:
            begin = await self._to_store.get()
            while True:
                try:
                    async with self._pool.acquire() as connection:
                        await database.begin(
                            connection,
                            scope=begin.scope,
                            key=begin.key,
                            lasting=begin.lasting,
                            reason=begin.reason,
                            account_version=begin.account_version,
                        )
                    break
                except DATABASE_AWAY as error:
                    log.warning("pause.database_away", error=str(error))
                    await asyncio.sleep(STORE_AGAIN_AFTER_S)

    async def _probe(self, venue: Venue) -> None:
        """Ask `ping`, then the time, ever more rarely, until both are answered."""
        while (probe_at := self._address(venue).probe_at) is not None:
            await asyncio.sleep(max(0.0, probe_at - time.monotonic()))
            if isinstance(await venue.rest.ping(), Answer) and isinstance(
                await venue.rest.server_time(), Answer
            ):
                break
        log.info("address.open", base_url=venue.base_url)
        self._on_open()


def _account_key(entry: ReadyEntry) -> str:
    """Name an account's pauses. Markets count orders apart, and a key may have the right for one only."""
    order = entry.order
    return str(order.account_id) if order.market is Market.SPOT else f"{order.account_id} {order.market}"
