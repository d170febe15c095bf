"""The Algo service: conditional orders that become ordinary ones when their price comes.

The child's client order id is the algo's client id; its ORDER_TRADE_UPDATE events come before ALGO_UPDATE
TRIGGERED; the algo has ids of its own and is no part of open or all orders (USDⓈ-M change log 2025-11-06).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.local_exchange.errors import ExchangeError
from services.local_exchange.first_ids import first_order_id
from services.local_exchange.futures import events
from services.local_exchange.futures.orders import (
    AlgoOrder,
    AlgoStatus,
    AlgoType,
    FuturesOrder,
    FuturesRequest,
    FuturesTimeInForce,
    WorkingType,
)
from services.local_exchange.orders import ZERO, Side

if TYPE_CHECKING:
    from decimal import Decimal

    from services.local_exchange.futures.engine import FuturesEngine
    from services.local_exchange.futures.market import FuturesMarket
    from services.local_exchange.futures.wallet import FuturesAccount

FIRST_ALGO_ID = 4_000_000_000_000_000
MOST_OPEN = 200
STOPS = frozenset({AlgoType.STOP, AlgoType.STOP_MARKET})
AT_MARKET = frozenset({AlgoType.STOP_MARKET, AlgoType.TAKE_PROFIT_MARKET, AlgoType.TRAILING_STOP_MARKET})


class AlgoService:
    """Keeps conditional orders until their price comes.

    Args:
        engine: places the children.
        started_ms: where ids begin.

    """

    def __init__(self, engine: FuturesEngine, started_ms: int) -> None:
        self.engine = engine
        self.waiting: dict[int, AlgoOrder] = {}
        self.with_child: dict[FuturesOrder, AlgoOrder] = {}
        self.next_id = FIRST_ALGO_ID + first_order_id(started_ms)

    def place(self, algo: AlgoOrder, now: int) -> AlgoOrder:
        """Accept a conditional order.

        Raises:
            ExchangeError: -4045 above 200 open ones, -4116 for a client id in use, -2021 if it would trigger.

        """
        account = algo.account
        if len(account.open_algos) >= MOST_OPEN:
            raise ExchangeError(-4045, "Reach max stop order limit.")
        if any(known.client_algo_id == algo.client_algo_id for known in account.open_algos.values()):
            raise ExchangeError(-4116, "ClientOrderId is duplicated.")
        market = self.engine.markets[algo.symbol]
        if algo.type is not AlgoType.TRAILING_STOP_MARKET and _reached(algo, _price(algo, market)):
            raise ExchangeError(-2021, "Order would immediately trigger.")
        algo.id = self.next_id
        self.next_id += 1
        account.open_algos[algo.id] = algo
        account.algos.append(algo)
        self.waiting[algo.id] = algo
        self._tell(algo, now)
        self._activate(algo, _price(algo, market), now)
        return algo

    def cancel(self, algo: AlgoOrder, now: int) -> None:
        """Cancel a conditional order that has not triggered.

        Raises:
            ExchangeError: -2011 when it is not waiting any more.

        """
        if algo.status is not AlgoStatus.NEW:
            raise ExchangeError(-2011, "Unknown order sent.")
        self._end(algo, AlgoStatus.CANCELED, now)

    def check(self, market: FuturesMarket, now: int) -> bool:
        """Trigger one conditional order whose price has come; whether there was one."""
        for algo in self.waiting.values():
            if algo.symbol != market.contract.name:
                continue
            price = _price(algo, market)
            self._activate(algo, price, now)
            if self._is_due(algo, price) and _is_protected(algo, market):
                self._trigger(algo, now)
                return True
        return False

    def position_closed(self, account: FuturesAccount, now: int) -> None:
        """Expire conditional orders that close a position which is gone."""
        for algo in [a for a in account.open_algos.values() if a.close_position]:
            position = account.positions.get((algo.symbol, algo.position_side))
            if (
                algo.status is AlgoStatus.NEW
                and position is not None
                and not position.amount
                and position.update_time > algo.time
            ):
                self._end(algo, AlgoStatus.EXPIRED, now)

    def order_ended(self, order: FuturesOrder, now: int) -> None:
        """Finish the conditional order whose child has ended."""
        algo = self.with_child.pop(order, None)
        if algo is not None:
            self._end(algo, AlgoStatus.FINISHED, now)

    def _trigger(self, algo: AlgoOrder, now: int) -> None:
        del self.waiting[algo.id]
        algo.status = AlgoStatus.TRIGGERING
        algo.trigger_time = algo.update_time = now
        self._tell(algo, now)
        quantity = algo.quantity
        if algo.close_position:
            position = algo.account.positions.get((algo.symbol, algo.position_side))
            quantity = ZERO if position is None else abs(position.amount)
        if not quantity:
            self._end(algo, AlgoStatus.EXPIRED, now)
            return
        try:
            child = self.engine.place(algo.account, _child_of(algo, quantity), now)
        except ExchangeError as refusal:
            algo.reason = refusal.msg
            self._end(algo, AlgoStatus.REJECTED, now)
            return
        algo.child = child
        algo.status = AlgoStatus.TRIGGERED
        algo.update_time = now
        self._tell(algo, now)
        if child.is_open:
            self.with_child[child] = algo
        else:
            self._end(algo, AlgoStatus.FINISHED, now)

    def _activate(self, algo: AlgoOrder, price: Decimal, now: int) -> None:
        """Let a trailing order follow the price, from its activation price on."""
        if algo.type is not AlgoType.TRAILING_STOP_MARKET:
            return
        selling = algo.side is Side.SELL
        if not algo.activated:
            start = algo.activate_price
            if start and (price < start if selling else price > start):
                return
            algo.activated = True
            algo.extreme = price
            self._tell(algo, now)
        algo.extreme = max(algo.extreme, price) if selling else min(algo.extreme, price)

    def _is_due(self, algo: AlgoOrder, price: Decimal) -> bool:
        if algo.type is not AlgoType.TRAILING_STOP_MARKET:
            return _reached(algo, price)
        if not algo.activated:
            return False
        share = algo.callback_rate / 100
        if algo.side is Side.SELL:
            return price <= algo.extreme * (1 - share)
        return price >= algo.extreme * (1 + share)

    def _end(self, algo: AlgoOrder, status: AlgoStatus, now: int) -> None:
        algo.status = status
        algo.update_time = now
        self.waiting.pop(algo.id, None)
        algo.account.open_algos.pop(algo.id, None)
        self._tell(algo, now)

    def _tell(self, algo: AlgoOrder, now: int) -> None:
        self.engine.sink.account_event(algo.account, algo, events.algo_update(algo, now))


def _price(algo: AlgoOrder, market: FuturesMarket) -> Decimal:
    return market.mark if algo.working_type is WorkingType.MARK_PRICE else market.last_price


def _reached(algo: AlgoOrder, price: Decimal) -> bool:
    rising = (algo.type in STOPS) is (algo.side is Side.BUY)
    return price >= algo.trigger_price if rising else price <= algo.trigger_price


def _is_protected(algo: AlgoOrder, market: FuturesMarket) -> bool:
    """Say whether `priceProtect` lets it trigger: mark and last price must be near each other."""
    if not algo.price_protect:
        return True
    return abs(market.mark - market.last_price) / market.mark <= market.contract.trigger_protect


def _child_of(algo: AlgoOrder, quantity: Decimal) -> FuturesRequest:
    at_market = algo.type in AT_MARKET
    return FuturesRequest(
        symbol=algo.symbol,
        side=algo.side,
        position_side=algo.position_side,
        market=at_market,
        quantity=quantity,
        price=ZERO if at_market else algo.price,
        time_in_force=FuturesTimeInForce.GTC if at_market else algo.time_in_force,
        reduce_only=algo.reduce_only or (algo.close_position and algo.position_side == "BOTH"),
        client_order_id=algo.client_algo_id,
        price_match=algo.price_match,
        stp_mode=algo.stp_mode,
        good_till=algo.good_till,
        close_position=algo.close_position,
    )
