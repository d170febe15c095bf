"""Sizing of any row: what it sends is never more than asked, and the exchange's filters take it.

The judge is the local exchange's own parameter parsing and filters, which share no code with ours.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.local_exchange.accounts import Account
from services.local_exchange.filters import check_converted_quantity, check_filters
from services.local_exchange.orders import ZERO
from services.local_exchange.parameters import order_request
from services.local_exchange.symbols import Symbol, default_symbols
from shared.domain.order import OrderType, PendingOrder, Side
from shared.domain.reading import WHOLE_BASE_TOLERANCE, WHOLE_QUOTE_TOLERANCE, Held, Unit
from shared.domain.sizing import Book, Sized, UnitPolicy, size
from shared.domain.symbol import parse_instrument
from shared.domain.verdicts import Rejected, Waiting
from tests.order_rows import row

if TYPE_CHECKING:
    from services.local_exchange.futures.contracts import Contract

SYMBOLS = default_symbols()
COLUMN = Decimal("0.00000001")


class NobodyVerifies:
    """The signature is not what this is about."""

    can_log_on = False

    def verify(self, payload: bytes, signature: str) -> bool:
        return True


def scaled(low: str, high: str) -> st.SearchStrategy[Decimal]:
    """Amounts of every size between two, with up to 8 decimals as the column has them."""
    digits = st.integers(1, 99999999)
    return st.builds(
        lambda number, exponent: min(
            max(Decimal(number).scaleb(exponent).quantize(COLUMN), Decimal(low)), Decimal(high)
        ),
        digits,
        st.integers(-15, 4),
    )


@st.composite
def books(draw: st.DrawFn, symbol: Symbol | Contract) -> Book:
    """A book around the start price, on the tick, never crossed."""
    bid = symbol.tick * draw(
        st.integers(int(symbol.start_price / symbol.tick / 3), int(symbol.start_price / symbol.tick * 3))
    )
    return Book(bid, bid + symbol.tick * draw(st.integers(1, 20)))


def _held(book: Book, worth: Decimal, free: str) -> Held:
    size = max((worth / book.bid).quantize(COLUMN), COLUMN)
    return Held(size, (size * Decimal(free)).quantize(COLUMN), Side.BUY)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Symbol, PendingOrder, Book, Held | None, UnitPolicy]:
    """Any row on any symbol, with prices near the book more often than not."""
    symbol = draw(st.sampled_from(SYMBOLS))
    book = draw(books(symbol))
    wild = scaled("0.00000001", "99999999")
    shares = st.sampled_from(["0.5", "0.9", "0.98", "0.9999", "1", "1.0001", "1.02", "1.5", "4", "6"])
    near = st.builds(lambda share: (book.ask * Decimal(share)).quantize(COLUMN), shares)
    prices = st.one_of(near, near, near, scaled("0", "99999999"))
    worths = st.one_of(st.decimals("3", "30", places=4), st.decimals("30", "20000", places=2), wild)
    held = draw(
        st.none() | st.builds(lambda *of: _held(book, *of), worths, st.sampled_from(["1", "1", "0.4", "0"]))
    )
    amounts = worths | worths.map(lambda worth: max((worth / book.ask).quantize(COLUMN), COLUMN))
    side = draw(st.sampled_from(Side))
    if held is not None and side is Side.SELL:  # the whole position or a part of it, in either unit
        part = Decimal(draw(st.sampled_from(["1", "0.5", "1.004", "0.97"])))
        whole = st.sampled_from([held.size * part, held.size * part * book.bid])
        amounts = st.one_of(amounts, whole.map(lambda one: max(one.quantize(COLUMN), COLUMN)))
    order = row(
        symbol=f"{symbol.base}/{symbol.quote}",
        side=side,
        type=draw(st.sampled_from(OrderType)),
        amount=draw(amounts),
        price=draw(prices),
        stop_price=draw(prices),
        reduce_only=draw(st.sampled_from([False, False, False, True])),
        agent_id=draw(st.sampled_from(["", "fixture"])),
    )
    policy = draw(st.sampled_from([UnitPolicy(), UnitPolicy(by_agent={"fixture": Unit.BASE})]))
    return symbol, order, book, held, policy


@settings(max_examples=300)
@given(cases())
def test_what_is_sent_is_no_more_than_asked_and_passes_the_exchanges_filters(
    case: tuple[Symbol, PendingOrder, Book, Held | None, UnitPolicy],
) -> None:
    """Any row becomes parameters within all limits, or a sentence."""
    symbol, order, book, held, policy = case
    verdict = size(order, parse_instrument(symbol.information()), book, held, policy)
    if isinstance(verdict, Rejected | Waiting):
        event(verdict.code)
        assert verdict.sentence.isprintable()
        assert "{" not in verdict.sentence
        return
    event(f"sized {verdict.params['type']} {order.side}")
    with localcontext(prec=60):
        _no_more_than_asked(order, book, held, verdict)
        _exchange_takes(symbol, order, book, verdict)


def _no_more_than_asked(order: PendingOrder, book: Book, held: Held | None, sized: Sized) -> None:
    price = Decimal(sized.params.get("price", "0"))
    if "quoteOrderQty" in sized.params:
        assert Decimal(sized.params["quoteOrderQty"]) <= order.amount
        return
    quantity = Decimal(sized.params["quantity"])
    assert quantity == sized.quantity
    if sized.unit is Unit.BASE:
        assert quantity <= order.amount
    elif order.side is Side.BUY:
        assert quantity * (price or book.ask) <= order.amount
    else:
        assert quantity * max(price, book.bid) <= order.amount
    if order.side is Side.SELL:
        assert held is not None
        assert quantity <= min(held.size, held.free)
        tolerance = WHOLE_BASE_TOLERANCE if sized.unit is Unit.BASE else WHOLE_QUOTE_TOLERANCE
        asked = order.amount if sized.unit is Unit.BASE else order.amount / max(price, book.bid)
        assert asked <= held.size * (1 + tolerance)
    if price:
        assert price <= order.price
    if "stopPrice" in sized.params:
        assert Decimal(sized.params["stopPrice"]) <= order.stop_price


def _exchange_takes(symbol: Symbol, order: PendingOrder, book: Book, sized: Sized) -> None:
    account = Account("a", 1, "k", NobodyVerifies())
    market = book.ask if order.side is Side.BUY else book.bid
    request = order_request(sized.params, symbol.name)
    check_filters(request, symbol, account, market)
    if request.quote_order_qty > ZERO:
        converted = request.quote_order_qty / market
        check_converted_quantity(converted - converted % symbol.step, symbol)
