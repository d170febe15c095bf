"""Trading calls: place and cancel, on their way from the API to the matching engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange import answers
from services.local_exchange.errors import ExchangeError
from services.local_exchange.faults import NO_PLAN, Action
from services.local_exchange.filters import check_filters
from services.local_exchange.parameters import boolean, client_id, integer, order_request, symbol_of
from services.local_exchange.spot_account import discount
from services.local_exchange.user_data import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.local_exchange.calls import Call, Steps
    from services.local_exchange.orders import Order, OrderRequest
    from services.local_exchange.parameters import Params

UNKNOWN_ORDER = "Unknown order sent."
RESTRICTIONS = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."


def place(call: Call) -> Steps:
    """`POST /api/v3/order`."""
    exchange = call.exchange
    request = validated(call)
    account = call.holder
    call.limits.check_orders(account.name, exchange.clock.now_ms())
    call.counts_orders = True

    def execute() -> dict[str, Any]:
        order = exchange.engine.place(account, request, exchange.clock.now_ms())
        return answers.placed(order, request.response)

    return (yield from to_engine(call, execute))


def validated(call: Call) -> OrderRequest:
    """Return a call's order once parameters and filters are checked; the engine knows nothing yet."""
    exchange = call.exchange
    symbol = symbol_of(call.params, exchange.markets)
    request = order_request(call.params, symbol)
    market = exchange.markets[symbol]
    check_filters(request, market.symbol, call.holder, market.path.price)
    exchange.filters.check(request, call.holder)
    return request


def cancel(call: Call) -> Steps:
    """`DELETE /api/v3/order`."""
    exchange = call.exchange
    params = call.params
    symbol = symbol_of(params, exchange.markets)
    order_id = integer(params, "orderId")
    original = client_id(params, "origClientOrderId")
    if order_id is None and not original:
        raise ExchangeError(
            -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    restriction = restriction_of(params)
    cancel_id = client_id(params, "newClientOrderId")

    def execute() -> dict[str, Any]:
        order = open_order(call, symbol, order_id, original)
        check_restriction(order, restriction)
        named = cancel_id or exchange.engine.invent_id()
        exchange.engine.cancel(order, named, exchange.clock.now_ms())
        return answers.cancelled(order, named)

    return (yield from to_engine(call, execute))


def restriction_of(params: Params) -> str | None:
    """Return `cancelRestrictions`.

    Raises:
        ExchangeError: -1145 for an unknown one.

    """
    restriction = params.get("cancelRestrictions")
    if restriction is not None and restriction not in RESTRICTIONS:
        raise ExchangeError(-1145, "Invalid cancelRestrictions")
    return restriction


def check_restriction(order: Order, restriction: str | None) -> None:
    """Refuse to cancel an order whose status the restriction excludes (-2011)."""
    if restriction is not None and order.status != RESTRICTIONS[restriction]:
        raise ExchangeError(-2011, "Order was not canceled due to cancel restrictions.")


def cancel_all(call: Call) -> Steps:
    """`DELETE /api/v3/openOrders`: all open orders of a symbol; -2011 when there are none."""
    exchange = call.exchange
    symbol = symbol_of(call.params, exchange.markets)

    def execute() -> list[dict[str, Any]]:
        found = [order for order in call.holder.open_orders.values() if order.symbol == symbol]
        if not found:
            raise ExchangeError(-2011, UNKNOWN_ORDER)
        named = exchange.engine.invent_id()
        for order in found:
            exchange.engine.cancel(order, named, exchange.clock.now_ms())
        return [answers.cancelled(order, named) for order in found]

    return (yield from to_engine(call, execute))


def test(call: Call) -> dict[str, Any]:
    """`POST /api/v3/order/test`: parameters and filters are checked, the engine is never asked."""
    validated(call)
    if not boolean(call.params, "computeCommissionRates"):
        return {}
    rates = {"maker": f"{call.holder.maker_rate:.8f}", "taker": f"{call.holder.taker_rate:.8f}"}
    nothing = {"maker": NOTHING, "taker": NOTHING}
    return {
        "standardCommissionForOrder": rates,
        "specialCommissionForOrder": nothing,
        "taxCommissionForOrder": nothing,
        "discount": discount(call),
    }


def open_order(call: Call, symbol: str, order_id: int | None, client_order_id: str) -> Order:
    """Return the open order a cancel means.

    Raises:
        ExchangeError: -2011 where there is none, or where order id and client order id belong to different
            orders.

    """
    account = call.holder
    if order_id is None:
        order = account.open_client_ids.get((symbol, client_order_id))
    else:
        order = account.open_orders.get((symbol, order_id))
        if order is not None and client_order_id and order.client_order_id != client_order_id:
            raise ExchangeError(-2011, UNKNOWN_ORDER)
    if order is None:
        raise ExchangeError(-2011, UNKNOWN_ORDER)
    return order


def to_engine(call: Call, execute: Callable[[], Any]) -> Steps:
    """Carry a call to the engine through the second and the third check of its recvWindow.

    Binance changelog 2025-05-22 (just before forwarding; a failure charges the unfilled order count) and
    2025-08-12
    (after the message broker, just before the engine). Whatever takes longer than the engine timeout is
    answered with -1007 and executes all the same.
    """
    exchange, plan = call.exchange, call.plan
    engine_seconds = exchange.settings.engine_delay_ms / 1000
    if plan is not NO_PLAN:
        engine_seconds += plan.seconds(Action.DELAY_ENGINE)
        if Action.DELAY_FORWARD in plan.rules:
            yield plan.seconds(Action.DELAY_FORWARD)
            _second_check(call)
        if Action.HOLD in plan.rules:
            yield plan.seconds(Action.HOLD)
            _third_check(call)
    if engine_seconds:
        patience = exchange.settings.engine_timeout_ms / 1000
        if engine_seconds > patience:
            exchange.later(engine_seconds, lambda: _execute_unheard(execute))
            yield patience
            raise ExchangeError(-1007, TIMEOUT, call.venue.timeout_status)
        yield engine_seconds
    return execute()


def _third_check(call: Call) -> None:
    try:
        call.check_window()
    except ExchangeError as late:
        code, words = call.venue.late_in_engine
        raise ExchangeError(code, words) from late


def _second_check(call: Call) -> None:
    try:
        call.check_window()
    except ExchangeError:
        if call.counts_orders:
            call.limits.count_order(call.holder.name, call.exchange.clock.now_ms())
        raise


def _execute_unheard(execute: Callable[[], Any]) -> None:
    try:
        execute()
    except ExchangeError:
        return  # nobody is waiting for this answer any more: the caller got -1007
