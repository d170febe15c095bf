"""Faults on purpose: rules that match requests and events, and what they do to them."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What a rule does. Those on requests come in the order of a request's life."""

    DELAY_ARRIVAL = "delay_arrival"
    DROP_BEFORE = "drop_before"
    NEVER_BEFORE = "never_before"
    ANSWER_BEFORE = "answer_before"
    LAG = "lag"
    DELAY_FORWARD = "delay_forward"
    HOLD = "hold"
    DELAY_ENGINE = "delay_engine"
    DELAY_ANSWER = "delay_answer"
    DROP_AFTER = "drop_after"
    NEVER_AFTER = "never_after"
    ANSWER_AFTER = "answer_after"
    TRUNCATE = "truncate"
    EVENT_LOSE = "event_lose"
    EVENT_DUPLICATE = "event_duplicate"
    EVENT_DELAY = "event_delay"
    EVENT_REORDER = "event_reorder"


ON_EVENTS = frozenset({Action.EVENT_LOSE, Action.EVENT_DUPLICATE, Action.EVENT_DELAY, Action.EVENT_REORDER})
TIMED = frozenset(
    {
        Action.DELAY_ARRIVAL,
        Action.DELAY_FORWARD,
        Action.HOLD,
        Action.DELAY_ENGINE,
        Action.DELAY_ANSWER,
        Action.LAG,
        Action.EVENT_DELAY,
    }
)
KNOWN_FIELDS = frozenset(
    [
        "action",
        "method",
        "route",
        "account",
        "symbol",
        "client_id",
        "event",
        "probability",
        "count",
        "seed",
        "ms",
        "status",
        "headers",
        "body",
        "bytes",
    ]
)


@dataclass(slots=True)
class Rule:
    """One rule. Patterns are regular expressions over the whole value; an absent one matches everything.

    Args:
        id: number by which the admin API knows it.
        action: what to do.
        method: HTTP method, or `WS` for the WebSocket API.
        route: path, or WebSocket API method.
        account: account name.
        symbol: symbol.
        client_id: client order id.
        event: execution type (`TRADE`) or event name (`outboundAccountPosition`).
        probability: chance that a match counts.
        left: how often it may still apply; None without end.
        ms: milliseconds, for delays and lags.
        status: HTTP status of a made-up answer.
        headers: headers of a made-up answer.
        body: body of a made-up answer, sent as it is.
        size: bytes of the body that a truncated answer still sends.

    """

    id: int
    action: Action
    method: re.Pattern[str] | None
    route: re.Pattern[str] | None
    account: re.Pattern[str] | None
    symbol: re.Pattern[str] | None
    client_id: re.Pattern[str] | None
    event: re.Pattern[str] | None
    probability: float
    left: int | None
    ms: float
    status: int
    headers: dict[str, str]
    body: str
    size: int
    chance: random.Random
    applied: int = 0

    def takes(self) -> bool:
        """Decide by probability and count whether a match applies, and count it."""
        if self.left == 0:
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        if self.left is not None:
            self.left -= 1
        self.applied += 1
        return True


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen to one request."""

    rules: dict[Action, Rule] = field(default_factory=dict)

    def seconds(self, action: Action) -> float:
        """How long a delay lasts; zero without such a rule."""
        rule = self.rules.get(action)
        return 0.0 if rule is None else rule.ms / 1000

    def lag_ms(self) -> float:
        """How old an order must be to be seen."""
        rule = self.rules.get(Action.LAG)
        return 0.0 if rule is None else rule.ms


NO_PLAN = Plan()


class Faults:
    """The rules in force, in the order they were added; of each action the first that matches applies."""

    def __init__(self) -> None:
        self.on_requests: list[Rule] = []
        self.on_events: list[Rule] = []
        self._next_id = 1

    def add(self, description: dict[str, Any]) -> Rule:
        """Add a rule.

        Raises:
            ValueError: an unknown action or field, or a pattern that does not compile.

        """
        unknown = set(description) - KNOWN_FIELDS
        if unknown:
            raise ValueError(f"Unknown fields {sorted(unknown)}; known are {sorted(KNOWN_FIELDS)}.")
        action = Action(description["action"])
        if action in TIMED and "ms" not in description:
            raise ValueError(f"Action {action} needs 'ms'.")
        count = description.get("count")
        rule = Rule(
            id=self._next_id,
            action=action,
            method=_pattern(description, "method"),
            route=_pattern(description, "route"),
            account=_pattern(description, "account"),
            symbol=_pattern(description, "symbol"),
            client_id=_pattern(description, "client_id"),
            event=_pattern(description, "event"),
            probability=float(description.get("probability", 1.0)),
            left=None if count is None else int(count),
            ms=float(description.get("ms", 0)),
            status=int(description.get("status", 200)),
            headers={str(k): str(v) for k, v in description.get("headers", {}).items()},
            body=str(description.get("body", "")),
            size=int(description.get("bytes", 20)),
            chance=random.Random(f"fault:{description.get('seed', 0)}"),
        )
        self._next_id += 1
        (self.on_events if action in ON_EVENTS else self.on_requests).append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules."""
        self.on_requests.clear()
        self.on_events.clear()

    def remove(self, rule_id: int) -> bool:
        """Remove one rule; whether there was one."""
        for rules in (self.on_requests, self.on_events):
            for rule in rules:
                if rule.id == rule_id:
                    rules.remove(rule)
                    return True
        return False

    def plan(self, method: str, route: str, account: str, symbol: str, client_id: str) -> Plan:
        """Return what happens to a request."""
        chosen: dict[Action, Rule] = {}
        for rule in self.on_requests:
            if (
                rule.action not in chosen
                and _fits(rule.method, method)
                and _fits(rule.route, route)
                and _fits(rule.account, account)
                and _fits(rule.symbol, symbol)
                and _fits(rule.client_id, client_id)
                and rule.takes()
            ):
                chosen[rule.action] = rule
        return Plan(chosen) if chosen else NO_PLAN

    def event_plan(self, account: str, symbol: str, client_id: str, event: str) -> Plan:
        """Return what happens to an event on its way to the sockets."""
        chosen: dict[Action, Rule] = {}
        for rule in self.on_events:
            if (
                rule.action not in chosen
                and _fits(rule.account, account)
                and _fits(rule.symbol, symbol)
                and _fits(rule.client_id, client_id)
                and _fits(rule.event, event)
                and rule.takes()
            ):
                chosen[rule.action] = rule
        return Plan(chosen) if chosen else NO_PLAN

    def shown(self) -> list[dict[str, Any]]:
        """Return the rules as the admin API lists them."""
        return [
            {"id": rule.id, "action": str(rule.action), "applied": rule.applied, "left": rule.left}
            for rule in (*self.on_requests, *self.on_events)
        ]


def _pattern(description: dict[str, Any], name: str) -> re.Pattern[str] | None:
    text = description.get(name)
    if text is None:
        return None
    try:
        return re.compile(str(text))
    except re.error as broken:
        raise ValueError(f"'{name}' is not a regular expression: {broken}.") from broken


def _fits(pattern: re.Pattern[str] | None, value: str) -> bool:
    return pattern is None or pattern.fullmatch(value) is not None
