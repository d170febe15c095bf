"""What happens around the bridge: the exchange, the bot, time, and the faults."""

from docs.model.bridge import accepted
from docs.model.moves import NOBODY, Move, Moves
from docs.model.state import (
    CANCELED,
    FORGOTTEN,
    IDLE_WORKER,
    IN_ENGINE,
    KNOWS_NOT_SENT,
    NEW,
    NO_CHANGE,
    NOTHING_WRONG,
    OPEN,
    ORDER,
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
    Worker,
    orders_of,
    put,
)

# --- the exchange -----------------------------------------------------------------------------------------------------


def arrive(moves: Moves, state: State, at: int) -> None:
    """A POST arrives: before its deadline it goes on to the engine, after it the exchange says -1021."""
    worker = state.workers[at]
    if worker.left:
        inside = Worker(IN_ENGINE, worker.number, moves.setting.engine_delay + 1, worker.token, NOTHING_WRONG)
        moves.add("POST arrives in time", at, state, workers=put(state.workers, at, inside))
        return
    _tell(moves, state, at, "POST arrives after its deadline: -1021", KNOWS_NOT_SENT, state.exchange)


def decide(moves: Moves, state: State, at: int) -> None:
    """The engine decides on the POST of a worker that still waits for the answer."""
    worker = state.workers[at]
    _tell(moves, state, at, "engine rejects the order", TOLD_REJECTED, state.exchange)
    exchange = (*state.exchange, _new_order(moves, worker.number))
    _tell(moves, state, at, "engine accepts the order", TOLD_ACCEPTED, exchange)
    if moves.setting.proxy_repeats:
        told = put(state.workers, at, Worker(TOLD_DUPLICATE, worker.number, 0, worker.token, NOTHING_WRONG))
        label = "engine accepts the order; a proxy loses the answer, POSTs again, and that is refused as a duplicate"
        moves.add(label, at, state, workers=told, exchange=exchange, fair=False)


def _tell(moves: Moves, state: State, at: int, label: str, told: int, exchange: tuple[Message, ...]) -> None:
    worker = state.workers[at]
    answered = put(state.workers, at, Worker(told, worker.number, 0, worker.token, NOTHING_WRONG))
    moves.add(label, at, state, workers=answered, exchange=exchange)
    silent = put(state.workers, at, Worker(SILENT, worker.number, 0, worker.token, NOTHING_WRONG))
    moves.add(label + "; the answer is lost", at, state, workers=silent, exchange=exchange, fair=False)


def _new_order(moves: Moves, number: int) -> Message:
    return Message(RESTING if moves.setting.rests else ORDER, number, moves.setting.query_lag + 1)


def unattended(moves: Moves, state: State) -> None:
    """POSTs that nobody waits for go their way; a resting order may fill."""
    for place, message in enumerate(state.exchange):
        others = (*state.exchange[:place], *state.exchange[place + 1 :])
        if message.kind == POST_ON_WIRE:
            inside = Message(POST_IN_ENGINE, message.number, moves.setting.engine_delay + 1)
            moves.add("an abandoned POST arrives in time", NOBODY, state, exchange=(*others, inside))
        elif message.kind == POST_IN_ENGINE:
            moves.add("engine refuses an abandoned POST", NOBODY, state, exchange=others)
            order = _new_order(moves, message.number)
            moves.add("engine accepts an abandoned POST", NOBODY, state, exchange=(*others, order))
        elif message.kind == RESTING and not moves.setting.proxy_repeats:
            filled = message._replace(kind=ORDER)
            moves.add("the resting order fills", NOBODY, state, exchange=(*others, filled), fair=False)


def tell_stream(moves: Moves, state: State) -> None:
    """The user stream shows an order (PROTOCOL 6: evidence from any process). Not relied on: a stream may have a gap."""
    orders = [order for order in orders_of(state) if order.number != FORGOTTEN]
    if orders and state.db.entry != SUBMITTED:
        moves.add("the user stream shows the order", NOBODY, state, db=accepted(state.db), fair=False)


# --- the bot ----------------------------------------------------------------------------------------------------------


def bot(moves: Moves, state: State) -> None:
    """The bot cancels in the database only, and may edit a row that nobody has claimed."""
    db = state.db
    if moves.setting.cancels and db.row in {PENDING, OPEN}:
        moves.add("the bot cancels the row", NOBODY, state, db=db._replace(row=CANCELED), fair=False)
    if moves.setting.peeks and db.row == PENDING and db.entry == NEW and not db.version:
        moves.add("the bot edits the row", NOBODY, state, db=db._replace(version=1), fair=False)


# --- faults and time --------------------------------------------------------------------------------------------------


def kill(moves: Moves, state: State, at: int) -> None:
    """A process is killed and started again: it remembers nothing; its POST goes on. A freeze needs no move at all."""
    worker = state.workers[at]
    exchange = state.exchange
    if worker.step in UNDER_WAY:
        exchange = (*exchange, Message(UNDER_WAY[worker.step], worker.number, worker.left))
    workers = put(state.workers, at, IDLE_WORKER)
    moves.add("is killed", at, state, workers=workers, exchange=exchange, fair=False)


def fail_over(moves: Moves, state: State) -> None:
    """The primary is lost, the standby takes over; whatever it had not received is gone, for the bot as for us."""
    if not state.failovers:
        return
    old = state.old or state.db._replace(lease=0)
    workers, exchange = state.workers, state.exchange
    if not moves.rules.computable_ids:
        workers = tuple(
            worker._replace(number=FORGOTTEN) if worker.number > old.number else worker for worker in workers
        )
        exchange = tuple(
            message._replace(number=FORGOTTEN) if message.number > old.number else message
            for message in exchange
        )
    change = UNSEEN if moves.rules.epoch_compared else NO_CHANGE
    if moves.rules.random_tokens:
        workers = tuple(worker._replace(token=0) for worker in workers)
    label = (
        "the primary is lost, with the commits the standby never got" if state.old else "the primary is lost"
    )
    after = moves.canonical(old, None, change, workers, exchange, state.failovers - 1, state.wrong)
    moves.found.append(Move(label, NOBODY, after, fair=False))


def tick(moves: Moves, state: State) -> None:
    """One tick passes, for every clock at once; not while the engine has to decide first."""
    exchange: list[Message] = []
    for message in state.exchange:
        if message.kind == POST_IN_ENGINE and message.left == 1:
            return
        exchange.append(message._replace(left=message.left - 1) if message.left else message)
    workers: list[Worker] = []
    for worker in state.workers:
        if worker.step == IN_ENGINE and worker.left == 1:
            return
        workers.append(worker._replace(left=worker.left - 1) if worker.left else worker)
    change = state.change - 1 if state.change > 1 else state.change
    old = state.old and _later(state.old)
    after = moves.canonical(_later(state.db), old, change, workers, exchange, state.failovers, state.wrong)
    if after != state:
        moves.found.append(Move("a tick passes", NOBODY, after, fair=True))


def _later(db: Db) -> Db:
    if db.wait > 0 or db.lease:
        return db._replace(wait=db.wait - (db.wait > 0), lease=db.lease - (db.lease > 0))
    return db
