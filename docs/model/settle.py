"""PROTOCOL 5, 6 and 8: what an answer, or none, makes of the attempt, its entry and its row."""

from docs.model.moves import Moves
from docs.model.state import (
    ASK_ALL,
    BACKOFF,
    CANCELED,
    DONE_REJECTED,
    HELD,
    IDLE_WORKER,
    IN_FLIGHT,
    KNOWS_NOT_SENT,
    NO_ATTEMPT,
    NO_CHANGE,
    OPEN,
    REJECTED,
    SENDING,
    SUBMITTED,
    UNDER_WAY,
    UNKNOWN,
    UNSEEN,
    Db,
    Message,
    State,
    put,
)


def accepted(db: Db) -> Db:
    """Return the entry with evidence of an order: anybody's, without token, lease or epoch, never undone."""
    row = CANCELED if db.row == CANCELED else OPEN
    return Db(row, SUBMITTED, 0, 0, 0, 0, db.token, 0, db.deleted)


def ended(db: Db, entry: int) -> Db:
    """Return the entry done, or held, without an order."""
    row = REJECTED if entry == DONE_REJECTED else db.row
    return Db(row, entry, 0, 0, 0, 0, db.token, 0, 0)


def may_end(moves: Moves, state: State) -> bool:
    """PROTOCOL 10: after an epoch change nothing ends without an order before all ids were asked for."""
    if state.change == ASK_ALL:
        return not moves.rules.end_waits_for_round
    return state.change == NO_CHANGE


def settle_accepted(moves: Moves, state: State, at: int) -> None:
    """Bring positive evidence."""
    workers = put(state.workers, at, IDLE_WORKER)
    if state.db.entry == SUBMITTED:
        moves.step("finds it settled: accepted", at, state, workers)
    else:
        after = state._replace(db=accepted(state.db), workers=workers)
        moves.commit("settles: accepted", at, state, after)


def settle_rejected(moves: Moves, state: State, at: int) -> None:
    """Reject the row, on the exchange's own word."""
    if not _is_owner(moves, state, at):
        _forget(moves, state, at)
    elif may_end(moves, state):
        _end(moves, state, at, "settles: rejected", DONE_REJECTED)


def settle_not_sent(moves: Moves, state: State, at: int) -> None:
    """Queue the row again; not counted, but a number is used, and after the last one the row is held."""
    _settle_not_there(moves, state, at, "settles: not sent", 0)


def settle_absent(moves: Moves, state: State, at: int) -> None:
    """Queue the row again; counted, and after so many the row is rejected."""
    _settle_not_there(moves, state, at, "settles: absent", 1)


def _settle_not_there(moves: Moves, state: State, at: int, label: str, counted: int) -> None:
    db, setting = state.db, moves.setting
    if not _is_owner(moves, state, at):
        _forget(moves, state, at)
        return
    absent = db.absent + counted
    number = max(db.number, state.workers[at].number)
    if absent >= setting.counted:
        if may_end(moves, state):
            _end(moves, state, at, f"{label}, the last counted time: rejected", DONE_REJECTED)
    elif number >= setting.numbers:
        if may_end(moves, state):
            _end(moves, state, at, f"{label}, no number left: held", HELD)
    else:
        again = db._replace(entry=BACKOFF, number=number, absent=absent, wait=0, lease=0)
        workers = put(state.workers, at, IDLE_WORKER)
        moves.commit(label, at, state, state._replace(db=again, workers=workers))


def _is_owner(moves: Moves, state: State, at: int) -> bool:
    """Return whether not_sent, absent or rejected may be written by this worker, of this attempt, now.

    What is compared in the statement is the recorded epoch with the server's own. A worker that sent its own
    memory of the epoch along would be refused more often, never less.
    """
    db, worker = state.db, state.workers[at]
    if db.entry == SUBMITTED:
        return False  # a constraint: no update leaves accepted
    if not moves.rules.settle_checks_owner:
        return True
    newest = db.number == worker.number or db.wait == NO_ATTEMPT
    return state.change > UNSEEN and db.entry in IN_FLIGHT and db.token == worker.token and newest


def _end(moves: Moves, state: State, at: int, label: str, entry: int) -> None:
    workers = put(state.workers, at, IDLE_WORKER)
    moves.commit(label, at, state, state._replace(db=ended(state.db, entry), workers=workers))


def _forget(moves: Moves, state: State, at: int) -> None:
    workers = put(state.workers, at, IDLE_WORKER)
    moves.step("may not settle: it is not the owner any more", at, state, workers)


def give_up(moves: Moves, state: State, at: int) -> None:
    """Hear nothing in time, or nothing that says anything: unknown. What is under way goes on."""
    db, worker = state.db, state.workers[at]
    exchange = state.exchange
    if worker.step in UNDER_WAY:
        exchange = (*exchange, Message(UNDER_WAY[worker.step], worker.number, worker.left))
    if not moves.rules.silence_is_unknown:
        unsent = put(state.workers, at, worker._replace(step=KNOWS_NOT_SENT, left=0))
        moves.post("hears nothing, and takes it for not sent", at, state, unsent, exchange)
        return
    after = state._replace(workers=put(state.workers, at, IDLE_WORKER), exchange=exchange)
    label = "hears nothing that counts: unknown"
    if db.entry == SENDING and db.wait != NO_ATTEMPT and _is_owner(moves, state, at):
        moves.commit(label, at, state, after._replace(db=db._replace(entry=UNKNOWN, lease=0)))
    else:
        moves.post(label, at, state, after.workers, after.exchange)
