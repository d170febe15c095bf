"""DESIGN 6: our share of the exchange's request weight, which all accounts of one address draw from."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """Lets requests through at a steady rate, after a burst that is free.

    Args:
        weight_per_s: how much weight a second may cost.
        burst: how much may be spent at once after a rest.
        now: monotonic seconds.

    Attributes:
        sharers: how many processes draw from the same weight, this one included; each takes its part.

    """

    def __init__(self, weight_per_s: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._weight_per_s = weight_per_s
        self._burst = burst
        self._now = now
        self._paid_until = now() - burst / weight_per_s
        self.sharers = 1

    def reserve(self, weight: float) -> float:
        """Take weight, and return how many seconds to wait before using it."""
        now = self._now()
        earliest = now - self._burst / self._weight_per_s
        self._paid_until = max(self._paid_until, earliest) + self.sharers * weight / self._weight_per_s
        return max(0.0, self._paid_until - now)

    def stop_until(self, seconds_from_now: float) -> None:
        """Let nothing through for a while: the exchange said so (429, 418)."""
        self._paid_until = max(self._paid_until, self._now() + seconds_from_now)

    async def take(self, weight: float) -> None:
        """Wait until this weight may be spent."""
        delay_s = self.reserve(weight)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
