"""Runs cells, many at a time, in worlds of their scales; prints a table and writes it down for machines."""

from __future__ import annotations

import json
import queue
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.crash.catalogue import MUTATIONS, runs
from tests.crash.cells import cells
from tests.crash.cluster import Cluster
from tests.crash.failover import FailoverCell, failover_cells, run_failover
from tests.crash.judge import GOOD, Verdict
from tests.crash.run_cell import run
from tests.crash.scale import FAILOVER, RATE_LIMIT_SCALE, REAL, SCALED, SLOW, SLOW_FAILOVER
from tests.crash.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.crash.cells import Cell
    from tests.crash.destination import Destination
    from tests.crash.run_cell import Ran
    from tests.crash.scale import Scale

PROOF = Path("build/proof/crash_matrix.json")
LOGS = Path("build/crash_matrix.log")
LEAST_CELLS = 300

# A cell waits most of its time; two cores keep up with this many without stretching anybody's waits.
CELLS_AT_ONCE = 10
CLUSTERS_AT_ONCE = 2

AT_REAL_TIMES = (
    "accepts and fills; kill at send.before",
    "futures: answer lost, filled; kill at settle.before",
    "accepts and rests; kill at claim.committed; bot cancels",
    "accepts and rests; freeze at send.before",
    "algo: answer lost, filled; kill at send.written",
    "request swallowed; kill at settle.before",
    "last moment and lag; kill at send.written",
    "-2013 lag; freeze at resolve.asked",
    "5xx without accepting; freeze at settle.committed",
    "queries fail, order there; kill at send.answered",
)

_Todo = list[tuple["Cell", str | None]]
_FailoverTodo = list[tuple[FailoverCell, str | None]]


@dataclass(slots=True)
class Results:
    """What has been run so far; shown as it comes in."""

    loudly: bool
    ran: list[tuple[str, Ran]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, kind: str, ran: Ran) -> None:
        """Take a result in, and say so when it is not what it should be."""
        self.ran.append((kind, ran))
        if ran.mutation is None and ran.judged.verdict not in GOOD:
            why = ran.judged.why.split("\n", 1)[0]
            print(f"  {ran.judged.verdict}: {ran.name} ({kind}): {why}", flush=True)
        if self.loudly and len(self.ran) % 50 == 0:
            print(f"  {len(self.ran)} cells after {time.monotonic() - self.started:.0f} s", flush=True)

    def plain(self) -> list[tuple[str, Ran]]:
        """Return the cells that ran with every rule in place."""
        return [(kind, ran) for kind, ran in self.ran if ran.mutation is None]

    def red(self) -> list[dict[str, Any]]:
        """Count, for each mutation, the cells that noticed it; one whose steps did not happen has not."""
        return [
            {
                "name": mutation.name,
                "cells": len(mutation.cells),
                "cells_red": sum(
                    ran.mutation == mutation.name and ran.played and ran.judged.verdict not in GOOD
                    for _, ran in self.ran
                ),
            }
            for mutation in MUTATIONS
        ]


def run_scaled(scale: Scale, todo: _Todo, at_once: int, add: Callable[[Ran], None]) -> None:
    """Run cells in one world."""
    with World(scale) as world, ThreadPoolExecutor(at_once) as pool:
        for future in as_completed([pool.submit(run, world, cell, mutation) for cell, mutation in todo]):
            add(future.result())


def run_failovers(scale: Scale, todo: _FailoverTodo, clusters: int, add: Callable[[Ran], None]) -> None:
    """Run failover cells, each cluster going from one failover to the next."""
    waiting: queue.SimpleQueue[tuple[FailoverCell, str | None]] = queue.SimpleQueue()
    for item in todo:
        waiting.put(item)

    def work(world: World) -> None:
        with Cluster() as cluster:
            while True:
                try:
                    cell, mutation = waiting.get_nowait()
                except queue.Empty:
                    return
                add(run_failover(world, cluster, cell, mutation))

    with World(scale) as world, ThreadPoolExecutor(clusters) as pool:
        for future in [pool.submit(work, world) for _ in range(clusters)]:
            future.result()


def sample(count: int, seed: int) -> list[Cell]:
    """Pick cells by a seed, as many of each behaviour, on either market, as of the next."""
    chooser = random.Random(seed)
    by_behaviour: dict[tuple[Destination, str], list[Cell]] = {}
    for cell in cells():
        by_behaviour.setdefault((cell.goes, cell.behaviour.name), []).append(cell)
    names = list(by_behaviour)
    chooser.shuffle(names)
    return [chooser.choice(by_behaviour[names[n % len(names)]]) for n in range(count)]


def whole() -> int:
    """Run everything; returns the exit code."""
    results = Results(loudly=True)
    by_name = {cell.name: cell for cell in cells()}
    plain: _Todo = [(cell, None) for cell in cells()]
    failing: _FailoverTodo = [(cell, None) for cell in failover_cells()]
    slowly: _Todo = []
    failing_slowly: _FailoverTodo = []
    for mutation, cell in runs():
        if isinstance(cell, FailoverCell):
            todo = failing_slowly if mutation.slowly else failing
            todo += [(cell, None), (cell, mutation.name)] if mutation.slowly else [(cell, mutation.name)]
        elif mutation.slowly:
            slowly += [(cell, None), (cell, mutation.name)]
        else:
            plain.append((cell, mutation.name))
    random.Random(1).shuffle(plain)  # so that the slow ones do not all come together
    for scale in (SCALED, SLOW, FAILOVER, SLOW_FAILOVER, REAL):
        print(f"{scale.name} times: {scale}, request-weight limits x {RATE_LIMIT_SCALE}")
    todo_count = len(plain) + len(failing) + len(slowly) + len(failing_slowly)
    print(f"{todo_count} cells, mutations included, and {len(AT_REAL_TIMES)} of them at real times")
    with ThreadPoolExecutor(5) as pool:
        futures = [
            pool.submit(
                run_scaled,
                REAL,
                [(by_name[name], None) for name in AT_REAL_TIMES],
                len(AT_REAL_TIMES),
                lambda ran: results.add("real", ran),
            ),
            pool.submit(
                run_failovers, FAILOVER, failing, CLUSTERS_AT_ONCE, lambda ran: results.add("failover", ran)
            ),
            pool.submit(
                run_failovers, SLOW_FAILOVER, failing_slowly, 1, lambda ran: results.add("slow failover", ran)
            ),
            pool.submit(run_scaled, SCALED, plain, CELLS_AT_ONCE, lambda ran: results.add("scaled", ran)),
            pool.submit(run_scaled, SLOW, slowly, 2, lambda ran: results.add("slow", ran)),
        ]
        for future in futures:
            future.result()
    return report(results)


def report(results: Results) -> int:
    """Print the table, write the proof, and say by the exit code whether every claim is true."""
    plain = results.plain()
    verdicts = Counter(ran.judged.verdict for _, ran in plain)
    red = results.red()
    proof = {
        "cells": len(plain),
        **{str(verdict): verdicts[verdict] for verdict in Verdict},
        "mutations": red,
        "by_scale": Counter(kind for kind, _ in plain),
        "seconds": round(time.monotonic() - results.started),
        "scale": str(SCALED),
        "not_good": [
            {
                "cell": ran.name,
                "scale": kind,
                "verdict": ran.judged.verdict,
                "why": ran.judged.why.split("\n")[0],
            }
            for kind, ran in plain
            if ran.judged.verdict not in GOOD
        ],
    }
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps(proof, indent=1))
    LOGS.write_text(
        "\n".join(
            f"=== {kind}: {ran.name} {ran.mutation or ''}\n{ran.judged.why}\n{ran.log}"
            for kind, ran in results.ran
            if ran.log
        )
    )
    print(f"\n{'cells':>8}{''.join(f'{verdict!s:>9}' for verdict in Verdict)}")
    for kind in ("scaled", "slow", "failover", "slow failover", "real"):
        of_kind = Counter(ran.judged.verdict for k, ran in plain if k == kind)
        print(f"{of_kind.total():>8}{''.join(f'{of_kind[verdict]:>9}' for verdict in Verdict)}  {kind}")
    print(f"{len(plain):>8}{''.join(f'{verdicts[verdict]:>9}' for verdict in Verdict)}  all\n")
    print(f"{'mutation':<40}{'cells':>6}{'red':>5}")
    for line in red:
        print(f"{line['name']:<40}{line['cells']:>6}{line['cells_red']:>5}")
    return int(not _is_true(plain, red))


def _is_true(plain: Sequence[tuple[str, Ran]], red: Sequence[dict[str, Any]]) -> bool:
    enough = len(plain) >= LEAST_CELLS
    return (
        enough
        and all(ran.judged.verdict in GOOD for _, ran in plain)
        and all(line["cells_red"] for line in red)
    )


if __name__ == "__main__":
    sys.exit(whole())
