"""The judge of absence (PROTOCOL 7): presence wins, doubt is never a no, a true no is reached in time."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.absence import (
    DAY_MS,
    Absent,
    AskNext,
    Identity,
    Never,
    NeverReason,
    Present,
    Question,
    QuestionKind,
    Result,
    Stream,
    UnknownAttempt,
    Verdict,
    Wait,
    judge,
)
from shared.domain.attempt import SigningWindow

K = QuestionKind
US = Identity("hash-of-key", "4711", "https://testnet#1", 7)
SIGNED = 1_790_000_000_000
ATTEMPT = UnknownAttempt(SigningWindow(SIGNED, 5_000), US)
ALGO = replace(ATTEMPT, conditional=True)
D = SIGNED + 5_000
MOMENT = D + 60_000
LATE = D + 300_000
WHOLE = Stream(SIGNED - 1, MOMENT + 1)

EARLY = Question(K.ORDER, Result.EMPTY, US, SIGNED + 100)
MIDDLE = Question(K.ORDER, Result.EMPTY, US, D + 30_001)
LAST = [
    Question(kind, Result.EMPTY, US, MOMENT + 1) for kind in (K.ORDER, K.OPEN_ORDERS, K.ALL_ORDERS, K.TRADES)
]
ALL = [EARLY, MIDDLE, *LAST]


def verdict(
    questions: list[Question],
    *,
    attempt: UnknownAttempt = ATTEMPT,
    asker: Identity = US,
    stream: Stream | None = WHOLE,
    now: int = MOMENT + 2,
) -> Verdict:
    """Judge with the usual values."""
    return judge(attempt, asker, questions, stream, now)


def test_all_questions_answered_empty_and_late_enough_prove_absence() -> None:
    """The one way to an absence without a gap: early, middle, the three last, and no trade left over."""
    assert verdict(ALL) == Absent()


def test_what_is_asked_and_when() -> None:
    """Step by step: at once, in the middle of the wait, then the last round after the whole of it."""
    assert verdict([], now=SIGNED) == AskNext(K.ORDER, SIGNED)
    assert verdict([EARLY], now=SIGNED) == AskNext(K.ORDER, D + 30_000)
    assert verdict([EARLY, MIDDLE], now=SIGNED) == AskNext(K.ORDER, MOMENT)
    assert verdict([EARLY, MIDDLE, *LAST[:1]]) == AskNext(K.OPEN_ORDERS, MOMENT)
    assert verdict([EARLY, MIDDLE, *LAST[:2]]) == AskNext(K.ALL_ORDERS, MOMENT)
    assert verdict([EARLY, MIDDLE, *LAST[:3]]) == AskNext(K.TRADES, MOMENT)


@pytest.mark.parametrize("missing", range(len(ALL)))
def test_each_question_is_needed(missing: int) -> None:
    """Leave any one out and it is not an absence."""
    assert isinstance(verdict(ALL[:missing] + ALL[missing + 1 :]), AskNext)


SPOILS = {
    "failed": lambda q: replace(q, result=Result.FAILED),
    "another key": lambda q: replace(q, identity=replace(US, api_key_hash="new", account_uid="4712")),
    "unknown account": lambda q: replace(q, identity=replace(US, api_key_hash="new", account_uid=None)),
    "another environment": lambda q: replace(q, identity=replace(US, environment="https://testnet#2")),
    "another epoch": lambda q: replace(q, identity=replace(US, epoch=8)),
    "never timed": lambda q: replace(q, sent_after_ms=None),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("position", range(1, len(ALL)))
def test_a_spoiled_question_counts_for_nothing(position: int, spoil: str) -> None:
    """Failed, asked as someone else, elsewhere, in another history or at an unknown time: not an absence."""
    spoiled = [*ALL[:position], SPOILS[spoil](ALL[position]), *ALL[position + 1 :]]
    assert isinstance(verdict(spoiled), AskNext)


@pytest.mark.parametrize("position", range(2, len(ALL)))
def test_at_the_moment_itself_is_too_early(position: int) -> None:
    """A last question sent after exactly D + engine delay + query lag does not count, only after more."""
    early = [*ALL[:position], replace(ALL[position], sent_after_ms=MOMENT), *ALL[position + 1 :]]
    assert isinstance(verdict(early), AskNext)


def test_one_early_answer_never_suffices() -> None:
    """However often "does not exist" came before the moment, it is no proof."""
    many = [Question(kind, Result.EMPTY, US, MOMENT) for kind in K for _ in range(20)]
    assert isinstance(verdict(many), AskNext)


def test_the_early_the_middle_and_the_last_question_are_three() -> None:
    """A resolver that comes late still asks three times by id, though one question is late enough for all."""
    lists = LAST[1:]
    assert isinstance(verdict([LAST[0], *lists]), AskNext)
    assert isinstance(verdict([LAST[0], LAST[0], *lists]), AskNext)
    assert verdict([LAST[0], LAST[0], LAST[0], *lists]) == Absent()
    assert isinstance(verdict([EARLY, EARLY, LAST[0], *lists]), AskNext)


@pytest.mark.parametrize("kind", [k for k in K if k is not K.TRADES])
@pytest.mark.parametrize("spoil", ["none", *SPOILS])
def test_presence_always_wins(kind: QuestionKind, spoil: str) -> None:
    """Found once, by whatever question, by whomever, however old: present."""
    found = Question(kind, Result.FOUND, US, 5)
    if spoil not in ("none", "failed"):
        found = SPOILS[spoil](found)
    for asker, now in ((US, MOMENT), (replace(US, api_key_hash="x", account_uid=None), SIGNED + 9 * DAY_MS)):
        assert verdict([*ALL, found], asker=asker, now=now) == Present(found)
        assert verdict([found], asker=asker, now=now, stream=None) == Present(found)


def test_a_trade_that_belongs_to_nobody_is_neither_presence_nor_absence() -> None:
    """It blocks the absence until it is attributed, and is asked about again."""
    stray = replace(LAST[3], result=Result.FOUND)
    assert verdict([*ALL[:-1], stray]) == AskNext(K.TRADES, MOMENT + 1 + 4_000)
    assert verdict([*ALL[:-1], stray, replace(LAST[3], sent_after_ms=MOMENT + 9)]) == Absent()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(US, api_key_hash="new", account_uid=None), NeverReason.KEY_CHANGED),
        (replace(US, api_key_hash="new", account_uid="4712"), NeverReason.KEY_CHANGED),
        (replace(US, environment="https://testnet#2"), NeverReason.ENVIRONMENT_CHANGED),
        (replace(US, epoch=8), NeverReason.EPOCH_CHANGED),
    ],
)
def test_as_someone_else_absence_cannot_be_judged(changed: Identity, reason: NeverReason) -> None:
    """Not even when everything had been answered before."""
    assert verdict(ALL, asker=changed) == Never(reason)


def test_a_new_key_of_the_same_account_goes_on() -> None:
    """The account's uid makes two keys one account."""
    renewed = replace(US, api_key_hash="new")
    assert verdict([EARLY, MIDDLE], asker=renewed) == AskNext(K.ORDER, MOMENT)
    assert verdict([replace(q, identity=renewed) for q in ALL], asker=renewed) == Absent()
    nameless = replace(ATTEMPT, identity=replace(US, account_uid=None))
    assert verdict(ALL, attempt=nameless, asker=replace(US, api_key_hash="new")) == Never(
        NeverReason.KEY_CHANGED
    )


def test_after_a_day_only_presence_is_believed() -> None:
    """Exchanges forget: 24 hours after signing it is the operator's."""
    assert verdict(ALL, now=SIGNED + DAY_MS) == Absent()
    assert verdict(ALL, now=SIGNED + DAY_MS + 1) == Never(NeverReason.TOO_OLD)


@pytest.mark.parametrize(
    "stream",
    [None, Stream(SIGNED, MOMENT + 1), Stream(SIGNED + 1, LATE + 10**9)],
    ids=["none", "subscribed at the timestamp", "subscribed after it"],
)
def test_a_gap_in_the_stream_makes_the_wait_five_minutes(stream: Stream | None) -> None:
    """Questions between one and five minutes do not count then; the last round is asked after the five."""
    assert verdict(ALL, stream=stream) == AskNext(K.ORDER, LATE)
    late = [EARLY, MIDDLE, *(replace(q, sent_after_ms=LATE + 1) for q in LAST)]
    assert verdict(late, stream=stream, now=LATE + 2) == Absent()
    on_time = [EARLY, MIDDLE, *(replace(q, sent_after_ms=LATE) for q in LAST)]
    assert isinstance(verdict(on_time, stream=stream, now=LATE + 2), AskNext)


def test_an_unbroken_stream_must_be_probed_past_the_moment() -> None:
    """Answers wait for the probe; without it they are asked once more after five minutes."""
    for seen in (None, MOMENT - 1, MOMENT):
        unprobed = Stream(SIGNED - 1, seen)
        assert isinstance(verdict(ALL, stream=unprobed), Wait)
        assert verdict(ALL[:-1], stream=unprobed) == AskNext(K.TRADES, MOMENT)
        assert verdict(ALL, stream=unprobed, now=LATE + 1) == AskNext(K.ORDER, LATE)
    assert verdict(ALL, stream=Stream(SIGNED - 1, MOMENT + 1)) == Absent()


def test_conditional_orders_have_their_own_questions_and_double_margins() -> None:
    """The algo service's three, after D + twice the margins; ten minutes with a gap."""
    moment = D + 120_000
    whole = Stream(SIGNED - 1, moment + 1)
    early, middle = (Question(K.ALGO_ORDER, Result.EMPTY, US, at) for at in (SIGNED, D + 60_001))
    kinds = (K.ALGO_ORDER, K.OPEN_ALGO_ORDERS, K.ALL_ALGO_ORDERS, K.TRADES)
    last = [Question(kind, Result.EMPTY, US, moment + 1) for kind in kinds]
    assert verdict([early, middle, *last], attempt=ALGO, stream=whole) == Absent()
    assert verdict([early, middle, *last], attempt=ALGO, stream=None) == AskNext(K.ALGO_ORDER, D + 600_000)
    assert verdict(ALL, attempt=ALGO, stream=whole) == AskNext(K.ALGO_ORDER, SIGNED)
    for position in range(len(last)):
        soon = [*last[:position], replace(last[position], sent_after_ms=moment), *last[position + 1 :]]
        assert isinstance(verdict([early, middle, *soon], attempt=ALGO, stream=whole), AskNext)


def test_unanswered_questions_are_repeated_less_and_less_often() -> None:
    """2 s, 4 s, 8 s ... at most a minute: asking cannot use up the request weight."""
    at, rests = MOMENT + 1, []
    questions = [EARLY, MIDDLE]
    for _ in range(7):
        questions.append(Question(K.ORDER, Result.FAILED, US, at))
        answer = verdict(questions)
        assert isinstance(answer, AskNext)
        rests.append(answer.not_before_ms - at)
        at = answer.not_before_ms
    assert rests == [4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]


identities = st.sampled_from([US, replace(US, epoch=8), replace(US, api_key_hash="b", account_uid=None)])
moments = st.none() | st.sampled_from([SIGNED, D, D + 30_001, MOMENT, MOMENT + 1, LATE, LATE + 1, LATE + 5])
asked = st.builds(
    Question,
    st.sampled_from([K.ORDER, K.OPEN_ORDERS, K.ALL_ORDERS, K.TRADES]),
    st.sampled_from([Result.EMPTY, Result.EMPTY, Result.EMPTY, Result.FAILED]),
    identities,
    moments,
)
streams = st.none() | st.builds(
    Stream,
    st.sampled_from([SIGNED - 1, SIGNED, SIGNED + 1]),
    st.none() | st.sampled_from([MOMENT, MOMENT + 1]),
)


@given(questions=st.lists(asked, max_size=25), stream=streams, now=st.integers(SIGNED, SIGNED + 2 * DAY_MS))
def test_an_absence_always_has_all_its_reasons(
    questions: list[Question], stream: Stream | None, now: int
) -> None:
    """Whatever was asked: an absence means that, counted anew, every condition of PROTOCOL 7 holds."""
    if verdict(questions, stream=stream, now=now) != Absent():
        return
    good = [q for q in questions if q.result is Result.EMPTY and q.identity == US]
    assert now - SIGNED <= DAY_MS
    gapless = stream is not None and stream.subscribed_at_ms < SIGNED
    gapless = gapless and stream is not None and (stream.verified_through_ms or 0) > MOMENT
    bound = MOMENT if gapless else LATE
    for kind in (K.ORDER, K.OPEN_ORDERS, K.ALL_ORDERS, K.TRADES):
        assert any(q.kind is kind and (q.sent_after_ms or 0) > bound for q in good)
    assert sum(q.kind is K.ORDER for q in good) >= 3


@given(
    questions=st.lists(asked, max_size=25), stream=streams, now=st.integers(SIGNED, MOMENT * 2), more=asked
)
def test_asking_more_never_undoes_a_proof(
    questions: list[Question], stream: Stream | None, now: int, more: Question
) -> None:
    """A proven absence is not lost by another empty or unanswered question."""
    if verdict(questions, stream=stream, now=now) == Absent():
        assert verdict([*questions, more], stream=stream, now=now) == Absent()


@dataclass
class Exchange:
    """An exchange whose stores lag: an order becomes visible some time after it exists; answers may fail."""

    visible_from_ms: int | None
    fails: list[bool] = field(default_factory=list)

    def answer(self, at_ms: int) -> Result:
        """Answer a question asked at that moment."""
        if self.fails and self.fails.pop():
            return Result.FAILED
        there = self.visible_from_ms is not None and at_ms >= self.visible_from_ms
        return Result.FOUND if there else Result.EMPTY


def resolve(
    exchange: Exchange, stream: Stream | None, start_ms: int, attempt: UnknownAttempt
) -> tuple[Verdict, int]:
    """Do what the judge says on a virtual clock until it has nothing more to ask."""
    now, questions = start_ms, list[Question]()
    for _ in range(2_000):
        step = judge(attempt, US, questions, stream, now)
        if isinstance(step, AskNext):
            now = max(now, step.not_before_ms + 1)
            questions.append(Question(step.kind, exchange.answer(now), US, now))
            if step.kind is K.TRADES and questions[-1].result is Result.FOUND:
                questions[-1] = replace(questions[-1], result=Result.EMPTY)
        elif isinstance(step, Wait):
            now = max(now, step.until_ms + 1)
        else:
            return step, now
    raise AssertionError("the judge asks without end")


@given(
    created=st.integers(0, 15_000),
    lag=st.integers(0, 50_000),
    start=st.integers(0, 3_600_000),
    conditional=st.booleans(),
    fails=st.lists(st.booleans(), max_size=20),
    probed=st.booleans(),
)
def test_an_order_within_the_bounds_is_never_judged_absent(
    created: int, lag: int, start: int, conditional: bool, fails: list[bool], probed: bool
) -> None:
    """Created up to D + engine delay, visible up to the lag later: whoever asks, whenever, finds it."""
    exchange = Exchange(SIGNED + created + lag, fails)
    stream = Stream(SIGNED - 1, 10**15 if probed else None)
    end, _ = resolve(exchange, stream, SIGNED + start, replace(ATTEMPT, conditional=conditional))
    assert isinstance(end, Present)


@given(
    lag=st.integers(0, 299_000), start=st.integers(0, 3_600_000), fails=st.lists(st.booleans(), max_size=20)
)
def test_with_a_gap_a_lag_of_five_minutes_is_survived(lag: int, start: int, fails: list[bool]) -> None:
    """Without the stream to rely on, an order that shows up after nearly five minutes is still found."""
    end, _ = resolve(Exchange(D + lag, fails), None, SIGNED + start, ATTEMPT)
    assert isinstance(end, Present)


@given(start=st.integers(0, 3_600_000), gap=st.booleans(), fails=st.lists(st.booleans(), max_size=12))
def test_an_order_that_never_was_is_judged_absent_soon(start: int, gap: bool, fails: list[bool]) -> None:
    """Doubt ends: about a minute after the deadline, five with a gap, longer only while questions fail."""
    stream, failing = None if gap else Stream(SIGNED - 1, 10**15), sum(fails)
    end, now = resolve(Exchange(None, fails), stream, SIGNED + start, ATTEMPT)
    assert end == Absent()
    bound = max(SIGNED + start, LATE if gap else MOMENT)
    assert now <= bound + 10_000 + failing * 62_000


def test_questions_that_are_never_answered_end_with_the_operator() -> None:
    """No absence from silence: after a day it is handed over, at about a question a minute."""
    exchange = Exchange(None, [True] * 10_000)
    end, now = resolve(exchange, WHOLE, SIGNED, ATTEMPT)
    assert end == Never(NeverReason.TOO_OLD)
    assert now - SIGNED > DAY_MS
    assert 10_000 - len(exchange.fails) < 1_500
