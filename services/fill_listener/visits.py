"""DESIGN 6: visits. Some accounts are looked at because something says so, all of them once a period."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING

import structlog

from shared.database.connect import DATABASE_AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.venues import Environment

log = structlog.get_logger(__name__)

DATABASE_AGAIN_S = 1.0


class Visits:
    """Says which accounts of one environment to look at, and when.

    Accounts without a usable key are left out. While the database is away a visit is put off, not lost.

    Args:
        title: of the log line.
        environment: whose accounts.
        accounts: those followed here.
        visit: looks at some of them.
        every_s: how often all of them are looked at, give or take a fifth, so that not all replicas come at
            the same moment; wishes for single accounts do not put it off.
        gather_s: how long to wait for further wishes after the first one.

    """

    def __init__(
        self,
        title: str,
        environment: Environment,
        accounts: Accounts,
        visit: Callable[[Sequence[Account]], Awaitable[None]],
        *,
        every_s: float,
        gather_s: float = 0.0,
    ) -> None:
        self._title = title
        self._environment = environment
        self._accounts = accounts
        self._visit = visit
        self._every_s = every_s
        self._gather_s = gather_s
        self._wanted: set[UUID] = set()
        self._woken = asyncio.Event()

    def want(self, account_id: UUID) -> None:
        """Look at an account soon."""
        self._wanted.add(account_id)
        self._woken.set()

    async def run(self) -> None:
        """Look when wanted, and at everybody once a period, until cancelled."""
        everybody_at = self._next_round()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, everybody_at - time.monotonic())):
                    await self._woken.wait()
            await asyncio.sleep(self._gather_s)
            if time.monotonic() >= everybody_at:
                self._wanted |= {account.id for account in self._accounts}
                everybody_at = self._next_round()
            self._woken.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                await self._visit([account for one in wanted if (account := self._followed(one)) is not None])
            except DATABASE_AWAY as error:
                log.warning("visits.database_away", visits=self._title, error=str(error))
                self._wanted |= wanted
                self._woken.set()
                await asyncio.sleep(DATABASE_AGAIN_S)

    def _next_round(self) -> float:
        return time.monotonic() + self._every_s * random.uniform(0.8, 1.2)  # noqa: S311

    def _followed(self, account_id: UUID) -> Account | None:
        account = self._accounts.get(account_id)
        if account is None or account.environment is not self._environment or account.credentials is None:
            return None
        return account
