"""DESIGN 6: margin. What only the futures exchange knows of a position is shown, and its size is compared.

Liquidation price, leverage and margin mode change with prices, transfers and other positions, so they are
asked for while a position is open. A size that differs from the ledger's for longer than events need to come
means that one of us misses an execution: told, and the account's trades are looked through.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from services.fill_listener.visits import Visits
from shared.binance.rest import Answer
from shared.database import futures
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

    account_id: UUID
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
        self._rest = rest
        self._pool = pool
        self._pace = pace
        self._on_difference = on_difference
        self._metrics = metrics
        self._differences: dict[UUID, _Difference] = {}
        # The events of one order come together.
        self.visits = Visits("margin", environment, accounts, self._look, every_s=EVERY_S, gather_s=GATHER_S)

    async def _look(self, accounts: Sequence[Account]) -> None:
        by_account: dict[UUID, list[LedgerPosition]] = {account.id: [] for account in accounts}
        async with self._pool.acquire() as connection:
            for position in await futures.ledger_positions(connection, by_account):
                by_account[position.account_id].append(position)
        still_open = {one.id for positions in by_account.values() for one in positions}
        for position_id, seen in list(self._differences.items()):
            if seen.account_id in by_account and position_id not in still_open:
                del self._differences[position_id]
        for account in accounts:
            if by_account[account.id]:
                await self._compare(account, by_account[account.id])

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
            self._differences[position.id] = _Difference(
                position.account_id, position.size, there, time.monotonic()
            )
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
