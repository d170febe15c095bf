"""DESIGN 6: `bridge reconcile`: ask now for every order that is not over; settle what is said."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 -- typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line import journal
from services.command_line.exchange_access import access, base_url_of
from services.command_line.session import connected, find_account
from services.command_line.settling import compare_epoch, report_of, settle_now
from services.command_line.terminal import SHORT_ID, CommandError, ExitCode, Json, print_json, table
from shared.database import accounts, operator
from shared.database.streams import read_attempt
from shared.domain.fill import FillOrigin
from shared.domain.money import plain
from shared.domain.order import Market

if TYPE_CHECKING:
    from uuid import UUID

    from services.command_line.exchange_access import Access
    from shared.database.accounts import StoredAccount
    from shared.database.operator import Connection
    from shared.database.streams import OpenAttempt
    from shared.domain.settlement import OrderReport


@dataclass(frozen=True, slots=True)
class Asked:
    """One order that was asked for.

    Attributes:
        order: the row.
        market: spot or futures.
        symbol: as the exchange writes it.
        exchange: what the exchange said.
        found: it has the order.
        executed_before: what we knew.
        executed: what the exchange says; the same where it said nothing.
        status: of the row now, None where nothing was settled.

    """

    order: UUID
    market: Market
    symbol: str
    exchange: str
    found: bool
    executed_before: str
    executed: str
    status: str | None


def reconcile(
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    journal_file: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="After a restore: the executors' log lines; rows that were lost are written again first.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the exchange now for every order that is not over or whose fills do not add up, on both markets.

    What it says is settled like any other report; what it does not show changes nothing (a running executor
    judges that). The listeners do the same every three minutes.

    With --journal, rows that a restored database has lost are written again from the lines `order.claimed`,
    and asked about like the rest. Lines of rows that are there change nothing; repeating it is harmless.
    """
    with connected() as connection:
        compare_epoch()
        only = find_account(connection, account) if account is not None else None
        restored = journal.restore(connection, journal.read(journal_file)) if journal_file else None
        asked: list[Asked] = []
        problems: list[str] = []
        for row in operator.run(connection, "to_reconcile", only):
            try:
                asked += _reconcile(connection, row["account_id"], Market(row["market"]))
            except CommandError as error:
                problems.append(f"account {row['account_id']}, {row['market']}: {error}")
    if as_json:
        print_json(
            {
                "restored": None if restored is None else asdict(restored),
                "orders": [asdict(one) for one in asked],
                "problems": problems,
            }
        )
    else:
        _tell(restored, asked)
    if problems:
        raise CommandError("\n".join(problems), ExitCode.UNREACHABLE)


def _tell(restored: journal.Restored | None, asked: list[Asked]) -> None:
    if restored is not None:
        typer.echo(
            f"{restored.lines} lines: {restored.orders} rows with {restored.attempts} attempts were gone and "
            f"are there again; {restored.strange} are of accounts that are not here."
        )
    if asked:
        columns = ("order", "market", "symbol", "exchange", "executed before", "executed", "status")
        rows = [
            (
                str(one.order)[:SHORT_ID],
                one.market,
                one.symbol,
                one.exchange,
                one.executed_before,
                one.executed,
                one.status,
            )
            for one in asked
        ]
        typer.echo(table(columns, rows))
    else:
        typer.echo("No order is open, unknown or short of fills.")


def _reconcile(connection: Connection, account_id: UUID, market: Market) -> list[Asked]:
    """Ask for all orders of one account on one market, then settle what was said."""
    account = accounts.read_account(connection, account_id)
    if account is None:
        raise CommandError("it is gone", ExitCode.NOT_FOUND)
    compare_epoch(account_id)  # also makes attempts unknown whose worker died
    attempts = [
        read_attempt(row) for row in operator.run(connection, "open_attempts", [account_id], str(market))
    ]
    environment_epoch = accounts.environment_epoch(connection, base_url_of(account, market))
    answers = asyncio.run(_ask(account, market, attempts, environment_epoch))
    return [
        _settled(market, attempt, why, report)
        for attempt, (why, report) in zip(attempts, answers, strict=True)
    ]


async def _ask(
    account: StoredAccount, market: Market, attempts: list[OpenAttempt], environment_epoch: int
) -> list[tuple[str, OrderReport | None]]:
    async with access(account, market) as exchange:
        return [await _ask_for(exchange, attempt, environment_epoch) for attempt in attempts]


async def _ask_for(
    exchange: Access, attempt: OpenAttempt, environment_epoch: int
) -> tuple[str, OrderReport | None]:
    looked = await exchange.look_for(attempt.symbol, attempt.client_order_id, conditional=attempt.conditional)
    if looked.order is None:
        return looked.why, None
    origin = FillOrigin(attempt.account_id, exchange.market, environment_epoch, attempt.pair)
    try:
        report = await report_of(
            exchange, looked.order, order_id=attempt.order_id, number=attempt.number, origin=origin
        )
    except CommandError as error:  # its trades were not told: the next order may still be read
        return str(error), None
    return looked.why, report


def _settled(market: Market, attempt: OpenAttempt, why: str, report: OrderReport | None) -> Asked:
    lines = settle_now(report).lines if report is not None else ()
    return Asked(
        order=attempt.order_id,
        market=market,
        symbol=attempt.symbol,
        exchange=why,
        found=report is not None,
        executed_before=plain(attempt.executed),
        executed=plain(attempt.executed if report is None else report.executed),
        status=str(lines[0].order_status) if lines else None,
    )
