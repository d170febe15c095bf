"""DESIGN 4: `bridge prune`: forgets what is only audit by now, after it was exported."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path  # noqa: TC003 -- typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import orjson
import typer

from services.command_line.session import connected
from services.command_line.terminal import CommandError, ExitCode, Json, print_json
from shared.database import retention

if TYPE_CHECKING:
    from collections.abc import Sequence

YOUNGEST_DAYS = 7
"""What is younger may still be asked about: the exchange's queries and an operator's reach that far."""


def prune(
    older_than: Annotated[
        int, typer.Option(min=YOUNGEST_DAYS, help="Days since it was over; at least 7.")
    ] = 90,
    export: Annotated[
        Path | None, typer.Option(help="New file for what is forgotten, as JSON lines; needed.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Json = False,
) -> None:
    """Forget orders that have been over for long: entries, attempts, evidence, questions, events.

    Fills and positions are never forgotten, nor the bot's rows, nor an order that lacks a fill. Every batch
    is in the export file, on disk, before it is gone from the database.
    """
    age = timedelta(days=older_than)
    with connected() as connection:
        if dry_run:
            counted = retention.prunable(connection, age)
            if as_json:
                print_json(counted)
            else:
                typer.echo(", ".join(f"{count} {name}" for name, count in counted.items()) + " would go.")
            return
        if export is None:
            raise CommandError("Name a file for the audit trail: --export FILE.", ExitCode.USAGE)
        try:
            # Never onto an older export, and for its owner's eyes.
            file = os.open(export, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"{export} cannot be made: {error.strerror}.", ExitCode.USAGE) from None
        with open(file, "wb") as output:  # noqa: PTH123 - a descriptor, not a path
            counts = retention.prune(connection, age, lambda lines: _write(output, lines))
    if not counts:
        export.unlink()
    if as_json:
        print_json(counts)
    else:
        listed = ", ".join(f"{count} {name}" for name, count in counts.items())
        typer.echo(f"Forgotten: {listed}; all of it is in {export}." if counts else "Nothing is that old.")


def _write(output: BinaryIO, lines: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Write a batch and see it on disk; the database forgets it only then."""
    output.writelines(orjson.dumps({"of": name, **line}) + b"\n" for name, line in lines)
    output.flush()
    os.fsync(output.fileno())
