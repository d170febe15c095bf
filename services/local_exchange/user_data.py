"""The events of the user data stream, field for field in the documented order.

Binance docs "User Data Streams": executionReport, outboundAccountPosition, balanceUpdate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.orders import ZERO, OrderType, Status

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from services.local_exchange.accounts import Account
    from services.local_exchange.orders import Order, PreventedMatch, Trade

NOTHING = "0.00000000"


def execution_report(
    order: Order,
    execution: str,
    execution_id: int,
    now: int,
    trade: Trade | None = None,
    cancel_id: str | None = None,
    prevented: PreventedMatch | None = None,
) -> dict[str, Any]:
    """One `executionReport`.

    Args:
        order: the order after the change.
        execution: `x`: NEW, TRADE, CANCELED, EXPIRED, TRADE_PREVENTION.
        execution_id: `I`.
        now: epoch milliseconds of event and transaction.
        trade: the fill, on TRADE.
        cancel_id: on CANCELED the client order id of the cancel; it takes `c`, the order's own id goes to
            `C`.
        prevented: what self-trade prevention stopped, on TRADE_PREVENTION.

    """
    if order.report is None or prevented is not None:
        order.report = _constant_part(order)
    event = order.report.copy()
    event["E"] = event["T"] = now
    if cancel_id is not None:
        event["c"], event["C"] = cancel_id, order.client_order_id
    event["x"] = execution
    event["X"] = str(order.status)
    if order.executed:
        event["z"] = f"{order.executed:.8f}"
        event["Z"] = f"{order.quote_executed:.8f}"
    event["I"] = execution_id
    event["w"] = _on_book(order, execution)
    if trade is not None:
        event["l"] = f"{trade.qty:.8f}"
        event["L"] = f"{trade.price:.8f}"
        event["n"] = f"{trade.commission:.8f}"
        event["N"] = trade.commission_asset
        event["t"] = trade.id
        event["m"] = trade.is_maker
        event["M"] = True
        event["Y"] = f"{trade.quote_qty:.8f}"
    _add_conditional(event, order, prevented)
    return event


def _constant_part(order: Order) -> dict[str, Any]:
    """Lay out an order's report once, in documented order, with zeros where something may come."""
    event: dict[str, Any] = {
        "e": "executionReport",
        "E": 0,
        "s": order.symbol,
        "c": order.client_order_id,
        "S": str(order.side),
        "o": str(order.type),
        "f": str(order.time_in_force),
        "q": f"{order.quantity:.8f}",
        "p": f"{order.price:.8f}" if order.price else NOTHING,
        "P": f"{order.stop_price:.8f}" if order.stop_price else NOTHING,
    }
    if order.trailing_delta:
        event["d"] = order.trailing_delta
    event |= {
        "F": f"{order.iceberg_qty:.8f}" if order.iceberg_qty else NOTHING,
        "g": -1,
        "C": "",
        "x": "",
        "X": "",
        "r": "NONE",
        "i": order.id,
        "l": NOTHING,
        "z": NOTHING,
        "L": NOTHING,
        "n": "0",
        "N": None,
        "T": 0,
        "t": -1,
    }
    if order.prevented_match_id is not None:
        event["v"] = order.prevented_match_id
    event |= {
        "I": 0,
        "w": False,
        "m": False,
        "M": False,
        "O": order.time,
        "Z": NOTHING,
        "Y": NOTHING,
        "Q": f"{order.quote_order_qty:.8f}" if order.quote_order_qty else NOTHING,
    }
    if order.strategy_id is not None:
        event["j"] = order.strategy_id
    if order.strategy_type is not None:
        event["J"] = order.strategy_type
    if order.working_time:
        event["W"] = order.working_time
    event["V"] = str(order.stp_mode)
    return event


def _on_book(order: Order, execution: str) -> bool:
    if execution == "NEW":
        return order.is_working
    return order.is_open and order.is_working and order.type is not OrderType.MARKET


def _add_conditional(event: dict[str, Any], order: Order, prevented: PreventedMatch | None) -> None:
    if prevented is not None:
        _add_prevented(event, order, prevented)
    if order.expiry_reason is not None:
        event["eR"] = str(order.expiry_reason)


def _add_prevented(event: dict[str, Any], order: Order, prevented: PreventedMatch) -> None:
    taker = prevented.taker_order_id == order.id
    last: Decimal = prevented.taker_prevented if taker else prevented.maker_prevented
    if order.prevented:
        event["A"] = f"{order.prevented:.8f}"
    if last:
        event["B"] = f"{last:.8f}"
    event["u"] = -1
    event["U"] = prevented.maker_order_id if taker else prevented.taker_order_id
    event["pl"] = f"{last:.8f}"
    event["pL"] = f"{prevented.price:.8f}"
    event["pY"] = f"{prevented.price * last:.8f}"


def account_position(account: Account, assets: Iterable[str], now: int) -> dict[str, Any]:
    """One `outboundAccountPosition`: absolute balances of the assets that may have changed."""
    entries = []
    for asset in assets:
        balance = account.balance(asset)
        entries.append({"a": asset, "f": f"{balance.free:.8f}", "l": f"{balance.locked:.8f}"})
    return {"e": "outboundAccountPosition", "E": now, "u": now, "B": entries}


def balance_update(asset: str, delta: Decimal, now: int) -> dict[str, Any]:
    """One `balanceUpdate`: a deposit, withdrawal or transfer."""
    return {"e": "balanceUpdate", "E": now, "a": asset, "d": f"{delta:.8f}", "T": now}


def status_after_fill(order: Order) -> Status:
    """Say FILLED once nothing is left to trade, else PARTIALLY_FILLED."""
    return Status.FILLED if order.remaining == ZERO else Status.PARTIALLY_FILLED
