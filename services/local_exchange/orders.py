"""Orders and trades as the matching engine keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.local_exchange.accounts import Account

ZERO = Decimal(0)


class Side(StrEnum):
    """Direction of an order."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """Order types of Binance REST docs "New order"."""

    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


class TimeInForce(StrEnum):
    """How long an order lives."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    """Order status of Binance docs "Enums"."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"


class StpMode(StrEnum):
    """Self-trade prevention modes of Binance docs "STP FAQ"."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    DECREMENT = "DECREMENT"
    TRANSFER = "TRANSFER"


class ExpiryReason(StrEnum):
    """Why an order expired: `expiryReason` in answers, `eR` in events."""

    UNFILLED_IOC = "UNFILLED_IOC_QUANTITY_EXPIRED"
    UNFILLED_FOK = "UNFILLED_FOK_ORDER_EXPIRED"
    INSUFFICIENT_LIQUIDITY = "INSUFFICIENT_LIQUIDITY"
    PRICE_RANGE = "EXECUTION_RULE_PRICE_RANGE_EXCEEDED"
    EXCHANGE_CANCELED = "EXCHANGE_CANCELED"


ARCHIVED_AFTER_MS = 90 * 86_400_000
STOPS = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})
TAKE_PROFITS = frozenset({OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})
CONDITIONAL = STOPS | TAKE_PROFITS
PRICED = frozenset(
    {OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A validated `POST /api/v3/order`, before the engine has seen it."""

    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce = TimeInForce.GTC
    quantity: Decimal = ZERO
    quote_order_qty: Decimal = ZERO
    price: Decimal = ZERO
    stop_price: Decimal = ZERO
    trailing_delta: int = 0
    iceberg_qty: Decimal = ZERO
    client_order_id: str = ""
    stp_mode: StpMode = StpMode.EXPIRE_MAKER
    strategy_id: int | None = None
    strategy_type: int | None = None
    response: str = "FULL"


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill of one account's order. Quantities gross, `time` in epoch milliseconds."""

    id: int
    symbol: str
    order_id: int
    price: Decimal
    qty: Decimal
    quote_qty: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """A match that self-trade prevention stopped."""

    id: int
    symbol: str
    taker_order_id: int
    maker_order_id: int
    price: Decimal
    taker_prevented: Decimal
    maker_prevented: Decimal
    mode: StpMode
    time: int


@dataclass(slots=True, eq=False)
class Order:
    """An accepted order. Times are epoch milliseconds, `locked` is in the asset the order pays with."""

    account: Account
    symbol: str
    id: int
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: Decimal
    quantity: Decimal
    time: int
    quote_order_qty: Decimal = ZERO
    stop_price: Decimal = ZERO
    trailing_delta: int = 0
    trailing_extreme: Decimal = ZERO
    iceberg_qty: Decimal = ZERO
    stp_mode: StpMode = StpMode.EXPIRE_MAKER
    strategy_id: int | None = None
    strategy_type: int | None = None
    status: Status = Status.NEW
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    prevented: Decimal = ZERO
    prevented_match_id: int | None = None
    remaining: Decimal = ZERO
    locked: Decimal = ZERO
    update_time: int = 0
    working_time: int = 0
    is_working: bool = True
    expiry_reason: ExpiryReason | None = None
    trades: list[Trade] = field(default_factory=list)
    prevented_matches: list[PreventedMatch] = field(default_factory=list)
    counted_fill: bool = False
    report: dict[str, Any] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return self.status is Status.NEW or self.status is Status.PARTIALLY_FILLED

    def is_archived(self, now: int) -> bool:
        """Say whether the order ended unfilled so long ago that queries answer -2026."""
        return not self.is_open and not self.executed and now - self.update_time > ARCHIVED_AFTER_MS


@dataclass(slots=True, eq=False)
class Quote:
    """Liquidity of the crowd: resting or taking, without an account."""

    id: int
    side: Side
    price: Decimal
    remaining: Decimal


Resting = Order | Quote
