"""PROTOCOL 6: what a report or an outcome makes of an order's line.

Pure: the database locks a line, this decides, the database writes it.

A *line* is everything we keep about one attempt and its row. Positive evidence (`OrderReport`) is believed
from any source, at any time, and never undone; the other outcomes count only from whoever holds the token.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from shared.domain.backoff import GiveUp, TryAgain, next_step
from shared.domain.futures_algo import is_algo_id
from shared.domain.order import Market, OrderStatus
from shared.domain.states import (
    AttemptOutcome,
    EntryState,
    EvidenceWeight,
    ExchangeStatus,
    check_outcome,
    order_status,
    weigh_evidence,
)
from shared.domain.verdicts import Code, reject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from shared.domain.fill import Fill

ZERO = Decimal(0)
EIGHT_PLACES = Decimal("1e-8")
MOVED: Final = "moved_by_another"
"""The event, and the reason, of a row that somebody else changed under us."""
FOUND_LATE: Final = "accepted_late"
"""The event of an order that exists although it had been settled as not existing."""
_IN_FLIGHT = frozenset({EntryState.SENDING, EntryState.UNKNOWN, EntryState.SUBMITTED})
_LEFT_BY_US = frozenset({OrderStatus.OPEN, OrderStatus.PARTIAL, OrderStatus.CANCELED})
"""What the row of an order in flight may show: what we wrote, or the bot's cancel."""


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What the exchange said about one of our orders, in an answer, on the stream or to a question.

    Attributes:
        order_id: the row, from the client order id.
        number: the attempt, from the client order id.
        account_id: whose answer or stream it was.
        market: spot or futures.
        symbol: as the exchange writes it.
        client_order_id: ours.
        exchange_order_id: the exchange's `orderId`; of a conditional futures order see
            `futures_algo.AlgoOrder`.
        status: the exchange's word.
        executed: cumulative base quantity.
        executed_quote: cumulative quote quantity; futures do not tell it, there the fills say it.
        occurred_at: the exchange's time.
        source: `answer`, `stream`, `query` or `operator`.
        fills: those the report carried, each with its place in the ledger's key.
        pair: base and quote asset, where whoever read it knew them.
        reason: why it was rejected after it had been accepted, in the exchange's words; ''.

    """

    order_id: UUID
    number: int
    account_id: UUID
    market: Market
    symbol: str
    client_order_id: str
    exchange_order_id: str
    status: ExchangeStatus
    executed: Decimal
    executed_quote: Decimal
    occurred_at: datetime
    source: str
    fills: tuple[Fill, ...] = ()
    pair: tuple[str, str] = ("", "")
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt without positive evidence: unknown, rejected, not sent, or absent.

    Attributes:
        order_id: the row.
        number: the attempt.
        token: of the worker that says so.
        outcome: never `accepted`; that takes a report.
        reason_code: short, for metrics and scripts.
        reason: a sentence for a person.
        draw: random, at least 0 and below 1; spreads the next attempt in time.
        final: the row ends here although the attempt was not sent (an operator's word).

    """

    order_id: UUID
    number: int
    token: UUID
    outcome: AttemptOutcome
    reason_code: str
    reason: str
    draw: float = 0.5
    final: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One attempt, its entry and its row, as locked; and, after the decision, as to be written."""

    order_id: UUID
    number: int
    account_id: UUID
    market: str
    symbol: str
    client_order_id: str
    quote_asset: str
    order_status: OrderStatus
    reasoning: str
    entry_state: EntryState
    entry_attempts: int
    counted: int
    has_evidence: bool
    token: UUID | None
    outcome: AttemptOutcome | None
    exchange_order_id: str
    exchange_status: ExchangeStatus | None
    executed: Decimal
    executed_quote: Decimal
    filled: Decimal
    fee: Decimal
    fee_asset: str
    fee_in_quote: Decimal
    another_attempt_live: bool
    reported_at: datetime | None = None
    filled_at: datetime | None = None
    reason_code: str | None = None
    reason: str | None = None
    retry_after: timedelta | None = None
    late: bool = False
    trace: str | None = None
    events: tuple[str, ...] = ()

    @property
    def gap(self) -> Decimal:
        """Quantity the exchange reports as executed and our stored fills do not cover."""
        return self.executed - self.filled

    @property
    def priced(self) -> Decimal:
        """Executed quantity whose price is known: on futures the fills tell it, and nothing else does."""
        return self.filled if self.market == Market.FUTURES else self.executed

    @property
    def awaits_fills(self) -> bool:
        """The order executed more than its row can show with a price."""
        return self.executed > self.priced

    @property
    def average_price(self) -> Decimal:
        """Quote per base over everything executed; 0 while nothing is."""
        return (self.executed_quote / self.priced).quantize(EIGHT_PLACES) if self.priced else ZERO

    @property
    def moved_by_another(self) -> bool:
        """Somebody else (the bot's own executor) changed the row while its order is in flight."""
        return self.entry_state in _IN_FLIGHT and self.order_status not in _LEFT_BY_US

    @property
    def terminal(self) -> bool:
        """The exchange said that nothing more can happen to the order."""
        return self.exchange_status is not None and self.exchange_status.is_terminal


def with_report(line: Line, report: OrderReport, fresh: Sequence[Fill]) -> Line:
    """Believe a report; `fresh` are its fills that were not stored before.

    Older reports change nothing: quantities only grow, and a terminal status stays. A report that contradicts
    an outcome settled before is marked late (the caller halts the account, cancels what still rests, and
    raises the alarm).
    """
    late = (
        weigh_evidence(line.outcome) is EvidenceWeight.LATE and report.status is not ExchangeStatus.REJECTED
    )
    newer = report.executed > line.executed or not line.terminal
    status = report.status if newer and not _falls_back(line, report) else line.exchange_status
    fee, fee_asset, fee_in_quote = _fees(line, fresh)
    # Of two live attempts of one row, the row shows the one it was told first; the other is cancelled.
    aside = late and line.another_attempt_live
    settled = replace(
        line,
        outcome=line.outcome if aside else AttemptOutcome.ACCEPTED,
        has_evidence=True,
        exchange_order_id=_exchange_order_id(line, report),
        exchange_status=status,
        executed=max(line.executed, report.executed),
        executed_quote=_executed_quote(line, report, fresh),
        filled=line.filled + sum((f.quantity for f in fresh), ZERO),
        fee=fee,
        fee_asset=fee_asset,
        fee_in_quote=fee_in_quote,
        reported_at=max(line.reported_at, report.occurred_at) if line.reported_at else report.occurred_at,
        reason_code=None,
        reason=None,
        late=line.late or late,
    )
    events = line.events
    if line.outcome is not AttemptOutcome.ACCEPTED:
        events += (FOUND_LATE if late else "accepted",)
    completes = (
        status is ExchangeStatus.FILLED
        and line.entry_state is not EntryState.DONE
        and not (aside or settled.awaits_fills)
    )
    if fresh and not completes:  # what completes an order is told by the word of its new status
        events += ("filled_in_part",)
    if line.moved_by_another and not aside:
        events += (MOVED,)  # the exchange has the last word about its own order; that it had to is said
    if report.reason and status is ExchangeStatus.REJECTED:
        settled = replace(
            settled,
            reason_code="rejected_later",
            reason=report.reason,
            reasoning=rejection_text(report.reason, line.reasoning),
        )
    return replace(settled, events=events) if aside else _with_status(settled, events, report.occurred_at)


def _exchange_order_id(line: Line, report: OrderReport) -> str:
    """Keep the order a conditional one became, whatever the algo service says later."""
    known = line.exchange_order_id
    return known if known and is_algo_id(report.exchange_order_id) else report.exchange_order_id


def _executed_quote(line: Line, report: OrderReport, fresh: Sequence[Fill]) -> Decimal:
    if line.market == Market.FUTURES:
        return line.executed_quote + sum((f.quote for f in fresh), ZERO)
    return max(line.executed_quote, report.executed_quote)


def _falls_back(line: Line, report: OrderReport) -> bool:
    """Tell whether a report is older: a terminal status is never left for a live one, nor a fill for NEW."""
    if line.terminal:
        return not report.status.is_terminal
    return report.status is ExchangeStatus.NEW and line.executed > 0


def _with_status(line: Line, events: tuple[str, ...], at: datetime) -> Line:
    """Bring the row's and the entry's state in line with what the exchange said last."""
    assert line.exchange_status is not None
    word = order_status(line.exchange_status, line.executed)
    over = line.terminal
    if line.awaits_fills and (line.late or line.entry_state is not EntryState.DONE):
        # Nobody reads `filled` without a price: the row is over when the fills are there (DESIGN promise 5).
        word, over = OrderStatus.PARTIAL if line.priced else OrderStatus.OPEN, False
    if not word.is_terminal and line.order_status is OrderStatus.CANCELED:
        # The bot cancelled in the database; the exchange will be asked to, and has the last word (PROTOCOL
        # 9).
        word = OrderStatus.CANCELED
    state = EntryState.DONE if over else EntryState.SUBMITTED
    if line.entry_state is EntryState.DONE and state is EntryState.SUBMITTED and not line.late:
        state = EntryState.DONE
    if state is EntryState.DONE and line.entry_state is not EntryState.DONE:
        events += (str(word),)
    return replace(
        line,
        order_status=word,
        entry_state=state,
        filled_at=(line.filled_at or at) if word is OrderStatus.FILLED else None,
        events=events,
    )


def _fees(line: Line, fresh: Sequence[Fill]) -> tuple[Decimal, str, Decimal]:
    """Sum the fees: in the charged asset while there is only one, else converted to quote."""
    charged = [f for f in fresh if f.commission]
    if not charged:
        return line.fee, line.fee_asset, line.fee_in_quote
    in_quote = line.fee_in_quote + sum((f.commission_in_quote or ZERO for f in charged), ZERO)
    assets = {f.commission_asset for f in charged} | ({line.fee_asset} if line.fee_asset else set())
    if len(assets) == 1:
        return line.fee + sum((f.commission for f in charged), ZERO), assets.pop(), in_quote
    return in_quote, line.quote_asset, in_quote


def with_outcome(line: Line, outcome: Outcome) -> Line | None:
    """Settle without positive evidence; None when the word does not count any more.

    Raises:
        ValueError: asked to accept, which takes a report.
        IllegalTransitionError: absence was judged of an attempt that is not unknown.

    """
    if outcome.outcome is AttemptOutcome.ACCEPTED:
        raise ValueError("an attempt is accepted by a report of the exchange, not by an outcome")
    in_flight = line.entry_state in (EntryState.SENDING, EntryState.UNKNOWN)
    if (
        not in_flight
        or line.has_evidence
        or line.token != outcome.token
        or line.entry_attempts != outcome.number
    ):
        return None
    if line.outcome is outcome.outcome:
        return None
    check_outcome(line.outcome, outcome.outcome)
    settled = replace(
        line,
        outcome=outcome.outcome,
        reason_code=outcome.reason_code,
        reason=outcome.reason,
        retry_after=None,
    )
    match outcome.outcome:
        case AttemptOutcome.UNKNOWN:
            return replace(settled, entry_state=EntryState.UNKNOWN, events=(*line.events, "unknown"))
        case AttemptOutcome.REJECTED:
            return _refused(settled)
    step = next_step(outcome.outcome, line.number, line.counted, outcome.draw)
    settled = replace(settled, counted=step.counted)
    if isinstance(step, GiveUp):
        last = reject(Code.ABSENT_TOO_OFTEN, count=step.counted, reason=outcome.reason.rstrip("."))
        settled = replace(settled, reason_code=last.code, reason=last.sentence)
    if outcome.final or isinstance(step, GiveUp):
        return _refused(settled)
    if line.order_status is OrderStatus.CANCELED:
        # The last attempt is proven not sent, so the bot's cancel stands (PROTOCOL 9).
        return replace(
            settled,
            entry_state=EntryState.DONE,
            reason_code="canceled",
            reason="The bot canceled the row; nothing of it is at the exchange.",
            events=(*line.events, str(outcome.outcome), "canceled"),
        )
    return replace(
        settled,
        entry_state=EntryState.BACKOFF,
        # After the last number the next look holds the row (PROTOCOL 3).
        retry_after=timedelta(seconds=step.delay_s) if isinstance(step, TryAgain) else None,
        events=(*line.events, str(outcome.outcome)),
    )


def _refused(line: Line) -> Line:
    if line.order_status is OrderStatus.CANCELED:
        return replace(line, entry_state=EntryState.DONE, events=(*line.events, "canceled"))
    if line.order_status not in (OrderStatus.OPEN, OrderStatus.PENDING):
        # Somebody else wrote what became of an order of his; ours does not exist, so his word stays.
        reason = f"The row became {line.order_status} while our order was in flight, which does not exist."
        return replace(
            line,
            entry_state=EntryState.DONE,
            reason_code=MOVED,
            reason=f"{reason} {line.reason or ''}".rstrip(),
            events=(*line.events, MOVED),
        )
    return replace(
        line,
        entry_state=EntryState.DONE,
        order_status=OrderStatus.REJECTED,
        reasoning=rejection_text(line.reason or "", line.reasoning),
        events=(*line.events, "rejected"),
    )


def rejection_text(reason: str, reasoning: str) -> str:
    """Prefix a rejection's reason to `orders.reasoning` the way the bot does it; once."""
    if reasoning.startswith("Rejected: "):
        return reasoning
    if not reasoning:
        return f"Rejected: {reason}"
    return f"Rejected: {reason.rstrip('.')}. Original reasoning: {reasoning}"
