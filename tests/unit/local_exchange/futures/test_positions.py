"""The arithmetic of positions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.local_exchange.futures.contracts import default_contracts
from services.local_exchange.futures.positions import Position, PositionSide
from services.local_exchange.orders import Side

D = Decimal


def position(*fills):
    made = Position("BTCUSDT", PositionSide.BOTH)
    realized = [made.fill(Side(side), D(quantity), D(price), D(fee)) for side, quantity, price, fee in fills]
    return made, realized


def test_growing_averages_the_entry():
    """Entry is the average, break-even adds the fees."""
    made, realized = position(("BUY", "1", "100", "0.5"), ("BUY", "3", "120", "1.5"))
    assert (made.amount, made.entry, realized) == (4, 115, [0, 0])
    assert made.break_even() == D("115.5")


def test_shrinking_realises_and_keeps_the_entry():
    """Profit of what was closed; fees stay in proportion."""
    made, realized = position(("BUY", "4", "100", "4"), ("SELL", "1", "110", "9"))
    assert (made.amount, made.entry, realized[1], made.realized) == (3, 100, 10, 10)
    assert made.break_even() == 101


def test_a_short_wins_when_the_price_falls():
    """Signs the other way round; break-even lies below the entry."""
    made, realized = position(("SELL", "2", "100", "2"), ("BUY", "1", "90", "0"))
    assert (made.amount, realized[1]) == (-1, 10)
    assert made.break_even() == 99
    assert made.unrealized(D(80)) == 20


def test_a_flip_closes_and_opens_at_the_price():
    """Everything is realised, the rest starts anew."""
    made, realized = position(("BUY", "1", "100", "1"), ("SELL", "3", "110", "3"))
    assert (made.amount, made.entry, realized[1]) == (-2, 110, 10)
    assert made.break_even() == 109


def test_closing_leaves_nothing():
    """Entry and fees are zero."""
    made, realized = position(("SELL", "1", "100", "1"), ("BUY", "1", "103", "1"))
    assert (made.amount, made.entry, made.fees, realized[1]) == (0, 0, 0, -3)


FILLS = st.lists(
    st.tuples(
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 500).map(lambda lots: D(lots) / 1000),
        st.integers(1, 10**6).map(lambda ticks: D(ticks) / 10),
    ),
    min_size=1,
    max_size=40,
)


@given(FILLS, st.integers(1, 10**6))
def test_realised_and_unrealised_are_the_cash_flow(fills, mark):
    """At any mark price: realised + unrealised = cash received + value of what is held."""
    made, realized = position(*((side, q, p, "0") for side, q, p in fills))
    cash = sum((-q * p if side == "BUY" else q * p) for side, q, p in fills)
    held = sum((q if side == "BUY" else -q) for side, q, _ in fills)
    assert made.amount == held
    difference = sum(realized) + made.unrealized(D(mark)) - (cash + held * mark)
    assert abs(difference) < D("1e-12")


def test_brackets_make_a_continuous_maintenance_margin():
    """At each edge both brackets give the same."""
    contract = default_contracts()[0]
    for lower, upper in zip(contract.brackets, contract.brackets[1:], strict=False):
        edge = lower.cap
        assert edge * lower.rate - lower.cum == edge * upper.rate - upper.cum
    assert contract.largest_notional(125) == 300_000
    assert contract.largest_notional(20) == 12_000_000
    assert contract.largest_notional(1) == 70_000_000


@pytest.mark.parametrize(("notional", "margin"), [("100000", "400"), ("500000", "2200")])
def test_maintenance_margin(notional, margin):
    """Rate times notional, less the bracket's amount."""
    assert default_contracts()[0].maintenance_margin(D(notional)) == D(margin)
