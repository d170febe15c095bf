"""DESIGN 5: circuit breakers the bot tripped, kept until `reset_at` or an operator clears them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.database.operator import changing, run
from shared.database.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database import operator
    from shared.database.connect import Connection


async def remember(connection: Connection) -> dict[UUID, str]:
    """Take down every trip the bot's rows show; returns the reasons of those not known before, by user."""
    rows = await connection.fetch(statement("remember_breakers"))
    return {row["user_id"]: row["reason"] for row in rows}


def clear(connection: operator.Connection, user_id: UUID, *, by: str, why: str) -> str | None:
    """Clear a user's trip and wake every executor; returns its reason, None when there was no trip."""
    with changing(connection):
        rows = run(connection, "clear_breaker", user_id, by, why)
    return rows[0]["reason"] if rows else None
