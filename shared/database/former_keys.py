"""The sealed keys of all accounts, sealed anew in one transaction; the old blobs are kept until verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.database.operator import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.database.operator import Connection, Row

SEALED = ("api_key_encrypted", "secret_encrypted", "passphrase", "listen_key_encrypted")


def lock_sealed(connection: Connection) -> list[Row]:
    """Return every account's sealed columns, locked until the transaction ends."""
    return run(connection, "lock_sealed")


def reseal(connection: Connection, rotation_id: UUID, rows: Sequence[Row]) -> int:
    """Store sealed columns and keep what was there before; returns how many accounts."""
    columns = [[row[name] for row in rows] for name in SEALED]
    told = run(connection, "reseal", rotation_id, [row["id"] for row in rows], *columns)
    resealed: int = told[0]["resealed"]
    return resealed


def former(connection: Connection) -> list[Row]:
    """Return the blobs kept from the newest rotation, beside what the accounts hold now."""
    return run(connection, "former_keys")


def restore(connection: Connection, rotation_id: UUID, accounts: Sequence[UUID]) -> int:
    """Put blobs of a rotation back; returns how many accounts."""
    restored: int = run(connection, "restore_keys", rotation_id, list(accounts))[0]["restored"]
    return restored


def forget(connection: Connection) -> int:
    """Forget all blobs kept; returns how many."""
    return len(run(connection, "forget_keys"))
