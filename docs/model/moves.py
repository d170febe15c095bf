"""How one state becomes the next: the bookkeeping that the bridge's moves and the world's moves share."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar, cast

from docs.model.rules import Rules, Setting
from docs.model.state import (
    ASK_ALL,
    CLAIMED,
    FIRST_DB,
    IDLE,
    IDLE_WORKER,
    IN_ENGINE,
    IN_FLIGHT,
    NO_CHANGE,
    NOTHING_WRONG,
    ON_WIRE,
    PEEKED,
    POST_IN_ENGINE,
    POST_ON_WIRE,
    ROUND_EMPTY,
    SETTLED,
    SUBMITTED,
    TOLD_ACCEPTED,
    UNSEEN,
    Db,
    Message,
    State,
    Worker,
)

T = TypeVar("T", bound=tuple[object, ...])

NOBODY: Final = -1
"""The actor of a move that no worker makes."""
HIGHEST_TOKEN: Final = 5
"""Where a sequential token stops counting, so that the mutation stays finite."""
LOST_LATER: Final = " (a commit the standby never gets)"


class Move(NamedTuple):
    """One step of the system."""

    label: str
    actor: int
    """Index of the worker that makes it, or NOBODY."""
    state: State
    """After it."""
    fair: bool
    """Happens by itself when nothing goes wrong any more; faults, the bot's wishes and luck do not."""


class Moves:
    """Collects the moves out of one state, in canonical form."""

    def __init__(self, rules: Rules, setting: Setting) -> None:
        self.rules = rules
        self.setting = setting
        self._drops_dead = setting.drops_dead and rules.random_tokens and rules.settle_checks_token_and_state
        self._parts: dict[object, object] = {}
        self.found: list[Move] = []

    def first(self) -> State:
        """Return the state in which the bot has just inserted the row."""
        workers = (IDLE_WORKER,) * self.setting.workers
        return State(FIRST_DB, None, NO_CHANGE, workers, (), self.setting.failovers, NOTHING_WRONG)

    def add(
        self,
        label: str,
        actor: int,
        before: State,
        *,
        db: Db | None = None,
        workers: Sequence[Worker] | None = None,
        exchange: Sequence[Message] | None = None,
        change: int | None = None,
        wrong: int = NOTHING_WRONG,
        fair: bool = True,
    ) -> None:
        """Add a move. With `db` it is a commit, which may also be one that a later failover loses."""
        after = self.canonical(
            db or before.db,
            before.old,
            before.change if change is None else change,
            before.workers if workers is None else workers,
            before.exchange if exchange is None else exchange,
            before.failovers,
            before.wrong or wrong,
        )
        self.found.append(Move(label, actor, after, fair))
        if db is not None and before.failovers and before.old is None:
            old = before.db._replace(lease=0)
            lost = self.canonical(*after._replace(old=old))
            self.found.append(Move(label + LOST_LATER, actor, lost, fair))

    def canonical(
        self,
        db: Db,
        old: Db | None,
        change: int,
        workers: Sequence[Worker],
        exchange: Sequence[Message],
        failovers: int,
        wrong: int,
    ) -> State:
        """Return the one representative of all states that no rule and no claim can tell apart."""
        messages = list(exchange)
        if db.token and self.rules.random_tokens and db.entry not in IN_FLIGHT:
            db = db._replace(token=0)
        if db.entry in SETTLED and change > NO_CHANGE:
            change = NO_CHANGE
        if self._drops_dead:
            live = db.entry in IN_FLIGHT and change != UNSEEN
            workers = [self._alive(worker, live, db, messages) for worker in workers]
        if change != ASK_ALL:
            workers = [IDLE_WORKER if worker.step == ROUND_EMPTY else worker for worker in workers]
        if self.setting.sorts_workers:
            workers = sorted(workers)
        messages = [message for message in messages if message.kind != POST_ON_WIRE or message.left]
        messages.sort()
        return State(
            self._one(db),
            old and self._one(old),
            change,
            self._one(tuple(workers)),
            self._one(tuple(messages)),
            failovers,
            wrong,
        )

    def fresh(self, db: Db, workers: Sequence[Worker]) -> tuple[int, tuple[Worker, ...]]:
        """Return a new token, and the workers with theirs out of date.

        Of a random token only one thing matters: whether it is the database's present one. So 1 is present, 0 is not.
        """
        if self.rules.random_tokens:
            return 1, tuple(worker._replace(token=0) if worker.token else worker for worker in workers)
        return min(db.token + 1, HIGHEST_TOKEN), tuple(workers)

    def _one(self, part: T) -> T:
        """Return the first equal part ever made, so that states share their parts in memory."""
        return cast("T", self._parts.setdefault(part, part))

    def _alive(self, worker: Worker, live: bool, db: Db, messages: list[Message]) -> Worker:
        """Return IDLE for a worker whose every further step would be refused; a POST of its goes on without it."""
        step = worker.step
        if step in {IDLE, PEEKED, ROUND_EMPTY} or (worker.token and live):
            return worker
        if step == CLAIMED:
            if worker.left == 0 and self.rules.signs_at_claim:
                return IDLE_WORKER
            return worker._replace(token=0)
        if step == TOLD_ACCEPTED:
            return IDLE_WORKER if db.entry == SUBMITTED else worker._replace(token=0)
        if step == ON_WIRE:
            messages.append(Message(POST_ON_WIRE, worker.number, worker.left))
        elif step == IN_ENGINE:
            messages.append(Message(POST_IN_ENGINE, worker.number, worker.left))
        return IDLE_WORKER
