"""PROTOCOL 2: the rate grant, taken before the claim.

What the exchange allows an address (request weight, raw requests) and an account (orders per ten seconds,
per day) is leased from Postgres in slices, for windows of the exchange's clock; a grant is then taken from
what is here. Each process also holds a small standing allowance, so that an order now and then waits for
nothing at all. Answers correct the counts: what filled does not count, what others used does.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from shared.binance.rest import Answer, TransportFailure
from shared.binance.weight import (
    SEATS,
    Budget,
    Kind,
    Priority,
    limits_of,
    priority_of,
    shared_ceiling,
    standing_of,
    weight_of,
)
from shared.database import rate
from shared.database.connect import DATABASE_AWAY
from shared.database.rate import RateKey, Request
from shared.domain.order import Market
from shared.domain.verdicts import Code, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from uuid import UUID

    from services.order_executor.prepare import Prepared
    from shared.binance.rest import Result
    from shared.binance.venue import Venue
    from shared.binance.weight import Limit, Taken
    from shared.database.connect import Pool
    from shared.database.outbox import Key
    from shared.domain.verdicts import Waiting

log = structlog.get_logger(__name__)

SEAT_FOR = timedelta(seconds=15)
SEAT_EVERY_S = 5.0
DECREMENT_SHOWS_AFTER_MS = 1000.0  # "small delay" (Binance docs, "Unfilled Order Count"); measured by nobody
AFTER_THE_WINDOW_S = 0.002
LOOK_AGAIN_AFTER_S = 0.1  # others use the account, or the database is away
TOO_MANY_ORDERS = -1015
OUTSIDE_OF_WINDOW = -1021  # found late it has been counted already
NO_MORE = "The request weight of this minute is used up; it is asked again later."


@dataclass(slots=True)
class Grant:
    """What one order or request has taken of each budget it counts in."""

    market: Market
    parts: tuple[tuple[RateKey, Budget, Taken], ...]

    def unused(self) -> None:
        """Give all of it back: nothing was sent."""
        for _, budget, taken in self.parts:
            budget.unused(taken)

    def used(self) -> None:
        """Count all of it: it may have been sent, or its answer says nothing about counts."""
        for _, budget, taken in self.parts:
            budget.used(taken)

    def answered(self, answer: Answer, now_ms: float) -> None:
        """Count what the exchange counts of an order that it has answered.

        Args:
            answer: to the POST.
            now_ms: the exchange's time.

        """
        told = answer.used
        at_ms = _exchange_time(answer)
        for key, budget, taken in self.parts:
            kind, interval_ms = key.kind, key.interval_ms
            if kind == Kind.WEIGHT and answer.ok:
                budget.unused(taken)  # a placement that succeeds weighs nothing
            elif kind == Kind.ORDERS and self._is_not_counted(answer):
                budget.unused(taken, now_ms + DECREMENT_SHOWS_AFTER_MS)
            else:
                budget.used(taken, int(at_ms // interval_ms) if at_ms is not None else None)
            if kind == Kind.ORDERS and at_ms is not None and (kind, interval_ms) in told:
                budget.told(told[kind, interval_ms], int(at_ms // interval_ms))
            if kind == Kind.ORDERS and answer.code == TOO_MANY_ORDERS:
                budget.is_empty, budget.seen = True, budget.limit.most

    def _is_not_counted(self, answer: Answer) -> bool:
        """Say whether an order is not counted: refused, or on spot filled at once."""
        if answer.ok:
            filled = isinstance(answer.body, dict) and bool(answer.body.get("fills"))
            return self.market is Market.SPOT and filled
        return answer.status == 400 and answer.code not in (None, TOO_MANY_ORDERS, OUTSIDE_OF_WINDOW)


@dataclass(slots=True)
class _Venue:
    """What is known of one address."""

    limits: tuple[Limit, ...] = ()
    budgets: list[tuple[RateKey, Budget]] = field(default_factory=list)


class Rates:
    """The rate governor of one process.

    Args:
        pool: work connections.
        name: of this process, holder of a seat.
        on_room: told the keys whose rows were waiting for a grant, when there may be one.

    """

    def __init__(self, pool: Pool, name: str, on_room: Callable[[Collection[Key]], None]) -> None:
        self._pool = pool
        self._name = name
        self._on_room = on_room
        self._venues: dict[str, _Venue] = {}
        self._accounts: dict[tuple[str, str], list[tuple[RateKey, Budget]]] = {}
        self._budgets: dict[RateKey, Budget] = {}
        self._seat: int | None = None
        self._seat_until = 0.0
        self._orders: dict[UUID, Grant] = {}
        self._asked: dict[RateKey, tuple[int, Priority]] = {}
        self._ask = asyncio.Event()
        self._round: asyncio.Future[None] | None = None
        self._waiting: dict[RateKey, set[Key]] = {}

    async def run(self) -> None:
        """Keep the seat and lease what is asked for, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_seat())
            tasks.create_task(self._keep_leasing())

    # -- Orders -----------------------------------------------------------------------------------

    async def grant(self, order: Prepared) -> Prepared | Waiting:
        """Take the grant for one order; without it the row has to wait."""
        venue, key_hash = order.venue, order.credentials.fingerprint
        parts = [(*part, 1) for part in (*self._of_address(venue), *self._of_account(venue, key_hash))]
        taken = await self._take(venue, parts, Priority.PLACE)
        if taken is not None:
            self._orders[order.entry.order.id] = taken
            return order
        for key, budget, _ in parts:
            if budget.left() < 1:
                self._wait(venue, key, budget, order.entry.key)
        return wait(Code.RATE_LIMITED)

    def not_claimed(self, orders: Iterable[UUID]) -> None:
        """Give back the grants of orders that were not claimed after all."""
        for order_id in orders:
            grant = self._orders.pop(order_id, None)
            if grant is not None:
                grant.unused()

    def answered(self, order_id: UUID, venue: Venue, result: Result | None) -> None:
        """Count what became of a claimed order.

        Args:
            order_id: the row.
            venue: where it was sent.
            result: of the POST; None when it was not sent.

        """
        grant = self._orders.pop(order_id, None)
        if grant is None:
            return
        if result is None or (isinstance(result, TransportFailure) and not result.bytes_written):
            grant.unused()
        elif isinstance(result, Answer) and venue.rest.clock.known:
            grant.answered(result, venue.rest.clock.exchange_now_ms())
        else:
            grant.used()

    # -- Reads and cancels ------------------------------------------------------------------------

    async def admit(
        self, venue: Venue, method: str, path: str, query_string: str
    ) -> Grant | TransportFailure:
        """Take the weight of a request that is no order; a failure when there is none left for its kind."""
        priority = priority_of(method, path)
        parts = [
            (key, budget, weight_of(method, path, query_string) if key.kind == Kind.WEIGHT else 1)
            for key, budget in self._of_address(venue)
        ]
        taken = await self._take(venue, parts, priority)
        return taken or TransportFailure(bytes_written=False, reason="rate", detail=NO_MORE)

    def limits(self, venue: Venue) -> tuple[Limit, ...]:
        """Return the limits an address has told of."""
        known = self._venues.get(venue.base_url)
        return known.limits if known is not None else ()

    def observed(self, venue: Venue, path: str, result: Result) -> None:
        """Learn limits and what is used of them from any answer."""
        if not isinstance(result, Answer):
            return
        if path.endswith("/exchangeInfo") and result.ok and isinstance(result.body, dict):
            self._learn(venue, limits_of(result.body))
        for key, budget in self._of_address(venue):
            count = result.used.get((key.kind, key.interval_ms))
            if count is not None and (window := self._sure_window(venue, key)) is not None:
                budget.told(count, window)

    # -- Budgets ----------------------------------------------------------------------------------

    def _learn(self, venue: Venue, limits: tuple[Limit, ...]) -> None:
        known = self._venues.setdefault(venue.base_url, _Venue())
        if limits == known.limits:
            return
        known.limits = limits
        known.budgets = [
            (key, self._budget(key, limit))
            for limit in limits
            if limit.kind is not Kind.ORDERS
            for key in [RateKey("address", venue.base_url, limit.kind, limit.interval_ms)]
        ]
        self._accounts = {of: budgets for of, budgets in self._accounts.items() if of[0] != venue.base_url}
        log.info("rate.limits", base_url=venue.base_url, limits=[f"{k}/{ms}ms={n}" for k, ms, n in limits])

    def _of_address(self, venue: Venue) -> list[tuple[RateKey, Budget]]:
        known = self._venues.get(venue.base_url)
        return known.budgets if known is not None else []

    def _of_account(self, venue: Venue, key_hash: str) -> list[tuple[RateKey, Budget]]:
        of = (venue.base_url, key_hash)
        if of not in self._accounts:
            known = self._venues.get(venue.base_url)
            self._accounts[of] = [
                (key, self._budget(key, limit))
                for limit in (known.limits if known is not None else ())
                if limit.kind is Kind.ORDERS
                # Markets count apart: the address is part of the key.
                for key in [RateKey("key", f"{venue.base_url} {key_hash}", limit.kind, limit.interval_ms)]
            ]
        return self._accounts[of]

    def _budget(self, key: RateKey, limit: Any) -> Budget:
        budget = self._budgets.setdefault(key, Budget(limit))
        budget.limit, budget.standing = limit, standing_of(limit, self._seat)
        return budget

    def _now(self, venue: Venue) -> tuple[float, float] | None:
        """Return the exchange's time and how far it may be off, None while it is unknown."""
        clock = venue.rest.clock
        error_ms = clock.error_ms()
        return (clock.exchange_now_ms(), error_ms) if clock.known and error_ms is not None else None

    def _sure_window(self, venue: Venue, key: RateKey) -> int | None:
        """Return the window on the exchange's clock, None where ours cannot tell."""
        now = self._now(venue)
        if now is None:
            return None
        earliest, latest = ((now[0] + sign * now[1]) // key.interval_ms for sign in (-1, 1))
        return int(earliest) if earliest == latest else None

    async def _take(
        self, venue: Venue, parts: Sequence[tuple[RateKey, Budget, int]], priority: Priority
    ) -> Grant | None:
        """Take of every budget or of none, leasing what is missing."""
        for is_second_try in (False, True):
            now = self._now(venue)
            if now is None:
                return Grant(
                    venue.market, ()
                )  # nothing is sent with an unknown clock but the question for it
            short = []
            for key, budget, amount in parts:
                budget.turn(*now)
                if self._seat is not None and time.monotonic() > self._seat_until:
                    budget.own = min(budget.own, 0)
                if budget.left(priority) < amount:
                    short.append((key, budget, amount))
            if not short:
                self._lease_ahead((key, budget) for key, budget, _ in parts)
                taken = tuple((key, budget, budget.take(amount, now[0])) for key, budget, amount in parts)
                return Grant(venue.market, taken)
            if is_second_try or any(budget.is_empty for _, budget, _ in short):
                return None
            await self._lease_now(short, priority)
        return None

    # -- Leasing ----------------------------------------------------------------------------------

    def _lease_ahead(self, budgets: Iterable[tuple[RateKey, Budget]]) -> None:
        """Ask for the next slice before it is needed."""
        for key, budget in budgets:
            if budget.wants_more() and key not in self._asked:
                self._asked[key] = (1, Priority.PLACE)
                self._ask.set()

    async def _lease_now(self, short: Iterable[tuple[RateKey, Budget, int]], priority: Priority) -> None:
        """Ask for slices and wait for the answer."""
        for key, _, amount in short:
            before = self._asked.get(key, (0, priority))
            self._asked[key] = (max(amount, before[0]), min(priority, before[1], key=_rank))
        self._ask.set()
        if self._round is None:
            self._round = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._round)

    async def _keep_leasing(self) -> None:
        while True:
            await self._ask.wait()
            self._ask.clear()
            asked, self._asked = self._asked, {}
            finished, self._round = self._round, None
            await self._lease(asked)
            if finished is not None:
                finished.set_result(None)

    async def _lease(self, asked: dict[RateKey, tuple[int, Priority]]) -> None:
        requests = []
        for key, (amount, priority) in asked.items():
            budget = self._budgets[key]
            wish = budget.wish(amount)
            ceiling = shared_ceiling(budget.limit, priority)
            requests.append(Request(key, wish.window, ceiling, wish.amount, wish.seen))
        try:
            async with self._pool.acquire() as connection:
                given = await rate.lease(connection, requests)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            log.warning("rate.not_leased", error=str(error))
            return
        for request in requests:
            _, amount = given[request.of]
            # Nothing for a read is no word about the rest.
            if amount or request.ceiling == shared_ceiling(self._budgets[request.of].limit):
                self._budgets[request.of].lease(request.window, amount)

    async def _keep_seat(self) -> None:
        while True:
            asked_at = time.monotonic()
            try:
                async with self._pool.acquire() as connection:
                    self._seat = await rate.take_seat(connection, self._name, lasting=SEAT_FOR, seats=SEATS)
                self._seat_until = asked_at + SEAT_FOR.total_seconds()
            except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                log.warning("rate.no_seat", error=str(error))
            for budget in self._budgets.values():
                budget.standing = standing_of(budget.limit, self._seat)
            await asyncio.sleep(SEAT_EVERY_S)

    # -- Waiting ----------------------------------------------------------------------------------

    def _wait(self, venue: Venue, key: RateKey, budget: Budget, row_key: Key) -> None:
        """Remember whose rows wait, and look again when the window is over."""
        if key in self._waiting:
            self._waiting[key].add(row_key)
            return
        self._waiting[key] = {row_key}
        now = self._now(venue)
        delay_s = LOOK_AGAIN_AFTER_S
        if now is not None and budget.is_empty:
            delay_s = max(0.0, budget.ends_ms() - now[0] + now[1]) / 1000 + AFTER_THE_WINDOW_S
        asyncio.get_running_loop().call_later(delay_s, self._room, key)

    def _room(self, key: RateKey) -> None:
        keys = self._waiting.pop(key, set())
        if keys:
            self._on_room(keys)


def _exchange_time(answer: Answer) -> int | None:
    """Return when the exchange counted an order, where its answer tells."""
    if not isinstance(answer.body, dict):
        return None
    told = answer.body.get("transactTime", answer.body.get("updateTime"))
    return told if isinstance(told, int) else None


def _rank(priority: Priority) -> int:
    return list(Priority).index(priority)
