"""docs/threat-model.md and docs/runbook.md name tests; they have to exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(\w+\.py)::(\w+)`", PAGE + RUNBOOK)))
PINNED = sorted((ROOT / "requirements").glob("*.txt"))


def named_in(file: str) -> set[str]:
    """Return the names of the tests in the files of that name."""
    return {
        node.name
        for path in (ROOT / "tests").rglob(file)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    """By its file and its function."""
    assert test in named_in(file)


def test_every_threat_names_a_test() -> None:
    """No line of the four tables is without one."""
    threats = PAGE[PAGE.index("## Orders nobody wanted") : PAGE.index("## Not defended against")]
    lines = [line for line in threats.splitlines() if line.startswith("| ") and "| threat |" not in line]
    assert len(lines) > 20
    assert [line for line in lines if "`test_" not in line.split("|")[3]] == []


def test_every_page_of_the_runbook_names_a_test() -> None:
    """What an operator does on purpose was done by a test before."""
    pages = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
    assert len(pages) > 6
    assert [page.splitlines()[0] for page in pages if "Shown by `test_" not in page] == ["Alerts"]


@pytest.mark.parametrize("pinned", PINNED, ids=lambda path: path.name)
def test_every_pinned_package_has_its_hash(pinned: Path) -> None:
    """A version without a hash could be any file; nothing names where it is fetched from."""
    text = pinned.read_text(encoding="utf-8").replace("\\\n", " ")
    packages = [line for line in text.splitlines() if line[:1].isalnum()]
    assert packages
    assert [line for line in packages if "==" not in line or "--hash=sha256:" not in line] == []
    assert "://" not in text
    assert "--index-url" not in text
