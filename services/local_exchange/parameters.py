"""Parameters of a request: decoded, checked one by one, turned into an order."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_plus

from services.local_exchange.errors import ExchangeError, missing
from services.local_exchange.orders import (
    CONDITIONAL,
    PRICED,
    ZERO,
    OrderRequest,
    OrderType,
    Side,
    StpMode,
    TimeInForce,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from enum import StrEnum

Params = dict[str, str]
Member = TypeVar("Member", bound="StrEnum")

NUMBER_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = "^[a-zA-Z0-9-_]{1,36}$"
SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"
INTEGER_RANGE = "^[0-9]{1,20}$"
_number = re.compile(NUMBER_RANGE.replace("$", r"\Z")).match
_client_id = re.compile(r"[a-zA-Z0-9\-_]{1,36}\Z").match
_symbol = re.compile(r"[A-Z0-9\-_.]{1,20}\Z").match
_integer = re.compile(r"[0-9]{1,20}\Z").match
LONGEST = 2**63 - 1
PRECISION = 8
RESPONSES = ("ACK", "RESULT", "FULL")
SMALLEST_STRATEGY_TYPE = 1_000_000
RARE = frozenset({"stopPrice", "trailingDelta", "icebergQty", "strategyId", "strategyType"})


def illegal(name: str, legal: str) -> ExchangeError:
    """Build the error of characters that are not allowed (-1100)."""
    return ExchangeError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def bad_combination() -> ExchangeError:
    """Parameters exclude one another (-1128)."""
    return ExchangeError(-1128, "Combination of optional parameters invalid.")


def decode(query: bytes, body: bytes) -> Params:
    """Return the parameters of a request; one that is both in query and body counts as the query has it.

    Raises:
        ExchangeError: -1101 when a parameter comes twice in the same place.

    """
    params = _decode_part(query) if query else {}
    if body:
        for name, value in _decode_part(body).items():
            params.setdefault(name, value)
    return params


def _decode_part(text: bytes) -> Params:
    params: Params = {}
    for pair in text.decode("utf-8", "replace").split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            name, value = unquote_plus(name), unquote_plus(value)
        if name in params:
            raise ExchangeError(-1101, f"Duplicate values for parameter '{name}' detected.")
        params[name] = value
    return params


def refuse_unread(params: Mapping[str, str], allowed: Collection[str]) -> None:
    """Refuse what the endpoint does not know (-1104) and what is empty (-1105)."""
    read = 0
    for name, value in params.items():
        if name in allowed:
            read += 1
        if not value:
            raise ExchangeError(-1105, f"Parameter '{name}' was empty.")
    if read != len(params):
        raise ExchangeError(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(params)}'.",
        )


def require(params: Mapping[str, str], names: Collection[str]) -> None:
    """Demand parameters (-1102)."""
    for name in names:
        if not params.get(name):
            raise missing(name)


def symbol_of(params: Mapping[str, str], known: Collection[str], name: str = "symbol") -> str:
    """Return the symbol: -1100 for characters no symbol has, -1121 if it does not trade here."""
    symbol = params[name]
    if _symbol(symbol) is None:
        raise illegal(name, SYMBOL_RANGE)
    if symbol not in known:
        raise ExchangeError(-1121, "Invalid symbol.")
    return symbol


def integer(params: Mapping[str, str], name: str) -> int | None:
    """Return a whole number, None when absent."""
    text = params.get(name)
    if text is None:
        return None
    if _integer(text) is None:
        raise illegal(name, INTEGER_RANGE)
    value = int(text)
    if value > LONGEST:
        raise ExchangeError(-1108, f"Parameter '{name}' overflowed.")
    return value


def boolean(params: Mapping[str, str], name: str) -> bool:
    """Return a flag, in any case; false when absent."""
    text = params.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise ExchangeError(-1130, f"Data sent for parameter '{name}' is not valid.")
    return text == "true"


def number(params: Mapping[str, str], name: str) -> Decimal:
    """Return a decimal of at most eight places, zero when absent; trailing zeros do not count as places."""
    text = params.get(name)
    if text is None:
        return ZERO
    if _number(text) is None:
        raise illegal(name, NUMBER_RANGE)
    point = text.find(".")
    if point >= 0 and len(text) - point - 1 > PRECISION and len(text.rstrip("0")) - point - 1 > PRECISION:
        raise ExchangeError(-1111, f"Parameter '{name}' has too much precision.")
    return Decimal(text)


def positive(params: Mapping[str, str], name: str) -> Decimal:
    """Return a decimal above zero, zero only when absent."""
    value = number(params, name)
    if name in params and value <= ZERO:
        raise ExchangeError(-1102, f"Parameter '{name}' must be greater than 0.")
    return value


def client_id(params: Mapping[str, str], name: str) -> str:
    """Return a client order id, empty when absent; a wrong length is reported as illegal characters too."""
    text = params.get(name)
    if text is None:
        return ""
    if _client_id(text) is None:
        raise illegal(name, CLIENT_ID_RANGE)
    return text


def member(kind: Callable[[str], Member], text: str, error: ExchangeError) -> Member:
    """Return a member of an enumeration.

    Raises:
        ExchangeError: the given error when there is no such member.

    """
    try:
        return kind(text)
    except ValueError as unknown:
        raise error from unknown


NEEDED: dict[OrderType, tuple[str, ...]] = {
    OrderType.LIMIT: ("timeInForce", "quantity", "price"),
    OrderType.LIMIT_MAKER: ("quantity", "price"),
    OrderType.MARKET: (),
    OrderType.STOP_LOSS: ("quantity",),
    OrderType.TAKE_PROFIT: ("quantity",),
    OrderType.STOP_LOSS_LIMIT: ("timeInForce", "quantity", "price"),
    OrderType.TAKE_PROFIT_LIMIT: ("timeInForce", "quantity", "price"),
}
TIMED = frozenset({OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})


def order_request(params: Mapping[str, str], symbol: str) -> OrderRequest:
    """Read an order from its parameters (Binance REST docs "New order": what each type needs).

    Raises:
        ExchangeError: the first thing that is wrong.

    """
    side = member(Side, params["side"], ExchangeError(-1117, "Invalid side."))
    kind = member(OrderType, params["type"], ExchangeError(-1116, "Invalid orderType."))
    _required_for(params, kind)
    time_in_force = TimeInForce.GTC
    if "timeInForce" in params:
        if kind not in TIMED:
            raise _not_required("timeInForce")
        time_in_force = member(
            TimeInForce, params["timeInForce"], ExchangeError(-1115, "Invalid timeInForce.")
        )
    request = OrderRequest(
        symbol=symbol,
        side=side,
        type=kind,
        time_in_force=time_in_force,
        quantity=positive(params, "quantity"),
        quote_order_qty=positive(params, "quoteOrderQty"),
        price=positive(params, "price"),
        client_order_id=client_id(params, "newClientOrderId"),
        response=_response(params, kind),
        stp_mode=_stp_mode(params),
        **_rare(params),
    )
    if request.iceberg_qty and (kind not in PRICED or time_in_force is not TimeInForce.GTC):
        raise _not_required("icebergQty")
    return request


def _not_required(name: str) -> ExchangeError:
    return ExchangeError(-1106, f"Parameter '{name}' sent when not required.")


def _required_for(params: Mapping[str, str], kind: OrderType) -> None:
    require(params, NEEDED[kind])
    if kind is OrderType.MARKET:
        if "quantity" in params and "quoteOrderQty" in params:
            raise bad_combination()
        if "quantity" not in params and "quoteOrderQty" not in params:
            raise missing("quantity")
    elif "quoteOrderQty" in params:
        raise _not_required("quoteOrderQty")
    if "price" in params and kind not in PRICED:
        raise _not_required("price")
    if kind in CONDITIONAL:
        if "stopPrice" not in params and "trailingDelta" not in params:
            raise missing("stopPrice")
    else:
        for name in ("stopPrice", "trailingDelta"):
            if name in params:
                raise _not_required(name)


def _response(params: Mapping[str, str], kind: OrderType) -> str:
    default = "FULL" if kind in {OrderType.MARKET, OrderType.LIMIT} else "ACK"
    chosen = params.get("newOrderRespType", default)
    if chosen not in RESPONSES:
        raise ExchangeError(-1130, "Data sent for parameter 'newOrderRespType' is not valid.")
    return chosen


def _stp_mode(params: Mapping[str, str]) -> StpMode:
    text = params.get("selfTradePreventionMode")
    if text is None:
        return StpMode.EXPIRE_MAKER
    error = ExchangeError(-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    return member(StpMode, text, error)


def _rare(params: Mapping[str, str]) -> dict[str, Any]:
    if not params.keys() & RARE:
        return {}
    strategy_type = integer(params, "strategyType")
    if strategy_type is not None and strategy_type < SMALLEST_STRATEGY_TYPE:
        raise ExchangeError(-1134, "Value for 'strategyType' was less than 1000000.")
    return {
        "stop_price": positive(params, "stopPrice"),
        "trailing_delta": integer(params, "trailingDelta") or 0,
        "iceberg_qty": number(params, "icebergQty"),
        "strategy_id": integer(params, "strategyId"),
        "strategy_type": strategy_type,
    }
