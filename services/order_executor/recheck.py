"""PROTOCOL 10: after the quarantine, ask for all nine ids of every row that is older than the change.

A history that was lost may have sent them. The order list and the open orders per key tell: what is found is
adopted, what is not there may be claimed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import structlog

from shared.binance.futures import FuturesRest
from shared.binance.rest import Answer
from shared.database.old_rows import leave_old_rows, mark_asked, take_old_rows
from shared.domain.attempt import all_client_order_ids
from shared.domain.fill import FillOrigin, UnreadablePayloadError
from shared.domain.order import Market
from shared.domain.reports import report_of_query
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome, EntryState
from shared.domain.symbol import Instrument
from shared.keys import KeyUnreadableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any
    from uuid import UUID

    from services.order_executor.settle import Settler
    from services.order_executor.venues import Venues
    from shared.binance.rest import Result
    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.connect import Pool
    from shared.database.epoch import Epoch
    from shared.database.old_rows import OldRow
    from shared.keys import Keys
    from shared.settings import ProtocolSettings

log = structlog.get_logger(__name__)

CLOCK_MARGIN = timedelta(seconds=10)
LIST_REACHES_BACK = timedelta(hours=23)  # the order list by time covers 24 h (Spot docs, "All orders")
ALGO_LIST_REACHES_BACK = timedelta(days=6, hours=23)  # less than 7 days (Futures docs, "All algo orders")
FULL_PAGE = 1000
NO_SUCH_ORDER = -2013


class Recheck:
    """Asks for old rows after a change of history.

    Args:
        pool: work connections.
        name: of this process.
        venues: where to ask.
        keys: the accounts' keys.
        settler: takes what was found, or proven absent.
        protocol: its lease, for which nobody else asks about a row, and its margins.
        accounts: served by this process; None = all.

    """

    def __init__(
        self,
        pool: Pool,
        name: str,
        venues: Venues,
        keys: Keys,
        settler: Settler,
        protocol: ProtocolSettings,
        accounts: list[UUID] | None,
    ) -> None:
        self._pool = pool
        self._name = name
        self._venues = venues
        self._keys = keys
        self._settler = settler
        self._lease = protocol.lease
        # A conditional order takes double margins wherever something is judged absent (PROTOCOL 7).
        self._conditional_later = protocol.engine_delay + protocol.query_lag
        self._accounts = accounts

    async def look(self, epoch: Epoch) -> None:
        """Ask about the rows that are due; called with every sweep."""
        async with self._pool.acquire() as connection:
            rows = await take_old_rows(
                connection,
                epoch.id,
                owner=self._name,
                lease=self._lease,
                conditional_later=self._conditional_later,
                accounts=self._accounts,
            )
        for _, group in groupby(sorted(rows, key=_key), key=_key):
            await self._ask(epoch, list(group))

    async def _ask(self, epoch: Epoch, rows: Sequence[OldRow]) -> None:
        first = rows[0]
        venue = self._venues.of(Market(first.market), testnet=first.account.is_testnet)
        try:
            credentials = self._keys.of(first.account_id, first.account)
        except KeyUnreadableError as error:
            log.warning("recheck.key_unreadable", account_id=str(first.account_id), error=str(error))
            return
        if venue.instruments is None:
            # Right after a start; waiting for the lease to run out would only make the recovery longer.
            async with self._pool.acquire() as connection:
                await leave_old_rows(connection, [row.token for row in rows])
            return
        instrument = venue.instruments.resolve(first.symbol)
        if not isinstance(instrument, Instrument):
            await self._no_such_symbol(epoch, rows)
            return
        orders = await self._orders(venue, credentials, instrument, rows)
        if orders is None:
            return
        found, unreadable = self._adopt(venue, instrument, rows, orders)
        if unreadable:
            # It may be one of them: nothing in this round proves that any row is not there.
            log.warning("recheck.unreadable", orders=unreadable)
            return
        await self._not_there(epoch, [row for row in rows if row.order_id not in found])

    async def _orders(
        self, venue: Venue, credentials: Credentials, instrument: Instrument, rows: Sequence[OldRow]
    ) -> list[dict[str, Any]] | None:
        """Return every order that may be one of theirs; None when a question was not answered."""
        oldest = min(row.created_at for row in rows) - CLOCK_MARGIN
        open_orders = await venue.rest.open_orders(credentials, instrument.symbol)
        if (
            not isinstance(open_orders, Answer)
            or not open_orders.ok
            or not isinstance(open_orders.body, list)
        ):
            return None
        orders: list[dict[str, Any]] = list(open_orders.body)
        if any(row.conditional for row in rows):
            waiting = await self._conditional(venue, credentials, instrument, oldest)
            if waiting is None:
                return None
            orders += waiting
        now = datetime.now(UTC)
        if now - oldest > LIST_REACHES_BACK:
            return await self._one_by_one(venue, credentials, instrument, rows, orders)
        listed = await everything(
            lambda start_ms, end_ms: venue.rest.all_orders(
                credentials, instrument.symbol, start_ms=start_ms, end_ms=end_ms, limit=FULL_PAGE
            ),
            _ms(oldest),
            _ms(now + CLOCK_MARGIN),
        )
        return None if listed is None else orders + listed

    async def _conditional(
        self, venue: Venue, credentials: Credentials, instrument: Instrument, oldest: datetime
    ) -> list[dict[str, Any]] | None:
        """Return the conditional orders of a symbol that wait or waited for their trigger; None unanswered.

        What one of them became is an order among the others, under the same client id. The list covers the
        last seven days, which is longer than the exchange remembers an order that was cancelled.
        """
        rest = venue.rest
        assert isinstance(rest, FuturesRest)
        waiting = await rest.open_algo_orders(credentials, instrument.symbol)
        if not isinstance(waiting, Answer) or not waiting.ok or not isinstance(waiting.body, list):
            return None
        now = datetime.now(UTC)
        every = await everything(
            lambda start_ms, end_ms: rest.all_algo_orders(
                credentials, instrument.symbol, start_ms=start_ms, end_ms=end_ms, limit=FULL_PAGE
            ),
            _ms(max(oldest, now - ALGO_LIST_REACHES_BACK)),
            _ms(now + CLOCK_MARGIN),
        )
        return None if every is None else [*waiting.body, *every]

    async def _one_by_one(
        self,
        venue: Venue,
        credentials: Credentials,
        instrument: Instrument,
        rows: Sequence[OldRow],
        orders: list[dict[str, Any]],
    ) -> list[dict[str, Any]] | None:
        for row in rows:
            for own_id in all_client_order_ids(row.order_id):
                answer = await venue.rest.order(credentials, instrument.symbol, client_order_id=own_id)
                if not isinstance(answer, Answer):
                    return None
                if answer.ok:
                    orders.append(answer.body)
                elif answer.code != NO_SUCH_ORDER:
                    return None
        return orders

    def _adopt(
        self,
        venue: Venue,
        instrument: Instrument,
        rows: Sequence[OldRow],
        orders: Sequence[dict[str, Any]],
    ) -> tuple[set[UUID], int]:
        """Hand over the reports about these rows; returns which were found, and how many cannot be read."""
        wanted = {row.order_id: row for row in rows}
        found: set[UUID] = set()
        unreadable = 0
        for order in orders:
            origin = FillOrigin(
                account_id=rows[0].account_id,
                market=venue.market,
                environment_epoch=venue.environment_epoch,
                pair=(instrument.base, instrument.quote),
            )
            try:
                report = report_of_query(order, origin)
            except UnreadablePayloadError:
                unreadable += 1
                continue
            if report is not None and report.order_id in wanted:
                log.warning(
                    "recheck.found", order_id=str(report.order_id), client_order_id=report.client_order_id
                )
                found.add(report.order_id)
                self._settler.put(report)
        return found, unreadable

    async def _no_such_symbol(self, epoch: Epoch, rows: Sequence[OldRow]) -> None:
        """Let rows go that were never claimed: nothing can be asked about a symbol that is not listed.

        What was in flight was claimed while it was listed, or could be read: that is never an absence
        (PROTOCOL 7), it stays unknown for an operator.
        """
        async with self._pool.acquire() as connection:
            await mark_asked(connection, epoch.id, [row.token for row in rows])
        for row in rows:
            if row.state is EntryState.UNKNOWN:
                log.error(
                    "recheck.symbol_gone",
                    order_id=str(row.order_id),
                    symbol=row.symbol,
                    advice=f"settle it by hand: bridge resolve {row.order_id} --placed/--not-placed",
                )

    async def _not_there(self, epoch: Epoch, rows: Sequence[OldRow]) -> None:
        """Let rows without a trace be claimed; an attempt that was in flight is absent."""
        if not rows:
            return
        async with self._pool.acquire() as connection:
            await mark_asked(connection, epoch.id, [row.token for row in rows])
        for row in rows:
            if row.state is EntryState.UNKNOWN:
                self._settler.put(
                    Outcome(
                        order_id=row.order_id,
                        number=row.attempts,
                        token=row.token,
                        outcome=AttemptOutcome.ABSENT,
                        reason_code="absent_after_change",
                        reason="After a change of the database, none of the row's ids is at Binance.",
                    )
                )


async def everything(
    ask: Callable[[int, int], Awaitable[Result]], start_ms: int, end_ms: int
) -> list[dict[str, Any]] | None:
    """Return all that a list holds of a span of time, however many pages that takes.

    Spot begins its page with the oldest, futures end it with the newest, and the conditional ones come newest
    first: so a span whose page is full is asked for again in halves, which holds for all of them.

    Args:
        ask: asks for the list between two moments, both included, epoch milliseconds.
        start_ms: where the span begins.
        end_ms: where it ends.

    Returns:
        None where a question was not answered, or a single millisecond fills a page.

    """
    page = await ask(start_ms, end_ms)
    if not isinstance(page, Answer) or not page.ok or not isinstance(page.body, list):
        return None
    if len(page.body) < FULL_PAGE:
        return page.body
    if start_ms >= end_ms:
        return None
    middle_ms = (start_ms + end_ms) // 2
    before = await everything(ask, start_ms, middle_ms)
    after = None if before is None else await everything(ask, middle_ms + 1, end_ms)
    return None if before is None or after is None else before + after


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _key(row: OldRow) -> tuple[str, str, str]:
    return str(row.account_id), row.market, row.symbol
