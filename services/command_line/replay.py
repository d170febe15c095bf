"""Promise 4: `bridge replay`: fold the stored fills again and compare with what is shown as positions."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.scope import Account, Symbol  # noqa: TC001 -- typer reads them at run time
from services.command_line.session import connected, find_account, operator_name
from services.command_line.settling import work_connection
from services.command_line.terminal import ExitCode, Json, print_json, table
from shared.database.replay import replay_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from shared.database.replay import Replayed
    from shared.domain.replay import Difference


def replay(
    account: Account = None,
    symbol: Symbol = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Write what differs again, as the fills say.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fold all stored fills again and compare with the ledger of positions and with the bot's rows.

    A position is a pure function of its fills, so nothing may differ; what does was written by hand or by a
    mistake. Fills themselves are never changed: whether they are all there is asked by `bridge reconcile`.
    --repair notes what stood there before in the audit trail; it opens no position that the bot closed, and
    leaves alone what has lost its row. Exit code 1: something differs, or still does.
    """
    with connected() as connection:
        account_id = find_account(connection, account) if account is not None else None
    replayed = asyncio.run(_replay(account_id, symbol, operator_name() if repair else None))
    differing = [one for one in replayed if one.found]
    left = [difference for one in replayed for difference in one.left]
    if as_json:
        print_json(
            {
                "holdings": len(replayed),
                "fills": sum(one.fills for one in replayed),
                "differing": [asdict(one) for one in differing],
                "left": len(left),
            }
        )
    else:
        _tell(replayed, differing, repair=repair)
    if left:
        raise typer.Exit(ExitCode.FAILED)


async def _replay(account_id: UUID | None, symbol: str | None, repair: str | None) -> list[Replayed]:
    async with work_connection() as connection:
        return await replay_all(connection, account_id, symbol, repair=repair)


def _tell(replayed: Sequence[Replayed], differing: Sequence[Replayed], *, repair: bool) -> None:
    folded = f"{sum(one.fills for one in replayed)} fills of {len(replayed)} holdings"
    if not differing:
        typer.echo(f"{folded} folded again: ledger and rows are what they come to.")
        return
    typer.echo(_listed((one, one.found) for one in differing))
    count = sum(len(one.found) for one in differing)
    left = sum(len(one.left) for one in differing)
    typer.echo(f"{folded} folded again; {count} values differ.")
    if not repair:
        typer.echo("Write them again as the fills say with: bridge replay --repair")
    elif left:
        typer.echo(f"Mended, but for {left}:")
        typer.echo(_listed((one, one.left) for one in differing))
        typer.echo("A row is gone, or the bot closed it: see the runbook, `bridge replay`.")
    else:
        typer.echo("All of them are mended; the event `operator_replays` holds what stood there before.")


def _listed(found: Iterable[tuple[Replayed, Sequence[Difference]]]) -> str:
    columns = ("account", "market", "symbol", "table", "life", "column", "stored", "folded")
    return table(
        columns,
        [
            (one.account_id, one.market, one.symbol, d.place, d.number or None, d.field, d.stored, d.folded)
            for one, differences in found
            for d in differences
        ],
    )
