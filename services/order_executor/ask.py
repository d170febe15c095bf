"""PROTOCOL 7: the questions. Each is one request, and what it says about one attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.binance import ask as questions
from shared.binance.rest import Answer
from shared.database.unknowns import known_exchange_orders
from shared.domain.absence import Identity, QuestionKind, Result
from shared.domain.classify import Expected, QueryOutcome, classify_query, find_order, shows
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.futures_algo import is_algo_id
from shared.domain.reports import report_of_query, with_trades

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.connect import Pool
    from shared.database.unknowns import UnknownAttempt
    from shared.domain.settlement import OrderReport
    from shared.telemetry.metrics import Metrics

CLOCK_MARGIN_MS = 5000


@dataclass(frozen=True, slots=True)
class Told:
    """What a question brought: its result, a sentence, and the report where the order was found."""

    result: Result
    detail: str = ""
    report: OrderReport | None = None


def identity_of(
    api_key_hash: str, account_uid: str | None, base_url: str, environment_epoch: int, epoch: int
) -> Identity:
    """Say as whom, and where, a request was or is made."""
    return Identity(api_key_hash, account_uid, f"{base_url}#{environment_epoch}", epoch)


class Asker:
    """Asks the exchange about attempts.

    Args:
        pool: work connections.
        metrics: of this process.

    """

    def __init__(self, pool: Pool, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics

    async def ask(
        self, venue: Venue, credentials: Credentials, attempt: UnknownAttempt, kind: QuestionKind
    ) -> Told:
        """Ask one question about one attempt."""
        told = await self._ask(venue, credentials, attempt, kind)
        self._metrics.questions(attempt.market, kind, told.result).inc()
        return told

    async def _ask(
        self, venue: Venue, credentials: Credentials, attempt: UnknownAttempt, kind: QuestionKind
    ) -> Told:
        since_ms = attempt.signed_at_ms - CLOCK_MARGIN_MS
        expected = Expected(attempt.client_order_id, attempt.symbol)
        answer = await questions.put(venue.rest, credentials, kind, expected, since_ms)
        if kind is QuestionKind.TRADES:
            return await self._attribute(answer, attempt)
        if not isinstance(answer, Answer):
            return Told(Result.FAILED, answer.detail)
        told = classify_query(
            venue.market, answer.status, answer.body, expected, full_page=questions.FULL_PAGE
        )
        if told.outcome is QueryOutcome.EMPTY:
            return Told(Result.EMPTY, told.sentence)
        if told.outcome is not QueryOutcome.FOUND:
            return Told(Result.FAILED, told.sentence)
        order = answer.body if isinstance(answer.body, dict) else find_order(answer.body, expected)
        assert order is not None
        if attempt.conditional:
            # It is there; what it became, if it has triggered, alone knows what filled.
            became = await questions.order(venue.rest, credentials, expected, conditional=True)
            if isinstance(became, Answer) and became.ok and shows(became.body, expected):
                order = became.body
        return await self._found(venue, credentials, attempt, order)

    async def _found(
        self, venue: Venue, credentials: Credentials, attempt: UnknownAttempt, order: Mapping[str, Any]
    ) -> Told:
        """Read the order and, where it has traded, its fills."""
        origin = FillOrigin(
            account_id=attempt.account_id,
            market=venue.market,
            environment_epoch=venue.environment_epoch,
            pair=attempt.pair,
            prices=venue.prices(),
        )
        try:
            report = report_of_query(order, origin)
            if report is None:
                return Told(Result.FAILED, "the order found is not in our id form")
            if report.executed and not is_algo_id(report.exchange_order_id):
                trades = await venue.rest.my_trades(
                    credentials, attempt.symbol, order_id=int(report.exchange_order_id)
                )
                if isinstance(trades, Answer) and trades.ok and isinstance(trades.body, list):
                    report = with_trades(report, trades.body, origin)
        except UnreadablePayloadError as error:
            return Told(Result.FAILED, str(error))
        return Told(Result.FOUND, f"order {report.exchange_order_id} is {report.status}", report)

    async def _attribute(self, answer: object, attempt: UnknownAttempt) -> Told:
        """Tell whether every trade since the attempt belongs to an order we know."""
        if not isinstance(answer, Answer):
            return Told(Result.FAILED, "the trades were not told")
        if not answer.ok or not isinstance(answer.body, list) or len(answer.body) >= questions.FULL_PAGE:
            return Told(Result.FAILED, "the trades were not told, or too many to be all")
        orders = {str(trade.get("orderId")) for trade in answer.body if isinstance(trade, dict)}
        if not orders:
            return Told(Result.EMPTY)
        async with self._pool.acquire() as connection:
            known = await known_exchange_orders(
                connection, attempt.account_id, attempt.market, attempt.symbol, sorted(orders)
            )
        strange = sorted(orders - known)
        if strange:
            return Told(Result.FAILED, f"trades of orders we do not know: {', '.join(strange)}")
        return Told(Result.EMPTY)
