"""What a measurement brings: rows of the table, as `docs/DESIGN.md` section 9 names them."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        measure: what was measured.
        contender: who.
        p50: median, in `unit`.
        p95: 95th percentile.
        p99: 99th percentile.
        rate: per second, where a rate was measured.
        unit: of the percentiles.
        runs: how many repetitions it is the median of.
        spread: largest minus smallest of the repetitions' own figures (the median, or the rate).
        note: what a reader has to know.

    """

    measure: str
    contender: str
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    rate: float | None = None
    unit: str = "ms"
    runs: int = 1
    spread: float | None = None
    note: str = ""

    def as_json(self) -> Mapping[str, Any]:
        """Return the row as the proof file holds it."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def latencies(measure: str, contender: str, runs: Sequence[Sequence[float]], note: str = "") -> Row:
    """Make a row of repetitions of a latency: each percentile is the median of the repetitions' own."""
    medians = [percentile(run, 0.5) for run in runs]
    return Row(
        measure,
        contender,
        p50=statistics.median(medians),
        p95=statistics.median(percentile(run, 0.95) for run in runs),
        p99=statistics.median(percentile(run, 0.99) for run in runs),
        runs=len(runs),
        spread=max(medians) - min(medians),
        note=note,
    )


def rates(measure: str, contender: str, runs: Sequence[float], unit: str, note: str = "") -> Row:
    """Make a row of repetitions of a rate."""
    return Row(
        measure,
        contender,
        rate=statistics.median(runs),
        unit=unit,
        runs=len(runs),
        spread=max(runs) - min(runs),
        note=note,
    )
