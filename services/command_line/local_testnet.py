"""Everything a local run needs, as real processes: PostgreSQL, the local exchange, executors, listeners.

The demo and the end-to-end tests start it. Leaving the `with` block, by return, error or Ctrl-C, ends every
process and removes the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from shared.database import embedded
from shared.database.migrate import lay_bot_stand_in, migrate
from shared.settings import ExchangeSettings, load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

STARTS_WITHIN_S = 90.0
ENDS_WITHIN_S = 20.0


class LocalTestnetError(RuntimeError):
    """A part of the local testnet did not start or ended by itself; the message holds the end of its log."""


@dataclass(slots=True)
class Process:
    """One process we started, with its log and the ports it wrote down."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    port_file: Path

    def ports(self) -> dict[str, int]:
        """Wait for the port file and read it.

        Raises:
            LocalTestnetError: the process ended or wrote nothing in time.

        """
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self.port_file.exists():
            self.check()
            if time.monotonic() > deadline:
                raise LocalTestnetError(f"{self.name} wrote no port file in time:\n{self.tail()}")
            time.sleep(0.02)
        text = self.port_file.read_text()
        ports = json.loads(text)
        return ports if isinstance(ports, dict) else {"metrics": int(ports)}

    def check(self) -> None:
        """Raise when the process has ended by itself."""
        if self.popen.poll() is not None:
            raise LocalTestnetError(f"{self.name} ended with code {self.popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """Ask it to drain and end; kill it when it does not."""
        if self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.popen.send_signal(signal.SIGCONT)
                self.popen.terminate()
            try:
                self.popen.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        self.popen.kill()
        self.popen.wait()


@dataclass(slots=True)
class LocalTestnet:
    """A folder, a database and the processes around it.

    Args:
        accounts: for the local exchange: name, api_key, secret, balances.
        database_url: an empty database instead of the embedded one.
        environment: further variables of the services.
        seed: of the exchange's price path.
        exchange_options: further options of the local exchange.
        with_exchange: False = the services go to where their variables say, by default Binance's testnet.
        fsync: off only where nobody pulls a plug.

    """

    accounts: Sequence[Mapping[str, Any]]
    encryption_key: str
    database_url: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    seed: int = 7
    with_exchange: bool = True
    exchange_options: Sequence[str] = ()
    fsync: bool = True
    folder: Path = field(init=False)
    server: embedded.EmbeddedServer | None = field(init=False, default=None)
    processes: list[Process] = field(init=False, default_factory=list)
    exchange: Process = field(init=False)
    exchange_port: int = field(init=False, default=0)
    futures_port: int = field(init=False, default=0)
    admin_port: int = field(init=False, default=0)
    _started: int = field(init=False, default=0)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-local-")))
            if self.database_url is None:
                self.server = self._stack.enter_context(
                    embedded.serving(fsync=self.fsync, settings={"track_commit_timestamp": "on"})
                )
                self.database_url = self.server.dsn()
            self._stack.callback(self._stop_all)
            self._prepare_database(self.database_url)
            if self.with_exchange:
                self.start_exchange()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @staticmethod
    def _prepare_database(dsn: str) -> None:
        lay_bot_stand_in(dsn)
        migrate(dsn)

    def start_exchange(self) -> Process:
        """Start the local exchange; it keeps its ports when started again."""
        accounts = self.folder / "accounts.json"
        accounts.write_text(json.dumps(list(self.accounts)))
        port_file = self.folder / "exchange.ports.json"
        port_file.unlink(missing_ok=True)
        self.exchange = self._start(
            "exchange",
            port_file,
            "services.local_exchange",
            f"--port={self.exchange_port}",
            f"--futures-port={self.futures_port}",
            f"--admin-port={self.admin_port}",
            f"--seed={self.seed}",
            f"--accounts={accounts}",
            f"--port-file={port_file}",
            *self.exchange_options,
        )
        ports = self.exchange.ports()
        self.exchange_port, self.futures_port = ports["port"], ports["futures_port"]
        self.admin_port = ports["admin_port"]
        return self.exchange

    def start_service(self, module: str, **variables: str) -> Process:
        """Start `services.order_executor` or `services.fill_listener` and wait until it is ready."""
        process = self.start_process(module, **variables)
        self.wait_ready(process)
        return process

    def start_process(self, module: str, **variables: str) -> Process:
        """Start a service and wait for nothing; the variables win over the testnet's own."""
        self._started += 1
        name = f"{module.rpartition('.')[2]}-{self._started}"
        port_file = self.folder / f"{name}.port"
        environment = self.service_environment() | {"BRIDGE_METRICS_PORT_FILE": str(port_file)} | variables
        return self._start(name, port_file, module, **environment)

    def service_environment(self) -> dict[str, str]:
        """Return the variables that point a service at this testnet."""
        assert self.database_url is not None
        host, futures = f"127.0.0.1:{self.exchange_port}", f"127.0.0.1:{self.futures_port}"
        exchange = {
            "BRIDGE_SPOT_TESTNET_REST_URL": f"http://{host}",
            "BRIDGE_SPOT_TESTNET_WS_API_URL": f"ws://{host}/ws-api/v3",
            "BRIDGE_SPOT_TESTNET_STREAM_URL": f"ws://{host}",
            "BRIDGE_FUTURES_TESTNET_REST_URL": f"http://{futures}",
            "BRIDGE_FUTURES_TESTNET_WS_API_URL": f"ws://{futures}/ws-fapi/v1",
            "BRIDGE_FUTURES_TESTNET_STREAM_URL": f"ws://{futures}",
        }
        return {
            "BRIDGE_DATABASE_URL": self.database_url,
            "ENCRYPTION_KEY": self.encryption_key,
            "BRIDGE_METRICS_PORT": "0",
            **(exchange if self.with_exchange else {}),
            **self.environment,
        }

    def wait_ready(self, process: Process) -> None:
        """Wait until `/readyz` answers 200.

        Raises:
            LocalTestnetError: it ended, or was not ready in time.

        """
        (port,) = process.ports().values()
        deadline = time.monotonic() + STARTS_WITHIN_S
        said = ""
        while time.monotonic() < deadline:
            process.check()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                    return
            except urllib.error.HTTPError as error:
                said = error.read().decode(errors="replace")
            except OSError as error:
                said = str(error)
            time.sleep(0.02)
        raise LocalTestnetError(f"{process.name} was not ready in time: {said}\n{process.tail()}")

    def _start(self, name: str, port_file: Path, module: str, *arguments: str, **variables: str) -> Process:
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            # In a session of its own: Ctrl-C reaches us only, and we stop the parts in order.
            popen = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", module, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        process = Process(name, popen, log, port_file)
        self.processes.append(process)
        return process

    def _stop_all(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the local exchange's admin API and return its JSON."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin_port}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def futures_price(self, symbol: str, factor: Decimal = Decimal(1)) -> Decimal:
        """Return the last price of a contract times a factor, on a tick that every contract has."""
        path = f"/fapi/v2/ticker/price?symbol={symbol.replace('/', '')}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.futures_port}{path}", timeout=10) as answer:
            price = Decimal(json.loads(answer.read())["price"]) * factor
        return price.quantize(Decimal("0.01" if price > 1 else "0.0001"))

    def exchange_get(self, path: str) -> Any:
        """Read one of the exchange's public endpoints."""
        local = f"http://127.0.0.1:{self.exchange_port}"
        rest = local if self.with_exchange else load(ExchangeSettings).spot_testnet_rest
        with urllib.request.urlopen(rest + path, timeout=10) as answer:  # noqa: S310 - ours or Binance's
            return json.loads(answer.read())
