"""Pure: what a cell must have ended with, told from the database and the exchange's own ledger."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Verdict(StrEnum):
    """How a cell ended."""

    CLEAN = "clean"  # exactly one order, or one clear rejection or cancel with none; both sides agree
    FLAGGED = "flagged"  # unknown, said so, nothing re-sent, where questions are never answered
    DOUBLED = "doubled"  # more than one order at the exchange
    LOST = "lost"  # neither an order nor a clear end of the row
    WRONG = "wrong"  # the two sides disagree, or something was done that must not be done


GOOD = (Verdict.CLEAN, Verdict.FLAGGED)

AT_EXCHANGE = {
    "NEW": "open",
    "PARTIALLY_FILLED": "partial",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
}
LIVE = ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known about one row at the end.

    Args:
        row: of `public.orders`.
        entry: of `bridge.outbox`.
        attempts: of `bridge.attempt`, in order.
        at_exchange: orders of the exchange's ledger that carry the row's id form.
        posts: requests to place it that reached the exchange.
        canceled_at: when the bot's cancel was committed, on the database's clock; None = it did not cancel.
        flagged_in_words: an event says that the order is unknown.
        halted: why the account was halted, '' when it was not.

    """

    row: Mapping[str, Any]
    entry: Mapping[str, Any]
    attempts: Sequence[Mapping[str, Any]]
    at_exchange: Sequence[Mapping[str, Any]]
    posts: int
    canceled_at: datetime | None
    flagged_in_words: bool
    halted: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and why."""

    verdict: Verdict
    why: str = ""


def judge(facts: Facts, *, may_reject: bool, may_stay_unknown: bool) -> Judged:
    """Judge one row.

    Args:
        facts: both sides.
        may_reject: the exchange refused it, so that `rejected` is a right end.
        may_stay_unknown: questions are never answered, so that `unknown` is a right end.

    """
    orders = facts.at_exchange
    if len(orders) > 1:
        ids = ", ".join(str(order["clientOrderId"]) for order in orders)
        return Judged(Verdict.DOUBLED, f"{len(orders)} orders at the exchange: {ids}")
    if facts.entry["state"] == "unknown":
        return _unknown(facts, may_stay_unknown=may_stay_unknown)
    if facts.entry["state"] not in ("done", "submitted"):
        return Judged(Verdict.LOST, f"the entry is still {facts.entry['state']}")
    if facts.halted:
        return Judged(Verdict.WRONG, f"the account was halted: {facts.halted}")
    # An attempt without a timestamp was not claimed but recovered from what the exchange shows (PROTOCOL 10).
    if facts.canceled_at and any(
        a["claimed_at"] > facts.canceled_at for a in facts.attempts if "timestamp=" in a["parameters"]
    ):
        return Judged(Verdict.WRONG, "an attempt was claimed after the bot had cancelled the row")
    if orders:
        wrong = _compare(facts, orders[0])
        return Judged(Verdict.WRONG, wrong) if wrong else Judged(Verdict.CLEAN)
    return _without_order(facts, may_reject=may_reject)


def _unknown(facts: Facts, *, may_stay_unknown: bool) -> Judged:
    if not may_stay_unknown:
        return Judged(Verdict.LOST, "still unknown although the exchange answers")
    if facts.posts > 1:
        return Judged(Verdict.WRONG, f"unknown, and yet sent {facts.posts} times")
    if not facts.flagged_in_words:
        return Judged(Verdict.WRONG, "unknown, and no event says so")
    return Judged(Verdict.FLAGGED)


def _compare(facts: Facts, order: Mapping[str, Any]) -> str:
    row, status = facts.row, str(order["status"])
    pairs = {
        "status": (row["status"], AT_EXCHANGE.get(status, status)),
        "exchange_order_id": (row["exchange_order_id"], str(order["orderId"])),
        "filled_amount": (row["filled_amount"], Decimal(str(order["executedQty"]))),
        "entry": (facts.entry["state"], "submitted" if status in LIVE else "done"),
    }
    if facts.canceled_at and status in LIVE:
        return f"the bot cancelled it, and it is still {status} at the exchange"
    return "; ".join(
        f"{name}: ours {ours}, theirs {theirs}" for name, (ours, theirs) in pairs.items() if ours != theirs
    )


def _without_order(facts: Facts, *, may_reject: bool) -> Judged:
    status = facts.row["status"]
    if status == "rejected":
        if not facts.row["reasoning"].startswith("Rejected: "):
            return Judged(Verdict.WRONG, "rejected without a reason")
        return (
            Judged(Verdict.CLEAN)
            if may_reject
            else Judged(Verdict.LOST, "rejected, though nobody refused it")
        )
    if status == "canceled" and facts.canceled_at:
        return Judged(Verdict.CLEAN)
    return Judged(Verdict.LOST, f"no order at the exchange, and the row says {status}")
