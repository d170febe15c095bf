"""DESIGN 6: share out. Accounts are shared among listener replicas by leases in Postgres.

Every beat renews what is held, gives up what is more than an even share, and takes what nobody holds. A
replica that dies lets its leases run out, and the others take its accounts; two hearing one account for a
moment does no harm. While the database is away nothing is given up: what is heard waits to be written.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from services.fill_listener.accounts import Account
from shared.database import streams
from shared.database.connect import DATABASE_AWAY
from shared.keys import KeyUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Accounts
    from services.fill_listener.venues import Environments
    from shared.database.connect import Connection, Pool
    from shared.database.streams import Followed, SealedKey
    from shared.domain.order import Market
    from shared.keys import Keys
    from shared.settings import Configuration
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

BEAT_S = 1.0
LEASE = timedelta(seconds=5)


class ShareOut:
    """Holds the leases of this replica's accounts.

    Args:
        configuration: which accounts are served, whether real money is.
        pool: work connections.
        name: of this replica.
        market: spot or futures.
        environments: where the accounts trade.
        keys: decrypts.
        accounts: filled here.
        on_gained: an account is ours now, or its row changed.
        on_lost: an account is no longer ours.
        on_alive: told how many listeners live, this one included.
        metrics: of this process.

    """

    def __init__(
        self,
        configuration: Configuration,
        pool: Pool,
        name: str,
        *,
        market: Market,
        environments: Environments,
        keys: Keys,
        accounts: Accounts,
        on_gained: Callable[[Account], None],
        on_lost: Callable[[Account], None],
        on_alive: Callable[[int], None],
        metrics: Metrics,
    ) -> None:
        self._guards = configuration.guards
        self._pool = pool
        self._name = name
        self._environments = environments
        self._keys = keys
        self._accounts = accounts
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._on_alive = on_alive
        self._metrics = metrics
        self.market = market
        self.beaten = False
        self._shown = 0
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at once: an account that nobody follows may be about to trade."""
        self._woken.set()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.beat()
                self.beaten = True
                self._metrics.database_up.set(1)
            except DATABASE_AWAY as error:
                self._metrics.database_up.set(0)
                log.warning("share_out.database_away", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._woken.wait()

    async def beat(self) -> None:
        """Renew, give up and take once; then follow what is ours and no more."""
        async with self._pool.acquire() as connection:
            wanted = {
                one.account_id: one
                for one in await streams.followed(
                    connection, self.market, live=self._guards.live_trading, accounts=self._guards.accounts
                )
            }
            mine = await self._lease(connection, wanted.keys())
            changed = [one for one in wanted.values() if one.account_id in mine and self._is_news(one)]
            sealed = await streams.sealed_keys(connection, [one.account_id for one in changed])
        for account in [one for one in self._accounts if one.id not in mine]:
            self._accounts.drop(account.id)
            self._on_lost(account)
        await self._follow(changed, {one.account_id: one for one in sealed})
        # Two markets show their accounts in one figure.
        self._metrics.accounts_followed.inc(len(self._accounts) - self._shown)
        self._shown = len(self._accounts)

    async def give_up(self) -> None:
        """Release every lease: the process ends."""
        async with self._pool.acquire() as connection:
            held = [account.id for account in self._accounts]
            await streams.release(connection, self._name, self.market, held)

    async def _lease(self, connection: Connection, wanted: Collection[UUID]) -> set[UUID]:
        alive = await streams.live_listeners(connection, self._name, lease=LEASE)
        self._on_alive(alive)
        mine = await streams.renew(connection, self._name, self.market, wanted, lease=LEASE)
        share = -(-len(wanted) // alive)
        if len(mine) > share:
            surplus = set(sorted(mine)[share:])
            await streams.release(connection, self._name, self.market, surplus)
            return mine - surplus
        if len(mine) < share:
            mine |= await streams.take(
                connection, self._name, self.market, wanted, lease=LEASE, most=share - len(mine)
            )
        gone = [account.id for account in self._accounts if account.id not in wanted]
        if gone:
            await streams.release(connection, self._name, self.market, gone)
        return mine

    def _is_news(self, one: Followed) -> bool:
        known = self._accounts.get(one.account_id)
        return known is None or known.version != one.version

    async def _follow(self, changed: Sequence[Followed], sealed: Mapping[UUID, SealedKey]) -> None:
        for one in changed:
            key = sealed.get(one.account_id)
            if key is None:
                continue  # deleted between the two statements
            account = await self._opened(one, key)
            before = self._accounts.get(account.id)
            if before is not None and before.environment is not account.environment:
                self._on_lost(before)
            self._accounts.put(account)
            self._on_gained(account)

    async def _opened(self, one: Followed, key: SealedKey) -> Account:
        environment = await self._environments.of(self.market, testnet=one.is_testnet)
        try:
            credentials = self._keys.of(one.account_id, key)
        except KeyUnreadableError as error:
            log.warning("account.key_unreadable", account_id=str(one.account_id), error=str(error))
            return Account(one.account_id, one.version, environment, None, str(error))
        return Account(one.account_id, one.version, environment, credentials)
