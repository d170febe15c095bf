"""`bridge doctor`: everything that must be right, one line each with what to do."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import psycopg
import typer

from services.command_line import database_check
from services.command_line.account_check import check_account, check_stream
from services.command_line.exchange_access import NotAskedError, unsealed
from services.command_line.findings import Level, failed, ok, warning, worst
from services.command_line.terminal import ExitCode, Json, first_line, print_json
from shared.database import accounts, health
from shared.database.migrate import MigrationError
from shared.database.operator import connect
from shared.environment import Settings
from shared.settings import (
    ConfigurationError,
    DatabaseSettings,
    EncryptionSettings,
    ExchangeSettings,
    GuardSettings,
    ProtocolSettings,
    TelemetrySettings,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.command_line.findings import Finding
    from shared.database.accounts import StoredAccount
    from shared.database.operator import Connection, Row

TRAP = (
    "the bot switches an account off whose key its futures stream refuses: give the key futures permission "
    "or set WEBSOCKET_ENABLED=false for the bot, then set is_active again"
)
Model = TypeVar("Model", bound=Settings)


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the exchange.")] = False,
    most: Annotated[
        int, typer.Option("--accounts", min=0, help="Ask the exchange about so many accounts at most.")
    ] = 20,
    as_json: Json = False,
) -> None:
    """Look whether everything is in order; each line says what to do. Exit code 1: something does not work.

    It changes nothing: the trigger is proven with an insert that is rolled back.
    """
    found: list[Finding] = []
    for finding in _examine(offline, most):
        found.append(finding)
        if not as_json:
            typer.echo(finding.line())
    level = worst(found)
    if as_json:
        print_json({"level": level, "findings": [asdict(finding) for finding in found]})
    else:
        counts = {one: sum(f.level is one for f in found) for one in Level}
        typer.echo(", ".join(f"{count} {one}" for one, count in counts.items() if count))
    if level is Level.FAILED:
        raise typer.Exit(ExitCode.FAILED)


def _examine(offline: bool, most: int) -> Iterator[Finding]:
    """Look at one thing after the other; what cannot be looked at without an earlier one is left out."""
    problems: list[Finding] = []
    guards = _loaded(GuardSettings, problems)
    encryption = _loaded(EncryptionSettings, problems)
    exchange = _loaded(ExchangeSettings, problems)
    _loaded(ProtocolSettings, problems)
    _loaded(TelemetrySettings, problems)
    settings = _loaded(DatabaseSettings, problems)
    yield from problems or [ok("configuration", "every variable can be used")]
    if settings is None:
        return
    try:
        connection = connect(settings.work_dsn, application_name="bridge doctor", any_server=True)
    except psycopg.OperationalError as error:
        advice = "check BRIDGE_DATABASE_URL"
        if "SSL" in str(error) or "certificate" in str(error):
            advice += ", its sslmode and its sslrootcert, and whether the server has ssl = on"
        yield failed("database", f"cannot be reached: {first_line(error)}", advice)
        return
    with connection:
        yield from _database(settings, guards, connection)
        if not health.server_facts(connection)["has_bridge"]:
            return
        yield from database_check.safely("accounts", lambda: _live(connection, guards))
        if encryption is None:
            return
        yield from _accounts(connection, exchange, 0 if offline else most)


def _loaded(model: type[Model], problems: list[Finding]) -> Model | None:
    try:
        return load(model)
    except ConfigurationError as error:
        problems += [
            failed("configuration", line, "set it, then run this again") for line in str(error).split("\n")
        ]
        return None


def _database(
    settings: DatabaseSettings, guards: GuardSettings | None, connection: Connection
) -> Iterator[Finding]:
    safely = database_check.safely
    yield from safely("database", lambda: database_check.server(connection))
    yield from safely("commits", lambda: database_check.commits(settings, guards))
    yield from safely("bot's tables", lambda: database_check.contract(settings))
    try:
        yield from safely("migrations", lambda: database_check.migrations(settings))
    except MigrationError as error:
        yield failed("migrations", first_line(error), "run: bridge migrate")
    yield from safely("rights", lambda: database_check.rights(connection))
    if not health.server_facts(connection)["has_bridge"]:
        return
    yield from safely("trigger", lambda: database_check.trigger(connection))
    yield from safely("listen", lambda: database_check.listening(settings, connection))
    yield from safely("epoch", lambda: database_check.history(connection))
    yield from safely("flow", lambda: database_check.flow(connection))
    yield from safely("balances", lambda: database_check.balances(connection))
    yield from safely("switches", lambda: database_check.switches(connection))


def _live(connection: Connection, guards: GuardSettings | None) -> Iterator[Finding]:
    """Look whether the words for real money fit the accounts there are."""
    if guards is None:
        return
    rows = [
        row for row in accounts.list_accounts(connection) if row["exchange"] == "binance" and row["is_active"]
    ]
    real = sum(not row["is_testnet"] for row in rows)
    if guards.live_trading:
        yield ok("live trading", f"on, the bot's executor is declared off; {real} accounts with real money")
    elif real:
        yield warning(
            "live trading",
            f"off, so the rows of {real} accounts with real money are rejected",
            "BRIDGE_LIVE_TRADING=on and BRIDGE_BOT_EXECUTOR_OFF=confirmed, if that is meant",
        )
    else:
        yield ok("live trading", "off; all active accounts are of the testnet")


def _accounts(connection: Connection, exchange: ExchangeSettings | None, most: int) -> Iterator[Finding]:
    """Open every account's key, and ask the exchange about the first few."""
    rows = [row for row in accounts.list_accounts(connection) if row["exchange"] == "binance"]
    if not rows:
        yield warning("accounts", "there is none at Binance", "bridge accounts add")
        return
    rows.sort(key=lambda row: not row["is_active"])  # those that can trade first
    readable: list[StoredAccount] = []
    for row in rows:
        stored = accounts.read_account(connection, row["id"])
        if stored is None:
            continue
        try:
            unsealed(stored)
        except NotAskedError as error:
            tell = failed if row["is_active"] else warning
            yield tell(
                f"account {str(row['id'])[:8]}", first_line(error), "enter it again, or check ENCRYPTION_KEY"
            )
            continue
        readable.append(stored)
    opened = f"{len(readable)} of {len(rows)} accounts' keys open"
    if readable or not any(row["is_active"] for row in rows):
        yield ok("keys", opened)
    else:
        yield failed("keys", opened, "ENCRYPTION_KEY is not the one the bot has: compare the two")
    if most and exchange is not None:
        for testnet in sorted({stored.is_testnet for stored in readable}):
            yield asyncio.run(check_stream(exchange, testnet=testnet))
    by_id = {row["id"]: row for row in rows}
    for stored in readable[:most]:
        yield from _asked(stored, by_id[stored.id])
    if most and len(readable) > most:
        yield ok("accounts", f"{len(readable) - most} more were not asked about; --accounts N asks more")


def _asked(stored: StoredAccount, row: Row) -> Iterator[Finding]:
    """Ask the exchange about one account; of one that is switched off only why that may be."""
    name = f"account {str(stored.id)[:8]}"
    found = asyncio.run(check_account(unsealed(stored), testnet=stored.is_testnet))
    if stored.is_active:
        for finding in found:
            yield type(finding)(f"{name} {finding.check}", finding.level, finding.says, finding.advice)
        return
    levels = {finding.check: finding.level for finding in found}
    left = row["at_exchange"] + row["unknown"] + row["positions"]
    rest = f"; {left} orders or positions are left on it" if left else ""
    if levels.get("spot") is Level.OK and levels.get("futures") is not Level.OK:
        yield failed(name, f"switched off, though its key works for spot and not for futures{rest}", TRAP)
    else:
        yield warning(name, f"switched off{rest}", "its rows are rejected; set is_active if that is wrong")
