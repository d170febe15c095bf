"""`bridge uninstall`: takes the bridge out of the bot's database and leaves that as it was."""

from __future__ import annotations

from typing import Annotated

import typer

from services.command_line.terminal import Json, print_json
from shared.database.migrate import uninstall
from shared.settings import DatabaseSettings, load


def command(
    yes: Annotated[bool, typer.Option(help="Do not ask; the record of fills and events is lost.")] = False,
    as_json: Json = False,
) -> None:
    """Drop our trigger and schema `bridge`, with everything recorded in it. Stop the services first."""
    database_url = load(DatabaseSettings).work_dsn
    if not yes:
        question = "This deletes the bridge's record of attempts, fills and events. Go on?"
        typer.confirm(question, abort=True, err=True)
    removed = uninstall(database_url, waiting=lambda why: typer.echo(f"waiting: {why}", err=True))
    if as_json:
        print_json({"removed": removed})
        return
    if not removed:
        typer.echo("nothing to do: the bridge is not installed in this database")
        return
    typer.echo("The bridge is out of this database. What `bridge grants` gave is taken back with")
    typer.echo("what `bridge grants --revoke` prints.")
