"""A futures account: wallet, positions, open orders, modes; and what margin all that needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from services.local_exchange.futures.positions import Position, PositionSide
from services.local_exchange.orders import ZERO, Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.local_exchange.accounts import Account
    from services.local_exchange.futures.contracts import Contract
    from services.local_exchange.futures.orders import AlgoOrder, FuturesOrder

DEFAULT_LEVERAGE = 20


@dataclass(slots=True)
class SymbolConfig:
    """What an account has chosen for one contract."""

    leverage: int = DEFAULT_LEVERAGE
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class Income:
    """One line of the income history."""

    symbol: str
    kind: str
    amount: Decimal
    asset: str
    time: int
    id: int
    trade_id: str


@dataclass(slots=True, eq=False)
class FuturesAccount:
    """The futures side of an account. Amounts in the asset, rates as fractions."""

    owner: Account
    wallet: dict[str, Decimal] = field(default_factory=dict)
    hedge: bool = False
    multi_assets: bool = False
    fee_in_bnb: bool = False
    signed_tradfi: bool = False
    maker_rate: Decimal = Decimal("0.0002")
    taker_rate: Decimal = Decimal("0.0005")
    configs: dict[str, SymbolConfig] = field(default_factory=dict)
    positions: dict[tuple[str, PositionSide], Position] = field(default_factory=dict)
    open_orders: dict[tuple[str, int], FuturesOrder] = field(default_factory=dict)
    open_client_ids: dict[tuple[str, str], FuturesOrder] = field(default_factory=dict)
    open_algos: dict[int, AlgoOrder] = field(default_factory=dict)
    algos: list[AlgoOrder] = field(default_factory=list)
    income: list[Income] = field(default_factory=list)
    countdowns: dict[str, int] = field(default_factory=dict)
    warned: bool = False

    @property
    def name(self) -> str:
        """The account's name."""
        return self.owner.name

    def config(self, symbol: str) -> SymbolConfig:
        """Return what the account has chosen for a contract."""
        found = self.configs.get(symbol)
        if found is None:
            found = self.configs[symbol] = SymbolConfig()
        return found

    def position(self, symbol: str, side: PositionSide) -> Position:
        """Return a position, empty if there never was one."""
        found = self.positions.get((symbol, side))
        if found is None:
            found = self.positions[(symbol, side)] = Position(symbol, side)
        return found

    def held(self) -> list[Position]:
        """Return the positions that are not empty."""
        return [position for position in self.positions.values() if position.amount]

    def balance(self, asset: str) -> Decimal:
        """Return the wallet balance of an asset, isolated margin included."""
        return self.wallet.get(asset, ZERO)

    def add(self, asset: str, amount: Decimal) -> None:
        """Change the wallet balance of an asset."""
        self.wallet[asset] = self.wallet.get(asset, ZERO) + amount

    def cross_wallet(self, asset: str) -> Decimal:
        """Return the wallet balance less what isolated positions hold."""
        if asset != "USDT":
            return self.balance(asset)
        return self.balance(asset) - sum((p.isolated_wallet for p in self.held()), ZERO)

    def cross_unrealized(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Return the unrealised profit of cross positions."""
        return sum(
            (p.unrealized(marks[p.symbol]) for p in self.held() if not self.config(p.symbol).isolated), ZERO
        )

    def position_margin(self, position: Position, mark: Decimal) -> Decimal:
        """Return the initial margin of a position."""
        return position.notional(mark) / self.config(position.symbol).leverage

    def order_margin(self, symbol: str, mark: Decimal, extra: Orders | None = None) -> Decimal:
        """Return the initial margin that open orders of a contract need beyond its positions.

        Buys and sells offset each other: the larger of the two possible positions counts.

        Args:
            symbol: the contract.
            mark: its mark price.
            extra: an order that is not open yet.

        """
        total = ZERO
        leverage = self.config(symbol).leverage
        for side in PositionSide:
            buys, sells = self._order_notionals(symbol, side)
            if extra is not None and extra.position_side is side:
                buys, sells = buys + extra.buys, sells + extra.sells
            if not buys and not sells:
                continue
            position = self.positions.get((symbol, side))
            held = ZERO if position is None else position.amount * mark
            largest = max(abs(held + buys), abs(held - sells))
            total += max(ZERO, largest - abs(held)) / leverage
        return total

    def _order_notionals(self, symbol: str, side: PositionSide) -> tuple[Decimal, Decimal]:
        buys = sells = ZERO
        for order in self.open_orders.values():
            if order.symbol == symbol and order.position_side is side and not order.only_reduces:
                if order.side is Side.BUY:
                    buys += order.price * order.remaining
                else:
                    sells += order.price * order.remaining
        return buys, sells

    def initial_margin(self, marks: Mapping[str, Decimal], orders: bool) -> Decimal:
        """Return the initial margin of cross positions, and of open orders if asked for."""
        total = sum(
            (
                self.position_margin(p, marks[p.symbol])
                for p in self.held()
                if not self.config(p.symbol).isolated
            ),
            ZERO,
        )
        if orders:
            symbols = {order.symbol for order in self.open_orders.values()}
            total += sum((self.order_margin(symbol, marks[symbol]) for symbol in symbols), ZERO)
        return total

    def available(self, marks: Mapping[str, Decimal]) -> Decimal:
        """Return what may be used for new orders, in USDT."""
        cross = self.cross_wallet("USDT") + self.cross_unrealized(marks)
        return cross - self.initial_margin(marks, orders=True)

    def maintenance_margin(self, marks: Mapping[str, Decimal], contracts: Mapping[str, Contract]) -> Decimal:
        """Return the maintenance margin of all cross positions."""
        return sum(
            (
                contracts[p.symbol].maintenance_margin(p.notional(marks[p.symbol]))
                for p in self.held()
                if not self.config(p.symbol).isolated
            ),
            ZERO,
        )

    def open_notionals(self, symbol: str) -> tuple[Decimal, Decimal]:
        """Return the notional of open buys and sells of a contract (`b` and `a` of events)."""
        buys = sells = ZERO
        for order in self.open_orders.values():
            if order.symbol == symbol:
                if order.side is Side.BUY:
                    buys += order.price * order.remaining
                else:
                    sells += order.price * order.remaining
        return buys, sells


@dataclass(frozen=True, slots=True)
class Orders:
    """Notional of orders that are not open yet."""

    position_side: PositionSide
    buys: Decimal = ZERO
    sells: Decimal = ZERO
