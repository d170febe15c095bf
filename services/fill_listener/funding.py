"""DESIGN 6: funding. What futures positions were paid or charged, kept in our schema, once.

The stream tells each payment as it happens; the income history fills in what nobody heard.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from shared.binance.rest import Answer
from shared.database.connect import DATABASE_AWAY
from shared.database.futures import ledger_positions, store_funding
from shared.domain.fill import UnreadablePayloadError
from shared.domain.futures_positions import funding_from_event, funding_from_income

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.apply import Arrival, Item
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.futures import FuturesRest
    from shared.database.connect import Connection, Pool
    from shared.domain.futures_positions import Funding as Paid

log = structlog.get_logger(__name__)

EVERY_S = 3600.0
SOON_S = 2.0
INCOME_WEIGHT = 30
REACHES_BACK = timedelta(days=6)  # the exchange's default window is 7 days


class Funding:
    """Records the funding of one environment's accounts.

    Args:
        environment: where they trade.
        rest: its client.
        accounts: those followed here.
        pool: work connections.
        pace: our share of the request weight.
        put: takes, for an account, what is to be written, in turn with its events.

    """

    def __init__(
        self,
        environment: Environment,
        rest: FuturesRest,
        accounts: Accounts,
        pool: Pool,
        pace: Pace,
        put: Callable[[UUID, Item], None],
    ) -> None:
        self._environment = environment
        self._rest = rest
        self._accounts = accounts
        self._pool = pool
        self._pace = pace
        self._put = put
        self._wanted: set[UUID] = set()
        self._wake = asyncio.Event()

    def take(self, arrival: Arrival) -> None:
        """Record the funding of an event, if it tells of any.

        Raises:
            UnreadablePayloadError: it does, and something is missing.

        """
        told = funding_from_event(arrival.event)
        if told:
            self._put(arrival.account_id, partial(self._store, account_id=arrival.account_id, told=told))

    def want(self, account_id: UUID) -> None:
        """Read an account's income history soon: nobody listened for a while."""
        self._wanted.add(account_id)
        self._wake.set()

    async def run(self) -> None:
        """Read the histories when wanted, and every hour, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                self._wanted = {one.id for one in self._accounts}
            await asyncio.sleep(SOON_S)  # orders come first
            self._wake.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                await self._read(wanted)
            except DATABASE_AWAY as error:
                log.warning("funding.database_away", error=str(error))

    async def _read(self, wanted: set[UUID]) -> None:
        """Read the histories of accounts with an open position; others pay none."""
        async with self._pool.acquire() as connection:
            open_now = {one.account_id for one in await ledger_positions(connection, wanted)}
        for account_id in open_now:
            account = self._accounts.get(account_id)
            if account is not None and account.environment is self._environment:
                await self._ask(account)

    async def _ask(self, account: Account) -> None:
        if account.credentials is None:
            return
        start_ms = int((datetime.now(UTC) - REACHES_BACK).timestamp() * 1000)
        await self._pace.take(INCOME_WEIGHT)
        answer = await self._rest.income(account.credentials, income_type="FUNDING_FEE", start_ms=start_ms)
        if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, list):
            return
        try:
            told = [one for row in answer.body if (one := funding_from_income(row)) is not None]
        except UnreadablePayloadError as error:
            log.warning("funding.unreadable", account_id=str(account.id), error=str(error))
            return
        if told:
            self._put(account.id, partial(self._store, account_id=account.id, told=told))

    async def _store(self, connection: Connection, *, account_id: UUID, told: list[Paid]) -> None:
        new = await store_funding(connection, account_id, self._environment.venue.environment_epoch, told)
        if new:
            log.info("funding.stored", account_id=str(account_id), payments=new)
