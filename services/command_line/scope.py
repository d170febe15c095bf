"""Which orders a switch or a cancel is about: everything, one account, or one symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.session import find_account
from services.command_line.terminal import CommandError, ExitCode
from shared.database.controls import Scope

if TYPE_CHECKING:
    from shared.database.operator import Connection

Account = Annotated[
    str | None, typer.Option(help="Only this account: its id, the beginning of it, or its label.")
]
Symbol = Annotated[str | None, typer.Option(help="Only this symbol, on all accounts: BTC/USDT.")]


def chosen(connection: Connection, account: str | None, symbol: str | None) -> Scope:
    """Read the scope out of the options; neither means everything.

    Raises:
        CommandError: both were given, or the account is not there.

    """
    if account is not None and symbol is not None:
        raise CommandError(
            "Give --account or --symbol, not both: a switch covers one of them.", ExitCode.USAGE
        )
    if account is not None:
        return Scope("account", str(find_account(connection, account)))
    return Scope("symbol", symbol) if symbol is not None else Scope()
