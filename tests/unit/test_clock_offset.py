"""The bound on the exchange's clock holds whatever the network does, and is unknown until known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.binance.clock_offset import (
    DRIFT_MS_PER_S,
    Clock,
    ClockUnknownError,
    OffsetBounds,
    bounds_of_sample,
    local_ms,
    narrowed,
)

legs = st.floats(0, 5000)


class Local:
    """A local clock that a test sets."""

    def __init__(self) -> None:
        self.ms = 1_000_000.0

    def __call__(self) -> float:
        return self.ms


def test_offset_is_server_minus_midpoint_and_error_half_the_round_trip():
    """One sample: the textbook estimate, plus the half millisecond the server cuts off."""
    bounds = bounds_of_sample(1000, 51_100, 1200)
    assert bounds.offset_ms == 51_100.5 - 1100
    assert bounds.error_ms(1000) == 100.5


def test_error_grows_with_time():
    """Two clocks drift apart; a second later the bound is wider."""
    bounds = bounds_of_sample(1000, 51_100, 1200)
    assert bounds.error_ms(3000) == 100.5 + 2 * DRIFT_MS_PER_S


@given(
    st.lists(st.tuples(legs, legs, st.floats(0, 600)), min_size=1, max_size=30),
    st.floats(-1e6, 1e6),
    st.floats(-1, 1),
)
def test_true_offset_is_always_within_the_bounds(samples, offset, drift):
    """Any delays, any drift up to the allowance: the truth is inside, and no sample widens it."""
    rate = drift * DRIFT_MS_PER_S / 1000
    now, known = 0.0, None
    for out, back, pause_s in samples:
        now += pause_s * 1000
        sent, read, received = now, now + out, now + out + back
        true_at_read = read + offset + rate * read
        sample = bounds_of_sample(sent, int(true_at_read // 1), received)
        known = narrowed(known, sample)
        now = received
        true_offset = offset + rate * now
        rounding = 1e-3
        assert abs(known.offset_ms - true_offset) <= known.error_ms(now) + rounding
        assert known.error_ms(now) <= sample.error_ms(now) + 1e-9


def test_clock_that_was_set_is_believed_anew():
    """Bounds that exclude each other: only the newest counts."""
    old = OffsetBounds(0, 10, 0)
    new = OffsetBounds(5000, 5100, 1000)
    assert narrowed(old, new) is new


def test_good_sample_survives_a_bad_one():
    """A slow answer after a fast one does not spoil what is known."""
    fast = bounds_of_sample(0, 100, 10)
    slow = bounds_of_sample(10, 1500, 3010)
    assert narrowed(fast, slow).error_ms(3010) == pytest.approx(fast.error_ms(3010))


def test_answer_before_the_question_is_refused():
    """Moments of two different clocks are a mistake."""
    with pytest.raises(ValueError, match="same local clock"):
        bounds_of_sample(2, 1, 1)


def test_clock_is_unknown_until_the_first_sample():
    """Nothing is signed or claimed by a clock that was never told the time."""
    clock = Clock(Local())
    assert not clock.known
    assert clock.error_ms() is None
    assert clock.offset_ms is None
    assert not clock.trusted(5000)
    with pytest.raises(ClockUnknownError):
        clock.exchange_now_ms()


def test_clock_follows_the_exchange():
    """After a sample it tells the exchange's time, and after -1021 nothing until the next."""
    local = Local()
    clock = Clock(local)
    clock.sample(local.ms - 20, 1_700_000_000_000, local.ms)
    local.ms += 500
    assert abs(clock.exchange_now_ms() - 1_700_000_000_510) <= 11
    assert clock.offset_ms == 1_700_000_000_000.5 - (1_000_000 - 10)
    clock.forget()
    assert not clock.known


@given(st.integers(1, 5000), st.integers(100, 60_000))
def test_clock_is_trusted_up_to_a_quarter_of_the_window(round_trip, window):
    """Error beyond recvWindow / 4 stops claiming."""
    local = Local()
    clock = Clock(local)
    clock.sample(local.ms - round_trip, 1, local.ms)
    error = (round_trip + 1) / 2 + round_trip / 1000 * DRIFT_MS_PER_S
    assert clock.trusted(window) == (error <= window / 4)


def test_trust_runs_out_without_new_samples():
    """A good sample is not good for ever."""
    local = Local()
    clock = Clock(local)
    clock.sample(local.ms - 10, 1, local.ms)
    assert clock.trusted(5000)
    local.ms += (1250 / DRIFT_MS_PER_S) * 1000
    assert not clock.trusted(5000)


def test_local_clock_runs_forward():
    """The default clock is not the wall clock and never runs back."""
    first = local_ms()
    assert local_ms() >= first
