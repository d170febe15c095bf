"""A price-time order book for one symbol."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from services.local_exchange.orders import ZERO, Quote, Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal


class Resting(Protocol):
    """What can rest in a book."""

    id: int
    price: Decimal
    remaining: Decimal


Entry = TypeVar("Entry", bound=Resting)


class BookSide(Generic[Entry]):
    """One side of the book: price levels in order, within a level first come first served."""

    __slots__ = ("_best_is_last", "_levels", "_prices")

    def __init__(self, side: Side) -> None:
        self._best_is_last = side is Side.BUY
        self._prices: list[Decimal] = []
        self._levels: dict[Decimal, dict[int, Entry]] = {}

    def add(self, order: Entry) -> None:
        """Let an order rest at its price, behind those already there."""
        level = self._levels.get(order.price)
        if level is None:
            insort(self._prices, order.price)
            level = self._levels[order.price] = {}
        level[order.id] = order

    def remove(self, order: Entry) -> None:
        """Take a resting order out; does nothing if it does not rest here."""
        level = self._levels.get(order.price)
        if level is None or level.pop(order.id, None) is None:
            return
        if not level:
            del self._levels[order.price]
            del self._prices[bisect_left(self._prices, order.price)]

    def best_price(self) -> Decimal | None:
        """Return the price that trades first."""
        if not self._prices:
            return None
        return self._prices[-1] if self._best_is_last else self._prices[0]

    def best(self) -> Entry | None:
        """Return the order that trades first."""
        price = self.best_price()
        return None if price is None else next(iter(self._levels[price].values()))

    def in_order(self) -> Iterator[Entry]:
        """All orders, in the sequence in which they would trade."""
        prices = reversed(self._prices) if self._best_is_last else iter(self._prices)
        for price in prices:
            yield from self._levels[price].values()

    def depth(self, limit: int) -> list[tuple[Decimal, Decimal]]:
        """Return the best `limit` levels as (price, total quantity)."""
        prices = self._prices[-limit:][::-1] if self._best_is_last else self._prices[:limit]
        return [(p, sum((o.remaining for o in self._levels[p].values()), ZERO)) for p in prices]

    def withdraw_crowd(self) -> None:
        """Take everything of the crowd out."""
        for order in [order for order in self.in_order() if isinstance(order, Quote)]:
            self.remove(order)


class OrderBook(Generic[Entry]):
    """Both sides of one symbol."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids: BookSide[Entry] = BookSide(Side.BUY)
        self.asks: BookSide[Entry] = BookSide(Side.SELL)

    def own(self, side: Side) -> BookSide[Entry]:
        """Where an order of this side rests."""
        return self.bids if side is Side.BUY else self.asks

    def opposite(self, side: Side) -> BookSide[Entry]:
        """Return what an order of this side trades against."""
        return self.asks if side is Side.BUY else self.bids

    def is_crossed(self) -> bool:
        """Whether a bid stands at or above an ask; never true between two operations."""
        bid, ask = self.bids.best_price(), self.asks.best_price()
        return bid is not None and ask is not None and bid >= ask
