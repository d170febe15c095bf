"""`make bench`: measure, print, and leave JSON, a page and a chart behind. 1 = a target is missed."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from bench import fills, growth, inserts, limits, report, throughput, wakeup
from bench.contenders.roster import BRIDGE, enter
from bench.publish import publish
from bench.recovery import Recovery
from bench.targets import judge, not_measured
from bench.world import BenchError, World, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.contenders.roster import Contender
    from bench.figures import Row

PROOF = Path("build/proof/bench.json")
COMPARED = ("bridge", "floor", "bare script", "pgqueuer", "procrastinate")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        repetitions: of every comparison, in turns.
        samples: orders per repetition of a latency.
        orders: per repetition of a throughput.
        old: orders that are over, in the databases whose age is compared.
        wear: orders carried to see what they leave behind.
        dead: rows that died under a pinned snapshot.
        pairs: of INSERTs shortly after one another.
        kills: of the listening backend.
        outages: of Postgres.
        accounts: how many listen, in the runs that measure fills and memory.
        burst: fills at once.
        windows: of ten seconds, in which the order limit is used up.

    """

    repetitions: int
    samples: int
    orders: int
    old: tuple[int, ...]
    wear: int
    dead: int
    pairs: int
    kills: int
    outages: int
    accounts: tuple[int, ...]
    burst: int
    windows: int


WHOLE = Extent(
    repetitions=3,
    samples=150,
    orders=3000,
    old=(1000, 100_000, 1_000_000),
    wear=100_000,
    dead=200_000,
    pairs=1500,
    kills=20,
    outages=3,
    accounts=(1, 100, 1000),
    burst=3000,
    windows=2,
)
QUICK = Extent(
    repetitions=1,
    samples=40,
    orders=500,
    old=(1000, 20_000),
    wear=2000,
    dead=20_000,
    pairs=50,
    kills=3,
    outages=1,
    accounts=(1, 100),
    burst=500,
    windows=1,
)
WEAR_AT_ONCE = 10_000
# A slow machine measures less, not longer: a part begins only when it is likely to end in time.
WITHIN_S = 15 * 60
TAKES_S = {"growth": 200, "wear": 100}


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

    def everything(self, world: World) -> list[Row]:
        """Measure with exchange simulator and listener on the same cores."""
        return fills.everything_on(world, repetitions=self.extent.repetitions, count=self.extent.orders)

    def fills(self, world: World) -> list[Row]:
        """Measure the way back, and memory."""
        return fills.measure(
            world,
            accounts=self.extent.accounts,
            repetitions=self.extent.repetitions,
            latency_orders=self.extent.samples // 4,
            burst=self.extent.burst,
        )

    def recovery(self, world: World) -> list[Row]:
        """Measure what comes after a fault."""
        recovery = Recovery(world, enter(world, BRIDGE, "recovery"))
        return recovery.measure(
            kills=self.extent.kills,
            outages=self.extent.outages,
            pairs=self.extent.pairs,
            samples=self.extent.samples // 2,
            dead=self.extent.dead,
        )

    def inserts(self, world: World) -> list[Row]:
        """Measure what the trigger costs the bot."""
        return inserts.measure(
            world, connections=(1, 16), repetitions=self.extent.repetitions, seconds=self.extent.orders / 2000
        )

    def growth(self, world: World) -> list[Row]:
        """Measure databases of different age."""
        return growth.measure(
            world,
            old=self.extent.old,
            repetitions=self.extent.repetitions,
            samples=self.extent.samples // 2,
            count=self.extent.orders // 2,
        )

    def wear(self, world: World) -> list[Row]:
        """Carry many orders."""
        return growth.wear(world, count=self.extent.wear, at_once=min(WEAR_AT_ONCE, self.extent.wear))

    def limits(self, world: World) -> list[Row]:
        """Use up the exchange's real limits."""
        return limits.measure(world, accounts=4, windows=self.extent.windows, processes=2, backlog=10_000)

    def parts(self) -> dict[str, Callable[[World], list[Row]]]:
        """Return the parts by name, in the order in which they run."""
        return {
            "wakeup": self.wakeup,
            "throughput": self.throughput,
            "everything": self.everything,
            "fills": self.fills,
            "recovery": self.recovery,
            "limits": self.limits,
            "inserts": self.inserts,
            "growth": self.growth,
            "wear": self.wear,
        }


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
    signal.signal(signal.SIGTERM, _end)
    missing: list[str] = []
    begun = time.monotonic()
    with World() as world:
        for name in wanted:
            started = time.monotonic()
            if started + TAKES_S.get(name, 60) > begun + WITHIN_S:
                missing.append(name)
                print(f"{name} was not begun: too little time is left", file=sys.stderr)
                continue
            try:
                bench.rows += parts[name](world)
            except (BenchError, psycopg.Error, OSError) as error:
                # What the other parts measure is still worth having; the exit code says that this one failed.
                missing.append(name)
                print(f"{name} was not measured: {error}", file=sys.stderr)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    targets = [*judge(bench.rows), *(not_measured(name) for name in missing)]
    print(report.table(bench.rows), report.verdicts(targets), sep="\n\n")
    report.write_json(PROOF, bench.rows, targets, machine)
    for suffix in (".svg", ".png"):
        report.draw(PROOF.with_suffix(suffix), bench.rows)
    if chosen.keep:
        publish(PROOF)
    print(f"\n{PROOF}, {PROOF.with_suffix('.svg')}, {PROOF.with_suffix('.png')}")
    return 0 if targets and all(target.met for target in targets) else 1


def _end(_signal: int, _frame: object) -> None:
    """Leave the `with` blocks, so that no process and no database stays behind."""
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
