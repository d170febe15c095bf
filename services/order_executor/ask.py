"""PROTOCOL 7: the questions. Each is one request, and what it says about one attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.binance import ask as questions
from shared.binance.rest import Answer
from shared.database.unknowns import known_exchange_orders
from shared.domain.absence import Identity, QuestionKind, Result
from shared.domain.classify import Expected, QueryOutcome, classify_query, find_order, shows
from shared.domain.fill import FillOrigin, UnreadablePayloadError, objects_of
from shared.domain.futures_algo import is_algo_id
from shared.domain.reports import report_of_query, with_trades

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from shared.binance.rest import Result as BinanceResult
    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.connect import Pool
    from shared.database.unknowns import UnknownAttempt
    from shared.domain.settlement import OrderReport
    from shared.telemetry.metrics import Metrics

CLOCK_MARGIN_MS = 5000
OF_A_KEY = frozenset(
    {
        QuestionKind.OPEN_ORDERS,
        QuestionKind.ALL_ORDERS,
        QuestionKind.OPEN_ALGO_ORDERS,
        QuestionKind.ALL_ALGO_ORDERS,
    }
)
"""The questions whose answer tells of every order of a key, so that several unknowns can share it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a question brought: its result, a sentence, and the report where the order was found."""

    result: Result
    detail: str = ""
    report: OrderReport | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """When a question is asked, on the exchange's clock as its answers showed it.

    Attributes:
        now_ms: shown before it is sent.
        not_before_ms: an answer asked for later than this counts for the attempt.

    """

    now_ms: int
    not_before_ms: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A list as it was told, from when on it begins, and when it was asked for."""

    answer: Answer
    since_ms: int
    now_ms: int


class Lists:
    """Lists told in one round: several unknowns of a key share them, each where they came late enough for it.

    Only whole answers are shared; what failed, or filled its page, is asked again for the next attempt.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Identity, str, QuestionKind], _Kept] = {}

    def find(
        self, asker: Identity, symbol: str, kind: QuestionKind, since_ms: int, not_before_ms: int
    ) -> _Kept | None:
        """Return the list that answers this question, if one was told."""
        kept = self._kept.get((asker, symbol, kind))
        if kept is None or kept.now_ms <= not_before_ms or kept.since_ms > since_ms:
            return None
        return kept

    def keep(
        self, asker: Identity, symbol: str, kind: QuestionKind, since_ms: int, now_ms: int, answer: object
    ) -> None:
        """Keep what was told, if it is a list and all of it."""
        if kind not in OF_A_KEY or not isinstance(answer, Answer) or not answer.ok:
            return
        if isinstance(answer.body, list) and len(answer.body) < questions.FULL_PAGE:
            self._kept[asker, symbol, kind] = _Kept(answer, since_ms, now_ms)


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
        self,
        venue: Venue,
        credentials: Credentials,
        asker: Identity,
        attempt: UnknownAttempt,
        kind: QuestionKind,
        moment: Moment,
        lists: Lists,
    ) -> tuple[Told, int]:
        """Ask one question about one attempt, or take its answer from a list told in this round.

        Returns:
            What was told, and the exchange's time that was known when it was asked for.

        """
        since_ms = attempt.signed_at_ms - CLOCK_MARGIN_MS
        shared = lists.find(asker, attempt.symbol, kind, since_ms, moment.not_before_ms)
        if shared is not None:
            told = await self._read(venue, credentials, attempt, kind, shared.answer)
            return told, shared.now_ms
        expected = Expected(attempt.client_order_id, attempt.symbol)
        answer = await questions.put(venue.rest, credentials, kind, expected, since_ms)
        lists.keep(asker, attempt.symbol, kind, since_ms, moment.now_ms, answer)
        told = await self._read(venue, credentials, attempt, kind, answer)
        self._metrics.questions(attempt.market, kind, told.result).inc()
        return told, moment.now_ms

    async def _read(
        self,
        venue: Venue,
        credentials: Credentials,
        attempt: UnknownAttempt,
        kind: QuestionKind,
        answer: BinanceResult,
    ) -> Told:
        expected = Expected(attempt.client_order_id, attempt.symbol)
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
        try:
            orders = {str(trade.get("orderId")) for trade in objects_of(answer.body)}
        except UnreadablePayloadError as error:
            return Told(Result.FAILED, str(error))
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
