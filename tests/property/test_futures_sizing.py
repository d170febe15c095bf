"""Sizing of any futures row: never more than asked, never up, and the exchange's filters take it.

The judge is the local exchange's own parameter parsing and filters, plain and conditional, which share no
code with ours.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, localcontext
from types import SimpleNamespace
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from services.local_exchange.accounts import Account
from services.local_exchange.futures.contracts import Contract, default_contracts
from services.local_exchange.futures.parameters import algo_request, order_request
from services.local_exchange.futures.wallet import FuturesAccount
from shared.domain.futures_orders import PositionMode
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.reading import Held, Unit
from shared.domain.sizing import Book, Sized, UnitPolicy, size
from shared.domain.symbol import parse_instrument
from shared.domain.verdicts import Rejected, Waiting
from tests.order_rows import futures_row as row
from tests.property.test_sizing import COLUMN, NobodyVerifies, books, scaled

CONTRACTS = default_contracts()


@st.composite
def cases(draw: st.DrawFn) -> tuple[Contract, PendingOrder, Book, Held | None, UnitPolicy, PositionMode]:
    """Any row on any contract, with prices near the book more often than not."""
    contract = draw(st.sampled_from(CONTRACTS))
    book = draw(books(contract))
    shares = st.sampled_from(["0.5", "0.96", "0.9999", "1", "1.0001", "1.04", "1.5", "4"])
    near = st.builds(lambda share: (book.ask * Decimal(share)).quantize(COLUMN), shares)
    prices = st.one_of(near, near, near, scaled("0", "99999999"))
    worths = st.one_of(
        st.decimals("3", "120", places=4),
        st.decimals("30", "200000", places=2),
        scaled("0.00000001", "99999999"),
    )
    side, reduces = draw(st.sampled_from(Side)), draw(st.booleans())
    held = None
    if reduces and draw(st.integers(0, 4)):
        held_size = max((draw(worths) / book.bid).quantize(COLUMN), COLUMN)
        free = (held_size * Decimal(draw(st.sampled_from(["1", "1", "0.4", "0"])))).quantize(COLUMN)
        held = Held(held_size, free, draw(st.sampled_from([side.opposite, side.opposite, side])))
    amounts = worths | worths.map(lambda worth: max((worth / book.ask).quantize(COLUMN), COLUMN))
    if held is not None:  # the whole position or a part of it, in either unit
        part = Decimal(draw(st.sampled_from(["1", "0.5", "1.004", "0.97"])))
        whole = st.sampled_from([held.size * part, held.size * part * book.bid])
        amounts = st.one_of(amounts, whole.map(lambda one: max(one.quantize(COLUMN), COLUMN)))
    order = row(
        symbol=f"{contract.base}/{contract.quote}",
        side=side,
        type=draw(st.sampled_from(OrderType)),
        amount=draw(amounts),
        price=draw(prices),
        stop_price=draw(prices),
        reduce_only=reduces,
        agent_id=draw(st.sampled_from(["", "fixture"])),
    )
    policy = draw(st.sampled_from([UnitPolicy(), UnitPolicy(by_agent={"fixture": Unit.BASE})]))
    return contract, order, book, held, policy, draw(st.sampled_from(PositionMode))


@settings(max_examples=400)
@given(cases())
def test_what_is_sent_is_no_more_than_asked_and_passes_the_exchanges_filters(
    case: tuple[Contract, PendingOrder, Book, Held | None, UnitPolicy, PositionMode],
) -> None:
    """Any row becomes parameters within all limits, or a sentence."""
    contract, order, book, held, policy, mode = case
    verdict = size(order, parse_instrument(contract.information()), book, held, policy, mode=mode)
    if isinstance(verdict, Rejected | Waiting):
        event(verdict.code)
        assert verdict.sentence.isprintable()
        assert "{" not in verdict.sentence
        return
    event(f"sized {verdict.params['type']} {order.side} {'reducing' if verdict.reduces else 'opening'}")
    with localcontext(prec=60):
        _no_more_than_asked(order, book, held, verdict)
        _exchange_takes(contract, order, book, verdict, mode)


def _no_more_than_asked(order: PendingOrder, book: Book, held: Held | None, sized: Sized) -> None:
    quantity, market = Decimal(sized.params["quantity"]), book.ask if order.side is Side.BUY else book.bid
    price, trigger = (Decimal(sized.params.get(name, "0")) for name in ("price", "triggerPrice"))
    assert quantity == sized.quantity
    assert price <= order.price
    assert trigger <= order.stop_price
    if sized.unit is Unit.BASE:
        assert quantity <= order.amount
    else:
        assert (
            quantity * (max(price, market) if sized.reduces else price or max(market, trigger))
            <= order.amount
        )
    assert sized.reduces is order.reduce_only
    if sized.reduces:
        assert held is not None
        assert held.side is order.side.opposite
        assert quantity <= min(held.size, held.free)


def _exchange_takes(
    contract: Contract, order: PendingOrder, book: Book, sized: Sized, mode: PositionMode
) -> None:
    account = FuturesAccount(Account("a", 1, "k", NobodyVerifies()), hedge=mode is PositionMode.HEDGE)
    # The mark price is what the filters compare with; which of the book's it is near, nobody promises.
    market: Any = SimpleNamespace(contract=contract, mark=book.ask if order.side is Side.BUY else book.bid)
    if sized.conditional:
        taken = algo_request(sized.params, market, account, "named", 1_790_000_000_000)
        assert taken.quantity == sized.quantity
    else:
        request = order_request(sized.params, market, account, 1_790_000_000_000)
        assert request.quantity == sized.quantity
        assert request.reduce_only is (order.reduce_only and mode is PositionMode.ONE_WAY)


@settings(max_examples=100)
@given(cases())
def test_another_market_is_never_sized_as_futures(
    case: tuple[Contract, PendingOrder, Book, Held | None, UnitPolicy, PositionMode],
) -> None:
    """A spot row with a position mode, or a futures row without one, is a mistake of ours: refused."""
    contract, order, book, held, policy, mode = case
    instrument = parse_instrument(contract.information())
    spot = replace(order, market=Market.SPOT)
    for verdict in (
        size(spot, instrument, book, held, policy, mode=mode),
        size(order, instrument, book, held, policy),
    ):
        assert isinstance(verdict, Rejected)
