"""Sizing: what an amount becomes at the exchange."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from shared.domain.filters import Holdings, StepRange
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.reading import Held, Unit
from shared.domain.sizing import Book, Sized, UnitPolicy, reduces, size
from shared.domain.verdicts import Code, Rejected, Waiting
from tests.order_rows import BTC, row

D = Decimal
DOGE = replace(
    BTC,
    symbol="DOGEUSDT",
    base="DOGE",
    filters=replace(
        BTC.filters,
        price=StepRange(D("0.00001"), D(1000), D("0.00001")),
        lot_size=StepRange(D(1), D(9000000), D(1)),
        market_lot_size=StepRange(),
    ),
)
BOOK = Book(D(69990), D(70000))
DOGE_BOOK = Book(D("0.1"), D("0.10001"))


def sized(verdict: object) -> Sized:
    assert isinstance(verdict, Sized), verdict
    return verdict


def rejected(verdict: object, code: Code) -> str:
    assert isinstance(verdict, Rejected), verdict
    assert verdict.code is code
    return verdict.sentence


def long(held: str, free: str | None = None) -> Held:
    return Held(D(held), D(free if free is not None else held), Side.BUY)


def sell(**changes: object) -> PendingOrder:
    return row(side=Side.SELL, **changes)


def test_spot_market_buy_names_the_quote_amount() -> None:
    """350 means 350 USDT, and the exchange bounds what is spent."""
    order = sized(size(row(), BTC, BOOK))
    assert dict(order.params) == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quoteOrderQty": "350",
        "newOrderRespType": "FULL",
    }
    assert order.quantity == D("0.005")
    assert order.quote == 350
    assert not order.reduces


def test_quote_amount_is_cut_to_the_quote_precision() -> None:
    """More decimals than the quote asset has are cut, never rounded up."""
    order = sized(size(row(amount=D("350.99999999")), replace(BTC, quote_precision=2), BOOK))
    assert order.params["quoteOrderQty"] == "350.99"


def test_market_buy_without_quote_order_qty_sends_a_quantity() -> None:
    """Where the exchange takes no quoteOrderQty, the ask converts, rounded down to the step."""
    order = sized(size(row(amount=D("350.5")), replace(BTC, quote_order_qty_allowed=False), BOOK))
    assert order.params["quantity"] == "0.005"
    assert "quoteOrderQty" not in order.params


def test_limit_buy_converts_with_its_own_price_and_is_gtc() -> None:
    """A limit order needs no book; its own price bounds what it spends."""
    order = sized(size(row(type=OrderType.LIMIT, price=D("60000.009")), BTC, None))
    assert order.params["type"] == "LIMIT"
    assert order.params["timeInForce"] == "GTC"
    assert order.params["price"] == "60000"
    assert order.params["quantity"] == "0.00583"
    assert order.quote <= 350
    assert any("tick" in note for note in order.notes)


@pytest.mark.parametrize(
    ("policy", "agent", "expected"),
    [
        (UnitPolicy(), "test_agent", None),
        (UnitPolicy(by_agent={"test_agent": Unit.BASE}), "test_agent", "0.1"),
        (UnitPolicy(by_agent={"test_agent": Unit.BASE}), "Test_Agent", None),
        (UnitPolicy(by_market={Market.SPOT: Unit.BASE}), "", "0.1"),
        (UnitPolicy(by_agent={"a": Unit.QUOTE}, by_market={Market.SPOT: Unit.BASE}), "a", None),
        (UnitPolicy(default=Unit.BASE), "", "0.1"),
    ],
)
def test_unit_policy_reads_the_amount(policy: UnitPolicy, agent: str, expected: str | None) -> None:
    """The agent's unit wins over the market's, and that over the default, which is quote."""
    verdict = size(row(amount=D("0.1"), agent_id=agent), BTC, BOOK, policy=policy)
    if expected is None:
        rejected(verdict, Code.ROUNDS_TO_ZERO)
    else:
        assert sized(verdict).params["quantity"] == expected


@pytest.mark.parametrize(
    ("side", "stop", "limit", "expected"),
    [
        (Side.BUY, "71000", None, "STOP_LOSS"),
        (Side.BUY, "69000", None, "TAKE_PROFIT"),
        (Side.BUY, "71000", "71100", "STOP_LOSS_LIMIT"),
        (Side.SELL, "69000", None, "STOP_LOSS"),
        (Side.SELL, "71000", None, "TAKE_PROFIT"),
        (Side.SELL, "71000", "70900", "TAKE_PROFIT_LIMIT"),
    ],
)
def test_stop_orders_are_named_by_the_side_of_the_trigger(
    side: Side, stop: str, limit: str | None, expected: str
) -> None:
    """Above the market is a buyer's stop and a seller's profit; below it the other way round."""
    kind = OrderType.STOP_MARKET if limit is None else OrderType.STOP_LIMIT
    order = row(side=side, type=kind, stop_price=D(stop), price=D(limit or 0))
    result = sized(size(order, BTC, BOOK, long("0.005")))
    assert result.params["type"] == expected
    assert result.params["stopPrice"] == stop
    assert ("timeInForce" in result.params) is (limit is not None)


def test_stop_between_bid_and_ask_is_rejected() -> None:
    """It would trigger at once, which is not what a stop is for."""
    verdict = size(row(type=OrderType.STOP_MARKET, stop_price=D(69995)), BTC, BOOK)
    assert "69995" in rejected(verdict, Code.TRIGGERS_AT_ONCE)


def test_stop_buy_is_sized_by_its_trigger() -> None:
    """It buys at the trigger, so the trigger converts, and no more is spent than asked."""
    order = sized(size(row(type=OrderType.STOP_MARKET, stop_price=D(80000)), BTC, BOOK))
    assert order.params["quantity"] == "0.00437"


@pytest.mark.parametrize("book", [None, Book(D(0), D(0)), Book(D(0), D(70000))])
def test_market_order_waits_for_a_price(book: Book | None) -> None:
    """No book, or one side of it empty, is no price."""
    verdict = size(row(), BTC, book)
    assert isinstance(verdict, Waiting)
    assert verdict.code is Code.NO_FRESH_PRICE


@pytest.mark.parametrize(
    ("amount", "held", "quantity"),
    [
        ("0.005", "0.005", "0.005"),  # the size: base
        ("0.00500", "0.004995", "0.00499"),  # the size before the fee: base, capped
        ("350", "0.005", "0.005"),  # the worth: quote (350 / 69990 is a little more: capped)
        ("345", "0.005", "0.00492"),  # about the worth: quote, but never more than asked
        ("175", "0.005", "0.0025"),  # half of it can only be quote
        ("0.0025", "0.005", "0.0025"),  # half of it can only be base: 0.0025 USDT is no order
    ],
)
def test_sell_is_read_against_the_position(amount: str, held: str, quantity: str) -> None:
    """The amount is base or quote, whichever fits what is held."""
    order = sized(size(sell(amount=D(amount)), BTC, BOOK, long(held)))
    assert order.params["quantity"] == quantity
    assert order.reduces


def test_sell_that_can_be_read_both_ways_is_rejected() -> None:
    """50 of 1,000 DOGE or 50 USDT of them: nobody guesses."""
    verdict = size(sell(amount=D(50), symbol="DOGE/USDT"), DOGE, DOGE_BOOK, long("1000"))
    sentence = rejected(verdict, Code.UNIT_UNCLEAR)
    assert "50 DOGE" in sentence
    assert "500 DOGE" in sentence


def test_sell_read_both_ways_follows_the_unit_named_for_the_agent() -> None:
    """A unit that was named explicitly leaves one reading."""
    for unit, quantity in ((Unit.BASE, "50"), (Unit.QUOTE, "500")):
        policy = UnitPolicy(by_agent={"trimmer": unit})
        order = sell(amount=D(50), agent_id="trimmer")
        assert sized(size(order, DOGE, DOGE_BOOK, long("1000"), policy)).params["quantity"] == quantity


@pytest.mark.parametrize(("amount", "quantity"), [("1000", "1000"), ("100", "1000")])
def test_sell_of_the_whole_position_is_clear_in_either_unit(amount: str, quantity: str) -> None:
    """1,000 names all the DOGE, 100 names all their worth."""
    assert sized(size(sell(amount=D(amount)), DOGE, DOGE_BOOK, long("1000"))).params["quantity"] == quantity


def test_of_two_readings_that_name_the_whole_position_the_smaller_is_sold() -> None:
    """Where the price is near 1, 100 is all of it in either unit, and nobody sells more than the lesser."""
    book = Book(D("1.003"), D("1.004"))
    order = sized(size(sell(amount=D(100)), DOGE, book, long("100")))
    assert order.params["quantity"] == "99"
    assert order.unit is Unit.QUOTE


def test_sell_of_more_than_is_held_is_rejected_in_both_units() -> None:
    """Neither 500 BTC nor 500 USDT of a position worth 350 fits."""
    sentence = rejected(size(sell(amount=D(500)), BTC, BOOK, long("0.005")), Code.EXCEEDS_POSITION)
    assert "0.005" in sentence
    assert "349.95" in sentence


def test_sell_is_capped_by_what_is_free_at_the_exchange() -> None:
    """Half of the position is locked in another order: the rest is sold, and that is said."""
    order = sized(size(sell(amount=D("0.005")), BTC, BOOK, long("0.005", "0.0025")))
    assert order.params["quantity"] == "0.0025"
    assert any("free at the exchange" in note for note in order.notes)


def test_sell_says_what_stays_behind_as_dust() -> None:
    """What the step cuts off is too little to be sold and is named."""
    order = sized(size(sell(amount=D("0.00499999")), BTC, BOOK, long("0.00499999")))
    assert order.params["quantity"] == "0.00499"
    assert any("0.00000999 BTC stays behind" in note for note in order.notes)


@pytest.mark.parametrize("held", [None, Held(D(0), D(1), Side.BUY), Held(D(1), D(1), Side.SELL)])
def test_sell_without_a_long_position_is_rejected(held: Held | None) -> None:
    """A spot sell never opens a short."""
    rejected(size(sell(), BTC, BOOK, held), Code.NOTHING_TO_REDUCE)


def test_reduce_only_buy_on_spot_is_rejected() -> None:
    """There is no short on spot that a buy could reduce."""
    rejected(size(row(reduce_only=True), BTC, BOOK, long("1")), Code.NOTHING_TO_REDUCE)


def test_sell_with_everything_locked_is_rejected() -> None:
    """The sentence says that it is locked or gone."""
    assert "locked" in rejected(size(sell(), BTC, BOOK, long("0.005", "0")), Code.NOTHING_FREE)


def test_position_that_is_dust_is_rejected_with_the_minimum() -> None:
    """A position under the minimum worth cannot be sold, and the minimum is named."""
    sentence = rejected(size(sell(amount=D("0.00003")), BTC, BOOK, long("0.00003")), Code.DUST)
    assert "5 USDT" in sentence


def test_too_small_a_part_of_a_good_position_names_the_filter() -> None:
    """2 USDT of a position worth 350 are refused for their worth, not as dust."""
    assert "NOTIONAL" in rejected(size(sell(amount=D(2)), BTC, BOOK, long("0.005")), Code.FILTER_NOTIONAL)
    rejected(size(sell(amount=D("0.0000001")), BTC, BOOK, long("0.005")), Code.ROUNDS_TO_ZERO)


def test_limit_sell_below_the_market_sells_no_more_than_asked() -> None:
    """It trades at the bid, so the bid converts and not the lower limit."""
    order = sell(amount=D(175), type=OrderType.LIMIT, price=D(60000))
    assert sized(size(order, BTC, BOOK, long("0.005"))).params["quantity"] == "0.0025"


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"amount": D(4)}, Code.FILTER_NOTIONAL, ["NOTIONAL", "5 USDT"]),
        ({"amount": D("0.5")}, Code.ROUNDS_TO_ZERO, ["0.00001 BTC"]),
        ({"amount": D(9000000)}, Code.FILTER_MARKET_LOT_SIZE, ["MARKET_LOT_SIZE", "120 BTC"]),
        ({"type": OrderType.LIMIT, "price": D(400000)}, Code.FILTER_PERCENT_PRICE, ["350000", "buy"]),
        ({"type": OrderType.LIMIT, "price": D("0.001")}, Code.FILTER_PRICE, ["PRICE_FILTER", "0.001"]),
        ({"type": OrderType.LIMIT, "price": D(2000000)}, Code.FILTER_PRICE, ["1000000"]),
        ({"amount": D(0)}, Code.AMOUNT_NOT_POSITIVE, ["0"]),
        ({"amount": D("NaN")}, Code.AMOUNT_NOT_POSITIVE, ["NaN"]),
        ({"market": Market.FUTURES}, Code.MARKET_NOT_SERVED, ["futures"]),
    ],
)
def test_bad_rows_are_rejected_with_filter_value_and_limit(
    changes: dict[str, object], code: Code, words: list[str]
) -> None:
    """The sentence names what a person needs to correct the row."""
    sentence = rejected(size(row(**changes), BTC, BOOK), code)
    for word in words:
        assert word in sentence


def test_symbol_that_is_not_trading_is_rejected() -> None:
    """A symbol in CANCEL_ONLY takes no order."""
    verdict = size(row(), replace(BTC, status="CANCEL_ONLY"), BOOK)
    assert "CANCEL_ONLY" in rejected(verdict, Code.SYMBOL_NOT_TRADING)


def test_type_the_symbol_does_not_take_is_rejected() -> None:
    """The exchange's list of types decides."""
    rejected(size(row(), replace(BTC, order_types=frozenset({"LIMIT"})), BOOK), Code.TYPE_NOT_ALLOWED)


def test_account_limits_are_checked_when_they_are_known() -> None:
    """MAX_POSITION and the order counts look at what the account has."""
    capped = replace(
        BTC, filters=replace(BTC.filters, max_position=D(1), max_orders=(("MAX_NUM_ORDERS", 2),))
    )
    fits = size(row(), capped, BOOK, holdings=Holdings(base_total=D("0.9"), open_orders=1))
    assert sized(fits).quantity == D("0.005")
    rejected(size(row(), capped, BOOK, holdings=Holdings(base_total=D("0.999"))), Code.FILTER_MAX_POSITION)
    rejected(size(row(), capped, BOOK, holdings=Holdings(open_orders=2)), Code.FILTER_MAX_NUM_ORDERS)


def test_what_reduces() -> None:
    """Every spot sell reduces; on futures only reduce_only does."""
    assert reduces(sell())
    assert not reduces(row())
    assert not reduces(sell(market=Market.FUTURES))
    assert reduces(sell(market=Market.FUTURES, reduce_only=True))
