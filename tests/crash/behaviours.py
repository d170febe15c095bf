"""What the exchange does with an order and with the questions about it: one axis of the crash matrix.

Delays are shares of the run's scale, so that the same behaviour can be run at real times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from tests.crash.careless_proxy import OnTheWay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.crash.scale import Scale

    Faults = Callable[[Scale], list[Mapping[str, Any]]]

ORDER = "/api/v3/order|/fapi/v1/(o|algoO)rder"
QUESTIONS = (
    "/api/v3/(order|openOrders|allOrders|myTrades)"
    "|/fapi/v1/(order|openOrders|allOrders|userTrades|algoOrder|openAlgoOrders|allAlgoOrders)"
)


class Answered(Enum):
    """What the first POST brings a worker that lives."""

    CLEARLY = auto()  # accepted, rejected or proven not sent
    NOT = auto()  # its outcome is unknown; asking tells at once
    NOT_AND_ABSENT = auto()  # unknown, and the order is not there
    NOT_FOR_LONG = auto()  # unknown, and asking does not tell either, for a while or for ever


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way the exchange may behave.

    Args:
        name: shown with results.
        faults: rules of the local exchange, for one account.
        rests: the row is a limit order far from the market instead of a market order; it does not matter for
            a conditional one, which always waits.
        answered: what the first POST brings.
        refuses: the account has no money, so that the exchange refuses every order.
        stays_unknown: questions are never answered: `unknown`, an alert, nothing re-sent is the right end.
        on_the_way: what a careless proxy does to the first POST; None = there is no proxy.

    """

    name: str
    faults: Faults = field(default=lambda _: [])
    rests: bool = False
    answered: Answered = Answered.CLEARLY
    refuses: bool = False
    stays_unknown: bool = False
    on_the_way: OnTheWay | None = None

    @property
    def may_reject(self) -> bool:
        """Whether some POST is refused, so that a rejected row is a right end."""
        return self.name.startswith("rejects")


def post(action: str, **more: Any) -> dict[str, Any]:
    """Describe what happens to the first POST only."""
    return {"action": action, "method": "POST", "route": ORDER, "count": 1, **more}


def get(action: str, **more: Any) -> dict[str, Any]:
    """Describe what happens to questions."""
    return {"action": action, "method": "GET", "route": QUESTIONS, **more}


def only(*rules: Mapping[str, Any]) -> Faults:
    """Make faults that do not depend on the scale."""
    return lambda _: list(rules)


SERVICE_UNAVAILABLE = {"status": 503, "body": '{"code":-1000,"msg":"Service Unavailable."}'}
BAD_GATEWAY = {"status": 502, "body": "<html>Bad Gateway</html>", "headers": {"Content-Type": "text/html"}}
TIMEOUT_WAITING = {
    "status": 504,
    "body": '{"code":-1007,"msg":"Timeout waiting for response from backend server."}',
}
NO_MONEY = {
    "status": 400,
    "body": '{"code":-2010,"msg":"Account has insufficient balance for requested action."}',
}
# On futures the text of a 503 decides; the numeric code beside it is not documented.
EXECUTION_UNKNOWN = {
    "status": 503,
    "body": '{"code":-1000,"msg":"Unknown error, please check your request or try again later."}',
}
NOT_PROCESSED = {"status": 503, "body": '{"code":-1000,"msg":"Service Unavailable."}'}
NO_MARGIN = {"status": 400, "body": '{"code":-2019,"msg":"Margin is insufficient."}'}
BROKEN = {
    "status": 500,
    "body": '{"code":-1000,"msg":"An unknown error occurred while processing the request."}',
}


def _lagging(scale: Scale) -> list[Mapping[str, Any]]:
    """Accepted at once, no answer, and the order shows only at the end of the lag that is allowed for."""
    return [post("drop_after"), get("lag", ms=scale.query_lag_s * 960)]


def _late_and_lagging(scale: Scale) -> list[Mapping[str, Any]]:
    """Everything as late as the waits allow.

    Into the window's last moment, long in the engine, never answered, and then seen by no question before the
    wait for an account without a verified stream is nearly over.
    """
    window = scale.recv_window_ms
    seen_ms = (scale.absence_s - scale.engine_delay_s) * 1000 - window
    return [
        post("delay_forward", ms=window * 0.84),
        post("delay_engine", ms=scale.engine_delay_s * 800),
        post("never_after"),
        get("lag", ms=seen_ms * 0.95),
    ]


BEHAVIOURS = (
    Behaviour("accepts and fills"),
    Behaviour("accepts and rests", rests=True),
    Behaviour("rejects", refuses=True),
    Behaviour("rejects once, then rests", only(post("answer_before", **NO_MONEY)), rests=True),
    Behaviour("request lost", only(post("drop_before")), answered=Answered.NOT_AND_ABSENT),
    Behaviour("request swallowed", only(post("never_before")), rests=True, answered=Answered.NOT_AND_ABSENT),
    Behaviour("answer lost, filled", only(post("drop_after")), answered=Answered.NOT),
    Behaviour("answer lost, rests", only(post("drop_after")), rests=True, answered=Answered.NOT),
    Behaviour("answer swallowed", only(post("never_after")), answered=Answered.NOT),
    Behaviour("answer cut", only(post("truncate", bytes=40)), rests=True, answered=Answered.NOT),
    Behaviour("5xx after filling", only(post("answer_after", **BAD_GATEWAY)), answered=Answered.NOT),
    Behaviour(
        "5xx after accepting",
        only(post("answer_after", **TIMEOUT_WAITING)),
        rests=True,
        answered=Answered.NOT,
    ),
    Behaviour(
        "5xx without accepting",
        only(post("answer_before", **SERVICE_UNAVAILABLE)),
        answered=Answered.NOT_AND_ABSENT,
    ),
    Behaviour("-2013 lag", _lagging, answered=Answered.NOT_FOR_LONG),
    Behaviour("last moment and lag", _late_and_lagging, rests=True, answered=Answered.NOT_FOR_LONG),
    Behaviour(
        "queries fail, order there",
        only(post("drop_after"), get("answer_before", **BROKEN)),
        rests=True,
        answered=Answered.NOT_FOR_LONG,
        stays_unknown=True,
    ),
    Behaviour(
        "queries fail, order not there",
        only(post("drop_before"), get("answer_before", **BROKEN)),
        answered=Answered.NOT_FOR_LONG,
        stays_unknown=True,
    ),
    Behaviour(
        "queries fail, then answer",
        only(post("drop_after"), get("answer_before", count=5, **BROKEN)),
        answered=Answered.NOT_FOR_LONG,
    ),
    Behaviour(
        "queries never answered",
        only(post("drop_after"), get("never_before")),
        answered=Answered.NOT_FOR_LONG,
        stays_unknown=True,
    ),
    Behaviour(
        "answer after we gave up",
        lambda scale: [post("delay_answer", ms=scale.answer_timeout_s * 1500)],
        answered=Answered.NOT,
    ),
    Behaviour(
        "into the window's last moment",
        lambda scale: [post("delay_forward", ms=scale.recv_window_ms * 0.8)],
        rests=True,
    ),
    Behaviour(
        "past the window", lambda scale: [post("delay_arrival", ms=scale.recv_window_ms * 1.4)], rests=True
    ),
    Behaviour("POST repeated on the way", rests=True, answered=Answered.NOT, on_the_way=OnTheWay.REPEATED),
    Behaviour(
        "connection cut, order late",
        lambda scale: [rule for rule in _late_and_lagging(scale) if rule["action"] != "never_after"],
        answered=Answered.NOT_FOR_LONG,
        on_the_way=OnTheWay.CUT,
    ),
)

BY_NAME = {behaviour.name: behaviour for behaviour in BEHAVIOURS}

# What differs on futures, and what has to hold there as well.
ON_FUTURES = (
    BY_NAME["accepts and fills"],
    BY_NAME["accepts and rests"],
    Behaviour("rejects", only({**post("answer_before", **NO_MARGIN), "count": None}), rests=True),
    BY_NAME["request lost"],
    BY_NAME["answer lost, filled"],
    Behaviour("503 after accepting", only(post("answer_after", **EXECUTION_UNKNOWN)), answered=Answered.NOT),
    Behaviour(
        "503 without accepting",
        only(post("answer_before", **EXECUTION_UNKNOWN)),
        answered=Answered.NOT_AND_ABSENT,
    ),
    Behaviour("503 not processed", only(post("answer_before", **NOT_PROCESSED)), rests=True),
    BY_NAME["-2013 lag"],
    BY_NAME["last moment and lag"],
    Behaviour("late in the engine", lambda scale: [post("hold", ms=scale.recv_window_ms * 1.4)], rests=True),
    BY_NAME["queries fail, order there"],
)
# A conditional order never fills at once; nothing documents a check in the engine that it could be late for.
ON_ALGO = tuple(one for one in ON_FUTURES if one.name not in ("accepts and fills", "late in the engine"))
