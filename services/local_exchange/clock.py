"""The exchange's clock: the machine's, plus a skew that a test may set."""

from __future__ import annotations

import time


class ExchangeClock:
    """Exchange time in epoch micro- and milliseconds.

    Args:
        skew_ms: milliseconds by which the exchange is ahead of the machine.

    """

    __slots__ = ("skew_us",)

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_us = skew_ms * 1000

    def now_us(self) -> int:
        """Epoch microseconds."""
        return time.time_ns() // 1000 + self.skew_us

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self.now_us() // 1000
