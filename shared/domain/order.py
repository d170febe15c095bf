"""DESIGN 4: the words of an order, and a pending row of `public.orders` as the bot wrote it.

The enumerations carry the labels of the bot's own Postgres types (`market_type`, `order_side`, `order_type`,
`order_status`), so a value read from a column is a member and a member written to a column is the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from uuid import UUID


class Market(StrEnum):
    """The exchange's product a row is meant for (`orders.market_type`)."""

    SPOT = "spot"
    FUTURES = "futures"


class Side(StrEnum):
    """Which way a row trades (`orders.side`)."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> Side:
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How a row wants to be executed (`orders.type`)."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"

    @property
    def has_limit_price(self) -> bool:
        """Whether `orders.price` is the price the order may trade at."""
        return self in (OrderType.LIMIT, OrderType.STOP_LIMIT)

    @property
    def has_trigger(self) -> bool:
        """Whether the order rests until `orders.stop_price` is reached."""
        return self in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)


class OrderStatus(StrEnum):
    """Where a row stands (`orders.status`; US spelling "canceled", as the bot's type has it)."""

    PENDING = "pending"
    OPEN = "open"
    FILLED = "filled"
    PARTIAL = "partial"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more is expected to happen to the order at the exchange."""
        return self in (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


@dataclass(frozen=True, slots=True)
class PendingOrder:
    """One pending row of `public.orders`, exactly as the bot inserted it: nothing in it has been checked.

    Args:
        id: the row's primary key; the client order id is derived from it (PROTOCOL 3).
        user_id: owner of the row.
        strategy_id: strategy the row belongs to, if any.
        account_id: `orders.exchange_account_id`; the order is sent on this account or not at all (DESIGN 5).
        symbol: as written by the bot, any spelling, any text.
        market: spot or futures.
        side: buy or sell.
        type: market, limit, stop_market, stop_limit.
        amount: in quote or base currency, as the unit policy says (DESIGN 5); may be zero or negative.
        price: limit price in quote; 0 = absent (the bot writes zero values, not NULL).
        stop_price: trigger price in quote; 0 = absent.
        reduce_only: the row may only make a position smaller.
        agent_id: which part of the bot decided; '' = unknown.
        reasoning: the bot's explanation; a rejection is prefixed to it.
        parent_order_id: row that must be terminal before this one is sent (PROTOCOL 11).
        created_at: by the clock of the bot's host, so never used for ages (those use the database's clock).

    """

    id: UUID
    user_id: UUID
    strategy_id: UUID | None
    account_id: UUID
    symbol: str
    market: Market
    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal
    stop_price: Decimal
    reduce_only: bool
    agent_id: str
    reasoning: str
    parent_order_id: UUID | None
    created_at: datetime
