"""Fills from each source, what they add up to, and the comparison with the exchange's own sums."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from shared.domain.fees import convert, usd_value
from shared.domain.fill import (
    Fill,
    FillOrigin,
    UnreadablePayloadError,
    contradiction,
    from_answer,
    from_event,
    from_trade,
)
from shared.domain.order import Market, Side
from tests.originals import original

D = Decimal
START = datetime(2026, 11, 1, tzinfo=UTC)
ORIGIN = FillOrigin(UUID(int=1), Market.SPOT, 1, ("BTC", "USDT"), UUID(int=7))


def event(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "e": "executionReport",
        "E": 1790000000001,
        "s": "BTCUSDT",
        "c": "b0000000000000000000000000000007-1",
        "S": "BUY",
        "C": "",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "r": "NONE",
        "i": 4293153,
        "l": "0.00200000",
        "z": "0.00200000",
        "L": "70000.01000000",
        "n": "0.00000200",
        "N": "BTC",
        "T": 1790000000000,
        "t": 77517,
        "m": True,
        "Z": "140.00002000",
        "Y": "140.00002000",
    }
    return told | changes


def answer(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "orderId": 4293153,
        "clientOrderId": "b0000000000000000000000000000007-1",
        "transactTime": 1790000000000,
        "executedQty": "0.00200000",
        "cummulativeQuoteQty": "140.00002000",
        "status": "FILLED",
        "side": "BUY",
        "fills": [
            {
                "price": "70000.01000000",
                "qty": "0.00200000",
                "commission": "0.00000200",
                "commissionAsset": "BTC",
                "tradeId": 77517,
            }
        ],
    }
    return told | changes


def trade(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "id": 77517,
        "orderId": 4293153,
        "price": "70000.01000000",
        "qty": "0.00200000",
        "quoteQty": "140.00002000",
        "commission": "0.00000200",
        "commissionAsset": "BTC",
        "time": 1790000000000,
        "isBuyer": True,
        "isMaker": True,
    }
    return told | changes


def told_by_stream(**changes: Any) -> Fill:
    fill = from_event(event(**changes), ORIGIN)
    assert fill is not None
    return fill


def test_three_sources_tell_the_same_execution() -> None:
    """Stream, answer and myTrades give one key and one content."""
    stream = told_by_stream()
    (direct,) = from_answer(answer(), ORIGIN)
    listed = from_trade(trade(), ORIGIN)
    assert stream.key == direct.key == listed.key
    for one, other in itertools.combinations((stream, direct, listed), 2):
        assert contradiction(one, other) is None
        assert one.moment == other.moment
    assert stream.quote == direct.quote == D("140.00002")
    assert stream.commission_in_quote == D("0.14000002")
    assert stream.side is Side.BUY
    assert stream.is_maker
    assert stream.traded_at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


def test_key_tells_orders_of_a_self_trade_and_epochs_apart() -> None:
    """One trade id, two orders; one id again after a testnet was wiped."""
    fill = told_by_stream()
    assert told_by_stream(i=4293154).key != fill.key
    wiped = from_event(event(), replace(ORIGIN, environment_epoch=2))
    assert wiped is not None
    assert wiped.key != fill.key


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"L": "70000.02000000"}, "price"),
        ({"l": "0.00300000"}, "quantity"),
        ({"S": "SELL"}, "side"),
        ({"n": "0.00000201"}, "commission"),
        ({"N": "BNB"}, "commission_asset"),
        ({"Y": "140.00002002"}, "quote"),
    ],
)
def test_other_content_under_one_key_is_named(changes: dict[str, str], differs: str) -> None:
    """So that the alarm can say what differs."""
    assert contradiction(told_by_stream(), told_by_stream(**changes)) == differs


def test_times_and_the_last_decimal_of_quote_may_differ() -> None:
    """Sources cut the product of price and quantity at another decimal, and tell their own times."""
    assert contradiction(told_by_stream(), told_by_stream(Y="140.00002001", T=1790000000005, m=False)) is None


@pytest.mark.parametrize("kind", ["NEW", "CANCELED", "REPLACED", "REJECTED", "EXPIRED", "TRADE_PREVENTION"])
def test_events_that_are_no_trade_have_no_fill(kind: str) -> None:
    """Only x=TRADE is one; an STP event carries its quantities elsewhere."""
    assert from_event(event(x=kind, t=-1, l="0.00000000", N=None), ORIGIN) is None


def test_other_events_have_no_fill() -> None:
    """Balances and list states pass by."""
    assert from_event({"e": "outboundAccountPosition", "x": "TRADE"}, ORIGIN) is None


def test_trade_without_commission_has_no_asset() -> None:
    """The exchange says null then."""
    fill = told_by_stream(n="0", N=None)
    assert (fill.commission, fill.commission_asset) == (D(0), "")
    assert fill.commission_in_quote == 0


@pytest.mark.parametrize("field", ["s", "i", "t", "l", "L", "Y", "T", "S"])
@pytest.mark.parametrize("value", [None, "", [], 1.5, "x y", True])
def test_unreadable_trade_is_an_error_and_never_a_smaller_fill(field: str, value: Any) -> None:
    """Whatever is missing or of another form."""
    if (field, value) == ("s", "x y"):
        return
    with pytest.raises(UnreadablePayloadError):
        from_event(event(**{field: value}), ORIGIN)


def test_commission_in_a_third_asset_waits_for_a_price() -> None:
    """It is valued when a route is known, and left open when none is."""
    assert told_by_stream(n="0.0001", N="BNB").commission_in_quote is None
    priced = replace(ORIGIN, prices={("BNB", "USDT"): D(700)})
    fill = from_event(event(n="0.0001", N="BNB"), priced)
    assert fill is not None
    assert fill.commission_in_quote == D("0.07")


def test_answer_of_a_resting_order_has_no_fills() -> None:
    """ACK and RESULT answers have no list, FULL ones an empty one."""
    assert from_answer(answer(fills=[]), ORIGIN) == ()
    assert from_answer({"symbol": "BTCUSDT", "orderId": 1}, ORIGIN) == ()


def test_documented_payloads_are_read() -> None:
    """The examples of the exchange's documentation."""
    full = original("spot", "rest__new-order__response-full")
    fills = from_answer(full, ORIGIN)
    assert [fill.trade_id for fill in fills] == [56, 57, 58, 59, 60]
    assert sum(fill.quantity for fill in fills) == 10
    assert fills[0].side is Side.SELL
    (listed,) = original("spot", "rest__account-trade-list__response")
    assert from_trade(listed, replace(ORIGIN, pair=("BNB", "BTC"))).commission_in_quote == D("40.400010100")


PRICES = {
    ("BTC", "USDT"): D(70000),
    ("BNB", "BTC"): D("0.01"),
    ("USDT", "TRY"): D(35),
    ("ZERO", "USDT"): D(0),
}


@pytest.mark.parametrize(
    ("amount", "asset", "to", "expected"),
    [
        ("2", "USDT", "USDT", "2"),
        ("2", "BTC", "USDT", "140000"),
        ("70", "TRY", "USDT", "2"),
        ("1", "BNB", "USDT", "700"),
        ("0", "NOWHERE", "USDT", "0"),
        ("1", "NOWHERE", "USDT", None),
        ("1", "ZERO", "USDT", None),
    ],
)
def test_conversion(amount: str, asset: str, to: str, expected: str | None) -> None:
    """Direct, inverse, over one asset between, or not at all."""
    assert convert(D(amount), asset, to, PRICES) == (None if expected is None else D(expected))


def test_dollar_likes_count_as_dollars() -> None:
    """A named assumption."""
    assert usd_value(D(5), "USDC", {}) == 5
    assert usd_value(D(1), "BNB", PRICES) == 700
    assert usd_value(D(1), "NOWHERE", PRICES) is None
