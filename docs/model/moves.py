"""How one state becomes the next: what the bridge's moves and the world's moves share, and the reductions."""

from typing import Final, NamedTuple

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
    PEEKED,
    POST_IN_ENGINE,
    POST_ON_WIRE,
    ROUND_EMPTY,
    SETTLED,
    UNDER_WAY,
    UNSEEN,
    Db,
    Message,
    State,
    Worker,
)

NOBODY: Final = -1
"""The actor of a move that no worker makes."""
HIGHEST_TOKEN: Final = 5
"""Where a sequential token stops counting, so that its mutation stays finite."""

Workers = tuple[Worker, ...]
Messages = tuple[Message, ...]


class Move(NamedTuple):
    """One step of the system."""

    label: str
    actor: int
    """Index of the worker that makes it, or NOBODY."""
    state: State
    """After it."""
    fair: bool
    """It happens by itself when nothing goes wrong any more; faults, the bot's wishes and luck do not."""
    commits: bool = False


class Moves:
    """Collects the moves out of one state, each state in canonical form."""

    def __init__(self, rules: Rules, setting: Setting) -> None:
        self.rules = rules
        self.setting = setting
        self.found: list[Move] = []
        # Exact only while a worker without the present token can do nothing but send or bring evidence.
        owner_decides = rules.settle_checks_owner and rules.random_tokens and rules.epoch_compared
        self._drops_dead = setting.drops_dead and owner_decides
        self._dbs: dict[Db, Db] = {}
        self._sides: dict[object, tuple[Workers, Messages]] = {}
        self._later: dict[object, tuple[Workers, Messages] | None] = {}
        self._names: dict[object, tuple[int, int, tuple[Workers, Messages]]] = {}

    def first(self) -> State:
        """Return the state in which the bot has just inserted the row."""
        workers = (IDLE_WORKER,) * self.setting.workers
        return State(FIRST_DB, None, NO_CHANGE, workers, (), self.setting.failovers, NOTHING_WRONG)

    def step(
        self,
        label: str,
        at: int,
        before: State,
        workers: Workers,
        *,
        wrong: int = NOTHING_WRONG,
        fair: bool = True,
    ) -> None:
        """Add a move in a worker's memory: nothing is committed, nothing arrives anywhere."""
        self.post(label, at, before, workers, before.exchange, wrong=wrong, fair=fair)

    def post(
        self,
        label: str,
        at: int,
        before: State,
        workers: Workers,
        exchange: Messages,
        *,
        wrong: int = NOTHING_WRONG,
        fair: bool = True,
    ) -> None:
        """Add a move in which something happens at the exchange."""
        db, old, change, _, _, failovers, earlier = before
        state = State(db, old, change, workers, exchange, failovers, earlier or wrong)
        self.found.append(Move(label, at, self.canonical(state), fair))

    def commit(self, label: str, at: int, before: State, after: State, *, fair: bool = True) -> None:
        """Add a move that commits; where a failover may still come, also as the first commit it will lose."""
        kept = self.canonical(after)
        self.found.append(Move(label, at, kept, fair, commits=True))
        if before.failovers and before.old is None:
            old = self.left_behind(before.db)
            lost = kept._replace(old=old) if self._drops_dead else self.canonical(after._replace(old=old))
            self.found.append(Move(label, at, lost, fair, commits=True))

    def left_behind(self, db: Db) -> Db:
        """Return what a standby keeps of a state: a new epoch begins without leases, and with new tokens."""
        old = db._replace(lease=0, token=0) if self._drops_dead else db._replace(lease=0)
        return self._dbs.setdefault(old, old)

    def fresh_token(self, state: State) -> int:
        """Return a token that is the database's next one: by counting, or by chance never seen before."""
        if not self.rules.random_tokens:
            return min(state.db.token + 1, HIGHEST_TOKEN)
        seen = [worker.token for worker in state.workers]
        return 1 + max(state.db.token, state.old.token if state.old else 0, *seen)

    def later(self, workers: Workers, exchange: Messages) -> tuple[Workers, Messages] | None:
        """Return workers and exchange one tick later, or None while the engine has to decide first."""
        key = (workers, exchange)
        if key not in self._later:
            self._later[key] = _later(workers, exchange)
        return self._later[key]

    def canonical(self, state: State) -> State:
        """Return the one representative of all states that no rule and no claim can tell apart."""
        db, old, change, workers, exchange, failovers, wrong = state
        if change > NO_CHANGE and db.entry in SETTLED:
            change = NO_CHANGE
        live = db.entry in IN_FLIGHT and change > UNSEEN
        key = (workers, exchange, db.token, live, change == ASK_ALL)
        sides = self._sides.get(key)
        if sides is None:
            self._sides[key] = sides = self._reduced(*key)
        if self._drops_dead:
            if db.token != live:
                db = db._replace(token=int(live))
        elif self.rules.random_tokens:
            token, old_token, sides = self._named(db.token, old.token if old else 0, sides)
            if token != db.token:
                db = db._replace(token=token)
            if old and old_token != old.token:
                old = old._replace(token=old_token)
        db = self._dbs.setdefault(db, db)
        return State(db, old and self._dbs.setdefault(old, old), change, *sides, failovers, wrong)

    def _reduced(
        self, workers: Workers, exchange: Messages, token: int, live: bool, asking: bool
    ) -> tuple[Workers, Messages]:
        messages = list(exchange)
        kept: list[Worker] = []
        for worker in workers:
            if worker.step == ROUND_EMPTY and not asking:
                kept.append(IDLE_WORKER)  # that round has ended, or another epoch has begun
            elif worker.step in {IDLE, PEEKED, ROUND_EMPTY} or not self._drops_dead:
                kept.append(worker)
            elif live and worker.token == token:
                kept.append(worker._replace(token=1))
            else:
                kept.append(self._without_token(worker))
                if worker.step in UNDER_WAY:
                    messages.append(Message(UNDER_WAY[worker.step], worker.number, worker.left))
        if self.setting.sorts_workers:
            kept.sort()
        # A POST past its deadline that nobody waits for can have no effect any more.
        messages = [message for message in messages if message.kind != POST_ON_WIRE or message.left]
        return tuple(kept), tuple(sorted(messages))

    def _without_token(self, worker: Worker) -> Worker:
        """Return what is left of a worker that may settle nothing: in time, it may still send.

        The evidence it could bring the user stream can bring as well.
        """
        if worker.step == CLAIMED and (worker.left or not self.rules.signs_at_claim):
            return worker._replace(token=0)
        return IDLE_WORKER

    def _named(
        self, token: int, old_token: int, sides: tuple[Workers, Messages]
    ) -> tuple[int, int, tuple[Workers, Messages]]:
        """Return the tokens numbered in order of appearance: of a random one only what equals it matters."""
        key = (token, old_token, sides)
        known = self._names.get(key)
        if known is None:
            names = {0: 0}
            for other in (token, old_token, *[worker.token for worker in sides[0]]):
                names.setdefault(other, len(names))
            workers = tuple([worker._replace(token=names[worker.token]) for worker in sides[0]])
            self._names[key] = known = (names[token], names[old_token], (workers, sides[1]))
        return known


def _later(workers: Workers, exchange: Messages) -> tuple[Workers, Messages] | None:
    if any(message.kind == POST_IN_ENGINE and message.left == 1 for message in exchange):
        return None
    if any(worker.step == IN_ENGINE and worker.left == 1 for worker in workers):
        return None
    return (
        tuple([worker._replace(left=worker.left - 1) if worker.left else worker for worker in workers]),
        tuple([message._replace(left=message.left - 1) if message.left else message for message in exchange]),
    )
