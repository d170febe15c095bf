"""PROTOCOL 2: what requests cost, what is left of each limit, and that it is never used twice."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.binance.weight import (
    SEATS,
    Budget,
    Kind,
    Limit,
    Priority,
    Taken,
    limits_of,
    priority_of,
    shared_ceiling,
    slice_of,
    standing_of,
    used_of,
    weight_of,
)

TEN_SECONDS = Limit(Kind.ORDERS, 10_000, 100)
MINUTE = Limit(Kind.WEIGHT, 60_000, 6000)
DAY = Limit(Kind.ORDERS, 86_400_000, 200_000)


def test_limits_are_read_from_exchange_info() -> None:
    """Each kind with its interval in ms; what cannot be read, or is of no kind we count, is left out."""
    answer = {
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300000},
            {"rateLimitType": "CONNECTIONS", "interval": "MINUTE", "intervalNum": 5, "limit": 300},
            {"rateLimitType": "ORDERS", "interval": "FORTNIGHT", "intervalNum": 1, "limit": 1},
            {"rateLimitType": "ORDERS"},
        ]
    }
    assert limits_of(answer) == (MINUTE, TEN_SECONDS, DAY, Limit(Kind.RAW, 300_000, 300_000))
    assert limits_of({}) == ()


def test_headers_say_what_is_used() -> None:
    """Weight and order counts with any number and unit; the legacy header without an interval is not read."""
    headers = {
        "x-mbx-used-weight": "7",
        "x-mbx-used-weight-1m": "12",
        "X-MBX-ORDER-COUNT-10S": "3",
        "x-mbx-order-count-1d": "4",
        "x-mbx-order-count-1m": "many",
    }
    assert used_of(headers) == {
        (Kind.WEIGHT, 60_000): 12,
        (Kind.ORDERS, 10_000): 3,
        (Kind.ORDERS, 86_400_000): 4,
    }


@pytest.mark.parametrize(
    ("method", "path", "query", "weight"),
    [
        ("GET", "/api/v3/order", "symbol=BTCUSDT", 4),
        ("GET", "/api/v3/openOrders", "symbol=BTCUSDT", 6),
        ("GET", "/api/v3/openOrders", "", 80),
        ("GET", "/api/v3/myTrades", "symbol=BTCUSDT&orderId=7", 5),
        ("GET", "/api/v3/myTrades", "symbol=BTCUSDT&startTime=7", 20),
        ("GET", "/api/v3/ticker/bookTicker", "", 4),
        ("GET", "/api/v3/ticker/bookTicker", "symbol=BTCUSDT", 2),
        ("GET", "/api/v3/depth", "symbol=BTCUSDT", 5),
        ("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=500", 25),
        ("GET", "/api/v3/depth", "symbol=BTCUSDT&limit=5000", 250),
        ("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=20", 2),
        ("GET", "/api/v3/exchangeInfo", "", 20),
        ("DELETE", "/api/v3/order", "symbol=BTCUSDT", 1),
        ("GET", "/api/v3/somethingNew", "", 10),
    ],
)
def test_documented_weights(method: str, path: str, query: str, weight: int) -> None:
    """What an endpoint costs with these parameters; an unknown one costs more than most."""
    assert weight_of(method, path, query) == weight


def test_priorities() -> None:
    """Orders, cancels, and everything else."""
    assert priority_of("POST", "/api/v3/order") is Priority.PLACE
    assert priority_of("POST", "/fapi/v1/algoOrder") is Priority.PLACE
    assert priority_of("DELETE", "/api/v3/order") is Priority.CANCEL
    assert priority_of("GET", "/api/v3/order") is Priority.READ
    assert priority_of("POST", "/fapi/v1/listenKey") is Priority.READ


@given(st.integers(1, 10_000_000), st.sampled_from([1000, 10_000, 60_000]))
def test_standing_allowances_and_slices_together_are_the_limit(most: int, interval_ms: int) -> None:
    """All seats' allowances and all that can be leased never exceed what the exchange allows."""
    limit = Limit(Kind.ORDERS, interval_ms, most)
    standing = [standing_of(limit, seat) for seat in range(1, SEATS + 1)]
    assert sum(standing) + shared_ceiling(limit) <= most
    assert min(standing) >= 0
    assert max(standing) - min(standing) <= 1
    assert standing_of(limit, None) == 0
    assert slice_of(limit) >= 1
    if most >= 100:
        assert standing[0] >= 1, "an order now and then waits for nothing"
        assert shared_ceiling(limit) + standing[0] >= 0.95 * most


def test_a_days_allowance_is_not_renewed_by_a_restart() -> None:
    """Nobody holds a part of the day without having leased it."""
    assert standing_of(DAY, 1) == 0


def budget(
    leased: int = 0, *, limit: Limit = TEN_SECONDS, standing: int = 1, now_ms: float = 5000.0
) -> Budget:
    made = Budget(limit, standing)
    made.turn(now_ms, 5.0)
    made.lease(made.window, leased)
    return made


def test_the_lease_is_used_before_the_own_allowance() -> None:
    """What is leased is lost with the window; the allowance is kept for when nothing is leased."""
    b = budget(2)
    for expected in (2, 1, 0):
        assert b.left() == expected + 1 - (b.out if b.leased + b.own < b.left() else 0)
        b.take(1, 5000)
        assert b.leased == max(0, expected - 1)
    assert b.left() == 0


def test_reads_leave_the_allowance_to_orders_and_cancels() -> None:
    """With nothing leased a read finds nothing, an order does."""
    b = budget(0, limit=MINUTE, standing=60)
    assert b.left(Priority.READ) == 0
    assert b.left(Priority.PLACE) == b.left(Priority.CANCEL) == 60


def test_a_new_window_begins_late_by_the_error_of_the_clock() -> None:
    """With 20 ms of doubt the new window is used 20 ms after its beginning, when it has begun for sure."""
    b = budget(5, now_ms=9_990)
    b.turn(10_010, 20)
    assert (b.window, b.leased) == (0, 5)
    b.turn(10_021, 20)
    assert (b.window, b.leased, b.own) == (1, 0, 1)


def test_what_is_on_its_way_counts_in_both_windows_until_told() -> None:
    """Two orders in flight at the turn: one turns out to be of the old window, one of the new."""
    b = budget(5)
    old, new = b.take(1, 9_900), b.take(1, 9_950)
    b.turn(10_010, 5)
    assert b.own == 1 - 2
    b.used(old, counted_in=0)
    assert b.own == 0
    b.used(new, counted_in=1)
    assert b.own == 0
    assert b.out == 0


def test_an_answer_of_unknown_time_stays_counted_in_both() -> None:
    """Without the exchange's time nothing is given back."""
    b = budget(5)
    taken = b.take(1, 9_900)
    b.turn(10_010, 5)
    b.used(taken)
    assert b.own == 0


def test_answered_just_before_the_turn_counts_in_both() -> None:
    """Taken within the clock's error of the boundary: the exchange may have counted it in the new window."""
    b = budget(5)
    b.used(b.take(1, 9_998))
    b.turn(10_010, 5)
    assert b.own == 0


def test_counted_by_the_exchange_in_a_window_that_has_not_begun_here() -> None:
    """Our clock is behind: what the answer says was counted in the next window is counted there."""
    b = budget(5)
    b.used(b.take(1, 9_900), counted_in=1)
    b.turn(10_010, 5)
    assert b.own == 0


def test_what_was_carried_over_once_is_not_carried_for_ever() -> None:
    """Counted in the window that had not begun here: the one after it is whole again."""
    b = budget(5)
    b.used(b.take(1, 9_900), counted_in=1)
    for now_ms in (10_010, 20_010, 30_010):
        b.turn(now_ms, 5)
    assert b.own == 1


def test_what_is_not_counted_comes_back_after_a_moment() -> None:
    """A filled order is counted no more; the exchange shows that with a small delay."""
    b = budget(1, standing=0)
    b.unused(b.take(1, 5000), usable_at_ms=6000)
    b.turn(5999, 5)
    assert b.left() == 0
    b.turn(6000, 5)
    assert b.left() == 1


def test_what_comes_back_too_late_is_of_no_use() -> None:
    """A slice of a window that is over is nothing in the next one; what was carried over is taken back."""
    b = budget(1, standing=1)
    taken = b.take(1, 5000)
    b.turn(10_010, 5)
    assert b.own == 0
    b.unused(taken)
    assert (b.own, b.leased) == (1, 0)


def test_what_others_use_is_not_used_again() -> None:
    """The header says 98 of 100 are used: however much is leased, two are left."""
    b = budget(40)
    b.told(98, 0)
    assert b.left() == 2
    b.take(1, 5000)
    assert b.left() == 1, "one is on its way and not yet in what the header said"


def test_the_header_of_another_window_says_nothing() -> None:
    """An answer that came late tells of the window that is over."""
    b = budget(40)
    b.told(98, -1)
    assert b.left() == 41


def test_nothing_given_means_the_window_is_used_up() -> None:
    """Then nobody asks again before the next one."""
    b = budget(0)
    assert b.is_empty
    assert not b.wants_more()
    b.turn(10_010, 5)
    assert b.wants_more()


def test_a_wish_covers_the_debt_of_what_was_carried_over() -> None:
    """Three carried over and one allowance: to take one, three have to be leased at least."""
    b = budget(10)
    for _ in range(3):
        b.take(1, 9_900)
    b.turn(10_010, 5)
    assert b.own == -2
    assert b.wish(8) == (1, 10, 0)


@dataclass
class Exchange:
    """Counts as the exchange does, with a clock of its own."""

    most: int
    interval_ms: int
    ahead_ms: float
    counts: dict[int, int] = field(default_factory=dict)

    def count(self, now_ms: float) -> int:
        window = int((now_ms + self.ahead_ms) // self.interval_ms)
        self.counts[window] = self.counts.get(window, 0) + 1
        return window


@given(
    st.data(),
    st.integers(20, 60),
    st.floats(0, 30),
    st.lists(st.tuples(st.floats(0, 90), st.integers(0, 1), st.floats(0, 400)), min_size=20, max_size=200),
)
@settings(max_examples=150)
def test_no_window_is_ever_overdrawn(
    data: st.DataObject, most: int, error_ms: float, steps: list[tuple[float, int, float]]
) -> None:
    """Two processes, late answers, clocks that differ: the exchange never counts more than it allows.

    Two windows later nothing of it weighs on a budget any more.
    """
    limit = Limit(Kind.ORDERS, 1000, most)
    offsets = [data.draw(st.floats(-error_ms, error_ms)) for _ in range(2)]
    exchange = Exchange(most, 1000, ahead_ms=0.0)
    granted: dict[int, int] = {}
    budgets = [Budget(limit, standing_of(limit, seat)) for seat in (1, 2)]
    in_flight: list[tuple[float, float, int, Taken]] = []
    now = 50.0
    for pause, who, delay in steps:
        now += pause
        arrive(exchange, budgets, in_flight, now, data)
        b = budgets[who]
        b.turn(now + offsets[who], error_ms)
        if b.left() < 1 and not b.is_empty:
            wish = b.wish(1)
            room = shared_ceiling(limit) - max(granted.get(wish.window, 0), wish.seen)
            given = max(0, min(wish.amount, room))
            granted[wish.window] = max(granted.get(wish.window, 0), wish.seen) + given
            b.lease(wish.window, given)
        while b.left() >= 1:
            in_flight.append((now + delay, now + 2 * delay, who, b.take(1, now + offsets[who])))
    assert all(count <= most for count in exchange.counts.values()), exchange.counts
    arrive(exchange, budgets, in_flight, now + 1000, data)
    for b in budgets:
        for later in (now + 1000, now + 3000):
            b.turn(later, error_ms)
        assert b.own == b.standing


def arrive(
    exchange: Exchange,
    budgets: list[Budget],
    in_flight: list[tuple[float, float, int, Taken]],
    now: float,
    data: st.DataObject,
) -> None:
    """Let what is due by now be counted and answered."""
    for item in sorted(in_flight, key=lambda one: one[1]):
        arrives, answered, who, taken = item
        if answered > now:
            continue
        in_flight.remove(item)
        window = exchange.count(arrives)
        budgets[who].used(taken, window if data.draw(st.booleans()) else None)
