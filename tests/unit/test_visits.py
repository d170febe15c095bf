"""DESIGN 6: accounts are visited when wanted, and all of them once a period, whatever else is wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

from services.fill_listener import visits
from services.fill_listener.accounts import Account, Accounts
from services.fill_listener.visits import Visits
from shared.binance.sign import Credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from services.fill_listener.venues import Environment

HERE, ELSEWHERE = cast("Environment", "here"), cast("Environment", "elsewhere")


class Round:
    """A set of accounts, and who was visited."""

    def __init__(self, *, every_s: float) -> None:
        self.accounts = Accounts()
        self.visited: list[UUID] = []
        self.failing = 0
        self._every_s = every_s

    def account(self, environment: Environment = HERE, *, readable: bool = True) -> UUID:
        one = Account(uuid4(), "1", environment, Credentials("key", "secret") if readable else None)
        self.accounts.put(one)
        return one.id

    async def _visit(self, accounts: Sequence[Account]) -> None:
        if self.failing:
            self.failing -= 1
            raise OSError("the database is away")
        self.visited += [account.id for account in accounts]

    async def until(self, condition: Callable[[], bool], *wanted: UUID) -> None:
        """Run, wanting some accounts again and again, until something holds."""
        one = Visits("test", HERE, self.accounts, self._visit, every_s=self._every_s)
        running = asyncio.create_task(one.run())
        async with asyncio.timeout(10):
            while not condition():
                for account_id in wanted:
                    one.want(account_id)
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])


async def test_a_wanted_account_is_visited_and_no_other() -> None:
    """Long before the period is over."""
    round_ = Round(every_s=3600)
    wanted = round_.account()
    round_.account()
    await round_.until(lambda: bool(round_.visited), wanted)
    assert set(round_.visited) == {wanted}


async def test_a_busy_account_does_not_put_the_others_off() -> None:
    """One is wanted all the time; the period ends nevertheless, and all are visited."""
    round_ = Round(every_s=0.02)
    busy, quiet = round_.account(), round_.account()
    await round_.until(lambda: quiet in round_.visited, busy)
    assert busy in round_.visited


async def test_only_accounts_of_the_environment_with_a_key() -> None:
    """Those of another environment are not asked about here, nor those whose key cannot be read."""
    round_ = Round(every_s=0.01)
    mine = round_.account()
    round_.account(ELSEWHERE)
    round_.account(readable=False)
    await round_.until(lambda: len(round_.visited) > 2)
    assert set(round_.visited) == {mine}


async def test_a_visit_is_put_off_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was wanted meanwhile is visited as soon as it is back."""
    monkeypatch.setattr(visits, "DATABASE_AGAIN_S", 0.0)
    round_ = Round(every_s=3600)
    round_.failing = 2
    wanted = round_.account()
    await round_.until(lambda: bool(round_.visited) and not round_.failing, wanted)
    assert set(round_.visited) == {wanted}
