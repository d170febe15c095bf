"""Every payload captured from the real futures market has its situation here, and ours looks the same."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from services.local_exchange.futures.stream_peers import EVENTS, PrivatePeer
from tests.conformance.shapes import differences, shape
from tests.originals import names, original
from tests.unit.local_exchange.futures.futures_desk import FuturesDesk, limit, market, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    Situation = Callable[[FuturesDesk], Any]

# What differs on purpose, with the reason.
KNOWN = {
    # A capture of 2024, before `er` was added (changelog 2025-10-23).
    "live-event-ORDER_TRADE_UPDATE-EXPIRED-ioc-2024": {"o.er is not in the original"},
}


def get(path: str, **params: Any) -> Situation:
    """Ask after a market order and its close."""

    def ask(desk: FuturesDesk) -> Any:
        desk.order(**market("BUY", "0.1"))
        desk.order(**market("SELL", "0.1", reduceOnly="true"))
        return desk.ask("GET", path, **params)[1]

    return ask


def opened(desk: FuturesDesk) -> list[Any]:
    desk.order(**market("BUY", "0.01"))
    return desk.events()


def closed(desk: FuturesDesk) -> list[Any]:
    desk.order(**market("SELL", "0.01", reduceOnly="true"))
    return desk.events()


def whole_life(desk: FuturesDesk) -> list[Any]:
    return [*opened(desk), *closed(desk)]


def resting(desk: FuturesDesk) -> list[Any]:
    desk.order(**limit("BUY", "0.1", "69000", newClientOrderId="rests"))
    return desk.events()


def cancelled(desk: FuturesDesk) -> list[Any]:
    resting(desk)
    desk.ask("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="rests")
    return desk.events()


def expired(desk: FuturesDesk) -> list[Any]:
    desk.order(**limit("BUY", "0.1", "69000", timeInForce="IOC"))
    return desk.events()


def filled_as_maker(desk: FuturesDesk) -> list[Any]:
    desk.thin()
    resting(desk)
    desk.order("bob", **market("SELL", "0.1"))
    return desk.events()


def triggered(desk: FuturesDesk) -> list[Any]:
    desk.ask("POST", "/fapi/v1/algoOrder", **stop("BUY", "0.1", "71000"))
    desk.events()
    desk.move("71100")
    return [event for event in desk.events() if event["e"] == "ALGO_UPDATE"]


def wrapped(event: Any) -> dict[str, Any]:
    return {"stream": "test", "data": event}


def placed_algo(desk: FuturesDesk) -> Any:
    return desk.ask("POST", "/fapi/v1/algoOrder", **stop("BUY", "0.1", "71000"))[1]


def cancelled_algo(desk: FuturesDesk) -> Any:
    return desk.ask("DELETE", "/fapi/v1/algoOrder", algoId=placed_algo(desk)["algoId"])[1]


def moved(amount: int) -> Situation:
    def transfer(desk: FuturesDesk) -> Any:
        desk.futures.transfer(desk.account(), "USDT", Decimal(amount))
        return desk.events()[0]

    return transfer


def isolated_position(desk: FuturesDesk) -> Any:
    desk.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order(**market("BUY", "0.1"))
    return desk.ask("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")[1]


def all_orders(desk: FuturesDesk) -> Any:
    cancelled(desk)
    triggered(desk)
    return desk.ask("GET", "/fapi/v1/allOrders", symbol="BTCUSDT")[1]


def filled_order(desk: FuturesDesk) -> Any:
    desk.order(**market("BUY", "0.1", newClientOrderId="filled"))
    return desk.ask("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="filled")[1]


def candles(desk: FuturesDesk) -> Any:
    for _ in range(3):
        desk.exchange.step()
        desk.advance(60)
    return json.loads(desk.send("GET", "/fapi/v1/klines", "symbol=BTCUSDT&interval=1m&limit=3").body)


def contract(desk: FuturesDesk) -> Any:
    answer = json.loads(desk.send("GET", "/fapi/v1/exchangeInfo", "").body)
    return answer["symbols"][0]


def subscriptions(desk: FuturesDesk) -> Any:
    heard: list[Any] = []

    class Wire:
        def send(self, payload: bytes) -> None:
            heard.append(json.loads(payload))

    key = desk.futures.listen_keys.start(desk.account(), desk.now)
    peer = PrivatePeer(desk.futures, False, [(key, frozenset(EVENTS[:4]))])
    peer.connection = Wire()  # type: ignore[assignment]  # it only sends
    peer.opened()
    peer.received('{"method":"LIST_SUBSCRIPTIONS","id":9}')
    return heard[0]


SITUATIONS: dict[str, Situation] = {
    "live-demo-ws-LIST_SUBSCRIPTIONS-reply": subscriptions,
    "live-event-ACCOUNT_UPDATE-DEPOSIT": moved(1),
    "live-event-ACCOUNT_UPDATE-WITHDRAW": moved(-1),
    "live-event-ALGO_UPDATE-NEW": lambda desk: placed_algo(desk) and desk.events()[0],
    "live-event-ALGO_UPDATE-TRIGGERING-wrapped": lambda desk: wrapped(triggered(desk)[0]),
    "live-event-ALGO_UPDATE-FINISHED-wrapped": lambda desk: wrapped(triggered(desk)[-1]),
    "live-event-ORDER_TRADE_UPDATE-CANCELED": lambda desk: cancelled(desk)[0],
    "live-event-ORDER_TRADE_UPDATE-EXPIRED-ioc-2024": lambda desk: expired(desk)[-1],
    "live-event-ORDER_TRADE_UPDATE-NEW-limit": lambda desk: resting(desk)[0],
    "live-event-ORDER_TRADE_UPDATE-TRADE-FILLED-maker-zerofee": lambda desk: filled_as_maker(desk)[-1],
    "live-event-seq-ALL": whole_life,
    "live-event-seq-00-TRADE_LITE-open": lambda desk: opened(desk)[0],
    "live-event-seq-02-ACCOUNT_UPDATE-ORDER-open": lambda desk: opened(desk)[2],
    "live-event-seq-04-TRADE_LITE-close": lambda desk: whole_life(desk)[4],
    "live-event-seq-05-ORDER_TRADE_UPDATE-NEW-reduceOnly": lambda desk: whole_life(desk)[5],
    "live-rest-account-v2-position-row": lambda desk: get("/fapi/v2/account")(desk)["positions"][0],
    "live-rest-accountConfig": get("/fapi/v1/accountConfig"),
    "live-rest-algoOrder-cancel": cancelled_algo,
    "live-rest-algoOrder-place": placed_algo,
    "live-rest-algoOrder-place-later-triggered": placed_algo,
    "live-rest-allOrders-canceled-and-triggered": all_orders,
    "live-rest-allOrders-limit3": all_orders,
    "live-rest-commissionRate": get("/fapi/v1/commissionRate", symbol="BTCUSDT"),
    "live-rest-exchangeInfo-symbol-BTCUSDT": contract,
    "live-rest-exchangeInfo-symbol-XAUUSDT-tradfi": contract,
    "live-rest-klines-limit3": candles,
    "live-rest-order-place-market-RESULT": lambda desk: desk.order(
        **market("BUY", "0.1", newOrderRespType="RESULT")
    ),
    "live-rest-order-place-market-close-reduceOnly-RESULT": lambda desk: (
        opened(desk) and desk.order(**market("SELL", "0.01", reduceOnly="true", newOrderRespType="RESULT"))
    ),
    "live-rest-order-query-filled": filled_order,
    "live-rest-positionRisk-v2-isolated-open": isolated_position,
    "live-rest-symbolConfig": get("/fapi/v1/symbolConfig", symbol="BTCUSDT"),
    "live-rest-userTrades-limit5": get("/fapi/v1/userTrades", symbol="BTCUSDT"),
    "live-rest-userTrades-usdt-fee": get("/fapi/v1/userTrades", symbol="BTCUSDT"),
}


def found(theirs: Any, ours: Any) -> set[str]:
    """Say where two payloads differ; whole numbers and decimals in text are one type, as on the wire."""
    told = differences(shape(theirs), shape(ours))
    return {line for line in told if not line.endswith(ALIKE)}


ALIKE = ("decimal in the original, text here", "text in the original, decimal here")


@pytest.mark.parametrize("name", names("futures", "live-*"))
def test_it_looks_like_the_captured_one(name: str) -> None:
    """Fields and types are the same; events come in the same order, and so do their fields."""
    theirs, ours = original("futures", name), SITUATIONS[name](FuturesDesk())
    if name == "live-event-seq-ALL":
        assert [event["e"] for event in ours] == [event["e"] for event in theirs]
        pairs = list(zip(theirs, ours, strict=True))
    elif name.startswith("live-rest-klines"):
        pairs = list(zip(theirs[0], ours[0], strict=True))
    else:
        pairs = [(theirs, ours)]
    for one, other in pairs:
        assert found(one, other) <= KNOWN.get(name, set())
        if "-event-" in name and name not in KNOWN:
            assert list(one.get("o", one)) == list(other.get("o", other)), "another order of fields"
