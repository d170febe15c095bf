"""One Postgres, one lean exchange, a database per contender with the same accounts, and processes in it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql

from services.command_line.stand_in_bot import Bot, order_row
from shared.database import embedded
from shared.database.migrate import lay_bot_stand_in, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType
    from uuid import UUID

    from shared.database.embedded import EmbeddedServer

ACCOUNTS = 64
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT", "DOGE/USDT")
STARTS_WITHIN_S = 120.0
TEMPLATE = "bench_template"

# Durability as in production; the rest is what an operator would give a database of this size.
SERVER_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "track_commit_timestamp": "on",
}


class BenchError(RuntimeError):
    """Something did not start or did not do its work; the message holds the end of its log."""


@dataclass(slots=True)
class Running:
    """A process of a contender."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise when it ended by itself."""
        if self.popen.poll() is not None:
            raise BenchError(f"{self.name} ended with {self.popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it: by request, then by force."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(5)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()

    def resident_mb(self) -> float:
        """Resident memory now."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise BenchError(f"{self.name} has no memory; it ended")

    def cpu_s(self) -> float:
        """Processor time it has used so far."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class World:
    """Everything that runs during a benchmark; leaving the `with` block ends and removes it.

    Args:
        accounts: how many accounts, each of a user of its own.
        parent: where the database's folder goes; by default the system's temporary folder, on a disk.

    """

    accounts: int = ACCOUNTS
    parent: Path | None = None
    folder: Path = field(init=False)
    server: EmbeddedServer = field(init=False)
    url: str = field(init=False)
    encryption_key: str = field(init=False)
    keys: dict[str, tuple[str, str]] = field(init=False, default_factory=dict)
    traders: list[tuple[UUID, UUID]] = field(init=False, default_factory=list)
    exchange: Running = field(init=False)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _orders: int = field(init=False, default=0)

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-bench-")))
            self.server = embedded.create(fsync=True, settings=SERVER_SETTINGS, parent=self.parent)
            self._stack.callback(self.server.remove)
            self.encryption_key = base64.b64encode(secrets.token_bytes(32)).decode()
            self._make_template()
            self._start_exchange()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _make_template(self) -> None:
        """Lay the bot's tables once, with users and accounts; every contender gets a copy."""
        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {TEMPLATE}".encode())
        lay_bot_stand_in(self.server.dsn(TEMPLATE))
        with Bot(self.server.dsn(TEMPLATE), self.encryption_key) as bot:
            for number in range(self.accounts):
                api_key = f"bench-key-{number}-{secrets.token_hex(16)}"
                secret = f"bench-secret-{secrets.token_hex(24)}"
                user = bot.user()
                account = bot.account(user, api_key=api_key, secret=secret)
                self.traders.append((user, account))
                self.keys[str(account)] = (api_key, secret)
        (self.folder / "keys.json").write_text(json.dumps(self.keys))

    def _start_exchange(self) -> None:
        secrets_file = self.folder / "secrets.json"
        secrets_file.write_text(json.dumps(dict(self.keys.values())))
        port_file = self.folder / "exchange.port"
        self.exchange = self.start(
            "exchange", "bench.lean_exchange", f"--accounts={secrets_file}", f"--port-file={port_file}"
        )
        wait_for(port_file.exists, "the lean exchange", [self.exchange])
        self.url = f"http://127.0.0.1:{json.loads(port_file.read_text())['port']}"

    def database(self, name: str, *, bridged: bool) -> str:
        """Make a database with the bot's tables and accounts, and return its DSN.

        Args:
            name: of the database.
            bridged: with schema `bridge` and its trigger.

        """
        with psycopg.connect(self.server.dsn(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        dsn = self.server.dsn(name)
        if bridged:
            migrate(dsn)
        return dsn

    def start(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> Running:
        """Start a Python module as a process of its own; it ends with this world."""
        log = self.folder / f"{name}-{secrets.token_hex(3)}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", module, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        running = Running(name, popen, log)
        self._stack.callback(running.stop)
        return running

    def new_rows(self, count: int, *, accounts: int | None = None) -> list[dict[str, Any]]:
        """Make pending market orders: accounts and symbols take turns, no two amounts are equal."""
        rows = []
        for _ in range(count):
            self._orders += 1
            user, account = self.traders[self._orders % (accounts or self.accounts)]
            symbol = SYMBOLS[self._orders // (accounts or self.accounts) % len(SYMBOLS)]
            amount = Decimal(20) + Decimal(self._orders % 50_000) / 10_000
            rows.append(order_row(user, account, symbol=symbol, amount=amount, agent_id="bench"))
        return rows

    def arrivals(self) -> dict[str, int]:
        """Return when each order since the last call was received, by client id, in monotonic ns."""
        with urllib.request.urlopen(f"{self.url}/bench/arrivals", timeout=10) as answer:  # noqa: S310 - ours
            return {str(client): int(ns) for client, ns in json.loads(answer.read()).items()}

    def bridge_environment(self, dsn: str, url: str = "") -> dict[str, str]:
        """Return the variables that point the bridge's services at a database here and an exchange.

        Args:
            dsn: of the database.
            url: of the exchange; by default the lean one.

        """
        url = url or self.url
        host = url.removeprefix("http://")
        return {
            "BRIDGE_DATABASE_URL": dsn,
            "ENCRYPTION_KEY": self.encryption_key,
            "BRIDGE_METRICS_PORT": "0",
            "BRIDGE_LOG_LEVEL": "warning",
            "BRIDGE_SPOT_TESTNET_REST_URL": url,
            "BRIDGE_SPOT_TESTNET_WS_API_URL": f"ws://{host}/ws-api/v3",
            "BRIDGE_SPOT_TESTNET_STREAM_URL": f"ws://{host}",
            # One user of the benchmark places more in a minute than one of the bot does in a week.
            "BRIDGE_MAX_ORDERS_PER_MINUTE": "1000000",
            "BRIDGE_MAX_POSITION_USD": "1000000000",
            "BRIDGE_MAX_EXPOSURE_USD": "1000000000",
        }


def client_ids(row_id: UUID) -> tuple[str, str]:
    """Return the client order ids under which a row may arrive: the bridge's, the other contenders'."""
    return f"b{row_id.hex}-1", str(row_id)


def wait_for(
    condition: Any, what: str, processes: Sequence[Running], within_s: float = STARTS_WITHIN_S
) -> None:
    """Wait until something holds.

    Raises:
        BenchError: it did not in time, or one of the processes ended.

    """
    deadline = time.monotonic() + within_s
    while not condition():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            logs = "\n".join(f"--- {p.name}\n{p.tail()}" for p in processes)
            raise BenchError(f"not within {within_s:.0f} s: {what}\n{logs}")
        time.sleep(0.01)


def trigger(name: str) -> bytes:
    """Return the trigger of a contender from `contenders/triggers.sql`."""
    text = (Path(__file__).parent / "contenders" / "triggers.sql").read_text(encoding="utf-8")
    parts = dict(part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return parts[name].encode()


def fingerprint() -> dict[str, str]:
    """Describe the machine and what was measured."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")),
        "?",
    )
    memory = next((line.split()[1] for line in _read("/proc/meminfo") if line.startswith("MemTotal")), "0")
    tree = hashlib.sha256()
    for path in sorted(Path("services").rglob("*.py")) + sorted(Path("shared").rglob("*.[ps][yq]*")):
        tree.update(path.read_bytes())
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory_gb": f"{int(memory) / 1024**2:.0f}",
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "source": tree.hexdigest()[:12],
    }


def _read(path: str) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        yield from Path(path).read_text().splitlines()
