"""Signing requests the way Binance checks them: pure functions over text.

REST (Binance REST docs, "SIGNED endpoint security"): percent-encode first, sign second, signature last; what
was signed is what is sent. WebSocket API (its docs, "SIGNED request example"): the opposite on three points:
parameters sorted by name, raw text without percent-encoding, `apiKey` inside.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

Value: TypeAlias = str | int | Decimal | bool

_UNRESERVED = re.compile("[A-Za-z0-9_.~-]*")


class KeyKind(StrEnum):
    """The three kinds of API key Binance issues; HMAC is deprecated there but accepted."""

    HMAC = "hmac"
    ED25519 = "ed25519"
    RSA = "rsa"


_PrivateKey = Ed25519PrivateKey | RSAPrivateKey | bytes


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """An API key with the secret that signs for it; the kind is told by the secret's form.

    A PEM block is an Ed25519 or RSA private key (PKCS#8; line breaks may be stored as backslash and n),
    anything else an HMAC secret; blanks around either are dropped. Its text form shows neither.

    Args:
        api_key: as sent in the X-MBX-APIKEY header.
        secret: the HMAC secret or the private key in PEM.

    Attributes:
        fingerprint: SHA-256 of the API key in hex: names the key in attempts and logs without showing it.

    Raises:
        ValueError: the pair cannot be used; the message says what to store instead and holds nothing of it.

    """

    api_key: str
    secret: str
    fingerprint: str = field(init=False, compare=False, default="")
    _key: _PrivateKey = field(init=False, compare=False, default=b"")

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", self.api_key.strip())
        if (
            not (self.api_key.isascii() and self.api_key.isprintable())
            or not self.api_key
            or " " in self.api_key
        ):
            raise ValueError(
                "The API key is empty or holds characters no key has; store it again without line breaks."
            )
        object.__setattr__(self, "fingerprint", hashlib.sha256(self.api_key.encode("ascii")).hexdigest())
        object.__setattr__(self, "_key", _load(self.secret))

    @property
    def kind(self) -> KeyKind:
        """The kind of key, as told by the secret."""
        if isinstance(self._key, bytes):
            return KeyKind.HMAC
        return KeyKind.ED25519 if isinstance(self._key, Ed25519PrivateKey) else KeyKind.RSA

    def __repr__(self) -> str:
        return f"Credentials({self.kind}, key sha256 {self.fingerprint[:8]}…)"

    def signature(self, payload: bytes) -> str:
        """Sign `payload`: hex for HMAC, base64 for the others."""
        key = self._key
        if isinstance(key, bytes):
            return hmac.digest(key, payload, "sha256").hex()
        if isinstance(key, Ed25519PrivateKey):
            return base64.b64encode(key.sign(payload)).decode("ascii")
        return base64.b64encode(key.sign(payload, PKCS1v15(), hashes.SHA256())).decode("ascii")


def query(params: Mapping[str, Value]) -> str:
    """Return `params` as a percent-encoded query string, in the order given.

    Decimals are written without exponent, booleans in lower case.

    Raises:
        TypeError: a value is a float, None or anything else that has no single text form.

    """
    pairs = [(name, as_text(value)) for name, value in params.items()]
    if not _UNRESERVED.fullmatch("".join([part for pair in pairs for part in pair])):
        pairs = [(quote(name, safe=""), quote(text, safe="")) for name, text in pairs]
    return "&".join([f"{name}={text}" for name, text in pairs])


def signed_query(params: Mapping[str, Value], credentials: Credentials) -> str:
    """Return the query string of a signed REST request: encoded, then signed, the signature last.

    Args:
        params: everything but the signature, `timestamp` (ms on the exchange's clock) included.
        credentials: the account's key.

    Raises:
        TypeError: see `query`.
        ValueError: `signature` is among the parameters, or `timestamp` is not.

    """
    _refuse_unsignable(params)
    return with_signature(query(params), credentials)


def with_signature(payload: str, credentials: Credentials) -> str:
    """Return a query string of `query`, `timestamp` within, with its signature as the last parameter."""
    return f"{payload}&signature={quote(credentials.signature(payload.encode('ascii')), safe='')}"


def signed_websocket_params(
    params: Mapping[str, Value], credentials: Credentials
) -> dict[str, str | int | bool]:
    """Return the `params` of a signed WebSocket API request, with `apiKey` and `signature` in place.

    Decimals become text, so that the JSON holds exactly what was signed.

    Raises:
        TypeError: see `query`.
        ValueError: see `signed_query`.

    """
    _refuse_unsignable(params)
    ready: dict[str, str | int | bool] = {
        name: value if isinstance(value, int) else as_text(value) for name, value in params.items()
    }
    ready["apiKey"] = credentials.api_key
    ready["signature"] = credentials.signature(websocket_payload(ready).encode("utf-8"))
    return ready


def websocket_payload(params: Mapping[str, Value]) -> str:
    """Return the text a WebSocket API signature is made over: sorted by name, raw, without `signature`."""
    return "&".join(f"{name}={as_text(params[name])}" for name in sorted(params) if name != "signature")


def as_text(value: Value) -> str:
    """Return the one text form of a parameter value.

    Raises:
        TypeError: see `query`.

    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"A parameter of type {type(value).__name__} has no exact text; use str, int or Decimal.")


def _refuse_unsignable(params: Mapping[str, Value]) -> None:
    if "signature" in params:
        raise ValueError("The signature is added here; leave it out of the parameters.")
    if "timestamp" not in params:
        raise ValueError("A signed request needs its timestamp; take it from the exchange's clock.")


def _load(secret: str) -> _PrivateKey:
    if "-----BEGIN" not in secret:
        if not secret.strip():
            raise ValueError("The secret is empty; store it again.")
        return secret.strip().encode("utf-8")
    pem = secret.strip().replace("\\n", "\n").encode("utf-8")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("The private key is protected by a passphrase; store it without one.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("The private key is no readable PKCS#8 PEM; export it again.") from None
    if isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
        return key
    raise ValueError("The private key is neither Ed25519 nor RSA; Binance accepts no other kind.")
