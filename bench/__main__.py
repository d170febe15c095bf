"""`make bench`: measure, print, and leave JSON, a page and a chart behind. 1 = a target is missed."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report, throughput, wakeup
from bench.contenders.roster import enter
from bench.targets import judge
from bench.world import World, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.contenders.roster import Contender
    from bench.figures import Row

PROOF = Path("build/proof/bench.json")
PAGE = Path("docs/benchmark-figures.md")
CHART = Path("docs/benchmark.svg")
COMPARED = ("bridge", "floor", "bare script", "pgqueuer", "procrastinate")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        repetitions: of every comparison, in turns.
        samples: orders per repetition of a latency.
        orders: per repetition of a throughput.

    """

    repetitions: int
    samples: int
    orders: int


WHOLE = Extent(repetitions=3, samples=300, orders=3000)
QUICK = Extent(repetitions=1, samples=60, orders=500)


class Bench:
    """One run: every part adds rows."""

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self.rows: list[Row] = []
        self._contenders: dict[str, Contender] = {}

    def contenders(self, world: World, names: Sequence[str] = COMPARED) -> list[Contender]:
        """Return contenders, each entered once."""
        for name in names:
            if name not in self._contenders:
                self._contenders[name] = enter(world, name)
        return [self._contenders[name] for name in names]

    def wakeup(self, world: World) -> list[Row]:
        """Compare wake-ups."""
        (polling,) = self.contenders(world, ["polling every 5 s"])
        return wakeup.measure(
            world,
            self.contenders(world),
            repetitions=self.extent.repetitions,
            count=self.extent.samples,
            polling=polling,
        )

    def throughput(self, world: World) -> list[Row]:
        """Compare throughputs."""
        return throughput.measure(
            world,
            self.contenders(world),
            repetitions=self.extent.repetitions,
            count=self.extent.orders,
            processes=(1, 2),
        )

    def parts(self) -> dict[str, Callable[[World], list[Row]]]:
        """Return the parts by name, in the order in which they run."""
        return {"wakeup": self.wakeup, "throughput": self.throughput}


def main() -> int:
    """Run the parts asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few samples: shows that it runs, not how fast")
    parser.add_argument("--only", default="", help="parts, comma-separated")
    parser.add_argument(
        "--keep", action="store_true", help="renew the page and the chart under docs/ as well"
    )
    chosen = parser.parse_args()
    bench = Bench(QUICK if chosen.quick else WHOLE)
    parts = bench.parts()
    wanted = [name for name in chosen.only.split(",") if name] or list(parts)
    machine = fingerprint()
    with World() as world:
        for name in wanted:
            started = time.monotonic()
            bench.rows += parts[name](world)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    targets = judge(bench.rows)
    print(report.table(bench.rows), report.verdicts(targets), sep="\n\n")
    report.write_json(PROOF, bench.rows, targets, machine)
    report.draw(PROOF.with_suffix(".svg"), bench.rows)
    if chosen.keep:
        report.write_page(PAGE, bench.rows, targets, machine)
        report.draw(CHART, bench.rows)
    print(f"\n{PROOF}, {PROOF.with_suffix('.svg')}")
    return 0 if all(target.met for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
