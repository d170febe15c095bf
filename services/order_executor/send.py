"""PROTOCOL 4 and 5: send once, with the stored timestamp and parameters, and classify what comes back.

Nothing here, and nothing below, sends again. Whatever happens, exactly one finding goes to the settler.
"""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from services.order_executor import journal
from shared import failpoints
from shared.binance.rest import Answer
from shared.binance.sign import with_signature
from shared.binance.weight import Kind, interval_name
from shared.domain.attempt import SigningWindow
from shared.domain.classify import Expected, Pause, classify, classify_failure
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.order import Market
from shared.domain.reports import report_of_answer
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from shared.domain.symbol import says_stale
from shared.telemetry.logs import about

if TYPE_CHECKING:
    from services.order_executor.futures_account import FuturesAccounts
    from services.order_executor.pauses import Pauses
    from services.order_executor.prepare import Prepared
    from services.order_executor.rate import Rates
    from services.order_executor.settle import Settler
    from services.order_executor.trail import Trail
    from shared.binance.rest import Result
    from shared.database.claim import Intent
    from shared.database.settle import Finding
    from shared.domain.classify import Classification
    from shared.telemetry.metrics import Metrics
    from shared.telemetry.traces import Tracing

log = structlog.get_logger(__name__)

MODE_REFUSED = frozenset({"exchange_position_mode", "exchange_malformed"})
"""What refuses an order that was made for the other position mode (-4061; -1106 for `reduceOnly`)."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An order whose attempt is durable: send it now, once."""

    prepared: Prepared
    intent: Intent
    trail: Trail


class Sender:
    """Sends claimed orders.

    Args:
        recv_window_ms: of every order.
        settler: takes the findings.
        pauses: told what the exchange or the network says about an address, an account, a key.
        rates: told what the exchange counted.
        futures: told when an order was refused for its account's position mode.
        metrics: of this process.
        tracing: of this process.

    """

    def __init__(
        self,
        recv_window_ms: int,
        settler: Settler,
        pauses: Pauses,
        rates: Rates,
        futures: FuturesAccounts,
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._recv_window_ms = recv_window_ms
        self._settler = settler
        self._pauses = pauses
        self._rates = rates
        self._futures = futures
        self._metrics = metrics
        self._tracing = tracing

    async def send(self, order: Claimed) -> None:
        """Send one order and hand over what became of it."""
        intent = order.intent
        with (
            about(
                order_id=intent.order_id,
                account_id=order.prepared.entry.order.account_id,
                attempt=intent.number,
            ),
            self._tracing.span(
                "send", intent.trace, attempt=intent.number, client_order_id=intent.client_order_id
            )
            if intent.trace
            else nullcontext(),
        ):
            # Before the first byte: who lost the database finds in these lines every order that may exist.
            journal.write(order, self._recv_window_ms)
            result = await self._post(order)
            self._rates.answered(intent.order_id, order.prepared.venue, result)
            self._show_order_count(order, result)
            await failpoints.reached("send.answered")
            finding = self._classify(order, result)
            await failpoints.reached("classify.done")
            self._settler.put(finding)

    async def _post(self, order: Claimed) -> Result | None:
        """POST once; None when less than half the window was left before the first byte."""
        venue, credentials = order.prepared.venue, order.prepared.credentials
        window = SigningWindow(order.intent.signed_at_ms, self._recv_window_ms)
        now_ms = venue.rest.clock.exchange_now_ms() if venue.rest.clock.known else window.deadline_ms
        if window.must_not_send(now_ms):
            return None
        await failpoints.reached("send.before")
        started, waited = time.monotonic(), datetime.now(UTC) - order.prepared.entry.order.created_at
        result = await venue.rest.place_order(
            with_signature(order.intent.parameters, credentials),
            credentials.api_key,
            first_byte_before=started + (window.first_byte_before_ms - now_ms) / 1000,
        )
        self._metrics.commit_to_send(venue.market).observe(max(0.0, waited.total_seconds()))
        self._metrics.send_to_ack(venue.market).observe(time.monotonic() - started)
        return result

    def _show_order_count(self, order: Claimed, result: Result | None) -> None:
        """Show how many orders of the account the exchange counts, and how many it allows."""
        if not isinstance(result, Answer):
            return
        venue, account = order.prepared.venue, str(order.prepared.entry.order.account_id)
        for limit in self._rates.limits(venue):
            count = result.used.get((limit.kind, limit.interval_ms))
            if limit.kind is Kind.ORDERS and count is not None:
                labels = (account, str(venue.market), interval_name(limit.interval_ms))
                self._metrics.order_count_used(*labels).set(count)
                self._metrics.order_count_limit(*labels).set(limit.most)

    def _classify(self, order: Claimed, result: Result | None) -> Finding:
        intent, venue = order.intent, order.prepared.venue
        if result is None:
            return self._outcome(
                order,
                AttemptOutcome.NOT_SENT,
                "too_late",
                "Less than half of the receive window was left before the first byte; it was not sent.",
            )
        if isinstance(result, Answer):
            classification = classify(
                venue.market,
                result.status,
                result.body,
                Expected(intent.client_order_id, intent.symbol),
                retry_after=result.headers.get("retry-after"),
                now_exchange_ms=venue.rest.clock.exchange_now_ms() if venue.rest.clock.known else None,
            )
        else:
            classification = classify_failure(result.reason, int(result.bytes_written))
        self._act_on(order, classification)
        if classification.outcome is AttemptOutcome.ACCEPTED:
            assert isinstance(result, Answer)
            return self._accepted(order, result)
        log.warning(
            "order.not_accepted",
            outcome=classification.outcome,
            reason_code=classification.reason_code,
            reason=classification.sentence,
        )
        return self._outcome(
            order, classification.outcome, classification.reason_code, classification.sentence
        )

    def _accepted(self, order: Claimed, answer: Answer) -> Finding:
        intent, venue = order.intent, order.prepared.venue
        origin = FillOrigin(
            account_id=order.prepared.entry.order.account_id,
            market=venue.market,
            environment_epoch=venue.environment_epoch,
            pair=(intent.base_asset, intent.quote_asset),
            order_id=intent.order_id,
            client_order_id=intent.client_order_id,
            prices=venue.prices(),
        )
        try:
            report = report_of_answer(answer.body, origin)
        except UnreadablePayloadError as error:
            log.warning("answer.unreadable", error=str(error))
            report = None
        if report is not None:
            return report
        return self._outcome(
            order,
            AttemptOutcome.UNKNOWN,
            "unreadable_answer",
            "Binance accepted the order with an answer that cannot be read; it is being asked.",
        )

    def _act_on(self, order: Claimed, classification: Classification[AttemptOutcome]) -> None:
        """Do what the answer says besides settling: pause, measure the clock, read the filters again."""
        venue = order.prepared.venue
        if classification.resync_clock:
            venue.resync_clock()
        if says_stale(classification.reason_code):
            venue.reread_instruments(f"{order.intent.symbol} {classification.reason_code}")
        if venue.market is Market.FUTURES and classification.reason_code in MODE_REFUSED:
            self._futures.forget_mode(venue, order.prepared.credentials)
        match classification.pause:
            case Pause.ADDRESS:
                self._pauses.pause_address(venue, classification.retry_after_s, classification.sentence)
            case Pause.ACCOUNT | Pause.KEY as scope:
                self._pauses.pause_account(
                    order.prepared.entry, scope, classification.retry_after_s, classification.sentence
                )

    @staticmethod
    def _outcome(order: Claimed, outcome: AttemptOutcome, code: str, reason: str) -> Outcome:
        return Outcome(
            order_id=order.intent.order_id,
            number=order.intent.number,
            token=order.intent.token,
            outcome=outcome,
            reason_code=code,
            reason=reason,
            draw=random.random(),  # noqa: S311 - jitter, not a secret
        )
