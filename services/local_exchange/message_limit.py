"""How many messages a second a stream connection takes before it is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.local_exchange.clock import ExchangeClock


class MessageLimit:
    """Counts the messages of one connection by the exchange's seconds.

    Args:
        clock: the exchange's.
        most: messages that one second may have.

    """

    def __init__(self, clock: ExchangeClock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._second = 0
        self._messages = 0

    def exceeded(self) -> bool:
        """Count one message more; say whether it is one too many."""
        second = self._clock.now_ms() // 1000
        self._messages = self._messages + 1 if second == self._second else 1
        self._second = second
        return self._messages > self._most
