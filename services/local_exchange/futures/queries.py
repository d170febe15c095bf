"""Futures queries: orders, trades, income, algo orders, with their windows and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures import answers
from services.local_exchange.futures.parameters import client_id, not_valid
from services.local_exchange.futures.trading import find_algo, holder, market_of
from services.local_exchange.orders import Status
from services.local_exchange.parameters import integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.local_exchange.calls import Call
    from services.local_exchange.futures.orders import AlgoOrder, FuturesOrder, FuturesTrade

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS
UNFILLED_KEPT_MS = 3 * DAY_MS
KEPT_MS = 90 * DAY_MS
NOT_FOUND = "Order does not exist."


def _visible(call: Call, time: int, listed: bool) -> bool:
    settings = call.exchange.settings
    lag = settings.query_lag_ms
    if listed and settings.list_lag_ms is not None:
        lag = settings.list_lag_ms
    lag = max(lag, int(call.plan.lag_ms()))
    return not lag or call.exchange.clock.now_ms() - time >= lag


def _kept(order: FuturesOrder, now: int) -> bool:
    """Say whether queries still know an order: unfilled ends for three days, all for ninety."""
    ended = order.status in {Status.CANCELED, Status.EXPIRED, Status.EXPIRED_IN_MATCH}
    if ended and not order.executed and now - order.time > UNFILLED_KEPT_MS:
        return False
    return now - order.time <= KEPT_MS


def _find(call: Call) -> FuturesOrder | None:
    market = market_of(call)
    order_id = integer(call.params, "orderId")
    original = client_id(call.params, "origClientOrderId")
    if order_id is None and not original:
        raise ExchangeError(
            -1102, "Mandatory parameter 'orderId' was not sent, was empty/null, or malformed."
        )
    if order_id is not None:
        order = market.orders.get(order_id)
        return order if order is not None and order.account is holder(call) else None
    named = market.by_client_id.get((call.holder.name, original))
    return named[-1] if named else None


def order(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/order`."""
    market = market_of(call)
    found = _find(call)
    if (
        found is None
        or not _kept(found, call.exchange.clock.now_ms())
        or not _visible(call, found.time, listed=False)
    ):
        raise ExchangeError(-2013, NOT_FOUND)
    return answers.queried(found, market.contract)


def open_order(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/openOrder`: -2013 when it is not open any more."""
    market = market_of(call)
    found = _find(call)
    if found is None or not found.is_open or not _visible(call, found.time, listed=False):
        raise ExchangeError(-2013, NOT_FOUND)
    return answers.queried(found, market.contract)


def open_orders(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/openOrders`: no algo orders."""
    symbol = market_of(call).contract.name if "symbol" in call.params else None
    markets = call.exchange.futures.markets
    return [
        answers.queried(found, markets[found.symbol].contract)
        for found in holder(call).open_orders.values()
        if symbol in {None, found.symbol} and _visible(call, found.time, listed=True)
    ]


def _limit(call: Call, default: int, most: int) -> int:
    limit = integer(call.params, "limit")
    if limit is None:
        return default
    if not 0 < limit <= most:
        raise not_valid("limit")
    return limit


def _window(call: Call) -> tuple[int, int]:
    """Return the time window: seven days at most, the last seven by default."""
    now = call.exchange.clock.now_ms()
    start, end = integer(call.params, "startTime"), integer(call.params, "endTime")
    if start is None and end is None:
        return now - WEEK_MS, now
    if start is None:
        end = now if end is None else end
        return end - WEEK_MS, end
    if end is None:
        return start, start + WEEK_MS
    if end - start > WEEK_MS:
        raise ExchangeError(-4166, "Search window is restricted to recent 7 days only.")
    return start, end


def all_orders(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/allOrders`: from an order id on, or the newest of the window, ascending."""
    markets = call.exchange.futures.markets
    chosen = [market_of(call)] if "symbol" in call.params else list(markets.values())
    limit = _limit(call, 500, 1000)
    start, end = _window(call)
    order_id = integer(call.params, "orderId")
    now = call.exchange.clock.now_ms()
    found = [
        order
        for market in chosen
        for order in market.by_account.get(call.holder.name, ())
        if _kept(order, now)
        and _visible(call, order.time, listed=True)
        and (order.id >= order_id if order_id is not None else start <= order.time <= end)
    ]
    found.sort(key=lambda order: (order.time, order.id))
    found = found[:limit] if order_id is not None else found[-limit:]
    return [answers.listed(order, markets[order.symbol].contract) for order in found]


def user_trades(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/userTrades`: the oldest of the window first; page on with fromId."""
    market = market_of(call)
    limit = _limit(call, 500, 1000)
    order_id, from_id = integer(call.params, "orderId"), integer(call.params, "fromId")
    if from_id is not None and ("startTime" in call.params or "endTime" in call.params):
        raise ExchangeError(-1128, "Combination of optional parameters invalid.")
    start, end = _window(call)
    found: Iterable[FuturesTrade] = (
        trade
        for trade in market.trades.get(call.holder.name, ())
        if (order_id is None or trade.order_id == order_id)
        and (trade.id >= from_id if from_id is not None else start <= trade.time <= end)
        and _visible(call, trade.time, listed=True)
    )
    return [answers.trade(trade, market.contract) for trade in list(found)[:limit]]


def amendments(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/orderAmendment`: the history is not kept here."""
    market_of(call)
    return []


def income(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/income`."""
    start, end = _window(call)
    kind, symbol = call.params.get("incomeType"), call.params.get("symbol")
    limit = _limit(call, 100, 1000)
    found = [
        line
        for line in holder(call).income
        if start <= line.time <= end and kind in {None, line.kind} and symbol in {None, line.symbol}
    ]
    return [answers.income(line) for line in found[-limit:]]


def force_orders(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/forceOrders`: liquidations and auto-deleveraging of the account."""
    futures = call.exchange.futures
    symbol = call.params.get("symbol")
    wanted = {"LIQUIDATION": "autoclose", "ADL": "adl_autoclose"}.get(call.params.get("autoCloseType", ""))
    return [
        answers.listed(forced, futures.markets[forced.symbol].contract)
        for forced in futures.risk.forced.get(call.holder.name, [])
        if symbol in {None, forced.symbol} and (wanted is None or forced.client_order_id.startswith(wanted))
    ]


def algo(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/algoOrder`."""
    found = find_algo(call)
    if found is None or not _visible(call, found.time, listed=False):
        raise ExchangeError(-2013, NOT_FOUND)
    return _algo(call, found)


def _algo(call: Call, found: AlgoOrder) -> dict[str, Any]:
    return answers.algo_queried(found, call.exchange.futures.markets[found.symbol].contract)


def open_algos(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/openAlgoOrders`."""
    symbol = call.params.get("symbol")
    return [
        _algo(call, found)
        for found in holder(call).open_algos.values()
        if symbol in {None, found.symbol} and _visible(call, found.time, listed=True)
    ]


def all_algos(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/allAlgoOrders`: the newest first."""
    market = market_of(call)
    start, end = _window(call)
    algo_id = integer(call.params, "algoId")
    limit = _limit(call, 500, 1000)
    found = [
        algo
        for algo in holder(call).algos
        if algo.symbol == market.contract.name
        and (algo.id >= algo_id if algo_id is not None else start <= algo.time <= end)
        and _visible(call, algo.time, listed=True)
    ]
    return [_algo(call, algo) for algo in reversed(found[-limit:])]
