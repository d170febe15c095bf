"""PROTOCOL 8: how far the exchange's clock is from ours, with the bound of that error.

The truth is kept as an interval of possible offsets. One time request bounds it by its round trip; intervals
of several requests are cut with each other, after the older one was widened by what two clocks may drift
apart. The local clock is one that nobody sets (boot time where the system has it), so that a corrected wall
clock moves nothing here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

DRIFT_MS_PER_S: Final = 0.5
"""The 500 ppm up to which Linux may slew its monotonic clock (adjtimex manual page)."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def local_ms() -> float:
    """Milliseconds since some fixed moment on this machine; goes on while it sleeps, is never set."""
    return time.clock_gettime_ns(_CLOCK) / 1e6


class ClockUnknownError(RuntimeError):
    """The exchange has not told us its time yet; nothing may be signed or claimed."""


@dataclass(frozen=True, slots=True)
class OffsetBounds:
    """The exchange's clock minus ours lies within these bounds.

    Attributes:
        low_ms: lower bound in milliseconds.
        high_ms: upper bound in milliseconds.
        as_of_ms: local moment from which the bounds widen with every second.

    """

    low_ms: float
    high_ms: float
    as_of_ms: float

    @property
    def offset_ms(self) -> float:
        """The best estimate: the middle."""
        return (self.low_ms + self.high_ms) / 2

    def error_ms(self, now_ms: float) -> float:
        """Return by how much `offset_ms` can be wrong at the local moment `now_ms`."""
        return (self.high_ms - self.low_ms) / 2 + _drift_ms(self.as_of_ms, now_ms)


def bounds_of_sample(sent_ms: float, server_ms: int, received_ms: float) -> OffsetBounds:
    """Return what one time request tells.

    The server read its clock after we sent and before we received; it reports whole milliseconds, cut off. As
    we do not know when in between, drift counts from the moment of sending.

    Args:
        sent_ms: local moment before the first byte left.
        server_ms: `serverTime` of the answer.
        received_ms: local moment after the last byte came.

    Raises:
        ValueError: the answer came before the question.

    """
    if received_ms < sent_ms:
        raise ValueError(
            "The answer is older than the question; take both moments from the same local clock."
        )
    return OffsetBounds(server_ms - received_ms, server_ms + 1 - sent_ms, sent_ms)


def narrowed(known: OffsetBounds | None, sample: OffsetBounds) -> OffsetBounds:
    """Return what is known after one more sample.

    Bounds that exclude each other mean that one of the clocks was set: then only the sample counts.
    """
    if known is None:
        return sample
    drift = _drift_ms(known.as_of_ms, sample.as_of_ms)
    low = max(known.low_ms - drift, sample.low_ms)
    high = min(known.high_ms + drift, sample.high_ms)
    return OffsetBounds(low, high, sample.as_of_ms) if low <= high else sample


class Clock:
    """The exchange's clock as far as we know it; unknown until the first sample.

    Args:
        local: the local clock in milliseconds; every moment given to this object must come from it.

    """

    def __init__(self, local: Callable[[], float] = local_ms) -> None:
        self._local = local
        self._bounds: OffsetBounds | None = None

    @property
    def known(self) -> bool:
        """Whether there was a sample since the start or since `forget`."""
        return self._bounds is not None

    @property
    def offset_ms(self) -> float | None:
        """Exchange minus local in milliseconds, for a metric; None while unknown."""
        return None if self._bounds is None else self._bounds.offset_ms

    def now_ms(self) -> float:
        """Return the local moment, for `sample` and `error_ms`."""
        return self._local()

    def sample(self, sent_ms: float, server_ms: int, received_ms: float) -> None:
        """Learn from one time request; see `bounds_of_sample` for the arguments and errors."""
        self._bounds = narrowed(self._bounds, bounds_of_sample(sent_ms, server_ms, received_ms))

    def forget(self) -> None:
        """Start again from nothing, after the exchange refused a timestamp (-1021)."""
        self._bounds = None

    def exchange_now_ms(self) -> int:
        """Return the exchange's time in milliseconds, best estimate.

        Raises:
            ClockUnknownError: there was no sample yet.

        """
        if self._bounds is None:
            raise ClockUnknownError("The exchange's clock is unknown; ask it for the time first.")
        return int(self._local() + self._bounds.offset_ms)

    def error_ms(self, now: float | None = None) -> float | None:
        """Return by how much `exchange_now_ms` can be wrong at the local moment `now`; None while unknown."""
        return None if self._bounds is None else self._bounds.error_ms(self._local() if now is None else now)

    def trusted(self, recv_window_ms: float) -> bool:
        """Return whether orders may be claimed (PROTOCOL 8): known, and wrong by at most recvWindow / 4."""
        error = self.error_ms()
        return error is not None and error <= recv_window_ms / 4


def _drift_ms(since_ms: float, now_ms: float) -> float:
    return max(0.0, now_ms - since_ms) / 1000 * DRIFT_MS_PER_S
