"""What the futures exchange says about an order, in every form in which it says it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from shared.domain.fill import Fill, FillOrigin, UnreadablePayloadError, contradiction
from shared.domain.futures_algo import algo_from_event, algo_from_order, is_algo_id
from shared.domain.futures_fills import fill_from_event, fill_from_trade
from shared.domain.order import Market, OrderStatus, Side
from shared.domain.reports import (
    order_of_event,
    report_of_answer,
    report_of_event,
    report_of_query,
    with_trades,
)
from shared.domain.settlement import Line, OrderReport, with_report
from shared.domain.states import AlgoStatus, AttemptOutcome, EntryState, ExchangeStatus
from tests.originals import names, original

D = Decimal
ROW = UUID(int=7)
OWN_ID = f"b{ROW.hex}-1"
ACCOUNT = UUID(int=3)
ORIGIN = FillOrigin(ACCOUNT, Market.FUTURES, 1, ("DOT", "USDT"), prices={("BNB", "USDT"): D(600)})

# An order that opens, in the shapes of a capture of 2026-09.
PLACED = {
    "orderId": 33878894217,
    "symbol": "DOTUSDT",
    "status": "FILLED",
    "clientOrderId": OWN_ID,
    "price": "0.000000",
    "origQty": "4.9",
    "executedQty": "4.9",
    "cumQty": "4.9",
    "timeInForce": "GTC",
    "type": "MARKET",
    "reduceOnly": False,
    "closePosition": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "stopPrice": "0.000000",
    "workingType": "CONTRACT_PRICE",
    "priceProtect": False,
    "origType": "MARKET",
    "priceMatch": "NONE",
    "selfTradePreventionMode": "EXPIRE_MAKER",
    "goodTillDate": 0,
    "updateTime": 1789837689736,
}
TRADE = {
    "symbol": "DOTUSDT",
    "id": 1190331610,
    "orderId": 33878894217,
    "pair": "DOTUSDT",
    "side": "BUY",
    "price": "1.135900",
    "qty": "4.9",
    "realizedPnl": "0",
    "quoteQty": "5.5659100",
    "commission": "0.00000325",
    "commissionAsset": "BNB",
    "time": 1789837689736,
    "positionSide": "BOTH",
    "buyer": True,
    "maker": False,
}
ALGO_PLACED = {
    "algoId": 4000001910368571,
    "clientAlgoId": OWN_ID,
    "algoType": "CONDITIONAL",
    "orderType": "STOP_MARKET",
    "symbol": "DOTUSDT",
    "side": "BUY",
    "positionSide": "BOTH",
    "quantity": "4.9",
    "algoStatus": "NEW",
    "triggerPrice": "1.132200",
    "updateTime": 1789826233630,
}


def trade_event(**changes: Any) -> dict[str, Any]:
    order = {
        "s": "DOTUSDT",
        "c": OWN_ID,
        "S": "BUY",
        "o": "MARKET",
        "f": "GTC",
        "q": "4.9",
        "p": "0",
        "ap": "1.1359",
        "sp": "0",
        "x": "TRADE",
        "X": "FILLED",
        "i": 33878894217,
        "l": "4.9",
        "z": "4.9",
        "L": "1.1359",
        "n": "0.00000325",
        "N": "BNB",
        "T": 1789837689736,
        "t": 1190331610,
        "m": False,
        "R": False,
        "ps": "BOTH",
        "rp": "0",
        "er": "0",
    }
    return {
        "e": "ORDER_TRADE_UPDATE",
        "T": 1789837689736,
        "E": 1789837689736,
        "o": {**order, **changes},
    }


def algo_event(status: str, **changes: Any) -> dict[str, Any]:
    order = {"caid": OWN_ID, "aid": 4000001910368571, "s": "DOTUSDT", "q": "4.9", "X": status, "ai": ""}
    return {"e": "ALGO_UPDATE", "T": 1789826233630, "E": 1789826233631, "o": {**order, **changes}}


def report(of: OrderReport | None) -> OrderReport:
    assert of is not None
    return of


def fill(of: Fill | None) -> Fill:
    assert of is not None
    return of


def line(**changes: Any) -> Line:
    """An attempt just claimed."""
    fresh = Line(
        order_id=ROW,
        number=1,
        account_id=ACCOUNT,
        market="futures",
        symbol="DOTUSDT",
        client_order_id=OWN_ID,
        quote_asset="USDT",
        order_status=OrderStatus.OPEN,
        reasoning="",
        entry_state=EntryState.SENDING,
        entry_attempts=1,
        counted=0,
        has_evidence=False,
        token=UUID(int=9),
        outcome=None,
        exchange_order_id="",
        exchange_status=None,
        executed=D(0),
        executed_quote=D(0),
        filled=D(0),
        fee=D(0),
        fee_asset="",
        fee_in_quote=D(0),
        another_attempt_live=False,
    )
    return replace(fresh, **changes)


def test_an_answer_tells_quantities_and_no_price() -> None:
    """RESULT has lost avgPrice and cumQuote: the report says how much, the fills will say at what price."""
    told = report(report_of_answer(PLACED, ORIGIN))
    assert (told.order_id, told.number, told.status) == (ROW, 1, ExchangeStatus.FILLED)
    assert (told.executed, told.executed_quote, told.fills) == (D("4.9"), D(0), ())
    assert told.exchange_order_id == "33878894217"
    assert told.occurred_at == datetime(2026, 9, 19, 17, 8, 9, 736000, tzinfo=UTC)


def test_fields_that_vanished_are_not_missed_and_not_used() -> None:
    """A query with or without average price and quote reads the same."""
    query = {**PLACED, "time": 1789837689736, "avgPrice": "999", "cumQuote": "999"}
    del query["cumQty"]
    bare = {key: value for key, value in query.items() if key not in ("avgPrice", "cumQuote")}
    assert report_of_query(query, ORIGIN) == report_of_query(bare, ORIGIN)
    assert report(report_of_query(query, ORIGIN)).source == "query"


def test_an_order_of_somebody_else_is_no_report() -> None:
    """Manual orders, liquidations and the bot's own have other ids."""
    for other in ("web_1", "autoclose-1", str(ROW)):
        assert report_of_query({**PLACED, "clientOrderId": other}, ORIGIN) is None
        assert report_of_event(trade_event(c=other), ORIGIN) is None
        assert report_of_event(algo_event("NEW", caid=other), ORIGIN) is None


def test_event_and_trade_list_tell_the_same_fill() -> None:
    """Whoever is first, the other finds the same key and the same content."""
    streamed = report(report_of_event(trade_event(), ORIGIN)).fills[0]
    listed = with_trades(report(report_of_answer(PLACED, ORIGIN)), [TRADE], ORIGIN).fills[0]
    assert streamed.key == listed.key
    assert contradiction(streamed, listed) is None
    assert streamed == listed
    assert streamed.quote == D("5.56591")
    assert streamed.commission_in_quote == D("0.00195")
    assert (streamed.position_side, streamed.realized, streamed.is_maker) == ("BOTH", D(0), False)
    assert (streamed.order_id, streamed.client_order_id) == (ROW, OWN_ID)


def test_trades_of_other_orders_are_left_out() -> None:
    """A trade list may hold more than was asked for."""
    told = with_trades(report(report_of_answer(PLACED, ORIGIN)), [{**TRADE, "orderId": 5}], ORIGIN)
    assert told.fills == ()


@pytest.mark.parametrize("key", ["s", "i", "t", "S", "L", "l", "T", "ps"])
def test_an_execution_that_lacks_something_is_unreadable(key: str) -> None:
    """Nothing is made up: the account is reconciled instead."""
    event = trade_event()
    del event["o"][key]
    with pytest.raises(UnreadablePayloadError):
        report_of_event(event, ORIGIN)


def test_commission_is_optional_but_never_without_its_asset() -> None:
    """Documentation and captures disagree on whether n and N are sent without a commission."""
    free = trade_event()
    del free["o"]["n"], free["o"]["N"]
    assert fill(fill_from_event(free, ORIGIN)).commission == 0
    assert fill(fill_from_event(trade_event(n="0", N="USDT"), ORIGIN)).commission_asset == ""
    with pytest.raises(UnreadablePayloadError):
        fill_from_event(trade_event(N=None), ORIGIN)


@pytest.mark.parametrize("kind", ["NEW", "CANCELED", "EXPIRED", "AMENDMENT"])
def test_only_executions_are_fills(kind: str) -> None:
    """All other events carry l, L and t as zero."""
    assert fill_from_event(trade_event(x=kind, l="0", t=0, L="0"), ORIGIN) is None


def test_liquidations_are_fills_of_orders_that_are_not_ours() -> None:
    """CALCULATED executes like TRADE; without quantity or trade id it says nothing that can be stored."""
    event = trade_event(x="CALCULATED", c="autoclose-1790000000000000001", S="SELL", rp="-5", ps="LONG")
    told = fill(fill_from_event(event, replace(ORIGIN, order_id=None)))
    assert (told.order_id, told.side, told.realized) == (None, Side.SELL, D(-5))
    assert told.client_order_id == "autoclose-1790000000000000001"
    assert fill_from_event(trade_event(x="CALCULATED", l="0"), ORIGIN) is None
    assert fill_from_event(trade_event(x="CALCULATED", t=0), ORIGIN) is None


def test_trades_know_their_side_by_name() -> None:
    """`side` and not `buyer` decides; an unknown position side is unreadable."""
    assert fill_from_trade({**TRADE, "side": "SELL", "positionSide": "SHORT"}, ORIGIN).side is Side.SELL
    with pytest.raises(UnreadablePayloadError):
        fill_from_trade({**TRADE, "positionSide": "NEITHER"}, ORIGIN)


def test_a_conditional_order_just_placed() -> None:
    """It is accepted under the algo service's id, marked as such: order ids are numbered elsewhere."""
    told = report(report_of_answer(ALGO_PLACED, ORIGIN))
    assert (told.status, told.executed) == (ExchangeStatus.NEW, D(0))
    assert told.exchange_order_id == "algo-4000001910368571"
    assert is_algo_id(told.exchange_order_id)
    assert report(report_of_event(algo_event("NEW"), ORIGIN)).exchange_order_id == told.exchange_order_id


def test_a_query_never_says_what_a_conditional_order_filled() -> None:
    """The documentation shows actualQty on an order that never triggered: the order it became is asked."""
    order = {**ALGO_PLACED, "algoStatus": "CANCELED", "actualOrderId": "", "actualQty": "0.01"}
    assert algo_from_order(order).executed == 0
    finished = {**ALGO_PLACED, "algoStatus": "FINISHED", "actualOrderId": "33878894217", "actualQty": "4.9"}
    told = report(report_of_query(finished, ORIGIN))
    assert (told.status, told.exchange_order_id) == (ExchangeStatus.NEW, "33878894217")


def test_absent_fields_before_the_trigger() -> None:
    """`ap`, `aq` and `rm` are absent before there is something to say."""
    algo = algo_from_event(algo_event("NEW"))
    assert (algo.executed, algo.actual_order_id, algo.reason) == (D(0), "", "")
    with pytest.raises(UnreadablePayloadError):
        algo_from_event(algo_event("SOMETHING"))


TRIGGERED = algo_event("TRIGGERED", ai="33878894217", ap="0", aq="0")
FINISHED = algo_event("FINISHED", ai="33878894217", ap="1.1359", aq="4.9")
CHILD_NEW = trade_event(x="NEW", X="NEW", l="0", z="0", L="0", t=0, n="0")
FIRST = trade_event(X="PARTIALLY_FILLED", l="2", z="2", L="1.1359", t=1)
SECOND = trade_event(l="2.9", z="4.9", L="1.1360", t=2)


def settled(start: Line, events: Any) -> Line:
    """Settle events as the database does: a fill is fresh once."""
    stored: set[object] = set()
    for event in events:
        told = report(report_of_event(event, ORIGIN))
        fresh = [one for one in told.fills if one.key not in stored]
        stored |= {one.key for one in fresh}
        start = with_report(start, told, fresh)
    return start


def test_a_triggered_order_ends_the_same_in_any_order_of_events() -> None:
    """The events of the order it became may come before the algo service's own; the row ends the same."""
    for events in itertools.permutations([algo_event("NEW"), CHILD_NEW, FIRST, SECOND, TRIGGERED, FINISHED]):
        end = settled(line(), events)
        assert (end.order_status, end.entry_state) == (OrderStatus.FILLED, EntryState.DONE), events
        assert (end.executed, end.filled, end.gap) == (D("4.9"), D("4.9"), D(0)), events
        assert end.exchange_order_id == "33878894217", events
        assert end.executed_quote == 2 * D("1.1359") + D("2.9") * D("1.1360"), events
        assert end.outcome is AttemptOutcome.ACCEPTED, events
        assert not end.late, events


def test_a_missed_child_shows_as_a_gap() -> None:
    """FINISHED alone says how much filled, not at what price: the trades are asked for, and the row waits."""
    end = settled(line(), [algo_event("NEW"), FINISHED])
    assert (end.order_status, end.gap, end.exchange_order_id) == (OrderStatus.OPEN, D("4.9"), "33878894217")
    assert end.entry_state is EntryState.SUBMITTED
    end = settled(end, [FIRST, SECOND])
    assert (end.order_status, end.gap, end.entry_state) == (OrderStatus.FILLED, D(0), EntryState.DONE)


def test_a_finished_order_without_its_fill_is_not_concluded() -> None:
    """Cancelled or expired in the engine: only the order it became can say which, so the row stays open."""
    nothing = algo_event("FINISHED", ai="33878894217", ap="0", aq="0")
    end = settled(line(), [nothing])
    assert (end.order_status, end.entry_state) == (OrderStatus.OPEN, EntryState.SUBMITTED)
    expired = trade_event(x="EXPIRED", X="EXPIRED", l="0", z="0", t=0, n="0")
    for events in ([nothing, expired], [expired, nothing]):
        assert settled(line(), events).order_status is OrderStatus.EXPIRED


def test_a_refusal_at_the_trigger_is_told_with_its_reason() -> None:
    """Margin is checked only then; the row is rejected the way the bot words it."""
    refused = algo_event("REJECTED", rm="Margin is insufficient.")
    end = settled(line(reasoning="breakout"), [algo_event("NEW"), refused])
    assert (end.order_status, end.entry_state) == (OrderStatus.REJECTED, EntryState.DONE)
    assert end.reason == "Margin is insufficient."
    assert end.reasoning.startswith("Rejected: Margin is insufficient.")
    assert end.reasoning.endswith("breakout")


def test_a_refusal_nobody_heard_has_a_reason_all_the_same() -> None:
    """The answer to a query does not say why; the row does not stay without a word."""
    refused = report(report_of_query({**ALGO_PLACED, "algoStatus": "REJECTED"}, ORIGIN))
    end = with_report(line(), refused, ())
    assert end.order_status is OrderStatus.REJECTED
    assert end.reasoning.startswith("Rejected: Binance refused the order when its trigger was reached")
    assert report(report_of_query({**ALGO_PLACED, "algoStatus": "CANCELED"}, ORIGIN)).reason == ""


@pytest.mark.parametrize(
    ("status", "expected"), [("CANCELED", OrderStatus.CANCELED), ("EXPIRED", OrderStatus.EXPIRED)]
)
def test_a_conditional_order_that_never_triggers(status: str, expected: OrderStatus) -> None:
    """Cancelled by us, or by the exchange because its position is gone."""
    end = settled(line(), [algo_event("NEW"), algo_event(status)])
    assert (end.order_status, end.entry_state) == (expected, EntryState.DONE)


def test_the_average_price_is_that_of_the_fills() -> None:
    """While fills are missing it is the average of those there are, never a quotient of unlike things."""
    half = settled(line(executed=D("4.9"), exchange_status=ExchangeStatus.FILLED, filled=D(0)), [FIRST])
    assert (half.gap, half.average_price) == (D("2.9"), D("1.1359"))


def test_which_events_speak_of_orders() -> None:
    """Everything else on the stream is no order, and unknown kinds are ignored."""
    assert order_of_event(trade_event()) == trade_event()["o"]
    assert order_of_event(algo_event("NEW")) == algo_event("NEW")["o"]
    for kind in ("ACCOUNT_UPDATE", "TRADE_LITE", "listenKeyExpired", "SOMETHING_NEW", None):
        assert order_of_event({"e": kind, "s": "DOTUSDT", "o": {"s": "DOTUSDT"}}) is None
    assert order_of_event({"e": "executionReport", "s": "BTCUSDT"}) is not None


def test_every_captured_order_event_is_readable() -> None:
    """Whatever was captured, documented or derived reads without an error, under an id of ours."""
    seen = 0
    for named in names("futures", "*-event-*"):
        payload = original("futures", named)
        for event in payload if isinstance(payload, list) else [payload]:
            event = event.get("data", event)
            order = order_of_event(event)
            if order is None:
                continue
            seen += 1
            name = "caid" if event["e"] == "ALGO_UPDATE" else "c"
            told = report(report_of_event({**event, "o": {**order, name: OWN_ID}}, ORIGIN))
            assert told.symbol == order["s"], named
    assert seen > 25


def test_captured_answers_are_readable() -> None:
    """Placing, cancelling, querying and listing, plain and conditional."""
    orders = (
        "doc-rest-new_order",
        "doc-rest-query_order",
        "doc-rest-cancel_order",
        "live-rest-order-query-filled",
    )
    for name in orders:
        assert report_of_query({**original("futures", name), "clientOrderId": OWN_ID}, ORIGIN) is not None
    for name in ("doc-rest-new_algo_order", "doc-rest-query_algo_order", "live-rest-algoOrder-place"):
        assert report_of_query({**original("futures", name), "clientAlgoId": OWN_ID}, ORIGIN) is not None
    for name in ("live-rest-allOrders-limit3", "live-rest-allOrders-canceled-and-triggered"):
        for order in original("futures", name):
            assert report_of_query({**order, "clientOrderId": OWN_ID}, ORIGIN) is not None
    for name in (
        "live-rest-userTrades-usdt-fee",
        "live-rest-userTrades-limit5",
        "doc-rest-account_trade_list",
    ):
        for trade in original("futures", name):
            assert fill_from_trade(trade, ORIGIN).symbol == trade["symbol"]


def test_all_statuses_of_the_algo_service_are_readable() -> None:
    """None of the documented ones is unknown."""
    for status in AlgoStatus:
        assert report_of_event(algo_event(status), ORIGIN) is not None
