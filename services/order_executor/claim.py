"""PROTOCOL 3: the claiming loop.

Peek, prepare, claim in one commit, and hand every claimed order to the socket at once.

One loop claims for the whole process; it takes no more than there are free send slots, so that nothing waits
between claim and first byte.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg
import structlog

from services.order_executor import trail
from services.order_executor.intend import intend
from services.order_executor.prepare import Prepared, keep_to_rate
from shared import failpoints
from shared.database import outbox
from shared.database.claim import EpochChangedError, claim
from shared.database.connect import DATABASE_AWAY, NotDurableError
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from shared.domain.verdicts import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.order_executor.peek import Peeker
    from services.order_executor.prepare import Preparer
    from services.order_executor.quarantine import EpochWatch
    from services.order_executor.rate import Rates
    from services.order_executor.send import Claimed, Sender
    from services.order_executor.settle import Settler
    from services.order_executor.slots import Slots
    from services.order_executor.take_in import TakeIn
    from services.order_executor.verdicts import Verdicts
    from shared.database.connect import Connection, Pool
    from shared.database.epoch import Epoch
    from shared.database.outbox import ReadyEntry
    from shared.domain.verdicts import Verdict
    from shared.settings import ProtocolSettings
    from shared.telemetry.metrics import Metrics
    from shared.telemetry.traces import Tracing

log = structlog.get_logger(__name__)

RETRY_S = 0.25


@dataclass(frozen=True, slots=True)
class _Looked:
    """What one look brought.

    Attributes:
        claimed: send these now.
        passed_over: prepared, but not as they were any more, or locked.
        settled: refused, held or to be looked at once more; the rows behind them may be ready now.
        waiting: and why.

    """

    claimed: Sequence[Claimed] = ()
    passed_over: int = 0
    settled: int = 0
    waiting: Sequence[tuple[ReadyEntry, Waiting]] = ()


class Claimer:
    """The claiming loop of one process.

    Args:
        pool: work connections.
        name: of this process, kept with what it claims.
        protocol: windows, leases.
        metrics: of this process.
        tracing: of this process.
        take_in: what wakes it.
        peeker: looks at the outbox.
        epochs: the history of the database it works in.
        preparer: sizes and guards.
        verdicts: carries out what is decided about rows that are not sent.
        sender: sends what was claimed.
        settler: settles.
        slots: free send slots.
        rates: grants, taken before the claim.
        max_per_minute: orders of one user.

    """

    def __init__(
        self,
        pool: Pool,
        name: str,
        protocol: ProtocolSettings,
        metrics: Metrics,
        tracing: Tracing,
        *,
        take_in: TakeIn,
        peeker: Peeker,
        epochs: EpochWatch,
        preparer: Preparer,
        verdicts: Verdicts,
        sender: Sender,
        settler: Settler,
        slots: Slots,
        rates: Rates,
        max_per_minute: int,
    ) -> None:
        self._pool = pool
        self._name = name
        self._protocol = protocol
        self._metrics = metrics
        self._tracing = tracing
        self._take_in = take_in
        self._peeker = peeker
        self._epochs = epochs
        self._preparer = preparer
        self._verdicts = verdicts
        self._sender = sender
        self._settler = settler
        self._slots = slots
        self._rates = rates
        self._max_per_minute = max_per_minute

    async def run(self, draining: asyncio.Event) -> None:
        """Claim and send until told to drain; what was claimed by then is still sent and settled."""
        async with asyncio.TaskGroup() as sends:
            while not draining.is_set():
                try:
                    # One for as long as it lives: giving one back and taking another costs an order time.
                    async with self._pool.acquire() as connection:
                        await self._claim_over(connection, sends, draining)
                except DATABASE_AWAY as error:
                    log.warning("claim.database_away", error=str(error))
                    await asyncio.sleep(RETRY_S)
                    self._take_in.look_again()
                except asyncpg.PostgresError as error:
                    # The rows stay where they are; the sweep brings us back.
                    log.warning("claim.failed", error=str(error), advice="run `bridge doctor`")

    async def _claim_over(
        self, connection: Connection, sends: asyncio.TaskGroup, draining: asyncio.Event
    ) -> None:
        """Claim whenever something may be ready, as long as the connection lives."""
        while not draining.is_set():
            await self._take_in.wake.wait()
            if connection.is_closed():  # while we waited; the wake is left to the next one
                return
            # Cleared before the look: what arrives while we look wakes us again.
            self._take_in.wake.clear()
            await self._claim_all(connection, sends, draining)

    async def _claim_all(
        self, connection: Connection, sends: asyncio.TaskGroup, draining: asyncio.Event
    ) -> None:
        """Claim until nothing is ready or no slot is free.

        Rows that wait are passed over, so that however many of them there are, those behind are reached; as
        long as a pass claims or settles anything, another one follows.
        """
        progress = False
        self._peeker.begin()
        while not draining.is_set():
            if not self._slots.free:
                await self._peeker.search(connection)
                return
            looked = await self._claim_once(connection)
            for order in looked.claimed:
                sends.create_task(self._sender.send(order))
            if looked.claimed:
                await asyncio.sleep(0)  # their first bytes leave before anything else is done
            if looked.waiting:  # told once what was claimed is on its way
                await outbox.note_waiting(connection, looked.waiting)
            if looked.passed_over:
                # The bot holds these rows open, or changed them since the peek: look again in a moment.
                asyncio.get_running_loop().call_later(RETRY_S, self._take_in.look_again)
            progress = progress or bool(looked.claimed or looked.settled)
            if not self._peeker.is_over():
                continue
            await self._peeker.search(connection)
            if not self._peeker.is_over():
                continue
            self._peeker.end()
            if not progress:
                return
            progress = False
            self._peeker.begin()

    async def _claim_once(self, connection: Connection) -> _Looked:
        epoch = self._epochs.epoch or await self._epochs.look()
        entries = self._peeker.announced(self._slots.free) or await self._peeker.look(
            connection, self._slots.free
        )
        if not entries:
            return _Looked()
        await failpoints.reached("prepare.peeked")
        peeked = datetime.now(UTC)
        # Each on its own: one account's slow answer must not cost the others more than its own time limit.
        looked_at = (
            await asyncio.gather(*(self._preparer.prepare(entry) for entry in entries))
            if len(entries) > 1
            else [await self._preparer.prepare(entries[0])]  # a single row waits for no task of its own
        )
        verdicts = [
            await self._rates.grant(verdict) if isinstance(verdict, Prepared) else verdict
            for verdict in keep_to_rate(looked_at, self._max_per_minute)
        ]
        prepared = [verdict for verdict in verdicts if isinstance(verdict, Prepared)]
        look = trail.Look(peeked, datetime.now(UTC))
        claimed: list[Claimed] = []
        dropped = 0
        try:
            await failpoints.reached("prepare.sized")
            settled = await self._verdicts.carry_out(
                connection,
                [(e, v) for e, v in zip(entries, verdicts, strict=True) if e.announced is None],
                look,
            )
            if prepared:
                claimed, dropped = await self._claim(connection, prepared, epoch, look)
        finally:
            mine = {order.intent.order_id for order in claimed}
            self._rates.not_claimed(o.entry.order.id for o in prepared if o.entry.order.id not in mine)
        if entries[0].announced is not None:
            if len(claimed) < len(entries):
                self._take_in.look_again()  # something stands against one of them: only a look can say what
            return _Looked(claimed)
        passed_over = len(prepared) - len(claimed) - dropped
        waiting = [(e, v) for e, v in zip(entries, verdicts, strict=True) if isinstance(v, Waiting)]
        return _Looked(claimed, passed_over, settled + dropped, waiting)

    async def _claim(
        self, connection: Connection, prepared: Sequence[Prepared], epoch: Epoch, look: trail.Look
    ) -> tuple[list[Claimed], int]:
        """Claim; returns what is ours, and how many rows dropped out for their caps."""
        orders = [self._intend(order) for order in prepared]
        limits = self._preparer.limits
        await failpoints.reached("claim.before")
        started = time.monotonic()
        try:
            mine, dropped = await claim(
                connection,
                [order.intent for order in orders],
                limits.rates((order.venue, order.priced) for order in prepared),
                recv_window_ms=self._protocol.recv_window_ms,
                owner=self._name,
                lease=self._protocol.lease,
                epoch=epoch,
                max_per_minute=self._max_per_minute,
                twin_window=self._protocol.twin_window,
            )
        except EpochChangedError:
            await self._epochs.look()
            self._take_in.wake.set()
            return [], 0
        except NotDurableError as error:
            self._give_back(orders, str(error))
            return [], 0
        self._metrics.claim.observe(time.monotonic() - started)
        await failpoints.reached("claim.committed")
        claimed = [order for order in orders if order.intent.order_id in mine]
        for order in claimed:
            intent = order.intent
            self._slots.take(intent.order_id, intent.number, intent.token, order.prepared.entry.key)
            trail.prepared(self._tracing, order.trail, look, intent.number)
            if intent.trace is not None:
                self._tracing.record(
                    "claim", look.prepared, datetime.now(UTC), intent.trace, attempt=intent.number
                )
        over: list[tuple[ReadyEntry, Verdict]] = [
            (order.entry, verdict)
            for order in prepared
            if order.entry.announced is None
            and (in_use := dropped.get(order.entry.order.id)) is not None
            and (verdict := limits.over(order.venue, order.priced, in_use)) is not None
        ]
        if over:
            await self._verdicts.carry_out(connection, over, look)
        return claimed, len(dropped)

    def _intend(self, order: Prepared) -> Claimed:
        return intend(order, self._protocol.recv_window_ms, self._tracing)

    def _give_back(self, orders: Sequence[Claimed], why: str) -> None:
        """Settle as not sent what the synchronous standby did not confirm: nothing of it left."""
        for order in orders:
            self._settler.put(
                Outcome(
                    order_id=order.intent.order_id,
                    number=order.intent.number,
                    token=order.intent.token,
                    outcome=AttemptOutcome.NOT_SENT,
                    reason_code="commit_unconfirmed",
                    reason=f"The synchronous standby did not confirm the claim ({why}); nothing was sent.",
                )
            )
