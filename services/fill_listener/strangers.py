"""DESIGN 6: strangers. On futures every execution of an account moves its position, whoever sent the order.

Manual trades, liquidations and deleveraging come on the stream like ours. Those that came while nobody
listened are found in the trade list of the symbols we keep positions of; the order of each tells whose it is,
for it may be ours after all (what a conditional order became).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from services.fill_listener.foreign import count_in, listed
from services.fill_listener.visits import Visits
from shared.binance.rest import Answer
from shared.database import futures
from shared.database.unknowns import known_exchange_orders
from shared.domain.attempt import parse_client_order_id
from shared.domain.fill import (
    FillOrigin,
    UnreadablePayloadError,
    object_of,
    objects_of,
    whole_of,
)
from shared.domain.futures_fills import fill_from_trade
from shared.domain.order import Market
from shared.domain.reports import report_of_query, with_trades

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.apply import Item
    from services.fill_listener.foreign import Foreign
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.futures import FuturesRest
    from shared.database.connect import Connection, Pool
    from shared.database.futures import TradeStart
    from shared.domain.fill import Fill

log = structlog.get_logger(__name__)

EVERY_S = 300.0
FULL_PAGE = 1000
ORDER_WEIGHT = 1
TRADES_WEIGHT = 5


class Strangers:
    """Looks through the trade lists of one environment's accounts.

    Args:
        environment: where they trade.
        rest: its client.
        accounts: those followed here.
        pool: work connections.
        pace: our share of the request weight.
        foreign: records orders that are not ours, and halts where the bot sent them.
        put: takes, for an account, reports and what is to be written, in turn with its events.

    """

    def __init__(
        self,
        environment: Environment,
        rest: FuturesRest,
        accounts: Accounts,
        pool: Pool,
        pace: Pace,
        foreign: Foreign,
        put: Callable[[UUID, Item], None],
    ) -> None:
        self._environment = environment
        self._foreign = foreign
        self._rest = rest
        self._pool = pool
        self._pace = pace
        self._put = put
        self.visits = Visits("strangers", environment, accounts, self._look_all, every_s=EVERY_S)
        # The last trade seen in the round before: what lagged behind then is seen in the next.
        self._through: dict[tuple[UUID, str], int] = {}

    async def _look_all(self, accounts: Sequence[Account]) -> None:
        for account in accounts:
            try:
                await self._look(account)
            except UnreadablePayloadError as error:
                log.warning("strangers.unreadable", account_id=str(account.id), error=str(error))

    async def _look(self, account: Account) -> None:
        epoch = self._environment.venue.environment_epoch
        async with self._pool.acquire() as connection:
            starts = await futures.trade_starts(connection, account.id, epoch)
        for start in starts:
            key = (account.id, start.symbol)
            trades = await self._trades(account, start, max(start.from_id, self._through.get(key, 0)))
            if trades:
                await self._sort(account, start, trades)
                self._through[key] = max(whole_of(trades[0], "id"), self._through.get(key, 0))

    async def _trades(self, account: Account, start: TradeStart, from_id: int) -> list[Mapping[str, Any]]:
        """Read the trades from an id on; what was not answered is asked again in the next round."""
        assert account.credentials is not None
        found: list[Mapping[str, Any]] = []
        while True:
            await self._pace.take(TRADES_WEIGHT)
            answer = await self._rest.my_trades(
                account.credentials, start.symbol, from_id=from_id, limit=FULL_PAGE
            )
            if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, list):
                return found
            page = objects_of(answer.body)
            found += page
            if len(page) < FULL_PAGE:
                return found
            from_id = whole_of(page[-1], "id") + 1

    async def _sort(self, account: Account, start: TradeStart, trades: Sequence[Mapping[str, Any]]) -> None:
        by_order: dict[str, list[Mapping[str, Any]]] = {}
        for trade in trades:
            by_order.setdefault(str(whole_of(trade, "orderId")), []).append(trade)
        ids = sorted(by_order)
        async with self._pool.acquire() as connection:
            known = await known_exchange_orders(connection, account.id, Market.FUTURES, start.symbol, ids)
            strangers = await futures.external_client_ids(connection, account.id, start.symbol, ids)
        fills: list[Fill] = []
        for order_id, of_order in by_order.items():
            if order_id in strangers:
                fills += self._fills(account, start, of_order, strangers[order_id])
            elif order_id not in known:
                fills += await self._identify(account, start, order_id, of_order)
        if fills:
            self._put(account.id, lambda connection: count_in(connection, fills, "query"))

    def _fills(
        self, account: Account, start: TradeStart, trades: Sequence[Mapping[str, Any]], client_id: str
    ) -> list[Fill]:
        origin = self._origin(account, start, client_id)
        return [fill_from_trade(trade, origin) for trade in trades]

    def _origin(self, account: Account, start: TradeStart, client_id: str = "") -> FillOrigin:
        venue = self._environment.venue
        return FillOrigin(
            account_id=account.id,
            market=Market.FUTURES,
            environment_epoch=venue.environment_epoch,
            pair=start.pair,
            client_order_id=client_id,
            prices=venue.prices(),
        )

    async def _identify(
        self, account: Account, start: TradeStart, order_id: str, trades: Sequence[Mapping[str, Any]]
    ) -> list[Fill]:
        """Ask whose an order is; its fills where it is a stranger's, a report where it is ours."""
        assert account.credentials is not None
        await self._pace.take(ORDER_WEIGHT)
        answer = await self._rest.order(account.credentials, start.symbol, order_id=int(order_id))
        if not isinstance(answer, Answer) or not answer.ok:
            return []
        told = object_of(answer.body)
        client_id = str(told.get("clientOrderId") or "")
        if parse_client_order_id(client_id) is not None:
            origin = self._origin(account, start)
            report = report_of_query(told, origin)
            if report is not None:
                self._put(account.id, with_trades(report, trades, origin))
            return []
        order = listed(told, account.id, Market.FUTURES)
        log.warning("stranger.found", account_id=str(account.id), symbol=start.symbol, flag=order.flag)

        async def record(connection: Connection) -> None:
            await self._foreign.record_orders(connection, [order])

        self._put(account.id, record)
        return self._fills(account, start, trades, client_id)
