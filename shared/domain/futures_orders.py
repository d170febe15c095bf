"""DESIGN 5: what a futures row becomes at the exchange: its type, its parameters, its position side.

MARKET and LIMIT are plain orders (Binance USDⓈ-M Futures docs, "New Order"); whatever has a trigger goes to
the algo service (docs, "New Algo Order"; the plain endpoint answers -4120). Which parameters say that an
order only reduces depends on the account's position mode: `reduceOnly` in one-way mode, the position side
alone in hedge mode, where `reduceOnly` is refused even when false (-1106).
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from shared.domain.money import plain
from shared.domain.order import Side

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from shared.domain.order import OrderType, PendingOrder

BOTH: Final = "BOTH"
"""The position side of an account in one-way mode."""


class PositionMode(StrEnum):
    """Whether an account holds one position per symbol, or a long and a short one beside each other."""

    ONE_WAY = "one_way"
    HEDGE = "hedge"


def mode_of(account_config: object) -> PositionMode | None:
    """Read the mode from the answer of `accountConfig`; None when it does not say."""
    dual = account_config.get("dualSidePosition") if isinstance(account_config, dict) else None
    if not isinstance(dual, bool):
        return None
    return PositionMode.HEDGE if dual else PositionMode.ONE_WAY


def position_side(mode: PositionMode, side: Side, *, reduces: bool) -> str:
    """Name the position an order works on: BOTH, or in hedge mode LONG or SHORT.

    A buy opens the long one; a buy that reduces takes from the short one.
    """
    if mode is PositionMode.ONE_WAY:
        return BOTH
    return "LONG" if (side is Side.BUY) is not reduces else "SHORT"


def conditional_type(order_type: OrderType, *, as_stop: bool) -> str:
    """Name the exchange's type of an order with a trigger.

    Args:
        order_type: `stop_market` or `stop_limit`.
        as_stop: the trigger lies where a stop's does (above the market for a buy), not a take-profit's.

    """
    family = "STOP" if as_stop else "TAKE_PROFIT"
    return family if order_type.has_limit_price else f"{family}_MARKET"


def parameters(
    order: PendingOrder,
    mode: PositionMode,
    symbol: str,
    exchange_type: str,
    quantity: Decimal,
    price: Decimal | None,
    stop_price: Decimal | None,
) -> Mapping[str, str]:
    """Write the parameters of an order, without client order id, timestamp and signature.

    Args:
        order: the row.
        mode: of its account.
        symbol: as the exchange writes it.
        exchange_type: see `conditional_type`, or MARKET or LIMIT.
        quantity: in base, on the symbol's grid.
        price: limit price, or None; LIMIT and its like are always GTC.
        stop_price: trigger price, or None; it is compared with the last price (`CONTRACT_PRICE`).

    """
    params = {} if stop_price is None else {"algoType": "CONDITIONAL"}
    params |= {"symbol": symbol, "side": order.side.value.upper(), "type": exchange_type}
    if mode is PositionMode.HEDGE:
        params["positionSide"] = position_side(mode, order.side, reduces=order.reduce_only)
    elif order.reduce_only:
        params["reduceOnly"] = "true"
    params["quantity"] = plain(quantity)
    if price is not None:
        params |= {"price": plain(price), "timeInForce": "GTC"}
    if stop_price is None:
        # Unlike ACK this says what became of a market order (docs, "New Order": newOrderRespType).
        params["newOrderRespType"] = "RESULT"
    else:
        params |= {"triggerPrice": plain(stop_price), "workingType": "CONTRACT_PRICE"}
    return MappingProxyType(params)
