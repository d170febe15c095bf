"""The state machines of entry and attempt (PROTOCOL 6 and 12)."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from shared.domain.errors import IllegalTransitionError
from shared.domain.order import OrderStatus
from shared.domain.states import (
    ENTRY_TRANSITIONS,
    ENTRY_TRANSITIONS_ON_EVIDENCE,
    OUTCOME_TRANSITIONS,
    AlgoStatus,
    AttemptOutcome,
    EntryState,
    EvidenceWeight,
    ExchangeStatus,
    algo_exchange_status,
    check,
    check_outcome,
    entry_state,
    mermaid,
    order_status,
    status_to_write,
    weigh_evidence,
)

ROOT = Path(__file__).resolve().parents[2]

# PROTOCOL 12, written out by hand.
PROTOCOL_12 = {
    "new": "sending, held, done",
    "held": "new, backoff, done",
    "sending": "submitted, done, unknown, backoff",
    "unknown": "submitted, done, backoff",
    "backoff": "sending, held, done",
    "submitted": "done",
    "done": "",
}


@pytest.mark.parametrize("old", EntryState)
@pytest.mark.parametrize("new", EntryState)
def test_only_the_protocols_edges_exist(old: EntryState, new: EntryState) -> None:
    """Every pair of states is allowed exactly when the protocol's table has it."""
    if new in PROTOCOL_12[old].split(", "):
        check(old, new)
    else:
        with pytest.raises(IllegalTransitionError, match=f"from {old} to {new}"):
            check(old, new)


@pytest.mark.parametrize("old", EntryState)
@pytest.mark.parametrize("new", EntryState)
def test_evidence_only_ever_adds_edges_towards_a_known_order(old: EntryState, new: EntryState) -> None:
    """Evidence adds ways to submitted (and done stays done); a retry is never among what it adds."""
    added = new in ENTRY_TRANSITIONS_ON_EVIDENCE.get(old, frozenset())
    assert not added or new in (EntryState.SUBMITTED, EntryState.DONE)
    if added or new in ENTRY_TRANSITIONS[old]:
        check(old, new, evidence=True)
    else:
        with pytest.raises(IllegalTransitionError):
            check(old, new, evidence=True)


def test_every_state_can_be_left_for_an_end() -> None:
    """From every state some path leads to done: no entry is stuck by construction."""
    for start in EntryState:
        reached = {start}
        while True:
            more = reached | {new for old in reached for new in ENTRY_TRANSITIONS[old]}
            if more == reached:
                break
            reached = more
        assert EntryState.DONE in reached


@pytest.mark.parametrize("old", [None, *AttemptOutcome])
@pytest.mark.parametrize("new", AttemptOutcome)
def test_outcomes_change_only_while_they_are_not_final(
    old: AttemptOutcome | None, new: AttemptOutcome
) -> None:
    """None yet and unknown can be settled; absence is judged of unknown only; nothing leaves a final."""
    allowed = (
        new is not AttemptOutcome.ABSENT
        if old is None
        else old is AttemptOutcome.UNKNOWN and new is not AttemptOutcome.UNKNOWN
    )
    assert allowed == (new in OUTCOME_TRANSITIONS[old])
    if allowed:
        check_outcome(old, new)
    else:
        with pytest.raises(IllegalTransitionError):
            check_outcome(old, new)


@pytest.mark.parametrize("new", AttemptOutcome)
def test_nothing_leaves_accepted_even_with_evidence(new: AttemptOutcome) -> None:
    """No update leaves accepted."""
    with pytest.raises(IllegalTransitionError):
        check_outcome(AttemptOutcome.ACCEPTED, new, evidence=True)


@pytest.mark.parametrize("old", [AttemptOutcome.ABSENT, AttemptOutcome.NOT_SENT, AttemptOutcome.REJECTED])
@pytest.mark.parametrize("new", AttemptOutcome)
def test_evidence_turns_a_final_no_into_accepted_and_into_nothing_else(
    old: AttemptOutcome, new: AttemptOutcome
) -> None:
    """A contradicted outcome may become accepted; never another no."""
    if new is AttemptOutcome.ACCEPTED:
        check_outcome(old, new, evidence=True)
    else:
        with pytest.raises(IllegalTransitionError):
            check_outcome(old, new, evidence=True)


@pytest.mark.parametrize(
    ("outcome", "weight"),
    [
        (None, EvidenceWeight.SETTLES),
        (AttemptOutcome.UNKNOWN, EvidenceWeight.SETTLES),
        (AttemptOutcome.ACCEPTED, EvidenceWeight.CONFIRMS),
        (AttemptOutcome.REJECTED, EvidenceWeight.LATE),
        (AttemptOutcome.NOT_SENT, EvidenceWeight.LATE),
        (AttemptOutcome.ABSENT, EvidenceWeight.LATE),
    ],
)
def test_evidence_that_contradicts_is_late(outcome: AttemptOutcome | None, weight: EvidenceWeight) -> None:
    """Evidence settles what is open, confirms what is accepted, and is late against any no."""
    assert weigh_evidence(outcome) is weight


@pytest.mark.parametrize(
    ("status", "executed", "expected"),
    [
        ("NEW", 0, "open"),
        ("NEW", 1, "partial"),
        ("PENDING_NEW", 0, "open"),
        ("PARTIALLY_FILLED", 1, "partial"),
        ("PENDING_CANCEL", 0, "open"),
        ("FILLED", 1, "filled"),
        ("CANCELED", 1, "canceled"),
        ("REJECTED", 0, "rejected"),
        ("EXPIRED", 0, "expired"),
        ("EXPIRED", 1, "expired"),
        ("EXPIRED_IN_MATCH", 1, "expired"),
        ("NEW_INSURANCE", 0, "open"),
        ("NEW_ADL", 0, "open"),
    ],
)
def test_exchange_statuses_become_the_bots(status: str, executed: int, expected: str) -> None:
    """Each status of the exchange has one of the bot's; both kinds of expiry are `expired`."""
    ours = order_status(ExchangeStatus(status), Decimal(executed))
    assert ours is OrderStatus(expected)
    assert ExchangeStatus(status).is_terminal == ours.is_terminal
    assert entry_state(ours) is (EntryState.DONE if ours.is_terminal else EntryState.SUBMITTED)


def test_every_exchange_status_is_translated() -> None:
    """No status of the exchange is missing from the tables."""
    for status in ExchangeStatus:
        order_status(status)
    for algo in AlgoStatus:
        algo_exchange_status(algo, quantity=Decimal(1), executed=Decimal(0))


@pytest.mark.parametrize(
    ("status", "executed", "expected"),
    [
        ("NEW", 0, "NEW"),
        ("TRIGGERING", 0, "NEW"),
        ("TRIGGERED", 0, "NEW"),
        ("TRIGGERED", 1, "NEW"),
        ("FINISHED", 2, "FILLED"),
        ("FINISHED", 1, "NEW"),
        ("FINISHED", 0, "NEW"),
        ("CANCELED", 0, "CANCELED"),
        ("REJECTED", 0, "REJECTED"),
        ("EXPIRED", 0, "EXPIRED"),
    ],
)
def test_conditional_orders_follow_the_order_they_become(status: str, executed: int, expected: str) -> None:
    """Finished is filled only if all filled; how else it ended the order it became has to say."""
    got = algo_exchange_status(AlgoStatus(status), quantity=Decimal(2), executed=Decimal(executed))
    assert got is ExchangeStatus(expected)


@pytest.mark.parametrize("state", EntryState)
@pytest.mark.parametrize("reported", [None, *OrderStatus])
def test_a_claimed_row_is_never_written_pending(state: EntryState, reported: OrderStatus | None) -> None:
    """Untouched while new or held, open from the claim on, the exchange's word once it is there."""
    if state in (EntryState.NEW, EntryState.HELD):
        assert status_to_write(state, reported) is None
    elif state in (EntryState.SENDING, EntryState.UNKNOWN, EntryState.BACKOFF):
        assert status_to_write(state, reported) is OrderStatus.OPEN
    else:
        fitting = {
            EntryState.SUBMITTED: (OrderStatus.OPEN, OrderStatus.PARTIAL),
            EntryState.DONE: tuple(s for s in OrderStatus if s.is_terminal),
        }[state]
        if reported in fitting:
            assert status_to_write(state, reported) is reported
        else:
            with pytest.raises(IllegalTransitionError):
                status_to_write(state, reported)


def test_the_diagram_is_the_table() -> None:
    """Reading the drawn edges back gives the two tables, edge by edge."""
    drawn = re.findall(r"^    (\w+) --> (\w+)(: on evidence only)?$", mermaid(), flags=re.MULTILINE)
    plain = {(old, new) for old, new, note in drawn if not note}
    noted = {(old, new) for old, new, note in drawn if note}
    assert plain == {(o, n) for o, targets in ENTRY_TRANSITIONS.items() for n in targets}
    assert noted == {(o, n) for o, targets in ENTRY_TRANSITIONS_ON_EVIDENCE.items() for n in targets}


def test_the_database_refuses_what_the_table_refuses() -> None:
    """The trigger on `bridge.outbox` holds the same edges as the tables here."""
    sql = (ROOT / "sql/migrations/0001_outbox.sql").read_text()
    body = sql.split("CREATE TRIGGER outbox_transition")[1].split("EXECUTE FUNCTION")[0]
    plain: set[tuple[str, str]] = set()
    noted: set[tuple[str, str]] = set()
    for olds, news, evidence in re.findall(
        r"OLD\.state (=\s*'\w+'|IN \([^)]*\))\s+"
        r"AND NEW\.state (=\s*'\w+'|IN \([^)]*\))(\s+AND NEW\.has_evidence)?",
        body,
    ):
        for old in re.findall(r"'(\w+)'", olds):
            for new in re.findall(r"'(\w+)'", news):
                (noted if evidence else plain).add((old, new))
    assert plain == {(o, n) for o, targets in ENTRY_TRANSITIONS.items() for n in targets}
    # A state that stays as it is fires no trigger, so done to done is not among the trigger's edges.
    assert noted == {
        (o, n) for o, targets in ENTRY_TRANSITIONS_ON_EVIDENCE.items() for n in targets if o is not n
    }
