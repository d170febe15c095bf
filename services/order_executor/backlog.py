"""PROTOCOL 11: the keys known to have rows waiting, asked in turn. A hint; the truth is in the outbox.

A key that was served goes to the end, so that however many rows one account has waiting, another's single
row waits for no more than one round of the keys.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from shared.database.outbox import Key


class Backlog:
    """Keys in the order in which they are to be asked."""

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}

    def __len__(self) -> int:
        """Return how many keys are known."""
        return len(self._keys)

    def add(self, keys: Iterable[Key]) -> None:
        """Put keys not known yet at the end."""
        for key in keys:
            self._keys.setdefault(key)

    def served(self, keys: Iterable[Key]) -> None:
        """Put keys at the end, known before or not: it is the others' turn."""
        for key in keys:
            self._keys.pop(key, None)
            self._keys[key] = None

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop keys with nothing to send, until something names them again."""
        for key in keys:
            self._keys.pop(key, None)

    def next(self, most: int, but: Container[Key]) -> list[Key]:
        """Return the keys whose turn it is, at most so many, without some."""
        return list(islice((key for key in self._keys if key not in but), most))
