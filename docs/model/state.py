"""What the model remembers at one moment: the database, the workers, the exchange.

Everything is a tuple of small integers, because a run keeps hundreds of thousands of them. The constants are
plain integers for the same reason: an IntEnum hashes its name, in Python code.
"""

from typing import Final, NamedTuple

# What the row says (public.orders.status).
PENDING: Final = 0
OPEN: Final = 1
CANCELED: Final = 2
REJECTED: Final = 3
ROW_NAMES: Final = ("pending", "open", "canceled", "rejected")

# What the entry says (PROTOCOL 12). "done" is split by its reason, which is what a claim is about.
NEW: Final = 0
SENDING: Final = 1
UNKNOWN: Final = 2
BACKOFF: Final = 3
SUBMITTED: Final = 4
HELD: Final = 5
DONE_REJECTED: Final = 6
DONE_CANCELLED: Final = 7
ENTRY_NAMES: Final = (
    "new",
    "sending",
    "unknown",
    "backoff",
    "submitted",
    "held",
    "done (rejected)",
    "done (cancelled before send)",
)
IN_FLIGHT: Final = frozenset({SENDING, UNKNOWN})
WITHOUT_ORDER: Final = frozenset({HELD, DONE_REJECTED, DONE_CANCELLED})
SETTLED: Final = WITHOUT_ORDER | {SUBMITTED}

# What a worker is in the middle of. It may stay there for ever: that is what a freeze is.
IDLE: Final = 0
PEEKED: Final = 1
CLAIMED: Final = 2
ON_WIRE: Final = 3
IN_ENGINE: Final = 4
SILENT: Final = 5
TOLD_ACCEPTED: Final = 6
TOLD_REJECTED: Final = 7
TOLD_DUPLICATE: Final = 8
KNOWS_NOT_SENT: Final = 9
RESOLVING: Final = 10
FOUND_ABSENT: Final = 11
ROUND_EMPTY: Final = 12
WORKER_NAMES: Final = (
    "idle",
    "peeked",
    "claimed, before the first byte",
    "waits, its POST on the wire",
    "waits, its POST in the engine",
    "waits, no answer will come",
    "told: accepted",
    "told: rejected",
    "told: duplicate",
    "knows: not sent",
    "resolves",
    "found absent, before the commit",
    "asked for all ids, before the commit",
)

# What is at the exchange: a POST that nobody waits for any more, or an order.
POST_ON_WIRE: Final = 0
POST_IN_ENGINE: Final = 1
ORDER: Final = 2
RESTING: Final = 3
GONE: Final = 4
MESSAGE_NAMES: Final = (
    "POST on the wire",
    "POST in the engine",
    "order, filled",
    "order, resting",
    "order, off the book by DELETE",
)
UNDER_WAY: Final = {ON_WIRE: POST_ON_WIRE, IN_ENGINE: POST_IN_ENGINE}
"""What becomes of a POST whose worker is gone: it goes on without it."""

# State.change: where the database is between two epochs (PROTOCOL 10).
# Above ASK_ALL: quarantine, change - ASK_ALL ticks. Below UNSEEN: executors stopped, UNSEEN - change ticks.
UNSEEN: Final = -1
NO_CHANGE: Final = 0
ASK_ALL: Final = 1

# State.wrong: what was put on the wire against the row.
NOTHING_WRONG: Final = 0
AFTER_CANCEL: Final = 1
OUT_OF_DATE: Final = 2

# Values that only a mutation writes.
NO_ATTEMPT: Final = -1
"""Db.wait of an entry that is being sent without an attempt row."""
FORGOTTEN: Final = 0
"""Number of an order whose id cannot be computed again."""

OTHER_VERSION: Final = 3
"""What a peek remembers of a row that was rewritten since: like no version of it."""


class Db(NamedTuple):
    """One committed state of the database: the row, its entry and the newest attempt.

    All older attempts are absent or not sent (at most one is open), so their count is enough.
    """

    row: int
    entry: int
    number: int
    """How many attempts were made; so the newest one's number."""
    absent: int
    """How many of them were judged absent: the counted ones (PROTOCOL 8)."""
    wait: int
    """Ticks until the exchange's clock is past D + engine_delay + query_lag of the newest attempt."""
    lease: int
    """Ticks until another worker may take the entry over."""
    token: int
    version: int
    """Of the row: 0 as inserted, 1 edited by the bot, 2 edited after a failover that lost the first edit.

    1 and 2 look alike to xmin and ctid, because a failover issues transaction ids again.
    """
    deleted: int
    """1 after a DELETE was tried; only the mutation "DELETE only once" writes it."""


class Worker(NamedTuple):
    """What one process holds in memory."""

    step: int
    number: int
    """Of the attempt it works on; while PEEKED, the version of the row it saw."""
    left: int
    """Ticks its POST may still stay where it is: before the check of the deadline, or in the engine."""
    token: int
    wrong: int
    """What sending this attempt would do against the row."""


class Message(NamedTuple):
    """A POST that nobody waits for, or an order."""

    kind: int
    number: int
    left: int
    """POST: as Worker.left. Order: ticks for which a query may still miss it."""


class State(NamedTuple):
    """One moment of the whole system."""

    db: Db
    old: Db | None
    """What a failover will fall back to: everything committed since then is lost with it."""
    change: int
    workers: tuple[Worker, ...]
    exchange: tuple[Message, ...]
    failovers: int
    """How many may still happen."""
    wrong: int


IDLE_WORKER: Final = Worker(IDLE, 0, 0, 0, NOTHING_WRONG)
FIRST_DB: Final = Db(PENDING, NEW, 0, 0, 0, 0, 0, 0, 0)


def put(workers: tuple[Worker, ...], at: int, worker: Worker) -> tuple[Worker, ...]:
    """Return the workers with one of them replaced."""
    return (*workers[:at], worker, *workers[at + 1 :])


def orders_of(state: State) -> list[Message]:
    """Return every order of the row that the exchange ever accepted, in whatever state it is now."""
    return [message for message in state.exchange if message.kind >= ORDER]


def described(state: State) -> str:
    """Return one line that shows a person the whole state."""
    db = state.db
    parts = [f"row {ROW_NAMES[db.row]}, entry {ENTRY_NAMES[db.entry]}"]
    if db.number:
        parts.append(f"attempts {db.number} ({db.absent} absent)")
    if db.entry in IN_FLIGHT:
        parts.append(f"token {db.token}, lease {db.lease}, absence in {db.wait}")
    parts.append("; ".join(_worker(worker) for worker in state.workers))
    parts.append("exchange: " + ("; ".join(_message(message) for message in state.exchange) or "nothing"))
    if state.old is not None:
        parts.append(f"a standby still at: {ENTRY_NAMES[state.old.entry]}, attempts {state.old.number}")
    if state.change != NO_CHANGE:
        parts.append(_change(state.change))
    return " | ".join(parts)


def _change(change: int) -> str:
    if change > ASK_ALL:
        return f"quarantine {change - ASK_ALL}"
    if change < UNSEEN:
        return f"executors stopped {UNSEEN - change}"
    return "epoch change not yet seen" if change == UNSEEN else "all ids to be asked"


def _worker(worker: Worker) -> str:
    if worker.step in {IDLE, PEEKED, ROUND_EMPTY}:
        return WORKER_NAMES[worker.step]
    left = f", {worker.left} left" if worker.step in {CLAIMED, ON_WIRE, IN_ENGINE} else ""
    return f"{WORKER_NAMES[worker.step]} (attempt {worker.number}, token {worker.token}{left})"


def _message(message: Message) -> str:
    if message.kind < ORDER:
        return f"{MESSAGE_NAMES[message.kind]} (attempt {message.number}, {message.left} left)"
    seen = "may be missed" if message.left else "visible"
    return f"{MESSAGE_NAMES[message.kind]} (attempt {message.number}, {seen})"
