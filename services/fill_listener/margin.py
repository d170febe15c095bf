"""DESIGN 6: margin. What only the futures exchange knows of a position is shown, and its size is compared.

Liquidation price, leverage and margin mode change with prices, transfers and other positions, so they are
asked for while a position is open. A size that differs from the ledger's for longer than events need to come
means that one of us misses an execution: told, and the account's trades are looked through.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from shared.binance.rest import Answer
from shared.database import futures
from shared.database.connect import DATABASE_AWAY
from shared.domain.fill import UnreadablePayloadError
from shared.domain.futures_positions import read_positions
from shared.domain.money import ZERO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.futures import FuturesRest
    from shared.database.connect import Pool
    from shared.database.futures import LedgerPosition
    from shared.domain.futures_positions import ExchangePosition
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 15.0
GATHER_S = 0.3
EVENTS_NEED_S = 5.0
POSITIONS_WEIGHT = 5


@dataclass(slots=True)
class _Difference:
    """Since when the exchange shows another size than the ledger, and whether that was told."""

    ledger: Decimal
    there: Decimal
    since: float
    told: bool = False


class Margin:
    """Looks at the open futures positions of one environment's accounts.

    Args:
        environment: where they trade.
        rest: its client.
        accounts: those followed here.
        pool: work connections.
        pace: our share of the request weight.
        on_difference: told an account whose position is not the ledger's.
        metrics: of this process.

    """

    def __init__(
        self,
        environment: Environment,
        rest: FuturesRest,
        accounts: Accounts,
        pool: Pool,
        pace: Pace,
        on_difference: Callable[[UUID], None],
        metrics: Metrics,
    ) -> None:
        self._environment = environment
        self._rest = rest
        self._accounts = accounts
        self._pool = pool
        self._pace = pace
        self._on_difference = on_difference
        self._metrics = metrics
        self._wanted: set[UUID] = set()
        self._woken = asyncio.Event()
        self._differences: dict[UUID, _Difference] = {}

    def want(self, account_id: UUID) -> None:
        """Look at an account soon: something about its positions has changed."""
        self._wanted.add(account_id)
        self._woken.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                self._wanted = self._everybody()
            await asyncio.sleep(GATHER_S)  # the events of one order come together
            self._woken.clear()
            wanted, self._wanted = self._wanted, set()
            try:
                await self._look(wanted)
            except DATABASE_AWAY as error:
                log.warning("margin.database_away", error=str(error))

    def _everybody(self) -> set[UUID]:
        return {one.id for one in self._accounts}

    async def _look(self, wanted: set[UUID]) -> None:
        async with self._pool.acquire() as connection:
            ledger = await futures.ledger_positions(connection, wanted)
        gone = self._differences.keys() - {one.id for one in ledger} if wanted >= self._everybody() else ()
        for position_id in set(gone):
            del self._differences[position_id]
        by_account: dict[UUID, list[LedgerPosition]] = {}
        for position in ledger:
            by_account.setdefault(position.account_id, []).append(position)
        for account_id, positions in by_account.items():
            account = self._accounts.get(account_id)
            if account is not None and account.environment is self._environment:
                await self._compare(account, positions)

    async def _compare(self, account: Account, positions: Sequence[LedgerPosition]) -> None:
        shown = await self._ask(account)
        if shown is None:
            return
        by_side = {(one.symbol, one.side): one for one in shown}
        told = [
            (one.id, by_side[one.symbol, one.side]) for one in positions if (one.symbol, one.side) in by_side
        ]
        async with self._pool.acquire() as connection:
            await futures.show_margin(connection, told)
        for one in positions:
            there = by_side.get((one.symbol, one.side))
            await self._judge(one, there.size if there is not None else ZERO)

    async def _ask(self, account: Account) -> list[ExchangePosition] | None:
        if account.credentials is None:
            return None
        await self._pace.take(POSITIONS_WEIGHT)
        answer = await self._rest.position_risk(account.credentials)
        if not isinstance(answer, Answer) or not answer.ok:
            return None
        try:
            return read_positions(answer.body)
        except UnreadablePayloadError as error:
            log.warning("margin.unreadable", account_id=str(account.id), error=str(error))
            return None

    async def _judge(self, position: LedgerPosition, there: Decimal) -> None:
        """Tell once of a size that stays different."""
        if there == position.size:
            self._differences.pop(position.id, None)
            return
        seen = self._differences.get(position.id)
        if seen is None or (seen.ledger, seen.there) != (position.size, there):
            self._differences[position.id] = _Difference(position.size, there, time.monotonic())
            return
        if seen.told or time.monotonic() - seen.since < EVENTS_NEED_S:
            return
        seen.told = True
        self._metrics.alarms("position_differs").inc()
        log.error(
            "position.differs",
            account_id=str(position.account_id),
            symbol=position.symbol,
            side=position.side,
            ledger=str(position.size),
            exchange=str(there),
            advice="its trades are looked through; trades from before the bridge are not in the ledger",
        )
        self._on_difference(position.account_id)
