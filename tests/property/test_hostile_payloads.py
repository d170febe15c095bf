"""PROTOCOL 5 and 6: whatever answers and events become, they are read, or said to be unreadable.

Nothing else: an exception that nobody expects ends a process. Every example is a payload of the exchange's,
changed in a few places, or any JSON at all.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.fill_listener import foreign, wallets
from services.local_exchange.symbols import default_symbols
from services.order_executor import prepare
from services.order_executor.rate import Grant
from shared.binance.clock_offset import Clock
from shared.binance.futures import listen_key_of, setting_holds
from shared.binance.rest import Answer
from shared.binance.spot import SpotRest
from shared.binance.venue import Venue
from shared.binance.weight import limits_of, used_of
from shared.domain import fill, futures_fills, futures_orders, futures_positions, reports
from shared.domain.attempt import client_order_id
from shared.domain.classify import (
    MAX_PAUSE_S,
    Expected,
    classify,
    classify_cancel,
    classify_query,
    find_order,
)
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.money import parse_decimal, plain
from shared.domain.order import Market
from shared.domain.states import AttemptOutcome
from tests.property.hostile import TEXTS, VALUES, changed, names, payload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ORDER = UUID(int=7)
OURS = client_order_id(ORDER, 1)
SPOT = FillOrigin(UUID(int=1), Market.SPOT, 1, ("BTC", "USDT"))
FUTURES = FillOrigin(UUID(int=1), Market.FUTURES, 1, ("BTC", "USDT"))
ASKED = {
    "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": OURS, "status": "NEW", "executedQty": "0",
    "cummulativeQuoteQty": "0", "time": 1, "updateTime": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """Something that reads payloads.

    Attributes:
        name: of the case.
        read: raises nothing but `UnreadablePayloadError`.
        originals: what the exchange sends there.

    """

    name: str
    read: Callable[[Any], object] = field(repr=False)
    originals: Sequence[Any] = field(repr=False)


def ours(original: Any) -> Any:
    """Make an order of the payload ours: other orders are not read."""
    text = json.dumps(original)
    changed_ids = json.loads(text)
    for part in (changed_ids, changed_ids.get("o") if isinstance(changed_ids, dict) else None):
        if isinstance(part, dict):
            for key in ("clientOrderId", "origClientOrderId", "c", "caid", "clientAlgoId"):
                if isinstance(part.get(key), str):
                    part[key] = OURS
            if part.get("C"):
                part["C"] = OURS
    return changed_ids


def spot(*parts: str) -> list[Any]:
    """Return payloads of the spot exchange, wrapped events opened."""
    found = [payload("spot", name) for part in parts for name in names("spot", part)]
    rows = [row for one in found for row in (one if isinstance(one, list) else [one])]
    return [ours(row.get("event", row)) for row in rows]


def futures(*parts: str) -> list[Any]:
    """Return payloads of the futures exchange, wrapped events opened."""
    found = [payload("futures", name) for part in parts for name in names("futures", part)]
    rows = [row for one in found for row in (one if isinstance(one, list) else [one])]
    return [ours(row.get("data", row)) for row in rows if isinstance(row, dict)]


def whole(market: str, name: str) -> list[Any]:
    """Return one payload as it is."""
    return [payload(market, name)]


def answered(body: Any) -> Answer:
    return Answer(200, {}, body, "", 0.0, 0.0)


def with_trades(trades: Any) -> object:
    report = reports.report_of_query(ASKED, SPOT)
    assert report is not None
    return reports.with_trades(report, trades, SPOT)


READERS = (
    Reader(
        "spot event", lambda e: reports.report_of_event(e, SPOT), spot("uds__executionReport", "derived__uds")
    ),
    Reader(
        "spot answer",
        lambda a: reports.report_of_answer(a, SPOT),
        spot("rest__new-order", "rest__cancel-order"),
    ),
    Reader(
        "spot query",
        lambda o: reports.report_of_query(o, SPOT),
        spot("rest__query-order", "rest__all-orders"),
    ),
    Reader("spot trade", lambda t: fill.from_trade(t, SPOT), spot("account-trade-list")),
    Reader(
        "trades of an order",
        with_trades,
        whole("spot", "rest__account-trade-list__response"),
    ),
    Reader(
        "futures event", lambda e: reports.report_of_event(e, FUTURES), futures("event-ORDER", "event-ALGO")
    ),
    Reader(
        "futures answer",
        lambda a: reports.report_of_answer(a, FUTURES),
        futures("rest-new_", "rest-cancel_order", "rest-query_order", "rest-query_algo"),
    ),
    Reader("futures fill event", lambda e: futures_fills.fill_from_event(e, FUTURES), futures("event-ORDER")),
    Reader(
        "futures trade", lambda t: futures_fills.fill_from_trade(t, FUTURES), futures("account_trade_list")
    ),
    Reader(
        "positions", futures_positions.read_positions, whole("futures", "doc-rest-position_information_v2")
    ),
    Reader("funding event", futures_positions.funding_from_event, futures("event-ACCOUNT_UPDATE")),
    Reader("income", futures_positions.funding_from_income, futures("get_income_history")),
    Reader("position mode", futures_orders.mode_of, whole("futures", "doc-rest-get_current_position_mode")),
    Reader("listen key", lambda b: listen_key_of(answered(b)), whole("futures", "doc-rest-listenKey-POST")),
    Reader(
        "setting", lambda b: setting_holds(answered(b)), whole("futures", "doc-rest-change_initial_leverage")
    ),
    Reader("foreign order", lambda o: foreign.listed(o, UUID(int=1), Market.SPOT), spot("rest__query-order")),
    Reader(
        "balances",
        lambda b: wallets.amounts(b, Market.SPOT),
        whole("spot", "rest__account-information__response"),
    ),
    Reader(
        "wallet",
        lambda b: wallets.amounts(b, Market.FUTURES),
        whole("futures", "doc-rest-account_information_v3"),
    ),
    Reader("free", lambda a: prepare._free(a, "BTC"), whole("spot", "rest__account-information__response")),
)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@settings(max_examples=200)
@given(data=st.data())
def test_every_payload_is_read_or_unreadable(reader: Reader, data: st.DataObject) -> None:
    """And every number that is read can be written down and reckoned with."""
    assert reader.originals
    original = data.draw(st.sampled_from(reader.originals))
    body = data.draw(changed(original) | VALUES)
    if "event" in reader.name:  # the stream hands on nothing else
        assume(isinstance(body, dict))
    with contextlib.suppress(UnreadablePayloadError):
        assert len(repr(reader.read(body))) < 100_000


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_payloads_themselves_can_be_read(reader: Reader) -> None:
    """Or the examples would prove nothing."""
    for original in reader.originals:
        reader.read(original)


# -- Answers to what was asked --------------------------------------------------------------------

EXPECTED = Expected(OURS, "BTCUSDT")
STATUSES = st.sampled_from(
    [200, 201, 204, 302, 400, 401, 403, 404, 408, 409, 418, 429, 451, 500, 502, 503, 599]
)
HEADERS = st.none() | TEXTS | st.integers(0, 10**12).map(str)
ORDER_BODY = {**payload("spot", "rest__new-order__response-full"), "clientOrderId": OURS, "symbol": "BTCUSDT"}
ERROR_BODIES = [payload(market, name) for market in Market for name in names(market, "err")]


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    """Return a body: the order itself, an error, a list of either, each perhaps changed, or anything."""
    original = draw(st.sampled_from([ORDER_BODY, [ORDER_BODY], *ERROR_BODIES]))
    return draw(st.one_of(st.just(original), changed(original), VALUES))


@settings(max_examples=500)
@given(market=st.sampled_from(Market), status=STATUSES, body=bodies(), header=HEADERS)
def test_any_answer_has_a_meaning(market: Market, status: int, body: Any, header: str | None) -> None:
    """An order counts as taken only on a body that is this very order, and as refused never on a success."""
    placed = classify(market, status, body, EXPECTED, retry_after=header, now_exchange_ms=1_700_000_000_000)
    if placed.outcome is AttemptOutcome.ACCEPTED:
        assert 200 <= status < 300
        assert (body["clientOrderId"], body["symbol"]) == (OURS, "BTCUSDT")
    elif 200 <= status < 300:
        assert placed.outcome is AttemptOutcome.UNKNOWN
    if placed.outcome is AttemptOutcome.REJECTED:
        assert isinstance(body["code"], int)
    asked = classify_query(market, status, body, EXPECTED, full_page=1000, retry_after=header)
    cancelled = classify_cancel(market, status, body, EXPECTED, retry_after=header)
    for said in (placed, asked, cancelled):
        assert said.sentence.isprintable()
        assert len(said.sentence) < 500
        assert said.retry_after_s is None or 0 <= said.retry_after_s <= MAX_PAUSE_S
    found = find_order(body, EXPECTED)
    assert found is None or found["clientOrderId"] == OURS


@settings(max_examples=300)
@given(body=bodies(), market=st.sampled_from(Market))
def test_any_answer_is_counted(body: Any, market: Market) -> None:
    """Whatever stands in the body, the grant that was taken for the request is given back or used up."""
    answer = Answer(200, {"x-mbx-used-weight-1m": "7", "date": "no date"}, body, "", 0.0, 0.0)
    Grant(market, ()).answered(answer, 0.0)
    assert Grant(market, ())._is_not_counted(answer) in (True, False)


RULES = {
    Market.SPOT: {"symbols": [symbol.information() for symbol in default_symbols()[:2]], "rateLimits": []},
    Market.FUTURES: payload("futures", "derived-rest-exchangeInfo"),
}


def venue_of(market: Market) -> Venue:
    """Make a venue without a network."""
    rest = SpotRest(httpx.MockTransport(lambda _: httpx.Response(500)), "http://127.0.0.1:1", Clock())
    return Venue(market, rest, live=False, max_price_age_s=5.0)


@settings(max_examples=300)
@given(data=st.data())
def test_any_market_data_is_learned_or_left(data: st.DataObject) -> None:
    """Rules, limits, books and levels: what cannot be read changes nothing."""
    market = data.draw(st.sampled_from(Market))
    information = RULES[market]
    changed_information = data.draw(changed(information) | VALUES)
    known = venue_of(market)
    known._learn_instruments(answered(changed_information))
    limits_of(changed_information)
    ticker = data.draw(changed(payload("spot", "rest__symbol-order-book-ticker__response")) | VALUES)
    known._learn_books(answered(ticker))
    for book in known._books.values():
        assert min(book[0].bid, book[0].ask) > 0
    known.prices()
    used_of({data.draw(TEXTS): data.draw(TEXTS), "x-mbx-order-count-10s": data.draw(TEXTS)})


@given(TEXTS | st.integers() | VALUES)
def test_a_number_that_is_read_can_be_written(value: Any) -> None:
    """In a few characters: `1E999999999` is a number too."""
    with contextlib.suppress(ValueError):
        assert len(plain(parse_decimal(value))) < 200
