"""PROTOCOL 7: resolve what is unknown by asking. Presence is believed at once.

An attempt that is not found stays `unknown` and is asked about again; it is never taken for absent, never
sent again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shared import failpoints
from shared.binance.rest import Answer
from shared.database.connect import DATABASE_AWAY
from shared.database.unknowns import take_unknown
from shared.domain.classify import Expected, QueryOutcome, classify_query
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.order import Market
from shared.domain.reports import report_of_query, with_trades
from shared.keys import KeyUnreadableError
from shared.telemetry.logs import about

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from services.order_executor.settle import Settler
    from services.order_executor.venues import Venues
    from shared.database.connect import Pool
    from shared.database.unknowns import UnknownAttempt
    from shared.domain.settlement import OrderReport
    from shared.keys import Keys
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0


class Resolver:
    """Asks about unknown attempts.

    Args:
        pool: work connections.
        name: of this process.
        venues: where to ask.
        keys: the accounts' keys.
        settler: takes what was found.
        accounts: served by this process; None = all.
        ask_again_after: between two questions about one attempt.
        metrics: of this process.

    """

    def __init__(
        self,
        pool: Pool,
        name: str,
        venues: Venues,
        keys: Keys,
        settler: Settler,
        *,
        accounts: list[UUID] | None,
        ask_again_after: timedelta,
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._name = name
        self._venues = venues
        self._keys = keys
        self._settler = settler
        self._accounts = accounts
        self._ask_again_after = ask_again_after
        self._metrics = metrics

    async def run(self) -> None:
        """Look for unknown attempts and ask about them until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with self._pool.acquire() as connection:
                    attempts = await take_unknown(
                        connection, owner=self._name, lease=self._ask_again_after, accounts=self._accounts
                    )
            except DATABASE_AWAY as error:
                log.warning("resolve.database_away", error=str(error))
                continue
            for attempt in attempts:
                with about(order_id=attempt.order_id, account_id=attempt.account_id, attempt=attempt.number):
                    await self._ask(attempt)

    async def _ask(self, attempt: UnknownAttempt) -> None:
        report = await self._question(attempt)
        await failpoints.reached("resolve.asked")
        if report is not None:
            log.info("unknown.found", status=report.status, exchange_order_id=report.exchange_order_id)
            self._settler.put(report)

    async def _question(self, attempt: UnknownAttempt) -> OrderReport | None:
        try:
            credentials = self._keys.of(
                attempt.account_id,
                attempt.account.version,
                attempt.account.api_key_encrypted,
                attempt.account.secret_encrypted,
            )
        except KeyUnreadableError as error:
            log.warning("resolve.key_unreadable", error=str(error))
            return None
        venue = self._venues.of(Market(attempt.market), testnet=attempt.account.is_testnet)
        answer = await venue.rest.order(credentials, attempt.symbol, client_order_id=attempt.client_order_id)
        if not isinstance(answer, Answer):
            self._metrics.questions(attempt.market, "order", "failed").inc()
            return None
        expected = Expected(attempt.client_order_id, attempt.symbol)
        told = classify_query(venue.market, answer.status, answer.body, expected)
        self._metrics.questions(attempt.market, "order", told.outcome).inc()
        if told.outcome is not QueryOutcome.FOUND:
            return None
        origin = FillOrigin(
            account_id=attempt.account_id,
            market=venue.market,
            environment_epoch=venue.environment_epoch,
            pair=attempt.pair,
            prices=venue.prices(),
        )
        try:
            report = report_of_query(answer.body, origin)
            if report is None or not report.executed:
                return report
            trades = await venue.rest.my_trades(
                credentials, attempt.symbol, order_id=int(report.exchange_order_id)
            )
            if isinstance(trades, Answer) and trades.ok and isinstance(trades.body, list):
                return with_trades(report, trades.body, origin)
        except UnreadablePayloadError as error:
            log.warning("resolve.unreadable", error=str(error))
            return None
        else:
            return report
