"""`make conformance`: other people's clients, unmodified, against the local exchange.

Runs in an environment of its own that has the clients; the exchange runs in the project's.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.record import Exchange, Operation

CLIENTS = (
    "spot_sdk",
    "ccxt_spot",
    "python_binance_spot",
    "futures_sdk",
    "ccxt_futures",
    "python_binance_futures",
)
KEY = "local-exchange-alice-key-not-a-secret"
SECRET = "local-exchange-alice-secret-not-a-secret"
PATIENCE_S = 20


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    exchange_python: str
    out: Path
    clients: tuple[str, ...]


def options() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--exchange-python", default=sys.executable, help="Python that has the project")
    parser.add_argument("--out", type=Path, default=Path("build/proof/conformance.json"))
    parser.add_argument("clients", nargs="*", help=f"of {', '.join(CLIENTS)}; all by default")
    chosen = parser.parse_args()
    return Options(chosen.exchange_python, chosen.out, tuple(chosen.clients) or CLIENTS)


def run_client(python: str, name: str) -> list[dict[str, Any]]:
    """Give one client an exchange of its own and return what it did."""
    with tempfile.TemporaryDirectory() as folder:
        ports = Path(folder) / "ports.json"
        process = subprocess.Popen(
            [python, "-m", "services.local_exchange", "--port-file", str(ports), "--volatility", "20"],
            stdout=subprocess.DEVNULL,
        )
        try:
            exchange = _wait_for(ports)
            module = importlib.import_module(f"tests.conformance.{name}")
            rows: list[dict[str, Any]] = asyncio.run(module.run(exchange)).rows()
        finally:
            process.terminate()
            process.wait()
    return rows


def _wait_for(ports: Path) -> Exchange:
    deadline = time.monotonic() + PATIENCE_S
    while not ports.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("The local exchange did not start; try python -m services.local_exchange.")
        time.sleep(0.05)
    urls = json.loads(ports.read_text(encoding="utf-8"))
    named = {name: url for name, url in urls.items() if name.endswith("_url")}
    return Exchange(**named, api_key=KEY, secret=SECRET)


def main() -> int:
    """Run all clients, print a table, write the proof; 1 when anything failed."""
    logging.disable(logging.CRITICAL)  # the clients log what we print
    chosen = options()
    rows: list[dict[str, Any]] = []
    for name in chosen.clients:
        rows += run_client(chosen.exchange_python, name)
    for operation in (Operation(**row) for row in rows):
        mark = "ok  " if operation.ok else "FAIL"
        print(f"{mark} {operation.client} {operation.version}: {operation.operation} {operation.note}")
    failed = [row for row in rows if not row["ok"]]
    print(f"{len(rows)} operations, {len(failed)} failed")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"operations": rows}, indent=2) + "\n", encoding="utf-8")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
