"""Futures trading calls: place, cancel, modify, in batches too, on their way to the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures import answers
from services.local_exchange.futures.orders import FuturesTimeInForce
from services.local_exchange.futures.parameters import (
    algo_request,
    check_price,
    check_quantity,
    client_id,
    flag,
    number,
    order_request,
)
from services.local_exchange.orders import Side
from services.local_exchange.parameters import integer, member, require, symbol_of
from services.local_exchange.spot_trading import to_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.local_exchange.calls import Call, Steps
    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.futures.orders import AlgoOrder, FuturesOrder
    from services.local_exchange.futures.wallet import FuturesAccount

UNKNOWN_ORDER = "Unknown order sent."
ALL_CANCELLED = {"code": 200, "msg": "The operation of cancel all open order is done."}
LARGEST_BATCH = 5
LARGEST_CANCEL_BATCH = 10
MOST_MODIFICATIONS = 10_000


def holder(call: Call) -> FuturesAccount:
    """Return the futures side of the account that calls."""
    return call.exchange.futures.account(call.holder)


def market_of(call: Call, params: Mapping[str, str] | None = None) -> FuturesMarket:
    """Return the market that a call names."""
    chosen = call.params if params is None else params
    markets = call.exchange.futures.markets
    require(chosen, ("symbol",))
    return markets[symbol_of(chosen, markets)]


def place(call: Call) -> Steps:
    """`POST /fapi/v1/order`."""
    execute = _placement(call, call.params)
    call.limits.check_orders(call.holder.name, call.exchange.clock.now_ms())
    call.counts_orders = True
    return (yield from to_engine(call, execute))


def _placement(call: Call, params: Mapping[str, str]) -> Callable[[], dict[str, Any]]:
    futures = call.exchange.futures
    market = market_of(call, params)
    account = holder(call)
    request = order_request(params, market, account, futures.clock.now_ms())

    def execute() -> dict[str, Any]:
        now = futures.clock.now_ms()
        call.limits.count_order(call.holder.name, now)
        order = futures.engine.place(account, request, now)
        answer = answers.placed(order, market.contract, request.result)
        futures.settle_down(market, now)
        return answer

    return execute


def test(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/order/test`: parameters and filters only; answers an order of blanks."""
    market = market_of(call)
    order_request(call.params, market, holder(call), call.exchange.clock.now_ms())
    call.limits.count_order(call.holder.name, call.exchange.clock.now_ms())
    return {
        "orderId": 0,
        "symbol": "",
        "status": "",
        "clientOrderId": "",
        "price": "0",
        "avgPrice": "0.00",
        "origQty": "0",
        "executedQty": "0",
        "cumQty": "0",
        "cumQuote": "0",
        "timeInForce": "GTC",
        "type": "",
        "reduceOnly": False,
        "closePosition": False,
        "side": "",
        "positionSide": "BOTH",
        "stopPrice": "0",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": "",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": 0,
    }


def cancel(call: Call) -> Steps:
    """`DELETE /fapi/v1/order`."""
    execute = _cancellation(call, call.params)
    return (yield from to_engine(call, execute))


def _cancellation(call: Call, params: Mapping[str, str]) -> Callable[[], dict[str, Any]]:
    futures = call.exchange.futures
    market = market_of(call, params)
    order_id = integer(params, "orderId")
    original = client_id(params, "origClientOrderId")
    if order_id is None and not original:
        raise ExchangeError(
            -1102, "Mandatory parameter 'orderId' was not sent, was empty/null, or malformed."
        )

    def execute() -> dict[str, Any]:
        now = futures.clock.now_ms()
        order = open_order(holder(call), market, order_id, original)
        futures.engine.cancel(order, now)
        futures.settle_down(market, now)
        return answers.placed(order, market.contract)

    return execute


def open_order(
    account: FuturesAccount, market: FuturesMarket, order_id: int | None, original: str
) -> FuturesOrder:
    """Return the open order that a cancel or modification means; order id wins (-2011 if there is none)."""
    symbol = market.contract.name
    if order_id is not None:
        order = account.open_orders.get((symbol, order_id))
    else:
        order = account.open_client_ids.get((symbol, original))
    if order is None:
        raise ExchangeError(-2011, UNKNOWN_ORDER)
    return order


def modify(call: Call) -> Steps:
    """`PUT /fapi/v1/order`."""
    execute = _modification(call, call.params)
    call.limits.check_orders(call.holder.name, call.exchange.clock.now_ms())
    call.counts_orders = True
    return (yield from to_engine(call, execute))


def _modification(call: Call, params: Mapping[str, str]) -> Callable[[], dict[str, Any]]:
    futures = call.exchange.futures
    market = market_of(call, params)
    contract = market.contract
    require(params, ("side", "quantity", "price"))
    side = member(Side, params["side"], ExchangeError(-1117, "Invalid side."))
    quantity = number(params, "quantity", contract.quantity_precision)
    price = number(params, "price", contract.price_precision)
    check_quantity(quantity, contract, contract.max_qty)
    check_price(price, side, market)
    order_id = integer(params, "orderId")
    original = client_id(params, "origClientOrderId")
    modify_id = integer(params, "modifyId")

    def execute() -> dict[str, Any]:
        now = futures.clock.now_ms()
        call.limits.count_order(call.holder.name, now)
        order = open_order(holder(call), market, order_id, original)
        if order.side is not side:
            raise ExchangeError(-1117, "Invalid side.")
        if flag(params, "reduceOnly") and not order.reduce_only:
            raise ExchangeError(-5047, "The original order is not a reduce-only order.")
        if order.modifications >= MOST_MODIFICATIONS:
            raise ExchangeError(-5026, "Exceed maximum modify order limit.")
        _keep_post_only_sane(order)
        futures.engine.modify(order, quantity, price, modify_id, now)
        futures.settle_down(market, now)
        return answers.modified(order, contract, modify_id)

    return execute


def _keep_post_only_sane(order: FuturesOrder) -> None:
    if order.time_in_force is FuturesTimeInForce.FOK:
        raise ExchangeError(-5025, "Only limit order is supported.")


def batch_place(call: Call) -> Steps:
    """`POST /fapi/v1/batchOrders`: up to five orders, each answered for itself, in their order."""
    return (yield from _batch(call, _rows(call), _placement, counts=True))


def batch_modify(call: Call) -> Steps:
    """`PUT /fapi/v1/batchOrders`."""
    return (yield from _batch(call, _rows(call), _modification, counts=True))


def batch_cancel(call: Call) -> Steps:
    """`DELETE /fapi/v1/batchOrders`: by `orderIdList` or `origClientOrderIdList`."""
    symbol = call.params.get("symbol", "")
    for name, single in (("orderIdList", "orderId"), ("origClientOrderIdList", "origClientOrderId")):
        if name in call.params:
            wanted = _list(call.params, name)
            rows = [{"symbol": symbol, single: str(value)} for value in wanted[:LARGEST_CANCEL_BATCH]]
            return (yield from _batch(call, rows, _cancellation, counts=False))
    raise ExchangeError(
        -1102, "Mandatory parameter 'orderIdList' was not sent, was empty/null, or malformed."
    )


def _list(params: Mapping[str, str], name: str) -> list[Any]:
    try:
        values = orjson.loads(params[name])
    except orjson.JSONDecodeError as broken:
        raise ExchangeError(-1130, f"Data sent for parameter '{name}' is not valid.") from broken
    if not isinstance(values, list):
        raise ExchangeError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return values


def _rows(call: Call) -> list[dict[str, str]]:
    require(call.params, ("batchOrders",))
    rows = _list(call.params, "batchOrders")
    if not 0 < len(rows) <= LARGEST_BATCH or not all(isinstance(row, dict) for row in rows):
        raise ExchangeError(-4082, "Invalid number of batch place orders.")
    return [{str(name): str(value) for name, value in row.items()} for row in rows]


def _batch(
    call: Call,
    rows: list[dict[str, str]],
    prepare: Callable[[Call, Mapping[str, str]], Callable[[], dict[str, Any]]],
    counts: bool,
) -> Steps:
    prepared: list[Callable[[], dict[str, Any]] | ExchangeError] = []
    for row in rows:
        try:
            prepared.append(prepare(call, row))
        except ExchangeError as refusal:
            prepared.append(refusal)
    if counts:
        call.limits.check_orders(call.holder.name, call.exchange.clock.now_ms())
        call.counts_orders = True

    def execute() -> list[dict[str, Any]]:
        return [_outcome(step) for step in prepared]

    return (yield from to_engine(call, execute))


def _outcome(step: Callable[[], dict[str, Any]] | ExchangeError) -> dict[str, Any]:
    if isinstance(step, ExchangeError):
        return step.body()
    try:
        return step()
    except ExchangeError as refusal:
        return refusal.body()


def cancel_all(call: Call) -> Steps:
    """`DELETE /fapi/v1/allOpenOrders`: ordinary orders of a contract; algo orders stay."""
    futures = call.exchange.futures
    market = market_of(call)

    def execute() -> dict[str, Any]:
        now = futures.clock.now_ms()
        account = holder(call)
        for order in [o for o in account.open_orders.values() if o.symbol == market.contract.name]:
            futures.engine.cancel(order, now)
        futures.settle_down(market, now)
        return ALL_CANCELLED

    return (yield from to_engine(call, execute))


def countdown(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/countdownCancelAll`: cancel everything of a contract unless called again in time."""
    market = market_of(call)
    milliseconds = integer(call.params, "countdownTime") or 0
    account = holder(call)
    if milliseconds:
        account.countdowns[market.contract.name] = call.exchange.clock.now_ms() + milliseconds
    else:
        account.countdowns.pop(market.contract.name, None)
    return {"symbol": market.contract.name, "countdownTime": str(milliseconds)}


def place_algo(call: Call) -> Steps:
    """`POST /fapi/v1/algoOrder`."""
    futures = call.exchange.futures
    market = market_of(call)
    now = futures.clock.now_ms()
    algo = algo_request(call.params, market, holder(call), futures.engine.invent_id(), now)
    call.limits.check_orders(call.holder.name, now)
    call.counts_orders = True

    def execute() -> dict[str, Any]:
        later = futures.clock.now_ms()
        algo.time = algo.update_time = later
        call.limits.count_order(call.holder.name, later)
        futures.algos.place(algo, later)
        answer = answers.algo_placed(algo, market.contract)
        futures.settle_down(market, later)
        return answer

    return (yield from to_engine(call, execute))


def find_algo(call: Call) -> AlgoOrder | None:
    """Return the algo order that `algoId` or `clientAlgoId` names, the newest of that client id."""
    algo_id = integer(call.params, "algoId")
    named = client_id(call.params, "clientAlgoId")
    if algo_id is None and not named:
        raise ExchangeError(-1102, "Mandatory parameter 'algoid' was not sent, was empty/null, or malformed.")
    for algo in reversed(holder(call).algos):
        if algo.id == algo_id or (algo_id is None and algo.client_algo_id == named):
            return algo
    return None


def cancel_algo(call: Call) -> Steps:
    """`DELETE /fapi/v1/algoOrder`; the code of the answer is text."""
    futures = call.exchange.futures
    find_algo(call)

    def execute() -> dict[str, Any]:
        algo = find_algo(call)
        if algo is None:
            raise ExchangeError(-2011, UNKNOWN_ORDER)
        futures.algos.cancel(algo, futures.clock.now_ms())
        return {
            "algoId": algo.id,
            "clientAlgoId": algo.client_algo_id,
            "code": "200",
            "msg": "success",
        }

    return (yield from to_engine(call, execute))


def cancel_all_algos(call: Call) -> Steps:
    """`DELETE /fapi/v1/algoOpenOrders`."""
    futures = call.exchange.futures
    market = market_of(call)

    def execute() -> dict[str, Any]:
        for algo in [a for a in holder(call).open_algos.values() if a.symbol == market.contract.name]:
            if algo.child is None:
                futures.algos.cancel(algo, futures.clock.now_ms())
        return ALL_CANCELLED

    return (yield from to_engine(call, execute))
