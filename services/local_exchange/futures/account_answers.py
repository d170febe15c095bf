"""`/fapi/v2/account` and `/fapi/v3/account`: totals, assets, positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.futures.events import eight, plain
from services.local_exchange.orders import ZERO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.futures.positions import Position
    from services.local_exchange.futures.wallet import FuturesAccount


def account(
    holder: FuturesAccount, markets: Mapping[str, FuturesMarket], positions: Iterable[Position], v3: bool
) -> dict[str, Any]:
    """Return an account; version 2 has the modes, leverage and margin type of every position, too."""
    marks = {name: market.mark for name, market in markets.items()}
    totals = _totals(holder, markets, marks)
    rows = [_position(holder, position, markets[position.symbol], v3) for position in positions]
    assets = [_asset(holder, asset, totals, v3) for asset in sorted(holder.wallet)]
    shown = {f"total{name}": f"{amount:.8f}" for name, amount in totals.items() if name in TOTALS}
    shown["availableBalance"] = f"{totals['Available']:.8f}"
    shown["maxWithdrawAmount"] = f"{totals['Available']:.8f}"
    if v3:
        return shown | {"assets": assets, "positions": rows}
    head = {
        "feeTier": 0,
        "feeBurn": holder.fee_in_bnb,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": holder.multi_assets,
        "tradeGroupId": -1,
    }
    return head | shown | {"assets": assets, "positions": rows}


TOTALS = (
    "InitialMargin",
    "MaintMargin",
    "WalletBalance",
    "UnrealizedProfit",
    "MarginBalance",
    "PositionInitialMargin",
    "OpenOrderInitialMargin",
    "CrossWalletBalance",
    "CrossUnPnl",
)


def _totals(
    holder: FuturesAccount, markets: Mapping[str, FuturesMarket], marks: dict[str, Decimal]
) -> dict[str, Decimal]:
    held = holder.held()
    unrealized = sum((p.unrealized(marks[p.symbol]) for p in held), ZERO)
    of_positions = sum((holder.position_margin(p, marks[p.symbol]) for p in held), ZERO)
    symbols = {order.symbol for order in holder.open_orders.values()}
    of_orders = sum((holder.order_margin(symbol, marks[symbol]) for symbol in symbols), ZERO)
    maintenance = sum(
        (markets[p.symbol].contract.maintenance_margin(p.notional(marks[p.symbol])) for p in held), ZERO
    )
    wallet = holder.balance("USDT")
    return {
        "InitialMargin": of_positions + of_orders,
        "MaintMargin": maintenance,
        "WalletBalance": wallet,
        "UnrealizedProfit": unrealized,
        "MarginBalance": wallet + unrealized,
        "PositionInitialMargin": of_positions,
        "OpenOrderInitialMargin": of_orders,
        "CrossWalletBalance": holder.cross_wallet("USDT"),
        "CrossUnPnl": holder.cross_unrealized(marks),
        "Available": max(ZERO, holder.available(marks)),
    }


def _asset(holder: FuturesAccount, asset: str, totals: dict[str, Decimal], v3: bool) -> dict[str, Any]:
    is_usdt = asset == "USDT"

    def total(name: str) -> str:
        return f"{totals[name] if is_usdt else ZERO:.8f}"

    own = holder.balance(asset)
    available = totals["Available"] if is_usdt else own
    shown: dict[str, Any] = {
        "asset": asset,
        "walletBalance": f"{own:.8f}",
        "unrealizedProfit": total("UnrealizedProfit"),
        "marginBalance": total("MarginBalance") if is_usdt else f"{own:.8f}",
        "maintMargin": total("MaintMargin"),
        "initialMargin": total("InitialMargin"),
        "positionInitialMargin": total("PositionInitialMargin"),
        "openOrderInitialMargin": total("OpenOrderInitialMargin"),
        "crossWalletBalance": f"{holder.cross_wallet(asset):.8f}",
        "crossUnPnl": total("CrossUnPnl"),
        "availableBalance": f"{available:.8f}",
        "maxWithdrawAmount": f"{available:.8f}",
    }
    if not v3:
        shown["marginAvailable"] = True
    shown["updateTime"] = 0
    return shown


def _position(holder: FuturesAccount, position: Position, market: FuturesMarket, v3: bool) -> dict[str, Any]:
    mark, contract = market.mark, market.contract
    config = holder.config(position.symbol)
    margin = holder.position_margin(position, mark)
    maintenance = contract.maintenance_margin(position.notional(mark)) if position.amount else ZERO
    amount = f"{position.amount:.{contract.quantity_precision}f}"
    unrealized = f"{position.unrealized(mark):.8f}"
    notional = plain(eight(position.amount * mark))
    if v3:
        isolated = position.isolated_wallet + position.unrealized(mark) if config.isolated else ZERO
        return {
            "symbol": position.symbol,
            "positionSide": str(position.side),
            "positionAmt": amount,
            "unrealizedProfit": unrealized,
            "isolatedMargin": f"{isolated:.8f}",
            "notional": notional,
            "isolatedWallet": plain(eight(position.isolated_wallet)),
            "initialMargin": plain(eight(margin)),
            "maintMargin": plain(eight(maintenance)),
            "updateTime": position.update_time,
        }
    orders = holder.order_margin(position.symbol, mark)
    buys, sells = holder.open_notionals(position.symbol)
    return {
        "symbol": position.symbol,
        "initialMargin": plain(eight(margin + orders)),
        "maintMargin": plain(eight(maintenance)),
        "unrealizedProfit": unrealized,
        "positionInitialMargin": plain(eight(margin)),
        "openOrderInitialMargin": plain(eight(orders)),
        "leverage": str(config.leverage),
        "isolated": config.isolated,
        "entryPrice": plain(eight(position.entry)) if position.amount else "0.0",
        "breakEvenPrice": plain(eight(position.break_even())) if position.amount else "0.0",
        "maxNotional": plain(contract.largest_notional(config.leverage)),
        "positionSide": str(position.side),
        "positionAmt": amount,
        "notional": notional,
        "isolatedWallet": plain(eight(position.isolated_wallet)),
        "updateTime": position.update_time,
        "bidNotional": plain(eight(buys)),
        "askNotional": plain(eight(sells)),
    }
