"""PROTOCOL 2 and 3: the peek without a lock, and the claim that makes an attempt durable."""

from docs.model.moves import Moves
from docs.model.state import (
    AFTER_CANCEL,
    BACKOFF,
    CANCELED,
    CLAIMED,
    IDLE_WORKER,
    NEW,
    NO_ATTEMPT,
    NO_CHANGE,
    NOTHING_WRONG,
    OPEN,
    OTHER_VERSION,
    OUT_OF_DATE,
    PEEKED,
    PENDING,
    SENDING,
    Db,
    State,
    Worker,
    put,
)


def peek(moves: Moves, state: State, at: int) -> None:
    """Look at a ready entry without a lock, and remember the row's version."""
    if ready(moves, state.db):
        peeked = Worker(PEEKED, state.db.version, 0, 0, NOTHING_WRONG)
        moves.step("peeks at the row", at, state, put(state.workers, at, peeked))


def ready(moves: Moves, db: Db) -> bool:
    """Return whether the entry is ready: new and pending, or in back-off and the row still as we wrote it."""
    if db.entry == NEW:
        return db.row == PENDING
    retry = db.entry == BACKOFF and db.number < moves.setting.numbers
    return retry and (db.row == OPEN or not moves.rules.retry_respects_cancel)


def claim(moves: Moves, state: State, at: int) -> None:
    """Commit the attempt, with its signing timestamp, and the row as open; or find the row changed."""
    db = state.db
    worker = state.workers[at]
    peeked = worker.step == PEEKED
    if not _finds_row(moves, state, worker):
        if peeked:
            label = "claims nothing: the row is not as it was peeked"
            moves.step(label, at, state, put(state.workers, at, IDLE_WORKER))
        return
    wrong = NOTHING_WRONG
    if db.row == CANCELED:
        wrong = AFTER_CANCEL
    elif peeked and worker.number != db.version:
        wrong = OUT_OF_DATE
    token = moves.fresh_token(state)
    workers = tuple(w._replace(number=OTHER_VERSION) if w.step == PEEKED else w for w in state.workers)
    lease = moves.setting.lease
    for left in deadlines(moves):
        after = db._replace(row=OPEN, entry=SENDING, lease=lease, token=token, version=0)
        if moves.rules.attempt_before_post:
            after = after._replace(number=db.number + 1, wait=absence_wait(moves, left))
        else:
            after = after._replace(wait=NO_ATTEMPT)
        owner = Worker(CLAIMED, db.number + 1, left, token, wrong)
        claimed = state._replace(db=after, workers=put(workers, at, owner))
        moves.commit(f"claims an attempt, its deadline {left - 1:+d} ticks away", at, state, claimed)


def deadlines(moves: Moves) -> range:
    """Return every `left` a signed request can start with: recvWindow, and the error of its signing clock.

    The commit after the signing may take any time, so the deadline may even have passed.
    """
    return range(moves.setting.window + moves.setting.clock_error + 2)


def _finds_row(moves: Moves, state: State, worker: Worker) -> bool:
    """Return whether the claim's UPDATE finds the row as it was peeked, in the epoch that is recorded."""
    db, rules = state.db, moves.rules
    if state.change != NO_CHANGE:
        return False
    if worker.step != PEEKED:
        return ready(moves, db)
    if not rules.claim_rechecks_row:
        return db.entry in {NEW, BACKOFF} and db.number < moves.setting.numbers
    alike = worker.number == db.version or {worker.number, db.version} == {1, 2}
    return ready(moves, db) and (alike or not rules.claim_compares_version)


def absence_wait(moves: Moves, left: int) -> int:
    """Return the ticks from the claim until serverTime > D + engine_delay + query_lag (PROTOCOL 7)."""
    rules, setting = moves.rules, moves.setting
    wait = left if rules.asks_by_server_time else setting.window + 1
    wait += setting.engine_delay if rules.waits_for_engine else 0
    wait += setting.query_lag if rules.waits_for_lag else 0
    return wait


def record(moves: Moves, state: State, at: int) -> None:
    """Write the attempt after the POST: what PROTOCOL 3 forbids, so only its mutation comes here."""
    db, worker = state.db, state.workers[at]
    if db.wait == NO_ATTEMPT and worker.token == db.token and state.change == NO_CHANGE:
        after = db._replace(number=worker.number, wait=absence_wait(moves, deadlines(moves)[-1]))
        moves.commit("writes the attempt's row at last", at, state, state._replace(db=after))
