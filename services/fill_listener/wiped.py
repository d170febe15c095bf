"""DESIGN 6: a wiped testnet. It forgets every order and hands their ids out again, so fills get a new epoch.

Recognised when the oldest orders it had accepted in this epoch are unknown to it; one account that trades
tells it for all. What the former epoch left behind is then asked about, one by one and each with the key it
was sent with: an order the exchange does not know is over, a position whose newest fill it does not know is
gone. What is not answered is asked about again. Real money is never looked at this way.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

from services.fill_listener.visits import Visits
from shared.binance.rest import Answer
from shared.database import wiped
from shared.database.ledger import environment_epoch
from shared.domain.wipe import AT_LEAST, was_wiped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.sign import Credentials
    from shared.database.connect import Pool
    from shared.database.wiped import LeftBehind
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 300.0
GATHER_S = 1.0
OLD_ENOUGH = timedelta(minutes=2)
ORDER_WEIGHT: Final = 4
NO_SUCH_ORDER: Final = -2013


class WipeWatch:
    """Looks for the wipe of one environment, and clears up after it.

    Args:
        environment: a testnet.
        accounts: those followed here.
        pool: work connections.
        pace: our share of the request weight.
        metrics: of this process.

    Attributes:
        visits: `want` an account of which an accepted order is missing.

    """

    def __init__(
        self, environment: Environment, accounts: Accounts, pool: Pool, pace: Pace, metrics: Metrics
    ) -> None:
        self._environment = environment
        self._accounts = accounts
        self._pool = pool
        self._pace = pace
        self._metrics = metrics
        self.visits = Visits("wipe", environment, accounts, self._look, every_s=EVERY_S, gather_s=GATHER_S)

    async def _look(self, accounts: Sequence[Account]) -> None:
        """Take in an epoch that another process began; ask the witnesses of this one; clear up."""
        await self._environment.ready.wait()
        venue, base_url = self._environment.venue, self._environment.endpoints.rest
        async with self._pool.acquire() as connection:
            venue.environment_epoch = await environment_epoch(connection, base_url)
        for account in accounts:
            if (verdict := await self._judge(account)) is not None:
                if verdict:
                    await self._begin(account)
                break
        if venue.environment_epoch > 1:
            await self._clear_up()

    async def _judge(self, account: Account) -> bool | None:
        """Say whether the testnet was wiped; None when this account cannot tell."""
        assert account.credentials is not None
        async with self._pool.acquire() as connection:
            asked = await wiped.witnesses(
                connection,
                account.id,
                self._environment.market,
                self._environment.endpoints.rest,
                self._environment.venue.environment_epoch,
                account.credentials.fingerprint,
                older_than=OLD_ENOUGH,
            )
        if len(asked) < AT_LEAST:
            return None
        found: list[bool] = []
        for witness in asked:
            there = await self._is_there(account.credentials, witness.symbol, witness.client_order_id)
            if there is None:
                return None
            found.append(there)
            if found == [True]:
                break  # the oldest is there
        return was_wiped(found)

    async def _is_there(self, credentials: Credentials, symbol: str, client_order_id: str) -> bool | None:
        """Ask for an order; None when nothing was learned."""
        await self._pace.take(ORDER_WEIGHT)
        answer = await self._environment.venue.rest.order(
            credentials, symbol, client_order_id=client_order_id
        )
        if not isinstance(answer, Answer):
            return None
        if answer.code == NO_SUCH_ORDER:
            return False
        named = answer.ok and isinstance(answer.body, dict) and answer.body.get("clientOrderId")
        return True if named == client_order_id else None

    async def _begin(self, account: Account) -> None:
        venue, base_url = self._environment.venue, self._environment.endpoints.rest
        why = f"the oldest orders it had accepted from account {account.id} are unknown to it"
        async with self._pool.acquire() as connection:
            begun = await wiped.begin_epoch(connection, base_url, venue.environment_epoch, why)
            venue.environment_epoch = await environment_epoch(connection, base_url)
        if begun:
            self._metrics.alarms("environment_wiped").inc()
            log.error(
                "environment.wiped",
                base_url=base_url,
                epoch=venue.environment_epoch,
                advice="see the runbook: the testnet's monthly reset",
            )

    async def _clear_up(self) -> None:
        """Ask about what the former epochs left behind in our accounts, and end what is gone."""
        followed = {one.id: one for one in self._accounts if one.environment is self._environment}
        async with self._pool.acquire() as connection:
            left = await wiped.left_behind(
                connection,
                followed,
                self._environment.market,
                self._environment.endpoints.rest,
                self._environment.venue.environment_epoch,
                older_than=OLD_ENOUGH,
            )
        gone: defaultdict[UUID, list[LeftBehind]] = defaultdict(list)
        for one in left:
            credentials = followed[one.account_id].credentials
            # Another key may be another account's, and its exchange knows nothing of this order anyway.
            if credentials is None or credentials.fingerprint != one.api_key_hash:
                continue
            if await self._is_there(credentials, one.symbol, one.client_order_id) is False:
                gone[one.account_id].append(one)
        for account_id, of_account in gone.items():
            await self._close(account_id, of_account)

    async def _close(self, account_id: UUID, gone: Sequence[LeftBehind]) -> None:
        try:
            async with self._pool.acquire() as connection:
                orders, positions = await wiped.close(connection, self._environment.market, gone)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            log.warning("environment.row_held", account_id=str(account_id), error=str(error))
            return  # the next round comes again
        log.warning("environment.cleared_up", account_id=str(account_id), orders=orders, positions=positions)
