"""DESIGN 6: backfill. What the exchange reports as executed and our fills do not cover is asked for.

A gap is noticed in the very transaction that settles a report, and its order's trades are asked for at once;
again, with growing rests, until they add up (a query may lag behind the stream).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from shared.binance import ask
from shared.binance.rest import Answer
from shared.domain.classify import Expected
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.futures_algo import is_algo_id
from shared.domain.order import Market
from shared.domain.reports import report_of_query, with_trades
from shared.domain.settlement import OrderReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from services.fill_listener.accounts import Accounts
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.sign import Credentials
    from shared.database.streams import OpenAttempt
    from shared.domain.settlement import Line
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

ORDER_WEIGHT = 4
TRADES_WEIGHT = 5
RESTS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PARALLEL = 8


class Question:
    """Asks the exchange about one order: its state, and its trades when some are missing here.

    Args:
        pace: our share of the request weight.

    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    async def order(
        self, environment: Environment, credentials: Credentials, attempt: OpenAttempt
    ) -> OrderReport | Answer | None:
        """Ask for an order, and for its trades when we do not have them all.

        Returns:
            A report; an answer that is not the order (-2013 and the like); None when nothing was learned.

        """
        await self._pace.take(ORDER_WEIGHT)
        answer = await ask.order(
            environment.venue.rest,
            credentials,
            Expected(attempt.client_order_id, attempt.symbol),
            conditional=attempt.conditional,
        )
        if not isinstance(answer, Answer):
            return None
        origin = _origin(environment, attempt.account_id, attempt.pair)
        report = report_of_query(answer.body, origin) if answer.ok else None
        if report is None or report.client_order_id != attempt.client_order_id:
            return answer
        if report.executed <= attempt.filled:
            return report
        return await self._with_trades(environment, credentials, report, origin)

    async def trades(
        self, environment: Environment, credentials: Credentials, line: Line, pair: tuple[str, str]
    ) -> OrderReport | None:
        """Ask for the trades of an order whose state is known; None when nothing was learned."""
        if is_algo_id(line.exchange_order_id):
            return None  # what it became is not known yet; reconciling asks for that
        assert line.exchange_status is not None
        assert line.reported_at is not None
        report = OrderReport(
            order_id=line.order_id,
            number=line.number,
            account_id=line.account_id,
            market=Market(line.market),
            symbol=line.symbol,
            client_order_id=line.client_order_id,
            exchange_order_id=line.exchange_order_id,
            status=line.exchange_status,
            executed=line.executed,
            executed_quote=line.executed_quote,
            occurred_at=line.reported_at,
            source="query",
            pair=pair,
        )
        told = await self._with_trades(
            environment, credentials, report, _origin(environment, line.account_id, pair)
        )
        return told if told.fills else None

    async def _with_trades(
        self, environment: Environment, credentials: Credentials, report: OrderReport, origin: FillOrigin
    ) -> OrderReport:
        await self._pace.take(TRADES_WEIGHT)
        answer = await environment.venue.rest.my_trades(
            credentials, report.symbol, order_id=int(report.exchange_order_id)
        )
        if isinstance(answer, Answer) and answer.ok and isinstance(answer.body, list):
            return with_trades(report, answer.body, origin)
        return report


def _origin(environment: Environment, account_id: UUID, pair: tuple[str, str]) -> FillOrigin:
    return FillOrigin(account_id, environment.market, environment.venue.environment_epoch, pair)


@dataclass(slots=True)
class _Gap:
    """An order whose fills do not add up, and what is known of it."""

    environment: Environment
    line: Line
    healed: asyncio.Event = field(default_factory=asyncio.Event)


class Backfill:
    """Heals gaps.

    Args:
        accounts: credentials of the accounts followed here.
        question: asks.
        apply: takes the reports.
        metrics: of this process.

    """

    def __init__(
        self,
        accounts: Accounts,
        question: Question,
        apply: Callable[[Environment, OrderReport], None],
        metrics: Metrics,
    ) -> None:
        self._accounts = accounts
        self._question = question
        self._apply = apply
        self._metrics = metrics
        self._gaps: dict[tuple[UUID, int], _Gap] = {}
        self._wanted: asyncio.Queue[_Gap] = asyncio.Queue()

    def look_at(self, environment: Environment, line: Line) -> None:
        """Compare an order, just settled, with its fills; a gap is asked about at once."""
        key = (line.order_id, line.number)
        gap = self._gaps.get(key)
        if line.gap < 0:
            self._exceeded(line)
        if line.gap <= 0:
            if gap is not None:
                self._metrics.gaps_healed(line.market).inc()
                log.info("gap.healed", order_id=str(line.order_id), attempt=line.number)
                gap.healed.set()
                del self._gaps[key]
            return
        if gap is not None:
            gap.line = line
            return
        self._metrics.gaps_found(line.market).inc()
        log.warning("gap.found", order_id=str(line.order_id), attempt=line.number, missing=str(line.gap))
        self._gaps[key] = _Gap(environment, line)
        self._wanted.put_nowait(self._gaps[key])

    def _exceeded(self, line: Line) -> None:
        self._metrics.alarms("fills_exceed_report").inc()
        log.error(
            "fills.exceed_report",
            order_id=str(line.order_id),
            attempt=line.number,
            surplus=str(-line.gap),
            advice="compare bridge.fill with the exchange's trade list of this order",
        )

    async def run(self) -> None:
        """Heal until cancelled, a few orders at a time."""
        slots = asyncio.Semaphore(PARALLEL)
        async with asyncio.TaskGroup() as tasks:
            while True:
                gap = await self._wanted.get()
                tasks.create_task(self._heal(gap, slots))

    async def _heal(self, gap: _Gap, slots: asyncio.Semaphore) -> None:
        """Ask until the gap is closed; after the last rest the next reconciliation goes on with it."""
        for rest_s in RESTS_S:
            async with slots:
                await self._ask(gap)
            try:
                async with asyncio.timeout(rest_s):
                    await gap.healed.wait()
                return
            except TimeoutError:
                continue
        self._gaps.pop((gap.line.order_id, gap.line.number), None)
        self._metrics.alarms("gap_stays").inc()
        log.error(
            "gap.stays",
            order_id=str(gap.line.order_id),
            missing=str(gap.line.gap),
            advice="the exchange's trades do not add up to what it reports; reconciling asks again",
        )

    async def _ask(self, gap: _Gap) -> None:
        line = gap.line
        credentials = self._accounts.credentials(line.account_id)
        pair = gap.environment.pair(line.symbol)
        if credentials is None or pair is None:
            return
        try:
            report = await self._question.trades(gap.environment, credentials, line, pair)
        except UnreadablePayloadError as error:
            log.warning("backfill.unreadable", order_id=str(line.order_id), error=str(error))
            return
        if report is not None:
            self._apply(gap.environment, report)
