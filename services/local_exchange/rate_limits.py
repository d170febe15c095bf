"""Request weight per address, unfilled orders per account, bans (Binance REST docs "LIMITS")."""

from __future__ import annotations

from typing import Any

from services.local_exchange.errors import ExchangeError

MINUTE_MS = 60_000
FIVE_MINUTES_MS = 300_000
TEN_SECONDS_MS = 10_000
DAY_MS = 86_400_000
WEIGHT_LIMIT = 6000
ORDERS_10S = 100
ORDERS_1D = 200_000
CONNECTIONS_5M = 300
RAW_REQUESTS_5M = 300_000
VIOLATIONS_BEFORE_BAN = 10
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 3 * DAY_MS
MAKER_CREDIT = 5


class RateLimits:
    """Counts in fixed windows aligned to the clock; `now` is epoch milliseconds everywhere.

    Args:
        scale: all limits are multiplied by this.

    """

    def __init__(self, scale: int = 1) -> None:
        self.weight_limit = WEIGHT_LIMIT * scale
        self.orders_10s = ORDERS_10S * scale
        self.orders_1d = ORDERS_1D * scale
        self.connections_5m = CONNECTIONS_5M * scale
        self._weight: dict[str, tuple[int, int]] = {}
        self._orders: dict[str, list[int]] = {}
        self._violations: dict[str, int] = {}
        self._bans: dict[str, int] = {}
        self._banned_until: dict[str, int] = {}
        self._connections: dict[str, tuple[int, int]] = {}

    def charge(self, address: str, weight: int, now: int) -> int:
        """Charge request weight and return what is used in this minute.

        Raises:
            ExchangeError: -1003 with 429 above the limit, with 418 while the address is banned.

        """
        until = self._banned_until.get(address)
        if until is not None:
            if now < until:
                raise banned(until, now)
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
            return banned(until, now)
        wait_ms = MINUTE_MS - now % MINUTE_MS
        return ExchangeError(
            -1003,
            f"Too much request weight used; current limit is {self.weight_limit} request weight "
            "per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            429,
            {"serverTime": now, "retryAfter": now + wait_ms},
            retry_after=-(-wait_ms // 1000),
        )

    def order_counts(self, account: str, now: int) -> tuple[int, int]:
        """Unfilled orders of an account in this ten seconds and this day."""
        counts = self._counts(account, now)
        return counts[1], counts[3]

    def check_orders(self, account: str, now: int) -> None:
        """Refuse a placement when a count is used up.

        Raises:
            ExchangeError: -1015 with 429 and Retry-After.

        """
        counts = self._counts(account, now)
        for count, limit, span, text in (
            (counts[1], self.orders_10s, TEN_SECONDS_MS, "10 SECOND"),
            (counts[3], self.orders_1d, DAY_MS, "1 DAY"),
        ):
            if count >= limit:
                wait_ms = span - now % span
                raise ExchangeError(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {text}.",
                    429,
                    {"serverTime": now, "retryAfter": now + wait_ms},
                    retry_after=-(-wait_ms // 1000),
                )

    def count_order(self, account: str, now: int) -> None:
        """One more unfilled order."""
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
        ten, day = now // TEN_SECONDS_MS, now // DAY_MS
        counts = self._orders.get(account)
        if counts is None:
            counts = self._orders[account] = [ten, 0, day, 0]
        if counts[0] != ten:
            counts[0], counts[1] = ten, 0
        if counts[2] != day:
            counts[2], counts[3] = day, 0
        return counts

    def exchange_limits(self, websocket: bool = False) -> list[dict[str, Any]]:
        """Return `rateLimits` of `exchangeInfo`: raw requests on REST, connections on the WebSocket API."""
        scale = self.weight_limit // WEIGHT_LIMIT
        return [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight_limit),
            _limit("ORDERS", "SECOND", 10, self.orders_10s),
            _limit("ORDERS", "DAY", 1, self.orders_1d),
            _limit("CONNECTIONS", "MINUTE", 5, self.connections_5m)
            if websocket
            else _limit("RAW_REQUESTS", "MINUTE", 5, RAW_REQUESTS_5M * scale),
        ]

    def order_limits(self, account: str, now: int) -> list[dict[str, Any]]:
        """Return the account's unfilled order counts beside their limits."""
        ten, day = self.order_counts(account, now)
        return [
            _limit("ORDERS", "SECOND", 10, self.orders_10s) | {"count": ten},
            _limit("ORDERS", "DAY", 1, self.orders_1d) | {"count": day},
        ]

    def weight_limits(self, address: str, now: int) -> list[dict[str, Any]]:
        """Return the address's request weight beside its limit."""
        return [_limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight_limit) | {"count": self.used(address, now)}]


def banned(until: int, now: int) -> ExchangeError:
    """Return the answer to an address that is banned until `until` (epoch milliseconds)."""
    return ExchangeError(
        -1003,
        f"Way too much request weight used; IP banned until {until}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        418,
        {"serverTime": now, "retryAfter": until},
        retry_after=-(-(until - now) // 1000),
    )


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
