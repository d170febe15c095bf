"""The fill listener: its parts, and how they are put together.

Per environment: a marker, a valuer, and as many carriers as its accounts need, each with a lane that applies.
Beside them: the leases, the reconciler, the backfill. Whatever fails in one of them reaches the task group
and ends the process; whatever the outside world does, does not.
"""

from __future__ import annotations

import asyncio
import os
import socket
from itertools import chain
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from services.fill_listener.accounts import Account, Accounts
from services.fill_listener.apply import Arrival, Item, Lane, Listeners
from services.fill_listener.backfill import Backfill, Question
from services.fill_listener.background import BackgroundRound
from services.fill_listener.foreign import Foreign
from services.fill_listener.futures_work import FuturesWork
from services.fill_listener.mark import Marker, PositionGauges
from services.fill_listener.pace import Pace
from services.fill_listener.reconcile import Reconciler
from services.fill_listener.share_out import ShareOut
from services.fill_listener.subscribe import Carrier
from services.fill_listener.value import Valuer
from services.fill_listener.venues import Environment, Environments
from services.fill_listener.wiped import WipeWatch
from shared.conflicts import tell_conflicts
from shared.database import epoch as epochs
from shared.database.connect import DATABASE_AWAY
from shared.domain.order import Market
from shared.keys import Keys
from shared.telemetry.server import State

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from shared.database.settle import Settled
    from shared.domain.settlement import OrderReport
    from shared.service import Surroundings

log = structlog.get_logger(__name__)

# By market the weight a second, and what may come at once after a rest: on spot 2,400 of the 6,000 a minute
# that one address has, and a thousand accounts heard again; on futures 1,200 of 2,400.
SHARE = {Market.SPOT: (40.0, 2000.0), Market.FUTURES: (20.0, 400.0)}
DRAIN_WITHIN_S = 10.0
EPOCH_RETRY_S = 0.25


def new_name() -> str:
    """Name this process, for the leases it takes."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"


class FillListener:
    """Everything one listener process runs for one market.

    Args:
        around: settings, database, telemetry.
        market: spot or futures.
        name: of this process; None = a new one.
        gauges: what the positions come to, shared where a process serves both markets.

    """

    def __init__(
        self,
        around: Surroundings,
        market: Market = Market.SPOT,
        *,
        name: str | None = None,
        gauges: PositionGauges | None = None,
    ) -> None:
        configuration, pool, metrics, redactor, tracing = around
        self._configuration = configuration
        self._pool = pool
        self.metrics = metrics
        self._tracing = tracing
        self.name = name or new_name()
        self._stop = asyncio.Event()
        self._log_seen = 0
        self._epoch_id: int | None = None
        self._intake: list[asyncio.Task[None]] = []
        self._applying: list[asyncio.Task[None]] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._accounts = Accounts()
        self._environments = Environments(configuration, pool, redactor)
        self._by_environment: dict[Environment, list[Carrier]] = {}
        self._futures: dict[Environment, FuturesWork] = {}
        self._wipes: dict[Environment, WipeWatch] = {}
        self._carriers: dict[UUID, Carrier] = {}
        self._gauges = gauges or PositionGauges(metrics)
        self._pace = Pace(*SHARE[market])
        question = Question(self._pace)
        self._backfill = Backfill(self._accounts, question, self._apply, metrics)
        self._reconciler = Reconciler(
            pool, self._accounts, question, self._apply, self._order_missing, metrics
        )
        self._foreign = foreign = Foreign(metrics)
        self._listeners = Listeners(
            settled=self._settled,
            unreadable=self._unheard,
            foreign=foreign.record,
            account=self._account_changed,
            orphans=foreign.orphans,
            epoch_changed=self._look_at_epoch,
        )
        self._share_out = ShareOut(
            configuration,
            pool,
            self.name,
            market=market,
            environments=self._environments,
            keys=Keys(configuration.encryption.keyring(), redactor),
            accounts=self._accounts,
            on_gained=self._gained,
            on_lost=self._lost,
            on_alive=self._divide_weight,
            metrics=metrics,
        )

    async def run(self) -> None:
        """Listen until `drain` is called; then apply what has come, give the accounts up, and return."""
        await self._look_at_epoch()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for title, work in {
                "venues": self._environments.run(),
                "share out": self._share_out.run(),
                "reconcile": self._reconciler.run(),
                "backfill": self._backfill.run(),
            }.items():
                self._intake.append(tasks.create_task(work, name=title))
            await self._stop.wait()
            await self._end()
        await self._environments.aclose()

    def carriers(self) -> Iterator[Carrier]:
        """Iterate over the connections kept by this process."""
        return chain.from_iterable(self._by_environment.values())

    def drain(self) -> None:
        """Take nothing new; `run` returns when what has come is applied."""
        log.info("draining", accounts=len(self._accounts))
        self.metrics.draining.set(1)
        self._stop.set()

    def look_at_accounts(self) -> None:
        """Look at once whether there are accounts that nobody follows."""
        self._share_out.wake()

    def ready(self) -> State:
        """Say whether every account held here is heard."""
        if not self._share_out.beaten:
            return State(ready=False, sentence="the accounts have not been read yet")
        unheard = [one for carrier in self.carriers() for one in carrier.unheard()]
        if unheard:
            return State(
                ready=False, sentence=f"{len(unheard)} of {len(self._accounts)} accounts are not heard yet"
            )
        return State(ready=True, sentence=f"{len(self._accounts)} accounts are followed here")

    async def _end(self) -> None:
        """Stop what brings something in, apply what has come, give the accounts up."""
        for task in self._intake:
            task.cancel()
        await asyncio.wait(self._intake)
        try:
            async with asyncio.timeout(DRAIN_WITHIN_S):
                for carrier in self.carriers():
                    await carrier.lane.drained()
                await self._share_out.give_up()
        except (TimeoutError, *DATABASE_AWAY) as error:
            # What was not applied is read again by whoever follows the accounts next.
            log.warning("drain.incomplete", error=str(error))
        for task in self._applying:
            task.cancel()

    def _divide_weight(self, listeners: int) -> None:
        """Spend our part of an address's weight and connects, when other listeners leave by the same one."""
        sharers = 1 if self._configuration.options.own_address else listeners
        for pace in (self._pace, *(environment.connects for environment in self._environments)):
            pace.sharers = sharers

    def _gained(self, account: Account) -> None:
        """Have a connection carry an account; an existing one if it has room."""
        carrier = self._carriers.get(account.id)
        if carrier is None or carrier.environment is not account.environment:
            carrier = self._carrier_with_room(account.environment)
            self._carriers[account.id] = carrier
        carrier.add(account)

    def _lost(self, account: Account) -> None:
        carrier = self._carriers.pop(account.id, None)
        if carrier is not None:
            carrier.remove(account.id)
        log.info("account.given_up", account_id=str(account.id))

    def _carrier_with_room(self, environment: Environment) -> Carrier:
        carriers = self._by_environment.get(environment)
        if carriers is None:
            carriers = self._follow(environment)
        for carrier in carriers:
            if len(carrier) < environment.accounts_per_stream:
                return carrier
        carrier = Carrier(
            Lane(environment, self._pool, self._listeners, self.metrics, self._tracing),
            owner=self.name,
            pace=self._pace,
            reconcile=self._unheard,
            metrics=self.metrics,
            recv_window_ms=self._configuration.protocol.recv_window_ms,
        )
        carriers.append(carrier)
        self._begin(self._applying, carrier.lane.run(), f"apply {len(carriers)}")
        self._begin(self._intake, carrier.run(), f"carrier {len(carriers)}")
        return carrier

    def _follow(self, environment: Environment) -> list[Carrier]:
        """Begin to work for an environment."""
        carriers = self._by_environment[environment] = []
        marker = Marker(environment, self._accounts, self._pool, self._gauges, self.metrics)
        self._begin(self._intake, marker.run(), "mark")
        self._begin(self._intake, Valuer(environment, self._accounts, self._pool).run(), "value")
        if (rest := environment.futures_rest) is not None:
            work = self._futures[environment] = FuturesWork(
                environment,
                rest,
                self._accounts,
                self._pool,
                self._pace,
                self._foreign,
                self._put,
                self.metrics,
            )
            self._begin(self._intake, work.run(), "futures")
        else:
            rounds = BackgroundRound(
                environment, self._accounts, self._pool, self._pace, self._foreign, self._put, self.metrics
            )
            self._begin(self._intake, rounds.run(), "background")
            if environment.testnet:
                wipes = self._wipes[environment] = WipeWatch(
                    environment, self._accounts, self._pool, self._pace, self.metrics
                )
                self._begin(self._intake, wipes.visits.run(), "wipes")
        return carriers

    def _unheard(self, account_id: UUID) -> None:
        """Ask for what an account may have said while nobody heard it.

        What it said last may not show yet, and nobody says it again: so it is asked for once more when it has
        to show (PROTOCOL 7).
        """
        self._reconciler.want(account_id)
        lag_s = self._configuration.protocol.query_lag.total_seconds()
        asyncio.get_running_loop().call_later(lag_s, self._reconciler.want, account_id)
        account = self._accounts.get(account_id)
        if account is not None and account.environment in self._futures:
            self._futures[account.environment].want(account_id)

    def _order_missing(self, account: Account) -> None:
        """Look whether a testnet was wiped: it does not know an order that it had accepted."""
        if account.environment in self._wipes:
            self._wipes[account.environment].visits.want(account.id)

    def _account_changed(self, environment: Environment, arrival: Arrival) -> None:
        """Hand over an event about something else than an order; on spot nothing follows from it."""
        if environment in self._futures:
            self._futures[environment].take(arrival)

    def _begin(self, tasks: list[asyncio.Task[None]], work: Coroutine[None, None, None], title: str) -> None:
        assert self._tasks is not None
        tasks.append(self._tasks.create_task(work, name=title))

    def _apply(self, environment: Environment, report: OrderReport) -> None:
        """Hand over what was asked for by REST; it takes the path of the events."""
        carrier = self._carriers.get(report.account_id)
        if carrier is not None and carrier.environment is environment:
            carrier.lane.put(report)

    def _put(self, account_id: UUID, item: Item) -> None:
        carrier = self._carriers.get(account_id)
        if carrier is not None:
            carrier.lane.put(item)

    def _settled(self, environment: Environment, settled: Settled) -> None:
        """Look for gaps, and count."""
        tell_conflicts(self.metrics, settled.lines)
        for line in settled.lines:
            self._backfill.look_at(environment, line)
            self._reconciler.heard(environment, line)
        for line in settled.unchanged:
            # The executor was first. Only an end counts: asking again after every answer would never stop.
            if line.terminal:
                self._reconciler.heard(environment, line)
        traces = {line.order_id: line.trace for line in settled.lines}
        for change in settled.positions:
            with self._tracing.within(traces.get(change.order_id) if change.order_id else None):
                log.info(
                    change.kind,
                    order_id=str(change.order_id) if change.order_id else None,
                    account_id=str(change.account_id),
                    symbol=change.symbol,
                    size=str(change.size),
                    entry_price=str(change.entry_price),
                )

    async def _look_at_epoch(self) -> None:
        """Compare the database with the one we knew (PROTOCOL 10); the executor waits the quarantine out."""
        while True:
            try:
                async with self._pool.acquire() as connection:
                    epoch = await epochs.current(
                        connection,
                        quarantine=self._configuration.protocol.quarantine,
                        seen=self._log_seen,
                    )
            except DATABASE_AWAY as error:
                log.warning("epoch.database_away", error=str(error))
                await asyncio.sleep(EPOCH_RETRY_S)
                continue
            self._log_seen = epoch.written
            if self._epoch_id not in (None, epoch.id):
                # Fills that were written down may be gone with the commits of the other history.
                for account in self._accounts:
                    self._unheard(account.id)
            self._epoch_id = epoch.id
            if epoch.changed:
                self.metrics.epoch_changes.inc()
                log.error("epoch.changed", epoch=epoch.id, advice="see the runbook: failover, restore, copy")
            return
