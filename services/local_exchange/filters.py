"""The filters of Binance REST docs "Filters": each with its formula and its exact message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.local_exchange.errors import ExchangeError, filter_failure, rejected
from services.local_exchange.orders import CONDITIONAL, PRICED, ZERO, OrderRequest, OrderType, Side
from services.local_exchange.symbols import ALLOWED_STP

if TYPE_CHECKING:
    from decimal import Decimal

    from services.local_exchange.accounts import Account
    from services.local_exchange.symbols import Symbol

RISING = {(OrderType.STOP_LOSS, Side.BUY), (OrderType.STOP_LOSS_LIMIT, Side.BUY)} | {
    (OrderType.TAKE_PROFIT, Side.SELL),
    (OrderType.TAKE_PROFIT_LIMIT, Side.SELL),
}


def check_filters(order: OrderRequest, symbol: Symbol, account: Account, reference: Decimal) -> None:
    """Check an order against every filter of its symbol.

    Args:
        order: the order; a MARKET order by `quoteOrderQty` has quantity zero here.
        symbol: whose filters apply.
        account: whose open orders count.
        reference: the average price of the last minutes, in quote.

    Raises:
        ExchangeError: -1013 with the name of the first filter that fails; -1013 for a refused STP mode.

    """
    if order.stp_mode not in ALLOWED_STP:
        raise ExchangeError(-1013, "This symbol does not allow the specified self-trade prevention mode.")
    _price_filter(order, symbol)
    _lot_size(order, symbol)
    _percent_price(order, symbol, reference)
    _notional(order, symbol, reference)
    _iceberg_parts(order, symbol)
    _trailing_delta(order, symbol)
    _open_order_counts(order, symbol, account)
    _max_position(order, symbol, account)


def _price_filter(order: OrderRequest, symbol: Symbol) -> None:
    for price in (order.price, order.stop_price):
        if price and (price < symbol.tick or price > symbol.max_price or price % symbol.tick):
            raise filter_failure("PRICE_FILTER")


def _lot_size(order: OrderRequest, symbol: Symbol) -> None:
    for quantity in (order.quantity, order.iceberg_qty):
        if quantity and (quantity < symbol.min_qty or quantity > symbol.max_qty or quantity % symbol.step):
            raise filter_failure("LOT_SIZE")
    if order.type is OrderType.MARKET and order.quantity > symbol.market_max_qty:
        raise filter_failure("MARKET_LOT_SIZE")


def check_converted_quantity(quantity: Decimal, symbol: Symbol) -> None:
    """Check the base quantity that a `quoteOrderQty` order was converted to.

    Raises:
        ExchangeError: -2010 below the smallest lot, -1013 above the largest market lot.

    """
    if quantity < symbol.min_qty:
        raise rejected("Order book liquidity is less than `LOT_SIZE` filter minimum quantity.")
    if quantity > symbol.max_qty:
        raise filter_failure("LOT_SIZE")
    if quantity > symbol.market_max_qty:
        raise filter_failure("MARKET_LOT_SIZE")


def _percent_price(order: OrderRequest, symbol: Symbol, reference: Decimal) -> None:
    if order.type not in PRICED:
        return
    if order.side is Side.BUY:
        low, high = symbol.bid_multiplier_down, symbol.bid_multiplier_up
    else:
        low, high = symbol.ask_multiplier_down, symbol.ask_multiplier_up
    if not reference * low <= order.price <= reference * high:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _notional(order: OrderRequest, symbol: Symbol, reference: Decimal) -> None:
    if order.quote_order_qty:
        notional = order.quote_order_qty
    elif order.type in PRICED:
        notional = order.price * order.quantity
    else:
        notional = (order.stop_price or reference) * order.quantity
    if notional < symbol.min_notional:
        raise filter_failure("NOTIONAL")
    if order.type in PRICED and notional > symbol.max_notional:
        raise filter_failure("NOTIONAL")


def _iceberg_parts(order: OrderRequest, symbol: Symbol) -> None:
    if order.iceberg_qty and -(-order.quantity // order.iceberg_qty) > symbol.iceberg_parts:
        raise filter_failure("ICEBERG_PARTS")


def _trailing_delta(order: OrderRequest, symbol: Symbol) -> None:
    if order.trailing_delta and not symbol.min_trailing <= order.trailing_delta <= symbol.max_trailing:
        raise filter_failure("TRAILING_DELTA")


def _open_order_counts(order: OrderRequest, symbol: Symbol, account: Account) -> None:
    if not account.open_orders:
        return
    here = [o for (name, _), o in account.open_orders.items() if name == symbol.name]
    if len(here) >= symbol.max_num_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if order.type in CONDITIONAL:
        waiting = sum(1 for o in here if o.type in CONDITIONAL)
        if waiting >= symbol.max_num_algo_orders:
            raise filter_failure("MAX_NUM_ALGO_ORDERS")


def _max_position(order: OrderRequest, symbol: Symbol, account: Account) -> None:
    if symbol.max_position is None or order.side is Side.SELL:
        return
    held = account.balance(symbol.base)
    buying = sum(
        (
            o.remaining
            for (name, _), o in account.open_orders.items()
            if name == symbol.name and o.side is Side.BUY
        ),
        ZERO,
    )
    if held.free + held.locked + buying + order.quantity > symbol.max_position:
        raise filter_failure("MAX_POSITION")
