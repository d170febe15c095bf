"""What the engine keeps per symbol: book, orders, trades, ids, the price path."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.local_exchange.candles import Candles
from services.local_exchange.first_ids import first_order_id, first_trade_id
from services.local_exchange.order_book import OrderBook
from services.local_exchange.orders import ZERO, Order, Quote, Resting, Side, Trade

if TYPE_CHECKING:
    from decimal import Decimal

    from services.local_exchange.accounts import Account
    from services.local_exchange.prices import Crowd, PricePath
    from services.local_exchange.symbols import Symbol


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade as everybody sees it. `time` in epoch milliseconds."""

    id: int
    price: Decimal
    qty: Decimal
    time: int
    buyer_is_maker: bool


@dataclass(slots=True)
class Statistics:
    """Prices and volume of a span of trades."""

    open: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal = ZERO
    quote_volume: Decimal = ZERO
    count: int = 0
    first_id: int = -1

    def add(self, trade: PublicTrade) -> None:
        """Count one more trade."""
        self.high = max(self.high, trade.price)
        self.low = min(self.low, trade.price)
        self.volume += trade.qty
        self.quote_volume += trade.qty * trade.price
        self.count += 1
        if self.first_id < 0:
            self.first_id = trade.id


@dataclass(slots=True)
class Market:
    """One symbol's state. Order and trade ids are unique per symbol, as on the exchange."""

    symbol: Symbol
    path: PricePath
    crowd: Crowd
    started_ms: int
    book: OrderBook[Resting] = field(default_factory=OrderBook)
    orders: dict[int, Order] = field(default_factory=dict)
    by_account: dict[str, list[Order]] = field(default_factory=dict)
    by_client_id: dict[tuple[str, str], list[Order]] = field(default_factory=dict)
    trades: dict[str, list[Trade]] = field(default_factory=dict)
    waiting: dict[int, Order] = field(default_factory=dict)
    public_trades: deque[PublicTrade] = field(default_factory=lambda: deque(maxlen=1000))
    last_price: Decimal = ZERO
    next_order_id: int = field(init=False)
    next_trade_id: int = field(init=False)
    execution_id: int = 0
    update_id: int = 0
    next_prevented_id: int = 0
    candles: Candles = field(default_factory=Candles)
    day: Statistics = field(init=False)

    def __post_init__(self) -> None:
        self.next_order_id, self.next_trade_id = (
            first_order_id(self.started_ms),
            first_trade_id(self.started_ms),
        )
        self.last_price = self.path.price
        self.day = Statistics(self.last_price, self.last_price, self.last_price)
        self.quote_again()

    def remember(self, order: Order) -> None:
        """Keep a newly accepted order findable."""
        self.orders[order.id] = order
        self.by_account.setdefault(order.account.name, []).append(order)
        self.by_client_id.setdefault((order.account.name, order.client_order_id), []).append(order)

    def remember_trade(self, account: Account, trade: Trade) -> None:
        """Keep one account's side of a trade."""
        self.trades.setdefault(account.name, []).append(trade)

    def withdraw_crowd(self) -> None:
        """Take everything of the crowd off the book."""
        self.book.bids.withdraw_crowd()
        self.book.asks.withdraw_crowd()

    def quote_again(self) -> None:
        """Let the crowd rest around the path's price; only safe where nothing of an account would cross."""
        for quote in self.crowd.quotes(self.path.price):
            self.book.own(quote.side).add(quote)
        self.update_id += 1

    def convert_quote_quantity(self, side: Side, quote_qty: Decimal, account: Account) -> Decimal:
        """Convert a `quoteOrderQty` to base: what the book gives for it, rounded down to the step.

        Where the book is too thin the rest is converted at the last price met. Own resting orders are passed
        over, since self-trade prevention would expire them.

        Returns:
            The base quantity, zero when the book is empty.

        """
        left, base, price = quote_qty, ZERO, ZERO
        for maker in self.book.opposite(side).in_order():
            if isinstance(maker, Order) and maker.account is account:
                continue
            price = maker.price
            worth = maker.remaining * price
            if worth >= left:
                base += left / price
                left = ZERO
                break
            base += maker.remaining
            left -= worth
        if left and price:
            base += left / price
        return base // self.symbol.step * self.symbol.step

    def cost_to_fill(self, side: Side, quantity: Decimal, account: Account) -> Decimal:
        """Quote that a market order of this quantity would exchange, as far as the book goes."""
        left, cost = quantity, ZERO
        for maker in self.book.opposite(side).in_order():
            if isinstance(maker, Order) and maker.account is account:
                continue
            taken = min(left, maker.remaining)
            cost += taken * maker.price
            left -= taken
            if not left:
                break
        return cost

    def fillable(self, side: Side, price: Decimal, account: Account) -> Decimal:
        """Quantity available at `price` or better, without the account's own."""
        total = ZERO
        for maker in self.book.opposite(side).in_order():
            if (maker.price > price) if side is Side.BUY else (maker.price < price):
                break
            if isinstance(maker, Quote) or maker.account is not account:
                total += maker.remaining
        return total
