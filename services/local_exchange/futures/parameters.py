"""Parameters and filters of futures orders, with the refusals the futures API uses."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures.contracts import TRADIFI_PERPETUAL
from services.local_exchange.futures.orders import (
    AlgoOrder,
    AlgoType,
    FuturesRequest,
    FuturesTimeInForce,
    PriceMatch,
    WorkingType,
    closes,
)
from services.local_exchange.futures.positions import PositionSide
from services.local_exchange.orders import ZERO, Side, StpMode
from services.local_exchange.parameters import (
    NUMBER_RANGE,
    illegal,
    integer,
    member,
    require,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.local_exchange.futures.contracts import Contract
    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.futures.wallet import FuturesAccount

CLIENT_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
LONGEST_ID = 36
_client_id = re.compile(r"[.A-Z:/a-z0-9_\-]+\Z").match
_number = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?\Z").match
CONDITIONAL_TYPES = frozenset(str(kind) for kind in AlgoType)
STP_MODES = (StpMode.EXPIRE_TAKER, StpMode.EXPIRE_MAKER, StpMode.EXPIRE_BOTH)
USE_ALGO = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
GTD_MARGIN_MS = 600_000
LATEST_GTD = 253_402_300_799_000


def not_valid(name: str) -> ExchangeError:
    """Build the error of a value that is not one of those allowed (-1130)."""
    return ExchangeError(-1130, f"Data sent for parameter '{name}' is not valid.")


def flag(params: Mapping[str, str], name: str) -> bool:
    """Return a flag given as text."""
    text = params.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise not_valid(name)
    return text == "true"


def client_id(params: Mapping[str, str], name: str) -> str:
    """Return a client order id, empty when absent; too long is -4015, other characters -1100."""
    text = params.get(name, "")
    if len(text) > LONGEST_ID:
        raise ExchangeError(-4015, "Client order id length should not be more than 36 chars")
    if text and _client_id(text) is None:
        raise illegal(name, CLIENT_ID_RANGE)
    return text


def number(params: Mapping[str, str], name: str, places: int) -> Decimal:
    """Return a decimal of at most `places` decimals (-1111), zero when absent."""
    text = params.get(name)
    if text is None:
        return ZERO
    if _number(text) is None:
        raise illegal(name, NUMBER_RANGE)
    point = text.find(".")
    if point >= 0 and len(text.rstrip("0")) - point - 1 > places:
        raise ExchangeError(-1111, "Precision is over the maximum defined for this asset.")
    return Decimal(text)


def position_side(params: Mapping[str, str], account: FuturesAccount) -> PositionSide:
    """Return the position side, which must suit the account's mode (-4061)."""
    side = member(PositionSide, params.get("positionSide", "BOTH"), not_valid("positionSide"))
    if account.hedge is (side is PositionSide.BOTH):
        raise ExchangeError(-4061, "Order's position side does not match user's setting.")
    return side


def reduce_only(params: Mapping[str, str], account: FuturesAccount) -> bool:
    """Return `reduceOnly`, which hedge mode refuses in any form (-1106)."""
    if "reduceOnly" not in params:
        return False
    if account.hedge:
        raise ExchangeError(-1106, "Parameter 'reduceonly' sent when not required.")
    return flag(params, "reduceOnly")


def _price_match(params: Mapping[str, str]) -> PriceMatch:
    match = member(PriceMatch, params.get("priceMatch", "NONE"), not_valid("priceMatch"))
    if match is not PriceMatch.NONE and "price" in params:
        raise ExchangeError(-4183, "Price match cannot be used with price.")
    return match


def _stp_mode(params: Mapping[str, str]) -> StpMode:
    mode = member(
        StpMode,
        params.get("selfTradePreventionMode", "EXPIRE_MAKER"),
        not_valid("selfTradePreventionMode"),
    )
    if mode not in STP_MODES and mode is not StpMode.NONE:
        raise not_valid("selfTradePreventionMode")
    return StpMode.EXPIRE_MAKER if mode is StpMode.NONE else mode


def _good_till(params: Mapping[str, str], in_force: FuturesTimeInForce, now: int) -> int:
    if in_force is not FuturesTimeInForce.GTD:
        return 0
    until = integer(params, "goodTillDate") or 0
    if not now + GTD_MARGIN_MS < until < LATEST_GTD:
        raise ExchangeError(
            -5040,
            "The goodTillDate timestamp must be greater than the current time plus 600 seconds "
            "and smaller than 253402300799000 (UTC 9999-12-31 23:59:59)",
        )
    return until // 1000 * 1000


def order_request(
    params: Mapping[str, str], market: FuturesMarket, account: FuturesAccount, now: int
) -> FuturesRequest:
    """Read a new order and check it against the contract's filters.

    Raises:
        ExchangeError: the first thing that is wrong; -4120 for a type that belongs to the Algo service.

    """
    require(params, ("symbol", "side", "type"))
    contract = market.contract
    _require_agreement(contract, account)
    side = member(Side, params["side"], ExchangeError(-1117, "Invalid side."))
    if params["type"] in CONDITIONAL_TYPES:
        raise ExchangeError(-4120, USE_ALGO)
    if params["type"] not in {"LIMIT", "MARKET"}:
        raise ExchangeError(-1116, "Invalid orderType.")
    at_market = params["type"] == "MARKET"
    price_match = _price_match(params)
    needed = ["quantity"] if at_market else ["timeInForce", "quantity"]
    if not at_market and price_match is PriceMatch.NONE:
        needed.append("price")
    require(params, needed)
    in_force = member(
        FuturesTimeInForce,
        params.get("timeInForce", "GTC"),
        ExchangeError(-1115, "Invalid timeInForce."),
    )
    request = FuturesRequest(
        symbol=contract.name,
        side=side,
        position_side=position_side(params, account),
        market=at_market,
        quantity=number(params, "quantity", contract.quantity_precision),
        price=number(params, "price", contract.price_precision),
        time_in_force=FuturesTimeInForce.GTC if at_market else in_force,
        reduce_only=reduce_only(params, account),
        client_order_id=client_id(params, "newClientOrderId"),
        price_match=price_match,
        stp_mode=_stp_mode(params),
        good_till=_good_till(params, in_force, now),
        result=_response(params),
    )
    if at_market and "price" in params:
        raise ExchangeError(-1106, "Parameter 'price' sent when not required.")
    check_filters(request, market, account)
    return request


def _require_agreement(contract: Contract, account: FuturesAccount) -> None:
    if contract.contract_type == TRADIFI_PERPETUAL and not account.signed_tradfi:
        raise ExchangeError(-4411, "Please sign TradFi-Perps agreement contract fapi.")


def _response(params: Mapping[str, str]) -> bool:
    chosen = params.get("newOrderRespType", "ACK")
    if chosen not in {"ACK", "RESULT"}:
        raise not_valid("newOrderRespType")
    return chosen == "RESULT"


def check_filters(request: FuturesRequest, market: FuturesMarket, account: FuturesAccount) -> None:
    """Check an order against its contract's filters, each with its own code."""
    contract = market.contract
    largest = contract.market_max_qty if request.market else contract.max_qty
    check_quantity(request.quantity, contract, largest)
    if not request.market and request.price_match is PriceMatch.NONE:
        check_price(request.price, request.side, market)
    reducing = request.reduce_only or closes(request.side, request.position_side)
    price = request.price or market.mark
    if not reducing and price * request.quantity < contract.min_notional:
        raise ExchangeError(
            -4164,
            f"Order's notional must be no smaller than {contract.min_notional} "
            "(unless you choose reduce only).",
        )
    here = sum(1 for symbol, _ in account.open_orders if symbol == contract.name)
    if here >= contract.max_num_orders:
        raise ExchangeError(-2025, "Reach max open order limit.")


def check_quantity(quantity: Decimal, contract: Contract, largest: Decimal) -> None:
    """Check LOT_SIZE or MARKET_LOT_SIZE."""
    if quantity <= ZERO:
        raise ExchangeError(-4003, "Quantity less than zero.")
    if quantity < contract.min_qty:
        raise ExchangeError(-4004, "Quantity less than min quantity.")
    if quantity > largest:
        raise ExchangeError(-4005, "Quantity greater than max quantity.")
    if quantity % contract.step:
        raise ExchangeError(-4023, "Qty not increased by step size.")


def check_price(price: Decimal, side: Side, market: FuturesMarket) -> None:
    """Check PRICE_FILTER and PERCENT_PRICE, which binds each side in one direction."""
    contract = market.contract
    if price <= ZERO:
        raise ExchangeError(-4001, "Price less than 0.")
    if price % contract.tick:
        raise ExchangeError(-4014, "Price not increased by tick size.")
    if price > contract.max_price:
        raise ExchangeError(-4002, "Price greater than max price.")
    highest, lowest = market.mark * contract.multiplier_up, market.mark * contract.multiplier_down
    if side is Side.BUY and price > highest:
        raise ExchangeError(-4016, f"Limit price can't be higher than {contract.price_text(highest)}.")
    if side is Side.SELL and price < lowest:
        raise ExchangeError(-4024, f"Limit price can't be lower than {contract.price_text(lowest)}.")


def algo_request(
    params: Mapping[str, str], market: FuturesMarket, account: FuturesAccount, named: str, now: int
) -> AlgoOrder:
    """Read a conditional order.

    Raises:
        ExchangeError: the first thing that is wrong.

    """
    require(params, ("algoType", "symbol", "side", "type"))
    if params["algoType"] != "CONDITIONAL":
        raise not_valid("algoType")
    contract = market.contract
    _require_agreement(contract, account)
    side = member(Side, params["side"], ExchangeError(-1117, "Invalid side."))
    kind = member(AlgoType, params["type"], ExchangeError(-1116, "Invalid orderType."))
    closing = flag(params, "closePosition")
    _needed(params, kind, closing)
    algo = AlgoOrder(
        account=account,
        id=0,
        client_algo_id=client_id(params, "clientAlgoId") or named,
        type=kind,
        symbol=contract.name,
        side=side,
        position_side=position_side(params, account),
        time_in_force=member(
            FuturesTimeInForce,
            params.get("timeInForce", "GTC"),
            ExchangeError(-1115, "Invalid timeInForce."),
        ),
        quantity=number(params, "quantity", contract.quantity_precision),
        price=number(params, "price", contract.price_precision),
        trigger_price=number(params, "triggerPrice", contract.price_precision),
        time=now,
        working_type=member(
            WorkingType, params.get("workingType", "CONTRACT_PRICE"), not_valid("workingType")
        ),
        price_match=_price_match(params),
        stp_mode=_stp_mode(params),
        close_position=closing,
        price_protect=flag(params, "priceProtect"),
        reduce_only=reduce_only(params, account),
        activate_price=number(params, "activatePrice", contract.price_precision),
        callback_rate=number(params, "callbackRate", 1),
        update_time=now,
    )
    _check_algo(algo, market)
    return algo


def _needed(params: Mapping[str, str], kind: AlgoType, closing: bool) -> None:
    if closing:
        if kind not in {AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET}:
            raise not_valid("closePosition")
        if "quantity" in params:
            raise ExchangeError(-4137, "Quantity must be zero with closePosition equals true")
        if "reduceOnly" in params:
            raise ExchangeError(-4138, "Reduce only must be true with closePosition equals true")
    else:
        require(params, ("quantity",))
    if kind is AlgoType.TRAILING_STOP_MARKET:
        require(params, ("callbackRate",))
    else:
        require(params, ("triggerPrice",))
    if kind in {AlgoType.STOP, AlgoType.TAKE_PROFIT} and "priceMatch" not in params:
        require(params, ("price",))


SMALLEST_CALLBACK, LARGEST_CALLBACK = Decimal("0.1"), Decimal(20)


def _check_algo(algo: AlgoOrder, market: FuturesMarket) -> None:
    contract = market.contract
    if algo.quantity or not algo.close_position:
        check_quantity(algo.quantity, contract, contract.max_qty)
    for price in (algo.price, algo.trigger_price, algo.activate_price):
        if price % contract.tick:
            raise ExchangeError(-4014, "Price not increased by tick size.")
    trailing = algo.type is AlgoType.TRAILING_STOP_MARKET
    if trailing and not SMALLEST_CALLBACK <= algo.callback_rate <= LARGEST_CALLBACK:
        raise ExchangeError(-2007, "Invalid callBack rate.")
    opening = algo.position_side is not PositionSide.BOTH and not closes(algo.side, algo.position_side)
    if algo.close_position and opening:
        raise not_valid("closePosition")
