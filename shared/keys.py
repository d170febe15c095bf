"""Accounts' API keys: decrypted in memory only, kept briefly, dropped when the account's row changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shared.binance.sign import Credentials
from shared.crypto import UndecryptableError

if TYPE_CHECKING:
    from uuid import UUID

    from shared.crypto import Keyring
    from shared.telemetry.redaction import Redactor

KEPT_FOR_S = 300.0


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

    def of(
        self, account_id: UUID, version: str, api_key_encrypted: bytes, secret_encrypted: bytes
    ) -> Credentials:
        """Return an account's key.

        Args:
            account_id: `exchange_accounts.id`.
            version: changes whenever the account's row does.
            api_key_encrypted: as stored.
            secret_encrypted: as stored.

        Raises:
            KeyUnreadableError: it was stored under another encryption key, or is no key.

        """
        now = time.monotonic()
        kept = self._kept.get(account_id)
        if kept is not None and kept[0] == version and now < kept[1]:
            return kept[2]
        try:
            credentials = Credentials(
                self._keyring.decrypt(api_key_encrypted).strip(),
                self._keyring.decrypt(secret_encrypted).strip(),
            )
        except (UndecryptableError, ValueError) as error:
            self._kept.pop(account_id, None)
            raise KeyUnreadableError(str(error)) from None
        self._redactor.register(credentials.api_key, credentials.secret)
        self._kept[account_id] = (version, now + KEPT_FOR_S, credentials)
        return credentials
