"""DESIGN 6: the accounts this listener follows, and their keys in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from services.fill_listener.venues import Environment
    from shared.binance.sign import Credentials


@dataclass(frozen=True, slots=True)
class Account:
    """An account followed here.

    Attributes:
        id: row of `exchange_accounts`.
        version: of the row the key was read from.
        environment: where it trades.
        credentials: None when the key cannot be decrypted or used.
        problem: why there are none, for its owner.

    """

    id: UUID
    version: str
    environment: Environment
    credentials: Credentials | None
    problem: str | None = None


class Accounts:
    """The accounts whose lease this listener holds."""

    def __init__(self) -> None:
        self._accounts: dict[UUID, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        """Iterate over them."""
        return iter(tuple(self._accounts.values()))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._accounts)

    def get(self, account_id: UUID) -> Account | None:
        """Return an account, if it is followed here."""
        return self._accounts.get(account_id)

    def put(self, account: Account) -> None:
        """Follow an account, or take in its changed row."""
        self._accounts[account.id] = account

    def drop(self, account_id: UUID) -> Account | None:
        """Follow an account no longer."""
        return self._accounts.pop(account_id, None)

    def credentials(self, account_id: UUID) -> Credentials | None:
        """Return the key of an account, if it is followed here and has a usable one."""
        account = self._accounts.get(account_id)
        return account.credentials if account else None
