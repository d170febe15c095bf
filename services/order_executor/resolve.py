"""PROTOCOL 7: resolve what is unknown by asking.

Presence is believed at once, from any question. Absence is judged by `shared.domain.absence` from what is
stored of all questions, so that a resolver may die at any point. What is refused, throttled or unanswered
counts for nothing.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import structlog

from services.order_executor.ask import Asker, Lists, Moment, identity_of
from shared import failpoints
from shared.binance.rest import Answer
from shared.database import unknowns
from shared.database.connect import DATABASE_AWAY
from shared.domain.absence import (
    Absent,
    AskNext,
    Never,
    NeverReason,
    Question,
    QuestionKind,
    Result,
    Wait,
    Waits,
    judge,
)
from shared.domain.absence import UnknownAttempt as Unknown
from shared.domain.attempt import SigningWindow
from shared.domain.order import Market
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from shared.keys import KeyUnreadableError
from shared.telemetry.logs import about

if TYPE_CHECKING:
    from uuid import UUID

    from services.order_executor.quarantine import EpochWatch
    from services.order_executor.settle import Settler
    from services.order_executor.venues import Venues
    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.connect import Pool
    from shared.database.unknowns import UnknownAttempt
    from shared.domain.absence import Identity
    from shared.keys import Keys
    from shared.settings import ProtocolSettings
    from shared.telemetry.metrics import Metrics
    from shared.telemetry.traces import Tracing

log = structlog.get_logger(__name__)

MOST_QUESTIONS_AT_ONCE = 8
LONGEST_WAIT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Case:
    """One unknown attempt with all that is needed to ask about it."""

    attempt: UnknownAttempt
    venue: Venue
    credentials: Credentials
    asker: Identity
    lists: Lists


class Resolver:
    """Asks about unknown attempts until they are found, or proven absent.

    Args:
        pool: work connections.
        name: of this process.
        venues: where to ask.
        keys: the accounts' keys.
        settler: takes what was found or judged.
        epochs: the history of the database.
        protocol: the waits.
        accounts: served by this process; None = all.
        metrics: of this process.
        tracing: of this process.

    """

    def __init__(
        self,
        pool: Pool,
        name: str,
        venues: Venues,
        keys: Keys,
        settler: Settler,
        epochs: EpochWatch,
        protocol: ProtocolSettings,
        accounts: list[UUID] | None,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._pool = pool
        self._name = name
        self._venues = venues
        self._keys = keys
        self._settler = settler
        self._epochs = epochs
        self._accounts = accounts
        self._metrics = metrics
        self._tracing = tracing
        self._lease = protocol.lease
        self._asker = Asker(pool, metrics)
        # Scaled-down waits want quicker looks; with real ones a look a second is plenty.
        self._look_every_s = min(1.0, protocol.query_lag.total_seconds() / 4 or 1.0)
        self._waits = Waits(
            engine_delay_ms=_ms(protocol.engine_delay),
            query_lag_ms=_ms(protocol.query_lag),
            gap_wait_ms=_ms(protocol.gap_wait),
            repeat_ms=min(2000, max(50, _ms(protocol.query_lag) // 10)),
        )

    async def run(self) -> None:
        """Look for unknown attempts and go on with each, until cancelled."""
        while True:
            await asyncio.sleep(self._look_every_s)
            try:
                async with self._pool.acquire() as connection:
                    attempts = await unknowns.take_unknown(
                        connection, owner=self._name, lease=self._lease, accounts=self._accounts
                    )
            except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                log.warning("resolve.database_away", error=str(error))
                continue
            lists = Lists()
            for attempt in sorted(attempts, key=lambda one: one.signed_at_ms):
                with (
                    about(order_id=attempt.order_id, account_id=attempt.account_id, attempt=attempt.number),
                    self._tracing.within(attempt.trace),
                ):
                    try:
                        await self._go_on(attempt, lists)
                    except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                        log.warning("resolve.database_away", error=str(error))

    async def _go_on(self, attempt: UnknownAttempt, lists: Lists) -> None:
        """Ask what is due about one attempt, and settle it or come back later."""
        case = self._case(attempt, lists)
        wait = LONGEST_WAIT
        if case is not None:
            for _ in range(MOST_QUESTIONS_AT_ONCE):
                later = await self._step(case)
                if later is None:
                    return
                if later > timedelta(0):
                    wait = min(later, LONGEST_WAIT)
                    break
        async with self._pool.acquire() as connection:
            await unknowns.look_again_after(connection, attempt.token, wait=wait)

    def _case(self, attempt: UnknownAttempt, lists: Lists) -> _Case | None:
        epoch = self._epochs.epoch
        if epoch is None:
            return None
        try:
            credentials = self._keys.of(attempt.account_id, attempt.account)
        except KeyUnreadableError as error:
            log.warning("resolve.key_unreadable", error=str(error))
            return None
        venue = self._venues.of(Market(attempt.market), testnet=attempt.account.is_testnet)
        asker = identity_of(credentials.fingerprint, None, venue.base_url, venue.environment_epoch, epoch.id)
        return _Case(attempt, venue, credentials, asker, lists)

    async def _step(self, case: _Case) -> timedelta | None:
        """Do the next thing; returns how long to wait then, None when the attempt is settled."""
        now_ms = await self._server_time(case.venue)
        if now_ms is None:
            return timedelta(seconds=self._look_every_s)
        attempt = case.attempt
        async with self._pool.acquire() as connection:
            questions = await unknowns.asked_so_far(connection, attempt.order_id, attempt.number)
        sent_as = identity_of(
            attempt.api_key_hash,
            attempt.account_uid,
            attempt.base_url,
            attempt.environment_epoch,
            attempt.epoch,
        )
        window = SigningWindow(attempt.signed_at_ms, attempt.recv_window_ms)
        unknown = Unknown(window, sent_as, attempt.conditional)
        by_id = QuestionKind.ALGO_ORDER if attempt.conditional else QuestionKind.ORDER
        verdict = judge(unknown, case.asker, questions, attempt.stream, now_ms, self._waits)
        match verdict:
            case AskNext(kind, not_before_ms):
                if now_ms <= not_before_ms:
                    return timedelta(milliseconds=not_before_ms - now_ms + 1)
                return await self._question(case, kind, Moment(now_ms, not_before_ms))
            case Wait(until_ms, _):
                # The listener may verify the stream sooner than that.
                return min(timedelta(milliseconds=until_ms - now_ms + 1), self._look_often)
            case Absent():
                await self._absent(case)
                return None
            case Never(NeverReason.EPOCH_CHANGED):
                # The round of PROTOCOL 10 settles it, under a token of its own.
                return self._look_often
            case Never(reason):
                log.error(
                    "unknown.for_ever",
                    reason=reason,
                    advice=f"settle it by hand: bridge resolve {attempt.order_id} --placed/--not-placed",
                )
                later = await self._question(case, by_id, Moment(now_ms, now_ms))
                return None if later is None else LONGEST_WAIT
        # Present was handed over when it was found; asking by id again brings its report.
        return await self._question(case, by_id, Moment(now_ms, now_ms))

    @property
    def _look_often(self) -> timedelta:
        return timedelta(seconds=self._look_every_s)

    async def _question(self, case: _Case, kind: QuestionKind, moment: Moment) -> timedelta | None:
        """Ask, keep what came back, and hand a report over; None when the order was found."""
        attempt = case.attempt
        begun = datetime.now(UTC)
        told, asked_ms = await self._asker.ask(
            case.venue, case.credentials, case.asker, attempt, kind, moment, case.lists
        )
        if attempt.trace is not None:
            self._tracing.record(
                "ask", begun, datetime.now(UTC), attempt.trace, kind=str(kind), result=str(told.result)
            )
        await failpoints.reached("resolve.asked")
        question = Question(kind, told.result, case.asker, asked_ms)
        async with self._pool.acquire() as connection:
            await unknowns.store_question(connection, attempt.order_id, attempt.number, question, told.detail)
        if told.report is not None:
            log.info("unknown.found", kind=kind, status=told.report.status)
            self._settler.put(told.report)
            return None
        log.info("unknown.asked", kind=kind, result=told.result, detail=told.detail)
        return timedelta(0) if told.result is not Result.FAILED else self._look_often

    async def _absent(self, case: _Case) -> None:
        await failpoints.reached("resolve.judged")
        attempt = case.attempt
        log.warning("unknown.absent", client_order_id=attempt.client_order_id)
        self._settler.put(
            Outcome(
                order_id=attempt.order_id,
                number=attempt.number,
                token=attempt.token,
                outcome=AttemptOutcome.ABSENT,
                reason_code="absent",
                reason="Binance was asked in every way, late enough, and the order is not there.",
                draw=random.random(),  # noqa: S311 - jitter, not a secret
            )
        )

    async def _server_time(self, venue: Venue) -> int | None:
        answer = await venue.rest.server_time()
        if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, dict):
            return None
        server_ms = answer.body.get("serverTime")
        return server_ms if isinstance(server_ms, int) else None


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
