"""PROTOCOL 2: send slots. Claim no more than there are free: nothing waits between claim and socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.outbox import Key


class Slots:
    """Which attempts this process has in flight, of which key, under which token.

    Args:
        count: most orders between claim and settled answer.

    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken: dict[tuple[UUID, int], tuple[UUID, Key]] = {}
        self._most = 0

    @property
    def free(self) -> int:
        """How many more may be claimed."""
        return self._count - len(self._taken)

    @property
    def tokens(self) -> list[UUID]:
        """The tokens in flight, for the renewal of their leases."""
        return [token for token, _ in self._taken.values()]

    def busy_keys(self) -> set[Key]:
        """Return the keys with an order in flight here."""
        return {key for _, key in self._taken.values()}

    def most_since_asked(self) -> int:
        """Return how many were occupied at once since this was asked last: a send takes milliseconds."""
        most, self._most = self._most, len(self._taken)
        return most

    def take(self, order_id: UUID, number: int, token: UUID, key: Key) -> None:
        """Occupy a slot with an attempt."""
        self._taken[order_id, number] = (token, key)
        self._most = max(self._most, len(self._taken))

    def release(self, order_id: UUID, number: int) -> Key | None:
        """Free the slot of an attempt, whoever settled it, and return its key; freeing twice does nothing."""
        _, key = self._taken.pop((order_id, number), (None, None))
        return key
