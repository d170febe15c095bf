"""How a verb speaks: tables or JSON on stdout, problems with their next step on stderr, exit codes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import asyncpg
import orjson
import psycopg
import typer
from psycopg import errors
from typer.core import TyperGroup

from shared.database.migrate import MigrationError
from shared.domain.money import plain
from shared.environment import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

SHORT_ID = 8
"""So much of an id stands in a table; every verb takes a beginning of an id that is unique."""


class ExitCode(IntEnum):
    """What a script learns from a verb."""

    DONE = 0
    FAILED = 1  # it was tried and did not work, or a check found something
    USAGE = 2  # arguments or environment cannot be used
    NOT_FOUND = 3  # there is no such order, account, position
    REFUSED = 4  # it would break a rule; nothing was changed
    UNREACHABLE = 5  # database or exchange did not answer
    UNFINISHED = 6  # it was begun, and not over in the time given


class CommandError(Exception):
    """Ends a verb; the message says what is wrong and what to do next.

    Args:
        message: for a person.
        code: for a script.

    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


class Verbs(TyperGroup):
    """The group of all verbs: turns what went wrong into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb that was named."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            problem = error
        except ConfigurationError as error:
            problem = CommandError(str(error), ExitCode.USAGE)
        except MigrationError as error:
            away = isinstance(error.__cause__, psycopg.OperationalError)
            problem = CommandError(str(error), ExitCode.UNREACHABLE if away else ExitCode.FAILED)
        except (errors.InsufficientPrivilege, asyncpg.InsufficientPrivilegeError) as error:
            problem = CommandError(
                f"The database role lacks a right ({error}). `bridge grants` prints what it needs.",
                ExitCode.REFUSED,
            )
        except (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction) as error:
            problem = CommandError(
                f"The database lacks something of ours ({error.diag.message_primary}). Run `bridge migrate`.",
                ExitCode.FAILED,
            )
        except (errors.LockNotAvailable, asyncpg.LockNotAvailableError):
            problem = CommandError(
                "Somebody holds the rows this needs; nothing was changed. Try again in a moment.",
                ExitCode.UNREACHABLE,
            )
        except (psycopg.OperationalError, asyncpg.PostgresConnectionError, ConnectionError) as error:
            problem = CommandError(
                f"The database cannot be reached: {first_line(error)}. Check BRIDGE_DATABASE_URL.",
                ExitCode.UNREACHABLE,
            )
        typer.echo(str(problem), err=True)
        raise typer.Exit(problem.code)


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def print_json(value: object) -> None:
    """Print one JSON document; decimals and times are strings, none of their digits is lost."""
    typer.echo(orjson.dumps(value, default=_as_text, option=orjson.OPT_INDENT_2).decode())


def print_json_line(value: object) -> None:
    """Print JSON on one line, for what goes on and on."""
    typer.echo(orjson.dumps(value, default=_as_text).decode())


def _as_text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) and value.is_finite() else str(value)


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out columns as wide as they need to be; numbers to the right."""
    listed = [list(row) for row in rows]
    texts = [[cell(value) for value in row] for row in listed]
    widths = [max(map(len, column)) for column in zip(headers, *texts, strict=True)]
    right = [
        bool(listed) and all(isinstance(row[i], Decimal | int | None) for row in listed)
        for i in range(len(headers))
    ]
    lines = [
        "  ".join(
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(headers), *texts]
    ]
    return "\n".join(lines)


def cell(value: object) -> str:
    """Write one value the way a person reads it; what others wrote is made harmless for the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return plain(value) if value.is_finite() else str(value)
    if isinstance(value, UUID):
        return str(value)[:SHORT_ID]
    if isinstance(value, datetime):
        return moment(value)
    return clean(str(value))


def moment(at: datetime) -> str:
    """Write a time in UTC, to the millisecond."""
    return str(at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))[:-3] + "Z"


def duration(length: timedelta) -> str:
    """Write a length of time in the two largest units that are not zero."""
    seconds = length.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def clean(text: str) -> str:
    """Take out of a text what could move the cursor or colour the screen."""
    return "".join(c if c.isprintable() else " " for c in text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text; a driver puts hints of several lines behind it."""
    text = str(error).strip()
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")
