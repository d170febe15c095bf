"""When a row is tried again and when an address is left alone (PROTOCOL 8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.backoff import (
    MAX_COUNTED,
    Address,
    AddressPolicy,
    GiveUp,
    HoldRow,
    RetryDelays,
    TryAgain,
    next_step,
    spread,
)
from shared.domain.errors import DomainError
from shared.domain.states import AttemptOutcome

NOT_SENT, ABSENT = AttemptOutcome.NOT_SENT, AttemptOutcome.ABSENT
draws = st.floats(0, 1, exclude_max=True)


@given(number=st.integers(1, 8), counted=st.integers(0, 2), draw=draws)
def test_what_was_not_sent_is_never_counted(number: int, counted: int, draw: float) -> None:
    """A failure that says nothing about the order re-queues it and leaves the count alone."""
    step = next_step(NOT_SENT, number, counted, draw)
    assert isinstance(step, TryAgain)
    assert step.counted == counted


@given(draw=draws)
def test_the_third_absence_rejects(draw: float) -> None:
    """Two absences are tried again, the third is the last."""
    first = next_step(ABSENT, 1, 0, draw)
    second = next_step(ABSENT, 2, 1, draw)
    assert isinstance(first, TryAgain)
    assert isinstance(second, TryAgain)
    assert (first.counted, second.counted) == (1, 2)
    assert next_step(ABSENT, 3, 2, draw) == GiveUp(MAX_COUNTED)


@given(counted=st.integers(0, 2), draw=draws)
def test_number_nine_not_sent_holds_the_row(counted: int, draw: float) -> None:
    """There is no tenth attempt: the row waits for its owner, unless it was the third absence."""
    assert next_step(NOT_SENT, 9, counted, draw) == HoldRow(counted)
    expected = GiveUp(3) if counted == 2 else HoldRow(counted + 1)
    assert next_step(ABSENT, 9, counted, draw) == expected


@pytest.mark.parametrize(
    "outcome", [AttemptOutcome.ACCEPTED, AttemptOutcome.UNKNOWN, AttemptOutcome.REJECTED]
)
def test_only_what_is_proven_not_there_is_tried_again(outcome: AttemptOutcome) -> None:
    """Accepted, unknown and rejected attempts have no next step."""
    with pytest.raises(DomainError, match="never tried again"):
        next_step(outcome, 1, 0, 0.0)


def test_delays_double_up_to_a_longest() -> None:
    """Exponential, bounded: with the largest draw nearly all of the delay, with the smallest half."""
    delays = RetryDelays(counted_s=1.0, uncounted_s=0.2, longest_s=1.0)
    rests = [next_step(NOT_SENT, number, 0, 0.0, delays) for number in range(1, 6)]
    assert [r.delay_s for r in rests if isinstance(r, TryAgain)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    counted = [next_step(ABSENT, 8, before, 0.0, RetryDelays()) for before in (0, 1)]
    assert [r.delay_s for r in counted if isinstance(r, TryAgain)] == [0.5, 1.0]


@given(delay=st.floats(0, 1e6), draw=draws)
def test_jitter_keeps_a_delay_between_its_half_and_itself(delay: float, draw: float) -> None:
    """No draw makes a delay longer, or shorter than half."""
    assert delay / 2 <= spread(delay, draw) <= delay


def test_three_failures_in_a_row_pause_an_address() -> None:
    """One or two do not, and a success between starts the count again."""
    twice = Address().after_failure(0.0).after_failure(1.0)
    assert twice.is_open(1.0)
    again = twice.after_answer().after_failure(2.0).after_failure(3.0)
    assert again.is_open(3.0)
    paused = again.after_failure(4.0)
    assert not paused.is_open(1e9)
    assert not paused.probe_is_due(4.2)
    assert paused.probe_is_due(4.25)


def test_probes_of_a_paused_address_thin_out_to_five_seconds() -> None:
    """250 ms, then doubling, never more than 5 s; the first answer opens it at once."""
    now, address = 0.0, Address()
    for _ in range(3):
        address = address.after_failure(now)
    gaps = []
    for _ in range(7):
        assert address.probe_at is not None
        gaps.append(address.probe_at - now)
        now = address.probe_at
        assert address.probe_is_due(now)
        address = address.after_failure(now)
    assert gaps == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert address.after_answer() == Address()


def test_orders_sent_before_the_pause_do_not_lengthen_it() -> None:
    """64 requests that fail together pause the address as long as three."""
    three = sixty_four = Address()
    for count in range(64):
        sixty_four = sixty_four.after_failure(0.0)
        if count < 3:
            three = three.after_failure(0.0)
    assert (sixty_four.probe_at, sixty_four.probe_every_s) == (three.probe_at, three.probe_every_s)


def test_what_the_exchange_says_lasts_as_long_as_it_said() -> None:
    """No late answer opens it sooner, no shorter word shortens it, and then it opens by itself."""
    told = Address().after_being_told(10.0, 60.0).after_being_told(11.0, 5.0).after_answer()
    assert not told.is_open(69.9)
    assert told.is_open(70.0)
    failing = told
    for _ in range(3):
        failing = failing.after_failure(12.0)
    assert not failing.probe_is_due(69.9)
    assert failing.probe_is_due(70.0)


@given(
    events=st.lists(st.tuples(st.sampled_from(["failure", "answer", "told"]), st.floats(0, 3)), max_size=60),
    failures=st.integers(1, 5),
)
def test_an_address_is_paused_exactly_by_its_last_failures_or_by_a_word(
    events: list[tuple[str, float]], failures: int
) -> None:
    """Against a plain count: paused iff the trailing failures reach the limit or a word is still running."""
    address, now, trailing, told = Address(AddressPolicy(failures=failures)), 0.0, 0, 0.0
    for what, passed in events:
        now += passed
        if what == "failure":
            address, trailing = address.after_failure(now), trailing + 1
        elif what == "answer":
            address, trailing = address.after_answer(), 0
        else:
            address, told = address.after_being_told(now, 2.0), max(told, now + 2.0)
        assert address.is_open(now) == (trailing < failures and now >= told)
        assert address.probe_at is None or address.probe_at <= now + address.policy.longest_probe_s
