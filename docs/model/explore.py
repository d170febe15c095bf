"""Breadth-first search of every reachable state; so the first violation found has a shortest trace."""

import gc
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from docs.model import claims, world
from docs.model.cancel import delete, end_cancelled
from docs.model.claim import claim, peek, record
from docs.model.epoch import ask_all, begin_epoch, end_round
from docs.model.moves import Move, Moves
from docs.model.resolve import ask, take_over
from docs.model.rules import Rules, Setting
from docs.model.send import send
from docs.model.settle import give_up, settle_absent, settle_accepted, settle_not_sent, settle_rejected
from docs.model.state import (
    CLAIMED,
    FOUND_ABSENT,
    IDLE,
    IN_ENGINE,
    KNOWS_NOT_SENT,
    ON_WIRE,
    PEEKED,
    RESOLVING,
    ROUND_EMPTY,
    SILENT,
    TOLD_ACCEPTED,
    TOLD_DUPLICATE,
    TOLD_REJECTED,
    State,
    described,
)

Step = Callable[[Moves, State, int], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a counterexample."""

    label: str
    state: State


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one exploration found."""

    states: int
    moves: int
    depth: int
    violation: str | None
    trace: tuple[Line, ...]


def steps_of(rules: Rules, setting: Setting) -> dict[int, tuple[Step, ...]]:
    """Return what a worker can do next, by what it is in the middle of."""
    waiting: tuple[Step, ...] = (give_up, world.kill)
    if not rules.attempt_before_post:
        waiting += (record,)
    duplicate = give_up if rules.duplicate_is_unknown else settle_rejected
    return {
        IDLE: (peek if setting.peeks else claim, take_over, end_cancelled, delete, begin_epoch, ask_all),
        PEEKED: (claim, world.kill),
        CLAIMED: (send, world.kill),
        ON_WIRE: (world.arrive, *waiting),
        IN_ENGINE: (world.decide, *waiting),
        SILENT: waiting,
        TOLD_ACCEPTED: (settle_accepted, world.kill),
        TOLD_REJECTED: (settle_rejected, world.kill),
        TOLD_DUPLICATE: (duplicate, world.kill),
        KNOWS_NOT_SENT: (settle_not_sent, world.kill),
        RESOLVING: (ask, world.kill),
        FOUND_ABSENT: (settle_absent, world.kill),
        ROUND_EMPTY: (end_round, world.kill),
    }


class Explorer:
    """Generates the moves out of a state under given rules."""

    def __init__(self, rules: Rules, setting: Setting) -> None:
        self._moves = Moves(rules, setting)
        self._steps = steps_of(rules, setting)

    def first(self) -> State:
        """Return the state in which the bot has just inserted the row."""
        return self._moves.first()

    def after(self, state: State) -> list[Move]:
        """Return every move out of a state."""
        moves = self._moves
        moves.found = []
        done = None
        for at, worker in enumerate(state.workers):
            if worker == done and moves.setting.sorts_workers:
                continue  # an equal worker has just made the same moves
            done = worker
            for step in self._steps[worker.step]:
                step(moves, state, at)
        world.go_on(moves, state)
        world.show_order(moves, state)
        world.bot(moves, state)
        world.fail_over(moves, state)
        world.tick(moves, state)
        return moves.found


NO_PARENT: Final = -1


def explore(
    rules: Rules, setting: Setting, at_most: int = 5_000_000, judged: frozenset[str] = claims.EVERY_CLAIM
) -> Outcome:
    """Visit every reachable state, and hold each against the claims in `judged`.

    Stops at the first violation. Without one it asks of every state whether fair moves alone lead from it
    to a good end; so a dead end, or a circle without an exit, is a violation too.

    Raises:
        RuntimeError: when there are more states than `at_most`; then the run proves nothing.

    """
    with _uncollected():
        return _explored(Explorer(rules, setting), setting.name, at_most, judged)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector out: states form no circles, and looking for them takes a fifth of a run."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _explored(explorer: Explorer, name: str, at_most: int, judged: frozenset[str]) -> Outcome:
    start = explorer.first()
    states = [start]
    index = {start: 0}
    parents = array("q", [NO_PARENT])
    depths = array("l", [0])
    fair_ends = array("l")
    fair_from = array("l", [0])
    made = 0
    for here, state in enumerate(states):  # grows while it runs
        for move in explorer.after(state):
            made += 1
            there = index.get(move.state)
            if there is None:
                there = index[move.state] = len(states)
                states.append(move.state)
                parents.append(here)
                depths.append(depths[here] + 1)
                broken = claims.violated(move.state)
                if broken in judged:
                    trace = _trace(explorer, states, parents, there)
                    return Outcome(len(states), made, depths[there], broken, trace)
            if move.fair:
                fair_ends.append(there)
        fair_from.append(len(fair_ends))
        if len(states) > at_most:
            raise RuntimeError(f"{name}: more than {at_most} states; make the configuration smaller")
    stuck = _stuck(states, fair_ends, fair_from)
    if stuck is None:
        return Outcome(len(states), made, depths[-1], None, ())
    return Outcome(len(states), made, depths[-1], claims.STUCK, _trace(explorer, states, parents, stuck))


def _stuck(states: list[State], ends: "array[int]", starts: "array[int]") -> int | None:
    """Return the first state from which no fair moves lead to a good end."""
    before: list[list[int]] = [[] for _ in states]
    for here in range(len(states)):
        for edge in range(starts[here], starts[here + 1]):
            before[ends[edge]].append(here)
    good = bytearray(map(claims.ended_well, states))
    todo = [place for place, well in enumerate(good) if well]
    while todo:
        for place in before[todo.pop()]:
            if not good[place]:
                good[place] = 1
                todo.append(place)
    stuck = good.find(0)
    return None if stuck < 0 else stuck


def _trace(explorer: Explorer, states: list[State], parents: "array[int]", last: int) -> tuple[Line, ...]:
    path = [last]
    while parents[path[-1]] != NO_PARENT:
        path.append(parents[path[-1]])
    path.reverse()
    lines: list[Line] = []
    lost = 0
    for here, there in pairwise(path):
        move = next(move for move in explorer.after(states[here]) if move.state == states[there])
        label = _said(move)
        if states[here].failovers > move.state.failovers:
            label += (
                f", and with it the last {lost} commit{'s' * (lost > 1)}" if lost else ", no commit with it"
            )
            lost = 0
        elif move.commits and move.state.old is not None:
            lost += 1
        lines.append(Line(label, move.state))
    return tuple(lines)


def _said(move: Move) -> str:
    if move.actor < 0:
        return move.label
    return f"worker {'ABC'[move.actor]}" + (move.label if move.label.startswith("'s") else f" {move.label}")


def printed(trace: tuple[Line, ...]) -> str:
    """Return a counterexample for people, a numbered line per move and the state after it."""
    return "\n".join(
        f"    {number:2}. {line.label}\n        {described(line.state)}"
        for number, line in enumerate(trace, 1)
    )
