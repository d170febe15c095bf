"""PROTOCOL 7: several unknowns of one key share the lists, where they were asked for late enough."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
import respx

from services.order_executor.ask import Asker, Lists, Moment, Told
from shared.binance.ask import FULL_PAGE
from shared.binance.clock_offset import Clock
from shared.binance.sign import Credentials
from shared.binance.spot import SpotRest
from shared.domain.absence import Identity, QuestionKind, Result
from shared.domain.attempt import client_order_id
from shared.domain.order import Market

URL = "https://api.exchange.test"
KEY = Credentials("an-api-key", "secret")
ASKER = Identity(KEY.fingerprint, None, URL, 1)
NOW = 1_790_000_000_000
LISTS = (QuestionKind.OPEN_ORDERS, QuestionKind.ALL_ORDERS)


class Counted:
    """A metric that nobody looks at."""

    def questions(self, *_: str) -> Counted:
        return self

    def inc(self) -> None:
        return


class Desk:
    """The exchange's lists of one symbol, and whoever asks for them."""

    def __init__(self) -> None:
        self.exchange = respx.Router(base_url=URL, assert_all_called=False)
        self.lists = [self.exchange.get("/api/v3/openOrders"), self.exchange.get("/api/v3/allOrders")]
        self.tells([])
        clock = Clock(lambda: 5000.0)
        clock.sample(5000.0, NOW, 5000.0)
        rest = SpotRest(httpx.MockTransport(self.exchange.async_handler), URL, clock)
        self.venue = SimpleNamespace(
            rest=rest, market=Market.SPOT, environment_epoch=1, prices=lambda: SimpleNamespace()
        )
        self.asker = Asker(cast("Any", None), cast("Any", Counted()))
        self.round = Lists()

    def tells(self, orders: list[dict[str, Any]], status: int = 200) -> None:
        for route in self.lists:
            route.respond(status, json=orders)

    def ask(
        self,
        kind: QuestionKind,
        order_id: UUID,
        *,
        symbol: str = "BTCUSDT",
        signed_at_ms: int = NOW - 100_000,
        not_before_ms: int = NOW - 40_000,
        now_ms: int = NOW,
        asker: Identity = ASKER,
    ) -> tuple[Told, int]:
        attempt = SimpleNamespace(
            client_order_id=client_order_id(order_id, 1),
            symbol=symbol,
            signed_at_ms=signed_at_ms,
            market=Market.SPOT,
            account_id=uuid4(),
            pair=("BTC", "USDT"),
            conditional=False,
        )
        asking = self.asker.ask(
            cast("Any", self.venue),
            KEY,
            asker,
            cast("Any", attempt),
            kind,
            Moment(now_ms, not_before_ms),
            self.round,
        )
        return asyncio.run(asking)

    @property
    def asked(self) -> int:
        return sum(route.call_count for route in self.lists)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def order(order_id: UUID) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "orderId": 7, "clientOrderId": client_order_id(order_id, 1), "status": "NEW",
        "executedQty": "0", "cummulativeQuoteQty": "0", "updateTime": NOW, "time": NOW,
    }  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_one_list_answers_for_every_unknown_of_its_key(desk: Desk, kind: QuestionKind) -> None:
    """Each attempt is looked for in the same list: one is there, the others are not."""
    there, first, last = uuid4(), uuid4(), uuid4()
    desk.tells([order(there)])
    told = [desk.ask(kind, one, now_ms=NOW + n) for n, one in enumerate((first, there, last))]
    assert [what.result for what, _ in told] == [Result.EMPTY, Result.FOUND, Result.EMPTY]
    assert [asked_ms for _, asked_ms in told] == [NOW] * 3, "the moment of the one request counts"
    assert desk.asked == 1


@pytest.mark.parametrize(
    "other",
    [
        {"not_before_ms": NOW},  # its own moment had not passed yet
        {"signed_at_ms": NOW - 200_000},  # it may be older than the list goes back
        {"symbol": "ETHUSDT"},
        {"asker": Identity("another key", None, URL, 1)},
        {"asker": Identity(KEY.fingerprint, None, URL, 2)},
    ],
)
@pytest.mark.parametrize("kind", LISTS)
def test_a_list_is_not_shared_with_an_attempt_it_proves_nothing_about(
    desk: Desk, kind: QuestionKind, other: dict[str, Any]
) -> None:
    """Asked too early for it, from too late on, for another symbol or as somebody else: it is asked again."""
    desk.ask(kind, uuid4())
    _, asked_ms = desk.ask(kind, uuid4(), now_ms=NOW + 1, **other)
    assert (desk.asked, asked_ms) == (2, NOW + 1)


@pytest.mark.parametrize(("status", "orders"), [(503, []), (200, [order(uuid4())] * FULL_PAGE)])
def test_what_failed_or_was_cut_is_not_shared(desk: Desk, status: int, orders: list[dict[str, Any]]) -> None:
    """An answer that is none, or a full page, is asked for again."""
    desk.tells(orders, status)
    for _ in range(2):
        told, _ = desk.ask(QuestionKind.ALL_ORDERS, uuid4())
        assert told.result is Result.FAILED
    assert desk.asked == 2


def test_questions_about_one_order_are_never_shared(desk: Desk) -> None:
    """By client order id each attempt is asked for by itself."""
    query = desk.exchange.get("/api/v3/order").respond(
        400, json={"code": -2013, "msg": "Order does not exist."}
    )
    for _ in range(2):
        assert desk.ask(QuestionKind.ORDER, uuid4())[0].result is Result.EMPTY
    assert query.call_count == 2
