"""DESIGN 6: a wiped testnet. It forgets every order and hands their ids out again, so fills get a new epoch.

Recognised when the newest orders it had accepted from an account, old enough for its queries, are all unknown
to it: one missing order proves nothing. Real money is never looked at this way.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from shared.binance.rest import Answer
from shared.database.ledger import environment_epoch
from shared.database.statements import statement

if TYPE_CHECKING:
    from services.fill_listener.accounts import Account
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.sign import Credentials
    from shared.database.connect import Pool
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

WITNESSES: Final = 5
AT_LEAST: Final = 2
OLD_ENOUGH = timedelta(minutes=2)
ORDER_WEIGHT: Final = 4
NO_SUCH_ORDER: Final = -2013


class WipeWatch:
    """Looks for the wipe of one environment.

    Args:
        environment: a testnet.
        pool: work connections.
        pace: our share of the request weight.
        metrics: of this process.

    """

    def __init__(self, environment: Environment, pool: Pool, pace: Pace, metrics: Metrics) -> None:
        self._environment = environment
        self._pool = pool
        self._pace = pace
        self._metrics = metrics

    async def look(self, account: Account, credentials: Credentials) -> None:
        """Take in an epoch that another process began; ask the witnesses of this one."""
        venue, base_url = self._environment.venue, self._environment.endpoints.rest
        async with self._pool.acquire() as connection:
            venue.environment_epoch = await environment_epoch(connection, base_url)
            witnesses = await connection.fetch(
                statement("witnesses"),
                account.id,
                self._environment.market,
                venue.environment_epoch,
                WITNESSES,
                OLD_ENOUGH,
            )
        if len(witnesses) < AT_LEAST:
            return
        for witness in witnesses:
            await self._pace.take(ORDER_WEIGHT)
            answer = await venue.rest.order(
                credentials, witness["symbol"], order_id=witness["exchange_order_id"]
            )
            if not isinstance(answer, Answer) or answer.code != NO_SUCH_ORDER:
                return
        await self._begin(base_url, len(witnesses))

    async def _begin(self, base_url: str, asked: int) -> None:
        venue = self._environment.venue
        why = f"the newest {asked} orders it had accepted are unknown to it"
        async with self._pool.acquire() as connection:
            begun = await connection.fetchval(
                statement("begin_environment"), base_url, venue.environment_epoch, why
            )
            venue.environment_epoch = await environment_epoch(connection, base_url)
        if begun is not None:
            self._metrics.alarms("environment_wiped").inc()
            log.error(
                "environment.wiped",
                base_url=base_url,
                epoch=venue.environment_epoch,
                advice="see the runbook: the testnet's monthly reset",
            )
