"""Takes secrets out of what is about to be shown: known ones in every form, others by what surrounds them.

A known secret is found raw, URL-encoded, in base64 at any alignment and in hex, whole or any 12 characters of
it. Looking for 12-character parts at every position of every line would be slow; instead all 8-character
pieces of every form are kept in a set and a text is probed at every fifth position only. A part of 12
characters holds five consecutive 8-character pieces, so one of them starts at a probed position. Only a hit
is looked at closely.
"""

from __future__ import annotations

import base64
import re
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

REDACTED = "[redacted]"
PART = 12
"""Length of the shortest part of a secret that is not shown."""
_PIECE = 8
_STRIDE = PART - _PIECE + 1
_SHORTEST = 4  # a shorter form would blank ordinary words
_DEEPEST = 8
_LISTEN_KEY = 48  # listen keys have 64 characters; stream names such as btcusdt@trade hold an @ much earlier
_KEEP_NAME = rf"\1{REDACTED}"

_SECRET_NAMES = frozenset(
    (
        *("apikey", "xmbxapikey", "secret", "secretkey", "apisecret", "signature", "listenkey", "passphrase"),
        *("password", "passwd", "authorization", "encryptionkey", "privatekey", "dsn"),
    )
)
_NAMED = re.compile(
    r"""(?ix)
    (
        (?: signature | x-mbx-apikey | api[_-]?key | api[_-]?secret | secret[_-]?key | listen[_-]?key
          | passphrase | password | encryption[_-]?key | private[_-]?key )
        \\?["']? \s* (?: = | : | %3d | ,\s(?=b?["']) ) \s* b?\\?["']?
    )
    [^\s&"'\\,;)\]}]+
    """
)
_AUTHORIZATION = re.compile(r"""(?i)(authorization\\?["']?\s*[=:]\s*\\?["']?(?:\w+\s)?)[^\s"',;)\]}\\]+""")
_LOGIN = re.compile(r"(?i)(://[^\s:/@]*:)[^\s@]+(?=@)")
_STREAM = re.compile(rf"(/(?:ws|stream|private)/(?:ws/)?|streams?=)[A-Za-z0-9]{{{_LISTEN_KEY},}}")
_PEM = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_PLAIN = (int, float, bool, UUID, date, time, timedelta, Decimal, type(None))


@lru_cache(maxsize=4096)
def _names_a_secret(key: str) -> bool:
    return key.lower().replace("_", "").replace("-", "") in _SECRET_NAMES


def _forms(secret: str) -> Iterator[str]:
    """Yield what a secret looks like in the places where it travels."""
    raw = secret.encode("utf-8", "surrogatepass")
    yield secret
    for safe in ("", "/"):
        yield quote(raw, safe=safe)
    yield quote_plus(raw)
    yield quote(raw, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")
    yield raw.hex()
    yield raw.hex().upper()
    for before in range(3):
        # Characters that also hold bits of what stands before the secret are cut off; so are, in a second
        # form, those that depend on what stands after it.
        shifted = b"\0" * before + raw
        first, last = -(-before * 8 // 6), len(shifted) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(shifted).decode()[first:]
            yield encode(shifted).decode()[first:last]


def _clean_named(text: str) -> str:
    """Remove what stands behind a name such as `signature=`; a cheap look for the words comes first."""
    lower = text.lower()
    if "key" in lower or "sign" in lower or "pass" in lower or "secret" in lower:
        text = _NAMED.sub(_KEEP_NAME, text)
    if "authorization" in lower:
        text = _AUTHORIZATION.sub(_KEEP_NAME, text)
    return _LOGIN.sub(_KEEP_NAME, text) if "@" in text and "://" in text else text


class Redactor:
    """What one process knows to be secret; a structlog processor, and usable on any text."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pieces: set[str] = set()
        self._short: list[str] = []

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._forms) + len(self._short)} forms>"

    def register(self, *secrets: str | None) -> None:
        """Keep these texts out of all that is shown from now on; None and under 4 characters are passed over.

        A registered secret stays so for good: one that was rotated is still nobody's business.
        """
        for secret in secrets:
            if secret is None or secret in self._forms or secret in self._short:
                continue
            for form in _forms(secret.strip()):
                self._add(form)

    def _add(self, form: str) -> None:
        if form in self._forms:
            return
        if len(form) >= PART:
            self._forms.add(form)
            self._pieces.update(form[i : i + _PIECE] for i in range(len(form) - _PIECE + 1))
        elif len(form) >= _SHORTEST and form not in self._short:
            self._short.append(form)
            self._short.sort(key=len, reverse=True)  # the longest first: one may contain another

    def clean(self, text: str) -> str:
        """Return a text without secrets."""
        pieces = self._pieces
        if pieces and not pieces.isdisjoint(
            [text[i : i + _PIECE] for i in range(0, len(text) - _PIECE + 1, _STRIDE)]
        ):
            text = self._cut_parts(text)
        for form in self._short:
            if form in text:
                text = text.replace(form, REDACTED)
        if "=" in text or ":" in text or "," in text or "%" in text:
            text = _clean_named(text)
        if len(text) > _LISTEN_KEY and ("stream" in text or "/ws/" in text or "/private/" in text):
            text = _STREAM.sub(_KEEP_NAME, text)
        if "PRIVATE KEY" in text:
            text = _PEM.sub(_KEEP_NAME, text)
        return text

    def _cut_parts(self, text: str) -> str:
        """Replace every run of 12 or more characters that is part of a known form."""
        known = "\0".join(self._forms)
        kept: list[str] = []
        end = 0
        for i in range(len(text) - PART + 1):
            if text[i : i + _PIECE] in self._pieces and text[i : i + PART] in known:
                if i > end or end == 0:
                    kept += (text[end:i], REDACTED)
                end = i + PART
        return "".join(kept) + text[end:]

    def clean_value(self, value: Any, depth: int = 0) -> Any:
        """Return a value of an event without secrets, made of what JSON knows.

        Args:
            value: anything; an object JSON does not know is shown by its repr.
            depth: how deep in the event the value lies; what lies too deep is shown by its repr.

        """
        if type(value) in _PLAIN:
            return value
        if isinstance(value, str) and not isinstance(value, Enum):
            return self.clean(value)
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, Enum):
            return self.clean_value(value.value, depth)
        if depth < _DEEPEST:
            if isinstance(value, dict):
                return {
                    self.clean(str(key)): REDACTED
                    if _names_a_secret(str(key))
                    else self.clean_value(item, depth + 1)
                    for key, item in value.items()
                }
            if isinstance(value, list | tuple | set | frozenset):
                return [self.clean_value(item, depth + 1) for item in value]
        if isinstance(value, bytes | bytearray | memoryview):
            return self.clean(bytes(value).decode("utf-8", "backslashreplace"))
        return self.clean(repr(value))

    def __call__(
        self, _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Clean a whole event in place, as a structlog processor.

        Nearly no event holds a secret, so its texts are first looked at as one. They are the texts
        themselves, not yet escaped as JSON; what one of them holds, the whole holds as well.
        """
        texts = "\0".join([value for value in event.values() if type(value) is str])
        harmless = {str} if self.clean(texts) == texts else set()
        for key, value in event.items():
            if _names_a_secret(key):
                event[key] = REDACTED
            elif type(value) not in harmless:
                event[key] = self.clean_value(value)
        return event
