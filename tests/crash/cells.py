"""The cells of the crash matrix, generated: every point of failure, by every way, with every exchange.

A cell is left out only where its point cannot be reached; `cells` says why, once per rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING

from shared import failpoints
from tests.crash.behaviours import BEHAVIOURS, Answered

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

    """

    behaviour: Behaviour
    stages: tuple[Stage, ...]
    cancels: bool

    @property
    def name(self) -> str:
        """Name the cell for people and for picking it out."""
        way = ", then ".join(f"{stage.mode} at {stage.point}" for stage in self.stages)
        return f"{self.behaviour.name}; {way}{'; bot cancels' if self.cancels else ''}"


def cells() -> list[Cell]:
    """Generate every cell that can be reached, in a fixed order."""
    points = [name for name in failpoints.NAMES if not name.startswith("recheck.")]
    made = [
        Cell(behaviour, stages, cancels)
        for behaviour, point, mode, cancels in product(
            BEHAVIOURS, points, (Mode.KILL, Mode.FREEZE), (False, True)
        )
        if (stages := _stages(behaviour, point, mode)) and _cancel_fits(behaviour, point, cancels=cancels)
    ]
    return [*made, *_cancels_before_the_claim()]


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


def _cancel_fits(behaviour: Behaviour, point: str, *, cancels: bool) -> bool:
    if point.startswith("cancel."):
        # Only an order that stays open, or unknown, long enough is cancelled at the exchange.
        lasting = behaviour.rests or behaviour.answered is Answered.NOT_AND_ABSENT or behaviour.stays_unknown
        return cancels and lasting and not behaviour.may_reject
    # What is over cannot be cancelled any more.
    over = behaviour.answered is Answered.CLEARLY and not behaviour.rests
    return not (cancels and over and point == "settle.committed")
