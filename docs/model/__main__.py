"""Runs the model: every configuration must hold every claim, every mutation must break one.

python -m docs.model                      the table, and build/proof/model.json
python -m docs.model --trace "random ids" one mutation's shortest counterexample, state by state
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from docs.model.catalogue import CONFIGURATIONS, MUTATIONS, PROTOCOL, Mutation
from docs.model.explore import Outcome, explore, printed
from docs.model.rules import Setting


@dataclass(frozen=True, slots=True)
class Run:
    """One exploration, as the table and the JSON show it."""

    name: str
    states: int
    moves: int
    depth: int
    claim: str | None
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return 0 when every claim of ours is true."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.model", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument(
        "--json", type=Path, default=Path("build/proof/model.json"), help="where the numbers go"
    )
    parser.add_argument("--trace", metavar="MUTATION", help="print that mutation's counterexample and stop")
    options = parser.parse_args(arguments)
    if options.trace:
        return _show(options.trace)
    say(f"{'configuration':42} {'states':>9} {'moves':>9} {'depth':>5} {'seconds':>7}  violated")
    kept = [_configuration(setting) for setting in CONFIGURATIONS]
    say(f"\n{'rule dropped':42} {'states':>9} {'moves':>9} {'depth':>5} {'seconds':>7}  violated")
    dropped = [_mutation(mutation) for mutation in MUTATIONS]
    violations = sum(run.claim is not None for run in kept)
    silent = [run.name for run in dropped if run.claim is None]
    states = sum(run.states for run in kept)
    say(
        f"\n{states} states of the protocol as it is, {violations} violations; "
        f"{len(dropped) - len(silent)} of {len(dropped)} mutations break a claim; "
        f"{sum(run.seconds for run in kept + dropped):.0f} s"
    )
    result = {
        "states": states,
        "violations": violations,
        "mutations": [
            {"name": run.name, "violated": run.claim is not None, **_numbers(run)} for run in dropped
        ],
        "configurations": [{"name": run.name, **_numbers(run)} for run in kept],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 1 if violations or silent else 0


def say(text: str) -> None:
    """Write one line at once: a run takes a minute, and people watch."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _numbers(run: Run) -> dict[str, object]:
    numbers = asdict(run)
    del numbers["name"]
    return numbers


def _configuration(setting: Setting) -> Run:
    run, outcome = _timed(setting.name, lambda: explore(PROTOCOL, setting))
    if outcome.violation:
        say(printed(outcome.trace))
    return run


def _mutation(mutation: Mutation) -> Run:
    run, outcome = _timed(mutation.name, lambda: _explored(mutation))
    for number, line in enumerate(outcome.trace, 1):
        say(f"      {number:2}. {line.label}")
    return run


def _explored(mutation: Mutation) -> Outcome:
    return explore(mutation.rules, mutation.setting, judged=mutation.shows)


def _timed(name: str, explored: Callable[[], Outcome]) -> tuple[Run, Outcome]:
    began = time.process_time()
    outcome = explored()
    seconds = round(time.process_time() - began, 2)
    run = Run(name, outcome.states, outcome.moves, outcome.depth, outcome.violation, seconds)
    say(f"{name:42} {run.states:9} {run.moves:9} {run.depth:5} {seconds:7.1f}  {run.claim or '-'}")
    return run, outcome


def _show(name: str) -> int:
    found = [mutation for mutation in MUTATIONS if mutation.name == name]
    if not found:
        say("No such mutation. There are: " + "; ".join(mutation.name for mutation in MUTATIONS))
        return 2
    outcome = _explored(found[0])
    say(
        f"{name} (PROTOCOL {found[0].section}): {outcome.violation or 'breaks no claim'}\n{printed(outcome.trace)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
