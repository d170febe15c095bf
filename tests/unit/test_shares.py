"""DESIGN 6: a large batch is divided among transactions, and nothing gets out of order by it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.fill_listener.apply import SHARE, shares
from shared.domain.order import Market
from shared.domain.settlement import OrderReport
from shared.domain.states import ExchangeStatus


def report(number: int, account: int, symbol: str) -> OrderReport:
    return OrderReport(
        order_id=UUID(int=number),
        number=1,
        account_id=UUID(int=account),
        market=Market.SPOT,
        symbol=symbol,
        client_order_id="",
        exchange_order_id=str(number),
        status=ExchangeStatus.NEW,
        executed=Decimal(0),
        executed_quote=Decimal(0),
        occurred_at=datetime(2026, 11, 1, tzinfo=UTC),
        source="stream",
    )


positions = st.lists(st.tuples(st.integers(1, 5), st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"])))


@given(positions.map(lambda drawn: [report(n, *one) for n, one in enumerate(drawn)]))
def test_what_is_about_one_position_stays_together_and_in_order(batch: list[OrderReport]) -> None:
    """Every report is settled once; those of one account and symbol by one transaction, as they came."""
    divided = shares(batch)
    assert sorted(one.order_id for half in divided for one in half) == [one.order_id for one in batch]
    by_position = [{(one.account_id, one.symbol) for one in half} for half in divided]
    assert len(by_position) < 2 or not by_position[0] & by_position[1]
    for half in divided:
        ordered = sorted(half, key=lambda one: (one.account_id, one.symbol))
        for _, group in groupby(ordered, key=lambda one: (one.account_id, one.symbol)):
            numbers = [one.order_id for one in group]
            assert numbers == sorted(numbers)


def test_a_small_batch_is_one_transaction_and_a_large_one_two() -> None:
    """A single event pays for no second transaction."""
    assert [len(half) for half in shares([report(n, n, "BTCUSDT") for n in range(SHARE - 1)])] == [SHARE - 1]
    assert [len(half) for half in shares([report(n, n, "BTCUSDT") for n in range(2 * SHARE)])] == [SHARE] * 2
    assert shares([]) == []
