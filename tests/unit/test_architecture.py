"""docs/architecture.md says where each section of the protocol lives; the code has to agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from shared.domain.states import mermaid

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROW = re.compile(r"^\| (\d+) [^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)


def listed() -> list[tuple[int, Path]]:
    """Read (section, module) from the page's table."""
    found = []
    for section, *columns in ROW.findall(PAGE):
        for column, folder in zip(columns, ("shared", "shared", "services/order_executor"), strict=True):
            for name in re.findall(r"`([^`]+)`", column):
                base = ROOT if name.startswith("sql/") else ROOT / folder
                found.append((int(section), base / name))
    return found


def test_the_table_is_read() -> None:
    """All twelve sections are in it."""
    assert {section for section, _ in listed()} == set(range(1, 13))


@pytest.mark.parametrize(
    ("section", "module"), listed(), ids=lambda value: getattr(value, "name", str(value))
)
def test_module_opens_with_its_section(section: int, module: Path) -> None:
    """A module listed under a section exists and names the section where its text opens."""
    text = module.read_text()
    opening = (ast.get_docstring(ast.parse(text)) or "") if module.suffix == ".py" else text[:200]
    words = opening.split("\n\n")[0]
    assert "PROTOCOL" in words, f"{module} does not open with its section"
    assert str(section) in re.findall(r"\d+", words), f"{module} opens with other sections than {section}"


def test_the_diagram_is_the_table_of_states() -> None:
    """The state diagram is printed from the code."""
    assert f"```mermaid\n{mermaid()}```" in PAGE
