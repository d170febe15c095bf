"""PROTOCOL 2 and 11: which keys a look asks for, and what it brings.

What has just been inserted is found in the look itself, so that a single row costs one statement. After a
burst, the keys of all the other new rows are searched for once, and then asked in turn: no look reads more
than its batch needs, however much is waiting.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shared.database import outbox

if TYPE_CHECKING:
    from uuid import UUID

    from services.order_executor.slots import Slots
    from services.order_executor.take_in import TakeIn
    from shared.database.connect import Connection
    from shared.database.outbox import Key, ReadyEntry
    from shared.settings import ProtocolSettings
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

KEYS_AT_ONCE = 64
SEARCH_EVERY_S = 0.1


class Peeker:
    """Looks at the outbox pass by pass; in one pass every known key is asked once.

    Args:
        protocol: windows.
        metrics: of this process.
        accounts: served by this process; None = all.
        take_in: what is known to wait, and whether there is news.
        slots: keys with an order in flight are not asked.
        max_per_minute: orders of one user.

    """

    def __init__(
        self,
        protocol: ProtocolSettings,
        metrics: Metrics,
        accounts: list[UUID] | None,
        take_in: TakeIn,
        slots: Slots,
        max_per_minute: int,
    ) -> None:
        self._protocol = protocol
        self._metrics = metrics
        self._accounts = accounts
        self._take_in = take_in
        self._slots = slots
        self._max_per_minute = max_per_minute
        self._asked: set[Key] = set()
        self._found: set[Key] = set()
        self._searched_at = float("-inf")
        self._is_unsearched = False
        self._was_announced = False

    def announced(self, most: int) -> list[ReadyEntry]:
        """Return rows that can be claimed by their notification alone, at most so many.

        Every other time none, so that what waits has its turn however many rows are announced.
        """
        if self._was_announced:
            self._was_announced = False
            return []
        entries, left_over = self._take_in.announcements.take(most, self._slots.busy_keys())
        self._was_announced = bool(entries)
        self._take_in.news = self._take_in.news or left_over
        for entry in entries:
            self._metrics.wakeup.observe(entry.age.total_seconds())
        return entries

    def begin(self) -> None:
        """Begin a pass."""
        self._asked.clear()
        self._found.clear()

    def is_over(self) -> bool:
        """Whether every known key without an order in flight was asked in this pass."""
        return not self._take_in.news and not self._next(1)

    async def look(self, connection: Connection, most: int) -> list[ReadyEntry]:
        """Return the first ready rows of the keys whose turn it is, at most so many.

        Rows that name another account, symbol or side than when they were taken in are not among them.
        """
        keys = self._next(max(most, KEYS_AT_ONCE))
        # Cleared before the look: what is inserted while we look is news again.
        news, self._take_in.news = self._take_in.news, False
        if not (keys or news):
            return []
        entries = await outbox.peek(
            connection,
            low_water=self._take_in.low_water if news else None,
            keys=keys,
            limit=most,
            max_key_block=self._protocol.max_key_block,
            twin_window=self._protocol.twin_window,
            max_per_minute=self._max_per_minute,
            accounts=self._accounts,
        )
        self._take_in.announcements.learn(entries)
        changed = [entry.entry_id for entry in entries if not entry.as_taken_in]
        if changed:
            log.warning("peek.row_changed", entries=changed)
            if await outbox.take_in_again(connection, changed):
                self._take_in.look_again()
        self._is_unsearched = self._is_unsearched or news
        found = [entry.key for entry in entries]
        self._take_in.backlog.served(found)
        self._found.update(found)
        if len(entries) < most:  # those behind a full page have not had their turn
            self._asked.update(keys)
        for entry in entries:
            if entry.attempts == 0 and entry.waiting_code is None:
                self._metrics.wakeup.observe(entry.age.total_seconds())
        return [entry for entry in entries if entry.as_taken_in]

    async def search(self, connection: Connection) -> None:
        """Find the keys of new rows that the last look left out, if it is time for that."""
        if not self._is_unsearched:
            return
        loop = asyncio.get_running_loop()
        if (again_in_s := self._searched_at + SEARCH_EVERY_S - loop.time()) > 0:
            loop.call_later(again_in_s, self._take_in.wake.set)
            return
        self._searched_at, self._is_unsearched = loop.time(), False
        keys = await outbox.new_keys(connection, low_water=self._take_in.low_water, accounts=self._accounts)
        self._take_in.backlog.add(keys - self._found)

    def end(self) -> None:
        """End a pass: forget the keys that were asked and brought nothing.

        A notification or the sweep names them again. One that was busy was not asked, even if its order is
        settled by now.
        """
        self._take_in.backlog.forget(self._asked - self._found)

    def _next(self, most: int) -> list[Key]:
        return self._take_in.backlog.next(most, self._slots.busy_keys() | self._asked | self._found)
