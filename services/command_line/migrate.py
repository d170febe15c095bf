"""`bridge migrate`: brings schema `bridge` in the bot's database to the version this program knows."""

from __future__ import annotations

import typer

from services.command_line.terminal import Json, print_json
from shared.database.migrate import migrate
from shared.settings import DatabaseSettings, load


def command(as_json: Json = False) -> None:
    """Apply the migrations that the database does not have yet; run it again at will."""
    database_url = load(DatabaseSettings).work_dsn
    done = migrate(database_url, waiting=lambda why: typer.echo(f"waiting: {why}", err=True))
    if as_json:
        print_json({"applied": [{"version": one.version, "name": one.name} for one in done]})
        return
    for migration in done:
        typer.echo(f"applied {migration.version:04} {migration.name}")
    if not done:
        typer.echo("nothing to do: the schema is up to date")
