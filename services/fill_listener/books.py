"""The books of strategies, an option: cash, transactions and figures follow the fills (contract, section 5).

Off by default. It reads the feed and writes in transactions of its own, so it can never stop a fill from
being stored; an order that cannot be booked waits for the next try and keeps no other from it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import asyncpg
import structlog

from shared.database import feed, strategy_books

if TYPE_CHECKING:
    from shared.database.connect import Pool
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 1.0
VALUE_EVERY_S = 10.0


class StrategyBooks:
    """Keeps the books.

    Args:
        pool: work connections.
        time_zone: of the bot's host.
        metrics: of this process.

    """

    def __init__(self, pool: Pool, time_zone: str, metrics: Metrics) -> None:
        self._pool = pool
        self._time_zone = time_zone
        self._metrics = metrics
        self._begun = False
        self._value_at = 0.0

    async def keep(self) -> None:
        """Book what is new; every few seconds bring the figures in line with prices."""
        if not self._begun:
            await feed.begin(self._pool, strategy_books.READER)
            self._begun = True
        for order_id, strategy_id in await strategy_books.due(self._pool):
            try:
                await strategy_books.book_order(self._pool, order_id, strategy_id, self._time_zone)
                self._metrics.books("ok").inc()
            except asyncpg.PostgresError as error:
                self._metrics.books("failed").inc()
                log.warning("books.put_off", order_id=str(order_id), error=str(error))
                await strategy_books.put_off(self._pool, order_id)
        if time.monotonic() >= self._value_at:
            self._value_at = time.monotonic() + VALUE_EVERY_S
            await strategy_books.value(self._pool, self._time_zone)
