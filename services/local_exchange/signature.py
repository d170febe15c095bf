"""Who signed a request: HMAC, Ed25519 and RSA over the bytes that came over the wire."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verifier(Protocol):
    """Knows whether a signature belongs to a payload."""

    can_log_on: bool

    def verify(self, payload: bytes, signature: str) -> bool:
        """Whether `signature` (as decoded text) was made over `payload` with this account's key."""


class HmacVerifier:
    """HMAC-SHA-256 in hex, upper or lower case. The keyed state is prepared once."""

    __slots__ = ("_keyed",)
    can_log_on = False

    def __init__(self, secret: str) -> None:
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def verify(self, payload: bytes, signature: str) -> bool:
        """See `Verifier.verify`."""
        state = self._keyed.copy()
        state.update(payload)
        return hmac.compare_digest(state.hexdigest().encode(), signature.lower().encode())


class Ed25519Verifier:
    """Ed25519 in base64."""

    __slots__ = ("_key",)
    can_log_on = True

    def __init__(self, key: ed25519.Ed25519PublicKey) -> None:
        self._key = key

    def verify(self, payload: bytes, signature: str) -> bool:
        """See `Verifier.verify`."""
        try:
            self._key.verify(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error):
            return False
        return True


class RsaVerifier:
    """RSASSA-PKCS1-v1_5 with SHA-256 in base64."""

    __slots__ = ("_key",)
    can_log_on = False

    def __init__(self, key: rsa.RSAPublicKey) -> None:
        self._key = key

    def verify(self, payload: bytes, signature: str) -> bool:
        """See `Verifier.verify`."""
        try:
            self._key.verify(
                base64.b64decode(signature, validate=True), payload, padding.PKCS1v15(), SHA256()
            )
        except (InvalidSignature, binascii.Error):
            return False
        return True


def verifier_for(secret: str | None, public_key_pem: str | None) -> Verifier:
    """Return the verifier of an account that has either a shared secret or a public key.

    Raises:
        ValueError: neither is given, or the key is of another kind.

    """
    if secret is not None:
        return HmacVerifier(secret)
    if public_key_pem is None:
        raise ValueError("An account needs 'secret' (HMAC) or 'public_key' (PEM of an Ed25519 or RSA key).")
    key = load_pem_public_key(public_key_pem.encode())
    if isinstance(key, ed25519.Ed25519PublicKey):
        return Ed25519Verifier(key)
    if isinstance(key, rsa.RSAPublicKey):
        return RsaVerifier(key)
    raise ValueError("'public_key' must be an Ed25519 or RSA key; make one with openssl genpkey.")


def signed_payload(query: bytes, body: bytes) -> bytes | None:
    """Return what a REST signature covers: query string and body, joined, less the signature at the end.

    Binance REST docs "SIGNED request example": the payload is the query string concatenated with the body;
    it is percent-encoded before it is signed.

    Returns:
        The payload, or None when the signature is not the last parameter or a byte is not ASCII.

    """
    if body.startswith(b"signature=") or b"&signature=" in body:
        cut = _without_signature(body)
        payload = None if cut is None else query + cut
    else:
        cut = _without_signature(query)
        payload = None if cut is None else cut + body
    return payload if payload is not None and payload.isascii() else None


def _without_signature(text: bytes) -> bytes | None:
    if text.startswith(b"signature="):
        start, end = 0, len(b"signature=")
    else:
        start = text.rfind(b"&signature=")
        end = start + len(b"&signature=")
    if start < 0 or b"&" in text[end:]:
        return None
    return text[:start]


def websocket_payload(params: Mapping[str, object]) -> bytes:
    """Return what a WebSocket API signature covers: all parameters but the signature, by name, raw UTF-8.

    Binance WebSocket API docs "SIGNED request security": sorted, joined with `&`, not percent-encoded,
    `apiKey` included.
    """
    return "&".join(f"{k}={_as_text(v)}" for k, v in sorted(params.items()) if k != "signature").encode()


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
