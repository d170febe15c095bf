"""DESIGN 6: the background round. What no event tells is compared now and then: orders and balances.

One account after the other, inside a small share of the request weight, so the round is as long as the
accounts need: docs/reconciliation.md has its length for 1 to 10,000 of them. Differences are reported, never
corrected; orders take the path of everything else. Spot only: on futures positions, strangers' trades and
funding are compared by modules of their own.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import structlog

from services.fill_listener.foreign import listed
from services.fill_listener.pace import Pace
from services.fill_listener.wallets import Wallets
from shared.binance.rest import Answer
from shared.database import balances
from shared.database.connect import DATABASE_AWAY
from shared.database.foreign import installed_at
from shared.database.unknowns import known_exchange_orders
from shared.domain.attempt import parse_client_order_id
from shared.domain.fill import FillOrigin, UnreadablePayloadError, objects_of, whole_of
from shared.domain.reports import report_of_query

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.apply import Item
    from services.fill_listener.foreign import Foreign
    from services.fill_listener.venues import Environment
    from shared.binance.sign import Credentials
    from shared.database.connect import Connection, Pool
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

WEIGHT_PER_S: Final = 5.0  # 300 of the 6,000 a minute that one address has
ACCOUNT_WEIGHT: Final = 20
ORDERS_WEIGHT: Final = 20
SHORTEST_S = 300.0
FULL_PAGE: Final = 1000
REACHES_BACK_MS: Final = 24 * 3600 * 1000  # the widest window the exchange allows


def period_s(accounts: int, symbols: int, sharers: int = 1) -> float:
    """Return how long one round takes.

    Args:
        accounts: how many are followed.
        symbols: how many they have traded through us, account by account, added up.
        sharers: how many processes share the weight.

    """
    return max(SHORTEST_S, sharers * (accounts * ACCOUNT_WEIGHT + symbols * ORDERS_WEIGHT) / WEIGHT_PER_S)


class BackgroundRound:
    """Goes round the spot accounts of one environment.

    Args:
        environment: where they trade.
        accounts: those followed here.
        pool: work connections.
        pace: our share of the request weight; this round takes a small part of it.
        foreign: records orders that are not ours.
        put: takes, for an account, reports and what is to be written, in turn with its events.
        metrics: of this process.

    """

    def __init__(
        self,
        environment: Environment,
        accounts: Accounts,
        pool: Pool,
        pace: Pace,
        foreign: Foreign,
        put: Callable[[UUID, Item], None],
        metrics: Metrics,
    ) -> None:
        self._environment = environment
        self._accounts = accounts
        self._pool = pool
        self._pace = pace
        self._share = Pace(WEIGHT_PER_S, ACCOUNT_WEIGHT)
        self._foreign = foreign
        self._wallets = Wallets(environment, pool, lambda: self._take(ACCOUNT_WEIGHT), metrics)
        self._put = put
        self._metrics = metrics

    async def run(self) -> None:
        """Go round until cancelled."""
        while True:
            began = time.monotonic()
            try:
                await self._round()
            except DATABASE_AWAY as error:
                log.warning("background.database_away", error=str(error))
            await asyncio.sleep(max(1.0, SHORTEST_S - (time.monotonic() - began)))

    async def _round(self) -> None:
        await self._environment.ready.wait()
        mine = [one for one in self._accounts if one.environment is self._environment]
        async with self._pool.acquire() as connection:
            epoch = self._environment.venue.environment_epoch
            symbols = await balances.traded_symbols(
                connection, [one.id for one in mine], self._environment.market, epoch
            )
            began = await installed_at(connection)
        self._share.sharers = self._pace.sharers
        kind = "testnet" if self._environment.testnet else "live"
        period = period_s(len(mine), sum(map(len, symbols.values())), self._share.sharers)
        self._metrics.background_period(self._environment.market, kind).set(period)
        for account in mine:
            if account.credentials is not None and self._accounts.get(account.id) is not None:
                await self.look(account, account.credentials, symbols.get(account.id, ()), began)

    async def look(
        self, account: Account, credentials: Credentials, symbols: Collection[str], began: datetime
    ) -> None:
        """Look at one account: its orders of late, then its balances."""
        try:
            complete = [await self._orders(account, credentials, symbol, began) for symbol in symbols]
            self._metrics.reconciliations("closed_orders", "ok" if all(complete) else "failed").inc()
        except UnreadablePayloadError as error:
            self._metrics.reconciliations("closed_orders", "failed").inc()
            log.warning("background.unreadable", account_id=str(account.id), error=str(error))
        await self._wallets.compare(account.id, credentials)

    async def _take(self, weight: int) -> None:
        await self._share.take(weight)
        await self._pace.take(weight)

    async def _orders(self, account: Account, credentials: Credentials, symbol: str, began: datetime) -> bool:
        """Read the orders of the last day, closed ones included; those nobody told us of are taken in."""
        clock = self._environment.venue.rest.clock
        if not clock.known:
            return False
        start = {"start_ms": max(clock.exchange_now_ms() - REACHES_BACK_MS, int(began.timestamp() * 1000))}
        while True:
            await self._take(ORDERS_WEIGHT)
            answer = await self._environment.venue.rest.all_orders(
                credentials, symbol, limit=FULL_PAGE, **start
            )
            if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, list):
                return False
            orders = objects_of(answer.body)
            await self._take_in(account, symbol, orders)
            if len(orders) < FULL_PAGE:
                return True
            start = {"from_order_id": whole_of(orders[-1], "orderId") + 1}

    async def _take_in(self, account: Account, symbol: str, orders: Sequence[Mapping[str, Any]]) -> None:
        by_id = {str(order.get("orderId")): order for order in orders}
        async with self._pool.acquire() as connection:
            known = await known_exchange_orders(
                connection, account.id, self._environment.market, symbol, sorted(by_id)
            )
        strange = []
        for exchange_order_id, order in by_id.items():
            if exchange_order_id in known:
                continue
            self._metrics.reconcile_differences("order_unknown").inc()
            if parse_client_order_id(str(order.get("clientOrderId") or "")) is None:
                strange.append(listed(order, account.id, self._environment.market))
            else:
                self._put_ours(account, symbol, order)
        if strange:

            async def record(connection: Connection) -> None:
                await self._foreign.record_orders(connection, strange)

            self._put(account.id, record)

    def _put_ours(self, account: Account, symbol: str, order: Mapping[str, Any]) -> None:
        venue = self._environment.venue
        pair = self._environment.pair(symbol) or ("", "")
        origin = FillOrigin(account.id, self._environment.market, venue.environment_epoch, pair)
        report = report_of_query(order, origin)
        if report is not None:
            self._put(account.id, report)
