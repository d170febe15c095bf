"""`bridge keys`: a new encryption key for what the bot stores, without an order or a key lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from services.command_line.session import connected
from services.command_line.terminal import CommandError, ExitCode, Json, print_json, table
from shared.crypto import Keyring, UndecryptableError, forbid_core_dumps
from shared.database import former_keys
from shared.database.operator import changing
from shared.settings import EncryptionSettings, load

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.operator import Connection, Row

app = typer.Typer(help="The encryption key of the accounts' API keys.", no_args_is_help=True)
BotStopped = Annotated[
    bool,
    typer.Option("--bot-stopped", help="I have stopped the bot, which caches what it read."),
]


@app.command()
def rotate(
    bot_stopped: BotStopped = False,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave accounts as they are that no key opens.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Seal all accounts' keys with a new ENCRYPTION_KEY, in one transaction.

    1. Make a key: openssl rand -base64 32. 2. Restart executors and listeners with ENCRYPTION_KEY=new and
    BRIDGE_FORMER_ENCRYPTION_KEYS=old: they read both. 3. Stop the bot. 4. Run this with the same two
    variables. 5. Start the bot with ENCRYPTION_KEY=new. 6. `bridge keys verify`, then drop the old key.
    """
    _must_be_stopped(bot_stopped)
    forbid_core_dumps()
    settings = load(EncryptionSettings)
    if not settings.former_keys.get_secret_value().strip():
        raise CommandError(
            "Give the new key as ENCRYPTION_KEY and the old one as BRIDGE_FORMER_ENCRYPTION_KEYS.",
            ExitCode.USAGE,
        )
    ring, new = settings.keyring(), Keyring([settings.key.get_secret_value()])
    rotation_id = uuid4()
    with connected() as connection, changing(connection):
        rows = former_keys.lock_sealed(connection)
        opened, unreadable = _opened(ring, rows)
        if unreadable and not skip_unreadable:
            raise CommandError(
                "Nothing was changed: no key opens these accounts. Enter their keys again, or leave them as "
                "they are with --skip-unreadable:\n" + table(("account", "column", "why"), unreadable),
                ExitCode.REFUSED,
            )
        sealed = [_sealed(new, row, texts) for row, texts in opened]
        former_keys.reseal(connection, rotation_id, sealed)
        _must_open(connection, new, opened)
    if as_json:
        print_json(
            {"rotation": rotation_id, "accounts": len(sealed), "unreadable": [one[0] for one in unreadable]}
        )
        return
    typer.echo(f"Sealed the keys of {len(sealed)} accounts anew; the old blobs are kept.")
    if unreadable:
        typer.echo("Left as they are:\n" + table(("account", "column", "why"), unreadable))
    typer.echo("Start the bot with the new ENCRYPTION_KEY, then: bridge keys verify")


@app.command()
def verify(as_json: Json = False) -> None:
    """See that ENCRYPTION_KEY alone opens every account's key; then forget the old blobs."""
    forbid_core_dumps()
    ring = Keyring([load(EncryptionSettings).key.get_secret_value()])
    with connected() as connection, changing(connection):
        rows = former_keys.lock_sealed(connection)
        _, unreadable = _opened(ring, rows)
        forgotten = 0 if unreadable else former_keys.forget(connection)
    if as_json:
        print_json(
            {"accounts": len(rows), "unreadable": [one[0] for one in unreadable], "forgotten": forgotten}
        )
    elif not unreadable:
        typer.echo(f"ENCRYPTION_KEY opens all {len(rows)} accounts; {forgotten} old blobs are forgotten.")
    if unreadable:
        if not as_json:
            typer.echo(table(("account", "column", "why"), unreadable))
        raise CommandError(
            "ENCRYPTION_KEY does not open these; nothing was forgotten. Rotate them, or enter them again.",
            ExitCode.FAILED,
        )


@app.command()
def undo(bot_stopped: BotStopped = False, as_json: Json = False) -> None:
    """Put the blobs from before the last rotation back; needs both keys, to spare what changed since."""
    _must_be_stopped(bot_stopped)
    forbid_core_dumps()
    ring = load(EncryptionSettings).keyring()
    with connected() as connection, changing(connection):
        rows = former_keys.former(connection)
        if not rows:
            raise CommandError("There is no rotation to undo: no old blobs are kept.", ExitCode.NOT_FOUND)
        former_keys.lock_sealed(connection)
        same = [row["id"] for row in rows if _unchanged(ring, row)]
        restored = former_keys.restore(connection, rows[0]["rotation_id"], same)
    left = [row["id"] for row in rows if row["id"] not in same]
    if as_json:
        print_json({"rotation": rows[0]["rotation_id"], "restored": restored, "left": left})
        return
    typer.echo(f"Put back the blobs of {restored} accounts. Give ENCRYPTION_KEY its old value everywhere.")
    for account_id in left:
        typer.echo(f"Left alone, because it changed since or cannot be read: {account_id}")


def _must_be_stopped(bot_stopped: bool) -> None:
    if not bot_stopped:
        raise CommandError(
            "The bot must be stopped: it knows one key, and caches what it read. Stop it, then say so with "
            "--bot-stopped.",
            ExitCode.REFUSED,
        )


def _opened(
    ring: Keyring, rows: list[Row]
) -> tuple[list[tuple[Row, dict[str, str | None]]], list[tuple[UUID, str, str]]]:
    """Open every sealed column; an empty one stays empty.

    Returns:
        Rows with their texts, and what could not be opened: account, column, why.

    """
    opened, unreadable = [], []
    for row in rows:
        texts: dict[str, str | None] = {}
        for column in former_keys.SEALED:
            blob = row[column]
            try:
                texts[column] = ring.decrypt(blob) if blob else None
            except UndecryptableError as error:
                unreadable.append((row["id"], column, str(error)))
        if len(texts) == len(former_keys.SEALED):
            opened.append((row, texts))
    return opened, unreadable


def _sealed(ring: Keyring, row: Row, texts: dict[str, str | None]) -> Row:
    """Seal a row's texts; NULL and empty stay what they were, which the bot tells apart from a sealed ''."""
    return {"id": row["id"]} | {
        column: row[column] if text is None else ring.encrypt(text) for column, text in texts.items()
    }


def _must_open(
    connection: Connection, ring: Keyring, opened: list[tuple[Row, dict[str, str | None]]]
) -> None:
    """Read back what was written, before it is committed.

    Raises:
        CommandError: something reads differently; the transaction is rolled back.

    """
    again = {row["id"]: row for row in former_keys.lock_sealed(connection)}
    for row, texts in opened:
        written = again[row["id"]]
        for column, text in texts.items():
            blob = written[column]
            if (ring.decrypt(blob) if blob else None) != text:
                raise CommandError(
                    f"Nothing was changed: {column} of account {row['id']} did not read back as written.",
                    ExitCode.FAILED,
                )


def _unchanged(ring: Keyring, row: Row) -> bool:
    """Tell whether an account still holds the key it had before the rotation."""
    try:
        return row["api_key_now"] is not None and (
            ring.decrypt(row["api_key_now"]) == ring.decrypt(row["api_key_encrypted"])
            and ring.decrypt(row["secret_now"]) == ring.decrypt(row["secret_encrypted"])
        )
    except UndecryptableError:
        return False
