"""Cells in which an asynchronous failover loses the last commits: the claim, the settle, or three of them."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from tests.crash.behaviours import BY_NAME, NO_MONEY, QUESTIONS, Behaviour, post
from tests.crash.cells import Mode
from tests.crash.destination import Destination
from tests.crash.judge import Judged, Verdict, judge
from tests.crash.processes import ProcessError, until
from tests.crash.run_cell import Ran, Run, amount, await_failure, money
from tests.crash.world import Account, pause

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from tests.crash.cluster import Cluster
    from tests.crash.scale import Scale
    from tests.crash.world import World


class Loses(StrEnum):
    """Which commits the standby never heard of."""

    CLAIM = "the claim"  # and whatever was committed after it
    THREE = "three commits"  # claim, not sent, second claim
    SETTLE = "the settle"  # the claim is there, its outcome is not
    NOT_SENT = "not sent and the second claim"  # the first claim is there


class Wakes(StrEnum):
    """When a frozen worker goes on."""

    AT_THE_END = "at the end"
    WHILE_SENT_AGAIN = "while it is sent again"


@dataclass(frozen=True, slots=True)
class FailoverCell:
    """One run: a worker fails, the primary dies with its last commits, another worker goes on at the standby.

    Args:
        behaviour: of the exchange.
        loses: which commits.
        point: where the worker is when the primary dies.
        mode: how it fails there.
        cancels: the bot cancels after the failover, before anybody looks.
        wakes: when a frozen one goes on.
        goes: where the order is sent.

    """

    behaviour: Behaviour
    loses: Loses
    point: str
    mode: Mode
    cancels: bool = False
    wakes: Wakes = Wakes.AT_THE_END
    goes: Destination = Destination.SPOT

    @property
    def name(self) -> str:
        """Name the cell for people and for picking it out."""
        wakes = f", wakes {self.wakes}" if self.wakes is not Wakes.AT_THE_END else ""
        cancels = "; bot cancels" if self.cancels else ""
        goes = "" if self.goes is Destination.SPOT else f"{self.goes}: "
        way = f"{self.mode} at {self.point}{wakes}{cancels}"
        return f"{goes}{self.behaviour.name}; failover loses {self.loses}, {way}"

    @property
    def failpoints(self) -> str:
        """The setting for `BRIDGE_FAILPOINTS` of the worker that fails."""
        action = "kill" if self.mode is Mode.KILL else "freeze"
        match self.loses:
            case Loses.THREE:
                return f"{self.point}={action}@2"
            case Loses.SETTLE:
                return f"claim.committed=freeze@1,{self.point}={action}@1"
            case Loses.NOT_SENT:
                return f"claim.committed=freeze@1,{self.point}={action}@2"
        return f"{self.point}={action}@1"


AFTER_THE_CLAIM = (
    "claim.committed",
    "send.before",
    "send.written",
    "send.answered",
    "classify.done",
    "settle.before",
    "settle.committed",
)

# Refused at first, then accepted with an answer so slow that a frozen worker wakes before it.
REJECTS_THEN_SLOW = Behaviour(
    "rejects once, then accepts slowly",
    lambda scale: [
        post("answer_before", **NO_MONEY),
        {**post("delay_answer", ms=scale.answer_timeout_s * 800), "count": 2},
    ],
    rests=True,
)
LAST_MOMENT = Behaviour(
    "last moment and lag, fills",
    lambda scale: [
        post("delay_forward", ms=scale.recv_window_ms * 0.84),
        post("delay_engine", ms=scale.engine_delay_s * 800),
        {
            "action": "lag",
            "method": "GET",
            "route": QUESTIONS,
            "ms": scale.query_lag_s * 900,
        },
    ],
)


def failover_cells() -> list[FailoverCell]:
    """Generate the failover cells, in a fixed order."""
    return list(_cells())


def _cells() -> Iterator[FailoverCell]:
    fills, rests = BY_NAME["accepts and fills"], BY_NAME["accepts and rests"]
    modes = (Mode.KILL, Mode.FREEZE)
    for behaviour, point, mode in product((fills, rests), AFTER_THE_CLAIM, modes):
        yield FailoverCell(behaviour, Loses.CLAIM, point, mode)
    for behaviour, point, mode in product(
        (fills, rests), ("send.before", "send.written", "settle.before"), modes
    ):
        yield FailoverCell(behaviour, Loses.THREE, point, mode)
    for behaviour, point in product((fills, rests), ("classify.done", "settle.committed")):
        yield FailoverCell(behaviour, Loses.SETTLE, point, Mode.KILL)
    for behaviour, point in product((fills, rests), ("send.answered", "settle.before")):
        yield FailoverCell(behaviour, Loses.NOT_SENT, point, Mode.KILL)
    for behaviour, point, mode in product((fills, rests), ("send.before", "send.answered"), modes):
        yield FailoverCell(behaviour, Loses.CLAIM, point, mode, cancels=True)
    for name, mode in product(("rejects", "request lost", "answer lost, rests", "-2013 lag"), modes):
        yield FailoverCell(BY_NAME[name], Loses.CLAIM, "settle.before", mode)
    yield FailoverCell(
        REJECTS_THEN_SLOW, Loses.CLAIM, "settle.before", Mode.FREEZE, wakes=Wakes.WHILE_SENT_AGAIN
    )
    for mode in modes:
        yield FailoverCell(LAST_MOMENT, Loses.CLAIM, "send.written", mode)
    for goes, behaviour in ((Destination.FUTURES, fills), (Destination.ALGO, rests)):
        for mode in modes:
            yield FailoverCell(behaviour, Loses.CLAIM, "send.answered", mode, goes=goes)
        yield FailoverCell(behaviour, Loses.CLAIM, "send.before", Mode.KILL, goes=goes)
        yield FailoverCell(behaviour, Loses.THREE, "settle.before", Mode.KILL, goes=goes)
        yield FailoverCell(behaviour, Loses.NOT_SENT, "send.answered", Mode.KILL, goes=goes)
        yield FailoverCell(behaviour, Loses.SETTLE, "settle.committed", Mode.KILL, cancels=True, goes=goes)
        yield FailoverCell(BY_NAME["answer lost, filled"], Loses.CLAIM, "settle.before", Mode.KILL, goes=goes)


def run_failover(world: World, cluster: Cluster, cell: FailoverCell, mutation: str | None = None) -> Ran:
    """Run a cell on a cluster; the cluster goes on with the promoted server."""
    started = time.monotonic()
    behaviour, played = cell.behaviour, True
    with ExitStack() as stack:
        dsn = cluster.follow()
        account = Account(world, dsn, money=money(behaviour))
        stack.callback(account.close)
        for rule in faults(cell, world.scale):
            account.fault(rule)
        # The epoch of this history is known to both servers before anything is lost.
        account.know_the_epoch()
        order = account.bot.order(
            account.user, account.id, amount=amount(), **cell.goes.columns(rests=behaviour.rests)
        )
        this = Run(world, behaviour, mutation, account, order, cell.goes)
        stack.callback(this.kill_all)
        try:
            _play(this, cell, cluster)
            facts = account.facts(order, this.canceled_at)
            judged = judge(facts, may_reject=behaviour.may_reject, may_stay_unknown=False)
        except ProcessError as error:
            judged, played = Judged(Verdict.LOST, str(error)), False
            if cluster.standby is not None:
                cluster.standby.remove()
        log = "" if judged.verdict is Verdict.CLEAN else this.logs()
    return Ran(cell.name, judged, time.monotonic() - started, mutation, log, played)


def faults(cell: FailoverCell, scale: Scale) -> list[Mapping[str, Any]]:
    """Return the exchange's rules; for three commits the first POST is refused as too late: not sent."""
    late = [post("delay_arrival", ms=scale.recv_window_ms * 1.2)]
    return [*(late if cell.loses is Loses.THREE else []), *cell.behaviour.faults(scale)]


def _play(this: Run, cell: FailoverCell, cluster: Cluster) -> None:
    keeps_the_claim = cell.loses in (Loses.SETTLE, Loses.NOT_SENT)
    if not keeps_the_claim:
        cluster.cut()
    failing = this.start(cell.failpoints)
    if keeps_the_claim:
        failing.wait(lambda: failing.stopped, this.patience_s, "frozen after its claim")
        cluster.cut()
        if cell.loses is Loses.NOT_SENT:
            # Nothing is sent with less than half the window left (PROTOCOL 4).
            pause(this.world.scale.recv_window_ms / 1000)
        failing.send(signal.SIGCONT)
    await_failure(failing, cell.mode, cell.point, this.patience_s)
    cluster.fail_over()
    this.account.reconnect()
    if cell.cancels:
        this.cancel()
    heir = this.start()
    if cell.wakes is Wakes.WHILE_SENT_AGAIN and not until(
        lambda: this.state() == "sending", this.patience_s, 0.02
    ):
        raise ProcessError(f"the heir never sent it again, the entry is {this.state()}")
    if cell.wakes is Wakes.AT_THE_END:
        this.settle_down()
    if cell.mode is Mode.FREEZE:
        this.go_on(failing)
    this.settle_down()
    failing.stop()
    heir.stop()
    this.bring_fills()
