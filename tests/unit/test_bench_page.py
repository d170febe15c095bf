"""The figures in the documentation come from a run's proof file, and a target is judged by its own figure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from bench.figures import Row, latencies, rates
from bench.publish import BEGIN, END, PAGE, publish
from bench.targets import judge, not_measured

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    latencies("wake-up", "bridge", [[1.0, 1.0, 3.0], [1.2, 1.2, 3.0], [1.1, 1.1, 3.0]]),
    latencies("wake-up", "floor", [[1.0, 1.0, 1.0]]),
    latencies("wake-up", "pgqueuer", [[0.9, 0.9, 0.9]]),
    rates("throughput, 1 process", "bridge", [1500.0], "orders/s"),
    rates("throughput, 1 process", "pgqueuer", [500.0], "orders/s"),
    Row("requests refused as too many", "bridge", rate=1.0, unit="requests"),
]


def test_targets_are_ratios_within_the_run() -> None:
    """1.1 ms is within 1.2 x the floor's 1.0 but not below pgqueuer's 0.9; one refusal is one too many."""
    met = {target.name: target.met for target in judge(ROWS)}
    assert met == {
        "wake-up against pgqueuer": False,
        "wake-up against the floor": True,
        "wake-up, worst in a hundred": False,
        "throughput against pgqueuer": True,
        "requests refused as too many": False,
    }


def test_a_part_that_failed_is_a_target_not_met() -> None:
    """What was not measured does not pass by its absence."""
    assert not not_measured("growth").met


def test_publishing_renews_what_stands_between_the_marks(tmp_path: Path) -> None:
    """The text around the figures stays; publishing twice changes nothing more."""
    proof, page = tmp_path / "bench.json", tmp_path / "page.md"
    targets = judge(ROWS)
    document = {
        "rows": [row.as_json() for row in ROWS],
        "targets": [target.as_json() for target in targets],
        "machine": {"cpu": "a good one", "cores": "2"},
    }
    proof.write_text(json.dumps(document))
    page.write_text(f"before\n{BEGIN}\nold figures\n{END}\nafter\n")
    publish(proof, page, charts=())
    once = page.read_text()
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old figures" not in once
    assert "cpu a good one" in once
    assert "2 of 5 targets met" in once
    assert "| wake-up | floor | 1.00 |" in once
    publish(proof, page, charts=())
    assert page.read_text() == once


def test_the_page_has_a_place_for_the_figures(tmp_path: Path) -> None:
    """The committed page keeps its marks; a page without them is not overwritten."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    proof, page = tmp_path / "bench.json", tmp_path / "page.md"
    proof.write_text('{"rows": [], "targets": [], "machine": {}}')
    page.write_text("by hand")
    with pytest.raises(ValueError, match="no place for the figures"):
        publish(proof, page, charts=())
    assert page.read_text() == "by hand"
