"""What answers and failures mean (PROTOCOL 5), row by row as the exchange would send them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.binance.failures import Reason
from shared.domain.answers import CANCEL, QUERY, ROWS
from shared.domain.answers_row import Place, Row
from shared.domain.classify import (
    CancelOutcome,
    Classification,
    Expected,
    Pause,
    QueryOutcome,
    classify,
    classify_cancel,
    classify_failure,
    classify_query,
    find_order,
    shows,
)
from shared.domain.order import Market
from shared.domain.states import AttemptOutcome

CODES = json.loads(
    (Path(__file__).resolve().parents[2] / "shared/domain/exchange_codes.json").read_text(encoding="utf-8")
)
US = Expected("b6f9619ff8b86d011b42d00cf4fc964ff-3", "BTCUSDT")
ORDER = {"symbol": "BTCUSDT", "orderId": 28, "clientOrderId": US.client_order_id, "status": "FILLED"}
ALGO = {"symbol": "BTCUSDT", "algoId": 28, "clientAlgoId": US.client_order_id, "algoStatus": "NEW"}
MARKETS = pytest.mark.parametrize("market", Market)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


def parsed(body: bytes) -> object:
    """A body as the caller hands it over: parsed, or None when it is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def texts(row: Row[Any]) -> list[str]:
    """Every text a row can come with; where some texts have rows of their own, one that has none."""
    own = any(other.code == row.code and other.message and other.market is row.market for other in ROWS)
    if own or row.code is None:
        return ["", "A text nobody has documented"]
    return CODES[row.market]["codes"][str(row.code)]["messages"] or [""]


def name(row: Row[Any]) -> str:
    """A row's name in the report of a test run."""
    return f"{row.market}-{row.statuses[0]}-{row.code}-{(row.message or row.reason)[:40]}"


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_each_row_as_the_exchange_sends_it(row: Place) -> None:
    """Rendered as an HTTP answer, a row is classified as itself, whichever text it comes with."""
    for text in texts(row):
        answer = row.example(text)
        got = classify(row.market, answer.status, parsed(answer.body), US)
        assert (got.outcome, got.reason_code, got.pause) == (row.outcome, row.reason, row.pause)
        assert got.sentence.startswith(row.sentence)
        assert (got.resync_clock, got.alarm, got.source) == (row.resync_clock, row.alarm, row.source)


@pytest.mark.parametrize("row", QUERY.rows, ids=name)
def test_each_row_for_a_question(row: Row[QueryOutcome]) -> None:
    """The same for the answers to questions."""
    answer = row.example()
    got = classify_query(row.market, answer.status, parsed(answer.body), US)
    assert (got.outcome, got.reason_code, got.pause) == (row.outcome, row.reason, row.pause)


@pytest.mark.parametrize("row", CANCEL.rows, ids=name)
def test_each_row_for_a_cancel(row: Row[CancelOutcome]) -> None:
    """The same for the answers to cancels."""
    answer = row.example()
    got = classify_cancel(row.market, answer.status, parsed(answer.body), US)
    assert (got.outcome, got.reason_code, got.pause) == (row.outcome, row.reason, row.pause)


def place(
    market: Market, status: int, code: int | None = None, msg: str = "", **more: Any
) -> Classification[Any]:
    """Classify an answer to an order."""
    body = None if code is None and not msg else {"msg": msg} if code is None else {"code": code, "msg": msg}
    return classify(market, status, body, US, **more)


# What the protocol says, case by case, independent of the table.
@pytest.mark.parametrize(
    ("market", "status", "code", "msg", "outcome"),
    [
        ("spot", 400, -2010, "Account has insufficient balance for requested action.", "rejected"),
        ("spot", 400, -2010, "Duplicate order sent.", "unknown"),
        ("spot", 400, -1010, "duplicate order sent", "unknown"),
        ("futures", 400, -2010, "Duplicate order sent.", "unknown"),
        ("futures", 400, -4116, "ClientOrderId is duplicated.", "unknown"),
        ("spot", 400, -2010, "Some new text.", "unknown"),
        ("spot", 400, -1013, "Filter failure: LOT_SIZE", "rejected"),
        ("spot", 400, -1013, "Filter failure: A_NEW_ONE", "rejected"),
        ("spot", 400, -1121, "Invalid symbol.", "rejected"),
        ("spot", 500, -1121, "Invalid symbol.", "unknown"),
        ("spot", 404, -1121, "Invalid symbol.", "unknown"),
        ("spot", 200, -1121, "Invalid symbol.", "unknown"),
        ("spot", 400, -9999, "Nobody knows.", "unknown"),
        ("spot", 400, None, "", "unknown"),
        ("spot", 401, None, "", "unknown"),
        ("spot", 410, None, "", "unknown"),
        ("spot", 402, None, "", "unknown"),
        ("spot", 200, None, "", "unknown"),
        ("spot", 301, None, "", "unknown"),
        ("spot", 502, None, "", "unknown"),
        ("spot", 520, None, "", "unknown"),
        ("spot", 403, None, "", "not_sent"),
        ("spot", 403, -2010, "Account has insufficient balance for requested action.", "not_sent"),
        ("spot", 418, -1003, "Way too much request weight used; IP banned until 1.", "not_sent"),
        ("spot", 429, -2010, "Duplicate order sent.", "not_sent"),
        ("futures", 503, -1000, "Service Unavailable.", "not_sent"),
        ("futures", 503, None, "Service Unavailable.", "not_sent"),
        ("spot", 503, -1000, "Service Unavailable.", "unknown"),
        ("spot", 503, None, "Service Unavailable.", "unknown"),
        ("futures", 503, None, "Service Unavailable", "unknown"),
        ("futures", 503, None, "Service unavailable.", "unknown"),
        ("futures", 503, None, "Service unavailable from a restricted location.", "unknown"),
        ("futures", 503, None, "", "unknown"),
        ("futures", 500, -1000, "Service Unavailable.", "unknown"),
        ("futures", 503, -1000, "Unknown error, please check your request or try again later.", "unknown"),
        ("futures", 503, -1008, "Server is currently overloaded with other requests.", "unknown"),
        ("futures", 503, -1001, "Internal error; unable to process your request.", "unknown"),
        ("futures", 408, -1007, "Timeout waiting for response from backend server.", "unknown"),
        ("spot", 400, -1016, "This service is no longer available.", "unknown"),
        ("futures", 400, -1016, "This service is no longer available.", "unknown"),
        ("spot", 400, -1000, "An unknown error occurred while processing the request.", "unknown"),
        ("spot", 400, -1006, "An unexpected response was received from the message bus.", "unknown"),
        ("spot", 400, -2013, "Order does not exist.", "unknown"),
        ("spot", 400, -2021, "Order cancel-replace partially failed.", "unknown"),
        ("futures", 400, -2021, "Order would immediately trigger.", "rejected"),
        ("spot", 400, -2026, "Order was canceled or expired", "unknown"),
        ("futures", 400, -2026, "This OrderType is not supported when reduceOnly.", "rejected"),
        ("futures", 400, -2019, "Margin is insufficient.", "rejected"),
        ("futures", 400, -4016, "Limit price can't be higher than 81000.0.", "rejected"),
        ("futures", 400, -4411, "Please sign TradFi-Perps agreement contract fapi.", "rejected"),
        ("futures", 451, 0, "Service unavailable from a restricted location", "rejected"),
        ("spot", 451, None, "", "unknown"),
    ],
)
def test_the_protocols_own_cases(market: str, status: int, code: int | None, msg: str, outcome: str) -> None:
    """The cases PROTOCOL 5 and the exchange's documentation name."""
    assert place(Market(market), status, code, msg).outcome is AttemptOutcome(outcome)


@MARKETS
def test_a_wrong_clock_sends_nothing_and_asks_for_the_time(market: Market) -> None:
    """-1021 is not_sent, pauses nothing and resyncs the clock; -5028 says the same of the futures engine."""
    for code in (-1021, -5028) if market is Market.FUTURES else (-1021,):
        got = place(market, 400, code, "Timestamp for this request is outside of the recvWindow.")
        assert (got.outcome, got.resync_clock, got.pause) == (AttemptOutcome.NOT_SENT, True, None)


@MARKETS
@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("code", [-2014, -2015, -1022])
def test_a_refused_key_rejects_the_row_and_pauses_the_key_without_end(
    market: Market, status: int, code: int
) -> None:
    """Until the account's row changes: no time is given, whatever the header says."""
    got = place(market, status, code, "Invalid API-key, IP, or permissions for action.", retry_after="5")
    assert (got.outcome, got.pause, got.retry_after_s) == (AttemptOutcome.REJECTED, Pause.KEY, None)


@MARKETS
def test_order_limits_pause_the_account_and_request_limits_the_address(market: Market) -> None:
    """-1015 speaks of the account; any other 429, and 418, of this machine's address."""
    orders = place(market, 429, -1015, "Too many new orders.", retry_after="7")
    assert (orders.outcome, orders.pause, orders.retry_after_s) == (
        AttemptOutcome.NOT_SENT,
        Pause.ACCOUNT,
        7.0,
    )
    weight = place(market, 429, -1003, "Too many requests.", retry_after="11")
    assert (weight.outcome, weight.pause, weight.retry_after_s) == (
        AttemptOutcome.NOT_SENT,
        Pause.ADDRESS,
        11.0,
    )
    banned = place(market, 418, None, "", retry_after="120")
    assert (banned.outcome, banned.pause, banned.retry_after_s) == (
        AttemptOutcome.NOT_SENT,
        Pause.ADDRESS,
        120.0,
    )


@pytest.mark.parametrize(
    ("header", "message", "now", "seconds"),
    [
        ("30", "IP banned until 1790000120000.", 1_790_000_000_000, 30.0),
        (" 30 ", "", None, 30.0),
        (None, "Way too many requests; IP banned until 1790000120000. Please", 1_790_000_000_000, 120.0),
        (None, "IP banned until 1790000120000", 1_790_000_119_900, 1.0),
        (None, "IP banned until 1790000120000", None, 120.0),
        ("soon", "", None, 120.0),
        ("-5", "", None, 120.0),
        ("1e9", "", None, 120.0),
        ("999999999", "", None, 259_200.0),
        (None, "", None, 120.0),
    ],
)
def test_how_long_a_ban_lasts(header: str | None, message: str, now: int | None, seconds: float) -> None:
    """The header wins, then the moment in the message, then the shortest ban; at most three days."""
    got = place(Market.FUTURES, 418, -1003, message, retry_after=header, now_exchange_ms=now)
    assert got.retry_after_s == seconds


@MARKETS
@pytest.mark.parametrize("status", [200, 201])
@pytest.mark.parametrize("body", [ORDER, ALGO], ids=["order", "conditional"])
def test_an_order_is_accepted_on_its_own_id_and_symbol(market: Market, status: int, body: object) -> None:
    """A 2xx that shows the order sent is accepted, whatever the order's own status."""
    got = classify(market, status, body, US)
    assert (got.outcome, got.reason_code, got.sentence) == (AttemptOutcome.ACCEPTED, "", "")


@MARKETS
@pytest.mark.parametrize("status", [300, 400, 404, 408, 500, 503])
def test_an_order_under_an_errors_status_is_not_accepted(market: Market, status: int) -> None:
    """What contradicts itself is asked about."""
    assert classify(market, status, ORDER, US).outcome is AttemptOutcome.UNKNOWN


@MARKETS
@pytest.mark.parametrize(
    "body",
    [
        ORDER | {"clientOrderId": "b6f9619ff8b86d011b42d00cf4fc964ff-2"},
        ORDER | {"symbol": "ETHUSDT"},
        ORDER | {"symbol": "btcusdt"},
        {"symbol": "BTCUSDT", "origClientOrderId": US.client_order_id, "clientOrderId": "cancelOfIt"},
        {"clientOrderId": US.client_order_id},
        [ORDER],
        {},
        None,
        "FILLED",
    ],
)
def test_an_answer_to_another_request_is_no_answer(market: Market, body: object) -> None:
    """Another id, another symbol, a cancel's answer, half an object: the outcome stays unknown."""
    assert classify(market, 200, body, US).outcome is AttemptOutcome.UNKNOWN


@given(
    market=st.sampled_from(Market),
    status=st.integers(100, 599),
    body=json_values
    | st.fixed_dictionaries(
        {"code": st.integers(-6000, 200) | json_values, "msg": st.text(max_size=60) | json_values}
    ),
    retry_after=st.none() | st.text(max_size=12),
    now=st.none() | st.integers(0, 2**53),
)
def test_whatever_comes_a_no_needs_its_reason(
    market: Market, status: int, body: object, retry_after: str | None, now: int | None
) -> None:
    """No answer raises; rejected needs a listed code under 4xx, not_sent what the protocol names."""
    got = classify(market, status, body, US, retry_after=retry_after, now_exchange_ms=now)
    code = body.get("code") if isinstance(body, dict) else None
    assert got.outcome is not AttemptOutcome.ACCEPTED
    if got.outcome is AttemptOutcome.REJECTED:
        assert 400 <= status < 500
        assert str(code) in CODES[market]["codes"]
    if got.outcome is AttemptOutcome.NOT_SENT:
        assert status in (403, 418, 429, 503) or code in (-1015, -1021, -5028)
    if got.pause in (Pause.ADDRESS, Pause.ACCOUNT):
        assert got.retry_after_s is not None
        assert 0 <= got.retry_after_s <= 259_200
    assert got.sentence.isprintable()
    asked = classify_query(market, status, body, US, retry_after=retry_after, now_exchange_ms=now)
    assert asked.outcome is not QueryOutcome.FOUND
    if asked.outcome is QueryOutcome.EMPTY:
        assert code == -2013 or (status == 200 and isinstance(body, list))
    assert classify_cancel(market, status, body, US).outcome is not CancelOutcome.CANCELED


@pytest.mark.parametrize(
    "reason", [*(r.value for r in Reason), "cancelled", "lease_expired", "something else"]
)
def test_only_zero_bytes_prove_that_nothing_was_sent(reason: str) -> None:
    """Whatever the failure: no byte written is not_sent, one byte or nobody knowing is unknown."""
    assert classify_failure(reason, 0).outcome is AttemptOutcome.NOT_SENT
    assert classify_failure(reason, 1).outcome is AttemptOutcome.UNKNOWN
    assert classify_failure(reason, None).outcome is AttemptOutcome.UNKNOWN


@pytest.mark.parametrize(
    ("reason", "counts"),
    [("dns", True), ("connect", True), ("silence", True), ("too_late", False), ("no_free_connection", False)],
)
def test_only_the_addresss_own_failures_count_towards_its_pause(reason: str, counts: bool) -> None:
    """What we did ourselves does not close an address."""
    assert classify_failure(reason, 0).endpoint_failed is counts


def test_an_unknown_failure_is_said_loudly() -> None:
    """A label the table does not have still gets the safe outcome, with an alarm."""
    got = classify_failure("melted", 12)
    assert (got.outcome, got.alarm, got.reason_code) == (AttemptOutcome.UNKNOWN, True, "transport_melted")


@MARKETS
@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, ORDER, "found"),
        (200, ALGO, "found"),
        (200, [{"symbol": "BTCUSDT", "clientOrderId": "x"}, ORDER], "found"),
        (200, [], "empty"),
        (200, [{"symbol": "BTCUSDT", "clientOrderId": "x"}], "empty"),
        (200, ORDER | {"clientOrderId": "other"}, "failed"),
        (200, {}, "failed"),
        (200, None, "failed"),
        (200, ["what"], "failed"),
        (200, {"code": -2013, "msg": "Order does not exist."}, "failed"),
        (400, {"code": -2013, "msg": "Order does not exist."}, "empty"),
        (404, {"code": -2013, "msg": "Order does not exist."}, "failed"),
        (500, {"code": -2013, "msg": "Order does not exist."}, "failed"),
        (400, {"code": -2011, "msg": "Unknown order sent."}, "failed"),
        (400, {"code": -1021, "msg": "Timestamp"}, "failed"),
        (401, {"code": -2015, "msg": "Invalid API-key"}, "failed"),
        (429, None, "failed"),
        (418, None, "failed"),
        (503, None, "failed"),
        (404, None, "failed"),
    ],
)
def test_what_a_question_brings(market: Market, status: int, body: object, outcome: str) -> None:
    """Only a whole answer is empty; whatever did not answer is failed, never empty."""
    assert classify_query(market, status, body, US).outcome is QueryOutcome(outcome)


def test_an_archived_order_existed_on_spot_only() -> None:
    """-2026 is presence on spot; on futures the same number is about another thing."""
    body = {"code": -2026, "msg": "Order was canceled or expired with no executed qty over 90 days ago"}
    assert classify_query(Market.SPOT, 400, body, US).outcome is QueryOutcome.EXISTED
    assert classify_query(Market.FUTURES, 400, body, US).outcome is QueryOutcome.FAILED


def test_a_full_page_proves_nothing() -> None:
    """A list as long as its limit may go on, one entry less is whole; presence is believed either way."""
    others = [{"symbol": "BTCUSDT", "clientOrderId": str(n)} for n in range(4)]
    assert classify_query(Market.SPOT, 200, others, US, full_page=4).outcome is QueryOutcome.FAILED
    assert classify_query(Market.SPOT, 200, others, US, full_page=5).outcome is QueryOutcome.EMPTY
    assert classify_query(Market.SPOT, 200, [*others, ORDER], US, full_page=5).outcome is QueryOutcome.FOUND


SPOT_CANCELED = {
    "symbol": "BTCUSDT",
    "origClientOrderId": US.client_order_id,
    "clientOrderId": "cancelOfIt",
    "status": "CANCELED",
}


@pytest.mark.parametrize(
    ("market", "status", "body", "outcome"),
    [
        ("spot", 200, SPOT_CANCELED, "canceled"),
        ("spot", 200, SPOT_CANCELED | {"symbol": "ETHUSDT"}, "unknown"),
        ("spot", 200, SPOT_CANCELED | {"origClientOrderId": "x"}, "unknown"),
        ("spot", 200, SPOT_CANCELED | {"status": "NEW"}, "unknown"),
        ("futures", 200, ORDER | {"status": "CANCELED"}, "canceled"),
        ("futures", 200, ORDER, "unknown"),
        ("futures", 200, {"algoId": 1, "clientAlgoId": US.client_order_id, "code": "200"}, "canceled"),
        ("futures", 200, {"algoId": 1, "clientAlgoId": "x", "code": "200"}, "unknown"),
        ("spot", 400, {"code": -2011, "msg": "Unknown order sent."}, "not_open"),
        ("futures", 400, {"code": -2011, "msg": "Unknown order sent."}, "not_open"),
        (
            "spot",
            400,
            {"code": -2011, "msg": "Order was not canceled due to cancel restrictions."},
            "unknown",
        ),
        ("spot", 400, {"code": -2013, "msg": "Order does not exist."}, "not_open"),
        ("futures", 400, {"code": -4117, "msg": "stop order is triggering"}, "unknown"),
        ("spot", 429, None, "not_taken"),
        ("spot", 503, None, "unknown"),
        ("futures", 503, {"msg": "Service Unavailable."}, "unknown"),
        ("spot", 200, None, "unknown"),
    ],
)
def test_what_a_cancel_brings(market: str, status: int, body: object, outcome: str) -> None:
    """Cancelled only on the order's own id; "unknown order" says it is not open, not how it ended."""
    assert classify_cancel(Market(market), status, body, US).outcome is CancelOutcome(outcome)


def test_the_sentence_carries_the_exchanges_words_in_one_printable_line() -> None:
    """The text is shortened and nothing in it can break a line or a terminal."""
    got = place(Market.SPOT, 400, -1013, "bad\n\x1b[31m" + "x" * 1000)
    assert got.sentence.startswith("Binance refused the order: ")
    assert "[HTTP 400: -1013 bad" in got.sentence
    assert got.sentence.isprintable()
    assert len(got.sentence) < 400


def test_an_order_is_picked_out_of_a_list() -> None:
    """The element itself comes back; what is no list holds nothing."""
    assert find_order([{"symbol": "X"}, ORDER], US) is ORDER
    assert find_order([{"symbol": "X"}], US) is None
    assert find_order({"orders": [ORDER]}, US) is None
    assert shows(ORDER, US)
