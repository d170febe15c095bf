"""DESIGN 6: reconcile. Every order that is not over is asked for, after each connect and every few minutes.

What comes back takes the same path as events, so it does not matter which of the two is first. Orders that
ended during a gap are among those asked for: here they are still open.
"""

from __future__ import annotations

import asyncio
import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.fill_listener.quiet import Quiet
from shared.binance.rest import Answer
from shared.database import streams
from shared.database.connect import DATABASE_AWAY
from shared.database.streams import OpenAttempt
from shared.domain.fill import UnreadablePayloadError
from shared.domain.futures_algo import is_algo_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.backfill import Question
    from services.fill_listener.venues import Environment
    from shared.database.connect import Pool
    from shared.domain.settlement import Line, OrderReport
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 180.0
GATHER_S = 0.02
PARALLEL = 8
RETRY_S = 0.5
ACCOUNTS_AT_ONCE = 200
NO_SUCH_ORDER = -2013
UNANSWERED_FROM = 418  # ban, throttle, server errors: nothing was learned
LOOK_FOR_QUIET_S = 0.5
LOOK_FOR_GAPS_S = 10.0
A_GAP_LASTS = timedelta(seconds=2)  # longer than an event is behind the answer that it belongs to


class Reconciler:
    """Asks about open orders.

    Args:
        pool: work connections.
        accounts: those followed here.
        question: asks.
        apply: takes the reports.
        on_missing: told an account of which an order that had been accepted is not there.
        metrics: of this process.

    """

    def __init__(
        self,
        pool: Pool,
        accounts: Accounts,
        question: Question,
        apply: Callable[[Environment, OrderReport], None],
        on_missing: Callable[[Account], None],
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._accounts = accounts
        self._question = question
        self._apply = apply
        self._on_missing = on_missing
        self._metrics = metrics
        self._wanted: dict[UUID, None] = {}
        self._wake = asyncio.Event()
        self._quiet = Quiet()
        self._slots = asyncio.Semaphore(PARALLEL)

    def want(self, account_id: UUID) -> None:
        """Reconcile an account as soon as possible."""
        self._wanted[account_id] = None
        self._wake.set()

    def heard(self, environment: Environment, line: Line) -> None:
        """Take note that something was heard of an order; a living one is asked for when it stays quiet."""
        pair = environment.pair(line.symbol)
        if line.terminal or line.exchange_status is None or pair is None:
            self._quiet.ended(line.order_id, line.number)
            return
        attempt = OpenAttempt(
            order_id=line.order_id,
            number=line.number,
            account_id=line.account_id,
            symbol=line.symbol,
            client_order_id=line.client_order_id,
            exchange_order_id=line.exchange_order_id,
            pair=pair,
            executed=line.executed,
            filled=line.filled,
            conditional=is_algo_id(line.exchange_order_id),  # afterwards it is an order like any other
        )
        self._quiet.heard(attempt, time.monotonic())

    async def run(self) -> None:
        """Reconcile what is wanted, and everything every few minutes, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_wanting())
            tasks.create_task(self._keep_asking_the_quiet())
            tasks.create_task(self._keep_finding_gaps())
            while True:
                await self._wake.wait()
                await asyncio.sleep(GATHER_S)  # a connection subscribes many accounts at a time
                self._wake.clear()
                await self._next_round()

    async def _keep_wanting(self) -> None:
        while True:
            # Not all replicas at the same moment.
            await asyncio.sleep(EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311
            for account in self._accounts:
                self.want(account.id)

    async def _keep_asking_the_quiet(self) -> None:
        while True:
            await asyncio.sleep(LOOK_FOR_QUIET_S)
            async with asyncio.TaskGroup() as tasks:
                for attempt in self._quiet.due(time.monotonic()):
                    account = self._accounts.get(attempt.account_id)
                    if account is not None and account.credentials is not None:
                        tasks.create_task(self._ask(account, attempt))

    async def _keep_finding_gaps(self) -> None:
        """Find what an executor settled and no event ever told of: its fills have to be asked for.

        On futures an answer tells what executed and not at what price.
        """
        while True:
            await asyncio.sleep(LOOK_FOR_GAPS_S)
            by_market: dict[str, list[UUID]] = {}
            for account in self._accounts:
                by_market.setdefault(account.environment.market, []).append(account.id)
            try:
                for market, ids in by_market.items():
                    async with self._pool.acquire() as connection:
                        found = await streams.gaps(connection, ids, market, for_longer_than=A_GAP_LASTS)
                    for attempt in found:
                        self._quiet.overlooked(attempt, time.monotonic())
            except DATABASE_AWAY as error:
                log.warning("gaps.database_away", error=str(error))

    async def _next_round(self) -> None:
        while self._wanted:
            chosen = list(self._wanted)[:ACCOUNTS_AT_ONCE]
            for account_id in chosen:
                del self._wanted[account_id]
            followed = [account for one in chosen if (account := self._accounts.get(one)) is not None]
            try:
                await self._reconcile(followed)
            except DATABASE_AWAY as error:
                log.warning("reconcile.database_away", error=str(error))
                for account_id in chosen:
                    self.want(account_id)
                await asyncio.sleep(RETRY_S)

    async def _reconcile(self, accounts: Sequence[Account]) -> None:
        by_market: dict[str, list[Account]] = {}
        for account in accounts:
            if account.credentials is not None:
                by_market.setdefault(account.environment.market, []).append(account)
        for market, these in by_market.items():
            async with self._pool.acquire() as connection:
                attempts = await streams.open_attempts(connection, [one.id for one in these], market)
            known = {account.id: account for account in these}
            async with asyncio.TaskGroup() as tasks:
                for attempt in attempts:
                    tasks.create_task(self._ask(known[attempt.account_id], attempt))
            self._metrics.reconciliations("open_orders", "ok").inc(len(these))

    async def _ask(self, account: Account, attempt: OpenAttempt) -> None:
        assert account.credentials is not None
        async with self._slots:
            try:
                told = await self._question.order(account.environment, account.credentials, attempt)
            except UnreadablePayloadError as error:
                log.warning("reconcile.unreadable", order_id=str(attempt.order_id), error=str(error))
                return
        if told is None or isinstance(told, Answer):
            self._not_found(account, attempt, told)
            return
        if told.status.is_terminal:
            self._quiet.ended(attempt.order_id, attempt.number)
        if told.executed != attempt.executed:
            self._metrics.reconcile_differences("executed").inc()
        self._apply(account.environment, told)

    def _not_found(self, account: Account, attempt: OpenAttempt, told: Answer | None) -> None:
        """Say what was not learned: a failed or empty answer never changes an order (promise 2)."""
        if told is not None and told.code == NO_SUCH_ORDER and attempt.exchange_order_id is None:
            return  # unknown, which the resolver judges, or judged absent, as it is still
        if told is None or told.status >= UNANSWERED_FROM:
            self._quiet.unanswered(attempt, time.monotonic())
        missing = told is not None and told.code == NO_SUCH_ORDER
        self._metrics.reconciliations("open_orders", "missing" if missing else "failed").inc()
        if missing:
            self._metrics.reconcile_differences("order_missing").inc()
            self._on_missing(account)
        log.warning(
            "reconcile.not_learned",
            order_id=str(attempt.order_id),
            account_id=str(account.id),
            code=told.code if told else None,
            status=told.status if told else None,
            advice="an order the exchange had accepted is not there; was the testnet wiped?"
            if missing
            else "it is asked again",
        )
