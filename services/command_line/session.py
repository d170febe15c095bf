"""The database a verb works on: named by the environment only, so that no argument holds a password."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from services.command_line.terminal import CommandError, ExitCode, cell, table
from shared.database import story
from shared.database.operator import connect
from shared.settings import DatabaseSettings, ProtocolSettings, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from shared.database.operator import Connection, Row


@contextmanager
def connected() -> Iterator[Connection]:
    """Connect to the database that BRIDGE_DATABASE_URL, or POSTGRES_*, names.

    Raises:
        ConfigurationError: none is named.
        psycopg.OperationalError: it cannot be reached, or is not a read-write primary.

    """
    with connect(load(DatabaseSettings).work_dsn) as connection:
        yield connection


def max_key_block() -> timedelta:
    """Return how long the executors let an unknown order keep the others of its key from their turn."""
    return load(ProtocolSettings).max_key_block


def operator_name() -> str:
    """Return who is at the keyboard, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def find_order(connection: Connection, text: str) -> UUID:
    """Find the order whose id begins with `text`.

    Raises:
        CommandError: there is none, or more than one.

    """
    return _only("order", text, story.ids_like(connection, "order", *id_range(text, "order")))


def find_account(connection: Connection, text: str) -> UUID:
    """Find the account whose id begins with `text`, or whose label is `text`.

    Raises:
        CommandError: there is none, or more than one.

    """
    labelled = story.accounts_labelled(connection, text)
    if labelled:
        return _only("account", text, labelled)
    return _only("account", text, story.ids_like(connection, "account", *id_range(text, "account")))


def find_position(connection: Connection, text: str) -> UUID:
    """Find the position whose id begins with `text`.

    Raises:
        CommandError: there is none, or more than one.

    """
    return _only("position", text, story.ids_like(connection, "position", *id_range(text, "position")))


def parse_id(text: str, what: str) -> UUID:
    """Read a whole id.

    Raises:
        CommandError: it is none.

    """
    try:
        return UUID(text)
    except ValueError:
        raise CommandError(f"{cell(text)!r} is no {what} id.", ExitCode.USAGE) from None


def id_range(text: str, what: str) -> tuple[UUID, UUID]:
    """Return the smallest and largest id that begin with `text`; an index finds them.

    Raises:
        CommandError: no id begins like that.

    """
    digits = text.replace("-", "").strip().lower()
    if not digits or len(digits) > 32 or any(c not in "0123456789abcdef" for c in digits):
        raise CommandError(
            f"{cell(text)!r} is no {what} id: give the id or its first characters.", ExitCode.USAGE
        )
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _only(what: str, text: str, found: Sequence[Row]) -> UUID:
    if not found:
        raise CommandError(f"There is no {what} {cell(text)}.", ExitCode.NOT_FOUND)
    if len(found) > 1:
        listed = table(("id", "what"), [(str(row["id"]), row["what"]) for row in found])
        raise CommandError(
            f"{cell(text)} is the beginning of more than one {what}; give more of the id:\n{listed}",
            ExitCode.USAGE,
        )
    identity: UUID = found[0]["id"]
    return identity
