"""DESIGN 6: futures executions, from ORDER_TRADE_UPDATE and from `userTrades`; the same key from each.

Answers to orders carry none. TRADE_LITE is only a hint: it lacks commission and profit, so it is never
counted. Liquidations and auto-deleveraging come as executions of orders we never sent, with CALCULATED in
place of TRADE (Binance USDⓈ-M Futures docs, "Event: Order Update", "Account Trade List"). Contracts are
linear: what an execution is worth in quote is price times quantity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from shared.domain.fees import commission_in_quote
from shared.domain.fill import (
    Fill,
    UnreadablePayloadError,
    decimal_of,
    moment_of,
    object_of,
    side_of,
    text_of,
    whole_of,
)
from shared.domain.money import ZERO, exactly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from shared.domain.fill import FillOrigin
    from shared.domain.order import Side

POSITION_SIDES: Final = frozenset({"BOTH", "LONG", "SHORT"})


def fill_from_event(event: Mapping[str, Any], origin: FillOrigin) -> Fill | None:
    """Read the execution of an ORDER_TRADE_UPDATE; None when it tells of none.

    A CALCULATED without a quantity or a trade id moves nothing that could be stored under a key; the trade
    list has it.

    Raises:
        UnreadablePayloadError: it is an execution and something is missing.

    """
    order = event.get("o")
    if not isinstance(order, dict) or order.get("x") not in ("TRADE", "CALCULATED"):
        return None
    if order.get("x") == "CALCULATED" and not (order.get("t") and decimal_of(order, "l") > 0):
        return None
    return _fill(
        origin,
        symbol=text_of(order, "s"),
        exchange_order_id=str(whole_of(order, "i")),
        trade_id=whole_of(order, "t"),
        client_order_id=str(order.get("c") or origin.client_order_id),
        side=side_of(order.get("S")),
        price=decimal_of(order, "L"),
        quantity=decimal_of(order, "l"),
        commission=_optional(order, "n"),
        commission_asset=str(order.get("N") or ""),
        traded_at=moment_of(whole_of(order, "T")),
        is_maker=order.get("m") is True,
        position_side=_position_side(order.get("ps")),
        realized=_optional(order, "rp"),
    )


def fill_from_trade(trade: Mapping[str, Any], origin: FillOrigin) -> Fill:
    """Read an execution from one element of `userTrades`.

    Raises:
        UnreadablePayloadError: something is missing.

    """
    return _fill(
        origin,
        symbol=text_of(object_of(trade), "symbol"),
        exchange_order_id=str(whole_of(trade, "orderId")),
        trade_id=whole_of(trade, "id"),
        client_order_id=origin.client_order_id,
        side=side_of(trade.get("side")),
        price=decimal_of(trade, "price"),
        quantity=decimal_of(trade, "qty"),
        commission=_optional(trade, "commission"),
        commission_asset=str(trade.get("commissionAsset") or ""),
        traded_at=moment_of(whole_of(trade, "time")),
        is_maker=trade.get("maker") is True,
        position_side=_position_side(trade.get("positionSide")),
        realized=_optional(trade, "realizedPnl"),
    )


def _fill(
    origin: FillOrigin,
    *,
    symbol: str,
    exchange_order_id: str,
    trade_id: int,
    client_order_id: str,
    side: Side,
    price: Decimal,
    quantity: Decimal,
    commission: Decimal,
    commission_asset: str,
    traded_at: datetime,
    is_maker: bool,
    position_side: str,
    realized: Decimal,
) -> Fill:
    if commission and not commission_asset:
        raise UnreadablePayloadError("a commission has no asset")
    asset = commission_asset if commission else ""
    with exactly():
        quote = price * quantity
    return Fill(
        account_id=origin.account_id,
        market=origin.market,
        environment_epoch=origin.environment_epoch,
        symbol=symbol,
        exchange_order_id=exchange_order_id,
        trade_id=trade_id,
        order_id=origin.order_id,
        client_order_id=client_order_id,
        side=side,
        price=price,
        quantity=quantity,
        quote=quote,
        commission=commission,
        commission_asset=asset,
        commission_in_quote=commission_in_quote(commission, asset, origin.pair, price, origin.prices),
        traded_at=traded_at,
        is_maker=is_maker,
        position_side=position_side,
        realized=realized,
    )


def _optional(row: Mapping[str, Any], key: str) -> Decimal:
    return ZERO if row.get(key) is None else decimal_of(row, key)


def _position_side(value: Any) -> str:
    if not isinstance(value, str) or value not in POSITION_SIDES:
        raise UnreadablePayloadError("the position side is neither BOTH nor LONG nor SHORT")
    return value
