"""Orders, algo orders and trades of the futures market."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from services.local_exchange.futures.positions import PositionSide
from services.local_exchange.orders import ZERO, Side, Status, StpMode

if TYPE_CHECKING:
    from decimal import Decimal

    from services.local_exchange.futures.wallet import FuturesAccount


class FuturesTimeInForce(StrEnum):
    """How long a futures order lives; GTX is post only, RPI rests for retail only."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    GTD = "GTD"
    RPI = "RPI"


class PriceMatch(StrEnum):
    """Price taken from the book instead of a price of one's own."""

    NONE = "NONE"
    OPPONENT = "OPPONENT"
    OPPONENT_5 = "OPPONENT_5"
    QUEUE = "QUEUE"
    QUEUE_5 = "QUEUE_5"
    QUEUE_10 = "QUEUE_10"
    QUEUE_20 = "QUEUE_20"


class WorkingType(StrEnum):
    """Which price triggers."""

    CONTRACT_PRICE = "CONTRACT_PRICE"
    MARK_PRICE = "MARK_PRICE"


class ExpireReason(IntEnum):
    """`er` of ORDER_TRADE_UPDATE (USDⓈ-M change log 2025-10-23)."""

    NONE = 0
    SELF_TRADE = 1
    IOC_REMAINDER = 2
    REDUCE_ONLY = 4
    LIQUIDATION = 5
    DELISTED = 7
    AFTER_TRIGGER = 8
    MARKET_REMAINDER = 9


class AlgoType(StrEnum):
    """Types of conditional orders."""

    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"


class AlgoStatus(StrEnum):
    """Life of an algo order."""

    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class FuturesRequest:
    """A validated new order, before the engine has seen it."""

    symbol: str
    side: Side
    position_side: PositionSide
    market: bool
    quantity: Decimal
    price: Decimal = ZERO
    time_in_force: FuturesTimeInForce = FuturesTimeInForce.GTC
    reduce_only: bool = False
    client_order_id: str = ""
    price_match: PriceMatch = PriceMatch.NONE
    stp_mode: StpMode = StpMode.EXPIRE_MAKER
    good_till: int = 0
    result: bool = False
    close_position: bool = False


@dataclass(frozen=True, slots=True)
class FuturesTrade:
    """One fill of one account's order."""

    id: int
    symbol: str
    order_id: int
    side: Side
    position_side: PositionSide
    price: Decimal
    qty: Decimal
    quote_qty: Decimal
    commission: Decimal
    commission_asset: str
    realized: Decimal
    time: int
    is_maker: bool


@dataclass(slots=True, eq=False)
class FuturesOrder:
    """An accepted order. Times are epoch milliseconds."""

    account: FuturesAccount
    symbol: str
    id: int
    client_order_id: str
    side: Side
    position_side: PositionSide
    market: bool
    time_in_force: FuturesTimeInForce
    price: Decimal
    quantity: Decimal
    time: int
    reduce_only: bool = False
    close_position: bool = False
    price_match: PriceMatch = PriceMatch.NONE
    stp_mode: StpMode = StpMode.EXPIRE_MAKER
    good_till: int = 0
    status: Status = Status.NEW
    remaining: Decimal = ZERO
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    update_time: int = 0
    expire_reason: ExpireReason = ExpireReason.NONE
    announced: bool = False
    by_system: bool = False
    modifications: int = 0
    trades: list[FuturesTrade] = field(default_factory=list)

    @property
    def type(self) -> str:
        """LIMIT or MARKET; liquidations show as LIMIT."""
        return "MARKET" if self.market and not self.by_system else "LIMIT"

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return self.status is Status.NEW or self.status is Status.PARTIALLY_FILLED

    @property
    def average_price(self) -> Decimal:
        """The average price of its fills."""
        return self.quote_executed / self.executed if self.executed else ZERO

    @property
    def only_reduces(self) -> bool:
        """Whether it can only close: by flag, or by its side in hedge mode."""
        return self.reduce_only or closes(self.side, self.position_side)


def closes(side: Side, position_side: PositionSide) -> bool:
    """Say whether an order of this side closes in hedge mode: SELL LONG, BUY SHORT."""
    return (side is Side.SELL and position_side is PositionSide.LONG) or (
        side is Side.BUY and position_side is PositionSide.SHORT
    )


@dataclass(slots=True, eq=False)
class AlgoOrder:
    """A conditional order of the Algo service; it has ids of its own."""

    account: FuturesAccount
    id: int
    client_algo_id: str
    type: AlgoType
    symbol: str
    side: Side
    position_side: PositionSide
    time_in_force: FuturesTimeInForce
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal
    time: int
    working_type: WorkingType = WorkingType.CONTRACT_PRICE
    price_match: PriceMatch = PriceMatch.NONE
    stp_mode: StpMode = StpMode.EXPIRE_MAKER
    close_position: bool = False
    price_protect: bool = False
    reduce_only: bool = False
    good_till: int = 0
    activate_price: Decimal = ZERO
    callback_rate: Decimal = ZERO
    activated: bool = False
    extreme: Decimal = ZERO
    status: AlgoStatus = AlgoStatus.NEW
    update_time: int = 0
    trigger_time: int = 0
    child: FuturesOrder | None = None
    reason: str = ""
