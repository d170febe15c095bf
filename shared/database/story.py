"""What the database knows about orders and positions, for people: lists, and one order's whole story."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shared.database.operator import run
from shared.domain.verdicts import Code, wait

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from shared.database.operator import Connection, Row


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders a list shows; None = whatever it is.

    Args:
        states: of the entry: new, held, sending, unknown, backoff, submitted, done.
        statuses: of the bot's row.
        account_id: on this account.
        user_id: of this user.
        symbol: in any of its spellings.
        reason_code: why it is held, waits or was rejected.
        newer_than: not older than this.
        limit: no more than this, the newest.

    """

    states: tuple[str, ...] | None = None
    statuses: tuple[str, ...] | None = None
    account_id: UUID | None = None
    user_id: UUID | None = None
    symbol: str | None = None
    reason_code: str | None = None
    newer_than: timedelta | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Story:
    """Everything known about one order.

    Attributes:
        head: the bot's row and our entry (its columns are None where there is no entry).
        attempts: every intended POST, by number.
        evidence: what showed that it exists.
        questions: what was asked about unknown attempts.
        events: the audit trail.
        fills: its executions.

    """

    head: Row
    attempts: list[Row]
    evidence: list[Row]
    questions: list[Row]
    events: list[Row]
    fills: list[Row]


def list_orders(connection: Connection, wanted: Wanted, max_key_block: timedelta) -> list[Row]:
    """Return orders, the newest first.

    Args:
        connection: any.
        wanted: which.
        max_key_block: how long an unknown order keeps the others of its key from their turn.

    """
    rows = run(
        connection,
        "list_orders",
        list(wanted.states) if wanted.states else None,
        list(wanted.statuses) if wanted.statuses else None,
        wanted.account_id,
        wanted.user_id,
        wanted.symbol,
        wanted.reason_code,
        wanted.newer_than,
        wanted.limit,
        max_key_block,
    )
    return [_with_reason(row) for row in rows]


def _with_reason(row: Row) -> Row:
    """Say what a row stands in line for: it is seen in the other entries, and kept nowhere."""
    told = dict(row)
    waits_for = told.pop("waits_for")
    if waits_for is not None:
        told["reason"] = wait(Code(row["reason_code"]), order=waits_for).sentence
    return told


def list_positions(
    connection: Connection,
    *,
    closed: bool = False,
    account_id: UUID | None = None,
    user_id: UUID | None = None,
    symbol: str | None = None,
    limit: int = 200,
) -> list[Row]:
    """Return positions of the ledger, open ones first."""
    return run(connection, "list_positions", closed, account_id, user_id, symbol, limit)


def read_story(connection: Connection, order_id: UUID, max_key_block: timedelta) -> Story | None:
    """Return one order's story, as of one moment; None when there is no such row.

    Args:
        connection: any.
        order_id: of the row.
        max_key_block: how long an unknown order keeps the others of its key from their turn.

    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        heads = run(connection, "story_head", order_id, max_key_block)
        if not heads:
            return None
        return Story(
            _with_reason(heads[0]),
            run(connection, "story_attempts", order_id),
            run(connection, "story_evidence", order_id),
            run(connection, "story_questions", order_id),
            run(connection, "story_events", order_id),
            run(connection, "story_fills", order_id),
        )


def ids_like(
    connection: Connection, what: Literal["order", "account", "position"], lowest: UUID, highest: UUID
) -> list[Row]:
    """Return up to ten ids between two, each with a few words about it."""
    return run(connection, f"{what}s_like", lowest, highest)


def accounts_labelled(connection: Connection, label: str) -> list[Row]:
    """Return the accounts with a label, each with a few words about it."""
    return run(connection, "accounts_labelled", label)
