"""DESIGN 6: overlap. Before a connection has to end, the next is opened, and only then the old one closed.

The exchange ends every connection after 24 hours and says so shortly before when a server goes
(`serverShutdown`). While both live, both bring the events; what comes twice changes nothing.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

PLANNED_LIFE_S = 23 * 3600.0


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before the n-th attempt to connect in a row; with jitter, or all would come at once.

    Args:
        first_s: most seconds before the second attempt; doubles with each.
        longest_s: no wait exceeds it.

    """

    first_s: float = 0.1
    longest_s: float = 30.0

    def delay_s(self, failures: int, draw: float) -> float:
        """Return seconds to wait after so many failures in a row; `draw` is random in [0, 1)."""
        ceiling = min(self.longest_s, self.first_s * 2.0 ** min(failures, 30))
        return ceiling * (0.5 + draw / 2) if failures else 0.0


@dataclass(slots=True)
class Rollover:
    """Says when a connection should be replaced, before it has to end.

    Args:
        planned_life_s: seconds until it is replaced in any case.

    """

    planned_life_s: float = PLANNED_LIFE_S
    _due: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> None:
        """Replace the connection at once: the server is about to go."""
        self._due.set()

    async def due(self) -> None:
        """Wait until it is time."""
        # Spread: connections opened together must not be replaced together.
        life_s = self.planned_life_s * random.uniform(0.9, 1.0)  # noqa: S311
        try:
            async with asyncio.timeout(life_s):
                await self._due.wait()
        except TimeoutError:
            return
