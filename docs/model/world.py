"""What happens around the bridge: the exchange, the bot, the faults, and time."""

from docs.model.epoch import quarantine
from docs.model.moves import NOBODY, Messages, Move, Moves, Workers
from docs.model.settle import accepted
from docs.model.state import (
    ASK_ALL,
    CANCELED,
    FORGOTTEN,
    IDLE_WORKER,
    IN_ENGINE,
    KNOWS_NOT_SENT,
    NEW,
    NO_CHANGE,
    OPEN,
    ORDER,
    OTHER_VERSION,
    PEEKED,
    PENDING,
    POST_IN_ENGINE,
    POST_ON_WIRE,
    RESTING,
    SILENT,
    SUBMITTED,
    TOLD_ACCEPTED,
    TOLD_DUPLICATE,
    TOLD_REJECTED,
    UNDER_WAY,
    UNSEEN,
    Db,
    Message,
    State,
    orders_of,
    put,
)

# --- the exchange ---


def arrive(moves: Moves, state: State, at: int) -> None:
    """Let a POST arrive: before its deadline it goes on to the engine, after it the answer is -1021."""
    worker = state.workers[at]
    if worker.left:
        inside = worker._replace(step=IN_ENGINE, left=moves.setting.engine_delay + 1)
        moves.step("'s POST arrives in time", at, state, put(state.workers, at, inside))
    else:
        _answer(moves, state, at, "'s POST arrives after the deadline: -1021", KNOWS_NOT_SENT, state.exchange)


def decide(moves: Moves, state: State, at: int) -> None:
    """Let the engine accept or reject a POST whose worker still waits for the answer."""
    worker = state.workers[at]
    _answer(moves, state, at, "'s order is rejected by the engine", TOLD_REJECTED, state.exchange)
    exchange = (*state.exchange, _order(moves, worker.number))
    _answer(moves, state, at, "'s order is accepted by the engine", TOLD_ACCEPTED, exchange)
    if moves.setting.proxy_repeats:
        told = put(state.workers, at, worker._replace(step=TOLD_DUPLICATE, left=0))
        label = "'s order is accepted; a proxy loses the answer and POSTs again: duplicate"
        moves.post(label, at, state, told, exchange, fair=False)


def _answer(moves: Moves, state: State, at: int, label: str, told: int, exchange: Messages) -> None:
    worker = state.workers[at]
    moves.post(label, at, state, put(state.workers, at, worker._replace(step=told, left=0)), exchange)
    silent = put(state.workers, at, worker._replace(step=SILENT, left=0))
    moves.post(f"{label}; the answer is lost", at, state, silent, exchange, fair=False)


def _order(moves: Moves, number: int) -> Message:
    return Message(RESTING if moves.setting.rests else ORDER, number, moves.setting.query_lag + 1)


def go_on(moves: Moves, state: State) -> None:
    """Let POSTs that nobody waits for go their way, and a resting order fill.

    One that is lost has the same effect as one lost when it was sent, so that needs no move.
    """
    for place, message in enumerate(state.exchange):
        others = (*state.exchange[:place], *state.exchange[place + 1 :])
        if message.kind == POST_ON_WIRE:
            inside = Message(POST_IN_ENGINE, message.number, moves.setting.engine_delay + 1)
            moves.post("an abandoned POST arrives in time", NOBODY, state, state.workers, (*others, inside))
        elif message.kind == POST_IN_ENGINE:
            moves.post("the engine rejects an abandoned POST", NOBODY, state, state.workers, others)
            order = _order(moves, message.number)
            moves.post("the engine accepts an abandoned POST", NOBODY, state, state.workers, (*others, order))
        elif message.kind == RESTING:
            filled = (*others, message._replace(kind=ORDER))
            moves.post("the resting order fills", NOBODY, state, state.workers, filled, fair=False)


def show_order(moves: Moves, state: State) -> None:
    """Let the user stream show an order (PROTOCOL 6). Not fair: a stream may have a gap."""
    known = any(order.number != FORGOTTEN for order in orders_of(state))
    if known and state.db.entry != SUBMITTED:
        after = state._replace(db=accepted(state.db))
        moves.commit("the user stream shows the order", NOBODY, state, after, fair=False)


# --- the bot ---


def bot(moves: Moves, state: State) -> None:
    """Let the bot cancel the row, or edit it while nobody has claimed it."""
    db = state.db
    if moves.setting.cancels and db.row in {PENDING, OPEN}:
        after = state._replace(db=db._replace(row=CANCELED))
        moves.commit("the bot cancels the row", NOBODY, state, after, fair=False)
    if moves.setting.peeks and db.row == PENDING and db.entry == NEW and not db.version:
        version = 1 if state.failovers == moves.setting.failovers else 2
        after = state._replace(db=db._replace(version=version))
        moves.commit("the bot edits the row", NOBODY, state, after, fair=False)


# --- faults and time ---


def kill(moves: Moves, state: State, at: int) -> None:
    """Kill a process and start it again: it remembers nothing, its POST goes on. A freeze needs no move."""
    workers, exchange = _without(state.workers, state.exchange, [at])
    moves.post("is killed", at, state, workers, exchange, fair=False)


def _without(workers: Workers, exchange: Messages, killed: list[int]) -> tuple[Workers, Messages]:
    for at in killed:
        worker = workers[at]
        if worker.step in UNDER_WAY:
            exchange = (*exchange, Message(UNDER_WAY[worker.step], worker.number, worker.left))
        workers = put(workers, at, IDLE_WORKER)
    return workers, exchange


def fail_over(moves: Moves, state: State) -> None:
    """Lose the primary, with every commit its standby never got, the bot's too; the old one is fenced."""
    if not state.failovers:
        return
    rules = moves.rules
    old = state.old or moves.left_behind(state.db)
    workers, exchange = state.workers, state.exchange
    if rules.claim_compares_epoch:
        workers = tuple(w._replace(number=OTHER_VERSION) if w.step == PEEKED else w for w in workers)
    if not rules.computable_ids:
        workers = tuple(w._replace(number=FORGOTTEN) if w.number > old.number else w for w in workers)
        exchange = tuple(m._replace(number=FORGOTTEN) if m.number > old.number else m for m in exchange)
    change = UNSEEN if rules.epoch_compared else NO_CHANGE
    after = State(old, None, change, workers, exchange, state.failovers - 1, state.wrong)
    moves.found.append(Move("the primary is lost", NOBODY, moves.canonical(after), fair=False))
    if moves.setting.restores:
        _restore(moves, after)


def _restore(moves: Moves, after: State) -> None:
    """Put a snapshot back, which changes no timeline: the runbook stops the executors and bumps the epoch."""
    workers, exchange = _without(after.workers, after.exchange, list(range(len(after.workers))))
    change = UNSEEN - quarantine(moves) if moves.rules.runbook else NO_CHANGE
    restored = after._replace(workers=workers, exchange=exchange, change=change)
    moves.found.append(Move("a snapshot is put back", NOBODY, moves.canonical(restored), fair=False))


def tick(moves: Moves, state: State) -> None:
    """Let one tick pass for all clocks at once; the engine, its delay bounded, may have to decide first."""
    db, old, change, workers, exchange, failovers, wrong = state
    sides = moves.later(workers, exchange)
    if sides is None:
        return
    if change > ASK_ALL:
        change -= 1
    elif change < UNSEEN:
        change += 1
    after = moves.canonical(State(_later(db), old and _later(old), change, *sides, failovers, wrong))
    if after != state:
        moves.found.append(Move("a tick passes", NOBODY, after, fair=True))


def _later(db: Db) -> Db:
    if db.wait <= 0 and not db.lease:
        return db
    row, entry, number, absent, wait, lease, *rest = db
    return Db(row, entry, number, absent, wait - (wait > 0), lease - (lease > 0), *rest)
