"""`POST /api/v3/order/cancelReplace`: cancel one order and place another on the same symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange import answers
from services.local_exchange.errors import ExchangeError
from services.local_exchange.parameters import client_id, integer
from services.local_exchange.spot_trading import (
    check_restriction,
    open_order,
    restriction_of,
    to_engine,
    validated,
)

if TYPE_CHECKING:
    from services.local_exchange.calls import Call, Steps
    from services.local_exchange.orders import OrderRequest

MODES = ("STOP_ON_FAILURE", "ALLOW_FAILURE")
LIMIT_MODES = ("DO_NOTHING", "CANCEL_ONLY")


def cancel_replace(call: Call) -> Steps:
    """Check filters and the unfilled order count, then cancel, then place.

    Binance REST docs "Cancel an Existing Order and Send a New Order": HTTP 409 with -2021 when one of the
    two fails, 400 with -2022 when both do; a new order that was not attempted still counts as unfilled.
    """
    params = call.params
    mode = _one_of(params.get("cancelReplaceMode", ""), MODES, "cancelReplaceMode")
    exceeded = _one_of(
        params.get("orderRateLimitExceededMode", "DO_NOTHING"), LIMIT_MODES, "orderRateLimitExceededMode"
    )
    order_id = integer(params, "cancelOrderId")
    original = client_id(params, "cancelOrigClientOrderId")
    if order_id is None and not original:
        raise ExchangeError(
            -1102,
            "Param 'cancelOrigClientOrderId' or 'cancelOrderId' must be sent, but both were empty/null!",
        )
    restriction = restriction_of(params)
    cancel_id = client_id(params, "cancelNewClientOrderId")
    request = validated(call)
    limits, account = call.limits, call.holder
    over: ExchangeError | None = None
    try:
        limits.check_orders(account.name, call.exchange.clock.now_ms())
    except ExchangeError as refusal:
        if exceeded == "DO_NOTHING":
            raise
        over = refusal
    call.counts_orders = True

    def execute() -> dict[str, Any]:
        cancelled = _cancel(call, request.symbol, order_id, original, restriction, cancel_id)
        return _finish(call, request, cancelled, mode == "STOP_ON_FAILURE", over)

    return (yield from to_engine(call, execute))


def _one_of(value: str, allowed: tuple[str, ...], name: str) -> str:
    if value not in allowed:
        raise ExchangeError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return value


def _cancel(
    call: Call, symbol: str, order_id: int | None, original: str, restriction: str | None, cancel_id: str
) -> dict[str, Any] | ExchangeError:
    engine = call.exchange.engine
    try:
        order = open_order(call, symbol, order_id, original)
        check_restriction(order, restriction)
        named = cancel_id or engine.invent_id()
        engine.cancel(order, named, call.exchange.clock.now_ms())
    except ExchangeError as refusal:
        return refusal
    return answers.cancelled(order, named)


def _finish(
    call: Call,
    request: OrderRequest,
    cancelled: dict[str, Any] | ExchangeError,
    stop: bool,
    over: ExchangeError | None,
) -> dict[str, Any]:
    exchange = call.exchange
    now = exchange.clock.now_ms()
    cancel_failed = isinstance(cancelled, ExchangeError)
    data: dict[str, Any] = {
        "cancelResult": "FAILURE" if cancel_failed else "SUCCESS",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": cancelled.body() if isinstance(cancelled, ExchangeError) else cancelled,
        "newOrderResponse": None,
    }
    if cancel_failed and stop:
        call.limits.count_order(call.holder.name, now)
        raise ExchangeError(-2022, "Order cancel-replace failed.", 400, data)
    try:
        if over is not None:
            raise over
        order = exchange.engine.place(call.holder, request, now)
    except ExchangeError as refusal:
        data["newOrderResult"] = "FAILURE"
        data["newOrderResponse"] = {"code": refusal.code, "msg": refusal.msg}
        if cancel_failed:
            raise ExchangeError(-2022, "Order cancel-replace failed.", 400, data) from refusal
        status = 429 if refusal is over else 409
        raise ExchangeError(-2021, "Order cancel-replace partially failed.", status, data) from refusal
    data["newOrderResult"] = "SUCCESS"
    data["newOrderResponse"] = answers.placed(order, request.response)
    if cancel_failed:
        raise ExchangeError(-2021, "Order cancel-replace partially failed.", 409, data)
    return data
