"""PROTOCOL 10: what a restored database has lost, written again from the executors' log lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from psycopg import DataError, IntegrityError

from services.command_line.terminal import CommandError, ExitCode, first_line
from shared.database.operator import changing, run
from shared.domain.attempt import parse_client_order_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shared.database.operator import Connection

CLAIMED = "order.claimed"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a journal brought back.

    Attributes:
        lines: of attempts that the file held.
        orders: rows that were gone, and are there again.
        attempts: theirs.
        strange: orders of accounts that this database does not have; left out.

    """

    lines: int
    orders: int
    attempts: int
    strange: int


def read(file: Path) -> list[dict[str, Any]]:
    """Read the lines of attempts; others, and what a log store puts before the JSON, are passed over.

    Raises:
        CommandError: the file cannot be read, or a line of an attempt is not as an executor writes it.

    """
    try:
        with file.open(encoding="utf-8") as lines:
            return list(_attempts(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}", ExitCode.USAGE) from None


def _attempts(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(lines, 1):
        if f'"{CLAIMED}"' not in text:
            continue
        line = _parsed(text)
        if line is None:
            raise CommandError(
                f"Line {number} is no whole line of {CLAIMED}. Nothing was written.", ExitCode.USAGE
            )
        yield line


def _parsed(text: str) -> dict[str, Any] | None:
    """Read a line; None when it is cut off, or its client order id is not that of its order and attempt."""
    line: dict[str, Any] = {}
    try:
        line |= orjson.loads(text[text.index("{") :])
        attempt = parse_client_order_id(line["client_order_id"])
    except (ValueError, LookupError, TypeError):
        return None
    if attempt is None or (str(attempt[0]), attempt[1]) != (line.get("order_id"), line.get("number")):
        return None
    return line


def restore(connection: Connection, lines: list[dict[str, Any]]) -> Restored:
    """Write again what is gone; all of it or nothing.

    Raises:
        CommandError: a line holds something the tables do not take.

    """
    try:
        with changing(connection):
            (row,) = run(connection, "restore_orders", orjson.dumps(lines).decode())
    except (DataError, IntegrityError) as error:
        raise CommandError(
            f"A line does not fit the tables: {first_line(error)}. Nothing was written.", ExitCode.REFUSED
        ) from None
    return Restored(len(lines), row["orders"], row["attempts"], row["strange"])
