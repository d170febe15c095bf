"""PROTOCOL 7: the judge of what is unknown: is it there, is it proven not there, or what is to be asked next.

Presence is believed at once, from anyone. Absence needs every question answered and empty, asked late enough,
with the attempt's own key, environment and epoch. What failed, came too early or was asked as someone else
counts for nothing. All moments are milliseconds on the exchange's clock, as its answers showed it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.domain.attempt import SigningWindow

DAY_MS: Final = 86_400_000


class QuestionKind(StrEnum):
    """What can be asked about an attempt (`question.kind`)."""

    ORDER = "order"  # by client order id
    OPEN_ORDERS = "open_orders"  # of the symbol
    ALL_ORDERS = "all_orders"  # of the symbol, over the attempt's time
    ALGO_ORDER = "algo_order"  # the same three for a conditional futures order
    OPEN_ALGO_ORDERS = "open_algo_orders"
    ALL_ALGO_ORDERS = "all_algo_orders"
    TRADES = "trades"  # is there a trade in the window that belongs to no order we know?


class Result(StrEnum):
    """What a question brought (`question.result`)."""

    FOUND = "found"
    EMPTY = "empty"
    FAILED = "failed"  # unanswered, throttled, refused, unreadable


class NeverReason(StrEnum):
    """Why absence can no longer be judged: the attempt stays unknown until an operator settles it."""

    TOO_OLD = "too_old"
    KEY_CHANGED = "key_changed"
    ENVIRONMENT_CHANGED = "environment_changed"
    EPOCH_CHANGED = "epoch_changed"  # its row is settled by the round of questions of PROTOCOL 10 instead


class WaitReason(StrEnum):
    """What a wait is for."""

    STREAM = (
        "stream"  # every question is answered; the stream has not been verified past the moment that counts
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a request was or would be made.

    Args:
        api_key_hash: hash of the API key.
        account_uid: the exchange's number of the account, where known; it survives a change of the key.
        environment: the exchange's installation and its epoch: a wiped testnet is another one.
        epoch: of the database (PROTOCOL 10).

    """

    api_key_hash: str
    account_uid: str | None
    environment: str
    epoch: int

    def same_key(self, other: Identity) -> bool:
        """Whether both see the same account for certain."""
        if self.api_key_hash == other.api_key_hash:
            return True
        return self.account_uid is not None and self.account_uid == other.account_uid

    def differs_from(self, other: Identity) -> NeverReason | None:
        """Name what makes an answer to the one no answer about the other; None = nothing does."""
        if not self.same_key(other):
            return NeverReason.KEY_CHANGED
        if self.environment != other.environment:
            return NeverReason.ENVIRONMENT_CHANGED
        return NeverReason.EPOCH_CHANGED if self.epoch != other.epoch else None


@dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """An attempt whose outcome is unknown.

    Args:
        window: its signing timestamp and recvWindow.
        identity: as whom it was sent.
        conditional: it went to the futures algo service.

    """

    window: SigningWindow
    identity: Identity
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """One question asked about the attempt.

    Args:
        kind: what was asked.
        result: what came back; for `TRADES`, empty = every trade belongs to an order we know.
        identity: as whom.
        sent_after_ms: the latest `serverTime` an answer had shown before it was sent; None = none yet.

    """

    kind: QuestionKind
    result: Result
    identity: Identity
    sent_after_ms: int | None


@dataclass(frozen=True, slots=True)
class Stream:
    """How far the account's user stream is known to be without a gap, on one connection or overlapping ones.

    Args:
        subscribed_at_ms: every event from here on reaches us.
        verified_through_ms: a probe on that connection was answered then; all frames before it are applied.

    """

    subscribed_at_ms: int
    verified_through_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """Our judgement of bounds the exchange does not publish, in milliseconds; conditional orders take double.

    Args:
        engine_delay_ms: longest time between the last check of the window and the order's existence.
        query_lag_ms: longest lag of the store that queries read.
        gap_wait_ms: the wait after the deadline when the stream had a gap.
        repeat_ms: rest before a question of the same kind is asked again; doubles while it stays unanswered.
        longest_repeat_ms: the most it grows to.
        max_age_ms: older attempts are never judged absent: exchanges forget.

    """

    engine_delay_ms: int = 10_000
    query_lag_ms: int = 50_000
    gap_wait_ms: int = 300_000
    repeat_ms: int = 2_000
    longest_repeat_ms: int = 60_000
    max_age_ms: int = DAY_MS

    def after_deadline_ms(self, *, conditional: bool, gap: bool) -> int:
        """How long after the deadline the last questions have to be asked."""
        margin = self.engine_delay_ms + self.query_lag_ms
        return (max(margin, self.gap_wait_ms) if gap else margin) * (2 if conditional else 1)


@dataclass(frozen=True, slots=True)
class Present:
    """The order exists: settle it as accepted with what the question found."""

    evidence: Question


@dataclass(frozen=True, slots=True)
class Absent:
    """The order does not exist and never will, under the protocol's named assumptions."""


@dataclass(frozen=True, slots=True)
class AskNext:
    """Ask this, once an answer of the exchange has shown a `serverTime` later than `not_before_ms`."""

    kind: QuestionKind
    not_before_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to ask before that `serverTime`, unless the stream is verified sooner."""

    until_ms: int
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class Never:
    """Absence can no longer be judged; alert, and leave it to the operator (`bridge resolve`)."""

    reason: NeverReason


Verdict = Present | Absent | AskNext | Wait | Never

_PLAIN: Final = (QuestionKind.ORDER, QuestionKind.OPEN_ORDERS, QuestionKind.ALL_ORDERS)
_ALGO: Final = (QuestionKind.ALGO_ORDER, QuestionKind.OPEN_ALGO_ORDERS, QuestionKind.ALL_ALGO_ORDERS)


def judge(
    attempt: UnknownAttempt,
    asker: Identity,
    questions: Sequence[Question],
    stream: Stream | None,
    now_ms: int,
    waits: Waits = Waits(),
) -> Verdict:
    """Judge an unknown attempt by all that was asked about it so far.

    Args:
        attempt: the unknown one.
        asker: as whom the next question would be asked.
        questions: everything asked about it, in the order of asking.
        stream: of its account; None = not listening.
        now_ms: the latest `serverTime` the exchange has shown.
        waits: the bounds.

    """
    found = next(
        (q for q in questions if q.result is Result.FOUND and q.kind is not QuestionKind.TRADES), None
    )
    if found is not None:
        return Present(found)
    changed = asker.differs_from(attempt.identity)
    if changed is not None:
        return Never(changed)
    if now_ms - attempt.window.signed_at_ms > waits.max_age_ms:
        return Never(NeverReason.TOO_OLD)

    history = _History(attempt, questions, waits)
    deadline = attempt.window.deadline_ms
    least = waits.after_deadline_ms(conditional=attempt.conditional, gap=False)
    if not history.by_id():
        return history.ask(history.kinds[0], attempt.window.signed_at_ms)
    if not history.by_id(deadline + least // 2) or len(history.by_id()) < 2:
        return history.ask(history.kinds[0], deadline + least // 2)

    moment = deadline + least
    late = deadline + waits.after_deadline_ms(conditional=attempt.conditional, gap=True)
    unbroken = stream if stream and stream.subscribed_at_ms < attempt.window.signed_at_ms else None
    verified = unbroken is not None and (unbroken.verified_through_ms or 0) > moment
    # While the stream may still be verified, answers are gathered for that case; else they are asked later.
    threshold = moment if verified or (unbroken and now_ms <= late) else late
    missing = history.first_missing(threshold, deadline + least // 2)
    if missing is not None:
        return history.ask(missing, threshold)
    return Absent() if verified or threshold == late else Wait(late, WaitReason.STREAM)


class _History:
    """What was asked about one attempt, and which of it counts."""

    def __init__(self, attempt: UnknownAttempt, questions: Sequence[Question], waits: Waits) -> None:
        self.kinds = _ALGO if attempt.conditional else _PLAIN
        self._questions = questions
        self._waits = waits
        self._counting = [
            q
            for q in questions
            if q.result is Result.EMPTY and q.identity.differs_from(attempt.identity) is None
        ]

    def by_id(self, after_ms: int | None = None) -> list[Question]:
        """Pick the questions for the order itself that count, those sent after a moment."""
        return self._of(self.kinds[0], after_ms)

    def first_missing(self, threshold_ms: int, middle_ms: int) -> QuestionKind | None:
        """Name the first question of the last round that is not answered yet.

        The early one, the one in the middle and the last one by id are three, however late they were asked.
        """
        order, *lists = self.kinds
        enough = len(self.by_id()) >= 3 and len(self.by_id(middle_ms)) >= 2
        if not enough or not self.by_id(threshold_ms):
            return order
        return next(
            (kind for kind in (*lists, QuestionKind.TRADES) if not self._of(kind, threshold_ms)), None
        )

    def ask(self, kind: QuestionKind, not_before_ms: int) -> AskNext:
        """Ask this next, later and later while it stays unanswered."""
        asked = [q for q in self._questions if q.kind is kind]
        if not asked or asked[-1].sent_after_ms is None:
            return AskNext(kind, not_before_ms)
        in_vain = 0
        for question in reversed(asked):
            if question in self._counting:
                break
            in_vain += 1
        rest = min(self._waits.repeat_ms * 2 ** min(in_vain, 20), self._waits.longest_repeat_ms)
        return AskNext(kind, max(not_before_ms, asked[-1].sent_after_ms + rest))

    def _of(self, kind: QuestionKind, after_ms: int | None) -> list[Question]:
        return [
            q
            for q in self._counting
            if q.kind is kind
            and (after_ms is None or (q.sent_after_ms is not None and q.sent_after_ms > after_ms))
        ]
