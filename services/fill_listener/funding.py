"""DESIGN 6: funding. What futures positions were paid or charged, kept in our schema, once.

The stream tells each payment as it happens; the income history fills in what nobody heard.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import structlog

from services.fill_listener.visits import Visits
from shared.binance.rest import Answer
from shared.database.futures import ledger_positions, store_funding
from shared.domain.fill import UnreadablePayloadError
from shared.domain.futures_positions import funding_from_event, funding_from_income

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.apply import Arrival, Item
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.futures import FuturesRest
    from shared.binance.sign import Credentials
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
        self._pool = pool
        self._pace = pace
        self._put = put
        # Orders come first.
        self.visits = Visits("funding", environment, accounts, self._read, every_s=EVERY_S, gather_s=SOON_S)

    def take(self, arrival: Arrival) -> None:
        """Record the funding of an event, if it tells of any.

        Raises:
            UnreadablePayloadError: it does, and something is missing.

        """
        told = funding_from_event(arrival.event)
        if told:
            self._put(arrival.account_id, partial(self._store, account_id=arrival.account_id, told=told))

    async def _read(self, accounts: Sequence[Account]) -> None:
        """Read the histories of accounts with an open position; others pay none."""
        async with self._pool.acquire() as connection:
            ledger = await ledger_positions(connection, [one.id for one in accounts])
        open_now = {one.account_id for one in ledger}
        for account in accounts:
            if account.id in open_now and account.credentials is not None:
                await self._ask(account.id, account.credentials)

    async def _ask(self, account_id: UUID, credentials: Credentials) -> None:
        start_ms = int((datetime.now(UTC) - REACHES_BACK).timestamp() * 1000)
        await self._pace.take(INCOME_WEIGHT)
        answer = await self._rest.income(credentials, income_type="FUNDING_FEE", start_ms=start_ms)
        if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, list):
            return
        try:
            told = [one for row in answer.body if (one := funding_from_income(row)) is not None]
        except UnreadablePayloadError as error:
            log.warning("funding.unreadable", account_id=str(account_id), error=str(error))
            return
        if told:
            self._put(account_id, partial(self._store, account_id=account_id, told=told))

    async def _store(self, connection: Connection, *, account_id: UUID, told: list[Paid]) -> None:
        new = await store_funding(connection, account_id, self._environment.venue.environment_epoch, told)
        if new:
            log.info("funding.stored", account_id=str(account_id), payments=new)
