"""The events of the private futures stream, field for field as captured in 2026."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.orders import ZERO

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from services.local_exchange.futures.contracts import Contract
    from services.local_exchange.futures.orders import AlgoOrder, FuturesOrder, FuturesTrade
    from services.local_exchange.futures.positions import Position
    from services.local_exchange.futures.wallet import FuturesAccount


def plain(number: Decimal) -> str:
    """Return a number as the stream writes it: no trailing zeros, no exponent."""
    if not number:
        return "0"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def eight(number: Decimal) -> Decimal:
    """Round to the eight decimals that amounts are shown with."""
    return round(number, 8)


def order_trade_update(
    order: FuturesOrder,
    execution: str,
    now: int,
    trade: FuturesTrade | None = None,
    modify_id: int | None = None,
) -> dict[str, Any]:
    """Return one ORDER_TRADE_UPDATE.

    Args:
        order: the order after the change.
        execution: `x`: NEW, TRADE, CANCELED, EXPIRED, AMENDMENT, CALCULATED.
        now: epoch milliseconds.
        trade: the fill, if this is about one.
        modify_id: what the client called its modification.

    """
    buys, sells = order.account.open_notionals(order.symbol)
    body: dict[str, Any] = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": str(order.side),
        "o": order.type,
        "f": str(order.time_in_force),
        "q": plain(order.quantity),
        "p": plain(order.price),
        "ap": plain(eight(order.average_price)),
        "sp": "0",
        "x": execution,
        "X": str(order.status),
        "i": order.id,
        "l": "0" if trade is None else plain(trade.qty),
        "z": plain(order.executed),
        "L": "0" if trade is None else plain(trade.price),
        "n": "0" if trade is None else plain(trade.commission),
        "N": "USDT" if trade is None else trade.commission_asset,
        "T": now,
        "t": 0 if trade is None else trade.id,
        "b": plain(eight(buys)),
        "a": plain(eight(sells)),
        "m": trade is not None and trade.is_maker,
        "R": order.only_reduces,
        "wt": "CONTRACT_PRICE",
        "ot": order.type,
        "ps": str(order.position_side),
        "cp": order.close_position,
        "rp": "0" if trade is None else plain(eight(trade.realized)),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": str(order.stp_mode),
        "pm": str(order.price_match),
        "gtd": order.good_till,
        "er": str(int(order.expire_reason)),
    }
    if modify_id is not None:
        body["M"] = str(modify_id)
    return {"e": "ORDER_TRADE_UPDATE", "T": now, "E": now, "o": body}


def trade_lite(order: FuturesOrder, trade: FuturesTrade, contract: Contract, now: int) -> dict[str, Any]:
    """Return one TRADE_LITE."""
    return {
        "e": "TRADE_LITE",
        "E": now,
        "T": now,
        "s": order.symbol,
        "q": plain(order.quantity),
        "p": contract.price_text(order.price),
        "m": trade.is_maker,
        "c": order.client_order_id,
        "S": str(order.side),
        "L": contract.price_text(trade.price),
        "l": plain(trade.qty),
        "t": trade.id,
        "i": order.id,
    }


def account_update(
    account: FuturesAccount,
    reason: str,
    assets: Iterable[str],
    positions: Iterable[tuple[Position, Decimal]],
    now: int,
    change: Decimal = ZERO,
    symbol: str = "",
) -> dict[str, Any]:
    """Return one ACCOUNT_UPDATE.

    Args:
        account: whose.
        reason: `m`: ORDER, FUNDING_FEE, DEPOSIT, ...
        assets: assets whose balance is shown.
        positions: positions shown, each with its mark price.
        now: epoch milliseconds.
        change: `bc`, the change that is neither profit nor commission.
        symbol: `S`, on funding fees.

    """
    body: dict[str, Any] = {
        "B": [
            {
                "a": asset,
                "wb": plain(eight(account.balance(asset))),
                "cw": plain(eight(account.cross_wallet(asset))),
                "bc": plain(eight(change)),
            }
            for asset in assets
        ],
        "P": [_position(account, position, mark) for position, mark in positions],
        "m": reason,
    }
    if symbol:
        body["S"] = symbol
    return {"e": "ACCOUNT_UPDATE", "T": now, "E": now, "a": body}


def _position(account: FuturesAccount, position: Position, mark: Decimal) -> dict[str, Any]:
    return {
        "s": position.symbol,
        "pa": plain(position.amount),
        "ep": plain(eight(position.entry)),
        "cr": plain(eight(position.realized)),
        "up": plain(eight(position.unrealized(mark))) if position.amount else "0",
        "mt": "isolated" if account.config(position.symbol).isolated else "cross",
        "iw": plain(eight(position.isolated_wallet)),
        "ps": str(position.side),
        "ma": "USDT",
        "bep": plain(eight(position.break_even())),
    }


def margin_call(
    account: FuturesAccount, rows: Iterable[tuple[Position, Decimal, Decimal]], cross: bool, now: int
) -> dict[str, Any]:
    """Return one MARGIN_CALL for positions, each with mark price and maintenance margin."""
    event: dict[str, Any] = {"e": "MARGIN_CALL", "E": now}
    if cross:
        event["cw"] = plain(eight(account.cross_wallet("USDT")))
    event["p"] = [
        {
            "s": position.symbol,
            "ps": str(position.side),
            "pa": plain(position.amount),
            "mt": "ISOLATED" if account.config(position.symbol).isolated else "CROSSED",
            "iw": plain(eight(position.isolated_wallet)),
            "mp": plain(mark),
            "up": plain(eight(position.unrealized(mark))),
            "mm": plain(eight(maintenance)),
        }
        for position, mark, maintenance in rows
    ]
    return event


def leverage_update(symbol: str, leverage: int, now: int) -> dict[str, Any]:
    """Return one ACCOUNT_CONFIG_UPDATE about leverage."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, "ac": {"s": symbol, "l": leverage}}


def multi_assets_update(on: bool, now: int) -> dict[str, Any]:
    """Return one ACCOUNT_CONFIG_UPDATE about the multi-assets mode."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, "ai": {"j": on}}


def listen_key_expired(key: str, now: int) -> dict[str, Any]:
    """Return one listenKeyExpired."""
    return {"e": "listenKeyExpired", "E": now, "listenKey": key}


def algo_update(algo: AlgoOrder, now: int) -> dict[str, Any]:
    """Return one ALGO_UPDATE; fill fields come once there is a child, `rm` on a rejection."""
    body: dict[str, Any] = {
        "caid": algo.client_algo_id,
        "aid": algo.id,
        "at": "CONDITIONAL",
        "o": str(algo.type),
        "s": algo.symbol,
        "S": str(algo.side),
        "ps": str(algo.position_side),
        "f": str(algo.time_in_force),
        "q": plain(algo.quantity),
        "X": str(algo.status),
        "ai": "" if algo.child is None else str(algo.child.id),
    }
    if algo.child is not None:
        body["ap"] = plain(eight(algo.child.average_price))
        body["aq"] = plain(algo.child.executed)
        body["act"] = algo.child.type
    body |= {
        "tp": plain(algo.trigger_price),
        "p": plain(algo.price),
        "V": str(algo.stp_mode),
        "wt": str(algo.working_type),
        "pm": str(algo.price_match),
        "cp": algo.close_position,
        "pP": algo.price_protect,
        "R": algo.reduce_only,
        "tt": algo.trigger_time,
        "gtd": algo.good_till,
    }
    if not algo.trigger_time or algo.reason:
        body["ia"] = algo.activated
    if algo.reason:
        body["rm"] = algo.reason
    return {"e": "ALGO_UPDATE", "T": now, "E": now, "o": body}
