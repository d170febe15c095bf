"""PROTOCOL 8: when to try again, and when to leave an address of the exchange alone.

Only an attempt judged `absent` counts; what says nothing about the order (DNS, ban, clock, drain) merely
re-queues it. An address is judged by its failures in a row. `now` and the random draw are handed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from shared.domain.attempt import MAX_ATTEMPTS
from shared.domain.errors import DomainError
from shared.domain.states import AttemptOutcome

MAX_COUNTED: Final = 3
"""How many attempts of a row may be judged absent; then it is rejected with the last reason."""


@dataclass(frozen=True, slots=True)
class RetryDelays:
    """How long a row rests before its next attempt, in seconds.

    Args:
        counted_s: after the first attempt judged absent; doubles with each.
        uncounted_s: after the first attempt that was not sent; doubles with each attempt number, so that nine
            numbers outlast a short disturbance (the futures docs, HTTP 503, advise 200, 400, 800 ms).
        longest_s: no delay exceeds it.

    """

    counted_s: float = 1.0
    uncounted_s: float = 0.2
    longest_s: float = 30.0


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The entry goes to back-off and may be claimed again after `delay_s` seconds."""

    delay_s: float
    counted: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The row is rejected with the last reason: it was judged absent too often."""

    counted: int


@dataclass(frozen=True, slots=True)
class HoldRow:
    """The row is held: number 9 was not sent, there is no tenth."""

    counted: int


def next_step(
    outcome: AttemptOutcome,
    number: int,
    counted: int,
    draw: float,
    delays: RetryDelays = RetryDelays(),
) -> TryAgain | GiveUp | HoldRow:
    """Decide what follows an attempt that is proven not to exist.

    Args:
        outcome: `not_sent` or `absent`.
        number: of that attempt, 1 to 9.
        counted: attempts of the row judged absent before this one.
        draw: random, at least 0 and below 1; spreads those who would otherwise return together.
        delays: how long to rest.

    Raises:
        DomainError: the outcome allows no retry.

    """
    if outcome not in (AttemptOutcome.NOT_SENT, AttemptOutcome.ABSENT):
        raise DomainError(
            f"An attempt that is {outcome} is never tried again (PROTOCOL 8): settle or resolve it."
        )
    absent = outcome is AttemptOutcome.ABSENT
    counted += absent
    if counted >= MAX_COUNTED:
        return GiveUp(counted)
    if number >= MAX_ATTEMPTS:
        return HoldRow(counted)
    first, times = (delays.counted_s, counted) if absent else (delays.uncounted_s, number)
    return TryAgain(spread(min(first * 2 ** (times - 1), delays.longest_s), draw), counted)


def spread(delay_s: float, draw: float) -> float:
    """Take between half and all of a delay."""
    return delay_s * (1 + draw) / 2


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """When one process leaves one base URL alone.

    Args:
        failures: transport failures in a row, with no success between, that pause it.
        first_probe_s: seconds from the pause to the first probe.
        longest_probe_s: the time between probes doubles up to this.

    """

    failures: int = 3
    first_probe_s: float = 0.25
    longest_probe_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """What one process knows about one base URL: open, or paused.

    Two things pause it. Transport failures in a row: then it is probed with `ping` and `time`, never with an
    order, and opens with the first answer. And the exchange's word (429, 418, 403): as long as it said.

    Args:
        policy: when to pause.
        failures: transport failures in a row.
        probe_at: when the next probe is due, seconds on the caller's monotonic clock; None = open.
        probe_every_s: the time to the next probe after that.
        told_until: until when the exchange wants to be left alone, same clock.

    """

    policy: AddressPolicy = AddressPolicy()
    failures: int = 0
    probe_at: float | None = None
    probe_every_s: float = 0.0
    told_until: float = float("-inf")

    def is_open(self, now: float) -> bool:
        """Whether orders may be claimed for it."""
        return self.probe_at is None and now >= self.told_until

    def probe_is_due(self, now: float) -> bool:
        """Whether failures paused it and a probe should go out."""
        return self.probe_at is not None and now >= max(self.probe_at, self.told_until)

    def after_failure(self, now: float) -> Address:
        """Count a transport failure, of an order or of a probe.

        While paused, a failure before the probe's time lengthens nothing: its order was sent before.
        """
        failures = self.failures + 1
        if self.probe_at is None:
            if failures < self.policy.failures:
                return replace(self, failures=failures)
            every = self.policy.first_probe_s
        elif now < self.probe_at:
            return replace(self, failures=failures)
        else:
            every = self.probe_every_s
        longer = min(every * 2, self.policy.longest_probe_s)
        return replace(self, failures=failures, probe_at=now + every, probe_every_s=longer)

    def after_answer(self) -> Address:
        """Forget the failures: something answered there."""
        return Address(self.policy, told_until=self.told_until)

    def after_being_told(self, now: float, retry_after_s: float) -> Address:
        """Leave it alone for as long as the exchange said; a longer pause already there stays."""
        return replace(self, told_until=max(self.told_until, now + retry_after_s))
