"""DESIGN 6: wallets. What the exchange says an account has, compared with what our ledger comes to.

On spot every fill moves two balances; on futures profit, fees and funding move the wallet. What is left after
the ledger is taken off came otherwise (deposits, what was there before us, others' trades), and does not
change by trading through the bridge. A change of it is reported when it stays, and never corrected.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from shared.binance.rest import Answer
from shared.database import balances
from shared.domain.fill import UnreadablePayloadError
from shared.domain.money import ZERO, parse_decimal
from shared.domain.order import Market

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from decimal import Decimal
    from uuid import UUID

    from services.fill_listener.venues import Environment
    from shared.binance.sign import Credentials
    from shared.database.balances import Balance
    from shared.database.connect import Pool
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

CONFIRM_S = 5.0  # longer than an event needs


class Wallets:
    """Compares the wallets of one environment.

    Args:
        environment: where they are.
        pool: work connections.
        take: waits until the weight of one question may be spent.
        metrics: of this process.

    """

    def __init__(
        self, environment: Environment, pool: Pool, take: Callable[[], Awaitable[None]], metrics: Metrics
    ) -> None:
        self._environment = environment
        self._pool = pool
        self._take = take
        self._metrics = metrics

    async def compare(self, account_id: UUID, credentials: Credentials) -> None:
        """Compare one account's and report what has changed beside our trading."""
        try:
            read = await self._compare(account_id, credentials)
        except UnreadablePayloadError as error:
            read = False
            log.warning("balance.unreadable", account_id=str(account_id), error=str(error))
        self._metrics.reconciliations("balances", "ok" if read else "failed").inc()

    async def _compare(self, account_id: UUID, credentials: Credentials) -> bool:
        market, epoch = self._environment.market, self._environment.venue.environment_epoch
        told = await self._read(account_id, credentials)
        if told is None:
            return False
        async with self._pool.acquire() as connection:
            before = await balances.remembered(connection, account_id, market, epoch)
        rounding = balances.ROUNDING[market]
        if before and any(abs(one.rest - before.get(asset, ZERO)) > rounding for asset, one in told.items()):
            await asyncio.sleep(CONFIRM_S)
            again = await self._read(account_id, credentials)
            if again is None:
                return False
            # What still moves is an order under way; the next round looks again.
            told = {
                asset: one for asset, one in again.items() if asset in told and told[asset].rest == one.rest
            }
        async with self._pool.acquire() as connection:
            changes = await balances.write(connection, account_id, market, epoch, told)
        for asset, change in changes.items():
            self._report(account_id, asset, change, told[asset])
        return True

    def _report(self, account_id: UUID, asset: str, change: Decimal, balance: Balance) -> None:
        self._metrics.reconcile_differences("balance").inc()
        log.warning(
            "balance.differs",
            account_id=str(account_id),
            market=self._environment.market,
            asset=asset,
            change=str(change),
            advice="a deposit, a withdrawal or a trade by hand; the ledger is left as it is",
        )
        if balance.exchange < balance.held:
            self._metrics.alarms("balance_short").inc()
            log.error(
                "balance.short",
                account_id=str(account_id),
                asset=asset,
                exchange=str(balance.exchange),
                held=str(balance.held),
                advice="positions of the ledger hold more than there is; they cannot be sold whole",
            )

    async def _read(self, account_id: UUID, credentials: Credentials) -> dict[str, Balance] | None:
        await self._take()
        answer = await self._environment.venue.rest.account(credentials)
        if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, dict):
            return None
        market = self._environment.market
        exchange = amounts(answer.body, market)
        async with self._pool.acquire() as connection:
            return await balances.compared(
                connection, account_id, market, self._environment.venue.environment_epoch, exchange
            )


def amounts(body: Mapping[str, Any], market: Market) -> dict[str, Decimal]:
    """Read what an account has: on spot free and locked together, on futures the wallet.

    Raises:
        UnreadablePayloadError: it is of another form.

    """
    try:
        if market is Market.FUTURES:
            return {str(one["asset"]): parse_decimal(one["walletBalance"]) for one in body["assets"]}
        return {
            str(one["asset"]): parse_decimal(one["free"]) + parse_decimal(one["locked"])
            for one in body["balances"]
        }
    except (KeyError, TypeError, ValueError):
        raise UnreadablePayloadError("the balances are of another form") from None
