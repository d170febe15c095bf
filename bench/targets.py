"""The targets, each beside what was measured. A ratio is taken between figures of the same run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from bench.figures import Row

BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Target:
    """One goal and what became of it.

    Attributes:
        name: what is asked for.
        goal: in words and figures.
        measured: in the same terms.
        met: whether it holds.

    """

    name: str
    goal: str
    measured: str
    met: bool

    def as_json(self) -> Mapping[str, Any]:
        """Return the target as the proof file holds it."""
        return asdict(self)


class Figures:
    """The rows by measure and contender."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {(row.measure, row.contender): row for row in rows}

    def p50(self, measure: str, contender: str = BRIDGE) -> float | None:
        """Return a median, None where it was not measured."""
        row = self._rows.get((measure, contender))
        return row.p50 if row else None

    def p99(self, measure: str, contender: str = BRIDGE) -> float | None:
        """Return a 99th percentile, None where it was not measured."""
        row = self._rows.get((measure, contender))
        return row.p99 if row else None

    def rate(self, measure: str, contender: str = BRIDGE) -> float | None:
        """Return a rate, None where it was not measured."""
        row = self._rows.get((measure, contender))
        return row.rate if row else None

    def row(self, measure: str, contender: str = BRIDGE) -> Row | None:
        """Return a row, None where it was not measured."""
        return self._rows.get((measure, contender))


def at_most(name: str, goal: str, value: float | None, limit: float | None, unit: str) -> list[Target]:
    """Judge a figure that must not exceed a limit; nothing where one of the two was not measured."""
    if value is None or limit is None:
        return []
    return [Target(name, goal, f"{value:.2f} {unit} (limit {limit:.2f})", value <= limit)]


def at_least(name: str, goal: str, value: float | None, limit: float | None, unit: str) -> list[Target]:
    """Judge a figure that must reach a limit; nothing where one of the two was not measured."""
    if value is None or limit is None:
        return []
    return [Target(name, goal, f"{value:.0f} {unit} (limit {limit:.0f})", value >= limit)]


def not_measured(part: str) -> Target:
    """Return what stands for the targets of a part that failed."""
    return Target(part, "is measured", "failed; see what it printed", met=False)


def times(factor: float, value: float | None) -> float | None:
    """Multiply a figure that may not have been measured."""
    return None if value is None else factor * value


def judge(rows: Sequence[Row]) -> list[Target]:
    """Hold the rows against every target."""
    of = Figures(rows)
    ours, ours_p99 = of.p50("wake-up"), of.p99("wake-up")
    one = "throughput, 1 process"
    both = "throughput, 1 process, exchange simulator and listener on the same cores"
    targets = [
        *at_most(
            "wake-up against pgqueuer", "p50 below pgqueuer's", ours, of.p50("wake-up", "pgqueuer"), "ms"
        ),
        *at_most(
            "wake-up against procrastinate",
            "p50 below procrastinate's",
            ours,
            of.p50("wake-up", "procrastinate"),
            "ms",
        ),
        *at_most(
            "wake-up against the floor",
            "p50 at most 1.2 x a script with the same durable writes",
            ours,
            times(1.2, of.p50("wake-up", "floor")),
            "ms",
        ),
        *at_most(
            "wake-up against the bare script",
            "p50 at most 1.6 x a script without durable writes",
            ours,
            times(1.6, of.p50("wake-up", "bare script")),
            "ms",
        ),
        *at_most(
            "wake-up, worst in a hundred",
            "p99 at most 2 x the floor's",
            ours_p99,
            times(2, of.p99("wake-up", "floor")),
            "ms",
        ),
        *at_least(
            "throughput against pgqueuer",
            "at least 3 x pgqueuer with httpx",
            of.rate(one),
            times(3, of.rate(one, "pgqueuer")),
            "orders/s",
        ),
        *at_least(
            "throughput, everything on two cores",
            "at least 1,000 orders/s with the exchange simulator, the listener and the database",
            of.rate(both),
            1000,
            "orders/s",
        ),
        *at_most(
            "listener killed",
            "next order's wake-up at most 100 ms",
            of.p50("listener backend killed"),
            100,
            "ms",
        ),
        *at_most(
            "Postgres away for 3 s",
            "first order at most 1.5 s after its return",
            of.p50("Postgres away for 3 s"),
            1500,
            "ms",
        ),
        *at_most(
            "lost wake-ups",
            "none of 1,500 pairs waits for the sweep",
            of.rate("waited for the sweep, 1,500 pairs"),
            0,
            "orders",
        ),
        *at_most(
            "out of order",
            "no commit out of order waits for the sweep",
            of.rate("waited for the sweep, commits out of order"),
            0,
            "orders",
        ),
        *at_most(
            "pinned snapshot",
            "wake-up at most 1.5 x with 200,000 dead rows",
            of.p50("wake-up, 200,000 dead rows under a pinned snapshot"),
            times(1.5, of.p50("wake-up before the dead rows")),
            "ms",
        ),
        *at_most(
            "event to position",
            "p50 at most 2 ms",
            of.p50("event to position"),
            2,
            "ms",
        ),
        *at_least("fills", "at least 3,000 fills/s", of.rate("fills from the stream"), 3000, "fills/s"),
    ]
    return targets + _limits(of) + _flat(of) + _memory(of)


def _limits(of: Figures) -> list[Target]:
    return [
        *at_least(
            "order limit of an account",
            "at least 95 % used in every window",
            of.p50("order limit used, worst account and window"),
            95,
            "%",
        ),
        *at_most(
            "requests refused as too many",
            "not one",
            of.rate("requests refused as too many"),
            0,
            "requests",
        ),
        *at_most(
            "order beside another account's 10,000",
            "reaches the exchange at most 100 ms after its commit",
            of.p50("wake-up beside another account's 10,000 pending orders"),
            100,
            "ms",
        ),
    ]


def _flat(of: Figures) -> list[Target]:
    targets = []
    for measure, kind in (("wake-up", "p50"), ("throughput", "rate")):
        small = of.row(f"{measure}, 1,000 old orders")
        large = of.row(f"{measure}, 1,000,000 old orders")
        if small is None or large is None:
            continue
        before = small.p50 if kind == "p50" else small.rate
        after = large.p50 if kind == "p50" else large.rate
        assert before is not None
        assert after is not None
        worse = after / before - 1 if kind == "p50" else before / after - 1
        spread = max(small.spread or 0, large.spread or 0) / before
        targets.append(
            Target(
                f"{measure} with a million old orders",
                "within 10 % of that with a thousand, or the run's own spread",
                f"{100 * worse:+.0f} % (spread of the repetitions {100 * spread:.0f} %)",
                worse <= max(0.1, spread),
            )
        )
    return targets


def _memory(of: Figures) -> list[Target]:
    return [
        target
        for service in ("order_executor", "fill_listener")
        for target in at_most(
            f"memory of {service}",
            "at most 150 MB at 1,000 accounts",
            of.p50("resident memory, 1,000 accounts", service),
            150,
            "MB",
        )
    ]
