"""Runs the model: in every configuration every claim must hold, and every mutation must break one.

python -m docs.model                        tables, counterexamples, and build/proof/model.json
python -m docs.model --trace "random ids"   one mutation's shortest counterexample, state by state
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.model import claims
from docs.model.catalogue import CONFIGURATIONS, MUTATIONS, PROTOCOL, Mutation
from docs.model.explore import Outcome, explore, printed
from docs.model.rules import Rules, Setting


@dataclass(frozen=True, slots=True)
class Run:
    """One exploration."""

    name: str
    outcome: Outcome
    seconds: float
    """Of processor time."""
    judged: frozenset[str]

    @property
    def claim(self) -> str | None:
        """The claim it broke, of those it was to be judged by."""
        return self.outcome.violation if self.outcome.violation in self.judged else None

    def numbers(self) -> dict[str, object]:
        """Return what the JSON holds of it."""
        outcome = self.outcome
        return {
            "claim": self.claim,
            "states": outcome.states,
            "moves": outcome.moves,
            "depth": outcome.depth,
            "seconds": self.seconds,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for.

    Returns:
        0 when the protocol holds and every mutation breaks a claim, 1 if not, 2 for an unknown mutation.

    """
    parser = argparse.ArgumentParser(prog="python -m docs.model")
    parser.add_argument(
        "--json", type=Path, default=Path("build/proof/model.json"), help="where the proof goes"
    )
    parser.add_argument("--trace", metavar="MUTATION", help="print that mutation's counterexample and stop")
    options = parser.parse_args(arguments)
    if options.trace:
        return _show(options.trace)
    _heading("protocol as it is")
    kept = [_run(setting.name, PROTOCOL, setting, claims.EVERY_CLAIM) for setting in CONFIGURATIONS]
    _heading("without the rule")
    dropped = [_run_mutation(mutation) for mutation in MUTATIONS]
    _say_counterexamples([run for run in kept if run.claim], [run for run in dropped if run.claim])
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(_proof(kept, dropped), indent=2) + "\n")
    return _verdict(kept, dropped)


def _heading(title: str) -> None:
    _say(f"\n{title:44} {'states':>8} {'moves':>8} {'depth':>5} {'cpu s':>6}  broken claim")


def _run(name: str, rules: Rules, setting: Setting, judged: frozenset[str]) -> Run:
    began = time.process_time()
    outcome = explore(rules, setting, judged=judged)
    run = Run(name, outcome, round(time.process_time() - began, 2), judged)
    numbers = f"{outcome.states:8} {outcome.moves:8} {outcome.depth:5} {run.seconds:6.1f}"
    _say(f"{name:44} {numbers}  {run.claim or '-'}")
    return run


def _run_mutation(mutation: Mutation) -> Run:
    return _run(mutation.name, mutation.rules, mutation.setting, mutation.shows)


def _say_counterexamples(violated: list[Run], broken: list[Run]) -> None:
    for run in violated:
        _say(f"\nThe protocol is wrong; configuration {run.name}: {run.claim}\n{printed(run.outcome.trace)}")
    for run in broken:
        _say(f"\n{run.name}: {run.claim}")
        for number, line in enumerate(run.outcome.trace, 1):
            _say(f"  {number:2}. {line.label}")


def _proof(kept: list[Run], dropped: list[Run]) -> dict[str, object]:
    return {
        "states": sum(run.outcome.states for run in kept),
        "violations": sum(run.claim is not None for run in kept),
        "mutations": [
            {
                "name": run.name,
                "violated": run.claim is not None,
                **run.numbers(),
                "trace": [line.label for line in run.outcome.trace],
            }
            for run in dropped
        ],
        "configurations": [{"name": run.name, **run.numbers()} for run in kept],
    }


def _verdict(kept: list[Run], dropped: list[Run]) -> int:
    states = sum(run.outcome.states for run in kept)
    violations = sum(run.claim is not None for run in kept)
    silent = [run.name for run in dropped if run.claim is None]
    seconds = sum(run.seconds for run in kept + dropped)
    _say(
        f"\n{states} states of the protocol as it is, {violations} violations; "
        f"{len(dropped) - len(silent)} of {len(dropped)} mutations break a claim; {seconds:.0f} s of cpu"
    )
    for name in silent:
        _say(f"Nothing breaks by {name!r}: the rule is not needed, or the model cannot see why it is.")
    return 1 if violations or silent else 0


def _show(name: str) -> int:
    found = [mutation for mutation in MUTATIONS if mutation.name == name]
    if not found:
        _say("No such mutation. There are: " + "; ".join(mutation.name for mutation in MUTATIONS))
        return 2
    mutation = found[0]
    outcome = explore(mutation.rules, mutation.setting, judged=mutation.shows)
    _say(f"{name} (PROTOCOL {mutation.section}): {outcome.violation or 'breaks no claim'}")
    _say(printed(outcome.trace))
    return 0 if outcome.violation in mutation.shows else 1


def _say(text: str) -> None:
    # At once: a run takes a minute, and people watch.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
