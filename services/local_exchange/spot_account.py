"""Signed queries about the account itself: balances, commissions, counts, filters."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from services.local_exchange import answers
from services.local_exchange.errors import ExchangeError
from services.local_exchange.parameters import bad_combination, boolean, integer, symbol_of
from services.local_exchange.user_data import NOTHING

if TYPE_CHECKING:
    from services.local_exchange.calls import Call
    from services.local_exchange.orders import PreventedMatch


def account(call: Call) -> dict[str, Any]:
    """`GET /api/v3/account`."""
    return answers.account(call.holder, boolean(call.params, "omitZeroBalances"))


def unfilled_orders(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/rateLimit/order`."""
    exchange = call.exchange
    return call.limits.order_limits(call.holder.name, exchange.clock.now_ms())


def discount(call: Call) -> dict[str, Any]:
    """Show the BNB discount; `discount` is what remains to be paid, as in the docs' sample."""
    return {
        "enabledForAccount": call.holder.bnb_discount,
        "enabledForSymbol": True,
        "discountAsset": "BNB",
        "discount": f"{Decimal('0.75'):.8f}",
    }


def commission(call: Call) -> dict[str, Any]:
    """`GET /api/v3/account/commission`."""
    symbol = symbol_of(call.params, call.exchange.markets)
    nothing = {"maker": NOTHING, "taker": NOTHING, "buyer": NOTHING, "seller": NOTHING}
    holder = call.holder
    rates = {"maker": f"{holder.maker_rate:.8f}", "taker": f"{holder.taker_rate:.8f}"}
    return {
        "symbol": symbol,
        "standardCommission": nothing | rates,
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": discount(call),
    }


def filters(call: Call) -> dict[str, Any]:
    """`GET /api/v3/myFilters`."""
    symbol = call.exchange.markets[symbol_of(call.params, call.exchange.markets)].symbol
    assets = [
        {"filterType": "MAX_ASSET", "asset": asset, "limit": f"{limit:.8f}"}
        for asset, limit in call.holder.max_asset.items()
        if asset in {symbol.base, symbol.quote}
    ]
    return {
        "exchangeFilters": call.exchange.filters.shown(),
        "symbolFilters": symbol.filters(),
        "assetFilters": assets,
    }


def amendments(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/order/amendments`: always empty, no symbol here allows amendments."""
    symbol_of(call.params, call.exchange.markets)
    return []


def prevented_matches(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/myPreventedMatches`: by match or by order."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    match_id, order_id = integer(call.params, "preventedMatchId"), integer(call.params, "orderId")
    first = integer(call.params, "fromPreventedMatchId") or 0
    if match_id is None and order_id is None:
        raise ExchangeError(
            -1102, "Param 'preventedMatchId' or 'orderId' must be sent, but both were empty/null!"
        )
    if match_id is not None and order_id is not None:
        raise bad_combination()
    found: dict[int, PreventedMatch] = {}
    for order in market.by_account.get(call.holder.name, ()):
        for match in order.prevented_matches:
            if match_id == match.id or (order_id == order.id and match.id >= first):
                found[match.id] = match
    return [_shown(match) for match in found.values()][: integer(call.params, "limit") or 500]


def _shown(match: PreventedMatch) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "symbol": match.symbol,
        "preventedMatchId": match.id,
        "takerOrderId": match.taker_order_id,
        "makerSymbol": match.symbol,
        "makerOrderId": match.maker_order_id,
        "tradeGroupId": -1,
        "selfTradePreventionMode": str(match.mode),
        "price": f"{match.price:.8f}",
    }
    if match.taker_prevented:
        shown["takerPreventedQuantity"] = f"{match.taker_prevented:.8f}"
    if match.maker_prevented:
        shown["makerPreventedQuantity"] = f"{match.maker_prevented:.8f}"
    return shown | {"transactTime": match.time}
