"""DESIGN 6: quiet orders. One that lives and has said nothing for a while is asked about.

The loss of an order's last event shows in no later one: nothing comes after it. So whatever is heard of a
living order starts a clock; if it runs out, the order is asked for, then twice more at growing distance. An
order that rests for days costs three questions each time something happens to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.streams import OpenAttempt

RESTS_S = (2.0, 10.0, 45.0)


@dataclass(frozen=True, slots=True)
class _Waiting:
    attempt: OpenAttempt
    asked: int
    due: float


class Quiet:
    """The clocks of living orders; all moments are monotonic seconds."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[UUID, int], _Waiting] = {}

    def __len__(self) -> int:
        """Return how many clocks run."""
        return len(self._waiting)

    def heard(self, attempt: OpenAttempt, now: float) -> None:
        """Start the clock of a living order anew."""
        self._waiting[attempt.order_id, attempt.number] = _Waiting(attempt, 0, now + RESTS_S[0])

    def overlooked(self, attempt: OpenAttempt, now: float) -> None:
        """Start the clock of an order that somebody else heard of, unless it runs already."""
        self._waiting.setdefault((attempt.order_id, attempt.number), _Waiting(attempt, 0, now + RESTS_S[0]))

    def unanswered(self, attempt: OpenAttempt, now: float) -> None:
        """Ask again about an order of which a question brought nothing, but not at once."""
        key = (attempt.order_id, attempt.number)
        self._waiting.setdefault(key, _Waiting(attempt, 1, now + RESTS_S[1]))

    def ended(self, order_id: UUID, number: int) -> None:
        """Stop the clock: nothing more will come of the order."""
        self._waiting.pop((order_id, number), None)

    def due(self, now: float) -> list[OpenAttempt]:
        """Return the orders to ask about now, and set their clocks for the next time."""
        ripe = [(key, one) for key, one in self._waiting.items() if one.due <= now]
        for key, one in ripe:
            asked = one.asked + 1
            if asked < len(RESTS_S):
                self._waiting[key] = replace(one, asked=asked, due=now + RESTS_S[asked])
            else:
                del self._waiting[key]
        return [one.attempt for _, one in ripe]
