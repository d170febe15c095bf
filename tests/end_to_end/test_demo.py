"""`bridge demo` shows the main job at work, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from services.command_line.demo import fund

if TYPE_CHECKING:
    from services.command_line.local_testnet import LocalTestnet

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "services.command_line", "demo"]


def start(cwd: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start the demo in a folder of its own, with a folder of its own for temporary files."""
    temporary = cwd / "tmp"
    temporary.mkdir()
    temporary.chmod(0o755)  # PostgreSQL may run under another account there
    cwd.chmod(0o755)
    return subprocess.Popen(
        [*DEMO, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_behind(folder: Path) -> list[str]:
    """Name the processes that still work in a folder, and what is left in it."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and str(os.getpid()) != process.name:
            processes.append(command)
    return processes + [str(path) for path in folder.iterdir()]


def test_demo_ends_with_everything_as_it_should_be() -> None:
    """Orders of both markets end as they have to, refusals with reasons; code 0; nothing left behind."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        cwd = Path(folder)
        demo = start(cwd)
        said, _ = demo.communicate(timeout=110)
        assert demo.returncode == 0, said
        report = json.loads((cwd / "build" / "proof" / "demo.json").read_text())
        assert left_behind(cwd / "tmp") == []
    assert report["ok"] is True
    statuses = [order["status"] for order in report["orders"]]
    assert (statuses.count("filled"), statuses.count("open"), statuses.count("rejected")) == (9, 1, 3)
    assert all(order["reason"] for order in report["orders"] if order["status"] == "rejected")
    assert all(order["position_ms"] > order["wakeup_ms"] > 0 for order in report["orders"][:4])
    ends = sorted((one["market"], one["side"], one["status"]) for one in report["positions"])
    assert ends == [
        ("futures", "long", "closed"),
        ("futures", "long", "liquidated"),
        ("futures", "long", "open"),
        ("futures", "short", "open"),
        *[("spot", "long", "open")] * 4,
    ]
    stop = report["orders"][-1]
    assert (stop["market"], stop["type"], stop["status"]) == ("futures", "stop_market", "filled")
    assert "Everything is as it should be." in said


def test_interrupted_demo_leaves_nothing_behind() -> None:
    """Ctrl-C while it stays up: every process ends, every folder is gone."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        cwd = Path(folder)
        demo = start(cwd, "--keep")
        assert demo.stdout is not None
        for line in demo.stdout:
            if "psql" in line:
                break
        assert left_behind(cwd / "tmp") != []
        os.kill(demo.pid, signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
        assert demo.returncode == 130, said
        # The database's guard ends within a second of its folder.
        deadline = time.monotonic() + 10
        while left_behind(cwd / "tmp") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left_behind(cwd / "tmp") == []


def test_demo_on_the_testnet_takes_the_users_key_from_the_environment(bare_local: LocalTestnet) -> None:
    """`--testnet` goes where the variables say, with the user's key; the local exchange stands in."""
    account = fund("tester")
    bare_local.admin("POST", "/accounts", account)
    host = f"127.0.0.1:{bare_local.exchange_port}"
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        demo = start(
            Path(folder),
            "--testnet",
            BINANCE_TESTNET_KEY=account["api_key"],
            BINANCE_TESTNET_SECRET=account["secret"],
            BRIDGE_SPOT_TESTNET_REST_URL=f"http://{host}",
            BRIDGE_SPOT_TESTNET_WS_API_URL=f"ws://{host}/ws-api/v3",
            BRIDGE_SPOT_TESTNET_STREAM_URL=f"ws://{host}",
        )
        said, _ = demo.communicate(timeout=110)
        assert demo.returncode == 0, said
        assert account["secret"] not in said
    ledger = bare_local.admin("GET", "/ledger?account=tester")["orders"]
    assert len(ledger) == 5


def test_demo_without_a_testnet_key_says_where_to_get_one() -> None:
    """A missing variable is a sentence, not a traceback."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        demo = start(Path(folder), "--testnet", BINANCE_TESTNET_KEY="")
        said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "BINANCE_TESTNET_SECRET is not set" in said
    assert "Traceback" not in said
