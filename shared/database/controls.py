"""DESIGN 5: the operator's switches: halt, reduce-only, cancel.

A halt is read inside the claim statement and stops placements only. `in_flight` and `claims_under_way` let
whoever turned it wait until nothing is between claim and outcome any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shared.database.operator import changing, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.database.operator import Connection, Row


@dataclass(frozen=True, slots=True)
class Scope:
    """What a switch covers.

    Args:
        kind: everything, one account, or one symbol on all accounts.
        key: the account's id, or the symbol in any of its spellings.

    """

    kind: Literal["global", "account", "symbol"] = "global"
    key: str = ""

    def __str__(self) -> str:
        return "everything" if self.kind == "global" else f"{self.kind} {self.key}"


def turn(
    connection: Connection,
    scope: Scope,
    *,
    halted: bool | None = None,
    reduce_only: bool | None = None,
    reason: str,
    by: str,
) -> Row:
    """Turn a switch (None: leave it) and wake every executor; returns both as they are now."""
    with changing(connection):
        return run(connection, "set_control", scope.kind, scope.key, halted, reduce_only, reason, by)[0]


def in_force(connection: Connection) -> list[Row]:
    """Return everything that keeps orders from being sent: switches, pauses, breakers; the oldest first."""
    return run(connection, "list_controls")


def claims_under_way(connection: Connection) -> frozenset[str]:
    """Return the transactions that write attempts now: they may not have seen a switch just turned."""
    return frozenset(row["transaction"] for row in run(connection, "claims_under_way"))


def in_flight(connection: Connection, scope: Scope) -> list[Row]:
    """Return the entries between claim and outcome."""
    return run(connection, "in_flight", scope.kind, scope.key)


def became(connection: Connection, attempts: Sequence[tuple[UUID, int]]) -> list[Row]:
    """Return what became of attempts."""
    return run(connection, "became", [order for order, _ in attempts], [number for _, number in attempts])


def still_out(connection: Connection, scope: Scope) -> dict[str, int]:
    """Count what a halt leaves alone: orders at the exchange (`submitted`) and unknown ones."""
    return {row["state"]: row["orders"] for row in run(connection, "still_out", scope.kind, scope.key)}


def cancel(
    connection: Connection,
    scope: Scope,
    *,
    by: str,
    order_ids: Sequence[UUID] | None = None,
    sent_only: bool = False,
) -> list[Row]:
    """Cancel rows the way the bot does; the executor cancels at the exchange what is there.

    Args:
        connection: of the operator.
        scope: which rows.
        by: who asked.
        order_ids: only these; None = all of the scope.
        sent_only: leave rows alone that were not sent yet.

    Returns:
        The rows cancelled, with what they were before.

    """
    ids = None if order_ids is None else list(order_ids)
    with changing(connection):
        return run(connection, "cancel_rows", ids, scope.kind, scope.key, sent_only, by)


def clear_breaker(connection: Connection, user_id: UUID, *, by: str, why: str) -> str | None:
    """Clear a user's tripped breaker; returns why it had tripped, None when it had not."""
    with changing(connection):
        rows = run(connection, "clear_breaker", user_id, by, why)
    return rows[0]["reason"] if rows else None
