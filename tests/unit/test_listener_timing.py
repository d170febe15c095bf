"""DESIGN 6: pace, back-off and the clocks of quiet orders, decided without waiting."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.fill_listener.overlap import BackOff
from services.fill_listener.pace import Pace
from services.fill_listener.quiet import RESTS_S, Quiet
from shared.database.streams import OpenAttempt


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_free_and_the_rest_is_paced() -> None:
    """After a rest the burst goes at once; what comes on top waits its turn."""
    clock = Hand()
    pace = Pace(weight_per_s=10, burst=50, now=clock)
    assert [pace.reserve(10) for _ in range(7)] == [0, 0, 0, 0, 0, 1, 2]
    clock.now += 2
    assert pace.reserve(10) == 1


def test_nothing_passes_while_the_exchange_says_wait() -> None:
    """A 429 stops everything until its moment."""
    clock = Hand()
    pace = Pace(weight_per_s=10, burst=50, now=clock)
    pace.stop_until(30)
    assert pace.reserve(1) > 30


@given(st.integers(1, 7), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_those_who_share_an_address_spend_no_more_than_one(sharers: int, weights: list[int]) -> None:
    """All of them together stay within the rate and one burst, however many they are."""
    clock = Hand()
    paces = [Pace(weight_per_s=10, burst=50, now=clock) for _ in range(sharers)]
    spent = 0
    for pace in paces:
        pace.sharers = sharers
        spent += sum(weight for weight in weights if pace.reserve(weight) < 60)
    assert spent <= 60 * 10 + 50 + 40 * sharers


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 40)), min_size=1, max_size=60))
def test_no_minute_costs_more_than_its_share(steps: list[tuple[float, int]]) -> None:
    """However requests are asked for, what passes in any minute stays within the rate and one burst."""
    clock = Hand()
    pace = Pace(weight_per_s=10, burst=50, now=clock)
    passed: list[tuple[float, int]] = []
    for rest_s, weight in steps:
        clock.now += rest_s
        passed.append((clock.now + pace.reserve(weight), weight))
    for begin, _ in passed:
        spent = sum(weight for moment, weight in passed if begin <= moment < begin + 60)
        assert spent <= 60 * 10 + 50 + 40


@given(st.integers(0, 200), st.floats(0, 0.999))
def test_back_off_is_bounded_and_starts_at_once(failures: int, draw: float) -> None:
    """The first attempt waits for nothing, no wait exceeds the longest."""
    delay_s = BackOff().delay_s(failures, draw)
    assert 0 <= delay_s <= 30
    assert (delay_s == 0) == (failures == 0)


def attempt(number: int = 1) -> OpenAttempt:
    return OpenAttempt(
        UUID(int=1), number, UUID(int=2), "BTCUSDT", "b-1", "28", ("BTC", "USDT"), Decimal(0), Decimal(0)
    )


def test_a_quiet_order_is_asked_for_at_growing_distance() -> None:
    """Three questions, then the regular round goes on with it."""
    quiet = Quiet()
    quiet.heard(attempt(), 0)
    asked = [second for second in range(200) if quiet.due(second)]
    assert asked == [RESTS_S[0], RESTS_S[0] + RESTS_S[1], sum(RESTS_S)]
    assert len(quiet) == 0


def test_whatever_is_heard_starts_the_clock_anew() -> None:
    """An order that keeps talking is not asked for."""
    quiet = Quiet()
    for second in range(10):
        quiet.heard(attempt(), second)
        assert quiet.due(second + 0.5) == []


def test_a_question_without_answer_is_repeated_later() -> None:
    """While the exchange does not answer, its orders are not asked for every moment."""
    quiet = Quiet()
    quiet.unanswered(attempt(), 0)
    quiet.unanswered(attempt(), 5)
    assert [second for second in range(30) if quiet.due(second)] == [RESTS_S[1]]


def test_an_order_that_ended_is_not_asked_for() -> None:
    """Its clock stops."""
    quiet = Quiet()
    quiet.heard(attempt(1), 0)
    quiet.heard(attempt(2), 0)
    quiet.ended(UUID(int=1), 1)
    assert [one.number for one in quiet.due(100)] == [2]
