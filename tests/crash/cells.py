"""The cells of the crash matrix, generated: every point of failure, by every way, with every exchange.

Spot runs the full product. Futures run a pairwise cover of it: every behaviour at every point, with modes and
cancels in turn. A cell is left out only where its point cannot be reached; it says why once per rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from shared import failpoints
from tests.crash.behaviours import BEHAVIOURS, ON_ALGO, ON_FUTURES, Answered
from tests.crash.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.behaviours import Behaviour

ROW_STILL_PENDING = ("prepare.peeked", "prepare.sized", "claim.before")
ASKED, JUDGED = "resolve.asked", "resolve.judged"


class Mode(StrEnum):
    """How the worker fails at its point."""

    KILL = "kill"  # kill -9; another one takes over
    FREEZE = "freeze"  # SIGSTOP for longer than lease and absence wait, while another one takes over
    PAUSE = "pause"  # SIGSTOP just long enough for the bot to cancel; nobody takes over


FAILING = (Mode.KILL, Mode.FREEZE)
TURNS = ((Mode.KILL, False), (Mode.FREEZE, True), (Mode.KILL, True), (Mode.FREEZE, False))


@dataclass(frozen=True, slots=True)
class Stage:
    """One worker and where it fails."""

    point: str
    mode: Mode

    @property
    def failpoints(self) -> str:
        """The setting for `BRIDGE_FAILPOINTS`; once, since a worker that wakes has to get past the point."""
        return f"{self.point}={'kill' if self.mode is Mode.KILL else 'freeze'}@1"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run: workers that fail one after the other, then one that does not.

    Args:
        behaviour: of the exchange.
        stages: the failing workers, in order; the last one's point is the cell's.
        cancels: the bot cancels the row, in the database, after the last failure (before, where the point is
            one of the cancel's own).
        goes: where the order is sent.

    """

    behaviour: Behaviour
    stages: tuple[Stage, ...]
    cancels: bool
    goes: Destination = Destination.SPOT

    @property
    def rests(self) -> bool:
        """Whether an accepted order stays open."""
        return self.behaviour.rests or self.goes.conditional

    @property
    def name(self) -> str:
        """Name the cell for people and for picking it out."""
        way = ", then ".join(f"{stage.mode} at {stage.point}" for stage in self.stages)
        goes = "" if self.goes is Destination.SPOT else f"{self.goes}: "
        return f"{goes}{self.behaviour.name}; {way}{'; bot cancels' if self.cancels else ''}"


def cells() -> list[Cell]:
    """Generate every cell of spot and futures that can be reached, in a fixed order."""
    return [*spot_cells(), *futures_cells()]


def spot_cells() -> list[Cell]:
    """Generate the full product."""
    made = [
        Cell(behaviour, stages, cancels)
        for behaviour, point, mode, cancels in product(BEHAVIOURS, failpoints.NAMES, FAILING, (False, True))
        if (stages := _stages(behaviour, point, mode))
        and _cancel_fits(behaviour, point, rests=behaviour.rests, cancels=cancels)
    ]
    return [*made, *_cancels_before_the_claim()]


def futures_cells() -> list[Cell]:
    """Generate the cover: each behaviour meets each point, each of both meets every mode and cancel."""
    return [
        cell
        for goes, behaviours in ((Destination.FUTURES, ON_FUTURES), (Destination.ALGO, ON_ALGO))
        for (nth, behaviour), (at, point) in product(enumerate(behaviours), enumerate(failpoints.NAMES))
        for cell in _next_that_fits(goes, behaviour, point, turn=nth + at)
    ]


def _next_that_fits(goes: Destination, behaviour: Behaviour, point: str, turn: int) -> Iterator[Cell]:
    """Of the ways to fail at a point, take the one whose turn it is, or the next that can be."""
    for one in (TURNS[(turn + later) % len(TURNS)] for later in range(len(TURNS))):
        mode, cancels = one
        stages = _stages(behaviour, point, mode)
        cell = Cell(behaviour, stages, cancels, goes)
        if stages and _cancel_fits(behaviour, point, rests=cell.rests, cancels=cancels):
            yield cell
            return


def _cancels_before_the_claim() -> Iterator[Cell]:
    """A worker held up between its look and its claim, while the bot cancels: the cancel wins."""
    for behaviour, point in product(BEHAVIOURS[:2], ROW_STILL_PENDING):
        yield Cell(behaviour, (Stage(point, Mode.PAUSE),), cancels=True)


def _stages(behaviour: Behaviour, point: str, mode: Mode) -> tuple[Stage, ...]:
    """Return the workers that fail in this cell; none where the point is not reached."""
    last = Stage(point, mode)
    if point == ASKED and behaviour.answered is Answered.CLEARLY:
        # Nobody asks about a clear answer, unless the one who got it died with it.
        return (Stage("send.answered", Mode.KILL), last)
    if point == JUDGED and behaviour.stays_unknown:
        return ()  # nothing is ever judged without answers
    if point == JUDGED and behaviour.answered is not Answered.NOT_AND_ABSENT:
        # An order that is there is never judged absent; one that was never sent is.
        return (Stage("send.before", Mode.KILL), last)
    return (last,)


def _cancel_fits(behaviour: Behaviour, point: str, *, rests: bool, cancels: bool) -> bool:
    if point.startswith("cancel."):
        # Only an order that stays open, or unknown, long enough is cancelled at the exchange.
        lasting = rests or behaviour.answered is Answered.NOT_AND_ABSENT or behaviour.stays_unknown
        return cancels and lasting and not behaviour.may_reject
    # What is over cannot be cancelled any more.
    over = behaviour.answered is Answered.CLEARLY and not rests
    return not (cancels and over and point == "settle.committed")
