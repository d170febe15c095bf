"""An exchange in a few lines, on a virtual clock: what the protocol assumes of the real one, no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.domain.absence import QuestionKind, Result, Waits
from shared.domain.attempt import SigningWindow, client_order_id
from shared.domain.order import Market
from shared.domain.settlement import OrderReport
from shared.domain.states import ExchangeStatus

if TYPE_CHECKING:
    from uuid import UUID

WAITS = Waits()
RECV_WINDOW_MS = 5_000


@dataclass
class Order:
    """One order in the engine."""

    order_id: UUID
    number: int
    exchange_id: int
    visible_from_ms: int
    status: ExchangeStatus = ExchangeStatus.NEW
    executed: Decimal = Decimal(0)


@dataclass(frozen=True)
class Post:
    """A request whose bytes have left."""

    order_id: UUID
    number: int
    signed_at_ms: int

    @property
    def enters_until_ms(self) -> int:
        """The last moment at which the engine may still take it."""
        return SigningWindow(self.signed_at_ms, RECV_WINDOW_MS).deadline_ms + WAITS.engine_delay_ms


@dataclass
class Exchange:
    """Orders, requests still on their way, and the clock."""

    account_id: UUID
    now_ms: int = 1_700_000_000_000
    orders: dict[tuple[UUID, int], Order] = field(default_factory=dict)
    on_the_way: list[Post] = field(default_factory=list)

    def takes(self, post: Post) -> bool:
        """Say whether the timestamp is still good on arrival."""
        return self.now_ms <= SigningWindow(post.signed_at_ms, RECV_WINDOW_MS).deadline_ms

    def enter(self, post: Post, lag_ms: int) -> Order:
        """Let a request into the engine; it does not look whether the row has an order already."""
        order = Order(post.order_id, post.number, 1000 + len(self.orders), self.now_ms + lag_ms)
        self.orders[post.order_id, post.number] = order
        return order

    def let_time_pass(self, ms: int) -> None:
        """Move the clock; what is too late for the engine is lost."""
        self.now_ms += ms
        self.on_the_way = [post for post in self.on_the_way if post.enters_until_ms >= self.now_ms]

    def answer(self, order_id: UUID, number: int, kind: QuestionKind) -> tuple[Result, Order | None]:
        """Answer a question out of the store that lags behind the engine."""
        order = self.orders.get((order_id, number))
        if order is None or self.now_ms < order.visible_from_ms:
            return Result.EMPTY, None
        if kind is QuestionKind.TRADES:
            return (Result.FAILED if order.executed else Result.EMPTY), None
        if kind is QuestionKind.OPEN_ORDERS and order.status.is_terminal:
            return Result.EMPTY, None
        return Result.FOUND, order

    def report(self, order: Order, symbol: str, source: str) -> OrderReport:
        """Say how an order stands."""
        return OrderReport(
            order_id=order.order_id,
            number=order.number,
            account_id=self.account_id,
            market=Market.SPOT,
            symbol=symbol,
            client_order_id=client_order_id(order.order_id, order.number),
            exchange_order_id=str(order.exchange_id),
            status=order.status,
            executed=order.executed,
            executed_quote=order.executed * 100,
            occurred_at=datetime.fromtimestamp(self.now_ms / 1000, UTC),
            source=source,
        )
