"""PROTOCOL 7: who resolves an unknown attempt, and which questions decide it."""

from docs.model.moves import Moves
from docs.model.settle import accepted
from docs.model.state import (
    BACKOFF,
    CANCELED,
    FOUND_ABSENT,
    IDLE_WORKER,
    IN_FLIGHT,
    NEW,
    NO_ATTEMPT,
    OPEN,
    PENDING,
    RESOLVING,
    SENDING,
    SUBMITTED,
    UNKNOWN,
    UNSEEN,
    State,
    Worker,
    orders_of,
    put,
)


def take_over(moves: Moves, state: State, at: int) -> None:
    """Take an entry whose lease ran out: its worker may have sent, so the attempt is unknown."""
    db = state.db
    if db.lease or db.entry not in IN_FLIGHT or state.change <= UNSEEN:
        return
    token = moves.fresh_token(state)
    if db.entry == SENDING and (db.wait == NO_ATTEMPT or not moves.rules.lease_expiry_is_unknown):
        row, entry = (OPEN, BACKOFF) if db.number else (PENDING, NEW)
        row = CANCELED if db.row == CANCELED else row
        again = db._replace(row=row, entry=entry, wait=0, token=token)
        moves.commit("sees the lease expired: queues the row again", at, state, state._replace(db=again))
        return
    resolver = Worker(RESOLVING, db.number, 0, token, 0)
    after = db._replace(entry=UNKNOWN, lease=moves.setting.lease, token=token)
    workers = put(state.workers, at, resolver)
    moves.commit("takes over: the attempt is unknown", at, state, state._replace(db=after, workers=workers))


def ask(moves: Moves, state: State, at: int) -> None:
    """Ask: presence is believed at once; absence when the moment has come and every question is answered.

    The three deciding questions are one move, at the time of the first: later ones can only know more,
    so what they may all miss, they may miss then. Questions that fail change nothing, so they need no move.
    """
    rules, db, worker = moves.rules, state.db, state.workers[at]
    orders = [order for order in orders_of(state) if order.number == worker.number]
    if orders and db.entry != SUBMITTED:
        after = state._replace(db=accepted(db), workers=put(state.workers, at, IDLE_WORKER))
        moves.commit("asks: there", at, state, after)
    absent = put(state.workers, at, worker._replace(step=FOUND_ABSENT))
    asked_about = db.entry == UNKNOWN and db.number == worker.number and state.change > UNSEEN
    if not asked_about:
        workers = put(state.workers, at, IDLE_WORKER)
        moves.step("stops: the entry is not its own any more", at, state, workers)
        return
    moment = db.wait == 0 or not rules.waits_before_absence
    visible = any(order.left == 0 for order in orders)
    if moment and not visible:
        moves.step("asks all questions after the moment: not there", at, state, absent)
    elif moment and not rules.failed_question_is_no_absence:
        moves.step("asks after the moment: the questions fail", at, state, absent, fair=False)
    elif not visible and not rules.early_no_is_no_absence:
        moves.step("asks once, early: not there", at, state, absent)
