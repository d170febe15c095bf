"""AES-256-GCM in the bot's own format, so that both programs read the same columns of `exchange_accounts`.

A blob is a 12-byte random nonce, the ciphertext and a 16-byte tag, without associated data and without a
version byte; it is stored raw in `bytea`. The key is the standard, padded base64 of 32 bytes
(`ENCRYPTION_KEY`). Nothing here shows a key, a plaintext or a blob in a repr or in an exception.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import resource
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Iterable

_NONCE_BYTES = 12
_KEY_BYTES = 32


class CryptoError(Exception):
    """Whatever this module refuses; the message is safe to log and to show to the account's owner."""


class EncryptionKeyError(CryptoError):
    """An encryption key is missing or malformed; the process cannot start with it."""


class UndecryptableError(CryptoError):
    """One blob cannot be read; it concerns its own account only."""


class BlobTooShortError(UndecryptableError):
    """The blob is shorter than a nonce, so it was never encrypted (a plaintext or a placeholder byte)."""


class AuthenticationFailedError(UndecryptableError):
    """No key opens the blob: another key made it, it was altered, or it was never encrypted."""


class NotTextError(UndecryptableError):
    """The blob opens but does not hold UTF-8 text, so the bot did not write it."""


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a key, accepting exactly what the bot accepts.

    Args:
        text: standard, padded base64; line ends are ignored, as they are by the bot (a key read from a file).

    Raises:
        EncryptionKeyError: for anything else: spaces, missing padding, the URL-safe alphabet, another length.

    """
    stripped = text.replace("\r", "").replace("\n", "")
    if not stripped:
        raise EncryptionKeyError(
            "the encryption key is empty; give it the value the bot has in ENCRYPTION_KEY"
        )
    try:
        key = base64.b64decode(stripped, validate=True)
    except (binascii.Error, ValueError):
        # "from None": the original error may carry the offending text.
        raise EncryptionKeyError(
            "the encryption key is not standard padded base64 (no spaces, no '-' or '_', with its '=' at the "
            "end); copy the bot's ENCRYPTION_KEY unchanged"
        ) from None
    if len(key) != _KEY_BYTES:
        raise EncryptionKeyError(
            f"the encryption key decodes to {len(key)} bytes instead of {_KEY_BYTES}; "
            "a new one is made by: openssl rand -base64 32"
        )
    return key


class Keyring:
    """The keys this process may read with; the first one also encrypts.

    Args:
        keys: base64 keys as `parse_key` takes them, the current one first, former ones after it.

    Raises:
        EncryptionKeyError: when there is no key or one of them is malformed.

    """

    __slots__ = ("_ciphers",)

    def __init__(self, keys: Iterable[str]) -> None:
        self._ciphers = tuple(AESGCM(parse_key(key)) for key in keys)
        if not self._ciphers:
            raise EncryptionKeyError("there is no encryption key; set ENCRYPTION_KEY to the bot's value")

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._ciphers)} key(s), redacted>"

    def encrypt(self, plaintext: str) -> bytes:
        """Return a blob that the bot reads with this ring's first key; the nonce is fresh and random."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, plaintext.encode(), None)

    def decrypt(self, blob: bytes) -> str:
        """Return the text of a blob, trying the keys in their order.

        Args:
            blob: a column of `exchange_accounts` as stored.

        Raises:
            BlobTooShortError: when it is shorter than a nonce.
            AuthenticationFailedError: when no key opens it.
            NotTextError: when it holds no UTF-8.

        """
        if len(blob) < _NONCE_BYTES:
            raise BlobTooShortError(
                f"the stored credential is too short to be encrypted ({len(blob)} bytes); "
                "enter the API key again"
            )
        nonce, sealed = blob[:_NONCE_BYTES], blob[_NONCE_BYTES:]
        for cipher in self._ciphers:
            try:
                opened = cipher.decrypt(nonce, sealed, None)
            except InvalidTag:
                continue
            return _text(opened)
        raise AuthenticationFailedError(
            "the stored credential cannot be decrypted (authentication failed): it was made with another "
            "key than ENCRYPTION_KEY, or stored unencrypted; compare the key with the bot's, or enter the "
            "credential again"
        )


def _text(opened: bytes) -> str:
    try:
        return opened.decode()
    except UnicodeDecodeError:
        pass
    # Raised outside the handler: a UnicodeDecodeError carries the bytes it could not read.
    raise NotTextError(
        "the stored credential decrypts to something that is not text; enter the API key again"
    )


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account's keys in the clear, in memory only; its repr shows none of them.

    Args:
        api_key: sent with every request.
        secret: HMAC secret, or an Ed25519 or RSA private key in PEM.
        passphrase: of an encrypted private key, as typed; None = none.

    """

    api_key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SealedCredentials:
    """The encrypted columns of one row of `exchange_accounts`.

    Args:
        api_key: `api_key_encrypted`.
        secret: `secret_encrypted`.
        passphrase: `passphrase`; the bot stores "none" as empty bytes, its seeds as NULL.

    """

    api_key: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    passphrase: bytes | None = field(default=None, repr=False)

    def open(self, keyring: Keyring) -> Credentials:
        """Decrypt the three columns.

        White space around key and secret is dropped: the bot stores them as its user typed them. A passphrase
        keeps its spaces, which may belong to it.

        Raises:
            UndecryptableError: when one of them cannot be read or a key is empty.

        """
        api_key = keyring.decrypt(self.api_key).strip()
        secret = keyring.decrypt(self.secret).strip()
        if not api_key or not secret:
            raise UndecryptableError("the stored API key or its secret is empty; enter them again")
        return Credentials(api_key, secret, keyring.decrypt(self.passphrase) if self.passphrase else None)


def hash_api_key(api_key: str) -> str:
    """Return the SHA-256 of an API key in hex; an attempt keeps it to know later with which key to ask."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def forbid_core_dumps() -> None:
    """Keep decrypted keys out of core files: called once at start of every process that holds them.

    A limit of one byte, not of zero: Linux ignores the limit when cores are piped to a program, except for
    this value (fs/coredump.c), and a file of one byte is below its smallest core.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
