"""Finds secrets in what was emitted: every form a secret may travel in, every 12-character part of it.

Shares nothing with `shared/telemetry/redaction.py`, or it would be blind where that is.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PART = 12


@dataclass(frozen=True, slots=True)
class Leak:
    """Where a secret was seen; never what of it.

    Attributes:
        where: what was emitted, such as a log.
        secret: its name.
        form: raw, hex, ...
        times: how many parts of it.

    """

    where: str
    secret: str
    form: str
    times: int


def forms(secret: bytes) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of all that a secret may look like."""
    yield "raw", secret.decode("latin-1")
    yield "url", quote(secret, safe="")
    yield "url", quote(secret, safe="").replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d")
    yield "form", quote_plus(secret)
    yield "hex", secret.hex()
    yield "hex", secret.hex().upper()
    for before in range(3):
        # What stands before the secret shifts its base64; the characters it shares with neighbours are cut.
        padded = b"\0" * before + secret
        whole = len(padded) // 3 * 3
        for name, encode in (("base64", base64.b64encode), ("base64 url", base64.urlsafe_b64encode)):
            yield name, encode(padded[:whole]).decode()[4 if before else 0 :]


@dataclass(slots=True)
class Search:
    """The parts of all secrets, and what was found.

    Attributes:
        secrets: names of the secrets.
        form_count: forms of all secrets together.
        bytes_searched: so far.

    """

    secrets: list[str] = field(default_factory=list)
    form_count: int = 0
    bytes_searched: int = 0
    _parts: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, name: str, secret: str | bytes) -> None:
        """Look for a secret from now on.

        Raises:
            ValueError: it is too short to be told from ordinary words.

        """
        raw = secret.encode() if isinstance(secret, str) else secret
        if len(raw) < PART:
            raise ValueError(f"{name} has only {len(raw)} characters")
        self.secrets.append(name)
        seen = set()
        for form, text in forms(raw):
            seen.add(text)
            for at in range(len(text) - PART + 1):
                self._parts.setdefault(text[at : at + PART], (name, form))
        self.form_count += len(seen)

    def leaks(self, where: str, emitted: str | bytes) -> list[Leak]:
        """Search something that was emitted, at every position."""
        raw = emitted.encode() if isinstance(emitted, str) else emitted
        self.bytes_searched += len(raw)
        text, parts = raw.decode("latin-1"), self._parts
        hits: dict[tuple[str, str], int] = {}
        for at in range(len(text) - PART + 1):
            found = parts.get(text[at : at + PART])
            if found is not None:
                hits[found] = hits.get(found, 0) + 1
        return [Leak(where, secret, form, times) for (secret, form), times in hits.items()]

    def all_leaks(self, emitted: Iterable[tuple[str, str | bytes]]) -> list[Leak]:
        """Search many things."""
        return [leak for where, text in emitted for leak in self.leaks(where, text)]
