"""PROTOCOL 5: the classification table, whole: what the exchange can answer, by status, code and message.

What is not in it is `unknown`. Three parts: orders just sent, questions about orders, cancels. Beside them
stands what our transport reports when no answer came.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.domain import answers_futures, answers_spot
from shared.domain.answers_row import (
    BUSINESS,
    KEY_REFUSED,
    NOT_TAKEN,
    REFUSED,
    SERVER_ERRORS,
    UNCERTAIN,
    CancelOutcome,
    OutcomeT,
    Pause,
    Place,
    QueryOutcome,
    Row,
    Table,
)
from shared.domain.order import Market
from shared.domain.states import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DOCS: Final = MappingProxyType(
    {
        Market.SPOT: "Binance Spot API docs, General API information: HTTP return codes",
        Market.FUTURES: "Binance USDS-M Futures docs, General Info: HTTP return codes",
    }
)
_LIMITS: Final = MappingProxyType(
    {
        Market.SPOT: "Binance Spot API docs, General API information: LIMITS",
        Market.FUTURES: "Binance USDS-M Futures docs, General Info: LIMITS",
    }
)
_CODES: Final = MappingProxyType({Market.SPOT: answers_spot.CODES, Market.FUTURES: answers_futures.CODES})

# How long to stop where the answer itself names no time (futures document no Retry-After).
_BLOCKED_S: Final = 60.0
_BANNED_S: Final = 120.0  # the shortest ban the exchange names
_WEIGHT_S: Final = 60.0  # request weight is counted by the minute
_ORDERS_S: Final = 10.0  # orders are counted by ten seconds


def _place_rows(market: Market) -> Iterable[Place]:
    """Rows by status: those that speak before the engine, whatever the body, and those that say nothing."""
    no, unknown = AttemptOutcome.NOT_SENT, AttemptOutcome.UNKNOWN
    docs, limits, codes = _DOCS[market], _LIMITS[market], _CODES[market]
    yield Row(
        market, (400,), -1021, None, no, "clock",
        NOT_TAKEN + "its timestamp did not fit the exchange's clock. The clock is measured again.", codes,
        resync_clock=True,
    )  # fmt: skip
    yield Row(
        market, (400, 429), -1015, None, no, "order_limit",
        NOT_TAKEN + "the account has placed as many orders as it may for now.", limits,
        pause=Pause.ACCOUNT, pause_s=_ORDERS_S,
    )  # fmt: skip
    yield Row(
        market, (403,), None, None, no, "blocked",
        NOT_TAKEN + "its firewall blocked the request. Ask Binance's support if it stays so.", docs,
        pause=Pause.ADDRESS, pause_s=_BLOCKED_S, alarm=True,
    )  # fmt: skip
    yield Row(
        market, (418,), None, None, no, "banned",
        NOT_TAKEN + "this machine's IP address is banned for sending too much.", limits,
        pause=Pause.ADDRESS, pause_s=_BANNED_S, alarm=True,
    )  # fmt: skip
    for code in (-1003, None):
        yield Row(
            market, (429,), code, None, no, "request_limit",
            NOT_TAKEN + "this machine's IP address has used up its request weight for now.", limits,
            pause=Pause.ADDRESS, pause_s=_WEIGHT_S,
        )  # fmt: skip
    yield Row(
        market, (451,), 0, None, AttemptOutcome.REJECTED, "exchange_region",
        REFUSED + "it does not serve the location of this machine. Run the bridge elsewhere.",
        "seen on production from a restricted location", pause=Pause.ADDRESS, pause_s=_BLOCKED_S, alarm=True,
    )  # fmt: skip
    yield Row(
        market, SERVER_ERRORS, None, None, unknown, "server_error",
        UNCERTAIN + "an error on its side, after which the execution status is unknown.", docs,
    )  # fmt: skip
    yield Row(
        market,
        (408,),
        None,
        None,
        unknown,
        "engine_timeout",
        UNCERTAIN + "its backend did not answer in time.",
        docs,
    )
    yield Row(
        market, tuple(range(200, 300)), None, None, unknown, "unreadable_answer",
        UNCERTAIN + "its answer is not the order that was sent.", docs, alarm=True,
    )  # fmt: skip
    for statuses, why in (
        (tuple(range(300, 400)), "it redirected the request elsewhere."),
        ((400, 401, 404, 405, 410), "its answer carries no code that says what happened."),
        ((409, 413, 414, 415, 422, 451), "it answered with a status it does not document for orders."),
    ):
        yield Row(market, statuses, None, None, unknown, "no_code", UNCERTAIN + why, docs, alarm=True)


class _Effect(NamedTuple):
    """What an answer to any signed request says beyond the request itself."""

    statuses: tuple[int, ...]
    code: int | None
    reason: str
    why: str
    pause: Pause | None = None
    pause_s: float | None = None


def _effects(market: Market) -> Iterable[_Effect]:
    yield _Effect(BUSINESS, -1021, "clock", "its timestamp did not fit the exchange's clock.")
    if market is Market.FUTURES:
        yield _Effect(BUSINESS, -5028, "clock", "it reached the matching engine after its deadline.")
    yield _Effect(KEY_REFUSED, -2014, "exchange_key", "the API key is not accepted.", Pause.KEY)
    yield _Effect(
        KEY_REFUSED, -2015, "exchange_key", "the API key, IP or permission is not accepted.", Pause.KEY
    )
    yield _Effect(KEY_REFUSED, -1022, "exchange_signature", "the signature is wrong.", Pause.KEY)
    yield _Effect((403,), None, "blocked", "the exchange's firewall blocked it.", Pause.ADDRESS, _BLOCKED_S)
    yield _Effect((418,), None, "banned", "this machine's IP address is banned.", Pause.ADDRESS, _BANNED_S)
    yield _Effect((429,), None, "request_limit", "the request weight is used up.", Pause.ADDRESS, _WEIGHT_S)
    yield _Effect(
        (429,), -1015, "order_limit", "the account's order limit is used up.", Pause.ACCOUNT, _ORDERS_S
    )


def _row(market: Market, effect: _Effect, outcome: OutcomeT, lead: str) -> Row[OutcomeT]:
    return Row(
        market,
        effect.statuses,
        effect.code,
        None,
        outcome,
        effect.reason,
        lead + effect.why,
        _DOCS[market] if effect.code is None else _CODES[market],
        pause=effect.pause,
        pause_s=effect.pause_s,
        resync_clock=effect.reason == "clock",
        alarm=effect.pause is Pause.KEY,
    )


def _query_rows(market: Market) -> Iterable[Row[QueryOutcome]]:
    codes = _CODES[market]
    for effect in _effects(market):
        yield _row(market, effect, QueryOutcome.FAILED, "The question was not answered: ")
    yield Row(
        market, BUSINESS, -2013, None, QueryOutcome.EMPTY, "not_found",
        "Binance does not show the order at this moment, which proves nothing by itself.", codes,
    )  # fmt: skip
    if market is Market.SPOT:
        yield Row(
            market, BUSINESS, -2026, None, QueryOutcome.EXISTED, "archived",
            "The order existed, ended without a fill more than 90 days ago and was archived.", codes,
        )  # fmt: skip


def _cancel_rows(market: Market) -> Iterable[Row[CancelOutcome]]:
    codes = _CODES[market]
    for effect in _effects(market):
        yield _row(market, effect, CancelOutcome.NOT_TAKEN, "The cancel was not taken in: ")
    gone = "The order is not open at the exchange: it filled, ended, or was never there; it is asked which."
    yield Row(market, BUSINESS, -2011, "Unknown order sent.", CancelOutcome.NOT_OPEN, "not_open", gone, codes)
    yield Row(market, BUSINESS, -2013, None, CancelOutcome.NOT_OPEN, "not_open", gone, codes)
    if market is Market.FUTURES:
        yield Row(market, BUSINESS, -2011, "CANCEL_REJECTED", CancelOutcome.NOT_OPEN, "not_open", gone, codes)
        yield Row(
            market, BUSINESS, -4117, None, CancelOutcome.UNKNOWN, "stop_triggering",
            "The stop order is just being triggered; what it becomes is asked and cancelled next.", codes,
        )  # fmt: skip


PLACE: Final = Table(
    (*answers_spot.ROWS, *answers_futures.ROWS, *(row for market in Market for row in _place_rows(market)))
)
"""Answers to an order just sent."""

QUERY: Final = Table(row for market in Market for row in _query_rows(market))
"""Answers to a question about one order; whatever is not in it is no answer at all."""

CANCEL: Final = Table(row for market in Market for row in _cancel_rows(market))
"""Answers to a cancel; whatever is not in it leaves open whether the order still rests."""

ROWS: Final[tuple[Place, ...]] = PLACE.rows
"""Every row for an order just sent; each can be rendered with `Row.example`."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What one way of getting no answer means.

    Args:
        reason: label, as our transport reports it.
        why: for people, half a sentence.
        endpoint_failed: it speaks against the address, so it counts towards its pause (PROTOCOL 8).
        source: why it is so.

    """

    reason: str
    why: str
    endpoint_failed: bool
    source: str


_OURS: Final = "PROTOCOL 5: our transport's own word"
FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        failure.reason: failure
        for failure in (
            Failure("bad_request", "the request cannot be written as HTTP", False, _OURS),
            Failure("no_free_connection", "every connection stayed busy", False, _OURS),
            Failure("dns", "the exchange's name could not be resolved", True, _OURS),
            Failure("connect", "no connection to the exchange could be made", True, _OURS),
            Failure("connect_timeout", "connecting to the exchange took too long", True, _OURS),
            Failure("tls", "the exchange's certificate or TLS handshake failed", True, _OURS),
            Failure("too_late", "less than half of its time window was left", False, "PROTOCOL 4"),
            Failure("reset", "the connection was reset", True, _OURS),
            Failure("closed", "the exchange closed the connection before its answer was whole", True, _OURS),
            Failure("write", "the request could not be written to the connection", True, _OURS),
            Failure("silence", "no whole answer came in time", True, _OURS),
            Failure("framing", "what came back is not one HTTP answer", True, _OURS),
            Failure("too_large", "the answer was too large", False, _OURS),
            Failure("closed_here", "the bridge was stopping", False, _OURS),
            Failure("cancelled", "the bridge stopped waiting for the answer", False, "PROTOCOL 4"),
            Failure("lease_expired", "its worker stopped or froze while sending", False, "PROTOCOL 7"),
        )
    }
)
"""Every way of getting no answer; whether a byte was written decides the outcome, never the reason."""
