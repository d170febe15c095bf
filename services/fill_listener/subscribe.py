"""DESIGN 6: subscribe. One connection carries up to a thousand accounts; it is replaced, not repaired.

A `Carrier` keeps a set of accounts heard: it opens a connection, subscribes each account by signature, and
after every loss opens the next with back-off and jitter. Nothing is replayed by the exchange, so whatever was
not heard without a gap is reconciled by REST as soon as it is subscribed again. One account with a bad key
never disturbs another.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from services.fill_listener.apply import Arrival
from services.fill_listener.overlap import BackOff, Rollover
from services.fill_listener.probe import keep_proving, probe
from shared.binance.clock_offset import ClockUnknownError
from shared.binance.user_stream import TERMINATED, StreamDownError, StreamRefusedError
from shared.database import streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from services.fill_listener.accounts import Account
    from services.fill_listener.apply import Lane
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.futures_stream import FuturesUserStream
    from shared.binance.user_stream import UserStream
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

SUBSCRIBE_WEIGHT = 2
CONNECT_WEIGHT = 2
PARALLEL = 16
LASTING_S = 10.0
LOOK_AGAIN_S = 5.0
REFUSED_AGAIN_S = 300.0
ALREADY_SUBSCRIBED = -2035
BAD_TIMESTAMP = -1021
REFUSED_KEY = frozenset({-2014, -2015, -1022, -1099})


@dataclass(slots=True, eq=False)
class Session:
    """One connection and what is heard on it.

    Attributes:
        stream: the connection.
        id: of `bridge.connection`.
        rollover: when to replace it.
        since_ms: moment on the exchange's clock from which each account is heard on it.
        complete: every wanted account that can be is subscribed.
        verified_through_ms: see `probe`.

    """

    id: UUID = field(default_factory=uuid4)
    rollover: Rollover = field(default_factory=Rollover)
    since_ms: dict[UUID, int] = field(default_factory=dict)
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    verified_through_ms: int | None = None
    opened_at: float = field(default_factory=time.monotonic)
    _stream: UserStream | FuturesUserStream | None = None

    @property
    def stream(self) -> UserStream | FuturesUserStream:
        """The connection, once it is open."""
        assert self._stream is not None
        return self._stream

    def opened(self, stream: UserStream | FuturesUserStream) -> None:
        """Take the open connection."""
        self._stream = stream


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an account is not subscribed, for which version of its row, and until when it is left alone."""

    version: str
    why: str
    until: float


class Carrier:
    """Keeps up to a connection's worth of accounts heard.

    Args:
        lane: takes the events; knows where they trade.
        owner: name of this listener.
        pace: our share of the request weight.
        reconcile: asked for each account that was not heard without a gap.
        metrics: of this process.
        recv_window_ms: of the subscriptions.

    """

    def __init__(
        self,
        lane: Lane,
        *,
        owner: str,
        pace: Pace,
        reconcile: Callable[[UUID], None],
        metrics: Metrics,
        recv_window_ms: int,
    ) -> None:
        self.lane = lane
        self._owner = owner
        self._pace = pace
        self._reconcile = reconcile
        self._metrics = metrics
        self._recv_window_ms = recv_window_ms
        self._wanted: dict[UUID, Account] = {}
        self._refused: dict[UUID, Refusal] = {}
        self._changed = asyncio.Event()
        self._sessions: list[Session] = []
        self._failures = 0

    @property
    def environment(self) -> Environment:
        """Where the accounts trade."""
        return self.lane.environment

    def __len__(self) -> int:
        """Return how many accounts it is to carry."""
        return len(self._wanted)

    def add(self, account: Account) -> None:
        """Carry an account, or subscribe it anew because its key changed."""
        before = self._wanted.get(account.id)
        self._wanted[account.id] = account
        if before is not None and before.credentials != account.credentials:
            for session in self._sessions:
                session.since_ms.pop(account.id, None)
        self._changed.set()

    def remove(self, account_id: UUID) -> None:
        """Carry an account no longer."""
        self._wanted.pop(account_id, None)
        self._refused.pop(account_id, None)
        self._show(account_id, up=False)
        self._changed.set()

    def unheard(self) -> list[UUID]:
        """Return the accounts that should be heard and are not, refused keys left out."""
        return [one for one in self._wanted if one not in self._refused and not self._is_heard(one)]

    def _is_heard(self, account_id: UUID) -> bool:
        return any(account_id in session.since_ms for session in self._sessions)

    async def run(self) -> None:
        """Keep the accounts heard until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    session = await self._connected()
                    living = tasks.create_task(self._live(session), name=f"connection {session.id}")
                    await self._take_over(session, living)
                    await _first(living, session.rollover.due())
        finally:
            for session in self._sessions:
                await session.stream.close()

    async def _connected(self) -> Session:
        """Open the next connection, however long it takes."""
        while True:
            delay_s = BackOff().delay_s(self._failures, random.random())  # noqa: S311
            await asyncio.sleep(delay_s)
            # Without its clock nothing can be signed, without its symbols no fee be read.
            await self.environment.ready.wait()
            await self._pace.take(CONNECT_WEIGHT)
            session = Session()
            try:
                session.opened(
                    await self.environment.open_stream(
                        on_event=partial(self._arrived, session),
                        on_shutdown=session.rollover.now,
                        recv_window_ms=self._recv_window_ms,
                    )
                )
            except StreamDownError as error:
                self._failures += 1
                log.warning("stream.not_opened", failures=self._failures, error=str(error))
                continue
            self._failures += 1  # a connection counts as a success only once it has lasted
            return session

    async def _live(self, session: Session) -> None:
        """Read a connection until it ends, keeping it subscribed and proven meanwhile."""
        self._sessions.append(session)
        self.lane.put(lambda c: streams.opened(c, session.id, self._owner, self.environment.endpoints.rest))
        log.info("stream.opened", connection=str(session.id), accounts=len(self._wanted))
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._keep_subscribed(session)),
                tasks.create_task(keep_proving(session, self.lane, self._metrics)),
            ]
            why = await session.stream.read()
            for task in beside:
                task.cancel()
        self._ended(session, why)

    def _ended(self, session: Session, why: str) -> None:
        """Say which accounts nobody hears any more."""
        self._sessions.remove(session)
        if time.monotonic() - session.opened_at > LASTING_S:
            self._failures = 0
        unheard = [one for one in session.since_ms if one in self._wanted and not self._is_heard(one)]
        for account_id in unheard:
            self._show(account_id, up=False)
        if unheard:
            self.lane.put(lambda c: streams.lost(c, self._owner, self.environment.market, unheard, why))
        self.lane.put(lambda c: streams.closed(c, session.id))
        self._metrics.stream_reconnects(self.environment.market, why).inc()
        log.info("stream.ended", connection=str(session.id), why=why, unheard=len(unheard))

    async def _take_over(self, session: Session, living: asyncio.Task[None]) -> None:
        """Wait until a new connection carries everything, then close those before it."""
        predecessors = [one for one in self._sessions if one is not session]
        if not predecessors:
            return
        await _first(living, session.complete.wait())
        if living.done():
            return
        for predecessor in predecessors:
            # What it brought until the new one carried everything is proven before it goes.
            await probe(predecessor, self.lane, self._metrics)
            await predecessor.stream.close()
        await probe(session, self.lane, self._metrics)

    async def _keep_subscribed(self, session: Session) -> None:
        """Subscribe what is wanted, and end what is not, now and whenever it changes."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            for account_id in session.stream.accounts - session.since_ms.keys() | (
                session.since_ms.keys() - self._wanted.keys()
            ):
                await self._unsubscribe(session, account_id)
            missing = [
                account
                for account in self._wanted.values()
                if account.id not in session.since_ms and not self._is_refused(account, now)
            ]
            if missing:
                await self._subscribe_all(session, missing)
            if not self._missing(session):
                session.complete.set()
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _missing(self, session: Session) -> list[UUID]:
        return [one for one in self._wanted if one not in session.since_ms and one not in self._refused]

    def _is_refused(self, account: Account, now: float) -> bool:
        refusal = self._refused.get(account.id)
        return refusal is not None and refusal.version == account.version and now < refusal.until

    async def _subscribe_all(self, session: Session, accounts: Iterable[Account]) -> None:
        slots = asyncio.Semaphore(PARALLEL)
        begun: dict[UUID, int] = {}

        async def one(account: Account) -> None:
            async with slots:
                since_ms = await self._subscribe(session, account)
            if since_ms is not None:
                begun[account.id] = since_ms

        async with asyncio.TaskGroup() as tasks:
            for account in accounts:
                tasks.create_task(one(account))
        if begun:
            self._heard(session, begun)

    async def _subscribe(self, session: Session, account: Account) -> int | None:
        """Subscribe one account; returns from when on it is heard, on the exchange's clock."""
        if account.credentials is None:
            self._refuse(account, account.problem or "its key cannot be read")
            return None
        await self._pace.take(SUBSCRIBE_WEIGHT)
        clock = self.environment.venue.rest.clock
        try:
            await session.stream.subscribe(account.id, account.credentials)
        except (StreamDownError, ClockUnknownError):
            return None  # the reader ends, or the clock comes back; then it is tried again
        except StreamRefusedError as error:
            if error.code != ALREADY_SUBSCRIBED:
                self._handle_refusal(account, error)
                return None
            # Another row names the same Binance account: one subscription serves both.
            log.info("stream.shared", account_id=str(account.id))
        if self._refused.pop(account.id, None) is not None:
            self._metrics.keys_refused(str(account.id)).set(0)
        return clock.exchange_now_ms() + int(clock.error_ms() or 0) + 1 if clock.known else None

    def _handle_refusal(self, account: Account, error: StreamRefusedError) -> None:
        if error.code == BAD_TIMESTAMP:
            self.environment.venue.resync_clock()
        elif error.retry_at_ms is not None:
            clock = self.environment.venue.rest.clock
            self._pace.stop_until((error.retry_at_ms - clock.exchange_now_ms()) / 1000 if clock.known else 1)
        elif error.code in REFUSED_KEY:
            self._refuse(account, str(error))
        else:
            log.warning("stream.refused", account_id=str(account.id), error=str(error))

    def _refuse(self, account: Account, why: str) -> None:
        """Leave an account alone until its row changes, or a while has passed."""
        self._refused[account.id] = Refusal(account.version, why, time.monotonic() + REFUSED_AGAIN_S)
        self._metrics.keys_refused(str(account.id)).set(1)
        self._show(account.id, up=False)
        market = self.environment.market
        self.lane.put(lambda c: streams.lost(c, self._owner, market, [account.id], why))
        log.warning(
            "stream.key_refused",
            account_id=str(account.id),
            error=why,
            advice=f"store the account's key again, with the right for {market} trading",
        )

    def _heard(self, session: Session, begun: dict[UUID, int]) -> None:
        """Record accounts as heard; those that were not heard before are reconciled."""
        anew = [one for one in begun if not self._is_heard(one)]
        session.since_ms.update(begun)
        market = self.environment.market
        self.lane.put(lambda c: streams.heard(c, self._owner, market, session.id, begun))
        for account_id in begun:
            self._show(account_id, up=True)
        for account_id in anew:
            self._reconcile(account_id)

    async def _unsubscribe(self, session: Session, account_id: UUID) -> None:
        session.since_ms.pop(account_id, None)
        try:
            await session.stream.unsubscribe(account_id)
        except (StreamDownError, StreamRefusedError) as error:
            log.warning("stream.not_unsubscribed", account_id=str(account_id), error=str(error))
        # A row that shared the subscription has to ask for one of its own.
        for other in self._sharing(session):
            session.since_ms.pop(other, None)

    def _sharing(self, session: Session) -> list[UUID]:
        own = session.stream.accounts
        return [one for one in session.since_ms if one not in own]

    def _arrived(self, session: Session, account_id: UUID, event: dict[str, Any]) -> None:
        if event.get("e") == TERMINATED:
            for one in (account_id, *self._sharing(session)):
                session.since_ms.pop(one, None)
            self._changed.set()
            return
        self._metrics.stream_last_event(str(account_id), self.environment.market).set_to_current_time()
        self.lane.put(Arrival(account_id, event))

    def _show(self, account_id: UUID, *, up: bool) -> None:
        self._metrics.stream_up(str(account_id), self.environment.market).set(int(up))


async def _first(living: asyncio.Task[None], other: Any) -> None:
    """Wait for a task of the group or for something else, whichever is first; the task goes on."""
    waiting = asyncio.ensure_future(other)
    try:
        await asyncio.wait({living, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
