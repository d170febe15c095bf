"""Request weight per address, unfilled orders per account, bans (Binance REST docs "LIMITS")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from services.local_exchange.errors import ExchangeError

MINUTE_MS = 60_000
FIVE_MINUTES_MS = 300_000
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000
CONNECTIONS_5M = 300
RAW_REQUESTS_5M = 300_000
VIOLATIONS_BEFORE_BAN = 10
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 3 * DAY_MS
MAKER_CREDIT = 5


@dataclass(frozen=True, slots=True)
class OrderWindow:
    """One interval in which an account's orders are counted.

    Args:
        span_ms: its length.
        limit: orders in it.
        interval: unit, as `rateLimits` shows it.
        number: how many units.
        header: the end of the header's name.
        words: the interval in the refusal.

    """

    span_ms: int
    limit: int
    interval: str
    number: int
    header: str
    words: str


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """The limits of one market and the words it refuses with."""

    weight: int
    windows: tuple[OrderWindow, ...]
    too_much: str
    banned: str
    raw_requests: bool
    retry_after: bool


# Binance REST docs "LIMITS", figures as production's exchangeInfo showed them in autumn 2026.
SPOT = LimitPlan(
    6000,
    (
        OrderWindow(TEN_SECONDS_MS, 100, "SECOND", 10, "10s", "10 SECOND"),
        OrderWindow(DAY_MS, 200_000, "DAY", 1, "1d", "1 DAY"),
    ),
    "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
    "Please use WebSocket Streams for live updates to avoid polling the API.",
    "Way too much request weight used; IP banned until {until}. "
    "Please use WebSocket Streams for live updates to avoid bans.",
    raw_requests=True,
    retry_after=True,
)
# USDⓈ-M futures docs "General Info": Retry-After is documented for spot only.
FUTURES = LimitPlan(
    2400,
    (
        OrderWindow(TEN_SECONDS_MS, 300, "SECOND", 10, "10s", "TEN_SECONDS"),
        OrderWindow(MINUTE_MS, 1200, "MINUTE", 1, "1m", "ONE_MINUTE"),
    ),
    "Too many requests; current limit is {limit} requests per minute. "
    "Please use the websocket for live updates to avoid polling the API.",
    "Way too many requests; IP banned until {until}. "
    "Please use the websocket for live updates to avoid bans.",
    raw_requests=False,
    retry_after=False,
)


class RateLimits:
    """Counts in fixed windows aligned to the clock; `now` is epoch milliseconds everywhere.

    Args:
        plan: the limits of the market.
        scale: all limits are multiplied by this.

    """

    def __init__(self, plan: LimitPlan = SPOT, scale: int = 1) -> None:
        self.plan = plan
        self.raise_to(scale)
        self._weight: dict[str, tuple[int, int]] = {}
        self._orders: dict[str, list[int]] = {}
        self._violations: dict[str, int] = {}
        self._bans: dict[str, int] = {}
        self._banned_until: dict[str, int] = {}
        self._connections: dict[str, tuple[int, int]] = {}

    def raise_to(self, scale: int) -> None:
        """Set all limits to so many times the plan's."""
        self.weight_limit = self.plan.weight * scale
        self.windows = [replace(window, limit=window.limit * scale) for window in self.plan.windows]
        self.connections_5m = CONNECTIONS_5M * scale
        self._scale = scale

    def charge(self, address: str, weight: int, now: int) -> int:
        """Charge request weight and return what is used in this minute.

        Raises:
            ExchangeError: -1003 with 429 above the limit, with 418 while the address is banned.

        """
        until = self._banned_until.get(address)
        if until is not None:
            if now < until:
                raise self._banned(until, now)
            del self._banned_until[address]
        window = now // MINUTE_MS
        known, used = self._weight.get(address, (window, 0))
        if known != window:
            used = 0
            self._violations.pop(address, None)
        if used + weight > self.weight_limit:
            self._weight[address] = (window, used)
            raise self._too_much(address, now)
        self._weight[address] = (window, used + weight)
        return used + weight

    def give_back(self, address: str, weight: int) -> None:
        """Undo a charge: successful trading calls cost nothing."""
        if address in self._weight:
            window, used = self._weight[address]
            self._weight[address] = (window, max(0, used - weight))

    def connect(self, address: str, now: int) -> None:
        """Count one more WebSocket connection of an address and charge its weight of 2.

        Raises:
            ExchangeError: -1003 above 300 in five minutes, or while the address is banned.

        """
        self.charge(address, 2, now)
        window = now // FIVE_MINUTES_MS
        known, count = self._connections.get(address, (window, 0))
        count = count + 1 if known == window else 1
        self._connections[address] = (window, count)
        if count > self.connections_5m:
            raise ExchangeError(-1003, "Too many connections.", 429)

    def used(self, address: str, now: int) -> int:
        """Weight used in this minute."""
        window, used = self._weight.get(address, (0, 0))
        return used if window == now // MINUTE_MS else 0

    def ban(self, address: str, until: int) -> None:
        """Ban an address until a time."""
        self._banned_until[address] = until

    def lift_bans(self) -> None:
        """Forget bans, violations and used weight."""
        self._banned_until.clear()
        self._violations.clear()
        self._weight.clear()

    def _too_much(self, address: str, now: int) -> ExchangeError:
        violations = self._violations.get(address, 0) + 1
        self._violations[address] = violations
        if violations > VIOLATIONS_BEFORE_BAN:
            bans = self._bans.get(address, 0)
            self._bans[address] = bans + 1
            until = now + min(FIRST_BAN_MS * 2**bans, LONGEST_BAN_MS)
            self._banned_until[address] = until
            return self._banned(until, now)
        return self._refusal(
            -1003,
            self.plan.too_much.format(limit=self.weight_limit),
            429,
            now,
            now + MINUTE_MS - now % MINUTE_MS,
        )

    def _banned(self, until: int, now: int) -> ExchangeError:
        return self._refusal(-1003, self.plan.banned.format(until=until), 418, now, until)

    def _refusal(self, code: int, words: str, status: int, now: int, until: int) -> ExchangeError:
        return ExchangeError(
            code,
            words,
            status,
            {"serverTime": now, "retryAfter": until},
            retry_after=-(-(until - now) // 1000) if self.plan.retry_after else None,
        )

    def order_counts(self, account: str, now: int) -> tuple[int, ...]:
        """Return an account's orders in each window."""
        return tuple(self._counts(account, now)[1::2])

    def check_orders(self, account: str, now: int) -> None:
        """Refuse a placement when a count is used up.

        Raises:
            ExchangeError: -1015 with 429.

        """
        counts = self._counts(account, now)
        for place, window in enumerate(self.windows):
            if counts[2 * place + 1] >= window.limit:
                raise self._refusal(
                    -1015,
                    f"Too many new orders; current limit is {window.limit} orders per {window.words}.",
                    429,
                    now,
                    now + window.span_ms - now % window.span_ms,
                )

    def count_order(self, account: str, now: int) -> None:
        """Count one more order."""
        counts = self._counts(account, now)
        counts[1] += 1
        counts[3] += 1

    def first_fill(self, account: str, is_maker: bool, now: int) -> None:
        """Take 1 off the counts for a first fill as taker, 5 as maker, never below zero."""
        credit = MAKER_CREDIT if is_maker else 1
        counts = self._counts(account, now)
        counts[1] = max(0, counts[1] - credit)
        counts[3] = max(0, counts[3] - credit)

    def _counts(self, account: str, now: int) -> list[int]:
        """Return window and count, window and count; both markets have two windows."""
        first, second = now // self.windows[0].span_ms, now // self.windows[1].span_ms
        counts = self._orders.get(account)
        if counts is None:
            counts = self._orders[account] = [first, 0, second, 0]
        if counts[0] != first:
            counts[0], counts[1] = first, 0
        if counts[2] != second:
            counts[2], counts[3] = second, 0
        return counts

    def exchange_limits(self, websocket: bool = False) -> list[dict[str, Any]]:
        """Return `rateLimits` of `exchangeInfo`; spot's depend on the API that asks."""
        shown = [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight_limit),
            *(_limit("ORDERS", w.interval, w.number, w.limit) for w in self.windows),
        ]
        if self.plan.raw_requests and websocket:
            shown.append(_limit("CONNECTIONS", "MINUTE", 5, self.connections_5m))
        elif self.plan.raw_requests:
            shown.append(_limit("RAW_REQUESTS", "MINUTE", 5, RAW_REQUESTS_5M * self._scale))
        return shown

    def order_limits(self, account: str, now: int) -> list[dict[str, Any]]:
        """Return the account's order counts beside their limits."""
        return [
            _limit("ORDERS", window.interval, window.number, window.limit) | {"count": count}
            for window, count in zip(self.windows, self.order_counts(account, now), strict=True)
        ]

    def order_headers(self, account: str, now: int) -> list[tuple[str, str]]:
        """Return the headers that tell an account its order counts."""
        return [
            (f"x-mbx-order-count-{window.header}", str(count))
            for window, count in zip(self.windows, self.order_counts(account, now), strict=True)
        ]

    def weight_limits(self, address: str, now: int) -> list[dict[str, Any]]:
        """Return the address's request weight beside its limit."""
        return [_limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight_limit) | {"count": self.used(address, now)}]


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
