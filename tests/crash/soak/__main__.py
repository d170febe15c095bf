"""`make soak`: run it, print a table, write the proof."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.crash.scale import RATE_LIMIT_SCALE
from tests.crash.soak.plan import SOAK, Plan, enough
from tests.crash.soak.run import Soak

PROOF = Path("build/proof/soak.json")


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns 1 when anything was lost, doubled or wrong, or less happened than was planned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args(arguments)
    plan = Plan(orders=chosen.orders, seed=chosen.seed)
    print(f"{SOAK.name} times: {SOAK}, request-weight limits x {RATE_LIMIT_SCALE}", flush=True)
    result = Soak(plan).run()
    told = asdict(result)
    for name, value in told.items():
        if name not in ("complaints", "ends"):
            print(f"{name.replace('_', ' '):<20} {value:>8}")
    print("rows ended " + ", ".join(f"{status} {count}" for status, count in sorted(result.ends.items())))
    for sentence in result.complaints[:30]:
        print("  " + sentence)
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps(told, indent=1))
    return 0 if result.clean and enough(plan, result) else 1


if __name__ == "__main__":
    sys.exit(main())
