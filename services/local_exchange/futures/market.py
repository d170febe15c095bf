"""What the futures engine keeps per contract: book, orders, trades, prices."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.local_exchange.candles import Candles
from services.local_exchange.first_ids import first_order_id, first_trade_id
from services.local_exchange.futures.orders import FuturesOrder, FuturesTrade, PriceMatch
from services.local_exchange.market import PublicTrade, Statistics
from services.local_exchange.order_book import OrderBook
from services.local_exchange.orders import ZERO, Quote, Side

if TYPE_CHECKING:
    from decimal import Decimal

    from services.local_exchange.futures.contracts import Contract
    from services.local_exchange.futures.wallet import FuturesAccount
    from services.local_exchange.prices import Crowd, PricePath

LEVEL_OF = {
    PriceMatch.OPPONENT: (True, 1),
    PriceMatch.OPPONENT_5: (True, 5),
    PriceMatch.QUEUE: (False, 1),
    PriceMatch.QUEUE_5: (False, 5),
    PriceMatch.QUEUE_10: (False, 10),
    PriceMatch.QUEUE_20: (False, 20),
}

FuturesResting = FuturesOrder | Quote


@dataclass(slots=True)
class FuturesMarket:
    """One contract's state. Order and trade ids are unique per contract."""

    contract: Contract
    path: PricePath
    crowd: Crowd
    started_ms: int
    book: OrderBook[FuturesResting] = field(default_factory=OrderBook)
    orders: dict[int, FuturesOrder] = field(default_factory=dict)
    by_account: dict[str, list[FuturesOrder]] = field(default_factory=dict)
    by_client_id: dict[tuple[str, str], list[FuturesOrder]] = field(default_factory=dict)
    trades: dict[str, list[FuturesTrade]] = field(default_factory=dict)
    public_trades: deque[PublicTrade] = field(default_factory=lambda: deque(maxlen=1000))
    candles: Candles = field(default_factory=Candles)
    day: Statistics = field(init=False)
    last_price: Decimal = ZERO
    mark_offset: Decimal = ZERO
    funding_rate: Decimal = ZERO
    next_funding: int = 0
    next_order_id: int = field(init=False)
    next_trade_id: int = field(init=False)
    update_id: int = 0
    crowd_amount: Decimal = ZERO
    crowd_cash: Decimal = ZERO

    def __post_init__(self) -> None:
        self.next_order_id, self.next_trade_id = (
            first_order_id(self.started_ms),
            first_trade_id(self.started_ms),
        )
        self.last_price = self.path.price
        self.day = Statistics(self.last_price, self.last_price, self.last_price)
        for quote in self.crowd.quotes(self.path.price):
            self.book.own(quote.side).add(quote)

    @property
    def mark(self) -> Decimal:
        """The mark price: the path's price, moved by an offset that a test may set."""
        return self.path.price + self.mark_offset

    def remember(self, order: FuturesOrder) -> None:
        """Keep a newly accepted order findable."""
        self.orders[order.id] = order
        name = order.account.name
        self.by_account.setdefault(name, []).append(order)
        self.by_client_id.setdefault((name, order.client_order_id), []).append(order)

    def withdraw_crowd(self) -> None:
        """Take everything of the crowd off the book."""
        self.book.bids.withdraw_crowd()
        self.book.asks.withdraw_crowd()

    def matched_price(self, side: Side, match: PriceMatch) -> Decimal | None:
        """Return the price that `priceMatch` stands for, None where the book is not that deep."""
        opponent, level = LEVEL_OF[match]
        levels = (self.book.opposite(side) if opponent else self.book.own(side)).depth(level)
        return levels[level - 1][0] if len(levels) >= level else None

    def fillable(self, side: Side, price: Decimal, account: FuturesAccount) -> Decimal:
        """Return the quantity available at `price` or better, without the account's own."""
        total = ZERO
        for maker in self.book.opposite(side).in_order():
            if (maker.price > price) if side is Side.BUY else (maker.price < price):
                break
            if isinstance(maker, Quote) or maker.account is not account:
                total += maker.remaining
        return total

    def cost_to_fill(self, side: Side, quantity: Decimal) -> Decimal:
        """Return the quote value of a market order, as far as the book goes."""
        left, cost = quantity, ZERO
        for maker in self.book.opposite(side).in_order():
            taken = min(left, maker.remaining)
            cost += taken * maker.price
            left -= taken
            if not left:
                break
        return cost + left * self.mark
