"""The exchange as a whole: its state, and where the engine's news go."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from services.local_exchange.accounts import Account, Accounts
from services.local_exchange.clock import ExchangeClock
from services.local_exchange.engine import Engine
from services.local_exchange.errors import ExchangeError
from services.local_exchange.faults import Faults
from services.local_exchange.filters import ExchangeFilters
from services.local_exchange.futures.exchange import FuturesExchange
from services.local_exchange.futures.operations import futures_venue
from services.local_exchange.ledger import Ledger
from services.local_exchange.market import Market
from services.local_exchange.market_streams import MarketStreams
from services.local_exchange.prices import Crowd, PricePath
from services.local_exchange.spot_operations import spot_venue
from services.local_exchange.symbols import default_symbols
from services.local_exchange.user_data import account_position, balance_update
from services.local_exchange.user_streams import UserStreams

if TYPE_CHECKING:
    from services.local_exchange.market import PublicTrade
    from services.local_exchange.orders import Order
    from services.local_exchange.settings import Settings
    from services.local_exchange.symbols import Symbol
    from services.local_exchange.user_streams import Later


class Exchange:
    """State and rules of one local exchange; synchronous, without sockets.

    Args:
        settings: how it is set up.
        later: runs a callback after so many seconds.
        clock: the exchange's clock; the machine's by default.

    """

    def __init__(self, settings: Settings, later: Later, clock: ExchangeClock | None = None) -> None:
        self.settings = settings
        self.later = later
        self.clock = clock or ExchangeClock()
        self._started_ms = self.clock.now_ms()
        self.accounts = Accounts()
        for description in settings.accounts:
            self.accounts.add(description)
        self.spot = spot_venue(settings.rate_limit_scale)
        self.faults = Faults()
        self.ledger = Ledger()
        self.user_streams = UserStreams(self.faults, later)
        self.market_streams = MarketStreams()
        self.maintenance_until = 0
        self.client_id_newest_first = True
        self.filters = ExchangeFilters()
        self.markets: dict[str, Market] = {}
        for symbol in default_symbols():
            self.markets[symbol.name] = self._open_market(symbol)
        self.engine = Engine(self.markets, self, settings.seed)
        self.futures = FuturesExchange(settings, self.clock, self.faults, later)
        self.futures_venue = futures_venue(settings.rate_limit_scale)

    def _open_market(self, symbol: Symbol) -> Market:
        settings = self.settings
        return Market(
            symbol=symbol,
            path=PricePath(settings.seed, symbol, settings.volatility),
            crowd=Crowd(settings.seed, symbol, settings.levels),
            started_ms=self._started_ms,
        )

    def market(self, symbol: str) -> Market:
        """Return the market of a symbol that is known to exist."""
        return self.markets[symbol]

    def step(self) -> None:
        """One step of every symbol's price path."""
        now = self.clock.now_ms()
        for market in self.markets.values():
            self.engine.step(market, now)
            self.market_streams.step(market, now)
        self.futures.step()

    def move_price(self, market: Market, price: Decimal) -> None:
        """Move a symbol's price at once; resting orders in the way are filled, triggers go off."""
        now = self.clock.now_ms()
        market.path.jump(price)
        self.engine.refresh(market, now)
        self.market_streams.step(market, now)

    def deposit(self, account: Account, asset: str, delta: Decimal) -> None:
        """Change a free balance from outside; the account hears of it."""
        now = self.clock.now_ms()
        account.balance(asset).free += delta
        self.account_event(account, None, balance_update(asset, delta, now))
        self.account_event(account, None, account_position(account, (asset,), now))

    def wipe(self) -> None:
        """Wipe, as the testnet does once a month: orders, trades, ids are gone, accounts and keys stay."""
        for account in self.accounts.by_name.values():
            account.open_orders.clear()
            account.open_client_ids.clear()
            account.balances.clear()
        for description in self.settings.accounts:
            account = self.accounts.by_name[str(description["name"])]
            for asset, amount in description.get("balances", {}).items():
                account.balance(asset).free = Decimal(str(amount))
        for name, market in list(self.markets.items()):
            self.markets[name] = self._open_market(market.symbol)
        self.ledger.forget()
        self.futures.wipe()

    def refuse_in_maintenance(self) -> None:
        """Refuse every call while the exchange is in maintenance (-1016, HTTP 503)."""
        if self.maintenance_until and self.clock.now_ms() < self.maintenance_until:
            raise ExchangeError(-1016, "This service is no longer available.", 503)

    def account_event(self, account: Account, order: Order | None, event: dict[str, Any]) -> None:
        """Record an event and send it to the account's subscriptions."""
        payload = orjson.dumps(event)
        self.ledger.remember_event(account.name, order, payload)
        name = event["e"]
        symbol = client_id = ""
        if order is not None:
            name, symbol, client_id = event["x"], order.symbol, order.client_order_id
            if name == "NEW":
                self.spot.limits.count_order(account.name, event["E"])
        self.user_streams.publish(account.name, symbol, client_id, name, payload)

    def public_trade(self, market: Market, trade: PublicTrade) -> None:
        """Send a trade to the market streams."""
        self.market_streams.trade(market, trade)

    def first_fill(self, account: Account, is_maker: bool) -> None:
        """Take an order that fills off the unfilled order counts."""
        self.spot.limits.first_fill(account.name, is_maker, self.clock.now_ms())
