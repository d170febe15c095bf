"""The JSON objects of the futures REST and WebSocket APIs, field for field as captured in 2026.

Placing, modifying and cancelling answer without `avgPrice` and `cumQuote` (USDⓈ-M change log 2026-06-30);
queries have both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.futures.events import eight, plain
from services.local_exchange.orders import ZERO, Side, Status

if TYPE_CHECKING:
    from decimal import Decimal

    from services.local_exchange.futures.contracts import Contract
    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.futures.orders import AlgoOrder, FuturesOrder, FuturesTrade
    from services.local_exchange.futures.positions import Position
    from services.local_exchange.futures.wallet import FuturesAccount, Income

ALIAS = "SgsRlocal"


def placed(order: FuturesOrder, contract: Contract, result: bool = True) -> dict[str, Any]:
    """Answer to a placed or cancelled order; ACK says NEW and 0 even when it has filled."""
    executed = contract.quantity_text(order.executed if result else ZERO)
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": str(order.status if result else Status.NEW),
        "clientOrderId": order.client_order_id,
        "price": contract.price_text(order.price),
        "origQty": contract.quantity_text(order.quantity),
        "executedQty": executed,
        "cumQty": executed,
        "timeInForce": str(order.time_in_force),
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": str(order.side),
        "positionSide": str(order.position_side),
        "stopPrice": contract.price_text(ZERO),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type,
        "priceMatch": str(order.price_match),
        "selfTradePreventionMode": str(order.stp_mode),
        "goodTillDate": order.good_till,
        "updateTime": order.update_time,
    }


def modified(order: FuturesOrder, contract: Contract, modify_id: int | None) -> dict[str, Any]:
    """Answer to a modified order."""
    answer: dict[str, Any] = {}
    for name, value in placed(order, contract).items():
        answer[name] = value
        if name == "symbol":
            answer["pair"] = order.symbol
        if name == "clientOrderId" and modify_id is not None:
            answer["modifyId"] = modify_id
    return answer


def queried(order: FuturesOrder, contract: Contract) -> dict[str, Any]:
    """Return an order as queries show it."""
    return {
        "orderId": order.id,
        "symbol": order.symbol,
        "status": str(order.status),
        "clientOrderId": order.client_order_id,
        "price": contract.price_text(order.price),
        "avgPrice": f"{order.average_price:.{contract.price_precision + 1}f}",
        "origQty": contract.quantity_text(order.quantity),
        "executedQty": contract.quantity_text(order.executed),
        "cumQuote": f"{order.quote_executed:.{contract.price_precision + 1}f}",
        "timeInForce": str(order.time_in_force),
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": str(order.side),
        "positionSide": str(order.position_side),
        "stopPrice": contract.price_text(ZERO),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type,
        "priceMatch": str(order.price_match),
        "selfTradePreventionMode": str(order.stp_mode),
        "goodTillDate": order.good_till,
        "time": order.time,
        "updateTime": order.update_time,
    }


def listed(order: FuturesOrder, contract: Contract) -> dict[str, Any]:
    """Return an order as `allOrders` shows it: with `pair` and `cumBase`, numbers stripped."""
    return queried(order, contract) | {
        "price": plain(order.price),
        "cumBase": "0",
        "stopPrice": "0",
        "pair": order.symbol,
    }


def trade(fill: FuturesTrade, contract: Contract) -> dict[str, Any]:
    """Return one entry of `userTrades`."""
    return {
        "symbol": fill.symbol,
        "id": fill.id,
        "orderId": fill.order_id,
        "pair": fill.symbol,
        "side": str(fill.side),
        "price": contract.price_text(fill.price),
        "qty": contract.quantity_text(fill.qty),
        "realizedPnl": plain(eight(fill.realized)),
        "quoteQty": f"{fill.quote_qty:.{contract.price_precision + 1}f}",
        "commission": f"{fill.commission:.8f}",
        "commissionAsset": fill.commission_asset,
        "time": fill.time,
        "buyer": fill.side is Side.BUY,
        "maker": fill.is_maker,
        "positionSide": str(fill.position_side),
        "baseQty": "0",
        "marginAsset": "USDT",
    }


def algo_placed(algo: AlgoOrder, contract: Contract) -> dict[str, Any]:
    """Answer to a placed algo order."""
    return {
        "algoId": algo.id,
        "clientAlgoId": algo.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": str(algo.type),
        "symbol": algo.symbol,
        "side": str(algo.side),
        "positionSide": str(algo.position_side),
        "timeInForce": str(algo.time_in_force),
        "quantity": contract.quantity_text(algo.quantity),
        "algoStatus": str(algo.status),
        "triggerPrice": contract.price_text(algo.trigger_price),
        "price": contract.price_text(algo.price),
        "icebergQuantity": None,
        "selfTradePreventionMode": str(algo.stp_mode),
        "workingType": str(algo.working_type),
        "priceMatch": str(algo.price_match),
        "closePosition": algo.close_position,
        "priceProtect": algo.price_protect,
        "reduceOnly": algo.reduce_only,
        **_trailing(algo),
        "createTime": algo.time,
        "updateTime": algo.update_time,
        "triggerTime": algo.trigger_time,
        "goodTillDate": algo.good_till,
    }


def _trailing(algo: AlgoOrder) -> dict[str, str]:
    if not algo.callback_rate:
        return {}
    return {"activatePrice": plain(algo.activate_price), "callbackRate": plain(algo.callback_rate)}


def algo_queried(algo: AlgoOrder, contract: Contract) -> dict[str, Any]:
    """Return an algo order as queries show it; `actualOrderId` is text."""
    child = algo.child
    answer: dict[str, Any] = {}
    for name, value in algo_placed(algo, contract).items():
        answer[name] = value
        if name == "algoStatus":
            answer["actualOrderId"] = "" if child is None else str(child.id)
            answer["actualPrice"] = (
                "0.00000" if child is None else f"{child.average_price:.{contract.price_precision + 1}f}"
            )
            if child is not None:
                answer["actualType"] = child.type
                answer["actualQty"] = plain(child.executed)
        if name == "icebergQuantity":
            zero = contract.price_text(ZERO)
            answer |= {
                "tpTriggerPrice": zero,
                "tpPrice": zero,
                "slTriggerPrice": zero,
                "slPrice": zero,
                "tpOrderType": "",
            }
    return answer


def position_v3(account: FuturesAccount, position: Position, market: FuturesMarket) -> dict[str, Any]:
    """Return one row of `/fapi/v3/positionRisk`."""
    contract, mark = market.contract, market.mark
    config = account.config(position.symbol)
    notional = position.amount * mark
    margin = account.position_margin(position, mark)
    orders = account.order_margin(position.symbol, mark)
    buys, sells = account.open_notionals(position.symbol)
    isolated = position.isolated_wallet + position.unrealized(mark) if config.isolated else ZERO
    maintenance = contract.maintenance_margin(position.notional(mark)) if position.amount else ZERO
    return {
        "symbol": position.symbol,
        "positionSide": str(position.side),
        "positionAmt": contract.quantity_text(position.amount),
        "entryPrice": _price(position.entry),
        "breakEvenPrice": _price(position.break_even()),
        "markPrice": f"{mark:.8f}",
        "unRealizedProfit": f"{position.unrealized(mark):.8f}",
        "liquidationPrice": _price(liquidation_price(account, position, market)),
        "isolatedMargin": plain(eight(isolated)),
        "notional": f"{notional:.8f}",
        "marginAsset": "USDT",
        "isolatedWallet": plain(eight(position.isolated_wallet)),
        "initialMargin": plain(eight(margin + orders)),
        "maintMargin": plain(eight(maintenance)),
        "positionInitialMargin": plain(eight(margin)),
        "openOrderInitialMargin": plain(eight(orders)),
        "adl": 1 if position.amount else 0,
        "bidNotional": plain(eight(buys)),
        "askNotional": plain(eight(sells)),
        "updateTime": position.update_time,
    }


def _price(price: Decimal) -> str:
    text = plain(eight(price))
    return text if "." in text or text == "0" else f"{text}.0"


def position_v2(account: FuturesAccount, position: Position, market: FuturesMarket) -> dict[str, Any]:
    """Return one row of `/fapi/v2/positionRisk`."""
    config = account.config(position.symbol)
    mark = market.mark
    isolated = position.isolated_wallet + position.unrealized(mark) if config.isolated else ZERO
    return {
        "symbol": position.symbol,
        "positionAmt": f"{position.amount:.{market.contract.quantity_precision}f}",
        "entryPrice": _price(position.entry) if position.amount else "0.0",
        "breakEvenPrice": _price(position.break_even()) if position.amount else "0.0",
        "markPrice": f"{mark:.8f}",
        "unRealizedProfit": f"{position.unrealized(mark):.8f}",
        "liquidationPrice": _price(liquidation_price(account, position, market)),
        "leverage": str(config.leverage),
        "maxNotionalValue": plain(market.contract.largest_notional(config.leverage)),
        "marginType": "isolated" if config.isolated else "cross",
        "isolatedMargin": f"{isolated:.8f}",
        "isAutoAddMargin": "false",
        "positionSide": str(position.side),
        "notional": f"{position.amount * mark:.8f}",
        "isolatedWallet": plain(eight(position.isolated_wallet)),
        "updateTime": position.update_time,
        "isolated": config.isolated,
        "adlQuantile": 1 if position.amount else 0,
    }


def liquidation_price(account: FuturesAccount, position: Position, market: FuturesMarket) -> Decimal:
    """Return the mark price at which this position alone would be liquidated, 0 where there is none."""
    amount = position.amount
    if not amount:
        return ZERO
    bracket = market.contract.bracket_of(position.notional(market.mark))
    isolated = account.config(position.symbol).isolated
    wallet = position.isolated_wallet if isolated else account.cross_wallet("USDT")
    size = abs(amount)
    direction = 1 if amount > 0 else -1
    price = (wallet + bracket.cum - amount * position.entry) / (size * (bracket.rate - direction))
    return max(ZERO, price)


def balance(account: FuturesAccount, asset: str, marks: dict[str, Decimal], now: int) -> dict[str, Any]:
    """Return one row of `/fapi/v3/balance`."""
    is_usdt = asset == "USDT"
    unrealized = account.cross_unrealized(marks) if is_usdt else ZERO
    available = account.available(marks) if is_usdt else account.balance(asset)
    return {
        "accountAlias": ALIAS,
        "asset": asset,
        "balance": f"{account.balance(asset):.8f}",
        "crossWalletBalance": f"{account.cross_wallet(asset):.8f}",
        "crossUnPnl": f"{unrealized:.8f}",
        "availableBalance": f"{max(ZERO, available):.8f}",
        "maxWithdrawAmount": f"{max(ZERO, available):.8f}",
        "marginAvailable": True,
        "updateTime": now,
    }


def income(line: Income) -> dict[str, Any]:
    """Return one row of `/fapi/v1/income`."""
    return {
        "symbol": line.symbol,
        "incomeType": line.kind,
        "income": f"{line.amount:.8f}",
        "asset": line.asset,
        "info": line.kind,
        "time": line.time,
        "tranId": line.id,
        "tradeId": line.trade_id,
    }
