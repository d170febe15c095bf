"""`make alerts`: every alert fires on its condition, clears after it, and has its section in the runbook.

Each alert has a promtool test of its own in `tests/`, which says at some moment that the alert fires and at a
later one that it does not. Prints a table and writes build/proof/alerts.json.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
RUNBOOK = Path("docs/runbook.md")
PROOF = Path("build/proof/alerts.json")
PARTS = ("What it means", "Look at", "Do", "It is over when")
_STEP = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def alerts() -> list[dict[str, Any]]:
    """Read the alerts in the order of the file."""
    groups = yaml.safe_load((HERE / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def runbook_section(name: str, text: str) -> str | None:
    """Return the text under an alert's heading, None when there is no such heading."""
    found = re.search(rf"^### {name}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else None


def has_runbook(rule: dict[str, Any], text: str) -> bool:
    """Whether the alert links to a section that has all four parts."""
    name = str(rule["alert"])
    section = runbook_section(name, text)
    linked = rule["annotations"].get("runbook") == f"{RUNBOOK}#{name.lower()}"
    return linked and section is not None and all(f"**{part}.**" in section for part in PARTS)


def seconds(duration: str) -> int:
    """Read a Prometheus duration of hours, minutes and seconds."""
    hours, minutes, rest = (int(part or 0) for part in _STEP.fullmatch(duration).groups())  # type: ignore[union-attr]
    return hours * 3600 + minutes * 60 + rest


def expectations(name: str) -> tuple[bool, bool]:
    """Whether the alert's test expects that it fires, and that it is silent again later in the same run."""
    fires = clears = False
    for test in yaml.safe_load((HERE / "tests" / f"{name}.yaml").read_text())["tests"]:
        moments = sorted(
            (seconds(check["eval_time"]), bool(check["exp_alerts"]))
            for check in test["alert_rule_test"]
            if check["alertname"] == name
        )
        first = next((at for at, firing in moments if firing), None)
        if first is not None:
            fires = True
            clears = clears or any(at > first and not firing for at, firing in moments)
    return fires, clears


def judged(rule: dict[str, Any], promtool: str, runbook: str) -> dict[str, Any]:
    """Run one alert's test and say what is shown by it."""
    name = str(rule["alert"])
    fires, clears = expectations(name)
    run = subprocess.run(  # noqa: S603 - the tool we were told, on a file of ours
        [promtool, "test", "rules", str(HERE / "tests" / f"{name}.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    passed = run.returncode == 0
    if not passed:
        sys.stderr.write(run.stdout + run.stderr)
    return {
        "name": name,
        "fires": fires and passed,
        "clears": clears and passed,
        "runbook": has_runbook(rule, runbook),
        "severity": rule["labels"]["severity"],
    }


def main() -> int:
    """Judge every alert; returns the exit code."""
    promtool = shutil.which("promtool")
    if promtool is None:
        sys.stderr.write("promtool is not on the path; install Prometheus, or run .ci/prometheus on Debian\n")
        return 2
    runbook = RUNBOOK.read_text()
    rows = [judged(rule, promtool, runbook) for rule in alerts()]
    sys.stdout.write(f"{'alert':<26} {'severity':<9} fires  clears  runbook\n")
    for row in rows:
        marks = ["yes" if row[key] else "NO" for key in ("fires", "clears", "runbook")]
        sys.stdout.write(f"{row['name']:<26} {row['severity']:<9} {marks[0]:<6} {marks[1]:<7} {marks[2]}\n")
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps({"alerts": rows}, indent=1) + "\n")
    return 0 if rows and all(row["fires"] and row["clears"] and row["runbook"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
