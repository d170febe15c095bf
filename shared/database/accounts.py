"""The accounts of the bot's users, for the command line: read, listed, added, their keys sealed anew."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.database.operator import changing, run

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.operator import Connection, Row


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """A row of `public.exchange_accounts`; its keys as stored, and never shown."""

    id: UUID
    user_id: UUID
    exchange: str
    label: str
    is_testnet: bool
    is_active: bool
    version: str
    api_key_encrypted: bytes = field(repr=False)
    secret_encrypted: bytes = field(repr=False)


def read_account(connection: Connection, account_id: UUID) -> StoredAccount | None:
    """Return one account; None when there is none."""
    rows = run(connection, "account_for_operator", account_id)
    return (
        StoredAccount(**{name: rows[0][name] for name in StoredAccount.__dataclass_fields__})
        if rows
        else None
    )


def environment_epoch(connection: Connection, base_url: str) -> int:
    """Return which life of an environment it is: a wiped testnet hands out the same ids again."""
    epoch: int = run(connection, "environment_epoch", base_url)[0]["epoch"]
    return epoch


def list_accounts(connection: Connection) -> list[Row]:
    """Return all accounts, with what waits, rests and is held on each; no key, sealed or not."""
    return run(connection, "list_accounts")


def add_account(
    connection: Connection, user_id: UUID, label: str, api_key: bytes, secret: bytes, *, is_testnet: bool
) -> UUID | None:
    """Insert an account at Binance as the bot does; returns its id, None when there is no such user.

    Args:
        connection: of the operator.
        user_id: its owner.
        label: by which its owner knows it.
        api_key: sealed in the bot's format.
        secret: sealed in the bot's format.
        is_testnet: whether it trades play money.

    Raises:
        psycopg.errors.UniqueViolation: this user has an account of that label.

    """
    with changing(connection):
        rows = run(connection, "add_account", user_id, label, api_key, secret, is_testnet)
    return rows[0]["id"] if rows else None
