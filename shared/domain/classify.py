"""PROTOCOL 5: what an answer, or the lack of one, means for the request it belongs to.

`accepted`, `rejected`, `not_sent` or `unknown`: the table in `answers` decides, and whatever it does not hold
is `unknown`. An order is accepted only on a body that is this very order: its client order id and its symbol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic

from shared.domain.answers import CANCEL, FAILURES, PLACE, QUERY
from shared.domain.answers_row import (
    NOT_TAKEN,
    UNCERTAIN,
    CancelOutcome,
    OutcomeT,
    Pause,
    QueryOutcome,
    Row,
)
from shared.domain.order import Market
from shared.domain.states import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = [
    "CancelOutcome",
    "Classification",
    "Expected",
    "Pause",
    "QueryOutcome",
    "classify",
    "classify_cancel",
    "classify_failure",
    "classify_query",
    "find_order",
    "shows",
]

MAX_PAUSE_S: Final = 259_200.0
"""The longest ban the exchange names, three days; a longer Retry-After is no time to trust."""
SHOWN_LENGTH: Final = 160

_BANNED_UNTIL: Final = re.compile(r"banned until (\d{13})\b")


@dataclass(frozen=True, slots=True)
class Expected:
    """The order an answer has to show before it counts.

    Args:
        client_order_id: of the attempt.
        symbol: as the exchange writes it.

    """

    client_order_id: str
    symbol: str


@dataclass(frozen=True, slots=True)
class Classification(Generic[OutcomeT]):
    """What an answer means.

    Args:
        outcome: of the request.
        reason_code: label for metrics and scripts; '' when accepted.
        sentence: for people, with the exchange's own words at its end; '' when accepted.
        pause: what has to stop sending.
        retry_after_s: for how many seconds; None with a pause = until the account's row changes.
        resync_clock: measure the exchange's clock again before the next request.
        alarm: a person should look at it.
        endpoint_failed: it counts towards the pause of the address (PROTOCOL 8).
        source: the documentation that decides it.

    """

    outcome: OutcomeT
    reason_code: str
    sentence: str
    source: str
    pause: Pause | None = None
    retry_after_s: float | None = None
    resync_clock: bool = False
    alarm: bool = False
    endpoint_failed: bool = False


_ACCEPTED: Final = Classification(AttemptOutcome.ACCEPTED, "", "", "PROTOCOL 5")


def classify(
    market: Market,
    status: int,
    body: object,
    expected: Expected,
    *,
    retry_after: str | None = None,
    now_exchange_ms: int | None = None,
) -> Classification[AttemptOutcome]:
    """Classify the answer to an order just sent.

    Args:
        market: whose answer it is.
        status: HTTP status.
        body: the parsed JSON, or None when it is not JSON.
        expected: the order that was sent.
        retry_after: the `Retry-After` header, if any.
        now_exchange_ms: the exchange's clock, to read the end of a ban that its message names.

    """
    if 200 <= status < 300 and shows(body, expected):
        return _ACCEPTED
    code, message = _error(body)
    row = PLACE.find(market, status, code, message)
    if row is None:
        return Classification(
            AttemptOutcome.UNKNOWN,
            "unlisted",
            UNCERTAIN + "it gave an answer that is in no documentation." + _quote(status, code, message),
            "PROTOCOL 5",
            alarm=True,
        )
    return _from_row(row, status, code, message, retry_after, now_exchange_ms)


def classify_query(
    market: Market,
    status: int,
    body: object,
    expected: Expected,
    *,
    full_page: int | None = None,
    retry_after: str | None = None,
    now_exchange_ms: int | None = None,
) -> Classification[QueryOutcome]:
    """Classify the answer to a question about an order, for one order or for a list.

    Args:
        market: whose answer it is.
        status: HTTP status.
        body: the parsed JSON, or None when it is not JSON.
        expected: the order that was asked about.
        full_page: the limit a list was asked with; a list that long may have been cut, so it proves nothing.
        retry_after: the `Retry-After` header, if any.
        now_exchange_ms: the exchange's clock.

    """
    if status == 200:
        return _read_answer(body, expected, full_page)
    code, message = _error(body)
    row = QUERY.find(market, status, code, message)
    if row is None:
        return Classification(
            QueryOutcome.FAILED,
            "unanswered",
            "The question was not answered." + _quote(status, code, message),
            "PROTOCOL 7",
        )
    return _from_row(row, status, code, message, retry_after, now_exchange_ms)


def classify_cancel(
    market: Market,
    status: int,
    body: object,
    expected: Expected,
    *,
    retry_after: str | None = None,
    now_exchange_ms: int | None = None,
) -> Classification[CancelOutcome]:
    """Classify the answer to a cancel.

    Args:
        market: whose answer it is.
        status: HTTP status.
        body: the parsed JSON, or None when it is not JSON.
        expected: the order to be cancelled.
        retry_after: the `Retry-After` header, if any.
        now_exchange_ms: the exchange's clock.

    """
    if status == 200 and _is_canceled(market, body, expected):
        return Classification(CancelOutcome.CANCELED, "", "", "PROTOCOL 9")
    code, message = _error(body)
    row = CANCEL.find(market, status, code, message)
    if row is None:
        return Classification(
            CancelOutcome.UNKNOWN,
            "unanswered",
            "Whether the order was cancelled is not known; it is asked and the cancel repeated."
            + _quote(status, code, message),
            "PROTOCOL 9",
        )
    return _from_row(row, status, code, message, retry_after, now_exchange_ms)


def classify_failure(reason: str, bytes_written: int | None) -> Classification[AttemptOutcome]:
    """Classify a request that brought no answer.

    Args:
        reason: label of what happened, as our transport reports it.
        bytes_written: how many bytes of the request our socket took; None when nobody can say.

    """
    failure = FAILURES.get(reason)
    why = failure.why if failure else "the connection failed"
    never = bytes_written == 0
    return Classification(
        AttemptOutcome.NOT_SENT if never else AttemptOutcome.UNKNOWN,
        f"transport_{reason}",
        (NOT_TAKEN + f"{why}; nothing was sent.") if never else (UNCERTAIN + f"{why}."),
        failure.source if failure else "PROTOCOL 5",
        alarm=failure is None or reason == "bad_request",
        endpoint_failed=failure is None or failure.endpoint_failed,
    )


def shows(body: object, expected: Expected) -> bool:
    """Whether a body is the expected order: its client order id and symbol, to the letter (PROTOCOL 5)."""
    return (
        isinstance(body, dict)
        and body.get("symbol") == expected.symbol
        and expected.client_order_id in (body.get("clientOrderId"), body.get("clientAlgoId"))
    )


def find_order(listing: object, expected: Expected) -> Mapping[str, object] | None:
    """Pick the expected order out of a list of orders; None when it is not in there."""
    if not isinstance(listing, list):
        return None
    return next((order for order in listing if shows(order, expected)), None)


def _read_answer(body: object, expected: Expected, full_page: int | None) -> Classification[QueryOutcome]:
    found = Classification(QueryOutcome.FOUND, "", "", "PROTOCOL 7")
    failed = QueryOutcome.FAILED
    if not isinstance(body, list):
        if shows(body, expected):
            return found
        why = "The question was answered with something that is not the order asked about."
        return Classification(failed, "unreadable_answer", why, "PROTOCOL 5", alarm=True)
    if find_order(body, expected) is not None:
        return found
    if not all(isinstance(order, dict) and "symbol" in order for order in body):
        why = "The question was answered with something that is not a list of orders."
        return Classification(failed, "unreadable_answer", why, "PROTOCOL 5", alarm=True)
    if full_page is not None and len(body) >= full_page:
        why = "The list of orders is as long as was asked for, so the order may be on its next page."
        return Classification(failed, "list_cut", why, "PROTOCOL 7")
    why = "The order is not in the list at this moment, which proves nothing by itself."
    return Classification(QueryOutcome.EMPTY, "not_found", why, "PROTOCOL 7")


def _is_canceled(market: Market, body: object, expected: Expected) -> bool:
    if not isinstance(body, dict):
        return False
    if "algoId" in body:  # this answer carries no symbol (Futures docs, "Cancel Algo Order")
        return body.get("clientAlgoId") == expected.client_order_id and str(body.get("code")) == "200"
    # On spot, clientOrderId is the cancel's own (Spot docs, "Cancel order").
    own = "origClientOrderId" if market is Market.SPOT else "clientOrderId"
    return (
        body.get(own) == expected.client_order_id
        and body.get("symbol") == expected.symbol
        and body.get("status") == "CANCELED"
    )


def _error(body: object) -> tuple[int | None, str]:
    if not isinstance(body, dict):
        return None, ""
    code, message = body.get("code"), body.get("msg")
    return (code if type(code) is int else None), (message if isinstance(message, str) else "")


def _from_row(
    row: Row[OutcomeT],
    status: int,
    code: int | None,
    message: str,
    retry_after: str | None,
    now_exchange_ms: int | None,
) -> Classification[OutcomeT]:
    return Classification(
        row.outcome,
        row.reason,
        row.sentence + _quote(status, code, message),
        row.source,
        pause=row.pause,
        retry_after_s=_pause_s(row, message, retry_after, now_exchange_ms),
        resync_clock=row.resync_clock,
        alarm=row.alarm,
    )


def _pause_s(
    row: Row[OutcomeT], message: str, retry_after: str | None, now_exchange_ms: int | None
) -> float | None:
    """Take the header, else the ban's end in the message, else the row's own; a key waits for its owner."""
    if row.pause is None or row.pause is Pause.KEY:
        return None
    if retry_after is not None and re.fullmatch(r"\d{1,9}(\.\d{1,3})?", retry_after.strip()):
        return min(float(retry_after), MAX_PAUSE_S)
    banned = _BANNED_UNTIL.search(message)
    if banned and now_exchange_ms is not None:
        return min(max((int(banned[1]) - now_exchange_ms) / 1000, 1.0), MAX_PAUSE_S)
    return row.pause_s


def _quote(status: int, code: int | None, message: str) -> str:
    """Repeat the exchange's own words, made fit for a line of text."""
    shown = "".join(c if c.isprintable() else " " for c in message[:SHOWN_LENGTH]).strip()
    words = " ".join(part for part in ("" if code is None else str(code), shown) if part)
    return f" [HTTP {status}: {words}]" if words else f" [HTTP {status}]"
