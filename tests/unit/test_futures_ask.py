"""Where a conditional order is asked for: in the algo service, in its lists, and as the order it became."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import respx

from shared.binance import ask
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.rest import Answer, Result
from shared.binance.sign import Credentials
from shared.binance.spot import SpotRest
from shared.domain.absence import QuestionKind
from shared.domain.classify import Expected

URL = "https://fapi.exchange.test"
KEY = Credentials("an-api-key", "secret")
OWN = Expected("b1-1", "BTCUSDT")
GONE = (400, {"code": -2013, "msg": "Order does not exist."})
PLAIN = {"orderId": 8, "clientOrderId": "b1-1", "symbol": "BTCUSDT", "status": "FILLED"}
ALGO = {"algoId": 5, "clientAlgoId": "b1-1", "symbol": "BTCUSDT", "algoStatus": "NEW", "actualOrderId": ""}
OTHER = {**ALGO, "clientAlgoId": "b2-1"}


@pytest.fixture
def exchange() -> respx.Router:
    return respx.Router(base_url=URL, assert_all_called=False)


@pytest.fixture
def futures(exchange: respx.Router) -> FuturesRest:
    clock = Clock(lambda: 5000.0)
    clock.sample(5000.0, 1_790_000_000_000, 5000.0)
    return FuturesRest(httpx.MockTransport(exchange.async_handler), URL, clock)


def serve(exchange: respx.Router, method: str, path: str, answer: tuple[int, Any]) -> respx.Route:
    return exchange.request(method, path).respond(answer[0], json=answer[1])


def body(result: Result) -> Any:
    assert isinstance(result, Answer), result
    return result.body


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # It triggered: the order it became knows all.
        ({"order": (200, PLAIN)}, PLAIN),
        # It waits for its trigger.
        ({"order": GONE, "algoOrder": (200, ALGO)}, ALGO),
        # The single query denies it, the list of open ones has it.
        ({"order": GONE, "algoOrder": GONE, "openAlgoOrders": (200, [OTHER, ALGO])}, ALGO),
        # Finished: only the list of all has it.
        (
            {
                "order": GONE,
                "algoOrder": GONE,
                "openAlgoOrders": (200, []),
                "allAlgoOrders": (200, [{**ALGO, "algoStatus": "CANCELED"}]),
            },
            {**ALGO, "algoStatus": "CANCELED"},
        ),
        # Nowhere.
        (
            {
                "order": GONE,
                "algoOrder": GONE,
                "openAlgoOrders": (200, [OTHER]),
                "allAlgoOrders": (200, [OTHER]),
            },
            GONE[1],
        ),
        # A question that was not answered is never taken for "not there".
        ({"order": (503, {"code": -1001, "msg": "busy"})}, {"code": -1001, "msg": "busy"}),
        (
            {"order": GONE, "algoOrder": (503, {"code": -1001, "msg": "busy"})},
            {"code": -1001, "msg": "busy"},
        ),
        (
            {
                "order": GONE,
                "algoOrder": GONE,
                "openAlgoOrders": (200, []),
                "allAlgoOrders": (429, {"code": -1003, "msg": "much"}),
            },
            {"code": -1003, "msg": "much"},
        ),
    ],
)
async def test_a_conditional_order_is_found_wherever_it_is(
    futures: FuturesRest, exchange: respx.Router, answers: dict[str, Any], expected: Any
) -> None:
    """The order it became, the algo service, its open ones, all of them, in this order."""
    for path, answer in answers.items():
        serve(exchange, "GET", f"/fapi/v1/{path}", answer)
    assert body(await ask.order(futures, KEY, OWN, conditional=True)) == expected


async def test_the_order_it_became_is_asked_by_its_number(
    futures: FuturesRest, exchange: respx.Router
) -> None:
    """Under the client id it was not there yet; the algo order names it, and it has the last word."""
    finished = {**ALGO, "algoStatus": "FINISHED", "actualOrderId": "8"}
    exchange.get("/fapi/v1/order", params={"orderId": "8"}).respond(200, json=PLAIN)
    exchange.get("/fapi/v1/order").respond(*GONE[:1], json=GONE[1])
    serve(exchange, "GET", "/fapi/v1/algoOrder", (200, finished))
    assert body(await ask.order(futures, KEY, OWN, conditional=True)) == PLAIN


async def test_a_plain_order_is_asked_once(futures: FuturesRest, exchange: respx.Router) -> None:
    """An order that has no trigger is nowhere else."""
    route = serve(exchange, "GET", "/fapi/v1/order", GONE)
    assert body(await ask.order(futures, KEY, OWN)) == GONE[1]
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("algo", "plain", "expected", "asked"),
    [
        ((200, {"algoId": 5, "clientAlgoId": "b1-1", "code": "200"}), GONE, "200", 0),
        ((400, {"code": -2011, "msg": "Unknown order sent."}), (200, PLAIN), None, 1),
        ((400, {"code": -4117, "msg": "stop order is triggering"}), (200, PLAIN), -4117, 0),
    ],
)
async def test_a_cancel_follows_the_order_it_became(
    futures: FuturesRest, exchange: respx.Router, algo: Any, plain: Any, expected: Any, asked: int
) -> None:
    """Unknown to the algo service: it triggered. Just triggering: the cancel is repeated later."""
    serve(exchange, "DELETE", "/fapi/v1/algoOrder", algo)
    route = serve(exchange, "DELETE", "/fapi/v1/order", plain)
    answer = body(await ask.cancel(futures, KEY, OWN, conditional=True))
    assert answer.get("code") == expected
    assert route.call_count == asked


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (QuestionKind.ORDER, "order"),
        (QuestionKind.OPEN_ORDERS, "openOrders"),
        (QuestionKind.ALL_ORDERS, "allOrders"),
        (QuestionKind.TRADES, "userTrades"),
        (QuestionKind.ALGO_ORDER, "algoOrder"),
        (QuestionKind.OPEN_ALGO_ORDERS, "openAlgoOrders"),
        (QuestionKind.ALL_ALGO_ORDERS, "allAlgoOrders"),
    ],
)
async def test_every_question_has_its_request(
    futures: FuturesRest, exchange: respx.Router, kind: QuestionKind, path: str
) -> None:
    """Whatever the judge wants to know can be asked; lists begin at the attempt."""
    route = serve(exchange, "GET", f"/fapi/v1/{path}", (200, []))
    assert body(await ask.put(futures, KEY, kind, OWN, 77)) == []
    params = dict(route.calls.last.request.url.params)
    if kind in (QuestionKind.ALL_ORDERS, QuestionKind.ALL_ALGO_ORDERS, QuestionKind.TRADES):
        assert (params["startTime"], params["limit"]) == ("77", "1000")


async def test_the_question_by_id_asks_for_what_it_may_have_become(
    futures: FuturesRest, exchange: respx.Router
) -> None:
    """An algo order that finished may be denied while the order it became is there: presence is believed."""
    serve(exchange, "GET", "/fapi/v1/algoOrder", GONE)
    serve(exchange, "GET", "/fapi/v1/order", (200, PLAIN))
    assert body(await ask.put(futures, KEY, QuestionKind.ALGO_ORDER, OWN, 0)) == PLAIN


async def test_spot_has_no_algo_questions(exchange: respx.Router) -> None:
    """Asked there, it is a mistake of ours and said so."""
    spot = SpotRest(httpx.MockTransport(exchange.async_handler), URL, Clock())
    with pytest.raises(ValueError, match="futures"):
        await ask.put(spot, KEY, QuestionKind.ALGO_ORDER, OWN, 0)
