"""PROTOCOL 6: one order told by an answer, a query and the stream is one report."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shared.domain.attempt import client_order_id
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.order import Market
from shared.domain.reports import report_of_answer, report_of_event, report_of_query, with_trades
from shared.domain.states import ExchangeStatus

ROW, ACCOUNT = UUID(int=7), UUID(int=8)
OURS = client_order_id(ROW, 2)
ORIGIN = FillOrigin(ACCOUNT, Market.SPOT, 3, ("BTC", "USDT"))


def answer(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": OURS, "transactTime": 1507725176595,
        "executedQty": "1.5", "cummulativeQuoteQty": "6000", "status": "FILLED", "side": "BUY",
        "fills": [
            {"price": "4000", "qty": "1", "commission": "0.001", "commissionAsset": "BTC", "tradeId": 56},
            {"price": "4000", "qty": "0.5", "commission": "0", "commissionAsset": "BTC", "tradeId": 57},
        ],
    } | changes  # fmt: skip


def event(**changes: Any) -> dict[str, Any]:
    return {
        "e": "executionReport", "E": 1507725176600, "T": 1507725176595, "s": "BTCUSDT", "S": "BUY", "c": OURS,
        "C": "", "i": 28, "x": "TRADE", "X": "FILLED", "z": "1.5", "Z": "6000", "l": "0.5", "L": "4000",
        "Y": "2000", "n": "0", "N": None, "t": 57, "m": True,
    } | changes  # fmt: skip


def query(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": OURS, "executedQty": "1.5", "status": "FILLED",
        "cummulativeQuoteQty": "6000", "time": 1507725176500, "updateTime": 1507725176595, "side": "BUY",
    } | changes  # fmt: skip


def test_three_sources_tell_the_same() -> None:
    """Row, attempt, order, status, sums and time agree; only the source and the fills differ."""
    told = [
        report_of_answer(answer(), ORIGIN),
        report_of_query(query(), ORIGIN),
        report_of_event(event(), ORIGIN),
    ]
    same = {
        (
            report.order_id,
            report.number,
            report.exchange_order_id,
            report.status,
            report.executed,
            report.executed_quote,
            report.occurred_at,
        )
        for report in told
        if report is not None
    }
    assert len(told) == 3
    assert len(same) == 1
    assert [report.source for report in told if report] == ["answer", "query", "stream"]


def test_fills_belong_to_the_row() -> None:
    """Each fill carries the row, the account, the epoch and our id."""
    report = report_of_answer(answer(), ORIGIN)
    assert report is not None
    assert [fill.trade_id for fill in report.fills] == [56, 57]
    assert {(f.order_id, f.account_id, f.environment_epoch, f.client_order_id) for f in report.fills} == {
        (ROW, ACCOUNT, 3, OURS)
    }


def test_an_event_that_is_no_trade_has_no_fill() -> None:
    """NEW tells the order exists and nothing more."""
    report = report_of_event(event(x="NEW", X="NEW", z="0", Z="0", t=-1), ORIGIN)
    assert report is not None
    assert (report.status, report.fills) == (ExchangeStatus.NEW, ())


def test_a_cancel_keeps_our_id_in_capital_c() -> None:
    """On CANCELED `c` is the cancel request's id; taking it would lose the order."""
    report = report_of_event(event(x="CANCELED", X="CANCELED", c="cancel-1", C=OURS), ORIGIN)
    assert report is not None
    assert (report.order_id, report.status) == (ROW, ExchangeStatus.CANCELED)


def test_the_answer_to_a_cancel() -> None:
    """A DELETE answers with the cancel's id in clientOrderId and ours in origClientOrderId."""
    told = answer(status="CANCELED", clientOrderId="cancel-1", origClientOrderId=OURS, fills=None)
    report = report_of_answer(told, ORIGIN)
    assert report is not None
    assert (report.order_id, report.client_order_id, report.fills) == (ROW, OURS, ())


def test_an_ack_says_accepted_and_nothing_more() -> None:
    """ACK has neither status nor sums: the order is NEW until something else is told."""
    ack = {k: v for k, v in answer().items() if k in ("symbol", "orderId", "clientOrderId", "transactTime")}
    report = report_of_answer(ack, ORIGIN)
    assert report is not None
    assert report.status is ExchangeStatus.NEW
    assert not report.executed
    assert not report.fills


@pytest.mark.parametrize("theirs", ["", "web_1234", str(ROW), OURS.upper(), OURS[:-1] + "0"])
def test_other_ids_are_none_of_ours(theirs: str) -> None:
    """Manual orders, the bot's bare ids and look-alikes give no report."""
    assert report_of_event(event(c=theirs), ORIGIN) is None
    assert report_of_query(query(clientOrderId=theirs), ORIGIN) is None
    assert report_of_answer(answer(clientOrderId=theirs), ORIGIN) is None


def test_quote_that_is_not_available_counts_as_none() -> None:
    """Very old orders show a negative cumulative quote: not available."""
    report = report_of_query(query(cummulativeQuoteQty="-1"), ORIGIN)
    assert report is not None
    assert report.executed_quote == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"X": "HALF_DONE"},
        {"z": 1.5},
        {"z": "NaN"},
        {"i": "28"},
        {"s": None},
        {"T": None, "E": None},
        {"T": -62135596800001},
        {"T": 2**80},
    ],
)
def test_what_cannot_be_read_is_an_error(changes: dict[str, Any]) -> None:
    """Nothing is guessed: an unknown status or a number of another form is refused."""
    with pytest.raises(UnreadablePayloadError):
        report_of_event(event(**changes), ORIGIN)


def trade(trade_id: int, quantity: str, order: int = 28) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "id": trade_id, "orderId": order, "price": "4000", "qty": quantity,
        "quoteQty": str(Decimal(quantity) * 4000), "commission": "0", "commissionAsset": "BTC",
        "time": 1507725176595, "isBuyer": True, "isMaker": False,
    }  # fmt: skip


def test_listed_trades_are_at_least_what_was_executed() -> None:
    """The trade list may be ahead of the order's last report; then its sum is the cumulative quantity."""
    report = report_of_query(query(executedQty="1", cummulativeQuoteQty="4000"), ORIGIN)
    assert report is not None
    told = with_trades(report, [trade(56, "1"), trade(57, "0.5"), trade(58, "9", order=29)], ORIGIN)
    assert [fill.trade_id for fill in told.fills] == [56, 57]
    assert (told.executed, told.executed_quote) == (Decimal("1.5"), Decimal(6000))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@example({"T": -62135596800001})  # a millisecond before the calendar begins
@given(st.dictionaries(st.sampled_from(list(event())), st.none() | st.text() | st.integers() | st.booleans()))
def test_garbage_is_refused_or_none(changes: dict[str, Any]) -> None:
    """Whatever stands in an event's fields, it is a report, none of ours, or unreadable; never a crash."""
    with suppress(UnreadablePayloadError):
        report_of_event(event(**changes), ORIGIN)
