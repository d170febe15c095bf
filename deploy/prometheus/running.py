"""A Prometheus process of one's own, for proofs: it scrapes given ports of this machine."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ALERTS = Path(__file__).parent / "alerts.yaml"
STARTS_WITHIN_S = 30.0
_LISTENING = re.compile(r"[Ll]istening on.*address=127\.0\.0\.1:(\d+)")


class PrometheusError(RuntimeError):
    """Prometheus is missing, did not start, or refused a query; the message says which."""


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server.

    Args:
        url: where it answers.

    """

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """Call the API and return its `data`.

        Raises:
            PrometheusError: the query is wrong.

        """
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:  # noqa: S310
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise PrometheusError(f"{parameters.get('query')}: {error.read().decode()}") from error

    def values(self, query: str, begin: float, end: float) -> list[float]:
        """Return every value a query has between two moments, second by second, without the NaNs."""
        found = self.ask("query_range", query=query, start=f"{begin:.0f}", end=f"{end:.0f}", step="1")
        points = [float(value) for series in found["result"] for _, value in series["values"]]
        return [point for point in points if not math.isnan(point)]


@contextmanager
def prometheus(
    folder: Path, targets: Mapping[str, Sequence[int]], *, every: str = "1s"
) -> Iterator[Prometheus]:
    """Run Prometheus with our alert rules while the block runs.

    Args:
        folder: for its configuration, data and log.
        targets: ports of this machine by job.
        every: interval of scrapes and rules.

    Raises:
        PrometheusError: it is not on the path, or did not start.

    """
    program = shutil.which("prometheus")
    if program is None:
        raise PrometheusError("prometheus is not on the path; install it, or run .ci/prometheus on Debian")
    jobs = [
        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
        for job, ports in targets.items()
    ]
    configuration = {
        "global": {"scrape_interval": every, "evaluation_interval": every},
        "rule_files": [str(ALERTS.resolve())],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - the program we were told
            [
                program,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Prometheus(f"http://127.0.0.1:{_port(process, log)}")
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until it says where it listens and is ready."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        said = _LISTENING.search(log.read_text(errors="replace"))
        if said and _is_ready(int(said[1])):
            return int(said[1])
        time.sleep(0.05)
    raise PrometheusError(f"Prometheus did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
            return True
    except OSError:
        return False
