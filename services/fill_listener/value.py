"""DESIGN 6: value. A fee in a third asset is worth a price fixed once; here for those that had none at first.

The executor stores fills too, and may have no price of BNB at that moment. Such fills count without their fee
until a price is to be had; then they are valued, and their positions folded again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import structlog

from shared.database.connect import DATABASE_AWAY
from shared.database.valuation import unvalued_fills, value_fills
from shared.domain.fees import commission_in_quote

if TYPE_CHECKING:
    from services.fill_listener.accounts import Accounts
    from services.fill_listener.venues import Environment
    from shared.database.connect import Pool

log = structlog.get_logger(__name__)

EVERY_S = 2.0
MOST = 100


class Valuer:
    """Values the fees of one environment's accounts.

    Args:
        environment: where they trade; has the prices.
        accounts: those followed here.
        pool: work connections.

    """

    def __init__(self, environment: Environment, accounts: Accounts, pool: Pool) -> None:
        self._environment = environment
        self._accounts = accounts
        self._pool = pool

    async def run(self) -> None:
        """Value until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self._value()
            except DATABASE_AWAY as error:
                log.warning("value.database_away", error=str(error))
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.warning("value.row_locked", error=str(error))

    async def _value(self) -> None:
        environment = self._environment
        ours = [account.id for account in self._accounts if account.environment is environment]
        async with self._pool.acquire() as connection:
            fills = await unvalued_fills(connection, ours, environment.market, most=MOST)
        values = []
        for fill in fills:
            pair = environment.pair(fill.symbol)
            if pair is None:
                continue
            prices = await environment.prices_for(fill.commission_asset, pair[1])
            value = commission_in_quote(fill.commission, fill.commission_asset, pair, fill.price, prices)
            if value is not None:
                values.append((fill, value))
        if values:
            async with self._pool.acquire() as connection:
                await value_fills(connection, values)
            log.info("fees.valued", fills=len(values))
