"""What the exchange itself says of futures positions and of funding."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fill import Fill, UnreadablePayloadError
from shared.domain.futures_positions import (
    ExchangePosition,
    Funding,
    funding_from_event,
    funding_from_income,
    read_positions,
    realized_difference,
)
from shared.domain.holding import count_in
from shared.domain.order import Market, Side
from shared.domain.position import Position, PositionSide, rules_of
from tests.originals import names, original

D = Decimal
START = datetime(2026, 11, 1, tzinfo=UTC)
POSITION = {
    "symbol": "AAPLUSDT",
    "positionAmt": "0.02",
    "entryPrice": "313.20000000000005",
    "liquidationPrice": "305.29503487",
    "leverage": "20",
    "marginType": "isolated",
    "positionSide": "BOTH",
}
EMPTY = Position(rules_of(Market.FUTURES, "BOTH", "BTC", D(0)))


def fill(number: int, side: Side, quantity: str, price: str, realized: str | None = "0") -> Fill:
    return Fill(
        account_id=UUID(int=1),
        market=Market.FUTURES,
        environment_epoch=1,
        symbol="BTCUSDT",
        exchange_order_id=str(number),
        trade_id=number,
        order_id=None,
        client_order_id="",
        side=side,
        price=D(price),
        quantity=D(quantity),
        quote=D(price) * D(quantity),
        commission=D("0.1"),
        commission_asset="USDT",
        commission_in_quote=D("0.1"),
        traded_at=START + timedelta(seconds=number),
        realized=None if realized is None else D(realized),
    )


def test_positions_are_read_with_their_side() -> None:
    """The sign tells the side, in hedge mode too; symbols without a position are left out."""
    short = {**POSITION, "positionAmt": "-0.5", "positionSide": "SHORT", "marginType": "cross"}
    none = {**POSITION, "positionAmt": "0.000"}
    assert read_positions([POSITION, short, none]) == [
        ExchangePosition("AAPLUSDT", PositionSide.LONG, D("0.02"), D("305.29503487"), 20, "isolated"),
        ExchangePosition("AAPLUSDT", PositionSide.SHORT, D("0.5"), D("305.29503487"), 20, "cross"),
    ]


@pytest.mark.parametrize("changes", [{"marginType": "CROSSED"}, {"marginType": "cross"}])
def test_the_bot_knows_two_margin_modes(changes: dict[str, str]) -> None:
    """CROSSED and cross are the same; a position without a liquidation price has 0."""
    (position,) = read_positions([{**POSITION, **changes, "liquidationPrice": "0"}])
    assert (position.margin_mode, position.liquidation_price) == ("cross", D(0))


@pytest.mark.parametrize("body", [None, {}, ["x"], [{"positionAmt": "1"}], [{**POSITION, "leverage": None}]])
def test_unreadable_positions_are_no_positions(body: object) -> None:
    """An answer of another form is an error and never "nothing is held"."""
    with pytest.raises(UnreadablePayloadError):
        read_positions(body)


def test_profit_agrees_with_the_exchanges() -> None:
    """Before fees, by average cost, over partial closes and a flip."""
    fills = [
        fill(1, Side.BUY, "1", "100"),
        fill(2, Side.BUY, "1", "110"),
        fill(3, Side.SELL, "0.5", "120", "7.5"),
        fill(4, Side.SELL, "2", "90", "-22.5"),
        fill(5, Side.BUY, "0.5", "80", "5"),
    ]
    assert realized_difference(EMPTY, count_in(EMPTY, fills), fills) is None
    position = EMPTY
    for one in fills:
        counted = count_in(replace(position, closed=()), [one])
        assert realized_difference(position, counted, [one]) is None
        position = counted.position


def test_a_missing_trade_shows_in_the_profit() -> None:
    """We think it closed at 10 profit, the exchange reckoned another entry."""
    fills = [fill(1, Side.BUY, "1", "100"), fill(2, Side.SELL, "1", "110", "15")]
    assert realized_difference(EMPTY, count_in(EMPTY, fills), fills) == -5


def test_what_the_exchange_does_not_say_is_not_compared() -> None:
    """A source without the figure is no contradiction."""
    fills = [fill(1, Side.BUY, "1", "100", None), fill(2, Side.SELL, "1", "110", None)]
    assert realized_difference(EMPTY, count_in(EMPTY, fills), fills) is None


@given(
    trades=st.lists(
        st.tuples(st.sampled_from(Side), st.integers(1, 500), st.integers(60_000, 80_000)), max_size=12
    )
)
def test_an_exchange_that_rounds_its_entry_price_agrees(trades: list[tuple[Side, int, int]]) -> None:
    """Reckoned by signed size and a rounded entry price, the profit never differs by more than allowed."""
    size, entry, position = D(0), D(0), EMPTY
    for number, (side, lots, price) in enumerate(trades, start=1):
        quantity = D(lots) / 1000
        signed = quantity if side is Side.BUY else -quantity
        closes = min(abs(size), quantity) if size * signed < 0 else D(0)
        realized = (D(price) - entry) * closes * (1 if size > 0 else -1)
        opens = quantity - closes
        if closes and opens:
            entry = D(price)
        elif opens:
            entry = ((abs(size) * entry + opens * price) / (abs(size) + opens)).quantize(D("1e-8"))
        size += signed
        one = fill(number, side, str(quantity), str(price), str(realized.quantize(D("1e-8"))))
        counted = count_in(replace(position, closed=()), [one])
        assert realized_difference(position, counted, [one]) is None
        position = counted.position


def funding(**account: Any) -> dict[str, Any]:
    body = {"m": "FUNDING_FEE", "B": [{"a": "USDC", "wb": "38", "cw": "38", "bc": "-0.00085067"}], "P": []}
    return {"e": "ACCOUNT_UPDATE", "T": 1776787203246, "E": 1776787203246, "a": body | account}


@pytest.mark.parametrize(
    ("account", "symbol"),
    [
        ({}, ""),
        ({"S": "BTCUSDT"}, "BTCUSDT"),
        ({"P": [{"s": "ETHUSDC", "pa": "1"}]}, "ETHUSDC"),
        ({"P": [{"s": "ETHUSDC"}, {"s": "BTCUSDC"}]}, ""),
        ({"P": None}, ""),
    ],
)
def test_funding_of_the_stream(account: dict[str, Any], symbol: str) -> None:
    """Cross margin names the symbol since 2026-08 only; isolated has the position with it."""
    assert funding_from_event(funding(**account)) == [
        Funding(symbol, "USDC", D("-0.00085067"), datetime(2026, 4, 21, 16, 0, 3, 246000, tzinfo=UTC))
    ]


def test_other_changes_of_the_account_are_no_funding() -> None:
    """Only FUNDING_FEE is, and only balances that changed."""
    assert funding_from_event(funding(m="ORDER")) == []
    assert funding_from_event({"e": "ORDER_TRADE_UPDATE"}) == []
    assert funding_from_event(funding(B=[{"a": "BNB", "bc": "0"}])) == []
    with pytest.raises(UnreadablePayloadError):
        funding_from_event(funding(B=[{"a": "USDT"}]))


def test_funding_of_the_income_history() -> None:
    """It has a transaction id; everything else in the history is left out."""
    row = {
        "symbol": "BTCUSDT",
        "incomeType": "FUNDING_FEE",
        "income": "-0.5",
        "asset": "USDT",
        "time": 1776787200000,
        "tranId": 9689322392,
    }
    told = funding_from_income(row)
    assert told == Funding("BTCUSDT", "USDT", D("-0.5"), datetime(2026, 4, 21, 16, 0, tzinfo=UTC), 9689322392)
    assert funding_from_income({**row, "incomeType": "TRANSFER"}) is None
    assert funding_from_income({**row, "tranId": "9689322392"}) == told


def test_captured_payloads_are_readable() -> None:
    """Positions and funding as they were captured or documented."""
    for name in ("live-rest-positionRisk-v2-isolated-open", "doc-rest-position_information_v2"):
        read_positions(original("futures", name))
    for name in names("futures", "*ACCOUNT_UPDATE-FUNDING_FEE*"):
        assert len(funding_from_event(original("futures", name))) == 1, name
    for row in original("futures", "doc-rest-get_income_history"):
        funding_from_income(row)
