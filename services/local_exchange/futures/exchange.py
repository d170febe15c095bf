"""The futures market as a whole: its state, and where the engine's news go."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from services.local_exchange.futures import events
from services.local_exchange.futures.algo_orders import AlgoService
from services.local_exchange.futures.contracts import default_contracts
from services.local_exchange.futures.engine import FuturesEngine
from services.local_exchange.futures.listen_keys import ListenKeys
from services.local_exchange.futures.market import FuturesMarket
from services.local_exchange.futures.market_streams import FuturesMarketStreams
from services.local_exchange.futures.orders import AlgoOrder, FuturesOrder
from services.local_exchange.futures.risk import Risk
from services.local_exchange.futures.wallet import FuturesAccount
from services.local_exchange.ledger import Ledger
from services.local_exchange.orders import ZERO, Quote, Side
from services.local_exchange.prices import Crowd, PricePath
from services.local_exchange.user_streams import UserStreams

if TYPE_CHECKING:
    from services.local_exchange.accounts import Account
    from services.local_exchange.clock import ExchangeClock
    from services.local_exchange.faults import Faults
    from services.local_exchange.futures.contracts import Contract
    from services.local_exchange.futures.positions import PositionSide
    from services.local_exchange.market import PublicTrade
    from services.local_exchange.settings import Settings
    from services.local_exchange.user_streams import Later

EIGHT_HOURS_MS = 8 * 3_600_000


class FuturesExchange:
    """State and rules of the futures market; synchronous, without sockets.

    Args:
        settings: how the exchange is set up.
        clock: the exchange's clock.
        faults: rules on requests and events.
        later: runs a callback after so many seconds.

    """

    def __init__(self, settings: Settings, clock: ExchangeClock, faults: Faults, later: Later) -> None:
        self.settings = settings
        self.clock = clock
        self._started_ms = clock.now_ms()
        self.accounts: dict[str, FuturesAccount] = {}
        self._ended: list[FuturesOrder] = []
        self.ledger = Ledger()
        self.user_streams = UserStreams(faults, later)
        self.market_streams = FuturesMarketStreams()
        self.markets = {contract.name: self._open(contract) for contract in default_contracts()}
        self.engine = FuturesEngine(self.markets, self, settings.seed)
        self.algos = AlgoService(self.engine, self._started_ms)
        self.risk = Risk(self.engine, self.accounts)
        self.listen_keys = ListenKeys(self.engine, self.account_event)

    def _open(self, contract: Contract) -> FuturesMarket:
        settings = self.settings
        market = FuturesMarket(
            contract=contract,
            path=PricePath(settings.seed, contract, settings.volatility),
            crowd=Crowd(settings.seed, contract, settings.levels),
            started_ms=self._started_ms,
        )
        market.next_funding = (self.clock.now_ms() // EIGHT_HOURS_MS + 1) * EIGHT_HOURS_MS
        market.funding_rate = Decimal("0.0001")
        return market

    def account(self, owner: Account) -> FuturesAccount:
        """Return the futures side of an account, opened with what its description gives it."""
        found = self.accounts.get(owner.name)
        if found is None:
            found = self.accounts[owner.name] = FuturesAccount(owner, dict(owner.futures_balances))
        return found

    def step(self) -> None:
        """Take one step of every contract's price path."""
        now = self.clock.now_ms()
        for market in self.markets.values():
            market.path.step()
            self._after_move(market, now)
            if now >= market.next_funding:
                self.fund(market, market.funding_rate)
                market.next_funding += EIGHT_HOURS_MS
        self.listen_keys.expire(now)
        self._count_down(now)

    def move_price(self, market: FuturesMarket, price: Decimal) -> None:
        """Move a contract's price at once; orders fill, algos trigger, thin margins are liquidated."""
        market.path.jump(price)
        self._after_move(market, self.clock.now_ms())

    def _after_move(self, market: FuturesMarket, now: int) -> None:
        self.engine.refresh(market, now)
        self.risk.check(now)
        self.settle_down(market, now)
        self.market_streams.step(market, now)

    def settle_down(self, market: FuturesMarket, now: int) -> None:
        """Finish algo orders whose child ended, run the triggers that the last trades set off."""
        self._finish_algos(now)
        while self.algos.check(market, now):
            self._finish_algos(now)
        for account in tuple(self.accounts.values()):
            if account.open_algos:
                self.algos.position_closed(account, now)

    def _finish_algos(self, now: int) -> None:
        while self._ended:
            self.algos.order_ended(self._ended.pop(0), now)

    def fund(self, market: FuturesMarket, rate: Decimal) -> None:
        """Exchange funding at a rate."""
        self.risk.funding(market, rate, self.clock.now_ms())

    def auto_deleverage(
        self,
        account: FuturesAccount,
        market: FuturesMarket,
        side: PositionSide,
        quantity: Decimal | None,
        price: Decimal | None,
    ) -> None:
        """Deleverage a position against the insurance, as a test may wish.

        Raises:
            ValueError: there is no such position.

        """
        position = account.positions.get((market.contract.name, side))
        if position is None or not position.amount:
            raise ValueError("There is no position to deleverage.")
        wanted = abs(position.amount) if quantity is None else quantity
        other = Side.BUY if position.amount > 0 else Side.SELL
        at = market.mark if price is None else price
        now = self.clock.now_ms()
        self.risk.deleverage(market, account, position, Quote(-1, other, at, wanted), at, now)
        self.engine.finish(market, now)
        self.settle_down(market, now)

    def settle(self, market: FuturesMarket) -> None:
        """Delist a contract: nothing new is accepted, what is open is closed at the mark price."""
        now = self.clock.now_ms()
        market.contract.status = "SETTLING"
        self.risk.settle(market, now)
        self.settle_down(market, now)

    def transfer(self, account: FuturesAccount, asset: str, delta: Decimal) -> None:
        """Move money into or out of the futures wallet; the account hears of it."""
        now = self.clock.now_ms()
        account.add(asset, delta)
        self.engine.matching.note_income(account, "", "TRANSFER", delta, asset, now)
        reason = "DEPOSIT" if delta > ZERO else "WITHDRAW"
        update = events.account_update(account, reason, [asset], [], now, delta)
        self.account_event(account, None, update)

    def _count_down(self, now: int) -> None:
        """Cancel what a dead-man switch (`countdownCancelAll`) has run out for."""
        for account in self.accounts.values():
            for symbol, due in list(account.countdowns.items()):
                if now >= due:
                    del account.countdowns[symbol]
                    for order in [o for o in account.open_orders.values() if o.symbol == symbol]:
                        self.engine.cancel(order, now)

    def wipe(self) -> None:
        """Forget orders, positions, trades and listen keys, as when demo funds are reset."""
        self.accounts.clear()
        for name, market in list(self.markets.items()):
            self.markets[name] = self._open(market.contract)
        self.algos = AlgoService(self.engine, self._started_ms)
        self.listen_keys = ListenKeys(self.engine, self.account_event)
        self.ledger.forget()

    def account_event(
        self, account: FuturesAccount, about: FuturesOrder | AlgoOrder | None, event: dict[str, Any]
    ) -> None:
        """Record an event and send it to whoever listens to the account."""
        payload = orjson.dumps(event)
        self.ledger.remember_event(account.name, about, payload)
        name = event["e"]
        symbol = client_id = ""
        if isinstance(about, FuturesOrder):
            symbol, client_id = about.symbol, about.client_order_id
        elif about is not None:
            symbol, client_id = about.symbol, about.client_algo_id
        if name == "ORDER_TRADE_UPDATE":
            name = f"ORDER_TRADE_UPDATE.{event['o']['x']}"
        self.user_streams.publish(account.name, symbol, client_id, name, payload)

    def public_trade(self, market: FuturesMarket, trade: PublicTrade) -> None:
        """Send a trade to the market streams."""
        self.market_streams.trade(market, trade)

    def order_ended(self, order: FuturesOrder) -> None:
        """Remember an order that ended; its algo order, if any, is finished after the order's own events."""
        self._ended.append(order)

    def bnb_price(self) -> Decimal:
        """Return the price of BNB."""
        return self.markets["BNBUSDT"].last_price
