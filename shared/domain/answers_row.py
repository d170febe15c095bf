"""PROTOCOL 5: what one row of the classification table is, and how it finds its answer.

A row says what an HTTP answer means for the one request it belongs to. Rows are keyed by market, HTTP status,
code and message; `answers` holds them all.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from shared.domain.states import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.domain.order import Market

REFUSED: Final = "Binance refused the order: "
UNCERTAIN: Final = "Binance did not say what became of the order, so it is being asked: "
NOT_TAKEN: Final = "Binance did not take the order in, it will be sent again: "

BUSINESS: Final = (400,)
"""The HTTP status of an error with a code (Spot docs, "HTTP return codes"; futures docs, "General Info")."""
KEY_REFUSED: Final = (400, 401)
SERVER_ERRORS: Final = tuple(range(500, 600))


class Pause(StrEnum):
    """What has to stop sending after an answer (`pause.scope`)."""

    ADDRESS = "address"
    ACCOUNT = "account"
    KEY = "key"


class QueryOutcome(StrEnum):
    """What one question about an order brought (PROTOCOL 7)."""

    FOUND = "found"
    EMPTY = "empty"  # not there *now*: no proof of absence by itself
    EXISTED = "existed"  # it was there and has been archived
    FAILED = "failed"  # unanswered: counts for nothing


class CancelOutcome(StrEnum):
    """What one cancel request brought (PROTOCOL 9)."""

    CANCELED = "canceled"
    NOT_OPEN = "not_open"  # filled, ended or not there: ask which
    NOT_TAKEN = "not_taken"  # refused before it was looked at: repeat after the pause
    UNKNOWN = "unknown"  # ask, and repeat


OutcomeT = TypeVar("OutcomeT", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class ExampleAnswer:
    """A row as the exchange would send it.

    Args:
        status: HTTP status.
        content_type: of the body.
        body: as sent.

    """

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Row(Generic[OutcomeT]):
    """One row of the table.

    Args:
        market: whose answer it is.
        statuses: HTTP statuses it holds for.
        code: the exchange's error code; None = whatever the code, or none.
        message: the exchange's text, `%s` for a part that varies; None = whatever the text.
        outcome: what the answer means.
        reason: label for metrics and scripts.
        sentence: for people; says what to do where there is something to do.
        source: the page of the exchange's documentation that decides it, or the capture.
        pause: what has to stop sending.
        pause_s: seconds to stop where the answer names no time; None = until somebody changes something.
        resync_clock: our idea of the exchange's clock is wrong.
        alarm: a person should look at it.
        exact: the message must be equal to the letter; else case, a final full stop and blanks do not matter.

    """

    market: Market
    statuses: tuple[int, ...]
    code: int | None
    message: str | None
    outcome: OutcomeT
    reason: str
    sentence: str
    source: str
    pause: Pause | None = None
    pause_s: float | None = None
    resync_clock: bool = False
    alarm: bool = False
    exact: bool = False

    def says(self, message: str) -> bool:
        """Whether this row is about an answer with that message."""
        if self.message is None:
            return True
        if self.exact:
            return message == self.message
        return _pattern(self.message).fullmatch(_plain(message)) is not None

    def example(self, message: str = "") -> ExampleAnswer:
        """Render the row as an HTTP answer, under the first of its statuses.

        Args:
            message: a text for a row that holds whatever the text.

        """
        if self.code is None and self.message is None:
            page = f"<html><body><h1>{self.statuses[0]}</h1></body></html>"
            return ExampleAnswer(self.statuses[0], "text/html", page.encode())
        text = re.sub(r"%[sdb]", "1", message if self.message is None else self.message)
        body = {"msg": text} if self.code is None else {"code": self.code, "msg": text}
        return ExampleAnswer(self.statuses[0], "application/json", json.dumps(body).encode())


class Table(Generic[OutcomeT]):
    """Rows, found by key: one that names the message wins over one that names the code, that over the rest.

    Args:
        rows: in any order.

    Raises:
        ValueError: two rows have the same key.

    """

    def __init__(self, rows: Iterable[Row[OutcomeT]]) -> None:
        self.rows: Final[tuple[Row[OutcomeT], ...]] = tuple(rows)
        self._by_key: dict[tuple[Market, int, int | None], list[Row[OutcomeT]]] = {}
        keys = set()
        for row in self.rows:
            for status in row.statuses:
                key = (row.market, status, row.code, None if row.message is None else _plain(row.message))
                if key in keys:
                    raise ValueError(f"Two rows for {key}: keep one of them.")
                keys.add(key)
                self._by_key.setdefault((row.market, status, row.code), []).append(row)

    def find(self, market: Market, status: int, code: int | None, message: str) -> Row[OutcomeT] | None:
        """Find the row for an answer; None when the table has none, so that nothing is known."""
        by_code: list[Row[OutcomeT]] = []
        if code is not None:
            by_code = self._by_key.get((market, status, code), [])
        candidates = [
            row for row in (*by_code, *self._by_key.get((market, status, None), [])) if row.says(message)
        ]
        candidates.sort(key=lambda row: (row.message is None, row.code is None))
        return candidates[0] if candidates else None


def _plain(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").casefold()


@cache
def _pattern(message: str) -> re.Pattern[str]:
    parts = re.split(r"%[sdb]", _plain(message))
    return re.compile(".+".join(re.escape(part) for part in parts))


Place: TypeAlias = Row[AttemptOutcome]
"""A row about the answer to an order just sent."""


def numbers(text: str) -> tuple[int, ...]:
    """Read a list of codes written as one text."""
    return tuple(int(word) for word in text.split())


def refusals(
    market: Market,
    source: str,
    reason: str,
    why: str,
    *codes: int,
    message: str | None = None,
    statuses: tuple[int, ...] = BUSINESS,
    pause: Pause | None = None,
    alarm: bool = False,
) -> tuple[Place, ...]:
    """Rows for codes that say: this order was not placed and, as it is, never will be."""
    return tuple(
        Row(
            market,
            statuses,
            code,
            message,
            AttemptOutcome.REJECTED,
            reason,
            REFUSED + why,
            source,
            pause=pause,
            alarm=alarm,
        )
        for code in codes
    )


def uncertain(
    market: Market,
    source: str,
    reason: str,
    why: str,
    *codes: int | None,
    message: str | None = None,
    statuses: tuple[int, ...] = BUSINESS,
    alarm: bool = False,
) -> tuple[Place, ...]:
    """Rows for answers after which the order may or may not be there."""
    return tuple(
        Row(
            market,
            statuses,
            code,
            message,
            AttemptOutcome.UNKNOWN,
            reason,
            UNCERTAIN + why,
            source,
            alarm=alarm,
        )
        for code in codes
    )
