"""PROTOCOL 10: `bridge epoch`: which history of the database this is, and a new one by an operator's word."""

from __future__ import annotations

from typing import Annotated

import typer

from services.command_line.session import connected, operator_name
from services.command_line.settling import compare_epoch
from services.command_line.terminal import CommandError, ExitCode, Json, moment, print_json, table
from shared.database import health

app = typer.Typer(help="The history of the database: failovers, restores, snapshots.", no_args_is_help=True)


@app.command()
def show(as_json: Json = False) -> None:
    """Show the recorded histories, and whether the live server still is the newest one."""
    with connected() as connection:
        now, recorded = health.epoch(connection), health.epochs(connection)
    if as_json:
        print_json({"same": None if now is None else now["same"], "now": now, "recorded": recorded})
        return
    if now is None:
        typer.echo("No history is recorded yet; the first service that starts does it.")
        return
    columns = ("epoch", "began", "quarantine until", "timeline", "entries up to", "why")
    typer.echo(
        table(
            columns,
            [
                (r["id"], r["began_at"], r["quarantine_until"], r["timeline"], r["last_entry_id"], r["why"])
                for r in recorded
            ],
        )
    )
    if not now["same"]:
        typer.echo("The live server is another history: a running executor records it within 5 s.")
    if now["in_quarantine"]:
        typer.echo(f"Quarantine until {moment(now['quarantine_until'])}: older rows are not sent.")
    if now["awaiting_round"]:
        typer.echo(
            f"{now['awaiting_round']} older rows wait until the exchange was asked for their nine ids."
        )


@app.command()
def bump(
    reason: Annotated[str, typer.Option(help="What happened: a snapshot of this morning was put back ...")],
    as_json: Json = False,
) -> None:
    """Begin a new history although nothing differs: a snapshot or file copy of this server was put back.

    Stop all executors first, and leave them stopped for the quarantine; see the runbook. What was in
    flight becomes unknown, and every older row is asked about under all nine ids before it is sent.
    """
    with connected() as connection:
        running = health.flow(connection)["executor_sessions"]
    if running:
        raise CommandError(
            f"{running} sessions of executors are connected: stop all executors first, they hold what they "
            "knew before.",
            ExitCode.REFUSED,
        )
    epoch = compare_epoch(why=f"{reason} (by {operator_name()})")
    if as_json:
        print_json({"epoch": epoch.id, "quarantine_until": epoch.quarantine_until})
    else:
        typer.echo(f"Epoch {epoch.id}, quarantine until {moment(epoch.quarantine_until)}.")
        typer.echo("Start the executors after that; they ask about every older row before they send it.")
