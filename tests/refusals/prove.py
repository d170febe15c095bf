"""`make refusals`: guard x code x sentence x verdict x metric x test, printed from the code (DESIGN 9).

A test counts for a code only if its text names the code, it passed, and product code said the code while it
ran.
Writes build/proof/refusals.json; exit code 1 when a code lacks its sentence, its metric or its test.
"""

from __future__ import annotations

import ast
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shared.domain import verdicts
from shared.domain.verdicts import REFUSALS, Code
from shared.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
PROOF = ROOT / "build" / "proof" / "refusals.json"
IN_PROCESS = ("unit", "integration")
"""Folders whose tests run the product in their own process, where what it says can be heard."""


@dataclass(frozen=True, slots=True)
class Line:
    """What there is about one code; an empty text is something missing."""

    guard: str
    code: str
    sentence: str
    verdict: str
    metric: str
    test: str

    @property
    def missing(self) -> list[str]:
        """What a code must have and this one has not."""
        return [name for name in ("sentence", "verdict", "metric", "test") if not getattr(self, name)]


@dataclass(slots=True)
class Listener:
    """A pytest plugin: hears which codes product code says during which test that passes."""

    said: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    _now: str = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Note which test runs, and hear what is said meanwhile."""
        self._now, build = item.nodeid, verdicts._sentence

        def heard(code: Code, values: Mapping[str, object]) -> str:
            # Two frames up, behind `wait`, `hold` or `reject`: who says it. A test that does proves nothing.
            if not Path(sys._getframe(2).f_code.co_filename).is_relative_to(TESTS):
                self.said[self._now].add(str(code))
            return build(code, values)

        verdicts._sentence = heard
        try:
            return (yield)
        finally:
            verdicts._sentence = build

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what passed and what did not."""
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.passed.add(report.nodeid)


def named_codes(text: str) -> dict[str, set[str]]:
    """Return which codes each test function of a module names, itself or by the constants it uses."""
    module = ast.parse(text)
    constants: dict[str, ast.AST] = {}
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                constants[name] = node
    return {
        node.name: _named(node, constants, frozenset())
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def _named(node: ast.AST, constants: Mapping[str, ast.AST], seen: frozenset[str]) -> set[str]:
    found: set[str] = set()
    for part in ast.walk(node):
        match part:
            case ast.Attribute(value=ast.Name(id="Code"), attr=name) if name in Code.__members__:
                found.add(str(Code[name]))
            case ast.Name(id=name) if name in constants and name not in seen:
                found |= _named(constants[name], constants, seen | {name})
    return found


def naming_tests() -> dict[str, set[str]]:
    """Return the codes named by each test function that could count, by `path::function`."""
    found = {}
    for folder in IN_PROCESS:
        for path in sorted((TESTS / folder).rglob("test_*.py")):
            for name, codes in named_codes(path.read_text()).items():
                if codes:
                    found[f"{path.relative_to(ROOT)}::{name}"] = codes
    return found


def lines(tests: Mapping[str, str]) -> list[Line]:
    """Return the whole table.

    Args:
        tests: by code, the test that shows it.

    """
    counters = {
        sample.name: sample.labels
        for family in _empty_metrics().collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    table = []
    for code in Code:
        refusal = REFUSALS.get(code)
        metric = refusal.metric if refusal is not None else ""
        if "reason" not in counters.get(metric.split("{")[0], {}):
            metric = ""
        table.append(
            Line(
                guard=refusal.guard if refusal else "",
                code=str(code),
                sentence=refusal.template if refusal else "",
                verdict=str(refusal.kind) if refusal else "",
                metric=metric,
                test=tests.get(str(code), ""),
            )
        )
    return table


def _empty_metrics() -> Any:
    metrics = Metrics("order_executor")
    for count in (metrics.orders_waiting, metrics.orders_held, metrics.orders_failed):
        count("spot", "any")  # a counter is shown once it has a series
    return metrics.registry


def chosen_tests(named: Mapping[str, set[str]], heard: Listener) -> dict[str, str]:
    """Return by code the first passed test that names it and during which product code said it."""
    chosen: dict[str, str] = {}
    for test in sorted(heard.passed - heard.failed, key=lambda test: ("/unit/" not in test, test)):
        for code in heard.said.get(test, set()) & named.get(test.split("[")[0], set()):
            chosen.setdefault(code, test)
    return chosen


def main() -> int:
    """Run the tests that name codes and print the table."""
    named, heard = naming_tests(), Listener()
    pytest.main(["-q", "--no-header", "-n0", "-p", "no:cacheprovider", *sorted(named)], plugins=[heard])
    table = lines(chosen_tests(named, heard))
    _print(table)
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    rows = [{name: getattr(line, name) for name in Line.__slots__} for line in table]
    PROOF.write_text(json.dumps({"refusals": rows}, indent=1) + "\n")
    incomplete = [line for line in table if line.missing]
    for line in incomplete:
        print(f"MISSING: {line.code} has no {', no '.join(line.missing)}")
    for test in sorted(heard.failed):
        print(f"FAILED: {test}")
    print(f"{len(table)} refusals, {len(table) - len(incomplete)} of them whole; {PROOF.relative_to(ROOT)}")
    return 1 if incomplete or heard.failed else 0


def _print(table: Sequence[Line]) -> None:
    for verdict in dict.fromkeys(line.verdict for line in table):
        print(f"\n== {verdict or 'not in the table of refusals'} ==")
        for line in sorted((line for line in table if line.verdict == verdict), key=lambda line: line.guard):
            print(f"{line.guard:17} {line.code}")
            print(f"{'':17} {line.sentence}\n{'':17} {line.metric}\n{'':17} {line.test or '-'}")
    print()


if __name__ == "__main__":
    sys.exit(main())
