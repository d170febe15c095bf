"""DESIGN 6: `bridge flatten`: closes positions, also those the bot closed in its table only."""

from __future__ import annotations

import time
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.place import Wait, await_order
from services.command_line.scope import Account, Symbol, chosen
from services.command_line.session import connected, find_position, operator_name
from services.command_line.terminal import CommandError, ExitCode, Json, print_json, table
from shared.database import preferences
from shared.domain.order import Market, OrderType, Side

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.operator import Connection, Row

EIGHT_PLACES = Decimal("1e-8")
ENDED = ("done", "held", "unknown")


def flatten(
    positions: Annotated[
        list[str] | None, typer.Argument(metavar="[POSITION]...", help="Their ids, or the beginnings.")
    ] = None,
    account: Account = None,
    symbol: Symbol = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    reason: Annotated[str, typer.Option(help="orders.reasoning")] = "closed by the operator",
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Close positions at the market: inserts one reducing row each, which the executor sends.

    Never more is sold than the ledger holds and the exchange says is free. A position that an order of ours
    is closing already is left out. To keep new ones from coming, first: bridge reduce-only on.
    """
    if sum((bool(positions), account is not None, symbol is not None, everything)) != 1:
        raise CommandError("Name positions, or --account, or --symbol, or --all.", ExitCode.USAGE)
    with connected() as connection:
        named = [find_position(connection, text) for text in positions] if positions else None
        rows = preferences.positions_to_flatten(connection, chosen(connection, account, symbol), named)
        placed = {
            row["id"]: _place(connection, row, f"{reason} ({operator_name()})")
            for row in rows
            if not row["being_reduced"]
        }
        deadline = time.monotonic() + wait
        became = {
            position: await_order(connection, order, deadline - time.monotonic(), ENDED)
            for position, order in placed.items()
        }
    told = [
        {
            "position": row["id"],
            "symbol": row["symbol"],
            "side": row["side"],
            "size": row["size"],
            "closed_by_bot": row["closed_by_bot"],
            "order": placed.get(row["id"]),
            "status": became[row["id"]]["status"] if row["id"] in became else "being reduced already",
        }
        for row in rows
    ]
    if as_json:
        print_json(told)
    elif told:
        columns = ("position", "symbol", "side", "size", "order", "status")
        typer.echo(table(columns, [[one[name] for name in columns] for one in told]))
    else:
        typer.echo("There is no open position like that.")
    if any(one["status"] == "rejected" for one in became.values()):
        raise typer.Exit(ExitCode.FAILED)
    if wait and any(one["state"] not in ENDED for one in became.values()):
        raise typer.Exit(ExitCode.UNFINISHED)


def _place(connection: Connection, position: Row, reason: str) -> UUID:
    """Insert the row that closes a position: its whole size, in base, which fits no other reading."""
    return preferences.place(
        connection,
        preferences.NewOrder(
            user_id=position["user_id"],
            account_id=position["account_id"],
            symbol=position["symbol"],
            side=Side.SELL if position["side"] == "long" else Side.BUY,
            type=OrderType.MARKET,
            amount=position["size"].quantize(EIGHT_PLACES, ROUND_DOWN),
            market=Market(position["market"]),
            strategy_id=position["strategy_id"],
            reduce_only=True,
            agent_id="bridge flatten",
            reasoning=reason,
        ),
    )
