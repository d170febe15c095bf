"""Runs one cell: workers fail one after the other, the last one goes on, then both sides are compared."""

from __future__ import annotations

import itertools
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.crash.careless_proxy import CarelessProxy
from tests.crash.cells import Mode
from tests.crash.destination import Destination
from tests.crash.fork_server import NOT_MUTATED
from tests.crash.judge import GOOD, Judged, Verdict, judge
from tests.crash.processes import ProcessError, until
from tests.crash.world import Account, pause

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from tests.crash.behaviours import Behaviour
    from tests.crash.cells import Cell, Stage
    from tests.crash.processes import Forked
    from tests.crash.world import World

_amounts = itertools.count(0)


RACES = 3
"""So often is a cell begun again whose order ended before its cancel could be sent."""


class RacedError(ProcessError):
    """The order ended before the worker came to the cancel it was to fail at."""


class MutationError(RuntimeError):
    """A mutation does not fit the code any more; nothing is shown by its cells."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A cell and how it ended.

    Args:
        name: of the cell.
        judged: how it ended.
        seconds: it took.
        mutation: the rule that was missing; None = none.
        log: of the workers, where the end is not a good one.
        played: every step of the cell happened, so that its end says something about the rules.

    """

    name: str
    judged: Judged
    seconds: float
    mutation: str | None = None
    log: str = ""
    played: bool = True


@dataclass(slots=True)
class Run:
    """One cell under way."""

    world: World
    behaviour: Behaviour
    mutation: str | None
    account: Account
    order: UUID
    goes: Destination = Destination.SPOT
    exchange_port: int | None = None
    workers: list[Forked] = field(default_factory=list)
    canceled_at: datetime | None = None

    @property
    def patience_s(self) -> float:
        """How long a step that has to happen may take."""
        scale = self.world.scale
        return 20 + 4 * (scale.lease_s + self.absence_s + scale.answer_timeout_s + scale.sweep_s)

    @property
    def ends_within_s(self) -> float:
        """How long the end may take; without its rule it may never come: what was done by then is judged."""
        return self.patience_s if self.mutation is None else 10.0 + self.world.scale.lease_s

    @property
    def absence_s(self) -> float:
        """From signing until an absence of this order can be judged."""
        scale = self.world.scale
        return scale.absence_s + (scale.conditional_s if self.goes.conditional else 0)

    def start(self, failpoints: str = "") -> Forked:
        """Start the next worker."""
        worker = self.account.executor(failpoints, mutation=self.mutation, exchange_port=self.exchange_port)
        self.workers.append(worker)
        return worker

    def fail(self, stage: Stage) -> Forked:
        """Let a worker run into its point."""
        worker = self.start(stage.failpoints)
        if stage.point.startswith("cancel."):
            self._await_state("submitted", "unknown")
            self.cancel()
            self._await_cancel(worker, stage.point)
        await_failure(worker, stage.mode, stage.point, self.patience_s)
        return worker

    def _await_cancel(self, worker: Forked, point: str) -> None:
        """Wait until the worker fails at a point of the cancel, which an order found absent never needs."""

        def failed() -> bool:
            return worker.stopped or worker.code is not None

        until(lambda: failed() or self.state() == "done", self.patience_s)
        if not until(failed, 1.0):
            raise RacedError(f"the order ended before {point}")

    def cancel(self) -> None:
        """Let the bot cancel, once."""
        if self.canceled_at is None:
            self.canceled_at = self.account.cancel(self.order)

    def state(self) -> str:
        """Read the entry's state."""
        return str(self.account.entry(self.order).get("state", ""))

    def _await_state(self, *states: str) -> None:
        if not until(lambda: self.state() in states, self.patience_s):
            raise ProcessError(f"the entry never was {states}, it is {self.state()}")

    def is_over(self) -> bool:
        """Whether nothing more will happen to the row, as far as the database says."""
        state = self.state()
        if state != "submitted":
            return state == "done"
        # A resting order is over as it is; one the bot cancelled has still to be cancelled at the exchange,
        # unless it was filled there: on futures a row goes on until a listener has brought the fills.
        return self.canceled_at is None or self.account.awaits_fills(self.order)

    def bring_fills(self) -> None:
        """Let a listener come, last, for what a futures order traded: the executors had to do without."""
        if self.account.awaits_fills(self.order):
            listener = self.account.listener()
            self.workers.append(listener)
            until(lambda: self.state() == "done", self.patience_s, 0.1)
            listener.stop()

    def settle_down(self) -> None:
        """Wait for the end; where nothing is answered, until an absence could have been judged."""
        scale = self.world.scale
        patience_s = self.ends_within_s
        if self.behaviour.stays_unknown:
            until(lambda: self.state() == "unknown" or self.is_over(), patience_s, 0.1)
            patience_s = scale.lease_s + self.absence_s + 4 * scale.sweep_s + scale.answer_timeout_s
        until(self.is_over, patience_s, 0.1)

    def go_on(self, worker: Forked) -> None:
        """Wake a frozen worker, give it two looks around, and let it end in order."""
        worker.send(signal.SIGCONT)
        pause(2 * self.world.scale.sweep_s)
        self.settle_down()
        worker.stop()

    def kill_all(self) -> None:
        """Leave no worker behind."""
        for worker in self.workers:
            worker.kill()

    def logs(self) -> str:
        """Return the end of each worker's log."""
        return "\n".join(f"--- worker {n}\n{worker.tail()}" for n, worker in enumerate(self.workers, 1))


def await_failure(worker: Forked, mode: Mode, point: str, patience_s: float) -> None:
    """Wait until a worker has failed as it was told to.

    Raises:
        ProcessError: it did not get there, or ended otherwise.

    """
    if mode is Mode.KILL:
        code = worker.wait_ended(patience_s)
        if code not in (-signal.SIGKILL, NOT_MUTATED):
            raise ProcessError(f"ended with {code} instead of being killed:\n{worker.tail()}")
    else:
        worker.wait(lambda: worker.stopped or worker.code is not None, patience_s, f"frozen at {point}")
    if worker.code == NOT_MUTATED:
        raise MutationError(worker.tail())
    if mode is not Mode.KILL and worker.code is not None:
        raise ProcessError(f"ended with {worker.code} instead of being frozen:\n{worker.tail()}")


def run(world: World, cell: Cell, mutation: str | None = None) -> Ran:
    """Run a cell in a world of its scale; a step that does not happen is `lost`, with the worker's log."""
    ran, raced = _run_once(world, cell, mutation)
    for _ in range(RACES - 1):
        if raced:
            ran, raced = _run_once(world, cell, mutation)
    if raced:
        why = f"in {RACES} runs its order ended well, and always before the cancel"
        return replace(ran, judged=Judged(Verdict.LOST, why))
    return ran


def _run_once(world: World, cell: Cell, mutation: str | None) -> tuple[Ran, bool]:
    """Run a cell, and say whether it ended well too early to show anything."""
    started = time.monotonic()
    behaviour, played, raced = cell.behaviour, True, False
    with ExitStack() as stack:
        account = Account(world, money=money(behaviour))
        stack.callback(account.close)
        port = None
        if behaviour.on_the_way is not None:
            port = stack.enter_context(CarelessProxy(world.exchange.port, behaviour.on_the_way)).port
        for rule in behaviour.faults(world.scale):
            account.fault(rule)
        columns = cell.goes.columns(rests=cell.rests)
        order = account.bot.order(account.user, account.id, amount=amount(), **columns)
        this = Run(world, behaviour, mutation, account, order, cell.goes, port)
        stack.callback(this.kill_all)
        try:
            try:
                _play(this, cell)
            except RacedError:
                played = False
            judged = judge(
                account.facts(order, this.canceled_at),
                may_reject=behaviour.may_reject,
                may_stay_unknown=behaviour.stays_unknown,
            )
            raced = not played and judged.verdict in GOOD
        except ProcessError as error:
            judged, played = Judged(Verdict.LOST, str(error)), False
        log = "" if judged.verdict in GOOD else this.logs()
    return Ran(cell.name, judged, time.monotonic() - started, mutation, log, played), raced


def money(behaviour: Behaviour) -> str:
    """Return the USDT an account has, so that the exchange refuses where it is to refuse."""
    return "10" if behaviour.refuses else "100000"


def amount() -> Decimal:
    """Return an amount no other row of this run has."""
    return Decimal(100) + Decimal(next(_amounts) % 80_000) / 1000


def _play(this: Run, cell: Cell) -> None:
    *earlier, last = cell.stages
    for stage in earlier:
        this.fail(stage)
    failed = this.fail(last)
    failed_at = time.monotonic()
    if cell.cancels:
        this.cancel()
    if last.mode is Mode.PAUSE:
        this.go_on(failed)
        return
    heir = this.start()
    if last.mode is Mode.FREEZE:
        later_s = this.absence_s - this.world.scale.absence_s
        pause(max(0.0, this.world.scale.freeze_s + later_s - (time.monotonic() - failed_at)))
        until(this.is_over, 0 if this.behaviour.stays_unknown else this.ends_within_s, 0.1)
        this.go_on(failed)
    this.settle_down()
    # Draining settles what is in flight; after it nothing of this cell moves any more.
    failed.stop()
    heir.stop()
    this.bring_fills()
