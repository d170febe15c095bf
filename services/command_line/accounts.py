"""`bridge accounts`: put a key in, see whether it works, say which account is preferred."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 -- typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer
from psycopg import errors

from services.command_line.account_check import check_account
from services.command_line.exchange_access import NotAskedError, unsealed
from services.command_line.findings import Level, failed, worst
from services.command_line.session import connected, find_account, operator_name, parse_id
from services.command_line.terminal import CommandError, ExitCode, Json, cell, print_json, table
from shared.binance.sign import Credentials
from shared.crypto import forbid_core_dumps
from shared.database import accounts as stored
from shared.database import preferences
from shared.settings import EncryptionSettings, load

if TYPE_CHECKING:
    from uuid import UUID

    from services.command_line.findings import Finding
    from shared.database.accounts import StoredAccount
    from shared.database.operator import Connection, Row

KEY_VARIABLE = "BINANCE_API_KEY"
SECRET_VARIABLE = "BINANCE_API_SECRET"  # noqa: S105 - the name of a variable

app = typer.Typer(help="Accounts of the bot's users: keys, checks, preferences.", no_args_is_help=True)
User = Annotated[str, typer.Option(help="The user's id.")]


_COLUMNS = (
    *("account", "user", "exchange", "label", "money", "active"),
    *("waiting", "resting", "unknown", "positions", "key"),
)


@app.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List the accounts, and what waits, rests and is held on each."""
    with connected() as connection:
        rows = stored.list_accounts(connection)
    if as_json:
        print_json(rows)
        return
    typer.echo(
        table(
            _COLUMNS,
            [
                (
                    row["id"],
                    row["user_id"],
                    row["exchange"],
                    row["label"],
                    "testnet" if row["is_testnet"] else "real",
                    row["is_active"],
                    row["waiting"],
                    row["at_exchange"],
                    row["unknown"],
                    row["positions"],
                    f"refused: {row['key_refused']}" if row["key_refused"] else "",
                )
                for row in rows
            ],
        )
        if rows
        else "There is no account. Add one: bridge accounts add --help"
    )


@app.command()
def add(
    user: User,
    label: Annotated[str, typer.Option(help="By which its owner knows it.")],
    live: Annotated[bool, typer.Option("--live", help="Real money; otherwise testnet.")] = False,
    api_key_file: Annotated[Path | None, typer.Option(help="File that holds the API key.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="File that holds the secret, or the private key in PEM.")
    ] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not try the key first.")] = False,
    as_json: Json = False,
) -> None:
    """Add an account at Binance, sealed with ENCRYPTION_KEY in the bot's own format.

    Key and secret come from files, from BINANCE_API_KEY and BINANCE_API_SECRET, or are asked for; never from
    an argument, which everybody on the machine can read. They are tried first, and stored only if they work.
    """
    forbid_core_dumps()
    user_id = parse_id(user, "user")
    api_key = _secret("API key", KEY_VARIABLE, api_key_file)
    secret = _secret("secret", SECRET_VARIABLE, secret_file)
    try:
        credentials = Credentials(api_key, secret)
    except ValueError as error:
        raise CommandError(f"That is no key: {error}.", ExitCode.USAGE) from None
    keyring = load(EncryptionSettings).keyring()
    found = [] if unchecked else asyncio.run(check_account(credentials, testnet=not live))
    if worst(found) is Level.FAILED:
        for finding in found:
            typer.echo(finding.line(), err=True)
        raise CommandError("Nothing was stored: the key does not work (see above).", ExitCode.FAILED)
    with connected() as connection:
        try:
            account_id = stored.add_account(
                connection,
                user_id,
                label,
                keyring.encrypt(credentials.api_key),
                keyring.encrypt(credentials.secret),
                is_testnet=not live,
            )
        except errors.UniqueViolation:
            raise CommandError(
                f"This user has an account {cell(label)} already; choose another --label.", ExitCode.REFUSED
            ) from None
    if account_id is None:
        raise CommandError(f"There is no user {user_id}.", ExitCode.NOT_FOUND)
    if as_json:
        print_json({"account": account_id, "checks": [asdict(finding) for finding in found]})
        return
    for finding in found:
        typer.echo(finding.line())
    typer.echo(f"Added {account_id} ({'real money' if live else 'testnet'}).")


def _secret(what: str, name: str, file: Path | None) -> str:
    """Read a secret from a file, else from a variable, else from the keyboard."""
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {type(error).__name__}.", ExitCode.USAGE) from None
    else:
        text = os.environ.get(name, "")
    return text.strip() or str(typer.prompt(f"Binance {what}", hide_input=True)).strip()


@app.command()
def check(
    account: Annotated[str | None, typer.Argument(help="Id, its beginning, or label; none: all.")] = None,
    as_json: Json = False,
) -> None:
    """Try an account's key on both markets: permissions, clock, limits. Exit code 1: it does not work."""
    with connected() as connection:
        if account is not None:
            ids = [find_account(connection, account)]
        else:
            ids = [row["id"] for row in stored.list_accounts(connection) if row["exchange"] == "binance"]
        found = {identity: check_stored(stored.read_account(connection, identity)) for identity in ids}
    if as_json:
        print_json([{"account": one, "checks": [asdict(f) for f in lines]} for one, lines in found.items()])
    for identity, lines in found.items():
        if not as_json:
            typer.echo(f"account {identity}")
            for finding in lines:
                typer.echo("  " + finding.line())
    if any(worst(lines) is Level.FAILED for lines in found.values()):
        raise typer.Exit(ExitCode.FAILED)


def check_stored(account: StoredAccount | None) -> list[Finding]:
    """Try the key of a stored account."""
    if account is None:
        return [failed("account", "it is gone", "")]
    if account.exchange != "binance":
        return [failed("account", f"it is at {account.exchange}", "the bridge serves Binance only")]
    try:
        credentials = unsealed(account)
    except NotAskedError as error:
        return [failed("key", str(error), "enter it again, or give the key it was sealed with")]
    return asyncio.run(check_account(credentials, testnet=account.is_testnet))


@app.command()
def prefer(
    account: Annotated[
        str | None, typer.Argument(help="The account: id, beginning or label; none with --forget.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Whose rows; else the account's owner.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Only rows of this strategy.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Keep no preference any more.")] = False,
    as_json: Json = False,
) -> None:
    """Say which account the rows of a user, or of one strategy, are meant for; without arguments, list it.

    It counts where a row is made without naming an account: `bridge place`, SQL function
    `bridge.resolve_account(user, strategy)`, and rows of the bot that name the nil UUID.
    """
    with connected() as connection:
        if account is None and not forget:
            _list_preferences(preferences.preferences(connection), as_json)
            return
        strategy_id = parse_id(strategy, "strategy") if strategy is not None else None
        account_id = find_account(connection, account) if account is not None else None
        user_id = _owner(connection, user, strategy_id, account_id)
        if forget:
            if not preferences.forget(connection, user_id, strategy_id):
                raise CommandError("There was no such preference.", ExitCode.NOT_FOUND)
            if as_json:
                print_json({"user": user_id, "strategy": strategy_id, "account": None})
            else:
                typer.echo("Forgotten.")
            return
        assert account_id is not None
        if not preferences.prefer(connection, user_id, strategy_id, account_id, by=operator_name()):
            raise CommandError(
                f"Account {account_id} is not user {user_id}'s, or not at Binance.", ExitCode.REFUSED
            )
    whose = f"strategy {strategy_id}" if strategy_id else f"user {user_id}"
    if as_json:
        print_json({"user": user_id, "strategy": strategy_id, "account": account_id})
    else:
        typer.echo(f"Account {account_id} is preferred for {whose}.")


def _owner(
    connection: Connection, user: str | None, strategy_id: UUID | None, account_id: UUID | None
) -> UUID:
    """Find out whose preference it is."""
    if user is not None:
        return parse_id(user, "user")
    if strategy_id is not None:
        owner = preferences.strategy_owner(connection, strategy_id)
        if owner is None:
            raise CommandError(f"There is no strategy {strategy_id}.", ExitCode.NOT_FOUND)
        return owner
    if account_id is None:
        raise CommandError("Name --user or --strategy.", ExitCode.USAGE)
    account = stored.read_account(connection, account_id)
    assert account is not None
    return account.user_id


def _list_preferences(rows: list[Row], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        typer.echo(
            table(
                ("user", "strategy", "account", "by", "since"),
                [(r["user_id"], r["strategy_id"], r["account_id"], r["set_by"], r["set_at"]) for r in rows],
            )
        )
    else:
        typer.echo("No account is preferred; where a user has one active account at Binance, that is taken.")
