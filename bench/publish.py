"""`python -m bench.publish [JSON]`: put the table, the targets and the chart of a run under docs/.

The text of `docs/benchmark.md` is written by hand; what stands between its two marks, and the charts, come
from the proof file and from nowhere else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench import report
from bench.figures import Row
from bench.targets import Target

PAGE = Path("docs/benchmark.md")
CHARTS = (Path("docs/benchmark.svg"), Path("docs/benchmark.png"))
BEGIN, END = "<!-- figures: begin, written by python -m bench.publish -->", "<!-- figures: end -->"


def publish(proof: Path, page: Path = PAGE, charts: tuple[Path, ...] = CHARTS) -> None:
    """Renew the page's figures and the charts.

    Args:
        proof: what `make bench` left.
        page: has both marks.
        charts: SVG and PNG.

    Raises:
        ValueError: the page has lost its marks.

    """
    document = json.loads(proof.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in document["rows"]]
    targets = [Target(**target) for target in document["targets"]]
    text = page.read_text(encoding="utf-8")
    before, begins, rest = text.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends:
        raise ValueError(f"{page} has no place for the figures: {BEGIN} ... {END}")
    figures = report.page(rows, targets, document["machine"])
    page.write_text(f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}", encoding="utf-8")
    for chart in charts:
        report.draw(chart, rows)


if __name__ == "__main__":
    publish(Path(sys.argv[1] if len(sys.argv) > 1 else "build/proof/bench.json"))
