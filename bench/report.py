"""What a run leaves behind: a table for people, JSON for machines, a chart for the documentation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.figures import Row
    from bench.targets import Target

OURS, THEIRS = "#1f6f4a", "#9aa5b1"


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out for a terminal or a Markdown page."""
    lines = [
        "| measure | contender | p50 | p95 | p99 | rate | unit | runs | spread |",
        "|---|---|--:|--:|--:|--:|---|--:|--:|",
    ]
    for row in rows:
        figures = (_shown(value) for value in (row.p50, row.p95, row.p99, row.rate))
        note = f" ({row.note})" if row.note else ""
        lines.append(
            f"| {row.measure} | {row.contender}{note} | "
            + " | ".join(figures)
            + f" | {row.unit} | {row.runs} | {_shown(row.spread)} |"
        )
    return "\n".join(lines)


def verdicts(targets: Sequence[Target]) -> str:
    """Lay the targets out, each beside its measured figure."""
    lines = ["| target | goal | measured | met |", "|---|---|---|---|"]
    lines += [f"| {t.name} | {t.goal} | {t.measured} | {'yes' if t.met else 'NO'} |" for t in targets]
    return "\n".join(lines)


def write_json(
    path: Path, rows: Sequence[Row], targets: Sequence[Target], machine: Mapping[str, str]
) -> None:
    """Write the proof file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "rows": [row.as_json() for row in rows],
        "targets": [target.as_json() for target in targets],
        "machine": dict(machine),
    }
    path.write_text(json.dumps(document, indent=1))


def page(rows: Sequence[Row], targets: Sequence[Target], machine: Mapping[str, str]) -> str:
    """Lay everything out as a part of the documentation."""
    described = ", ".join(f"{name} {value}" for name, value in machine.items())
    met = sum(target.met for target in targets)
    return (
        f"Machine: {described}.\n\n{met} of {len(targets)} targets met.\n\n"
        f"{verdicts(targets)}\n\n{table(rows)}"
    )


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Draw wake-up latency and throughput by contender.

    Args:
        path: ends in .svg or .png.
        rows: all of them; what is not drawn is left out.

    """
    from matplotlib.figure import Figure  # slow to import, and only needed here

    wakeups = [row for row in rows if row.measure == "wake-up" and "polling" not in row.contender]
    throughput = [row for row in rows if row.measure.startswith("throughput, 1 process")]
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, chosen, title in (
        (left, wakeups, "commit of the INSERT → request at the exchange, ms (bar p50, line to p99)"),
        (right, throughput, "orders per second, acknowledged and settled"),
    ):
        if not chosen:
            continue
        ordered = sorted(chosen, key=lambda row: row.p50 if row.p50 is not None else -(row.rate or 0))[::-1]
        names = [
            row.contender if row.measure.count(",") < 2 else f"{row.contender}, all on" for row in ordered
        ]
        values = [row.p50 if row.p50 is not None else row.rate or 0 for row in ordered]
        colours = [OURS if row.contender == "bridge" else THEIRS for row in ordered]
        bars = axes.barh(names, values, color=colours)
        if axes is left:
            tails = [max(0.0, (row.p99 or 0) - (row.p50 or 0)) for row in ordered]
            axes.errorbar(
                values, names, xerr=[[0] * len(tails), tails], fmt="none", ecolor="#444", capsize=3, lw=1
            )
        axes.bar_label(bars, labels=[_shown(value) for value in values], padding=4, fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
