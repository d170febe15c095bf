"""PROTOCOL 9: the bot cancels in the database only; what follows is ours."""

from docs.model.moves import Moves
from docs.model.settle import accepted, ended, may_end
from docs.model.state import (
    BACKOFF,
    CANCELED,
    DONE_CANCELLED,
    GONE,
    HELD,
    IN_FLIGHT,
    NEW,
    RESTING,
    SUBMITTED,
    UNSEEN,
    State,
)


def end_cancelled(moves: Moves, state: State, at: int) -> None:
    """End a row that was cancelled before its claim, during back-off or while held: it is never sent."""
    db = state.db
    proven = {NEW, BACKOFF, HELD}
    if not moves.rules.cancel_waits_for_proof:
        proven |= IN_FLIGHT
    if db.row == CANCELED and db.entry in proven and may_end(moves, state):
        after = state._replace(db=ended(db, DONE_CANCELLED))
        moves.commit("settles: cancelled before send", at, state, after)


def delete(moves: Moves, state: State, at: int) -> None:
    """DELETE by client id while unknown or live, and again after D; only its success is evidence."""
    db = state.db
    wanted = db.row == CANCELED and (db.entry in IN_FLIGHT or db.entry == SUBMITTED) and state.change > UNSEEN
    if not wanted or db.deleted:
        return
    deleted = 0 if moves.rules.delete_repeated else 1
    for place, order in enumerate(state.exchange):
        if order.kind == RESTING:
            gone = (*state.exchange[:place], order._replace(kind=GONE), *state.exchange[place + 1 :])
            after = state._replace(db=accepted(db)._replace(deleted=deleted), exchange=gone)
            moves.commit("DELETEs the order", at, state, after)
            return
    if deleted:
        after = state._replace(db=db._replace(deleted=1))
        moves.commit("DELETEs; there is no such order yet", at, state, after)
