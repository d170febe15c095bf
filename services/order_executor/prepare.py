"""PROTOCOL 2: prepare without a lock. Guards, key, symbol, price, size: everything known before the claim.

A row leaves here as `Prepared`, or with a verdict: waiting, held or rejected (DESIGN 5).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import asyncpg
import structlog

from services.order_executor.futures_account import KEY_REFUSED
from services.order_executor.limit import Limits
from shared.binance.futures import FuturesRest
from shared.binance.rest import Answer
from shared.database import outbox
from shared.database.connect import DATABASE_AWAY
from shared.database.futures import held_futures
from shared.database.holdings import held_size
from shared.domain.attempt import MAX_ATTEMPTS
from shared.domain.fill import UnreadablePayloadError, decimal_of, object_of, objects_of
from shared.domain.futures_positions import read_positions
from shared.domain.guards import AccountFacts, Snapshot, Switch, before_sizing
from shared.domain.money import ZERO
from shared.domain.order import Market, Side
from shared.domain.position import PositionSide
from shared.domain.reading import Held as Holding
from shared.domain.reading import Unit
from shared.domain.sizing import UnitPolicy, reduces, size
from shared.domain.verdicts import Code, Rejected, Waiting, hold, reject, wait
from shared.keys import KeyUnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal
    from uuid import UUID

    from services.order_executor.futures_account import FuturesAccounts
    from services.order_executor.pauses import Pauses
    from services.order_executor.venues import Venues
    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.caps import Ask
    from shared.database.connect import Pool
    from shared.database.outbox import ReadyEntry
    from shared.domain.futures_orders import PositionMode
    from shared.domain.limits import Priced
    from shared.domain.sizing import Book, Sized
    from shared.domain.symbol import Instrument
    from shared.domain.verdicts import Verdict
    from shared.keys import Keys
    from shared.settings import Configuration


log = structlog.get_logger(__name__)

MISTAKES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    asyncpg.DataError,
)
ANSWERS_WITHIN_S = 3.0  # a row whose prices or balances take longer waits for the next look


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row that may be claimed: what to send, with which key, where."""

    entry: ReadyEntry
    venue: Venue
    credentials: Credentials
    instrument: Instrument
    sized: Sized
    priced: Priced
    ask: Ask


class Preparer:
    """Prepares rows.

    Args:
        configuration: guards, units, ages.
        pool: work connections.
        venues: clocks, instruments, prices.
        keys: the accounts' keys.
        pauses: what is paused.
        futures: what futures accounts are set to.

    Attributes:
        limits: collar and caps.

    """

    def __init__(
        self,
        configuration: Configuration,
        pool: Pool,
        venues: Venues,
        keys: Keys,
        pauses: Pauses,
        futures: FuturesAccounts,
    ) -> None:
        guards = configuration.guards
        self._protocol = configuration.protocol
        self._guards = guards
        self._pool = pool
        self._venues = venues
        self._keys = keys
        self._pauses = pauses
        self._futures = futures
        self.limits = Limits(guards)
        self._units = UnitPolicy(
            default=Unit(guards.unit),
            by_agent={agent: Unit(unit) for agent, unit in guards.unit_by_agent.items()},
            by_market={market: Unit(unit) for market, unit in guards.unit_by_market.items()},
        )

    async def prepare(self, entry: ReadyEntry) -> Prepared | Verdict:
        """Prepare one row, or say why not.

        A mistake of ours ends the process everywhere else; here, before anything is written or sent, it would
        come back with the row at every start and keep all the others from being sent. So it holds the row.
        """
        try:
            return await self._prepare(entry)
        except DATABASE_AWAY:
            raise  # some of these are ValueErrors too: a certificate that has run out, for one
        except MISTAKES as error:
            log.exception("prepare.failed", order_id=str(entry.order.id), advice="report it")
            return hold(Code.NOT_PREPARED, error=type(error).__name__)

    async def _prepare(self, entry: ReadyEntry) -> Prepared | Verdict:
        if entry.attempts >= MAX_ATTEMPTS:
            return hold(Code.ATTEMPTS_USED_UP, count=entry.attempts)
        if entry.quarantined_until is not None:
            return wait(Code.QUARANTINE, until=entry.quarantined_until.isoformat(timespec="seconds"))
        if entry.age > self._protocol.max_order_age:
            async with self._pool.acquire() as connection:
                entry = replace(entry, age=await outbox.own_age(connection, entry.entry_id))
        credentials = self._credentials(entry)
        verdict = before_sizing(self._snapshot(entry, key_readable=credentials is not None))
        if verdict is not None:
            return verdict
        assert entry.account is not None
        assert credentials is not None
        venue = self._venues.of(entry.order.market, testnet=entry.account.is_testnet)
        paused = self._pauses.verdict(venue, entry)
        if paused is not None:
            return paused
        if not venue.rest.clock.trusted(self._protocol.recv_window_ms) or venue.instruments is None:
            return wait(Code.CLOCK_UNKNOWN)
        instrument = venue.instruments.resolve(entry.order.symbol)
        if isinstance(instrument, Rejected):
            return instrument
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                return await self._size_and_price(entry, venue, credentials, instrument)
        except TimeoutError:
            return wait(Code.NO_ANSWER, address=venue.base_url)

    async def _size_and_price(
        self, entry: ReadyEntry, venue: Venue, credentials: Credentials, instrument: Instrument
    ) -> Prepared | Verdict:
        mode: PositionMode | None = None
        if venue.market is Market.FUTURES:
            known = await self._futures.mode(entry.order.account_id, venue, credentials)
            if isinstance(known, Rejected | Waiting):
                return known
            mode = known
        book = await venue.book(instrument.symbol)
        sized = await self._size(entry, venue, credentials, instrument, book, mode)
        if isinstance(sized, Rejected | Waiting):
            return sized
        priced = await self.limits.price(entry, venue, instrument, sized, book)
        if isinstance(priced, Rejected | Waiting):
            return priced
        if mode is not None and not sized.reduces:
            verdict = await self._futures.set_up(entry, venue, credentials, instrument.symbol)
            if verdict is not None:
                return verdict
        ask = self.limits.ask(priced, is_testnet=not venue.live)
        return Prepared(entry, venue, credentials, instrument, sized, priced, ask)

    def _credentials(self, entry: ReadyEntry) -> Credentials | None:
        account = entry.account
        if account is None:
            return None
        try:
            return self._keys.of(entry.order.account_id, account)
        except KeyUnreadableError:
            return None

    def _snapshot(self, entry: ReadyEntry, *, key_readable: bool) -> Snapshot:
        account = entry.account
        return Snapshot(
            order=entry.order,
            account=AccountFacts(
                id=entry.order.account_id,
                user_id=account.user_id,
                exchange=account.exchange,
                is_active=account.is_active,
                is_testnet=account.is_testnet,
                key_readable=key_readable,
            )
            if account
            else None,
            user_active=entry.user_active,
            live=self._guards.live_trading,
            from_before=False,  # such rows are held from the start (PROTOCOL 1); an adopted one is not
            age=entry.age,
            max_age=self._protocol.max_order_age,
            twin_of=entry.twin_of,
            twin_apart=entry.twin_apart,
            halt=_switch(entry, entry.halt),
            reduce_only=_switch(entry, entry.reduce_only),
            breaker=entry.breaker,
            sent_last_minute=entry.sent_last_minute,
            max_per_minute=self._guards.max_orders_per_minute,
        )

    async def _size(
        self,
        entry: ReadyEntry,
        venue: Venue,
        credentials: Credentials,
        instrument: Instrument,
        book: Book | None,
        mode: PositionMode | None,
    ) -> Sized | Rejected | Waiting:
        order = entry.order
        if order.parent_order_id is not None and entry.parent_filled <= 0:
            return reject(Code.PARENT_UNFILLED, parent=order.parent_order_id)
        if not reduces(order):
            return size(order, instrument, book, None, self._units, mode=mode)
        holding = await self._holding(entry, venue, credentials, instrument)
        if isinstance(holding, Waiting | Rejected):
            return holding
        sized = size(order, instrument, book, holding, self._units, mode=mode)
        if order.parent_order_id is None or holding is None or not _exceeds(sized):
            return sized
        # It was meant for all that its parent was meant to fill; it gets what the parent did fill (PROTOCOL
        # 11).
        whole = UnitPolicy(by_market={order.market: Unit.BASE})
        everything = replace(order, amount=holding.size, agent_id="")
        return size(everything, instrument, book, holding, whole, mode=mode)

    async def _holding(
        self,
        entry: ReadyEntry,
        venue: Venue,
        credentials: Credentials,
        instrument: Instrument,
    ) -> Holding | Waiting | Rejected | None:
        """Return what a reducing row may reduce: our position, and what the exchange has free."""
        order = entry.order
        if order.market is Market.FUTURES:
            return await self._position(entry, venue, credentials, instrument)
        async with self._pool.acquire() as connection:
            held = await held_size(
                connection, order.account_id, instrument.symbol, order.strategy_id, order.side.opposite
            )
        if order.parent_order_id is not None:
            held = min(held, entry.parent_filled)
        if held <= 0:
            return None
        answer = await venue.rest.account(credentials)
        if isinstance(answer, Answer) and answer.code in KEY_REFUSED:
            return reject(Code.KEY_REFUSED, reason=answer.message or "")
        free = _free(answer.body, instrument.base) if isinstance(answer, Answer) and answer.ok else None
        if free is None:
            return wait(Code.NO_ANSWER, address=venue.base_url)
        return Holding(size=held, free=free, side=Side.BUY)

    async def _position(
        self, entry: ReadyEntry, venue: Venue, credentials: Credentials, instrument: Instrument
    ) -> Holding | Waiting | Rejected | None:
        """Return the futures position a row may reduce, in the ledger's size and in the exchange's."""
        order = entry.order
        assert isinstance(venue.rest, FuturesRest)
        side = PositionSide.LONG if order.side is Side.SELL else PositionSide.SHORT
        async with self._pool.acquire() as connection:
            held = await held_futures(connection, order.account_id, instrument.symbol, side)
        if order.parent_order_id is not None:
            held = min(held, entry.parent_filled)
        if held <= 0:
            return None
        answer = await venue.rest.position_risk(credentials, instrument.symbol)
        if isinstance(answer, Answer) and answer.code in KEY_REFUSED:
            return reject(Code.KEY_REFUSED, reason=answer.message or "")
        try:
            shown = read_positions(answer.body) if isinstance(answer, Answer) and answer.ok else None
        except UnreadablePayloadError:
            shown = None
        if shown is None:
            return wait(Code.NO_ANSWER, address=venue.base_url)
        there = sum((one.size for one in shown if one.symbol == instrument.symbol and one.side is side), ZERO)
        return Holding(size=held, free=there, side=order.side.opposite)


def keep_to_rate(verdicts: Iterable[Prepared | Verdict], most: int) -> Iterator[Prepared | Verdict]:
    """Let rows of one batch wait that would be too many of their user in this minute.

    Args:
        verdicts: of a batch, in the order of sending.
        most: orders of one user in a minute. Executors that look at the same moment do not see each other's
            batch, so this limit, unlike a cap, may be exceeded by what they claim in that moment.

    """
    more: Counter[UUID] = Counter()
    for verdict in verdicts:
        if not isinstance(verdict, Prepared):
            yield verdict
            continue
        user = verdict.entry.order.user_id
        sent = verdict.entry.sent_last_minute + more[user]
        if sent >= most:
            yield wait(Code.ORDERS_PER_MINUTE, count=sent, limit=most)
        else:
            more[user] += 1
            yield verdict


def _switch(entry: ReadyEntry, on: tuple[str, str] | None) -> Switch | None:
    if on is None:
        return None
    scope, reason = on
    covered = {"account": f"the account {entry.key.account_id}", "symbol": entry.key.symbol}
    return Switch(covered.get(scope, "everything"), reason)


def _exceeds(sized: Sized | Rejected | Waiting) -> bool:
    return isinstance(sized, Rejected) and sized.code is Code.EXCEEDS_POSITION


def _free(account: object, asset: str) -> Decimal | None:
    """Read what is free of an asset from the answer of `account`; None when it cannot be read."""
    try:
        for balance in objects_of(object_of(account).get("balances")):
            if balance.get("asset") == asset:
                return decimal_of(balance, "free")
    except UnreadablePayloadError:
        return None
    return ZERO
