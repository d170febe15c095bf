"""DESIGN 5: `bridge halt`, `bridge resume`, `bridge reduce-only`, `bridge switches`."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.scope import Account, Symbol, chosen
from services.command_line.session import connected, operator_name, parse_id
from services.command_line.terminal import CommandError, ExitCode, Json, clean, moment, print_json, table
from shared.database import controls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.database.controls import Scope
    from shared.database.operator import Connection, Row

LOOK_EVERY_S = 0.05
Reason = Annotated[str, typer.Option(help="Why; shown to everyone whose order waits.")]


class Switch(StrEnum):
    """The two positions of a switch."""

    ON = "on"
    OFF = "off"


def halt(
    account: Account = None,
    symbol: Symbol = None,
    reason: Reason = "halted by the operator",
    cancel_open: Annotated[
        bool, typer.Option("--cancel-open", help="Also cancel what is at the exchange, as the bot would.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until nothing is in flight.")] = 40.0,
    as_json: Json = False,
) -> None:
    """Stop sending; everything, one account or one symbol.

    Rows that come in wait and keep their place; cancels, questions and fills go on. Returns when no order is
    between claim and answer any more, and says what became of those that were. Exit code 6: some still are.
    """
    with connected() as connection:
        scope = chosen(connection, account, symbol)
        before = controls.in_flight(connection, scope)
        switch = controls.turn(connection, scope, halted=True, reason=reason, by=operator_name())
        under_way, left = _drain(connection, scope, before, time.monotonic() + wait)
        canceled = (
            controls.cancel(connection, scope, by=operator_name(), sent_only=True) if cancel_open else []
        )
        became = controls.became(connection, under_way)
        out = controls.still_out(connection, scope)
    if as_json:
        print_json(
            {
                "halted": str(scope),
                "since": switch["set_at"],
                "was_in_flight": became,
                "in_flight": left,
                "canceled": [row["id"] for row in canceled],
                "at_exchange": out.get("submitted", 0),
                "unknown": out.get("unknown", 0),
            }
        )
    else:
        _say(scope, switch, became, left, canceled, out)
    if left:
        raise typer.Exit(ExitCode.UNFINISHED)


def _drain(
    connection: Connection, scope: Scope, before: Sequence[Row], deadline: float
) -> tuple[list[tuple[UUID, int]], list[tuple[UUID, int]]]:
    """Wait until no claim can have missed the switch, then until nothing is in flight.

    Returns:
        What was in flight before or at any moment since, and what still is.

    """
    seen = {(row["order_id"], row["number"]): None for row in before}
    unaware = controls.claims_under_way(connection)
    while True:
        flying = [(row["order_id"], row["number"]) for row in controls.in_flight(connection, scope)]
        seen |= dict.fromkeys(flying)
        if (not unaware and not flying) or time.monotonic() > deadline:
            return list(seen), flying
        time.sleep(LOOK_EVERY_S)
        unaware &= controls.claims_under_way(connection)


def _say(
    scope: Scope,
    switch: Row,
    became: Sequence[Row],
    left: Sequence[object],
    canceled: Sequence[Row],
    out: dict[str, int],
) -> None:
    typer.echo(f"Halted {scope} since {moment(switch['set_at'])}: {switch['reason']}.")
    if became:
        typer.echo("In flight when it was halted:")
        typer.echo(
            table(
                ("order", "attempt", "side", "symbol", "outcome", "row"),
                [
                    (r["order_id"], r["number"], r["side"], r["symbol"], r["outcome"], r["status"])
                    for r in became
                ],
            )
        )
    else:
        typer.echo("Nothing was in flight.")
    if left:
        typer.echo(
            f"{len(left)} still in flight; they end within the lease. Look: bridge orders --state sending"
        )
    if canceled:
        typer.echo(f"Canceled {len(canceled)} orders; the executor takes them off the exchange within 5 s.")
    if out.get("submitted"):
        typer.echo(f"{out['submitted']} orders rest at the exchange: bridge orders --state submitted")
    if out.get("unknown"):
        typer.echo(f"{out['unknown']} are unknown and go on being asked about: bridge orders --state unknown")
    typer.echo("Go on with: bridge resume" + _options(scope))


def resume(
    account: Account = None,
    symbol: Symbol = None,
    reason: Reason = "resumed by the operator",
    as_json: Json = False,
) -> None:
    """Send again what `bridge halt` stopped; what else is halted is listed."""
    with connected() as connection:
        scope = chosen(connection, account, symbol)
        controls.turn(connection, scope, halted=False, reason=reason, by=operator_name())
        rest = [row for row in controls.in_force(connection) if "halt" in row["kind"]]
    if as_json:
        print_json({"resumed": str(scope), "still_halted": rest})
        return
    typer.echo(f"Resumed {scope}; rows that waited are sent now, those older than the age limit are held.")
    if rest:
        typer.echo("Still halted:")
        typer.echo(_listed(rest))


def reduce_only(
    switch: Annotated[Switch, typer.Argument(help="on or off")],
    account: Account = None,
    symbol: Symbol = None,
    reason: Reason = "set by the operator",
    as_json: Json = False,
) -> None:
    """Take only orders that make a position smaller; others are rejected with the reason."""
    with connected() as connection:
        scope = chosen(connection, account, symbol)
        controls.turn(connection, scope, reduce_only=switch is Switch.ON, reason=reason, by=operator_name())
    if as_json:
        print_json({"reduce_only": switch, "scope": str(scope)})
    elif switch is Switch.ON:
        typer.echo(f"Reduce-only for {scope}: what would open or add is rejected. Back with:")
        typer.echo(f"  bridge reduce-only off{_options(scope)}")
    else:
        typer.echo(f"All orders are taken again for {scope}.")


def switches(as_json: Json = False) -> None:
    """List what keeps orders from being sent: halts, reduce-only, the exchange's pauses, breakers."""
    with connected() as connection:
        rows = controls.in_force(connection)
    if as_json:
        print_json(rows)
    else:
        typer.echo(_listed(rows) if rows else "Nothing keeps orders from being sent.")


def breaker(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    reason: Reason = "cleared by the operator",
    as_json: Json = False,
) -> None:
    """Clear a user's tripped circuit breaker; the bot never resets its own. `bridge switches` lists them."""
    with connected() as connection:
        user_id = parse_id(user, "user")
        was = controls.clear_breaker(connection, user_id, by=operator_name(), why=reason)
    if was is None:
        raise CommandError(f"No breaker of user {user_id} is tripped.", ExitCode.NOT_FOUND)
    if as_json:
        print_json({"user": user_id, "was": was})
    else:
        typer.echo(f"Cleared: {clean(was)}. A new trip counts again.")


def _listed(rows: Sequence[Row]) -> str:
    return table(
        ("what", "scope", "key", "since", "until", "by", "reason"),
        [(r["kind"], r["scope"], r["key"], r["set_at"], r["until"], r["set_by"], r["reason"]) for r in rows],
    )


def _options(scope: Scope) -> str:
    return "" if scope.kind == "global" else f" --{scope.kind} {scope.key}"
