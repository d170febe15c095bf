"""PROTOCOL 12: the states of an entry, the outcomes of an attempt, and the order status we write for them.

Both machines are tables; whatever is not in them raises and changes nothing. The database holds the same
edges in its triggers (`sql/migrations`), and `docs/architecture.md` shows `mermaid()`; tests hold the three
together.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from shared.domain.errors import IllegalTransitionError
from shared.domain.order import OrderStatus

if TYPE_CHECKING:
    from collections.abc import Mapping


class EntryState(StrEnum):
    """Where an entry of `bridge.outbox` stands (`outbox.state`)."""

    NEW = "new"
    HELD = "held"
    SENDING = "sending"
    UNKNOWN = "unknown"
    BACKOFF = "backoff"
    SUBMITTED = "submitted"
    DONE = "done"


class AttemptOutcome(StrEnum):
    """What became of one attempt (`attempt.outcome`); `None` stands for "none yet" (PROTOCOL 6)."""

    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    ABSENT = "absent"


class EvidenceWeight(StrEnum):
    """What positive evidence does to the attempt it speaks of (PROTOCOL 6)."""

    SETTLES = "settles"  # the attempt becomes accepted at once
    CONFIRMS = "confirms"  # it was accepted already
    LATE = "late"  # it contradicts: halt the account, cancel what still rests, alert


_S = EntryState

ENTRY_TRANSITIONS: Final[Mapping[EntryState, frozenset[EntryState]]] = MappingProxyType(
    {
        _S.NEW: frozenset({_S.SENDING, _S.HELD, _S.DONE}),
        _S.HELD: frozenset({_S.NEW, _S.BACKOFF, _S.DONE}),
        _S.SENDING: frozenset({_S.SUBMITTED, _S.DONE, _S.UNKNOWN, _S.BACKOFF}),
        _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.DONE, _S.BACKOFF}),
        _S.BACKOFF: frozenset({_S.SENDING, _S.HELD, _S.DONE}),
        _S.SUBMITTED: frozenset({_S.DONE}),
        _S.DONE: frozenset(),
    }
)
"""The edges that need nothing but their section's own conditions."""

ENTRY_TRANSITIONS_ON_EVIDENCE: Final[Mapping[EntryState, frozenset[EntryState]]] = MappingProxyType(
    {
        _S.NEW: frozenset({_S.SUBMITTED}),  # an attempt the database has forgotten (PROTOCOL 10)
        _S.HELD: frozenset({_S.SUBMITTED}),
        _S.BACKOFF: frozenset(
            {_S.SUBMITTED}
        ),  # an attempt judged absent or not sent after all exists (PROTOCOL 6)
        _S.DONE: frozenset({_S.SUBMITTED, _S.DONE}),
    }
)
"""The edges that exist only when an order of ours was seen at the exchange."""

_O = AttemptOutcome

OUTCOME_TRANSITIONS: Final[Mapping[AttemptOutcome | None, frozenset[AttemptOutcome]]] = MappingProxyType(
    {
        None: frozenset({_O.UNKNOWN, _O.ACCEPTED, _O.REJECTED, _O.NOT_SENT}),
        _O.UNKNOWN: frozenset({_O.ACCEPTED, _O.REJECTED, _O.NOT_SENT, _O.ABSENT}),
        _O.ACCEPTED: frozenset(),
        _O.REJECTED: frozenset(),
        _O.NOT_SENT: frozenset(),
        _O.ABSENT: frozenset(),
    }
)
"""Absence is judged of what is unknown, never of what was only just claimed; nothing leaves accepted."""

OUTCOME_TRANSITIONS_ON_EVIDENCE: Final[frozenset[AttemptOutcome]] = frozenset(
    {_O.REJECTED, _O.NOT_SENT, _O.ABSENT}
)
"""Outcomes that late evidence may turn into accepted, provided no other attempt of the row is live."""


def check(old: EntryState, new: EntryState, *, evidence: bool = False) -> None:
    """Let an entry pass from one state to another, or refuse.

    Args:
        old: the state it is in.
        new: the state it is to be in.
        evidence: whether positive evidence for one of its attempts is stored.

    Raises:
        IllegalTransitionError: PROTOCOL 12 has no such edge.

    """
    if new in ENTRY_TRANSITIONS[old]:
        return
    if evidence and new in ENTRY_TRANSITIONS_ON_EVIDENCE.get(old, frozenset()):
        return
    allowed = ", ".join(sorted(ENTRY_TRANSITIONS[old])) or "nothing, except on late evidence"
    raise IllegalTransitionError(
        f"An entry may not go from {old} to {new}: {old} leaves to {allowed} (PROTOCOL 12)."
    )


def check_outcome(old: AttemptOutcome | None, new: AttemptOutcome, *, evidence: bool = False) -> None:
    """Let the outcome of an attempt change, or refuse.

    Args:
        old: the outcome so far, None = none yet.
        new: the outcome to store.
        evidence: whether positive evidence for this attempt is stored.

    Raises:
        IllegalTransitionError: PROTOCOL 6 has no such edge; nothing ever leaves accepted.

    """
    if new in OUTCOME_TRANSITIONS[old]:
        return
    if evidence and new is AttemptOutcome.ACCEPTED and old in OUTCOME_TRANSITIONS_ON_EVIDENCE:
        return
    raise IllegalTransitionError(
        f"An attempt that is {old or 'without outcome'} may not become {new} (PROTOCOL 6); "
        "what contradicts a final outcome is stored as late evidence."
    )


def weigh_evidence(outcome: AttemptOutcome | None) -> EvidenceWeight:
    """Say what positive evidence for an attempt does to it (PROTOCOL 6)."""
    if outcome is None or outcome is AttemptOutcome.UNKNOWN:
        return EvidenceWeight.SETTLES
    return EvidenceWeight.CONFIRMS if outcome is AttemptOutcome.ACCEPTED else EvidenceWeight.LATE


class ExchangeStatus(StrEnum):
    """Status of an order (Binance REST docs, "Enums"; derivatives docs, "Common Definition")."""

    NEW = "NEW"
    PENDING_NEW = "PENDING_NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    PENDING_CANCEL = "PENDING_CANCEL"  # documented as unused
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"  # self-trade prevention
    NEW_INSURANCE = "NEW_INSURANCE"  # futures liquidation, legacy
    NEW_ADL = "NEW_ADL"  # futures auto-deleveraging, legacy

    @property
    def is_terminal(self) -> bool:
        """Whether the exchange will do nothing more with the order."""
        return _ORDER_STATUS[self].is_terminal


class AlgoStatus(StrEnum):
    """Status of a conditional futures order (derivatives docs, "Event: Algo Order Update")."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"  # the order it became is filled or cancelled
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


_ORDER_STATUS: Final[Mapping[ExchangeStatus, OrderStatus]] = MappingProxyType(
    {
        ExchangeStatus.NEW: OrderStatus.OPEN,
        ExchangeStatus.PENDING_NEW: OrderStatus.OPEN,
        ExchangeStatus.PARTIALLY_FILLED: OrderStatus.PARTIAL,
        ExchangeStatus.FILLED: OrderStatus.FILLED,
        ExchangeStatus.CANCELED: OrderStatus.CANCELED,
        ExchangeStatus.PENDING_CANCEL: OrderStatus.OPEN,
        ExchangeStatus.REJECTED: OrderStatus.REJECTED,
        ExchangeStatus.EXPIRED: OrderStatus.EXPIRED,
        ExchangeStatus.EXPIRED_IN_MATCH: OrderStatus.EXPIRED,
        ExchangeStatus.NEW_INSURANCE: OrderStatus.OPEN,
        ExchangeStatus.NEW_ADL: OrderStatus.OPEN,
    }
)

_ALGO_STATUS: Final[Mapping[AlgoStatus, ExchangeStatus]] = MappingProxyType(
    {
        AlgoStatus.NEW: ExchangeStatus.NEW,
        AlgoStatus.TRIGGERING: ExchangeStatus.NEW,
        AlgoStatus.TRIGGERED: ExchangeStatus.NEW,
        AlgoStatus.CANCELED: ExchangeStatus.CANCELED,
        AlgoStatus.REJECTED: ExchangeStatus.REJECTED,
        AlgoStatus.EXPIRED: ExchangeStatus.EXPIRED,
    }
)


def order_status(status: ExchangeStatus, executed: Decimal = Decimal(0)) -> OrderStatus:
    """Translate what the exchange reports into what `orders.status` shows; what filled is kept apart.

    Args:
        status: as reported.
        executed: cumulative quantity in base units; an order reported NEW that has traded is partial.

    """
    translated = _ORDER_STATUS[status]
    return OrderStatus.PARTIAL if translated is OrderStatus.OPEN and executed > 0 else translated


def algo_exchange_status(status: AlgoStatus, *, quantity: Decimal, executed: Decimal) -> ExchangeStatus:
    """Translate the status of a conditional futures order into that of an ordinary one.

    FINISHED says that the order it became is over, and not how: unless all of it filled, that order itself
    has to say whether it was cancelled or expired, so until then nothing is concluded.

    Args:
        status: of the conditional order.
        quantity: ordered, in base units.
        executed: filled quantity of the order it became, in base units.

    """
    if status is AlgoStatus.FINISHED:
        return ExchangeStatus.FILLED if 0 < quantity <= executed else ExchangeStatus.NEW
    return _ALGO_STATUS[status]


def entry_state(status: OrderStatus) -> EntryState:
    """Where an entry stands whose order exists at the exchange with this status."""
    return EntryState.DONE if status.is_terminal else EntryState.SUBMITTED


def status_to_write(state: EntryState, reported: OrderStatus | None = None) -> OrderStatus | None:
    """Say what `orders.status` becomes when an entry enters a state; None leaves it as it is (PROTOCOL 12).

    Args:
        state: the state entered.
        reported: what the exchange reports, translated; for a final no it is `OrderStatus.REJECTED`.

    Raises:
        IllegalTransitionError: the status does not belong to the state, so one of the two is wrong.

    """
    if state in (EntryState.NEW, EntryState.HELD):
        return None  # untouched: pending before any attempt, open after one
    if state in (EntryState.SENDING, EntryState.UNKNOWN, EntryState.BACKOFF):
        return OrderStatus.OPEN
    if reported is None or reported is OrderStatus.PENDING or entry_state(reported) is not state:
        raise IllegalTransitionError(
            f"An entry that is {state} cannot show status {reported}: submitted needs open or partial, "
            "done needs filled, canceled, expired or rejected (PROTOCOL 12)."
        )
    return reported


def mermaid() -> str:
    """Draw the entry's machine as a Mermaid state diagram; "on evidence only" is written on such edges."""
    lines = ["stateDiagram-v2", f"    [*] --> {EntryState.NEW}"]
    lines += [
        f"    {old} --> {new}"
        for old, targets in ENTRY_TRANSITIONS.items()
        for new in EntryState
        if new in targets
    ]
    lines += [
        f"    {old} --> {new}: on evidence only"
        for old, targets in ENTRY_TRANSITIONS_ON_EVIDENCE.items()
        for new in EntryState
        if new in targets
    ]
    lines.append(f"    {EntryState.DONE} --> [*]")
    return "\n".join(lines) + "\n"
