"""PROTOCOL 3: the claiming loop.

Peek, prepare, claim in one commit, and hand every claimed order to the socket at once.

One loop claims for the whole process; it takes no more than there are free send slots, so that nothing waits
between claim and first byte. What it learns about waiting keys is a hint; the outbox is the truth.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import structlog

from services.order_executor import trail
from services.order_executor.prepare import Prepared, keep_to_rate
from services.order_executor.send import Claimed
from shared import failpoints
from shared.binance.sign import query
from shared.database import outbox
from shared.database.claim import EpochChangedError, Intent, claim
from shared.database.connect import DATABASE_AWAY, NotDurableError
from shared.database.settle import hold, refuse
from shared.domain.attempt import client_order_id
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from shared.domain.verdicts import Held, Rejected, Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from services.order_executor.prepare import Preparer
    from services.order_executor.quarantine import EpochWatch
    from services.order_executor.rate import Rates
    from services.order_executor.send import Sender
    from services.order_executor.settle import Settler
    from services.order_executor.slots import Slots
    from services.order_executor.take_in import TakeIn
    from shared.binance.sign import Value
    from shared.database.connect import Connection, Pool
    from shared.database.epoch import Epoch
    from shared.database.outbox import Key, ReadyEntry
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
        more_after: the entry after which the look has to go on, None when it is through.

    """

    claimed: Sequence[Claimed] = ()
    passed_over: int = 0
    settled: int = 0
    waiting: Sequence[tuple[ReadyEntry, Waiting]] = ()
    more_after: int | None = None


class Claimer:
    """The claiming loop of one process.

    Args:
        pool: work connections.
        name: of this process, kept with what it claims.
        protocol: windows, leases.
        metrics: of this process.
        tracing: of this process.
        accounts: served by this process; None = all.
        take_in: what wakes it and where to look.
        epochs: the history of the database it works in.
        preparer: sizes and guards.
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
        accounts: list[UUID] | None,
        take_in: TakeIn,
        epochs: EpochWatch,
        preparer: Preparer,
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
        self._accounts = accounts
        self._take_in = take_in
        self._epochs = epochs
        self._preparer = preparer
        self._sender = sender
        self._settler = settler
        self._slots = slots
        self._rates = rates
        self._max_per_minute = max_per_minute
        self._asked: set[Key] = set()
        self._found: set[Key] = set()

    async def run(self, draining: asyncio.Event) -> None:
        """Claim and send until told to drain; what was claimed by then is still sent and settled."""
        async with asyncio.TaskGroup() as sends:
            while not draining.is_set():
                await self._take_in.wake.wait()
                # Cleared before the look: what arrives while we look wakes us again.
                self._take_in.wake.clear()
                await self._claim_all(sends, draining)

    async def _claim_all(self, sends: asyncio.TaskGroup, draining: asyncio.Event) -> None:
        """Claim until nothing is ready or no slot is free.

        Rows that wait are passed over page by page, so that however many of them there are, those behind are
        reached; as long as a pass claims or settles anything, another one follows.
        """
        after, progress = 0, False
        self._found.clear()
        self._asked.clear()
        while self._slots.free and not draining.is_set():
            try:
                looked = await self._claim_once(after)
            except DATABASE_AWAY as error:
                log.warning("claim.database_away", error=str(error))
                await asyncio.sleep(RETRY_S)
                self._take_in.wake.set()
                return
            except asyncpg.PostgresError as error:
                # The rows stay where they are; the sweep brings us back.
                log.warning("claim.failed", error=str(error), advice="run `bridge doctor`")
                return
            for order in looked.claimed:
                sends.create_task(self._sender.send(order))
            await self._note_waiting(looked.waiting)
            if looked.passed_over:
                # The bot holds these rows open, or changed them since the peek: look again in a moment.
                asyncio.get_running_loop().call_later(RETRY_S, self._take_in.look_again)
            progress = progress or bool(looked.claimed or looked.settled)
            if looked.more_after is not None:
                after = looked.more_after
                continue
            # A key that was asked for and brought nothing is forgotten until a notification or the sweep
            # names it again. One that was busy was not asked for, even if its order is settled by now.
            self._take_in.known.difference_update(self._asked - self._found)
            if not progress:
                return
            after, progress = 0, False

    async def _claim_once(self, after: int) -> _Looked:
        epoch = self._epochs.epoch or await self._epochs.look()
        most = self._slots.free
        async with self._pool.acquire() as connection:
            entries = await self._peek(connection, most, after)
        more_after = entries[-1].entry_id if len(entries) == most else None
        entries = [entry for entry in entries if entry.as_taken_in]
        if not entries:
            return _Looked(more_after=more_after)
        await failpoints.reached("prepare.peeked")
        peeked = datetime.now(UTC)
        # Each on its own: one account's slow answer must not cost the others more than its own time limit.
        looked_at = await asyncio.gather(*(self._preparer.prepare(entry) for entry in entries))
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
            async with self._pool.acquire() as connection:
                settled = await self._settle_verdicts(
                    connection, list(zip(entries, verdicts, strict=True)), look
                )
                if prepared:
                    claimed, dropped = await self._claim(connection, prepared, epoch, look)
        finally:
            mine = {order.intent.order_id for order in claimed}
            self._rates.not_claimed(o.entry.order.id for o in prepared if o.entry.order.id not in mine)
        passed_over = len(prepared) - len(claimed) - dropped
        waiting = [(e, v) for e, v in zip(entries, verdicts, strict=True) if isinstance(v, Waiting)]
        return _Looked(claimed, passed_over, settled + dropped, waiting, more_after)

    async def _note_waiting(self, waiting: Sequence[tuple[ReadyEntry, Waiting]]) -> None:
        """Keep with the entries why they wait, once what was claimed is on its way."""
        if not waiting:
            return
        try:
            async with self._pool.acquire() as connection:
                await outbox.note_waiting(connection, waiting)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            log.warning("waiting.not_noted", error=str(error))  # the next look notes it

    async def _peek(self, connection: Connection, most: int, after: int) -> list[ReadyEntry]:
        keys = self._take_in.known - self._slots.busy_keys()
        if not after:  # later pages do not show the rows before them
            self._asked |= keys
        entries = await outbox.peek(
            connection,
            low_water=self._take_in.low_water,
            keys=keys,
            limit=most,
            max_key_block=self._protocol.max_key_block,
            twin_window=self._protocol.twin_window,
            max_per_minute=self._max_per_minute,
            after=after,
            accounts=self._accounts,
        )
        self._take_in.known.update(entry.key for entry in entries)
        self._found.update(entry.key for entry in entries)
        changed = [entry.entry_id for entry in entries if not entry.as_taken_in]
        if changed:
            log.warning("peek.row_changed", entries=changed)
            await outbox.take_in_again(connection, changed)
            self._take_in.look_again()
        for entry in entries:
            if entry.attempts == 0 and entry.waiting_code is None:
                self._metrics.wakeup.observe(entry.age.total_seconds())
        return entries

    async def _settle_verdicts(
        self,
        connection: Connection,
        looked_at: Sequence[tuple[ReadyEntry, Prepared | Verdict]],
        look: trail.Look,
    ) -> int:
        """Settle at once what is refused or held, leave what waits; returns how many rows were settled."""
        refused = [(entry, verdict) for entry, verdict in looked_at if isinstance(verdict, Rejected)]
        held = [(entry, verdict) for entry, verdict in looked_at if isinstance(verdict, Held)]
        for entry, verdict in looked_at:
            if isinstance(verdict, Waiting):
                self._metrics.orders_waiting(entry.order.market, verdict.code).inc()
                self._take_in.known.discard(entry.key)
        settled = 0
        if refused:
            gone = await refuse(
                connection, [(e.entry_id, e.row_version, v.code, v.sentence) for e, v in refused]
            )
            settled += len(gone)
            for entry, rejected in refused:
                if entry.order.id in gone:
                    self._metrics.orders_failed(entry.order.market, rejected.code).inc()
                    self._tell_rejected(entry, rejected, look)
        if held:
            kept = await hold(connection, [(e.entry_id, e.row_version, v.code, v.sentence) for e, v in held])
            settled += len(kept)
            for entry, verdict in held:
                self._metrics.orders_held(entry.order.market, verdict.code).inc()
                log.warning("order.held", order_id=str(entry.order.id), reason_code=verdict.code)
        return settled

    def _tell_rejected(self, entry: ReadyEntry, rejected: Rejected, look: trail.Look) -> None:
        begun = trail.begin(self._tracing, entry)
        trail.prepared(self._tracing, begun, look, entry.attempts)
        with self._tracing.span("reject", begun.trace, reason_code=rejected.code):
            log.info("order.rejected", order_id=str(entry.order.id), reason_code=rejected.code)

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
        over = [
            (order.entry, verdict)
            for order in prepared
            if (in_use := dropped.get(order.entry.order.id)) is not None
            and (verdict := limits.over(order.venue, order.priced, in_use)) is not None
        ]
        await self._settle_verdicts(connection, over, look)
        return claimed, len(dropped)

    def _intend(self, order: Prepared) -> Claimed:
        """Decide everything about the attempt: its id, its parameters, its signing timestamp, its token."""
        entry = order.entry
        number = entry.attempts + 1
        own_id = client_order_id(entry.order.id, number)
        signed_at_ms = order.venue.rest.clock.exchange_now_ms()
        params: dict[str, Value] = {
            **order.sized.params,
            order.sized.client_id_parameter: own_id,
            "recvWindow": self._protocol.recv_window_ms,
            "timestamp": signed_at_ms,
        }
        begun = trail.begin(self._tracing, entry)
        intent = Intent(
            entry_id=entry.entry_id,
            order_id=entry.order.id,
            number=number,
            row_version=entry.row_version,
            client_order_id=own_id,
            symbol=order.instrument.symbol,
            base_asset=order.instrument.base,
            quote_asset=order.instrument.quote,
            lot_step=order.instrument.filters.lot_step,
            environment_epoch=order.venue.environment_epoch,
            parameters=query(params),
            signed_at_ms=signed_at_ms,
            base_url=order.venue.base_url,
            api_key_hash=order.credentials.fingerprint,
            token=uuid4(),
            ask=order.ask,
            trace=begun.trace,
        )
        return Claimed(order, intent, params, begun)

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
