"""The symbols that trade here, with the filter set that production showed in autumn 2026."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from services.local_exchange.orders import OrderType, StpMode

ALLOWED_STP = (
    StpMode.EXPIRE_TAKER,
    StpMode.EXPIRE_MAKER,
    StpMode.EXPIRE_BOTH,
    StpMode.DECREMENT,
    StpMode.TRANSFER,
)


@dataclass(slots=True)
class Symbol:
    """One symbol and its filters (Binance REST docs "Filters"). `status` may change while the exchange runs.

    `tick * step` is at least 1e-8, so that every quote amount is exact at eight decimals.
    """

    name: str
    base: str
    quote: str
    start_price: Decimal
    tick: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    max_price: Decimal
    market_max_qty: Decimal
    min_notional: Decimal = Decimal(5)
    max_notional: Decimal = Decimal(9_000_000)
    bid_multiplier_up: Decimal = Decimal(5)
    bid_multiplier_down: Decimal = Decimal("0.2")
    ask_multiplier_up: Decimal = Decimal(5)
    ask_multiplier_down: Decimal = Decimal("0.2")
    max_num_orders: int = 200
    max_num_algo_orders: int = 5
    max_position: Decimal | None = None
    min_trailing: int = 10
    max_trailing: int = 2000
    iceberg_parts: int = 100
    status: str = "TRADING"
    price_range: tuple[Decimal, Decimal] | None = None
    percent_price: tuple[Decimal, Decimal] | None = None
    max_num_iceberg_orders: int | None = None
    notional_filter: str = "NOTIONAL"
    market_min_qty: Decimal = Decimal(0)
    market_step: Decimal = Decimal(0)

    def filters(self) -> list[dict[str, Any]]:
        """Return the filters as `exchangeInfo` shows them."""
        shown: list[dict[str, Any]] = [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": f"{self.tick:.8f}",
                "maxPrice": f"{self.max_price:.8f}",
                "tickSize": f"{self.tick:.8f}",
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": f"{self.min_qty:.8f}",
                "maxQty": f"{self.max_qty:.8f}",
                "stepSize": f"{self.step:.8f}",
            },
            {"filterType": "ICEBERG_PARTS", "limit": self.iceberg_parts},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": f"{self.market_min_qty:.8f}",
                "maxQty": f"{self.market_max_qty:.8f}",
                "stepSize": f"{self.market_step:.8f}",
            },
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": self.min_trailing,
                "maxTrailingAboveDelta": self.max_trailing,
                "minTrailingBelowDelta": self.min_trailing,
                "maxTrailingBelowDelta": self.max_trailing,
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": str(self.bid_multiplier_up),
                "bidMultiplierDown": str(self.bid_multiplier_down),
                "askMultiplierUp": str(self.ask_multiplier_up),
                "askMultiplierDown": str(self.ask_multiplier_down),
                "avgPriceMins": 5,
            },
            self._notional(),
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": self.max_num_orders},
            {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": self.max_num_algo_orders},
            {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": 10},
        ]
        if self.max_position is not None:
            shown.append({"filterType": "MAX_POSITION", "maxPosition": f"{self.max_position:.8f}"})
        if self.max_num_iceberg_orders is not None:
            shown.append(
                {
                    "filterType": "MAX_NUM_ICEBERG_ORDERS",
                    "maxNumIcebergOrders": self.max_num_iceberg_orders,
                }
            )
        if self.percent_price is not None:
            down, up = self.percent_price
            shown.append(
                {
                    "filterType": "PERCENT_PRICE",
                    "multiplierUp": str(up),
                    "multiplierDown": str(down),
                    "avgPriceMins": 5,
                }
            )
        return shown

    def _notional(self) -> dict[str, Any]:
        """Return the one notional filter a symbol has: NOTIONAL, or the older MIN_NOTIONAL."""
        if self.notional_filter == "MIN_NOTIONAL":
            return {
                "filterType": "MIN_NOTIONAL",
                "minNotional": f"{self.min_notional:.8f}",
                "applyToMarket": True,
                "avgPriceMins": 5,
            }
        return {
            "filterType": "NOTIONAL",
            "minNotional": f"{self.min_notional:.8f}",
            "applyMinToMarket": True,
            "maxNotional": f"{self.max_notional:.8f}",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        }

    def information(self) -> dict[str, Any]:
        """Return the symbol as `exchangeInfo` shows it."""
        return {
            "symbol": self.name,
            "status": self.status,
            "baseAsset": self.base,
            "baseAssetPrecision": 8,
            "quoteAsset": self.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": [str(kind) for kind in OrderType],
            "icebergAllowed": True,
            "ocoAllowed": False,
            "otoAllowed": False,
            "opoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": False,
            "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": self.filters(),
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": [str(mode) for mode in ALLOWED_STP],
        }


def _usdt(base: str, price: str, tick: str, step: str, max_qty: str, market_max: str) -> Symbol:
    return Symbol(
        name=f"{base}USDT",
        base=base,
        quote="USDT",
        start_price=Decimal(price),
        tick=Decimal(tick),
        step=Decimal(step),
        min_qty=Decimal(step),
        max_qty=Decimal(max_qty),
        max_price=Decimal(price).quantize(Decimal(1)) * 20 or Decimal(1000),
        market_max_qty=Decimal(market_max),
    )


def default_symbols() -> list[Symbol]:
    """Six symbols against USDT, with steps and ticks of production and prices near those of 2026."""
    return [
        _usdt("BTC", "70000", "0.01", "0.00001", "9000", "118.2"),
        _usdt("ETH", "3500", "0.01", "0.0001", "9000", "2110.4"),
        _usdt("SOL", "150", "0.01", "0.001", "90000", "22000.5"),
        _usdt("BNB", "600", "0.01", "0.001", "900000", "1200.7"),
        _usdt("XRP", "0.6", "0.0001", "0.1", "9222449", "350000.1"),
        _usdt("DOGE", "0.15", "0.00001", "1", "9000000", "4500000"),
    ]
