"""PROTOCOL 5: the spot exchange's codes and messages, each with what it means for an order just sent.

Every code of the exchange's list is here. Those that no order can bring about are `unknown`, should they come
all the same. The list itself is `exchange_codes.json`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shared.domain.answers_row import (
    BUSINESS,
    KEY_REFUSED,
    SERVER_ERRORS,
    Pause,
    Place,
    numbers,
    refusals,
    uncertain,
)
from shared.domain.order import Market

if TYPE_CHECKING:
    from collections.abc import Iterable

CODES: Final = "Binance Spot API docs, Error codes"
ENGINE: Final = "Binance Spot API docs, Error codes: Messages for -1010, -2010, -2011 and -2038"
FILTERS: Final = "Binance Spot API docs, Error codes: Filter failures"

_FAULT = "Report it with the order's id: the bridge should have built the request otherwise."

_REFUSED: Final = (
    ("combination", f"it does not support this combination of order fields. {_FAULT}", -1014),
    ("unsupported", f"it does not support this operation. {_FAULT}", -1020),
    ("precision", f"a price or quantity has too many decimals. {_FAULT}", -1111),
    ("no_depth", "the other side of the book is empty. Try again later or with a limit price.", -1112),
    ("symbol", "it does not know the symbol. Correct the row's symbol.", -1121),
)

_MALFORMED: Final = numbers(
    "-1100 -1101 -1102 -1103 -1104 -1105 -1106 -1108 -1114 -1115 -1116 -1117 -1118 -1128 -1130 -1134 -1135 "
    "-1152 -1153 -1155 -1194 -1210 -1211"
)
_ORDER_LISTS: Final = numbers(
    "-1158 -1159 -1160 -1165 -1166 -1168 -1196 -1197 -1198 -1199 -1222 -1223 -1224 -1225"
)

_UNKNOWN: Final = (
    ("unknown_error", "an unknown error occurred while it processed the request.", -1000),
    ("internal_error", "an internal error on its side.", -1001),
    ("unexpected_response", "its message bus answered with something it did not expect.", -1006),
    ("engine_timeout", "its matching engine did not answer in time.", -1007),
    ("overloaded", "it is overloaded and promises nothing about this order.", -1008),
    ("service_ended", "it says the service is no longer available and promises nothing.", -1016),
    ("unreadable_answer", "it could not encode its answer; the order may have been placed.", -1161),
)

_NOT_FOR_ORDERS: Final = (
    numbers("-1119 -1120 -1122 -1125 -1127 -1139 -1145 -1151 -1220 -2016 -2043")  # queries and market data
    + numbers("-2011 -2013 -2021 -2022 -2026 -2035 -2036 -2038 -2039 -2042")  # cancel, amend, streams
    + numbers("-1033 -1034 -1035 -1221")  # FIX and SBE sessions, as are the next
    + tuple(range(-1191, -1168))
)

_ENGINE: Final = (
    (
        "symbol_closed",
        "the symbol is not trading at the moment. Try again when it is.",
        (
            "Market is closed.",
            "This order type is not possible in this trading phase.",
            "Limit orders require GTC for this phase.",
        ),
    ),
    (
        "balance",
        "the account has not enough free balance for it. Lower the amount or add funds.",
        ("Account has insufficient balance for requested action.",),
    ),
    (
        "type",
        "the symbol does not take this type of order. Use another type.",
        (
            "Market orders are not supported for this symbol.",
            "Iceberg orders are not supported for this symbol.",
            "Stop loss orders are not supported for this symbol.",
            "Stop loss limit orders are not supported for this symbol.",
            "Take profit orders are not supported for this symbol.",
            "Take profit limit orders are not supported for this symbol.",
            "Trailing stop orders are not supported for this symbol.",
            "OCO orders are not supported for this symbol",
            "OPO orders are not supported for this symbol.",
            "Pegged orders are not supported for this symbol.",
            "Quote order qty market orders are not support for this symbol.",
        ),
    ),
    (
        "value",
        "price times quantity is zero or less. Correct the row's amount and price.",
        ("Price * QTY is zero or less.",),
    ),
    (
        "combination",
        f"it does not support this combination of order fields. {_FAULT}",
        (
            "IcebergQty exceeds QTY.",
            "Unsupported order combination",
            "This order type may not use pegged price.",
            "This price peg cannot be used with this order type.",
            "The relationship of the prices for the orders is not correct.",
        ),
    ),
    (
        "account",
        "trading is disabled on this account. Ask Binance's support why.",
        ("This action is disabled on this account.", "This account may not place or cancel orders."),
    ),
    (
        "triggers_at_once",
        "the stop price is already reached. Use a market order or another stop price.",
        ("Order would trigger immediately.",),
    ),
    (
        "would_take",
        "it would trade at once although it must not. Use another price.",
        ("Order would immediately match and take.",),
    ),
    (
        "symbol_not_permitted",
        "this account may not trade the symbol. Use another account or symbol.",
        ("This symbol is not permitted for this account.", "This symbol is restricted for this account."),
    ),
    (
        "address",
        "this address takes no orders. Set the base URL to one that does.",
        (
            "Rest API trading is not enabled.",
            "WebSocket API trading is not enabled.",
            "FIX API trading is not enabled.",
        ),
    ),
    (
        "no_depth",
        "the order book is too thin for it. Lower the amount, wait, or set a limit price.",
        (
            "Order book liquidity is less than `LOT_SIZE` filter minimum quantity.",
            "Order book liquidity is less than `MARKET_LOT_SIZE` filter minimum quantity.",
            "Order book liquidity is less than symbol minimum quantity.",
            "Order book liquidity is too low for this pegged order.",
        ),
    ),
    (
        "rejected",
        "it gave no reason. Check the order and the account at the exchange.",
        ("NEW_ORDER_REJECTED",),
    ),
)

_ENGINE_NOT_FOR_ORDERS: Final = (
    "Unknown order sent.",
    "Cancel order is invalid. Check origClOrdId and orderId.",
    "Order amend is not supported for this symbol.",
    "Order cancel-replace is not supported for this symbol.",
    "Order was not canceled due to cancel restrictions.",
    "Order amend (quantity increase) is not supported.",
    "The requested action would change no state; rejecting",
    "Order amend (pending OPO order) is not supported.",
)

_FILTERS: Final = (
    ("PRICE_FILTER", "the price is too high, too low or off the tick size. Correct the price."),
    ("PERCENT_PRICE", "the price is too far from the market. Use a price nearer to it."),
    ("PERCENT_PRICE_BY_SIDE", "the price is too far from the market. Use a price nearer to it."),
    ("LOT_SIZE", "the quantity is too high, too low or off the step size. Correct the amount."),
    ("MARKET_LOT_SIZE", "the quantity is too high, too low or off the step size. Correct the amount."),
    ("MIN_NOTIONAL", "the order's value is too small. Raise the amount."),
    ("NOTIONAL", "the order's value is too small or too large. Correct the amount."),
    ("ICEBERG_PARTS", f"the order would break into too many parts. {_FAULT}"),
    ("MAX_POSITION", "the account would hold more of the asset than it may. Lower the amount."),
    ("MAX_NUM_ORDERS", "too many orders are open on the symbol. Cancel some."),
    ("MAX_NUM_ALGO_ORDERS", "too many stop orders are open on the symbol. Cancel some."),
    ("MAX_NUM_ICEBERG_ORDERS", "too many iceberg orders are open on the symbol. Cancel some."),
    ("MAX_NUM_ORDER_AMENDS", f"the order was amended too often. {_FAULT}"),
    ("MAX_NUM_ORDER_LISTS", "too many order lists are open on the symbol. Cancel some."),
    ("TRAILING_DELTA", f"the trailing delta is out of range. {_FAULT}"),
    ("EXCHANGE_MAX_NUM_ORDERS", "the account has too many open orders. Cancel some."),
    ("EXCHANGE_MAX_NUM_ALGO_ORDERS", "the account has too many open stop orders. Cancel some."),
    ("EXCHANGE_MAX_NUM_ICEBERG_ORDERS", "the account has too many open iceberg orders. Cancel some."),
    ("EXCHANGE_MAX_NUM_ORDER_LISTS", "the account has too many open order lists. Cancel some."),
)


def _rows() -> Iterable[Place]:
    spot = Market.SPOT
    for reason, why, code in _REFUSED:
        yield from refusals(spot, CODES, f"exchange_{reason}", why, code)
    why = "the API key may not do this. Allow spot trading for the key."
    yield from refusals(spot, CODES, "exchange_unauthorized", why, -1002, statuses=KEY_REFUSED, alarm=True)
    why = f"it could not read a field of the request. {_FAULT}"
    yield from refusals(spot, CODES, "exchange_malformed", why, *_MALFORMED, alarm=True)
    yield from refusals(
        spot,
        "Binance Spot API docs, CHANGELOG 2019-08-15",
        "exchange_malformed",
        f"recvWindow is too large. {_FAULT}",
        -1131,
        alarm=True,
    )
    why = f"a rule for order lists is broken. {_FAULT}"
    yield from refusals(spot, CODES, "exchange_order_list", why, *_ORDER_LISTS, alarm=True)
    why = "the API key, its IP address or its permissions are not accepted. Correct the key in the account."
    yield from refusals(
        spot, CODES, "exchange_key", why, -2014, -2015, statuses=KEY_REFUSED, pause=Pause.KEY, alarm=True
    )
    why = "the signature is wrong: the secret does not belong to the API key. Correct the key in the account."
    yield from refusals(
        spot, CODES, "exchange_signature", why, -1022, statuses=KEY_REFUSED, pause=Pause.KEY, alarm=True
    )
    yield from _engine_rows()
    for name, why in _FILTERS:
        reason = f"exchange_filter_{name.lower()}"
        yield from refusals(spot, FILTERS, reason, f"{name}: {why}", -1013, message=f"Filter failure: {name}")
    yield from refusals(
        spot,
        "Binance Spot API docs, Self Trade Prevention FAQ",
        "exchange_self_trade_prevention",
        f"the symbol does not allow this mode of self-trade prevention. {_FAULT}",
        -1013,
        message="This symbol does not allow the specified self-trade prevention mode.",
        alarm=True,
    )
    why = "its checks before the matching engine refused it. The exchange's own text says why."
    yield from refusals(spot, CODES, "exchange_invalid", why, -1013)
    for reason, why, code in _UNKNOWN:
        yield from uncertain(spot, CODES, reason, why, code, statuses=(*BUSINESS, 408, *SERVER_ERRORS))
    yield from uncertain(
        spot, CODES, "not_for_orders", "this code is not one for a new order.", *_NOT_FOR_ORDERS, alarm=True
    )


def _engine_rows() -> Iterable[Place]:
    spot, codes = Market.SPOT, (-1010, -2010)
    for reason, why, messages in _ENGINE:
        for message in messages:
            yield from refusals(spot, ENGINE, f"exchange_{reason}", why, *codes, message=message)
    why = "an order with this id is open there already, most likely this very one."
    yield from uncertain(
        spot, ENGINE, "duplicate_id", why, *codes, message="Duplicate order sent.", alarm=True
    )
    for message in _ENGINE_NOT_FOR_ORDERS:
        why = "this message is not one for a new order."
        yield from uncertain(spot, ENGINE, "not_for_orders", why, *codes, message=message, alarm=True)
    why = "the matching engine answered with a text that is not in its documentation."
    yield from uncertain(spot, ENGINE, "unlisted_message", why, *codes, alarm=True)


ROWS: Final = tuple(_rows())
"""What each of spot's codes means for an order just sent."""
