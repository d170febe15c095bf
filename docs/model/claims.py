"""What must never be, and what must always be reachable: promise 1 of DESIGN as predicates over one state."""

from docs.model.state import (
    AFTER_CANCEL,
    BACKOFF,
    CANCELED,
    IN_FLIGHT,
    OUT_OF_DATE,
    RESTING,
    SUBMITTED,
    WITHOUT_ORDER,
    State,
    orders_of,
)

TWO_ORDERS = "two orders for one row"
DENIED_ORDER = "a row ended without an order, but there is one"
DENIED_ATTEMPT = "an attempt judged not there is there"
NO_ORDER = "submitted, but there is no order"
SENT_AFTER_CANCEL = "sent although the cancel was visible at the claim"
SENT_STALE = "sent what the row no longer said at the claim"
STUCK = "no fair move leads to one order or one clear end any more"


def violated(state: State) -> str | None:
    """Return the claim that this state breaks, if any."""
    if state.wrong == AFTER_CANCEL:
        return SENT_AFTER_CANCEL
    if state.wrong == OUT_OF_DATE:
        return SENT_STALE
    db = state.db
    orders = orders_of(state)
    if not orders:
        return NO_ORDER if db.entry == SUBMITTED else None
    if len(orders) > 1:
        return TWO_ORDERS
    if db.entry in WITHOUT_ORDER:
        return DENIED_ORDER
    # Every attempt before the newest one was judged; of an entry in back-off the newest one too.
    judged = db.number - 1 if db.entry in IN_FLIGHT else db.number if db.entry == BACKOFF else 0
    if any(0 < order.number <= judged for order in orders):
        return DENIED_ATTEMPT
    return None


CONSEQUENCES = frozenset({TWO_ORDERS, DENIED_ORDER, NO_ORDER, SENT_AFTER_CANCEL, SENT_STALE, STUCK})
"""What a trader would notice. A mutation has to show one of these: a wrong judgement alone is not enough."""
EVERY_CLAIM = CONSEQUENCES | {DENIED_ATTEMPT}


def ended_well(state: State) -> bool:
    """Return whether database and exchange agree and nobody has to do anything any more."""
    if state.db.entry == SUBMITTED:
        orders = orders_of(state)
        return len(orders) == 1 and not (state.db.row == CANCELED and orders[0].kind == RESTING)
    return state.db.entry in WITHOUT_ORDER
