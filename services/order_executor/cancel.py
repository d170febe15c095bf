"""PROTOCOL 9: cancel.

What the bot cancelled before it was sent is never sent; what is live is cancelled at the exchange, and so is
what still rests of an order found late (PROTOCOL 6). The exchange has the last word: what filled stays
filled, whatever the row says.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from shared import failpoints
from shared.binance import ask as questions
from shared.binance.rest import Answer
from shared.conflicts import tell_moved
from shared.database.cancels import close_unsent, take_cancels
from shared.domain.classify import CancelOutcome, Expected, classify_cancel
from shared.domain.fill import FillOrigin, UnreadablePayloadError, object_of
from shared.domain.order import Market
from shared.domain.reports import report_of_answer, report_of_query
from shared.keys import KeyUnreadableError
from shared.telemetry.logs import about

if TYPE_CHECKING:
    from uuid import UUID

    from services.order_executor.settle import Settler
    from services.order_executor.venues import Venues
    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.cancels import CancelWanted
    from shared.database.connect import Pool
    from shared.keys import Keys
    from shared.settings import ProtocolSettings
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


class Canceller:
    """Follows the bot's cancels.

    Args:
        pool: work connections.
        venues: where the orders are.
        keys: the accounts' keys.
        settler: takes what the exchange answers.
        protocol: the window after which a cancel is repeated.
        accounts: served by this process; None = all.
        metrics: of this process.

    """

    def __init__(
        self,
        pool: Pool,
        venues: Venues,
        keys: Keys,
        settler: Settler,
        protocol: ProtocolSettings,
        accounts: list[UUID] | None,
        metrics: Metrics,
    ) -> None:
        self._pool = pool
        self._venues = venues
        self._keys = keys
        self._settler = settler
        # An order that was on its way when the cancel came has arrived, or never will, after its deadline.
        self._again_after = timedelta(milliseconds=protocol.recv_window_ms)
        self._accounts = accounts
        self._metrics = metrics

    async def look(self) -> None:
        """Close what was cancelled before it was sent, and cancel at the exchange what is live there."""
        async with self._pool.acquire() as connection:
            closed = await close_unsent(connection, self._accounts)
            wanted = await take_cancels(connection, again_after=self._again_after, accounts=self._accounts)
        for order_id, status in closed:
            if status == "canceled":
                log.info("order.canceled_unsent", order_id=str(order_id))
                continue
            tell_moved(self._metrics, order_id, status=status)
        for order in wanted:
            with about(order_id=order.order_id, account_id=order.account_id, attempt=order.number):
                await self._cancel(order)

    async def _cancel(self, order: CancelWanted) -> None:
        try:
            credentials = self._keys.of(order.account_id, order.account)
        except KeyUnreadableError as error:
            log.warning("cancel.key_unreadable", error=str(error))
            return
        venue = self._venues.of(Market(order.market), testnet=order.account.is_testnet)
        await failpoints.reached("cancel.before")
        expected = Expected(order.client_order_id, order.symbol)
        answer = await questions.cancel(venue.rest, credentials, expected, conditional=order.conditional)
        await failpoints.reached("cancel.sent")
        if not isinstance(answer, Answer):
            log.warning("cancel.unanswered", reason=answer.detail)
            return
        told = classify_cancel(
            venue.market, answer.status, answer.body, expected, retry_after=answer.headers.get("retry-after")
        )
        self._metrics.cancels(venue.market, told.outcome).inc()
        log.info("cancel.answered", outcome=told.outcome, reason=told.sentence)
        if told.outcome is CancelOutcome.CANCELED and "algoId" not in answer.body:
            self._report(order, venue, answer)
        elif told.outcome in (CancelOutcome.CANCELED, CancelOutcome.NOT_OPEN):
            # Also the algo service's word: it says that it cancelled, not what the order is now.
            await self._ask(order, venue, credentials)

    async def _ask(self, order: CancelWanted, venue: Venue, credentials: Credentials) -> None:
        """Ask what it is if not open: presence is believed, absence is the resolver's to judge."""
        expected = Expected(order.client_order_id, order.symbol)
        answer = await questions.order(venue.rest, credentials, expected, conditional=order.conditional)
        if isinstance(answer, Answer) and answer.ok:
            self._report(order, venue, answer)

    def _report(self, order: CancelWanted, venue: Venue, answer: Answer) -> None:
        origin = FillOrigin(
            account_id=order.account_id,
            market=venue.market,
            environment_epoch=venue.environment_epoch,
            pair=("", ""),
        )
        try:
            read = report_of_answer if "transactTime" in object_of(answer.body) else report_of_query
            report = read(answer.body, origin)
        except UnreadablePayloadError as error:
            log.warning("cancel.unreadable", error=str(error))
            return
        if report is not None and report.client_order_id == order.client_order_id:
            self._settler.put(report)
