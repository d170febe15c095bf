"""DESIGN 5: circuit breakers the bot tripped, kept until `reset_at` or an operator clears them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.database.statements import statement

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.connect import Connection


async def remember(connection: Connection) -> dict[UUID, str]:
    """Take down every trip the bot's rows show; returns the reasons of those not known before, by user."""
    rows = await connection.fetch(statement("remember_breakers"))
    return {row["user_id"]: row["reason"] for row in rows}
