"""PROTOCOL 6, 8, 9 and 12: what a report or an outcome makes of an order's line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import IllegalTransitionError
from shared.domain.fill import Fill
from shared.domain.order import Market, OrderStatus, Side
from shared.domain.settlement import Line, OrderReport, Outcome, rejection_text, with_outcome, with_report
from shared.domain.states import AttemptOutcome, EntryState, ExchangeStatus
from shared.domain.verdicts import Code

ORDER = UUID(int=1)
ACCOUNT = UUID(int=2)
TOKEN = UUID(int=3)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
D = Decimal


def line(**changes: object) -> Line:
    """A claimed order, in flight."""
    claimed = Line(
        order_id=ORDER,
        number=1,
        account_id=ACCOUNT,
        market="spot",
        symbol="BTCUSDT",
        client_order_id="b1-1",
        quote_asset="USDT",
        order_status=OrderStatus.OPEN,
        reasoning="because",
        entry_state=EntryState.SENDING,
        entry_attempts=1,
        counted=0,
        has_evidence=False,
        token=TOKEN,
        outcome=None,
        exchange_order_id="",
        exchange_status=None,
        executed=D(0),
        executed_quote=D(0),
        filled=D(0),
        fee=D(0),
        fee_asset="",
        fee_in_quote=D(0),
        another_attempt_live=False,
    )
    return replace(claimed, **changes)  # type: ignore[arg-type]


def fill(trade_id: int, quantity: str, *, asset: str = "BTC", fee: str = "0.001") -> Fill:
    """An execution at 100."""
    return Fill(
        account_id=ACCOUNT,
        market=Market.SPOT,
        environment_epoch=1,
        symbol="BTCUSDT",
        exchange_order_id="77",
        trade_id=trade_id,
        order_id=ORDER,
        client_order_id="b1-1",
        side=Side.BUY,
        price=D(100),
        quantity=D(quantity),
        quote=D(quantity) * 100,
        commission=D(fee),
        commission_asset=asset,
        commission_in_quote=D(fee) * 100,
        traded_at=NOON,
    )


def report(status: ExchangeStatus, executed: str = "0", at: int = 0, *fills: Fill) -> OrderReport:
    """The exchange's word about the order."""
    return OrderReport(
        order_id=ORDER,
        number=1,
        account_id=ACCOUNT,
        market=Market.SPOT,
        symbol="BTCUSDT",
        client_order_id="b1-1",
        exchange_order_id="77",
        status=status,
        executed=D(executed),
        executed_quote=D(executed) * 100,
        occurred_at=NOON + timedelta(seconds=at),
        source="stream",
        fills=fills,
    )


def outcome(what: AttemptOutcome, **changes: object) -> Outcome:
    """The sender's word about the attempt."""
    said = Outcome(ORDER, 1, TOKEN, what, "code", "the reason")
    return replace(said, **changes)  # type: ignore[arg-type]


def settled(start: Line, said: Outcome) -> Line:
    """Settle, where the word counts."""
    after = with_outcome(start, said)
    assert after is not None
    return after


def test_filled_order_is_done_with_its_figures() -> None:
    """FILLED: entry done, row filled, average, fee as charged, filled_at the exchange's time."""
    first, second = fill(1, "0.5"), fill(2, "1.5")
    after = with_report(line(), report(ExchangeStatus.FILLED, "2", 5, first, second), [first, second])
    assert (after.entry_state, after.order_status) == (EntryState.DONE, OrderStatus.FILLED)
    assert after.outcome is AttemptOutcome.ACCEPTED
    assert (after.executed, after.filled, after.gap) == (D(2), D(2), D(0))
    assert after.average_price == D(100)
    assert (after.fee, after.fee_asset) == (D("0.002"), "BTC")
    assert after.filled_at == NOON + timedelta(seconds=5)
    assert after.events == ("accepted", "filled")


def test_resting_order_is_submitted_and_open() -> None:
    """NEW: entry submitted, row open; a partial fill makes it partial."""
    after = with_report(line(), report(ExchangeStatus.NEW), [])
    assert (after.entry_state, after.order_status) == (EntryState.SUBMITTED, OrderStatus.OPEN)
    part = fill(1, "0.5")
    after = with_report(after, report(ExchangeStatus.PARTIALLY_FILLED, "0.5", 1, part), [part])
    assert (after.entry_state, after.order_status) == (EntryState.SUBMITTED, OrderStatus.PARTIAL)
    assert after.filled_at is None


def test_missing_fills_show_as_a_gap_and_the_exchanges_figures_stand() -> None:
    """A report without fills: filled_amount is what the exchange says, the gap what we lack."""
    after = with_report(line(), report(ExchangeStatus.FILLED, "2"), [])
    assert (after.executed, after.filled, after.gap) == (D(2), D(0), D(2))
    assert after.order_status is OrderStatus.FILLED


def test_older_report_changes_no_figure_and_no_status() -> None:
    """NEW after FILLED, and a smaller cumulative quantity, change nothing they should not."""
    both = fill(1, "1"), fill(2, "1")
    done = with_report(line(), report(ExchangeStatus.FILLED, "2", 5, *both), both)
    for late in (report(ExchangeStatus.NEW), report(ExchangeStatus.PARTIALLY_FILLED, "1", 1)):
        after = with_report(done, late, [])
        assert replace(after, events=done.events) == done


@pytest.mark.parametrize("word", [ExchangeStatus.FILLED, ExchangeStatus.EXPIRED])
def test_futures_order_is_over_when_its_fills_are_there(word: ExchangeStatus) -> None:
    """A futures answer tells quantity and no price: nobody reads `filled` before the price is known."""
    start = line(market="futures")
    answered = with_report(start, report(word, "2"), [])
    assert (answered.entry_state, answered.order_status) == (EntryState.SUBMITTED, OrderStatus.OPEN)
    assert (answered.priced, answered.average_price, answered.filled_at) == (D(0), D(0), None)
    assert answered.events == ("accepted",)
    first, second = fill(1, "0.5"), fill(2, "1.5")
    part = with_report(answered, report(ExchangeStatus.PARTIALLY_FILLED, "0.5", 1, first), [first])
    assert (part.entry_state, part.order_status) == (EntryState.SUBMITTED, OrderStatus.PARTIAL)
    assert (part.priced, part.average_price) == (D("0.5"), D(100))
    whole = with_report(part, report(word, "2", 2, second), [second])
    assert (whole.entry_state, str(whole.order_status)) == (EntryState.DONE, word.lower())
    assert (whole.priced, whole.average_price) == (D(2), D(100))
    assert whole.events == ("accepted", "filled_in_part", *_last_words(word))
    canceled = with_report(replace(start, order_status=OrderStatus.CANCELED), report(word, "2"), [])
    assert (canceled.entry_state, canceled.order_status) == (EntryState.SUBMITTED, OrderStatus.CANCELED)


def _last_words(word: ExchangeStatus) -> tuple[str, ...]:
    return ("filled",) if word is ExchangeStatus.FILLED else ("filled_in_part", "expired")


def test_expired_remainder_keeps_what_filled() -> None:
    """EXPIRED and EXPIRED_IN_MATCH become expired; the filled part stays."""
    part = fill(1, "0.5")
    for status in (ExchangeStatus.EXPIRED, ExchangeStatus.EXPIRED_IN_MATCH):
        after = with_report(line(), report(status, "0.5", 1, part), [part])
        assert (after.order_status, after.executed) == (OrderStatus.EXPIRED, D("0.5"))


def test_bots_cancel_of_a_live_order_stays_until_the_exchange_has_the_last_word() -> None:
    """A live report leaves the bot's `canceled`; FILLED goes over it."""
    start = line(order_status=OrderStatus.CANCELED)
    assert with_report(start, report(ExchangeStatus.NEW), []).order_status is OrderStatus.CANCELED
    assert with_report(start, report(ExchangeStatus.FILLED, "1"), []).order_status is OrderStatus.FILLED


def test_fees_in_two_assets_are_summed_in_quote() -> None:
    """orders.fee is in the charged asset while there is one, else in quote."""
    first, second = fill(1, "1"), fill(2, "1", asset="BNB", fee="0.01")
    after = with_report(line(), report(ExchangeStatus.FILLED, "2", 0, first, second), [first, second])
    assert (after.fee, after.fee_asset) == (D("1.1"), "USDT")


@pytest.mark.parametrize("before", [AttemptOutcome.ABSENT, AttemptOutcome.NOT_SENT, AttemptOutcome.REJECTED])
def test_report_that_contradicts_an_outcome_is_late(before: AttemptOutcome) -> None:
    """An order found after all: marked late, accepted, and the entry follows it."""
    start = line(entry_state=EntryState.BACKOFF, outcome=before, token=None)
    after = with_report(start, report(ExchangeStatus.NEW), [])
    assert after.late
    assert after.outcome is AttemptOutcome.ACCEPTED
    assert after.entry_state is EntryState.SUBMITTED
    assert "accepted_late" in after.events


def test_late_report_beside_a_live_attempt_leaves_row_and_entry_alone() -> None:
    """The row shows the live attempt; the late one is only marked, so that it is cancelled."""
    start = line(
        entry_state=EntryState.SUBMITTED,
        entry_attempts=2,
        outcome=AttemptOutcome.ABSENT,
        another_attempt_live=True,
    )
    after = with_report(start, report(ExchangeStatus.NEW), [])
    assert after.late
    assert after.outcome is AttemptOutcome.ABSENT
    assert (after.entry_state, after.order_status) == (start.entry_state, start.order_status)


def test_rejection_ends_the_row_with_the_reason_before_its_reasoning() -> None:
    """Rejected: done, `Rejected: … Original reasoning: …` as the bot words it."""
    after = settled(line(), outcome(AttemptOutcome.REJECTED))
    assert (after.entry_state, after.order_status) == (EntryState.DONE, OrderStatus.REJECTED)
    assert after.reasoning == "Rejected: the reason. Original reasoning: because"
    assert rejection_text("again", after.reasoning) == after.reasoning


def test_not_sent_goes_to_back_off_and_is_not_counted() -> None:
    """not_sent says nothing about the order: back-off, counted as before."""
    after = settled(line(), outcome(AttemptOutcome.NOT_SENT))
    assert (after.entry_state, after.counted) == (EntryState.BACKOFF, 0)
    assert after.retry_after
    assert after.order_status is OrderStatus.OPEN


def test_third_absence_rejects_the_row() -> None:
    """Only absence counts, at most three times."""
    start = line(entry_state=EntryState.UNKNOWN, outcome=AttemptOutcome.UNKNOWN)
    assert settled(start, outcome(AttemptOutcome.ABSENT)).entry_state is EntryState.BACKOFF
    third = replace(start, counted=2, number=3, entry_attempts=3)
    after = settled(third, outcome(AttemptOutcome.ABSENT, number=3))
    assert (after.entry_state, after.order_status) == (EntryState.DONE, OrderStatus.REJECTED)
    assert after.reason_code == Code.ABSENT_TOO_OFTEN


def test_cancelled_row_ends_once_its_attempt_is_proven_not_sent() -> None:
    """The bot's cancel stands: no retry."""
    for what, start in (
        (AttemptOutcome.NOT_SENT, line()),
        (AttemptOutcome.ABSENT, line(entry_state=EntryState.UNKNOWN, outcome=AttemptOutcome.UNKNOWN)),
    ):
        after = settled(replace(start, order_status=OrderStatus.CANCELED), outcome(what))
        assert (after.entry_state, after.order_status) == (EntryState.DONE, OrderStatus.CANCELED)


@pytest.mark.parametrize(
    "start",
    [
        line(token=uuid4()),
        line(token=None),
        line(entry_attempts=2),
        line(has_evidence=True),
        line(entry_state=EntryState.SUBMITTED),
        line(entry_state=EntryState.BACKOFF),
        line(entry_state=EntryState.DONE),
    ],
)
def test_word_without_token_number_or_state_does_not_count(start: Line) -> None:
    """A worker that lost its token, a word about an earlier attempt, a settled entry: ignored."""
    for what in (AttemptOutcome.REJECTED, AttemptOutcome.NOT_SENT, AttemptOutcome.UNKNOWN):
        assert with_outcome(start, outcome(what)) is None


def test_absence_is_judged_only_of_what_is_unknown() -> None:
    """An attempt still in flight cannot be judged absent; accepting takes a report."""
    with pytest.raises(IllegalTransitionError):
        with_outcome(line(), outcome(AttemptOutcome.ABSENT))
    with pytest.raises(ValueError, match="accepted by a report"):
        with_outcome(line(), outcome(AttemptOutcome.ACCEPTED))


LIFE = [
    report(ExchangeStatus.NEW, "0", 0),
    report(ExchangeStatus.PARTIALLY_FILLED, "0.5", 1, fill(1, "0.5")),
    report(ExchangeStatus.PARTIALLY_FILLED, "1.25", 2, fill(2, "0.75")),
    report(ExchangeStatus.FILLED, "2", 3, fill(3, "0.75")),
]


@given(st.lists(st.sampled_from(LIFE), max_size=6).flatmap(lambda extra: st.permutations(LIFE + extra)))
def test_any_order_and_repetition_of_reports_ends_the_same(reports: list[OrderReport]) -> None:
    """Reports in any order, repeated at will, give one end."""
    after, stored = line(), set()
    for told in reports:
        fresh = [f for f in told.fills if f.key not in stored]
        stored |= {f.key for f in fresh}
        after = with_report(after, told, fresh)
    assert (after.entry_state, after.order_status) == (EntryState.DONE, OrderStatus.FILLED)
    assert (after.executed, after.filled, after.fee) == (D(2), D(2), D("0.003"))
    assert after.reported_at == NOON + timedelta(seconds=3)
    assert not after.late
