"""What the futures API offers: each operation with security, weight and parameters, and the routes to it.

Weights from the USDⓈ-M docs, endpoint by endpoint; placing costs order counts, no weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.local_exchange import spot_market_data
from services.local_exchange.calls import Operation, Security
from services.local_exchange.futures import configuration, market_data, queries, trading
from services.local_exchange.rate_limits import FUTURES, RateLimits
from services.local_exchange.venue import Venue

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.local_exchange.calls import Call
    from services.local_exchange.parameters import Params

SIGNING = frozenset({"timestamp", "signature", "recvWindow"})
ORDER_FIELDS = (
    "symbol side positionSide type timeInForce quantity reduceOnly price newClientOrderId newOrderRespType "
    "priceMatch selfTradePreventionMode goodTillDate"
)
ALGO_FIELDS = (
    "algoType symbol side positionSide type timeInForce quantity price triggerPrice workingType priceMatch "
    "closePosition priceProtect reduceOnly activatePrice callbackRate clientAlgoId selfTradePreventionMode "
    "goodTillDate newOrderRespType"
)
LATE = (-5028, "Timestamp for this request is outside of the ME recvWindow.")


def _signed(
    handler: Callable[[Call], object], weight: int | Callable[[Params], int], may: str = "", must: str = ""
) -> Operation:
    names = frozenset(must.split()) | frozenset(may.split())
    return Operation(handler, Security.SIGNED, weight, tuple(must.split()), SIGNING | names)


def _trading(handler: Callable[[Call], object], weight: int, may: str, must: str = "") -> Operation:
    names = frozenset(must.split()) | frozenset(may.split())
    return Operation(handler, Security.SIGNED, weight, tuple(must.split()), SIGNING | names, waits=True)


def _public(
    handler: Callable[[Call], object], weight: int | Callable[[Params], int], may: str = "", must: str = ""
) -> Operation:
    names = frozenset(must.split()) | frozenset(may.split())
    return Operation(handler, weight=weight, mandatory=tuple(must.split()), optional=names)


def _keyed(handler: Callable[[Call], object]) -> Operation:
    """Make a call that needs the key alone, without a signature (USER_STREAM)."""
    return Operation(handler, Security.KEYED, 1, (), frozenset({"listenKey"}))


def _without_symbol(given: int, absent: int) -> Callable[[Params], int]:
    return lambda params: given if "symbol" in params else absent


PLACE = _trading(trading.place, 0, ORDER_FIELDS, "symbol side type")
CANCEL = _trading(trading.cancel, 1, "orderId origClientOrderId", "symbol")
MODIFY = _trading(
    trading.modify,
    0,
    "orderId origClientOrderId price priceMatch modifyId reduceOnly",
    "symbol side quantity",
)
STATUS = _signed(queries.order, 1, "orderId origClientOrderId", "symbol")
PLACE_ALGO = _trading(trading.place_algo, 0, ALGO_FIELDS, "algoType symbol side type")
CANCEL_ALGO = _trading(trading.cancel_algo, 1, "symbol algoId clientAlgoId")
POSITIONS = _signed(configuration.position_risk_v3, 5, "symbol")
POSITIONS_V2 = _signed(configuration.position_risk_v2, 5, "symbol")
BALANCE = _signed(configuration.balance, 5)
ACCOUNT = _signed(configuration.account_v3, 5)
ACCOUNT_V2 = _signed(configuration.account_v2, 5)
PING = _public(spot_market_data.ping, 1)
TIME = _public(spot_market_data.time, 1)
DEPTH = _public(market_data.depth, 5, "limit", "symbol")
PRICE = _public(market_data.ticker_price, _without_symbol(1, 2), "symbol")
BOOK = _public(market_data.book_ticker, _without_symbol(2, 5), "symbol")
WINDOW = "startTime endTime limit page"

ROUTES: dict[str, dict[str, Operation]] = {
    "/fapi/v1/ping": {"GET": PING},
    "/fapi/v1/time": {"GET": TIME},
    "/fapi/v1/exchangeInfo": {"GET": _public(market_data.exchange_info, 1, "symbol")},
    "/fapi/v1/depth": {"GET": DEPTH},
    "/fapi/v1/trades": {"GET": _public(market_data.recent_trades, 5, "limit", "symbol")},
    "/fapi/v1/aggTrades": {
        "GET": _public(market_data.aggregate_trades, 20, "fromId startTime endTime limit", "symbol")
    },
    "/fapi/v1/klines": {"GET": _public(market_data.klines, 5, "startTime endTime limit", "symbol interval")},
    "/fapi/v1/ticker/price": {"GET": PRICE},
    "/fapi/v2/ticker/price": {"GET": PRICE},
    "/fapi/v1/ticker/bookTicker": {"GET": BOOK},
    "/fapi/v1/ticker/24hr": {"GET": _public(market_data.ticker_24hr, _without_symbol(1, 40), "symbol")},
    "/fapi/v1/premiumIndex": {"GET": _public(market_data.premium_index, _without_symbol(1, 10), "symbol")},
    "/fapi/v1/openInterest": {"GET": _public(market_data.open_interest, 1, "", "symbol")},
    "/fapi/v1/fundingRate": {"GET": _public(market_data.funding_rates, 1, "symbol startTime endTime limit")},
    "/fapi/v1/order": {"POST": PLACE, "GET": STATUS, "DELETE": CANCEL, "PUT": MODIFY},
    "/fapi/v1/order/test": {"POST": _signed(trading.test, 0, ORDER_FIELDS, "symbol side type")},
    "/fapi/v1/batchOrders": {
        "POST": _trading(trading.batch_place, 5, "", "batchOrders"),
        "PUT": _trading(trading.batch_modify, 5, "", "batchOrders"),
        "DELETE": _trading(trading.batch_cancel, 1, "orderIdList origClientOrderIdList", "symbol"),
    },
    "/fapi/v1/allOpenOrders": {"DELETE": _trading(trading.cancel_all, 1, "", "symbol")},
    "/fapi/v1/countdownCancelAll": {"POST": _signed(trading.countdown, 10, "", "symbol countdownTime")},
    "/fapi/v1/openOrder": {"GET": _signed(queries.open_order, 1, "orderId origClientOrderId", "symbol")},
    "/fapi/v1/openOrders": {"GET": _signed(queries.open_orders, _without_symbol(1, 40), "symbol")},
    "/fapi/v1/allOrders": {"GET": _signed(queries.all_orders, 5, f"symbol orderId {WINDOW}")},
    "/fapi/v1/userTrades": {"GET": _signed(queries.user_trades, 5, f"orderId fromId {WINDOW}", "symbol")},
    "/fapi/v1/orderAmendment": {
        "GET": _signed(queries.amendments, 1, f"orderId origClientOrderId {WINDOW}", "symbol")
    },
    "/fapi/v1/income": {"GET": _signed(queries.income, 30, f"symbol incomeType {WINDOW}")},
    "/fapi/v1/forceOrders": {
        "GET": _signed(queries.force_orders, _without_symbol(20, 50), f"symbol autoCloseType {WINDOW}")
    },
    "/fapi/v1/algoOrder": {
        "POST": PLACE_ALGO,
        "GET": _signed(queries.algo, 1, "symbol algoId clientAlgoId"),
        "DELETE": CANCEL_ALGO,
    },
    "/fapi/v1/algoOpenOrders": {"DELETE": _trading(trading.cancel_all_algos, 1, "", "symbol")},
    "/fapi/v1/openAlgoOrders": {
        "GET": _signed(queries.open_algos, _without_symbol(1, 40), "symbol algoType algoId")
    },
    "/fapi/v1/allAlgoOrders": {"GET": _signed(queries.all_algos, 5, f"algoId {WINDOW}", "symbol")},
    "/fapi/v3/positionRisk": {"GET": POSITIONS},
    "/fapi/v2/positionRisk": {"GET": POSITIONS_V2},
    "/fapi/v3/account": {"GET": ACCOUNT},
    "/fapi/v2/account": {"GET": ACCOUNT_V2},
    "/fapi/v3/balance": {"GET": BALANCE},
    "/fapi/v2/balance": {"GET": BALANCE},
    "/fapi/v1/accountConfig": {"GET": _signed(configuration.account_config, 5)},
    "/fapi/v1/symbolConfig": {"GET": _signed(configuration.symbol_config, 5, "symbol")},
    "/fapi/v1/commissionRate": {"GET": _signed(configuration.commission_rate, 20, "", "symbol")},
    "/fapi/v1/leverageBracket": {"GET": _signed(configuration.leverage_brackets, 1, "symbol")},
    "/fapi/v1/adlQuantile": {"GET": _signed(configuration.adl_quantile, 5, "symbol")},
    "/fapi/v1/rateLimit/order": {"GET": _signed(configuration.order_limits, 1)},
    "/fapi/v1/leverage": {"POST": _signed(configuration.change_leverage, 1, "", "symbol leverage")},
    "/fapi/v1/marginType": {"POST": _signed(configuration.change_margin_type, 1, "", "symbol marginType")},
    "/fapi/v1/positionMargin": {
        "POST": _signed(configuration.change_position_margin, 1, "positionSide", "symbol amount type")
    },
    "/fapi/v1/positionSide/dual": {
        "GET": _signed(configuration.position_mode, 30),
        "POST": _signed(configuration.change_position_mode, 1, "", "dualSidePosition"),
    },
    "/fapi/v1/stock/contract": {"POST": _signed(configuration.sign_tradfi_agreement, 50)},
    "/fapi/v1/multiAssetsMargin": {
        "GET": _signed(configuration.assets_mode, 30),
        "POST": _signed(configuration.change_assets_mode, 1, "", "multiAssetsMargin"),
    },
    "/fapi/v1/listenKey": {
        "POST": _keyed(configuration.start_listen_key),
        "PUT": _keyed(configuration.keep_listen_key),
        "DELETE": _keyed(configuration.end_listen_key),
    },
}

METHODS: dict[str, Operation] = {
    "ping": PING,
    "time": TIME,
    "depth": DEPTH,
    "ticker.price": PRICE,
    "ticker.book": BOOK,
    "order.place": PLACE,
    "order.modify": MODIFY,
    "order.cancel": CANCEL,
    "order.status": STATUS,
    "algoOrder.place": PLACE_ALGO,
    "algoOrder.cancel": CANCEL_ALGO,
    "account.position": POSITIONS_V2,
    "v2/account.position": POSITIONS,
    "account.balance": BALANCE,
    "v2/account.balance": BALANCE,
    "account.status": ACCOUNT_V2,
    "v2/account.status": ACCOUNT,
    "userDataStream.start": _keyed(configuration.start_listen_key),
    "userDataStream.ping": _keyed(configuration.keep_listen_key),
    "userDataStream.stop": _keyed(configuration.end_listen_key),
}


def futures_venue(scale: int) -> Venue:
    """Return the futures market as clients reach it; `scale` multiplies its rate limits."""
    return Venue("futures", ROUTES, METHODS, RateLimits(FUTURES, scale), frozenset(), LATE, 408)
