"""DESIGN 4: retention. What is only audit by now is exported first, then forgotten, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.database.operator import changing, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from shared.database.operator import Connection, Row

BATCH = 500


def prunable(connection: Connection, older_than: timedelta) -> Row:
    """Count what a prune would forget: orders with all about them, other events, orders of others."""
    return run(connection, "prunable", older_than)[0]


def prune(
    connection: Connection,
    older_than: timedelta,
    export: Callable[[Sequence[tuple[str, dict[str, Any]]]], None],
) -> dict[str, int]:
    """Forget what is older, one batch per transaction.

    Args:
        connection: of the operator.
        older_than: since when it has been over.
        export: given every line with the name of its table, before the batch is committed; when it raises,
            the batch stays.

    Returns:
        How many lines of each table were forgotten.

    """
    with changing(connection):
        run(connection, "note_pruned", older_than)
    counts: dict[str, int] = {}
    for name in ("prune_orders", "prune_rest"):
        while True:
            with changing(connection):
                rows = run(connection, name, older_than, BATCH)
                if rows:
                    export([(row["of"], row["line"]) for row in rows])
            if not rows:
                break
            for row in rows:
                counts[row["of"]] = counts.get(row["of"], 0) + 1
    return counts
