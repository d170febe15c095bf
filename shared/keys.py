"""Accounts' API keys: decrypted in memory only, kept briefly, dropped when the account's row changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from shared.binance.sign import Credentials
from shared.crypto import UndecryptableError

if TYPE_CHECKING:
    from uuid import UUID

    from shared.crypto import Keyring
    from shared.telemetry.redaction import Redactor

KEPT_FOR_S = 300.0


class Sealed(Protocol):
    """An account's key as stored; the version changes whenever the account's row does."""

    @property
    def version(self) -> str:
        """Of the row."""

    @property
    def api_key_encrypted(self) -> bytes:
        """As stored."""

    @property
    def secret_encrypted(self) -> bytes:
        """As stored."""


class KeyUnreadableError(Exception):
    """An account's key cannot be decrypted or used; the message is safe to show to its owner."""


class Keys:
    """The API keys this process has in memory.

    Args:
        keyring: of `ENCRYPTION_KEY`.
        redactor: told every secret decrypted here, before anything can log it.

    """

    def __init__(self, keyring: Keyring, redactor: Redactor) -> None:
        self._keyring = keyring
        self._redactor = redactor
        self._kept: dict[UUID, tuple[str, float, Credentials]] = {}

    def of(self, account_id: UUID, sealed: Sealed) -> Credentials:
        """Return an account's key.

        Args:
            account_id: `exchange_accounts.id`.
            sealed: the row's version and its encrypted columns.

        Raises:
            KeyUnreadableError: it was stored under another encryption key, or is no key.

        """
        now = time.monotonic()
        kept = self._kept.get(account_id)
        if kept is not None and kept[0] == sealed.version and now < kept[1]:
            return kept[2]
        try:
            credentials = Credentials(
                self._keyring.decrypt(sealed.api_key_encrypted).strip(),
                self._keyring.decrypt(sealed.secret_encrypted).strip(),
            )
        except (UndecryptableError, ValueError) as error:
            self._kept.pop(account_id, None)
            raise KeyUnreadableError(str(error)) from None
        self._redactor.register(credentials.api_key, credentials.secret)
        self._kept[account_id] = (sealed.version, now + KEPT_FOR_S, credentials)
        return credentials
