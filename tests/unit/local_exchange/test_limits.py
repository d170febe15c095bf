"""Request weight, unfilled order counts, bans."""

from __future__ import annotations

import json

import pytest

from services.local_exchange.errors import ExchangeError
from services.local_exchange.rate_limits import RateLimits
from tests.unit.local_exchange.desk import Desk, limit, market

MINUTE = 60_000
NOON = 1_795_003_200_000


@pytest.fixture
def desk():
    return Desk()


def headers(answer):
    return dict(answer.headers)


def test_successful_trading_calls_cost_no_weight(desk):
    """A placed order leaves the used weight where it was; a refused one and a query cost theirs."""
    answer = desk.send(
        "POST",
        "/api/v3/order",
        desk.signed_query(**market("BUY", quoteOrderQty="350")),
        X_MBX_APIKEY="local-exchange-alice-key-not-a-secret",
    )
    assert headers(answer)["x-mbx-used-weight-1m"] == "0"
    desk.refuse(**market("BUY", quoteOrderQty="1"))
    assert desk.exchange.spot.limits.used("127.0.0.1", desk.now) == 1
    desk.ask("GET", "/api/v3/account")
    assert desk.exchange.spot.limits.used("127.0.0.1", desk.now) == 21


def test_market_orders_that_fill_never_use_up_the_order_count(desk):
    """+1 when accepted, -1 at the first fill as taker; resting orders stay counted."""
    for _ in range(120):
        desk.place(**market("BUY", quoteOrderQty="5.1"))
    assert desk.exchange.spot.limits.order_counts("alice", desk.now) == (0, 0)
    answer = desk.send(
        "POST",
        "/api/v3/order",
        desk.signed_query(**limit("BUY", "0.001", "60000")),
        X_MBX_APIKEY="local-exchange-alice-key-not-a-secret",
    )
    assert headers(answer)["x-mbx-order-count-10s"] == "1"
    assert headers(answer)["x-mbx-order-count-1d"] == "1"


def test_resting_orders_run_into_the_ten_second_limit(desk):
    """The 101st is refused with 429 and Retry-After, until the next ten seconds begin."""
    for market_ in desk.exchange.markets.values():
        market_.symbol.max_num_orders = 1000
    for _ in range(100):
        desk.place(**limit("BUY", "0.001", "60000"))
    query = desk.signed_query(**limit("BUY", "0.001", "60000"))
    answer = desk.send("POST", "/api/v3/order", query, X_MBX_APIKEY="local-exchange-alice-key-not-a-secret")
    assert answer.status == 429
    assert json.loads(answer.body) == {
        "code": -1015,
        "msg": "Too many new orders; current limit is 100 orders per 10 SECOND.",
    }
    assert headers(answer)["Retry-After"] == "10"
    desk.advance(10)
    desk.place(**limit("BUY", "0.001", "60000"))


def test_a_first_fill_as_maker_gives_more_back(desk):
    """Five off the count, never below zero."""
    desk.empty_book()
    for _ in range(7):
        desk.place("alice", **limit("SELL", "0.01", "70000"))
    desk.place("bob", **market("BUY", quantity="0.01"))
    assert desk.exchange.spot.limits.order_counts("alice", desk.now) == (2, 2)


def test_used_up_weight_is_429_and_insisting_is_a_ban_that_grows():
    """429 with the seconds to the next minute; after ten more tries 418, two minutes, then four."""
    limits = RateLimits()
    limits.charge("1.2.3.4", 6000, NOON + 20_000)
    with pytest.raises(ExchangeError) as refused:
        limits.charge("1.2.3.4", 1, NOON + 20_000)
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, -1003, 40)
    limits.charge("5.6.7.8", 1, NOON + 20_000)
    for _ in range(9):
        with pytest.raises(ExchangeError):
            limits.charge("1.2.3.4", 1, NOON + 20_000)
    with pytest.raises(ExchangeError) as banned:
        limits.charge("1.2.3.4", 1, NOON + 20_000)
    assert (banned.value.status, banned.value.retry_after) == (418, 120)
    assert str(NOON + 140_000) in banned.value.msg
    with pytest.raises(ExchangeError):
        limits.charge("1.2.3.4", 1, NOON + 139_999)
    limits.charge("1.2.3.4", 6000, NOON + 140_000)
    for _ in range(10):
        with pytest.raises(ExchangeError):
            limits.charge("1.2.3.4", 1, NOON + 140_000)
    with pytest.raises(ExchangeError) as again:
        limits.charge("1.2.3.4", 1, NOON + 140_000)
    assert again.value.retry_after == 240


def test_weight_starts_again_with_the_minute():
    """Windows are aligned to the clock."""
    limits = RateLimits()
    limits.charge("a", 6000, NOON + 59_999)
    assert limits.charge("a", 10, NOON + MINUTE) == 10


def test_connections_are_counted_per_address():
    """300 in five minutes, each at weight 2."""
    limits = RateLimits()
    for _ in range(300):
        limits.connect("a", NOON)
    assert limits.used("a", NOON) == 600
    with pytest.raises(ExchangeError):
        limits.connect("a", NOON + MINUTE)
    limits.connect("b", NOON)
    limits.connect("a", NOON + 5 * MINUTE)


def test_scaled_limits_are_shown():
    """rate_limit_scale multiplies what exchangeInfo shows too."""
    shown = RateLimits(scale=10).exchange_limits()
    assert [entry["limit"] for entry in shown] == [60_000, 1000, 2_000_000, 3_000_000]


def test_the_day_window_keeps_what_ten_seconds_forget():
    """Both intervals count, each in its own window."""
    limits = RateLimits()
    limits.count_order("a", NOON)
    assert limits.order_counts("a", NOON + 10_000) == (0, 1)
    limits.first_fill("a", False, NOON + 10_000)
    assert limits.order_counts("a", NOON + 10_000) == (0, 0)
