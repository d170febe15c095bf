"""The filters of Binance REST docs "Filters": each with its formula and its exact message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    if account.max_asset:
        _max_asset(order, symbol, account, reference)


def _price_filter(order: OrderRequest, symbol: Symbol) -> None:
    for price in (order.price, order.stop_price):
        if price and (price < symbol.tick or price > symbol.max_price or price % symbol.tick):
            raise filter_failure("PRICE_FILTER")


def _lot_size(order: OrderRequest, symbol: Symbol) -> None:
    for quantity in (order.quantity, order.iceberg_qty):
        if quantity and (quantity < symbol.min_qty or quantity > symbol.max_qty or quantity % symbol.step):
            raise filter_failure("LOT_SIZE")
    quantity = order.quantity
    if order.type is OrderType.MARKET and quantity and not _is_market_lot(quantity, symbol):
        raise filter_failure("MARKET_LOT_SIZE")


def _is_market_lot(quantity: Decimal, symbol: Symbol) -> bool:
    """Say whether a market quantity fits; a step of zero is no step (production often has that)."""
    if not symbol.market_min_qty <= quantity <= symbol.market_max_qty:
        return False
    return not symbol.market_step or not quantity % symbol.market_step


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
    if symbol.percent_price is not None:
        low, high = symbol.percent_price
        if not reference * low <= order.price <= reference * high:
            raise filter_failure("PERCENT_PRICE")


def _notional(order: OrderRequest, symbol: Symbol, reference: Decimal) -> None:
    if order.quote_order_qty:
        notional = order.quote_order_qty
    elif order.type in PRICED:
        notional = order.price * order.quantity
    else:
        notional = (order.stop_price or reference) * order.quantity
    if notional < symbol.min_notional:
        raise filter_failure(symbol.notional_filter)
    if symbol.notional_filter == "NOTIONAL" and order.type in PRICED and notional > symbol.max_notional:
        raise filter_failure("NOTIONAL")


def _iceberg_parts(order: OrderRequest, symbol: Symbol) -> None:
    if order.iceberg_qty and -(-order.quantity // order.iceberg_qty) > symbol.iceberg_parts:
        raise filter_failure("ICEBERG_PARTS")


def _trailing_delta(order: OrderRequest, symbol: Symbol) -> None:
    if order.trailing_delta and not symbol.min_trailing <= order.trailing_delta <= symbol.max_trailing:
        raise filter_failure("TRAILING_DELTA")


def _open_order_counts(order: OrderRequest, symbol: Symbol, account: Account) -> None:
    here = [o for (name, _), o in account.open_orders.items() if name == symbol.name]
    if len(here) >= symbol.max_num_orders:
        raise filter_failure("MAX_NUM_ORDERS")
    if order.type in CONDITIONAL:
        waiting = sum(1 for o in here if o.type in CONDITIONAL)
        if waiting >= symbol.max_num_algo_orders:
            raise filter_failure("MAX_NUM_ALGO_ORDERS")
    if order.iceberg_qty and symbol.max_num_iceberg_orders is not None:
        icebergs = sum(1 for o in here if o.iceberg_qty)
        if icebergs >= symbol.max_num_iceberg_orders:
            raise filter_failure("MAX_NUM_ICEBERG_ORDERS")


@dataclass(slots=True)
class ExchangeFilters:
    """The filters across all symbols of an account; None switches one off."""

    max_num_orders: int | None = None
    max_num_algo_orders: int | None = None
    max_num_iceberg_orders: int | None = None

    def shown(self) -> list[dict[str, Any]]:
        """Return the filters as `exchangeInfo` shows them."""
        return [
            {"filterType": name, key: limit}
            for name, key, limit in (
                ("EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders", self.max_num_orders),
                ("EXCHANGE_MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", self.max_num_algo_orders),
                ("EXCHANGE_MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders", self.max_num_iceberg_orders),
            )
            if limit is not None
        ]

    def check(self, order: OrderRequest, account: Account) -> None:
        """Check an order against them.

        Raises:
            ExchangeError: -1013 with the name of the first filter that fails.

        """
        open_orders = account.open_orders.values()
        if self.max_num_orders is not None and len(open_orders) >= self.max_num_orders:
            raise filter_failure("EXCHANGE_MAX_NUM_ORDERS")
        if self.max_num_algo_orders is not None and order.type in CONDITIONAL:
            waiting = sum(1 for o in open_orders if o.type in CONDITIONAL)
            if waiting >= self.max_num_algo_orders:
                raise filter_failure("EXCHANGE_MAX_NUM_ALGO_ORDERS")
        if self.max_num_iceberg_orders is not None and order.iceberg_qty:
            icebergs = sum(1 for o in open_orders if o.iceberg_qty)
            if icebergs >= self.max_num_iceberg_orders:
                raise filter_failure("EXCHANGE_MAX_NUM_ICEBERG_ORDERS")


def _max_asset(order: OrderRequest, symbol: Symbol, account: Account, reference: Decimal) -> None:
    limit = account.max_asset.get(symbol.base)
    if limit is not None and order.quantity > limit:
        raise filter_failure("MAX_ASSET")
    limit = account.max_asset.get(symbol.quote)
    if limit is not None:
        notional = order.quote_order_qty or (order.price or reference) * order.quantity
        if notional > limit:
            raise filter_failure("MAX_ASSET")


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
