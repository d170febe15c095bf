"""PROTOCOL 7: an operator settles what cannot be known; his word is in the audit trail before it counts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.database.operator import changing, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from shared.database.operator import Connection, Row

TAKEN_FOR = timedelta(seconds=30)


def read_case(connection: Connection, order_id: UUID) -> Row | None:
    """Return entry and last attempt of an order; None when it was never taken in."""
    rows = run(connection, "unknown_case", order_id)
    return rows[0] if rows else None


def take_over(
    connection: Connection, order_id: UUID, *, by: str, word: Mapping[str, Any]
) -> tuple[int, UUID] | None:
    """Take an unknown attempt from whoever asks about it, and note what the operator says of it.

    Returns:
        Number and token, which settle it; None when it is not unknown any more.

    """
    with changing(connection):
        rows = run(connection, "take_over", order_id, by, TAKEN_FOR, json.dumps(word))
    return (rows[0]["number"], rows[0]["token"]) if rows else None
