"""PROTOCOL 2: send slots. Claim no more than there are free: nothing waits between claim and socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.outbox import Key


class Slots:
    """Which keys this process has an order of in flight, under which token.

    Args:
        count: most orders between claim and settled answer.

    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken: dict[UUID, Key] = {}

    @property
    def free(self) -> int:
        """How many more may be claimed."""
        return self._count - len(self._taken)

    @property
    def tokens(self) -> list[UUID]:
        """The tokens in flight, for the renewal of their leases."""
        return list(self._taken)

    def busy_keys(self) -> set[Key]:
        """Return the keys with an order in flight here."""
        return set(self._taken.values())

    def take(self, token: UUID, key: Key) -> None:
        """Occupy a slot."""
        self._taken[token] = key

    def release(self, token: UUID) -> None:
        """Free a slot; freeing twice does nothing."""
        self._taken.pop(token, None)
