"""PROTOCOL 10: what the bridge does when the database itself has changed under it."""

from docs.model.moves import Moves
from docs.model.settle import accepted
from docs.model.state import (
    ASK_ALL,
    FORGOTTEN,
    IDLE_WORKER,
    NO_CHANGE,
    ROUND_EMPTY,
    SENDING,
    SUBMITTED,
    UNKNOWN,
    UNSEEN,
    State,
    Worker,
    orders_of,
    put,
)


def quarantine(moves: Moves) -> int:
    """Return the ticks in which a forgotten POST may still arrive, be decided and stay unseen."""
    setting, rules = moves.setting, moves.rules
    ticks = setting.window + setting.engine_delay + setting.query_lag + 1
    return ticks + (setting.clock_error if rules.quarantine_counts_clock_error else 0)


def begin_epoch(moves: Moves, state: State, at: int) -> None:
    """Record the new epoch: new tokens, what is in flight unknown, the quarantine begun."""
    if state.change != UNSEEN:
        return
    db = state.db
    after = db._replace(lease=0, token=moves.fresh_token(state))
    if db.entry == SENDING:
        after = after._replace(entry=UNKNOWN)
    change = ASK_ALL + (quarantine(moves) if moves.rules.quarantine else 0)
    moves.commit("notices the new epoch", at, state, state._replace(db=after, change=change))


def ask_all(moves: Moves, state: State, at: int) -> None:
    """Ask, after the quarantine, for every id the row can have: there, adopt; not there, release the row."""
    if state.change != ASK_ALL:
        return
    db, rules = state.db, moves.rules
    if not rules.asks_after_quarantine:
        released = state._replace(change=NO_CHANGE)
        moves.commit("releases the row without asking", at, state, released)
        return
    numbers = range(1, moves.setting.numbers + 1) if rules.asks_all_ids else (db.number, db.number + 1)
    orders = [order for order in orders_of(state) if order.number in numbers and order.number != FORGOTTEN]
    if orders and db.entry != SUBMITTED:
        after = state._replace(db=accepted(db), change=NO_CHANGE)
        moves.commit("asks for all ids: there", at, state, after)
    if all(order.left for order in orders):
        asked = put(state.workers, at, Worker(ROUND_EMPTY, 0, 0, 0, 0))
        moves.step("asks for all ids: none there", at, state, asked)


def end_round(moves: Moves, state: State, at: int) -> None:
    """Release the row: from here it is like any other. A round begun in an earlier epoch ends nothing."""
    workers = put(state.workers, at, IDLE_WORKER)
    after = state._replace(workers=workers, change=NO_CHANGE)
    moves.commit("releases the row", at, state, after)
