"""One call on its way through the exchange, the same for REST and WebSocket API.

A call is a generator: it yields the seconds it wants to wait and returns its result. Whoever drives it
decides how to wait, so nothing in here touches a socket or a timer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from services.local_exchange.errors import ExchangeError, missing
from services.local_exchange.faults import NO_PLAN, Action, Plan, Rule
from services.local_exchange.parameters import Params, illegal, refuse_unread, require

if TYPE_CHECKING:
    from services.local_exchange.accounts import Account
    from services.local_exchange.exchange import Exchange
    from services.local_exchange.ledger import RequestRecord
    from services.local_exchange.rate_limits import RateLimits
    from services.local_exchange.venue import Venue

Steps = Generator[float, None, Any]

DEFAULT_WINDOW_US = 5_000_000
LONGEST_WINDOW_MS = 60_000
AHEAD_US = 1_000_000
EARLIEST_US = 1_483_228_800_000_000  # 2017-01-01, Binance changelog 2024-12-09
MICROSECONDS_FROM = 10**14
_api_key = re.compile(r"[A-Za-z0-9_\-]{1,128}\Z").match
_window = re.compile(r"[0-9]{1,20}(\.[0-9]{1,3})?\Z").match

AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."
LATE = "Timestamp for this request is outside of the recvWindow."


class Security(Enum):
    """What a call needs to be allowed."""

    NONE = auto()
    SIGNED = auto()
    KEYED = auto()


@dataclass(frozen=True, slots=True)
class Operation:
    """Something a client may ask for.

    Args:
        handler: computes the result; a generator function where `waits`.
        security: what the call needs.
        weight: request weight, or how to compute it from the parameters.
        mandatory: parameters that must be there.
        optional: parameters that may be there.
        waits: whether the handler is a generator (trading calls travel to the engine).
        free_on_success: whether a success gives the weight back.

    """

    handler: Callable[[Call], Any]
    security: Security = Security.NONE
    weight: int | Callable[[Params], int] = 1
    mandatory: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    waits: bool = False
    free_on_success: bool = False


@dataclass(slots=True, eq=False)
class Call:
    """One request and what is known about it so far. Times in epoch microseconds of the exchange's clock."""

    exchange: Exchange
    params: Params
    address: str
    api_key: str | None
    payload: bytes | None
    record: RequestRecord
    venue: Venue
    account: Account | None = None
    plan: Plan = NO_PLAN
    timestamp_us: int = 0
    window_us: int = DEFAULT_WINDOW_US
    weight: int = 0
    counts_orders: bool = False
    logged_on: bool = False

    @property
    def holder(self) -> Account:
        """The account of a call that needs one."""
        assert self.account is not None
        return self.account

    @property
    def limits(self) -> RateLimits:
        """The rate limits of the market that is called."""
        return self.venue.limits

    def check_window(self) -> None:
        """Refuse a call whose window has passed on the exchange's clock now (-1021)."""
        if self.exchange.clock.now_us() - self.timestamp_us > self.window_us:
            raise ExchangeError(-1021, LATE)

    def check_arrival(self) -> None:
        """Check the time on receipt: not too far ahead, not too late (-1021)."""
        if self.timestamp_us >= self.exchange.clock.now_us() + AHEAD_US:
            raise ExchangeError(-1021, AHEAD)
        if self.timestamp_us < EARLIEST_US:
            raise ExchangeError(-1021, LATE)
        self.check_window()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to: a result or an error, unless a fault takes the answer's place."""

    status: int
    result: Any
    error: ExchangeError | None = None
    fault: Rule | None = None


def run(call: Call, operation: Operation) -> Generator[float, None, Outcome]:
    """Take a call through its whole life, faults included."""
    plan = call.plan
    if plan is NO_PLAN:
        return (yield from _attempt(call, operation))
    if Action.DELAY_ARRIVAL in plan.rules:
        yield plan.seconds(Action.DELAY_ARRIVAL)
    for action in (Action.DROP_BEFORE, Action.NEVER_BEFORE, Action.ANSWER_BEFORE):
        if action in plan.rules:
            return Outcome(0, None, fault=plan.rules[action])
    outcome = yield from _attempt(call, operation)
    if Action.DELAY_ANSWER in plan.rules:
        yield plan.seconds(Action.DELAY_ANSWER)
    for action in (Action.DROP_AFTER, Action.NEVER_AFTER, Action.ANSWER_AFTER, Action.TRUNCATE):
        if action in plan.rules:
            return Outcome(outcome.status, outcome.result, outcome.error, plan.rules[action])
    return outcome


def _attempt(call: Call, operation: Operation) -> Generator[float, None, Outcome]:
    exchange = call.exchange
    try:
        weight = operation.weight if isinstance(operation.weight, int) else operation.weight(call.params)
        call.weight = weight
        call.limits.charge(call.address, weight, exchange.clock.now_ms())
        exchange.refuse_in_maintenance()
        authorise(call, operation)
        result = operation.handler(call)
        if operation.waits:
            result = yield from result
    except ExchangeError as error:
        return Outcome(error.status, None, error)
    if operation.free_on_success:
        call.limits.give_back(call.address, weight)
    return Outcome(200, result)


def authorise(call: Call, operation: Operation) -> None:
    """Key, mandatory parameters, account, signature, time, unread parameters: in this (assumed) order.

    Raises:
        ExchangeError: -2014, -1102, -2015, -1022, -1021, -1104 or -1105.

    """
    if operation.security is Security.NONE:
        require(call.params, operation.mandatory)
        refuse_unread(call.params, operation.optional)
        return
    if call.logged_on and "signature" not in call.params:
        _authorise_logged_on(call, operation)
        return
    if call.api_key is None or _api_key(call.api_key) is None:
        raise ExchangeError(-2014, "API-key format invalid.", 401)
    if operation.security is Security.KEYED:
        call.account = _known(call)
        return
    require(call.params, ("timestamp", "signature"))
    require(call.params, operation.mandatory)
    call.account = account = _known(call)
    if call.payload is None or not account.verifier.verify(call.payload, call.params["signature"]):
        raise ExchangeError(-1022, "Signature for this request is not valid.")
    read_times(call)
    call.check_arrival()
    refuse_unread(call.params, operation.optional)


def _known(call: Call) -> Account:
    account = call.exchange.accounts.by_key.get(call.api_key or "")
    if account is None or account.key_revoked:
        raise ExchangeError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    return account


def _authorise_logged_on(call: Call, operation: Operation) -> None:
    if call.account is None or call.account.key_revoked:
        raise ExchangeError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    require(call.params, operation.mandatory)
    if "timestamp" in call.params:
        read_times(call)
        call.check_arrival()
    else:
        call.timestamp_us = call.exchange.clock.now_us()
    refuse_unread(call.params, operation.optional)


def read_times(call: Call) -> None:
    """Read `timestamp` (milli- or microseconds) and `recvWindow` (milliseconds, up to three decimals)."""
    text = call.params["timestamp"]
    if not text.isdecimal() or not text.isascii():
        raise illegal("timestamp", "^[0-9]{1,20}$")
    stamp = int(text)
    call.timestamp_us = stamp if stamp >= MICROSECONDS_FROM else stamp * 1000
    window = call.params.get("recvWindow")
    if window is None:
        return
    if _window(window) is None:
        raise (
            missing("recvWindow") if not window else illegal("recvWindow", "^([0-9]{1,20})(\\.[0-9]{1,3})?$")
        )
    whole, _, fraction = window.partition(".")
    call.window_us = int(whole) * 1000 + int(fraction.ljust(3, "0") if fraction else 0)
    if call.window_us > LONGEST_WINDOW_MS * 1000:
        raise ExchangeError(-1131, "recvWindow must be less than 60000.")
