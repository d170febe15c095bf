"""What a request costs, what the exchange allows, and how much of it is left to one process.

Pure: `now_ms` is the exchange's clock and an argument. Windows are fixed and aligned to the exchange's clock
(Binance REST docs, "LIMITS": the minute begins at :00, ten seconds at :00, :10, …, the day at 00:00 UTC).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """What is counted; the words of `exchangeInfo`."""

    WEIGHT = "REQUEST_WEIGHT"
    RAW = "RAW_REQUESTS"
    ORDERS = "ORDERS"


class Priority(StrEnum):
    """Who may use what is left: placements come before reads, cancels have a reserve."""

    PLACE = "place"
    CANCEL = "cancel"
    READ = "read"


class Limit(NamedTuple):
    """One limit: `most` in every window of `interval_ms`; of an address, or with `ORDERS` of an account."""

    kind: Kind
    interval_ms: int
    most: int


_UNIT_MS: Final = {"SECOND": 1000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
_LETTER_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_COUNT: Final = re.compile("[0-9]{1,18}")
_COUNTED: Final = re.compile(r"x-mbx-(used-weight|order-count)-([0-9]{1,6})([smhd])", re.IGNORECASE)


def limits_of(exchange_info: object) -> tuple[Limit, ...]:
    """Read the `rateLimits` of `exchangeInfo`; what we do not know how to count is left out."""
    rows = exchange_info.get("rateLimits") if isinstance(exchange_info, dict) else None
    limits = []
    for row in rows if isinstance(rows, list) else ():
        try:
            kind = Kind(row["rateLimitType"])
            interval_ms = _UNIT_MS[row["interval"]] * int(row["intervalNum"])
            limits.append(Limit(kind, interval_ms, int(row["limit"])))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return tuple(limits)


def used_of(headers: Mapping[str, str]) -> Mapping[tuple[str, int], int]:
    """Read how much is used, by kind and interval in ms, as the answer's headers show it."""
    return {
        counted: int(value)
        for name, value in headers.items()
        if (counted := _counted(name)) is not None and _COUNT.fullmatch(value)
    }


@lru_cache(maxsize=64)  # the same few names come with every answer
def _counted(header: str) -> tuple[Kind, int] | None:
    """Return kind and interval in ms of what a header counts; None when it counts nothing."""
    match = _COUNTED.fullmatch(header)
    if match is None:
        return None
    kind = Kind.WEIGHT if match[1].lower() == "used-weight" else Kind.ORDERS
    return kind, int(match[2]) * _LETTER_MS[match[3].lower()]


@lru_cache(maxsize=64)
def interval_name(interval_ms: int) -> str:
    """Name an interval the way the exchange's headers do: 10s, 1m, 1d."""
    letter, unit_ms = next(
        (letter, unit) for letter, unit in reversed(_LETTER_MS.items()) if interval_ms % unit == 0
    )
    return f"{interval_ms // unit_ms}{letter}"


# Binance REST docs, each endpoint's "Weight". What is not listed costs `_UNKNOWN`; the headers correct it.
_UNKNOWN: Final = 10
_WEIGHT: Final[Mapping[tuple[str, str], int]] = {
    ("GET", "/api/v3/ping"): 1,
    ("GET", "/api/v3/time"): 1,
    ("GET", "/api/v3/exchangeInfo"): 20,
    ("GET", "/api/v3/order"): 4,
    ("DELETE", "/api/v3/order"): 1,
    ("POST", "/api/v3/order"): 1,  # nothing when it succeeds (changelog 2026-03-27)
    ("GET", "/api/v3/allOrders"): 20,
    ("GET", "/api/v3/account"): 20,
    ("GET", "/api/v3/rateLimit/order"): 40,
    ("GET", "/fapi/v1/ping"): 1,
    ("GET", "/fapi/v1/time"): 1,
    ("GET", "/fapi/v1/exchangeInfo"): 1,
    ("GET", "/fapi/v1/order"): 1,
    ("DELETE", "/fapi/v1/order"): 1,
    ("POST", "/fapi/v1/order"): 1,
    ("GET", "/fapi/v1/algoOrder"): 1,
    ("DELETE", "/fapi/v1/algoOrder"): 1,
    ("POST", "/fapi/v1/algoOrder"): 1,
    ("GET", "/fapi/v1/allOrders"): 5,
    ("GET", "/fapi/v1/userTrades"): 5,
    ("GET", "/fapi/v2/balance"): 5,
    ("GET", "/fapi/v3/balance"): 5,
    ("GET", "/fapi/v2/positionRisk"): 5,
    ("GET", "/fapi/v3/positionRisk"): 5,
    ("GET", "/fapi/v3/account"): 5,
    ("GET", "/fapi/v1/accountConfig"): 5,
    ("GET", "/fapi/v1/symbolConfig"): 5,
    ("POST", "/fapi/v1/leverage"): 1,
    ("POST", "/fapi/v1/marginType"): 1,
    ("GET", "/fapi/v1/allAlgoOrders"): 5,
    ("GET", "/fapi/v1/income"): 30,
    ("POST", "/fapi/v1/listenKey"): 1,
    ("PUT", "/fapi/v1/listenKey"): 1,
    ("DELETE", "/fapi/v1/listenKey"): 1,
}
# With the named parameter, without it.
_WEIGHT_BY: Final[Mapping[str, tuple[str, int, int]]] = {
    "/api/v3/openOrders": ("symbol", 6, 80),
    "/api/v3/myTrades": ("orderId", 5, 20),
    "/api/v3/ticker/bookTicker": ("symbol", 2, 4),
    "/api/v3/ticker/price": ("symbol", 2, 4),
    "/fapi/v1/openOrders": ("symbol", 1, 40),
    "/fapi/v1/openAlgoOrders": ("symbol", 1, 40),
    "/fapi/v1/ticker/bookTicker": ("symbol", 2, 5),
    "/fapi/v2/ticker/price": ("symbol", 1, 2),
    "/fapi/v1/premiumIndex": ("symbol", 1, 10),
}
_DEPTH: Final = {
    "/api/v3/depth": ((100, 5), (500, 25), (1000, 50), (5000, 250)),
    "/fapi/v1/depth": ((50, 2), (100, 5), (500, 10), (1000, 20)),
}
_DEPTH_BY_DEFAULT: Final = {"/api/v3/depth": 100, "/fapi/v1/depth": 500}
_PLACING: Final = frozenset({"/api/v3/order", "/fapi/v1/order", "/fapi/v1/algoOrder"})


def weight_of(method: str, path: str, query_string: str = "") -> int:
    """Return the documented request weight; of placements and cancels what they cost when they fail."""
    if (fixed := _WEIGHT.get((method, path))) is not None:
        return fixed
    if path in _WEIGHT_BY:
        name, with_it, without = _WEIGHT_BY[path]
        return with_it if name in parse_qs(query_string) else without
    if path in _DEPTH:
        asked = parse_qs(query_string).get("limit", [str(_DEPTH_BY_DEFAULT[path])])[0]
        steps = _DEPTH[path]
        return next(
            (weight for most, weight in steps if asked.isdigit() and int(asked) <= most), steps[-1][1]
        )
    return _UNKNOWN


def priority_of(method: str, path: str) -> Priority:
    """Say which share of the budget a request may use."""
    if path in _PLACING and method == "POST":
        return Priority.PLACE
    return Priority.CANCEL if method == "DELETE" else Priority.READ


SHARED: Final = 0.95
"""What all processes together may lease of a limit; the rest is what they hold without asking."""
FOR_READS: Final = 0.75
"""What reads may lease up to; placements and cancels have the rest to themselves."""
SEATS: Final = 5
"""How many processes may hold a standing allowance; further ones lease every grant."""
_LARGEST_SLICE: Final = 256
_STANDING_UP_TO_MS: Final = 60_000  # a restart would renew a day's allowance


def shared_ceiling(limit: Limit, priority: Priority = Priority.PLACE) -> int:
    """Return up to how much of a limit may be leased."""
    return int(limit.most * (FOR_READS if priority is Priority.READ else SHARED))


def standing_of(limit: Limit, seat: int | None) -> int:
    """Return what the holder of a seat, 1 to `SEATS`, may use in each window without asking anybody."""
    if seat is None or limit.interval_ms > _STANDING_UP_TO_MS:
        return 0
    return (limit.most - shared_ceiling(limit) + SEATS - seat) // SEATS


def slice_of(limit: Limit) -> int:
    """Return how much is leased at a time: enough to ask rarely, little enough to share."""
    return max(1, min(limit.most // 20, _LARGEST_SLICE))


class Wish(NamedTuple):
    """A wish for a slice: of which window, how much, and what the exchange has shown as used in it."""

    window: int
    amount: int
    seen: int


@dataclass(slots=True)
class Taken:
    """Something taken from a budget, until long after it is known what became of it.

    Attributes:
        window: in which it was taken.
        amount: how much.
        at_ms: when.
        is_open: it is on its way, or its answer is.
        is_carried: counted in the window after its own as well.

    """

    window: int
    amount: int
    at_ms: float
    is_open: bool = True
    is_carried: bool = False


@dataclass(slots=True)
class Budget:
    """What one process may use of one limit in the current window.

    It holds a standing allowance, for which it needs nobody's word, and leases slices of the rest. What is on
    its way when a window ends may be counted in either: it is counted in both until the exchange has told.

    Args:
        limit: of the exchange.
        standing: of this process, in every window.

    Attributes:
        window: the current one, counted from the epoch.
        leased: left of what was leased for this window.
        own: left of the standing allowance; below zero after carrying over more than it.
        out: taken, and not yet told what became of it.
        seen: what the exchange has last shown as used in this window, by anybody.
        is_empty: nothing more can be leased in this window.

    """

    limit: Limit
    standing: int = 0
    window: int = -1
    leased: int = 0
    own: int = 0
    out: int = 0
    seen: int = 0
    is_empty: bool = False
    _taken: deque[Taken] = field(default_factory=deque)
    _returning: deque[tuple[float, int]] = field(default_factory=deque)

    def turn(self, now_ms: float, error_ms: float) -> None:
        """Begin a new window, once it has begun on every clock within `error_ms` of ours."""
        window = int((now_ms - error_ms) // self.limit.interval_ms)
        if window > self.window:
            self.window, self.leased, self.seen, self.is_empty = window, 0, 0, False
            self.own = self.standing - self._carry(window * self.limit.interval_ms - error_ms)
            self._returning.clear()
        while self._taken and not self._taken[0].is_open and self._taken[0].at_ms < now_ms - 4 * error_ms:
            self._taken.popleft()
        while self._returning and self._returning[0][0] <= now_ms:
            self.leased += self._returning.popleft()[1]

    def _carry(self, since_ms: float) -> int:
        """Count in the new window what is on its way, or was answered and may have been counted in it."""
        carried = 0
        for taken in self._taken:
            taken.is_carried = taken.is_open or taken.at_ms >= since_ms
            carried += taken.amount if taken.is_carried else 0
        return carried

    def ends_ms(self) -> int:
        """Return when the window ends, on the exchange's clock."""
        return (self.window + 1) * self.limit.interval_ms

    def left(self, priority: Priority = Priority.PLACE) -> int:
        """Return how much may be taken now; reads leave the standing allowance alone."""
        mine = self.leased + (min(self.own, 0) if priority is Priority.READ else self.own)
        return min(mine, self.limit.most - self.seen - self.out)

    def take(self, amount: int, now_ms: float) -> Taken:
        """Take what is to be used at once; `left` has said that it is there."""
        from_lease = max(0, min(self.leased, amount))
        self.leased -= from_lease
        self.own -= amount - from_lease
        self.out += amount
        taken = Taken(self.window, amount, now_ms)
        self._taken.append(taken)
        return taken

    def used(self, taken: Taken, counted_in: int | None = None) -> None:
        """Say that the exchange counted it, or may have.

        Args:
            taken: by `take`.
            counted_in: the window in which, where the answer told the exchange's time.

        """
        self._close(taken)
        if counted_in is None:
            return
        if taken.is_carried and counted_in < self.window:
            self.own += taken.amount
        elif counted_in > self.window:
            # Our clock is behind, or nothing was taken since: carried into that window, and no further.
            taken.at_ms = counted_in * self.limit.interval_ms

    def unused(self, taken: Taken, usable_at_ms: float = 0.0) -> None:
        """Give back what the exchange does not count, or counts no more.

        Args:
            taken: by `take`.
            usable_at_ms: not before; the exchange shows a decrement with a small delay.

        """
        self._close(taken)
        taken.at_ms = 0.0  # nothing to carry
        if taken.is_carried:
            self.own += taken.amount
        elif taken.window == self.window:
            self._returning.append((usable_at_ms, taken.amount))

    def _close(self, taken: Taken) -> None:
        assert taken.is_open, "told twice what became of it"
        taken.is_open = False
        self.out -= taken.amount

    def told(self, count: int, window: int) -> None:
        """Take in what an answer's header showed; others use the same address or account."""
        if window == self.window:
            self.seen = count

    def wish(self, amount: int) -> Wish:
        """Say what to lease so that `amount` may be taken: a slice, or more if need be."""
        missing = amount - self.leased - min(self.own, 0)
        return Wish(self.window, max(slice_of(self.limit), missing), self.seen)

    def wants_more(self) -> bool:
        """Say whether to lease ahead: the last slice is half used."""
        return not self.is_empty and self.leased + min(self.own, 0) < (slice_of(self.limit) + 1) // 2

    def lease(self, window: int, amount: int) -> None:
        """Take in a slice; nothing means that there is no more of this window."""
        if window == self.window:
            self.leased += amount
            self.is_empty = amount == 0
