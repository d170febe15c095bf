"""What a futures row becomes: plain or conditional, one-way or hedge, in base, never rounded up."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.filters import StepRange
from shared.domain.futures_orders import PositionMode, mode_of, position_side
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.reading import Held
from shared.domain.sizing import Book, Sized, size
from shared.domain.verdicts import Code, Rejected, Waiting
from tests.order_rows import BTC_PERPETUAL as BTC
from tests.order_rows import futures_row as row

D = Decimal
ONE_WAY, HEDGE = PositionMode.ONE_WAY, PositionMode.HEDGE
BOOK = Book(D("69999.9"), D(70000))


def sized(order: PendingOrder, held: Held | None = None, mode: PositionMode = ONE_WAY) -> Sized:
    verdict = size(order, BTC, BOOK, held, mode=mode)
    assert isinstance(verdict, Sized), verdict
    return verdict


def rejected(order: PendingOrder, code: Code, held: Held | None = None, book: Book = BOOK) -> str:
    verdict = size(order, BTC, book, held, mode=ONE_WAY)
    assert isinstance(verdict, Rejected), verdict
    assert verdict.code is code
    return verdict.sentence


def test_without_a_position_mode_futures_are_not_served() -> None:
    """Whoever does not know the account's mode cannot send; a spot row with one is a mistake, too."""
    for order, mode in ((row(), None), (row(market=Market.SPOT), ONE_WAY)):
        verdict = size(order, BTC, BOOK, mode=mode)
        assert isinstance(verdict, Rejected)
        assert verdict.code is Code.MARKET_NOT_SERVED


def test_market_order_in_quote_becomes_a_quantity() -> None:
    """There is no quoteOrderQty on futures: 350 USDT are 0.005 BTC at the ask."""
    order = sized(row())
    assert dict(order.params) == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.005",
        "newOrderRespType": "RESULT",
    }
    assert order.quantity == D("0.005")
    assert order.quote == 350
    assert not order.reduces
    assert not order.conditional
    assert order.client_id_parameter == "newClientOrderId"


def test_limit_order_is_good_till_cancelled() -> None:
    """The quantity comes from the limit price, which is lowered to the tick."""
    order = sized(row(type=OrderType.LIMIT, price=D("69000.07"), amount=D(700), side=Side.SELL))
    assert dict(order.params) == {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "quantity": "0.01",
        "price": "69000",
        "timeInForce": "GTC",
        "newOrderRespType": "RESULT",
    }


@pytest.mark.parametrize(
    ("side", "type_", "stop", "exchange_type"),
    [
        (Side.BUY, OrderType.STOP_MARKET, "71000", "STOP_MARKET"),
        (Side.BUY, OrderType.STOP_MARKET, "69000", "TAKE_PROFIT_MARKET"),
        (Side.SELL, OrderType.STOP_MARKET, "69000", "STOP_MARKET"),
        (Side.SELL, OrderType.STOP_MARKET, "71000", "TAKE_PROFIT_MARKET"),
        (Side.BUY, OrderType.STOP_LIMIT, "71000", "STOP"),
        (Side.BUY, OrderType.STOP_LIMIT, "69000", "TAKE_PROFIT"),
        (Side.SELL, OrderType.STOP_LIMIT, "69000", "STOP"),
        (Side.SELL, OrderType.STOP_LIMIT, "71000", "TAKE_PROFIT"),
    ],
)
def test_orders_with_a_trigger_go_to_the_algo_service(
    side: Side, type_: OrderType, stop: str, exchange_type: str
) -> None:
    """Stop or take-profit by the side of the market the trigger lies on; the client id has another name."""
    order = sized(row(side=side, type=type_, stop_price=D(stop), price=D(stop), amount=D(700)))
    params = dict(order.params)
    assert params.pop("algoType") == "CONDITIONAL"
    assert params.pop("type") == exchange_type
    assert params.pop("triggerPrice") == stop
    assert params.pop("workingType") == "CONTRACT_PRICE"
    if type_ is OrderType.STOP_LIMIT:
        assert (params.pop("price"), params.pop("timeInForce")) == (stop, "GTC")
    assert params.pop("quantity") in ("0.009", "0.01")
    assert params == {"symbol": "BTCUSDT", "side": side.value.upper()}
    assert order.conditional
    assert order.client_id_parameter == "clientAlgoId"


def test_a_trigger_inside_the_spread_is_rejected() -> None:
    """It would trigger at once (-2021), so it is said before sending."""
    order = row(type=OrderType.STOP_MARKET, stop_price=D(70000))
    rejected(order, Code.TRIGGERS_AT_ONCE, book=Book(D(69990), D(70010)))


LONG = Held(D("0.02"), D("0.02"), Side.BUY)
SHORT = Held(D("0.02"), D("0.02"), Side.SELL)


@pytest.mark.parametrize(("side", "held"), [(Side.SELL, LONG), (Side.BUY, SHORT)])
def test_one_way_reduces_by_reduce_only(side: Side, held: Held) -> None:
    """In one-way mode the parameter says it, and the position side is left at its default."""
    params = sized(row(side=side, amount=D("0.02"), reduce_only=True), held).params
    assert params["reduceOnly"] == "true"
    assert "positionSide" not in params
    assert params["quantity"] == "0.02"


@pytest.mark.parametrize(
    ("side", "reduces", "held", "expected"),
    [
        (Side.BUY, False, None, "LONG"),
        (Side.SELL, False, None, "SHORT"),
        (Side.SELL, True, LONG, "LONG"),
        (Side.BUY, True, SHORT, "SHORT"),
    ],
)
def test_hedge_mode_names_the_position(side: Side, reduces: bool, held: Held | None, expected: str) -> None:
    """In hedge mode the position side says it all; reduceOnly is never sent, not even as false (-1106)."""
    amount = D("0.02") if reduces else D(1400)
    params = sized(row(side=side, amount=amount, reduce_only=reduces), held, HEDGE).params
    assert params["positionSide"] == expected
    assert "reduceOnly" not in params


def test_conditional_orders_reduce_the_same_way() -> None:
    """A stop that closes carries reduceOnly or the position side, as its account needs it."""
    stop = row(
        side=Side.SELL, type=OrderType.STOP_MARKET, stop_price=D(69000), amount=D("0.02"), reduce_only=True
    )
    assert sized(stop, LONG).params["reduceOnly"] == "true"
    assert sized(stop, LONG, HEDGE).params["positionSide"] == "LONG"


def test_impossible_reductions_are_rejected_with_the_reason() -> None:
    """Nothing there, or only a position of the same direction: said before the exchange has to (-2022)."""
    sell = row(side=Side.SELL, amount=D("0.02"), reduce_only=True)
    rejected(sell, Code.NOTHING_TO_REDUCE)
    rejected(sell, Code.NOTHING_TO_REDUCE, SHORT)
    rejected(replace(sell, amount=D(5000)), Code.EXCEEDS_POSITION, LONG)


def test_a_reduction_is_capped_at_what_the_exchange_holds() -> None:
    """The smaller of our position and the exchange's counts."""
    held = Held(D("0.02"), D("0.012"), Side.BUY)
    order = sized(row(side=Side.SELL, amount=D("0.02"), reduce_only=True), held)
    assert order.params["quantity"] == "0.012"
    assert order.reduces


def test_small_reductions_are_exempt_from_the_minimum_worth() -> None:
    """MIN_NOTIONAL does not bind reduce-only orders: a rest of 0.0005 x 70,000 can still be closed."""
    small = Held(D("0.0005"), D("0.0005"), Side.BUY)
    fine = replace(BTC, filters=replace(BTC.filters, lot_size=StepRange(D("0.0001"), D(1000), D("0.0001"))))
    fine = replace(fine, base_precision=4, filters=replace(fine.filters, market_lot_size=StepRange()))
    verdict = size(row(side=Side.SELL, amount=D("0.0005"), reduce_only=True), fine, BOOK, small, mode=ONE_WAY)
    assert isinstance(verdict, Sized), verdict
    rejected(row(amount=D(35), type=OrderType.LIMIT, price=D(35000)), Code.FILTER_NOTIONAL)


def test_without_a_fresh_price_it_waits() -> None:
    """A market order cannot be converted without a price; a limit order has its own."""
    assert isinstance(size(row(), BTC, None, mode=ONE_WAY), Waiting)
    limit = row(type=OrderType.LIMIT, price=D(70000))
    assert isinstance(size(limit, BTC, None, mode=ONE_WAY), Sized)


@given(amount=st.decimals(min_value=71, max_value=10_000_000, places=8, allow_nan=False))
def test_never_more_than_asked_and_on_the_grid(amount: Decimal) -> None:
    """Whatever the amount in quote, the quantity is worth no more, and is a multiple of the step."""
    verdict = size(row(amount=amount), BTC, BOOK, mode=ONE_WAY)
    if isinstance(verdict, Rejected):
        assert verdict.code in (Code.FILTER_MARKET_LOT_SIZE, Code.FILTER_LOT_SIZE)
        return
    assert isinstance(verdict, Sized)
    assert verdict.quantity * 70000 <= amount
    assert verdict.quantity % D("0.001") == 0
    assert amount - verdict.quantity * 70000 < D("0.001") * 70000


def test_position_sides() -> None:
    """One-way accounts know no sides."""
    assert position_side(ONE_WAY, Side.SELL, reduces=True) == "BOTH"


@pytest.mark.parametrize(
    ("body", "mode"),
    [
        ({"dualSidePosition": True}, HEDGE),
        ({"dualSidePosition": False}, ONE_WAY),
        ({"dualSidePosition": "true"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_mode_is_read_and_never_guessed(body: object, mode: PositionMode | None) -> None:
    """An answer that does not say it gives no mode."""
    assert mode_of(body) is mode
