"""What the spot API offers: each operation with its security, weight and parameters, and the routes to it.

Weights and parameters from Binance REST docs, endpoint by endpoint; the WebSocket API asks for the same
operations by other names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.local_exchange import (
    cancel_replace,
    candles,
    spot_account,
    spot_market_data,
    spot_queries,
    spot_trading,
)
from services.local_exchange.calls import LATE, Operation, Security
from services.local_exchange.rate_limits import SPOT, RateLimits
from services.local_exchange.venue import Venue

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.local_exchange.calls import Call
    from services.local_exchange.parameters import Params

SIGNING = frozenset({"timestamp", "signature", "recvWindow"})
ORDER_FIELDS = (
    "symbol side type timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType "
    "stopPrice trailingDelta icebergQty newOrderRespType selfTradePreventionMode"
)


def _query(
    handler: Callable[[Call], object], weight: int | Callable[[Params], int], must: str = "", may: str = ""
) -> Operation:
    """Make a signed query."""
    return Operation(
        handler,
        Security.SIGNED,
        weight,
        tuple(must.split()),
        SIGNING | frozenset(must.split()) | frozenset(may.split()),
    )


def _trade(handler: Callable[[Call], object], must: str, may: str) -> Operation:
    """Make a signed trading call: weight 1, nothing on success (Binance changelog 2026-03-27)."""
    return Operation(
        handler,
        Security.SIGNED,
        1,
        tuple(must.split()),
        SIGNING | frozenset(must.split()) | frozenset(may.split()),
        waits=True,
        free_on_success=True,
    )


def _public(
    handler: Callable[[Call], object], weight: int | Callable[[Params], int], must: str = "", may: str = ""
) -> Operation:
    """Make a call that anybody may make."""
    return Operation(
        handler,
        weight=weight,
        mandatory=tuple(must.split()),
        optional=frozenset(must.split()) | frozenset(may.split()),
    )


def _if_given(name: str, given: int, absent: int) -> Callable[[Params], int]:
    return lambda params: given if name in params else absent


def _depth_weight(params: Params) -> int:
    limit = int(params["limit"]) if params.get("limit", "").isdecimal() else 100
    return next(weight for most, weight in ((100, 5), (500, 25), (1000, 50), (limit, 250)) if limit <= most)


PLACE = _trade(spot_trading.place, "symbol side type", ORDER_FIELDS)
CANCEL = _trade(
    spot_trading.cancel, "symbol", "orderId origClientOrderId newClientOrderId cancelRestrictions"
)
CANCEL_ALL = _trade(spot_trading.cancel_all, "symbol", "")
CANCEL_REPLACE = _trade(
    cancel_replace.cancel_replace,
    "symbol side type cancelReplaceMode",
    ORDER_FIELDS + " cancelOrderId cancelOrigClientOrderId cancelNewClientOrderId cancelRestrictions"
    " orderRateLimitExceededMode",
)
TEST = Operation(
    spot_trading.test,
    Security.SIGNED,
    lambda params: 20 if params.get("computeCommissionRates", "").lower() == "true" else 1,
    ("symbol", "side", "type"),
    SIGNING | frozenset(ORDER_FIELDS.split()) | {"computeCommissionRates"},
)
STATUS = _query(spot_queries.order, 4, "symbol", "orderId origClientOrderId")
OPEN_ORDERS = _query(spot_queries.open_orders, _if_given("symbol", 6, 80), "", "symbol")
ALL_ORDERS = _query(spot_queries.all_orders, 20, "symbol", "orderId startTime endTime limit")
MY_TRADES = _query(
    spot_queries.my_trades, _if_given("orderId", 5, 20), "symbol", "orderId startTime endTime fromId limit"
)
ACCOUNT = _query(spot_account.account, 20, "", "omitZeroBalances")
COMMISSION = _query(spot_account.commission, 20, "symbol")
UNFILLED = _query(spot_account.unfilled_orders, 40)
FILTERS = _query(spot_account.filters, 40, "symbol")
AMENDMENTS = _query(spot_account.amendments, 4, "symbol orderId", "fromExecutionId limit")
PREVENTED = _query(
    spot_account.prevented_matches,
    _if_given("preventedMatchId", 2, 20),
    "symbol",
    "preventedMatchId orderId fromPreventedMatchId limit",
)
PING = _public(spot_market_data.ping, 1)
TIME = _public(spot_market_data.time, 1)
EXCHANGE_INFO = _public(
    spot_market_data.exchange_info, 20, "", "symbol symbols permissions showPermissionSets symbolStatus"
)
TICKER_PRICE = _public(
    spot_market_data.ticker_price, _if_given("symbol", 2, 4), "", "symbol symbols symbolStatus"
)
BOOK_TICKER = _public(
    spot_market_data.book_ticker, _if_given("symbol", 2, 4), "", "symbol symbols symbolStatus"
)
TICKER_24HR = _public(
    spot_market_data.ticker_24hr, _if_given("symbol", 2, 80), "", "symbol symbols type symbolStatus"
)
DEPTH = _public(spot_market_data.depth, _depth_weight, "symbol", "limit symbolStatus")
TRADES = _public(spot_market_data.recent_trades, 25, "symbol", "limit")
HISTORICAL = _public(spot_market_data.recent_trades, 25, "symbol", "limit fromId")
AGGREGATES = _public(spot_market_data.aggregate_trades, 4, "symbol", "limit fromId startTime endTime")
AVERAGE = _public(spot_market_data.average_price, 2, "symbol")
KLINES = _public(candles.klines, 2, "symbol interval", "startTime endTime timeZone limit")
RULES = _public(
    spot_market_data.execution_rules, _if_given("symbol", 2, 40), "", "symbol symbols symbolStatus"
)
REFERENCE = _public(spot_market_data.reference_price, 2, "symbol")

ROUTES: dict[str, dict[str, Operation]] = {
    "/api/v3/ping": {"GET": PING},
    "/api/v3/time": {"GET": TIME},
    "/api/v3/exchangeInfo": {"GET": EXCHANGE_INFO},
    "/api/v3/order": {"POST": PLACE, "GET": STATUS, "DELETE": CANCEL},
    "/api/v3/order/test": {"POST": TEST},
    "/api/v3/order/cancelReplace": {"POST": CANCEL_REPLACE},
    "/api/v3/order/amendments": {"GET": AMENDMENTS},
    "/api/v3/openOrders": {"GET": OPEN_ORDERS, "DELETE": CANCEL_ALL},
    "/api/v3/allOrders": {"GET": ALL_ORDERS},
    "/api/v3/myTrades": {"GET": MY_TRADES},
    "/api/v3/myFilters": {"GET": FILTERS},
    "/api/v3/myPreventedMatches": {"GET": PREVENTED},
    "/api/v3/account": {"GET": ACCOUNT},
    "/api/v3/account/commission": {"GET": COMMISSION},
    "/api/v3/rateLimit/order": {"GET": UNFILLED},
    "/api/v3/ticker/price": {"GET": TICKER_PRICE},
    "/api/v3/ticker/bookTicker": {"GET": BOOK_TICKER},
    "/api/v3/ticker/24hr": {"GET": TICKER_24HR},
    "/api/v3/depth": {"GET": DEPTH},
    "/api/v3/trades": {"GET": TRADES},
    "/api/v3/historicalTrades": {"GET": HISTORICAL},
    "/api/v3/aggTrades": {"GET": AGGREGATES},
    "/api/v3/avgPrice": {"GET": AVERAGE},
    "/api/v3/klines": {"GET": KLINES},
    "/api/v3/uiKlines": {"GET": KLINES},
    "/api/v3/executionRules": {"GET": RULES},
    "/api/v3/referencePrice": {"GET": REFERENCE},
}

GONE = frozenset({"/api/v3/userDataStream"})

METHODS: dict[str, Operation] = {
    "ping": PING,
    "time": TIME,
    "exchangeInfo": EXCHANGE_INFO,
    "order.place": PLACE,
    "order.test": TEST,
    "order.cancel": CANCEL,
    "order.cancelReplace": CANCEL_REPLACE,
    "order.status": STATUS,
    "order.amendments": AMENDMENTS,
    "openOrders.status": OPEN_ORDERS,
    "openOrders.cancelAll": CANCEL_ALL,
    "allOrders": ALL_ORDERS,
    "myTrades": MY_TRADES,
    "myFilters": FILTERS,
    "myPreventedMatches": PREVENTED,
    "account.status": ACCOUNT,
    "account.commission": COMMISSION,
    "account.rateLimits.orders": UNFILLED,
    "ticker.price": TICKER_PRICE,
    "ticker.book": BOOK_TICKER,
    "ticker.24hr": TICKER_24HR,
    "depth": DEPTH,
    "trades.recent": TRADES,
    "trades.historical": HISTORICAL,
    "trades.aggregate": AGGREGATES,
    "avgPrice": AVERAGE,
    "klines": KLINES,
    "uiKlines": KLINES,
    "executionRules": RULES,
    "referencePrice": REFERENCE,
}


def spot_venue(scale: int) -> Venue:
    """Return the spot market as clients reach it; `scale` multiplies its rate limits."""
    return Venue("spot", ROUTES, METHODS, RateLimits(SPOT, scale), GONE, (-1021, LATE), 504)
