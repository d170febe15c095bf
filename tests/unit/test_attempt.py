"""Client order ids and the signing window (PROTOCOL 3 and 4)."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.attempt import (
    SigningWindow,
    all_client_order_ids,
    client_order_id,
    parse_bot_client_order_id,
    parse_client_order_id,
)
from shared.domain.errors import DomainError

ROW = UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff")
SPOT_ID = re.compile(r"^[a-zA-Z0-9-_]{1,36}$")


def test_the_id_is_the_row_and_the_number() -> None:
    """The form is `b`, the row's 32 hex digits, a dash and the number."""
    assert client_order_id(ROW, 3) == "b6f9619ff8b86d011b42d00cf4fc964ff-3"


@given(row=st.uuids(), number=st.integers(1, 9))
def test_ids_can_be_read_back_and_fit_the_exchange(row: UUID, number: int) -> None:
    """Every id parses back to its row and number and matches the exchange's pattern."""
    text = client_order_id(row, number)
    assert parse_client_order_id(text) == (row, number)
    assert SPOT_ID.fullmatch(text)
    assert parse_bot_client_order_id(text) is None


@given(rows=st.lists(st.uuids(), unique=True, max_size=20))
def test_no_two_attempts_share_an_id(rows: list[UUID]) -> None:
    """Nine ids per row, all different, across rows too."""
    ids = [text for row in rows for text in all_client_order_ids(row)]
    assert len(set(ids)) == 9 * len(rows)


@pytest.mark.parametrize("number", [-1, 0, 10, 11])
def test_there_is_no_tenth_attempt(number: int) -> None:
    """A number outside 1 to 9 is an error that says what to do."""
    with pytest.raises(DomainError, match="hold the row"):
        client_order_id(ROW, number)


@given(text=st.text(max_size=40))
def test_only_our_exact_form_is_ours(text: str) -> None:
    """Whatever parses is exactly what we would have generated: no other spelling of a row is ours."""
    parsed = parse_client_order_id(text)
    if parsed is not None:
        assert client_order_id(*parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web_coin_4y4b8mofbf7dqhq61p3paub",
        "b6f9619ff8b86d011b42d00cf4fc964ff-0",
        "b6f9619ff8b86d011b42d00cf4fc964ff-10",
        "b6f9619ff8b86d011b42d00cf4fc964ff-3\n",
        "b6F9619FF8B86D011B42D00CF4FC964FF-3",
        "c6f9619ff8b86d011b42d00cf4fc964ff-3",
        "b6f9619ff8b86d011b42d00cf4fc964f-3",
        "b6f9619ff8b86d011b42d00cf4fc964ff-³",
    ],
)
def test_near_misses_are_not_ours(text: str) -> None:
    """Another length, case, prefix or number is not our form."""
    assert parse_client_order_id(text) is None


@given(row=st.uuids())
def test_the_bots_own_orders_are_recognised(row: UUID) -> None:
    """A bare UUID with dashes is the bot's form, never ours."""
    assert parse_bot_client_order_id(str(row)) == row
    assert parse_client_order_id(str(row)) is None
    assert parse_bot_client_order_id(row.hex) is None
    assert parse_bot_client_order_id(f"{{{row}}}") is None


def test_the_deadline_is_timestamp_plus_window() -> None:
    """D = signing timestamp + recvWindow."""
    assert SigningWindow(1_000_000, 5_000).deadline_ms == 1_005_000


@given(signed=st.integers(0, 2**52), window=st.integers(1, 60_000), passed=st.integers(-70_000, 130_000))
def test_nothing_is_sent_with_less_than_half_the_window_left(signed: int, window: int, passed: int) -> None:
    """`must_not_send` holds exactly when what is left is less than half of recvWindow."""
    attempt = SigningWindow(signed, window)
    left = attempt.deadline_ms - (signed + passed)
    assert attempt.must_not_send(signed + passed) == (2 * left < window)


@pytest.mark.parametrize(("now", "late"), [(1_002_499, False), (1_002_500, False), (1_002_501, True)])
def test_half_a_window_is_still_enough(now: int, late: bool) -> None:
    """At exactly half the window the request may still leave."""
    assert SigningWindow(1_000_000, 5_000).must_not_send(now) is late
