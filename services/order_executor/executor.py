"""The order executor: its parts, and how they are put together.

One loop claims, each claimed order is sent at once, one task settles. Beside them: the sweep, the resolver,
the venues, the leases. Whatever fails in one of them reaches the task group and ends the process; whatever
the outside world does, does not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import structlog

from services.order_executor.cancel import Canceller
from services.order_executor.claim import Claimer
from services.order_executor.futures_account import FuturesAccounts
from services.order_executor.pauses import Pauses
from services.order_executor.peek import Peeker
from services.order_executor.prepare import Preparer
from services.order_executor.quarantine import EpochWatch
from services.order_executor.rate import Rates
from services.order_executor.recheck import Recheck
from services.order_executor.resolve import Resolver
from services.order_executor.send import Sender
from services.order_executor.settle import Settler
from services.order_executor.slots import Slots
from services.order_executor.take_in import TakeIn
from services.order_executor.venues import Venues
from services.order_executor.verdicts import Verdicts
from shared.binance.rest import Answer
from shared.binance.weight import Kind
from shared.conflicts import tell_conflicts
from shared.database import breakers, leases, outbox, settle
from shared.database.claim import claim
from shared.database.connect import DATABASE_AWAY
from shared.database.ledger import environment_epoch
from shared.domain.states import AttemptOutcome, EntryState
from shared.keys import Keys
from shared.telemetry.server import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.binance.rest import Result
    from shared.binance.venue import Venue
    from shared.database.connect import Connection
    from shared.database.epoch import Epoch
    from shared.database.settle import Finding, Settled
    from shared.service import Surroundings

log = structlog.get_logger(__name__)

RENEWALS_PER_LEASE = 4
WARM_CONNECTIONS = 4  # what claims, settles and sweeps at the same time
DRAIN_WITHIN_S = 10.0
MOST_TRADERS = 10_000


class Executor:
    """Everything one executor process runs.

    Args:
        around: settings, database, telemetry.

    """

    def __init__(self, around: Surroundings) -> None:
        configuration, pool, metrics, redactor, tracing = around
        protocol = configuration.protocol
        accounts = configuration.guards.accounts
        self._configuration = configuration
        self._pool = pool
        self._metrics = metrics
        self._tracing = tracing
        self._name = name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
        keys = Keys(configuration.encryption.keyring(), redactor)
        self._draining = asyncio.Event()
        self._slots = Slots(protocol.send_slots)
        self._epochs = EpochWatch(pool, protocol, metrics)
        self._settler = Settler(pool, metrics, tracing, self._settled, self._epochs.look)
        self._take_in = TakeIn(
            pool,
            metrics,
            accounts=accounts,
            sweep_interval=protocol.sweep_interval,
            max_key_block=protocol.max_key_block,
            on_sweep=self._sweep,
        )
        self._rates = Rates(pool, name, on_room=self._take_in.look_again_at)
        self._venues = Venues(
            configuration,
            on_ready=self._take_in.look_again,
            observed=self._observed,
            admit=self._rates.admit,
            epoch_of=self._environment_epoch,
        )
        futures = FuturesAccounts(pool, configuration.futures)
        self._pauses = Pauses(pool, metrics, on_open=self._take_in.look_again)
        self._listener = self._take_in.listener(configuration.database.listen_dsn, f"order_executor {name}")
        self._canceller = Canceller(pool, self._venues, keys, self._settler, protocol, accounts, metrics)
        self._resolver = Resolver(
            pool,
            name,
            self._venues,
            keys,
            self._settler,
            self._epochs,
            protocol,
            accounts,
            metrics,
            tracing,
        )
        self._recheck = Recheck(pool, name, self._venues, keys, self._settler, protocol, accounts)
        most_per_minute = configuration.guards.max_orders_per_minute
        self._claimer = Claimer(
            pool,
            name,
            protocol,
            metrics,
            tracing,
            take_in=self._take_in,
            peeker=Peeker(protocol, metrics, accounts, self._take_in, self._slots, most_per_minute),
            epochs=self._epochs,
            preparer=Preparer(configuration, pool, self._venues, keys, self._pauses, futures),
            verdicts=Verdicts(metrics, tracing, self._take_in.backlog),
            sender=Sender(
                protocol.recv_window_ms, self._settler, self._pauses, self._rates, futures, metrics, tracing
            ),
            settler=self._settler,
            slots=self._slots,
            rates=self._rates,
            max_per_minute=most_per_minute,
        )

    async def run(self) -> None:
        """Work until `drain` is called; then send and settle what was claimed, and return."""
        await self._warm_up()
        async with asyncio.TaskGroup() as background:
            tasks = [
                background.create_task(work, name=title)
                for title, work in {
                    "listen": self._listener.run(),
                    "sweep": self._take_in.run(),
                    "venues": self._venues.run(),
                    "pauses": self._pauses.run(),
                    "rates": self._rates.run(),
                    "resolve": self._resolver.run(),
                    "leases": self._keep_leases(),
                    "settle": self._settler.run(),
                }.items()
            ]
            await self._claimer.run(self._draining)
            await self._settle_what_is_left()
            for task in tasks:
                task.cancel()
        await self._venues.aclose()
        await self._release_leases()

    async def _settle_what_is_left(self) -> None:
        """Write down what came back; a database that is away is not waited for without end."""
        try:
            async with asyncio.timeout(DRAIN_WITHIN_S):
                await self._settler.drained()
        except TimeoutError:
            # Its lease runs out, and whoever takes it over asks.
            log.warning("drain.incomplete", in_flight=len(self._slots.tokens))

    async def _warm_up(self) -> None:
        """Do before the first order what it would wait for: read who may send, plan the hot statements."""
        try:
            epoch = await self._epochs.look()
            async with AsyncExitStack() as held:
                for _ in range(min(WARM_CONNECTIONS, self._pool.get_max_size())):
                    await self._plan(await held.enter_async_context(self._pool.acquire()), epoch)
            async with self._pool.acquire() as connection:
                served = self._configuration.guards.accounts
                traders = await outbox.traders(connection, limit=MOST_TRADERS, accounts=served)
            self._take_in.announcements.meet(traders)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            # Only the first order pays for it; a process that ended here would serve nobody.
            log.warning("warm_up.failed", error=str(error))

    async def _plan(self, connection: Connection, epoch: Epoch) -> None:
        """Let Postgres plan the hot statements: run them on nothing."""
        protocol = self._configuration.protocol
        await outbox.peek(
            connection,
            low_water=0,
            keys=(),
            limit=0,
            max_key_block=protocol.max_key_block,
            twin_window=protocol.twin_window,
            max_per_minute=0,
        )
        await claim(
            connection,
            (),
            (),
            recv_window_ms=protocol.recv_window_ms,
            owner=self._name,
            lease=protocol.lease,
            epoch=epoch,
            max_per_minute=0,
            twin_window=protocol.twin_window,
        )
        await settle.plan(connection)

    def drain(self) -> None:
        """Claim nothing more; `run` returns when what is in flight is settled."""
        log.info("draining", in_flight=len(self._slots.tokens))
        self._metrics.draining.set(1)
        self._draining.set()
        self._take_in.wake.set()

    def ready(self) -> State:
        """Say whether orders can be taken in now."""
        if not self._take_in.swept:
            return State(ready=False, sentence="the first sweep of the outbox is not through yet")
        if not self._listener.up:
            return State(ready=False, sentence="LISTEN is not up; rows are found by the sweep only")
        return State(ready=True, sentence="taking in orders")

    async def _sweep(self) -> None:
        """Do on every sweep what needs doing in every process."""
        epoch = await self._epochs.look()
        await self._open_venues()
        await self._recheck.look(epoch)
        await self._remember_breakers()
        await self._pauses.refresh()
        self._measure(epoch)
        await self._canceller.look()

    async def _remember_breakers(self) -> None:
        """Take down what the bot has tripped, before it un-trips it by accident (DESIGN 5)."""
        async with self._pool.acquire() as connection:
            for user_id, reason in (await breakers.remember(connection)).items():
                log.warning("breaker.tripped", user_id=str(user_id), reason=reason)

    async def _open_venues(self) -> None:
        """Open the venues of the active accounts before the first order needs them."""
        async with self._pool.acquire() as connection:
            for market, testnet in await outbox.environments(connection):
                if testnet or self._configuration.guards.live_trading:
                    self._venues.of(market, testnet=testnet)
            for venue in self._venues:
                venue.environment_epoch = await environment_epoch(connection, venue.base_url)

    async def _environment_epoch(self, base_url: str) -> int:
        async with self._pool.acquire() as connection:
            return await environment_epoch(connection, base_url)

    def _observed(self, venue: Venue, method: str, path: str, result: Result) -> None:
        """Count what came of a request to the exchange."""
        self._pauses.observed(venue, result)
        self._rates.observed(venue, path, result)
        said = str(result.status) if isinstance(result, Answer) else result.reason
        self._metrics.requests(venue.market, f"{method} {path.rpartition('/')[2]}", said).inc()
        if isinstance(result, Answer):
            environment = "live" if venue.live else "testnet"
            used = result.used.get((Kind.WEIGHT, 60_000))
            if used is not None:
                self._metrics.weight_used(venue.market, environment).set(used)
            if path.endswith("/exchangeInfo"):
                for limit in self._rates.limits(venue):
                    if (limit.kind, limit.interval_ms) == (Kind.WEIGHT, 60_000):
                        self._metrics.weight_limit(venue.market, environment).set(limit.most)

    def _measure(self, epoch: Epoch) -> None:
        self._metrics.live_trading.set(self._configuration.guards.live_trading)
        self._metrics.quarantine.set(epoch.quarantine_until > datetime.now(UTC))
        self._metrics.send_slots_busy.set(self._slots.most_since_asked())
        for venue in self._venues:
            labels = (venue.market, "live" if venue.live else "testnet")
            error_ms = venue.rest.clock.error_ms()
            if error_ms is not None:
                # The local scale is a machine's own; the wall clock is what people compare with.
                wall_ms = venue.rest.clock.exchange_now_ms() - time.time() * 1000
                self._metrics.clock_offset(*labels).set(wall_ms / 1000)
                self._metrics.clock_error(*labels).set(error_ms / 1000)

    async def _keep_leases(self) -> None:
        """Renew the leases of what is in flight here (PROTOCOL 3)."""
        lease = self._configuration.protocol.lease
        while True:
            await asyncio.sleep(lease.total_seconds() / RENEWALS_PER_LEASE)
            tokens = self._slots.tokens
            if not tokens:
                continue
            try:
                async with self._pool.acquire() as connection:
                    await leases.renew(connection, tokens, lease=lease)
            except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                # A row may be locked by a frozen process; at the next beat it is renewed, or it runs out.
                log.warning("leases.not_renewed", error=str(error))

    async def _release_leases(self) -> None:
        try:
            async with self._pool.acquire() as connection:
                await leases.release(connection, self._name)
        except DATABASE_AWAY as error:
            log.warning("leases.database_away", error=str(error))

    def _settled(self, findings: Sequence[Finding], settled: Settled) -> None:
        """Free the slots, count, and look at the keys again."""
        # Also where the listener was faster and our own word brought nothing new.
        freed = {(f.order_id, f.number): self._slots.release(f.order_id, f.number) for f in findings}
        tell_conflicts(self._metrics, settled.lines)
        for line in settled.lines:
            key = freed.get((line.order_id, line.number))
            if line.retry_after is not None and key is not None:
                delay_s = line.retry_after.total_seconds()
                asyncio.get_running_loop().call_later(delay_s, self._take_in.look_again_at, [key])
            self._metrics.attempts(line.market, str(line.outcome)).inc()
            if line.entry_state is EntryState.BACKOFF:
                self._metrics.retries(line.market, line.reason_code or "").inc()
            if line.outcome is AttemptOutcome.ACCEPTED:
                self._metrics.orders_executed(line.market).inc()
            elif "rejected" in line.events:
                self._metrics.orders_failed(line.market, line.reason_code or "rejected").inc()
            with self._tracing.within(line.trace):
                log.info(
                    "order.settled",
                    order_id=str(line.order_id),
                    attempt=line.number,
                    outcome=line.outcome,
                    state=line.entry_state,
                    status=line.order_status,
                    executed=str(line.executed),
                )
        self._take_in.wake.set()
