"""The JSON objects of the REST and WebSocket APIs, field for field as documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.user_data import NOTHING

if TYPE_CHECKING:
    from services.local_exchange.accounts import Account
    from services.local_exchange.orders import Order, PreventedMatch, Trade


def placed(order: Order, response: str) -> dict[str, Any]:
    """Answer to a placed order: ACK, RESULT or FULL (Binance REST docs "New order")."""
    answer: dict[str, Any] = {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.update_time,
    }
    if response == "ACK":
        return answer
    _quantities(answer, order)
    _conditional(answer, order)
    if order.working_time:
        answer["workingTime"] = order.working_time
    if response == "FULL":
        answer["fills"] = [_fill(trade) for trade in order.trades]
    if order.prevented_matches:
        answer["preventedMatches"] = [_prevented(match) for match in order.prevented_matches]
    answer["selfTradePreventionMode"] = str(order.stp_mode)
    _prevented_totals(answer, order)
    _expiry(answer, order)
    return answer


def cancelled(order: Order, cancel_id: str) -> dict[str, Any]:
    """Answer to a cancel: `clientOrderId` names the cancel, `origClientOrderId` the order."""
    answer: dict[str, Any] = {
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": cancel_id,
        "transactTime": order.update_time,
    }
    _quantities(answer, order)
    _conditional(answer, order)
    answer["selfTradePreventionMode"] = str(order.stp_mode)
    _prevented_totals(answer, order)
    return answer


def queried(order: Order) -> dict[str, Any]:
    """Return an order as queries show it; no fills and no commission."""
    answer: dict[str, Any] = {
        "symbol": order.symbol,
        "orderId": order.id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": f"{order.price:.8f}",
        "origQty": f"{order.quantity:.8f}",
        "executedQty": f"{order.executed:.8f}",
        "cummulativeQuoteQty": f"{order.quote_executed:.8f}",
        "status": str(order.status),
        "timeInForce": str(order.time_in_force),
        "type": str(order.type),
        "side": str(order.side),
        "stopPrice": f"{order.stop_price:.8f}",
        "icebergQty": f"{order.iceberg_qty:.8f}",
        "time": order.time,
        "updateTime": order.update_time,
        "isWorking": order.is_working,
        "workingTime": order.working_time or -1,
        "origQuoteOrderQty": f"{order.quote_order_qty:.8f}",
        "selfTradePreventionMode": str(order.stp_mode),
    }
    if order.trailing_delta:
        answer["trailingDelta"] = order.trailing_delta
    _strategy(answer, order)
    if order.prevented_match_id is not None:
        answer["preventedMatchId"] = order.prevented_match_id
    _prevented_totals(answer, order)
    _expiry(answer, order)
    return answer


def trade(fill: Trade) -> dict[str, Any]:
    """One entry of `myTrades`."""
    return {
        "symbol": fill.symbol,
        "id": fill.id,
        "orderId": fill.order_id,
        "orderListId": -1,
        "price": f"{fill.price:.8f}",
        "qty": f"{fill.qty:.8f}",
        "quoteQty": f"{fill.quote_qty:.8f}",
        "commission": f"{fill.commission:.8f}",
        "commissionAsset": fill.commission_asset,
        "time": fill.time,
        "isBuyer": fill.is_buyer,
        "isMaker": fill.is_maker,
        "isBestMatch": True,
    }


def account(holder: Account, omit_zero: bool) -> dict[str, Any]:
    """Answer to an account query."""
    balances = [
        {"asset": asset, "free": f"{held.free:.8f}", "locked": f"{held.locked:.8f}"}
        for asset, held in sorted(holder.balances.items())
        if held.free or held.locked or not omit_zero
    ]
    return {
        "makerCommission": int(holder.maker_rate * 10_000),
        "takerCommission": int(holder.taker_rate * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": f"{holder.maker_rate:.8f}",
            "taker": f"{holder.taker_rate:.8f}",
            "buyer": NOTHING,
            "seller": NOTHING,
        },
        "canTrade": holder.can_trade,
        "canWithdraw": False,
        "canDeposit": False,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": holder.update_time,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": holder.uid,
    }


def _quantities(answer: dict[str, Any], order: Order) -> None:
    answer["price"] = f"{order.price:.8f}"
    answer["origQty"] = f"{order.quantity:.8f}"
    answer["executedQty"] = f"{order.executed:.8f}"
    answer["origQuoteOrderQty"] = f"{order.quote_order_qty:.8f}"
    answer["cummulativeQuoteQty"] = f"{order.quote_executed:.8f}"
    answer["status"] = str(order.status)
    answer["timeInForce"] = str(order.time_in_force)
    answer["type"] = str(order.type)
    answer["side"] = str(order.side)


def _conditional(answer: dict[str, Any], order: Order) -> None:
    if order.stop_price:
        answer["stopPrice"] = f"{order.stop_price:.8f}"
    if order.trailing_delta:
        answer["trailingDelta"] = order.trailing_delta
    if order.iceberg_qty:
        answer["icebergQty"] = f"{order.iceberg_qty:.8f}"
    _strategy(answer, order)


def _strategy(answer: dict[str, Any], order: Order) -> None:
    if order.strategy_id is not None:
        answer["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        answer["strategyType"] = order.strategy_type


def _prevented_totals(answer: dict[str, Any], order: Order) -> None:
    if order.prevented:
        answer["preventedQuantity"] = f"{order.prevented:.8f}"


def _expiry(answer: dict[str, Any], order: Order) -> None:
    if order.expiry_reason is not None:
        answer["expiryReason"] = str(order.expiry_reason)


def _fill(fill: Trade) -> dict[str, Any]:
    return {
        "price": f"{fill.price:.8f}",
        "qty": f"{fill.qty:.8f}",
        "commission": f"{fill.commission:.8f}",
        "commissionAsset": fill.commission_asset,
        "tradeId": fill.id,
    }


def _prevented(match: PreventedMatch) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "preventedMatchId": match.id,
        "makerOrderId": match.maker_order_id,
        "price": f"{match.price:.8f}",
    }
    if match.taker_prevented:
        shown["takerPreventedQuantity"] = f"{match.taker_prevented:.8f}"
    if match.maker_prevented:
        shown["makerPreventedQuantity"] = f"{match.maker_prevented:.8f}"
    return shown
