"""Signed queries: orders, trades, balances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange import answers
from services.local_exchange.errors import ExchangeError
from services.local_exchange.parameters import bad_combination, client_id, integer, symbol_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.local_exchange.calls import Call
    from services.local_exchange.orders import Order, Trade

DAY_MS = 86_400_000
DEFAULT_LIMIT = 500
LARGEST_LIMIT = 1000


def order(call: Call) -> dict[str, Any]:
    """`GET /api/v3/order`: by order id or client order id; with both the client id must fit (-2039)."""
    symbol = symbol_of(call.params, call.exchange.markets)
    order_id = integer(call.params, "orderId")
    original = client_id(call.params, "origClientOrderId")
    if order_id is None and not original:
        raise ExchangeError(
            -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
        )
    found = _find(call, symbol, order_id, original)
    if found is None or not _visible(call, found, call.exchange.settings.query_lag_ms):
        raise ExchangeError(-2013, "Order does not exist.")
    if order_id is not None and original and found.client_order_id != original:
        raise ExchangeError(-2039, "Client order ID is not correct for this order ID.")
    if found.is_archived(call.exchange.clock.now_ms()):
        raise ExchangeError(
            -2026,
            "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
        )
    return answers.queried(found)


def _find(call: Call, symbol: str, order_id: int | None, client_order_id: str) -> Order | None:
    market = call.exchange.markets[symbol]
    if order_id is not None:
        found = market.orders.get(order_id)
        return found if found is not None and found.account is call.account else None
    named = market.by_client_id.get((call.holder.name, client_order_id))
    if not named:
        return None
    return named[-1 if call.exchange.client_id_newest_first else 0]


def _visible(call: Call, found: Order | Trade, lag_ms: float) -> bool:
    lag = max(lag_ms, call.plan.lag_ms())
    return not lag or call.exchange.clock.now_ms() - found.time >= lag


def _listed(call: Call) -> Callable[[Order | Trade], bool]:
    settings = call.exchange.settings
    lag = settings.query_lag_ms if settings.list_lag_ms is None else settings.list_lag_ms
    return lambda found: _visible(call, found, lag)


def open_orders(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/openOrders`: of one symbol or of all."""
    symbol = symbol_of(call.params, call.exchange.markets) if "symbol" in call.params else None
    listed = _listed(call)
    found = [
        o for o in call.holder.open_orders.values() if (symbol is None or o.symbol == symbol) and listed(o)
    ]
    return [_without_reason(answers.queried(o)) for o in found]


def _without_reason(answer: dict[str, Any]) -> dict[str, Any]:
    answer.pop("expiryReason", None)
    return answer


def limit_of(call: Call) -> int:
    """`limit`: 500 unless given, 1000 at most."""
    limit = integer(call.params, "limit")
    return DEFAULT_LIMIT if limit is None else max(1, min(limit, LARGEST_LIMIT))


def window_of(call: Call) -> tuple[int | None, int | None]:
    """`startTime` and `endTime`, at most 24 hours apart (-1127)."""
    start, end = integer(call.params, "startTime"), integer(call.params, "endTime")
    if start is not None and end is not None:
        if end < start:
            raise ExchangeError(-1130, "Data sent for parameter 'endTime' is not valid.")
        if end - start > DAY_MS:
            raise ExchangeError(-1127, "More than 24 hours between startTime and endTime.")
    return start, end


def all_orders(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/allOrders`: from an order id on, or by time of the last update, or the most recent."""
    symbol = symbol_of(call.params, call.exchange.markets)
    limit = limit_of(call)
    start, end = window_of(call)
    order_id = integer(call.params, "orderId")
    listed = _listed(call)
    orders = [o for o in call.exchange.markets[symbol].by_account.get(call.holder.name, ()) if listed(o)]
    if start is not None or end is not None:
        orders = [
            o
            for o in orders
            if (start is None or o.update_time >= start) and (end is None or o.update_time <= end)
        ]
        orders = orders[:limit] if start is not None else orders[-limit:]
    elif order_id is not None:
        orders = [o for o in orders if o.id >= order_id][:limit]
    else:
        orders = orders[-limit:]
    return [answers.queried(o) for o in orders]


ALLOWED_COMBINATIONS = frozenset(
    frozenset(names)
    for names in (
        (),
        ("orderId",),
        ("startTime",),
        ("endTime",),
        ("fromId",),
        ("startTime", "endTime"),
        ("orderId", "fromId"),
    )
)


def my_trades(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/myTrades`: only the documented combinations of selectors (-1128)."""
    symbol = symbol_of(call.params, call.exchange.markets)
    chosen = frozenset(call.params) & {"orderId", "startTime", "endTime", "fromId"}
    if chosen not in ALLOWED_COMBINATIONS:
        raise bad_combination()
    limit = limit_of(call)
    start, end = window_of(call)
    order_id, from_id = integer(call.params, "orderId"), integer(call.params, "fromId")
    listed = _listed(call)
    trades = [
        t
        for t in call.exchange.markets[symbol].trades.get(call.holder.name, ())
        if (order_id is None or t.order_id == order_id)
        and (from_id is None or t.id >= from_id)
        and (start is None or t.time >= start)
        and (end is None or t.time <= end)
        and listed(t)
    ]
    oldest_first = start is not None or from_id is not None
    return [answers.trade(t) for t in (trades[:limit] if oldest_first else trades[-limit:])]
