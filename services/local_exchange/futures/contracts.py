"""The contracts that trade here: filters, leverage brackets, what `exchangeInfo` says of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

PERPETUAL, TRADIFI_PERPETUAL = "PERPETUAL", "TRADIFI_PERPETUAL"
ORDER_TYPES = [
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
]


@dataclass(frozen=True, slots=True)
class Bracket:
    """Positions up to `cap` (quote): their largest leverage, maintenance margin `rate`, less `cum`."""

    number: int
    leverage: int
    floor: Decimal
    cap: Decimal
    rate: Decimal
    cum: Decimal


def _brackets() -> tuple[Bracket, ...]:
    """Five brackets in the manner of the liquid contracts; `cum` makes the maintenance margin continuous."""
    made: list[Bracket] = []
    floor = cum = last_rate = Decimal(0)
    for number, (leverage, cap, rate) in enumerate(
        (
            (125, "300000", "0.004"),
            (100, "800000", "0.005"),
            (50, "3000000", "0.01"),
            (20, "12000000", "0.025"),
            (5, "70000000", "0.1"),
        ),
        1,
    ):
        cum += floor * (Decimal(rate) - last_rate) if made else Decimal(0)
        made.append(Bracket(number, leverage, floor, Decimal(cap), Decimal(rate), cum))
        floor, last_rate = Decimal(cap), Decimal(rate)
    return tuple(made)


@dataclass(slots=True)
class Contract:
    """One perpetual contract. `status` and `contract_type` may change while the exchange runs."""

    name: str
    base: str
    quote: str
    start_price: Decimal
    tick: Decimal
    step: Decimal
    price_precision: int
    quantity_precision: int
    min_qty: Decimal
    max_qty: Decimal
    market_max_qty: Decimal
    min_notional: Decimal
    max_price: Decimal
    multiplier_up: Decimal = Decimal("1.05")
    multiplier_down: Decimal = Decimal("0.95")
    market_take_bound: Decimal = Decimal("0.05")
    trigger_protect: Decimal = Decimal("0.05")
    liquidation_fee: Decimal = Decimal("0.0125")
    max_num_orders: int = 200
    status: str = "TRADING"
    contract_type: str = PERPETUAL
    brackets: tuple[Bracket, ...] = _brackets()

    def price_text(self, price: Decimal) -> str:
        """Return a price with the contract's decimals."""
        return f"{price:.{self.price_precision}f}"

    def quantity_text(self, quantity: Decimal) -> str:
        """Return a quantity with the contract's decimals, a bare 0 for none."""
        return f"{quantity:.{self.quantity_precision}f}" if quantity else "0"

    def bracket_of(self, notional: Decimal) -> Bracket:
        """Return the bracket of a position's notional."""
        for bracket in self.brackets:
            if notional <= bracket.cap:
                return bracket
        return self.brackets[-1]

    def largest_notional(self, leverage: int) -> Decimal:
        """Return the largest notional that a leverage allows."""
        return max(bracket.cap for bracket in self.brackets if bracket.leverage >= leverage)

    def maintenance_margin(self, notional: Decimal) -> Decimal:
        """Return the maintenance margin of a position: notional times rate, less the bracket's amount."""
        bracket = self.bracket_of(notional)
        return notional * bracket.rate - bracket.cum

    def information(self) -> dict[str, Any]:
        """Return the contract as `exchangeInfo` shows it."""
        return {
            "symbol": self.name,
            "pair": self.name,
            "contractType": self.contract_type,
            "deliveryDate": 4133404800000,
            "onboardDate": 1567965300000,
            "status": self.status,
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": self.base,
            "quoteAsset": self.quote,
            "marginAsset": self.quote,
            "pricePrecision": self.price_precision,
            "quantityPrecision": self.quantity_precision,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN" if self.contract_type == PERPETUAL else "COMMODITY",
            "underlyingSubType": ["PoW" if self.contract_type == PERPETUAL else "TradFi"],
            "triggerProtect": f"{self.trigger_protect:.4f}",
            "liquidationFee": f"{self.liquidation_fee:.6f}",
            "marketTakeBound": f"{self.market_take_bound:.2f}",
            "maxMoveOrderLimit": 10000,
            "filters": self.filters(),
            "orderTypes": ORDER_TYPES,
            "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
            "permissionSets": ["GRID", "COPY"],
        }

    def filters(self) -> list[dict[str, Any]]:
        """Return the seven filters."""
        return [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": str(self.tick),
                "maxPrice": str(self.max_price),
                "tickSize": str(self.tick),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": str(self.min_qty),
                "maxQty": str(self.max_qty),
                "stepSize": str(self.step),
            },
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": str(self.min_qty),
                "maxQty": str(self.market_max_qty),
                "stepSize": str(self.step),
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": self.max_num_orders},
            {"filterType": "MIN_NOTIONAL", "notional": str(self.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": f"{self.multiplier_up:.4f}",
                "multiplierDown": f"{self.multiplier_down:.4f}",
                "multiplierDecimal": "4",
            },
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ]


def _contract(
    base: str, price: str, tick: str, step: str, precisions: tuple[int, int], market_max: str, notional: str
) -> Contract:
    return Contract(
        name=f"{base}USDT",
        base=base,
        quote="USDT",
        start_price=Decimal(price),
        tick=Decimal(tick),
        step=Decimal(step),
        price_precision=precisions[0],
        quantity_precision=precisions[1],
        min_qty=Decimal(step),
        max_qty=Decimal(market_max) * 8,
        market_max_qty=Decimal(market_max),
        min_notional=Decimal(notional),
        max_price=Decimal(price) * 60 if Decimal(price) > 1 else Decimal(100),
    )


def default_contracts() -> list[Contract]:
    """Return six perpetuals against USDT, with production's ticks, steps and smallest notionals."""
    return [
        _contract("BTC", "70000", "0.10", "0.001", (2, 3), "120", "50"),
        _contract("ETH", "3500", "0.01", "0.001", (2, 3), "2000", "20"),
        _contract("SOL", "150", "0.0100", "0.01", (4, 2), "20000", "5"),
        _contract("BNB", "600", "0.010", "0.01", (3, 2), "2000", "5"),
        _contract("XRP", "0.6", "0.0001", "0.1", (4, 1), "2000000", "5"),
        _contract("DOGE", "0.15", "0.000010", "1", (6, 0), "30000000", "5"),
    ]
