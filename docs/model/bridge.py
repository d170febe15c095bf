"""What the bridge does, a function per section of PROTOCOL. Each adds the moves that one worker can make in one state."""

from docs.model.moves import Moves
from docs.model.state import (
    AFTER_CANCEL,
    ASK_ALL,
    BACKOFF,
    CANCELED,
    CLAIMED,
    DONE_CANCELLED,
    DONE_REJECTED,
    FORGOTTEN,
    FOUND_ABSENT,
    GONE,
    HELD,
    IDLE_WORKER,
    IN_FLIGHT,
    KNOWS_NOT_SENT,
    NEW,
    NO_ATTEMPT,
    NO_CHANGE,
    NOTHING_WRONG,
    ON_WIRE,
    OPEN,
    PEEKED,
    PENDING,
    POST_ON_WIRE,
    REJECTED,
    RESOLVING,
    RESTING,
    ROUND_EMPTY,
    SENDING,
    SILENT,
    STALE_ORDER,
    SUBMITTED,
    UNDER_WAY,
    UNKNOWN,
    UNSEEN,
    Db,
    Message,
    State,
    Worker,
    orders_of,
    put,
)

OUTDATED = 2
"""What a peek saw of a row that another worker has written since: equal to no version."""


# --- 2 and 3: peek and claim ------------------------------------------------------------------------------------------


def peek(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 2: look at a ready entry without a lock, and remember the row's version."""
    if ready(moves, state.db):
        workers = put(state.workers, at, Worker(PEEKED, state.db.version, 0, 0, NOTHING_WRONG))
        moves.add("peeks at the row", at, state, workers=workers)


def ready(moves: Moves, db: Db) -> bool:
    """Return whether the row may be claimed: a first attempt, or a retry of a row that is still as we wrote it."""
    if db.entry == NEW:
        return db.row == PENDING
    retry = db.entry == BACKOFF and db.number < moves.setting.numbers
    return retry and (db.row == OPEN or not moves.rules.retry_respects_cancel)


def claimable(moves: Moves, state: State, *, peeked: bool, edited: bool) -> bool:
    """PROTOCOL 3: return whether the UPDATE finds the row as it was peeked, in an epoch that is the recorded one."""
    db, rules = state.db, moves.rules
    if state.change != NO_CHANGE:
        return False
    if peeked and not rules.claim_rechecks_row:
        return db.entry in {NEW, BACKOFF} and db.number < moves.setting.numbers
    return ready(moves, db) and not (edited and rules.claim_compares_version)


def claim(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 3: one commit makes the attempt durable, with the signing timestamp on it."""
    db, rules = state.db, moves.rules
    worker = state.workers[at]
    peeked = worker.step == PEEKED
    edited = peeked and worker.number != db.version
    if not claimable(moves, state, peeked=peeked, edited=edited):
        if peeked:
            workers = put(state.workers, at, IDLE_WORKER)
            moves.add("claims nothing: the row is not as it was peeked", at, state, workers=workers)
        return
    wrong = AFTER_CANCEL if db.row == CANCELED else STALE_ORDER if edited else NOTHING_WRONG
    number = db.number + 1
    token, workers = moves.fresh(db, state.workers)
    workers = tuple(w._replace(number=OUTDATED) if w.step == PEEKED else w for w in workers)
    for error in moves.setting.clock_errors:
        left = moves.setting.window + error + 1
        claimed = db._replace(row=OPEN, entry=SENDING, lease=moves.setting.lease, token=token, version=0)
        if rules.attempt_before_post:
            claimed = claimed._replace(number=number, wait=absence_wait(moves, error))
        else:
            claimed = claimed._replace(wait=NO_ATTEMPT)
        owner = Worker(CLAIMED, number, left, token, wrong)
        moves.add(
            f"claims an attempt, its clock {error:+d}", at, state, db=claimed, workers=put(workers, at, owner)
        )


def absence_wait(moves: Moves, error: int) -> int:
    """Return the ticks from the claim until an absence may be asked for."""
    rules, setting = moves.rules, moves.setting
    wait = setting.window + 1
    wait += error if rules.asks_by_server_time else 0
    wait += setting.engine_delay if rules.waits_for_engine else 0
    wait += setting.query_lag if rules.waits_for_lag else 0
    return wait


def record(moves: Moves, state: State, at: int) -> None:
    """Write the attempt after the POST: what PROTOCOL 3 forbids."""
    db, worker = state.db, state.workers[at]
    if (
        db.entry == SENDING
        and db.wait == NO_ATTEMPT
        and worker.token == db.token
        and state.change == NO_CHANGE
    ):
        recorded = db._replace(number=worker.number, wait=absence_wait(moves, 0))
        moves.add("writes the attempt's row at last", at, state, db=recorded)


# --- 4: send once -----------------------------------------------------------------------------------------------------


def send(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 4: one POST with the stored timestamp; or none, and then zero bytes were written for certain."""
    worker, setting, rules = state.workers[at], moves.setting, moves.rules
    lefts = [worker.left]
    if not rules.signs_at_claim:
        lefts = [setting.window + error + 1 for error in setting.clock_errors]
    for left in lefts:
        _post(moves, state, at, left)
    late = 2 * (worker.left - 1) < setting.window
    workers = put(state.workers, at, Worker(KNOWS_NOT_SENT, worker.number, 0, worker.token, NOTHING_WRONG))
    label = (
        "finds less than half the window left and does not send"
        if late
        else "cannot connect: zero bytes written"
    )
    moves.add(label, at, state, workers=workers, fair=late)


def _post(moves: Moves, state: State, at: int, left: int) -> None:
    worker = state.workers[at]
    silent = put(state.workers, at, Worker(SILENT, worker.number, 0, worker.token, NOTHING_WRONG))
    moves.add("POSTs; the request is lost", at, state, workers=silent, wrong=worker.wrong, fair=False)
    if not left:
        told = put(state.workers, at, Worker(KNOWS_NOT_SENT, worker.number, 0, worker.token, NOTHING_WRONG))
        moves.add("POSTs after the deadline: refused, -1021", at, state, workers=told, wrong=worker.wrong)
        return
    waits = put(state.workers, at, Worker(ON_WIRE, worker.number, left, worker.token, NOTHING_WRONG))
    moves.add("POSTs", at, state, workers=waits, wrong=worker.wrong)
    if not moves.rules.sends_once:
        again = (*state.exchange, Message(POST_ON_WIRE, worker.number, left))
        label = "POSTs; the connection breaks and the HTTP layer POSTs again"
        moves.add(label, at, state, workers=waits, exchange=again, wrong=worker.wrong, fair=False)


# --- 5 and 6: classify and settle -------------------------------------------------------------------------------------


def settle_accepted(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 6: positive evidence needs no token, no lease and no epoch."""
    workers = put(state.workers, at, IDLE_WORKER)
    db = None if state.db.entry == SUBMITTED else accepted(state.db)
    moves.add("settles: accepted", at, state, db=db, workers=workers)


def accepted(db: Db) -> Db:
    """Return the entry with evidence that an order exists."""
    return Db(CANCELED if db.row == CANCELED else OPEN, SUBMITTED, 0, 0, 0, 0, db.token, 0, db.deleted)


def may_settle(moves: Moves, state: State, worker: Worker) -> bool:
    """PROTOCOL 6: not_sent, absent and rejected need the token, the number, a non-final state and the epoch."""
    db = state.db
    if db.entry == SUBMITTED:
        return False  # a constraint: no update leaves accepted
    if not moves.rules.settle_checks_token_and_state:
        return True
    current = db.number == worker.number or db.wait == NO_ATTEMPT
    return state.change != UNSEEN and db.entry in IN_FLIGHT and db.token == worker.token and current


def settle_rejected(moves: Moves, state: State, at: int) -> None:
    """The exchange's own word: the row is rejected."""
    if not may_settle(moves, state, state.workers[at]):
        _drop(moves, state, at)
    elif may_end(moves, state):
        workers = put(state.workers, at, IDLE_WORKER)
        moves.add("settles: rejected", at, state, db=ended(state.db, DONE_REJECTED), workers=workers)


def settle_not_sent(moves: Moves, state: State, at: int) -> None:
    """Not counted; the number is used, and when it was the last one the row is held."""
    if may_settle(moves, state, state.workers[at]):
        _not_there(moves, state, at, "settles: not sent", 0)
    else:
        _drop(moves, state, at)


def settle_absent(moves: Moves, state: State, at: int) -> None:
    """Counted: after so many the row is rejected."""
    if may_settle(moves, state, state.workers[at]):
        _not_there(moves, state, at, "settles: absent", 1)
    else:
        _drop(moves, state, at)


def _not_there(moves: Moves, state: State, at: int, label: str, counted: int) -> None:
    db, setting = state.db, moves.setting
    workers = put(state.workers, at, IDLE_WORKER)
    absent = db.absent + counted
    number = max(db.number, state.workers[at].number)
    if absent >= setting.counted:
        if may_end(moves, state):
            label += ", for the last counted time: rejected"
            moves.add(label, at, state, db=ended(db, DONE_REJECTED), workers=workers)
    elif number >= setting.numbers:
        if may_end(moves, state):
            moves.add(label + ", no number left: held", at, state, db=ended(db, HELD), workers=workers)
    else:
        again = db._replace(entry=BACKOFF, number=number, absent=absent, wait=0, lease=0)
        moves.add(label, at, state, db=again, workers=workers)


def may_end(moves: Moves, state: State) -> bool:
    """PROTOCOL 10: after an epoch change nothing ends without an order until all ids were asked for."""
    if state.change == ASK_ALL:
        return not moves.rules.final_waits_for_round
    return state.change == NO_CHANGE


def ended(db: Db, entry: int) -> Db:
    """Return the entry done, or held, without an order."""
    row = REJECTED if entry == DONE_REJECTED else db.row
    return Db(row, entry, 0, 0, 0, 0, db.token, 0, 0)


def _drop(moves: Moves, state: State, at: int) -> None:
    workers = put(state.workers, at, IDLE_WORKER)
    moves.add("its settle is refused: it is not the owner any more", at, state, workers=workers)


def give_up(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 5: no answer, or one that says nothing: unknown. What is under way goes on without us."""
    worker, db = state.workers[at], state.db
    exchange = state.exchange
    if worker.step in UNDER_WAY:
        exchange = (*exchange, Message(UNDER_WAY[worker.step], worker.number, worker.left))
    workers = put(state.workers, at, IDLE_WORKER)
    owns = (
        db.entry == SENDING and db.token == worker.token and state.change != UNSEEN and db.wait != NO_ATTEMPT
    )
    after = db._replace(entry=UNKNOWN, lease=0) if owns else None
    moves.add("hears nothing in time: unknown", at, state, db=after, workers=workers, exchange=exchange)


# --- 7: resolve what is unknown ---------------------------------------------------------------------------------------


def take_over(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 7: a worker whose lease ran out may have sent, so its attempt is unknown."""
    db = state.db
    if db.lease or db.entry not in IN_FLIGHT or state.change == UNSEEN:
        return
    if db.entry == SENDING and (db.wait == NO_ATTEMPT or not moves.rules.lease_expiry_is_unknown):
        token, workers = moves.fresh(db, state.workers)
        again = BACKOFF if db.number else NEW
        row = OPEN if db.number else PENDING
        after = db._replace(row=db.row if db.row == CANCELED else row, entry=again, wait=0, token=token)
        moves.add("sees the lease expired and queues the row again", at, state, db=after, workers=workers)
        return
    token, workers = moves.fresh(db, state.workers)
    after = db._replace(entry=UNKNOWN, lease=moves.setting.lease, token=token)
    resolver = Worker(RESOLVING, db.number, 0, token, NOTHING_WRONG)
    moves.add("takes the unknown attempt over", at, state, db=after, workers=put(workers, at, resolver))


def ask(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 7: presence is believed at once, absence only when the moment has come and every question is answered."""
    rules, db, worker = moves.rules, state.db, state.workers[at]
    orders = [order for order in orders_of(state) if order.number == worker.number]
    if orders and db.entry != SUBMITTED:
        workers = put(state.workers, at, IDLE_WORKER)
        moves.add("asks: there", at, state, db=accepted(db), workers=workers)
    absent = put(state.workers, at, Worker(FOUND_ABSENT, worker.number, 0, worker.token, NOTHING_WRONG))
    current = db.number == worker.number and db.entry == UNKNOWN
    over = not current or db.wait == 0 or not rules.waits_before_absence
    visible = any(order.left == 0 for order in orders)
    if not visible and over:
        moves.add("asks all three questions after the moment: not there", at, state, workers=absent)
    if not visible and not rules.early_no_is_no_absence:
        moves.add("asks once, early: not there", at, state, workers=absent)
    if not rules.failed_question_is_no_absence and over:
        moves.add("asks: the questions fail", at, state, workers=absent, fair=False)


# --- 9: cancel --------------------------------------------------------------------------------------------------------


def finish_cancelled(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 9: cancelled before the claim or during back-off is never sent."""
    db = state.db
    if db.row == CANCELED and db.entry in {NEW, BACKOFF, HELD} and may_end(moves, state):
        moves.add("settles: cancelled before send", at, state, db=ended(db, DONE_CANCELLED))


def delete(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 9: cancelled while unknown or live: DELETE by client id, and again after D. Only its success is evidence."""
    db = state.db
    if (
        db.row != CANCELED
        or db.entry not in {SENDING, UNKNOWN, SUBMITTED}
        or (db.deleted and not moves.rules.delete_repeated)
    ):
        return
    tried = 0 if moves.rules.delete_repeated else 1
    for place, order in enumerate(state.exchange):
        if order.kind == RESTING:
            exchange = (*state.exchange[:place], order._replace(kind=GONE), *state.exchange[place + 1 :])
            after = accepted(db)._replace(deleted=tried)
            moves.add("DELETEs the order", at, state, db=after, exchange=exchange)
            return
    if tried:
        moves.add("DELETEs; there is no such order (yet)", at, state, db=db._replace(deleted=1))


# --- 10: the database changes -----------------------------------------------------------------------------------------


def change_epoch(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 10: one transaction records the epoch, replaces tokens, makes in-flight unknown and starts the quarantine."""
    if state.change != UNSEEN:
        return
    db, rules, setting = state.db, moves.rules, moves.setting
    token, workers = moves.fresh(db, state.workers)
    after = db._replace(lease=0, token=token)
    if db.entry == SENDING:
        after = after._replace(entry=UNKNOWN)
    change = ASK_ALL
    if rules.quarantine:
        change += setting.window + setting.engine_delay + setting.query_lag + 1
        change += setting.clock_error if rules.quarantine_counts_clock_error else 0
    moves.add("notices the new epoch", at, state, db=after, workers=workers, change=change)


def ask_all(moves: Moves, state: State, at: int) -> None:
    """PROTOCOL 10: after the quarantine one round asks for every id the row can have."""
    if state.change != ASK_ALL:
        return
    db = state.db
    if not moves.rules.asks_after_quarantine:
        moves.add("releases the row without asking", at, state, db=db, change=NO_CHANGE)
        return
    asked = range(1, moves.setting.numbers + 1) if moves.rules.asks_all_ids else (db.number, db.number + 1)
    orders = [order for order in orders_of(state) if order.number in asked and order.number != FORGOTTEN]
    if orders:
        moves.add("asks for all ids: there", at, state, db=accepted(db), change=NO_CHANGE)
    if all(order.left for order in orders):
        workers = put(state.workers, at, Worker(ROUND_EMPTY, 0, 0, 0, NOTHING_WRONG))
        moves.add("asks for all ids: none there", at, state, workers=workers)


def end_round(moves: Moves, state: State, at: int) -> None:
    """The round is over: from here the row is like any other."""
    workers = put(state.workers, at, IDLE_WORKER)
    moves.add("releases the row", at, state, db=state.db, workers=workers, change=NO_CHANGE)
