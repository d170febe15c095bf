"""PROTOCOL 4: one POST with the stored timestamp, at once and once."""

from docs.model.claim import deadlines
from docs.model.moves import Moves
from docs.model.state import KNOWS_NOT_SENT, ON_WIRE, POST_ON_WIRE, SILENT, Message, State, put


def send(moves: Moves, state: State, at: int) -> None:
    """POST; or write zero bytes, because too little of the window is left or nobody can be reached.

    Any time may pass between the look at the clock and the first byte, so a POST may be however late.
    """
    worker, setting = state.workers[at], moves.setting
    if moves.rules.signs_at_claim:
        _post(moves, state, at, worker.left)
    else:
        for left in deadlines(moves):
            _post(moves, state, at, left)
    late = 2 * (worker.left - 1) < setting.window
    label = "finds less than half the window left: not sent" if late else "cannot connect: not sent"
    unsent = put(state.workers, at, worker._replace(step=KNOWS_NOT_SENT, left=0, wrong=0))
    moves.step(label, at, state, unsent, fair=late)


def _post(moves: Moves, state: State, at: int, left: int) -> None:
    worker = state.workers[at]
    silent = put(state.workers, at, worker._replace(step=SILENT, left=0, wrong=0))
    moves.step("POSTs; the request is lost", at, state, silent, wrong=worker.wrong, fair=False)
    if not left:
        refused = put(state.workers, at, worker._replace(step=KNOWS_NOT_SENT, left=0, wrong=0))
        moves.step("POSTs after the deadline: -1021", at, state, refused, wrong=worker.wrong)
        return
    waits = put(state.workers, at, worker._replace(step=ON_WIRE, left=left, wrong=0))
    moves.step("POSTs", at, state, waits, wrong=worker.wrong)
    if not moves.rules.sends_once:
        twice = (*state.exchange, Message(POST_ON_WIRE, worker.number, left))
        label = "POSTs; the connection breaks and the HTTP layer POSTs again"
        moves.post(label, at, state, waits, twice, wrong=worker.wrong, fair=False)
