"""The exchange's filters."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from shared.domain.filters import Filters, Holdings, Proposal, StepRange, check, parse_filters, too_small
from shared.domain.money import floor_to_step, plain
from shared.domain.order import OrderType, Side
from shared.domain.verdicts import Code, Rejected

D = Decimal
# The set a spot symbol had in production in autumn 2026.
SPOT: list[dict[str, Any]] = [
    {
        "filterType": "PRICE_FILTER",
        "minPrice": "0.01000000",
        "maxPrice": "100000.00000000",
        "tickSize": "0.01000000",
    },
    {"filterType": "LOT_SIZE", "minQty": "0.00100000", "maxQty": "922327.00000000", "stepSize": "0.00100000"},
    {"filterType": "ICEBERG_PARTS", "limit": 100},
    {
        "filterType": "MARKET_LOT_SIZE",
        "minQty": "0.00000000",
        "maxQty": "585.20788284",
        "stepSize": "0.00000000",
    },
    {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 10, "maxTrailingAboveDelta": 2000},
    {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": "1.1",
        "bidMultiplierDown": "0.8",
        "askMultiplierUp": "1.2",
        "askMultiplierDown": "0.9",
        "avgPriceMins": 5,
    },
    {
        "filterType": "NOTIONAL",
        "minNotional": "5.00000000",
        "applyMinToMarket": True,
        "maxNotional": "9000000.00000000",
        "applyMaxToMarket": False,
        "avgPriceMins": 5,
    },
    {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
    {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    {"filterType": "SOMETHING_NEW", "limit": "?"},
]
FUTURES: list[dict[str, Any]] = [
    {"filterType": "PRICE_FILTER", "minPrice": "261.10", "maxPrice": "809484", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
    {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
    {"filterType": "MAX_NUM_ORDERS", "limit": 200},
    {"filterType": "MIN_NOTIONAL", "notional": "50"},
    {
        "filterType": "PERCENT_PRICE",
        "multiplierUp": "1.05",
        "multiplierDown": "0.95",
        "multiplierDecimal": "4",
    },
    {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
]
FILTERS = parse_filters(SPOT, [{"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 1000}])
LIMIT = Proposal("TSLAB", "USDT", Side.BUY, OrderType.LIMIT, D("0.1"), price=D(400), reference=D(400))
MARKET = replace(LIMIT, type=OrderType.MARKET, price=None)


def said(verdict: Rejected | None, code: Code) -> str:
    assert verdict is not None
    assert verdict.code is code
    return verdict.sentence


def test_good_orders_pass() -> None:
    """At every limit, inclusive."""
    assert check(FILTERS, LIMIT) is None
    assert check(FILTERS, MARKET) is None
    assert check(FILTERS, replace(LIMIT, price=D(440))) is None
    assert check(FILTERS, replace(LIMIT, price=D(320))) is None
    assert check(FILTERS, replace(LIMIT, quantity=D("0.013"))) is None
    assert check(FILTERS, replace(MARKET, quantity=D("585.207"))) is None


@pytest.mark.parametrize(
    ("proposal", "code", "words"),
    [
        (replace(LIMIT, price=D("400.001")), Code.FILTER_PRICE, ["PRICE_FILTER", "400.001", "0.01"]),
        (replace(LIMIT, price=D("0.001")), Code.FILTER_PRICE, ["below the minimum of 0.01"]),
        (replace(LIMIT, price=D("100000.01")), Code.FILTER_PRICE, ["above the maximum of 100000"]),
        (
            replace(MARKET, type=OrderType.STOP_MARKET, stop_price=D("0.005")),
            Code.FILTER_PRICE,
            ["stop price"],
        ),
        (
            replace(LIMIT, price=D("440.01")),
            Code.FILTER_PERCENT_PRICE,
            ["PERCENT_PRICE_BY_SIDE", "440", "buy"],
        ),
        (replace(LIMIT, price=D("319.99")), Code.FILTER_PERCENT_PRICE, ["320"]),
        (replace(LIMIT, side=Side.SELL, price=D("480.01")), Code.FILTER_PERCENT_PRICE, ["480", "sell"]),
        (replace(LIMIT, side=Side.SELL, price=D("359.99")), Code.FILTER_PERCENT_PRICE, ["360"]),
        (replace(LIMIT, quantity=D("0.0005")), Code.FILTER_LOT_SIZE, ["0.0005 TSLAB", "0.001 TSLAB"]),
        (replace(LIMIT, quantity=D("0.1005")), Code.FILTER_LOT_SIZE, ["not a multiple of 0.001"]),
        (replace(LIMIT, quantity=D(922328)), Code.FILTER_LOT_SIZE, ["922327"]),
        (replace(MARKET, quantity=D("585.208")), Code.FILTER_MARKET_LOT_SIZE, ["585.20788284"]),
        (replace(LIMIT, quantity=D("0.012")), Code.FILTER_NOTIONAL, ["NOTIONAL", "4.8 USDT", "5 USDT"]),
        (replace(MARKET, quantity=D("0.012")), Code.FILTER_NOTIONAL, ["4.8 USDT"]),
        (replace(LIMIT, quantity=D(22501)), Code.FILTER_NOTIONAL, ["more than the maximum of 9000000 USDT"]),
    ],
)
def test_each_filter_names_itself_the_value_and_the_limit(
    proposal: Proposal, code: Code, words: list[str]
) -> None:
    """A person can correct the row from the sentence."""
    sentence = said(check(FILTERS, proposal), code)
    for word in words:
        assert word in sentence


def test_parts_of_a_filter_that_are_zero_are_off() -> None:
    """Production's MARKET_LOT_SIZE has minimum and step 0: no division by it."""
    assert FILTERS.market_lot_size == StepRange(D(0), D("585.20788284"), D(0))
    assert StepRange().offence(D("0.000000000001")) is None


def test_minimum_worth_binds_market_orders_only_where_it_says_so() -> None:
    """applyMinToMarket and applyMaxToMarket."""
    free = parse_filters([{**SPOT[6], "applyMinToMarket": False}])
    assert check(free, replace(MARKET, quantity=D("0.001"))) is None
    assert not too_small(free, replace(MARKET, quantity=D("0.001")))
    assert too_small(free, replace(LIMIT, quantity=D("0.001")))
    assert check(FILTERS, replace(MARKET, quantity=D("585"), reference=D(20000))) is None


def test_old_minimum_filter_is_read_too() -> None:
    """MIN_NOTIONAL with applyToMarket, where a symbol still has it."""
    old = parse_filters(
        [{"filterType": "MIN_NOTIONAL", "minNotional": "10", "applyToMarket": True, "avgPriceMins": 5}]
    )
    assert "MIN_NOTIONAL" in said(check(old, replace(LIMIT, quantity=D("0.01"))), Code.FILTER_NOTIONAL)


def test_futures_filters_bind_the_harmful_side_and_exempt_reducing() -> None:
    """PERCENT_PRICE there limits only how much worse than the mark price an order may be."""
    filters = parse_filters(FUTURES)
    assert filters.max_orders == (("MAX_NUM_ORDERS", 200),)
    far = Proposal("BTC", "USDT", Side.BUY, OrderType.LIMIT, D("0.01"), price=D(50000), reference=D(70000))
    assert check(filters, far) is None
    said(check(filters, replace(far, price=D(73501))), Code.FILTER_PERCENT_PRICE)
    said(check(filters, replace(far, side=Side.SELL)), Code.FILTER_PERCENT_PRICE)
    said(check(filters, replace(far, quantity=D("0.001"), price=D(49000))), Code.FILTER_NOTIONAL)
    assert check(filters, replace(far, quantity=D("0.001"), price=D(49000), reduce_only=True)) is None


def test_what_the_account_has_counts() -> None:
    """MAX_POSITION for buys, the order counts for all, the algo count for stops."""
    filters = replace(FILTERS, max_position=D(10))
    assert check(filters, LIMIT, Holdings(base_total=D("9.5"), open_buys=D("0.4"))) is None
    sentence = said(
        check(filters, LIMIT, Holdings(base_total=D("9.5"), open_buys=D("0.5"))), Code.FILTER_MAX_POSITION
    )
    assert "10.1 TSLAB" in sentence
    assert check(filters, replace(LIMIT, side=Side.SELL), Holdings(base_total=D(11))) is None
    said(check(filters, LIMIT, Holdings(open_orders=200)), Code.FILTER_MAX_NUM_ORDERS)
    assert "EXCHANGE_MAX_NUM_ORDERS" in said(
        check(filters, LIMIT, Holdings(all_open_orders=1000)), Code.FILTER_MAX_NUM_ORDERS
    )
    stop = replace(LIMIT, type=OrderType.STOP_LIMIT, stop_price=D(410))
    assert check(filters, LIMIT, Holdings(open_algo_orders=5)) is None
    said(check(filters, stop, Holdings(open_algo_orders=5)), Code.FILTER_MAX_NUM_ORDERS)


def test_asset_limit_of_the_account() -> None:
    """MAX_ASSET of myFilters, in base or in quote."""
    limited = parse_filters(SPOT, [{"filterType": "MAX_ASSET", "asset": "USDT", "limit": "30"}])
    assert "30 USDT" in said(check(limited, LIMIT), Code.FILTER_MAX_ASSET)


@pytest.mark.parametrize(
    "row",
    [
        {"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "2"},
        {"filterType": "LOT_SIZE", "minQty": 0.1, "maxQty": "2", "stepSize": "1"},
        {"filterType": "LOT_SIZE", "minQty": "NaN", "maxQty": "2", "stepSize": "1"},
        {"filterType": "MAX_NUM_ORDERS"},
    ],
)
def test_unreadable_filter_is_an_error_and_not_a_filter_less(row: dict[str, Any]) -> None:
    """A filter we cannot read must not count as one that is off."""
    with pytest.raises(ValueError, match=r"filter|number"):
        parse_filters([row])


@pytest.mark.parametrize(
    ("lot", "market", "expected"),
    [("0.001", "0", "0.001"), ("0", "0.5", "0.5"), ("0.2", "0.3", "0.6"), ("0", "0", "0")],
)
def test_market_orders_obey_both_steps(lot: str, market: str, expected: str) -> None:
    """The common multiple of LOT_SIZE and MARKET_LOT_SIZE."""
    filters = Filters(lot_size=StepRange(step=D(lot)), market_lot_size=StepRange(step=D(market)))
    assert filters.quantity_step(OrderType.MARKET) == D(expected)
    assert filters.quantity_step(OrderType.LIMIT) == D(lot)


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [
        ("1.999", "0.01", "1.99"),
        ("1.99", "0.01", "1.99"),
        ("5", "0", "5"),
        ("999999999999.99999999", "0.00000003", "999999999999.99999999"),
    ],
)
def test_rounding_goes_down_only(value: str, step: str, expected: str) -> None:
    """To the step, never above; a step of 0 is none; wide numbers do not overflow the context."""
    assert floor_to_step(D(value), D(step)) <= D(value)
    if step != "0.00000003":
        assert floor_to_step(D(value), D(step)) == D(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+3", "1000"), ("1E-8", "0.00000001"), ("5.00", "5"), ("0.000", "0"), ("100", "100"), ("-0", "0")],
)
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    """Scientific notation is illegal at the exchange; zeros of a whole number stay."""
    assert plain(D(value)) == text
