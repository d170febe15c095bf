"""Where cells run: one database, one local exchange, one warm parent; an account of its own per cell."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from services.command_line.demo import fund
from services.command_line.stand_in_bot import Bot
from shared.database import embedded
from shared.database.migrate import lay_bot_stand_in, migrate
from shared.telemetry.metrics import EXECUTOR, LISTENER
from tests.crash.destination import PLACING
from tests.crash.judge import Facts
from tests.crash.ledger import orders_of
from tests.crash.processes import ProcessError, WarmParent, until
from tests.crash.scale import RATE_LIMIT_SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from tests.crash.processes import Forked
    from tests.crash.scale import Scale

SHARED_MEMORY = Path("/dev/shm")

# The pipe on stdin ends with whoever holds it, also when he is killed; then the exchange is told to end.
ENDS_WITH_US = """exec 3<&0; "$@" </dev/null 3<&- & cat <&3 >/dev/null; kill $!; wait $!"""
SETTINGS = {"max_connections": "800", "track_commit_timestamp": "on", "shared_buffers": "256MB"}


class Exchange:
    """The local exchange as a process, and its admin API.

    Args:
        folder: for its log and its ports.
        arguments: further ones of its command line.

    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._ports = folder / "exchange.ports.json"
        self._log = folder / "exchange.log"
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                [
                    "/bin/sh",
                    "-c",
                    ENDS_WITH_US,
                    "exchange",
                    sys.executable,
                    "-m",
                    "services.local_exchange",
                    "--port=0",
                    "--admin-port=0",
                    "--volatility=0",
                    f"--rate-limit-scale={RATE_LIMIT_SCALE}",
                    f"--port-file={self._ports}",
                    *arguments,
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not until(self._ports.exists, 30):
            self.__exit__()
            raise ProcessError(f"the exchange did not start:\n{self._log.read_text()[-2000:]}")
        ports = json.loads(self._ports.read_text())
        self.port: int = ports["port"]
        self.futures_port: int = ports["futures_port"]
        self._admin_url: str = ports["admin_url"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._popen.wait(20)

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the admin API and return its JSON."""
        request = urllib.request.Request(
            f"{self._admin_url}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")


@dataclass(slots=True)
class World:
    """Everything the cells of one scale share.

    Args:
        scale: of all waits.
        arguments: further ones of the exchange's command line.

    """

    scale: Scale
    arguments: tuple[str, ...] = ()
    folder: Path = field(init=False)
    server: embedded.EmbeddedServer = field(init=False)
    exchange: Exchange = field(init=False)
    parent: WarmParent = field(init=False)
    encryption_key: str = field(
        init=False, default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode()
    )
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)

    def __enter__(self) -> Self:
        try:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-crash-")))
            self.server = new_server(SETTINGS)
            self._stack.callback(self.server.remove)
            lay_bot_stand_in(self.server.dsn())
            migrate(self.server.dsn())
            self.exchange = self._stack.enter_context(Exchange(self.folder, *self.arguments))
            self.parent = self._stack.enter_context(WarmParent(self.folder, self.scale))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environment(self, dsn: str | None = None, exchange_port: int | None = None) -> dict[str, str]:
        """Return the variables of a service here, or in another database or behind a proxy."""
        host = f"127.0.0.1:{exchange_port or self.exchange.port}"
        futures = f"127.0.0.1:{self.exchange.futures_port}"
        return {
            **self.scale.environment(),
            "BRIDGE_DATABASE_URL": dsn or self.server.dsn(),
            "ENCRYPTION_KEY": self.encryption_key,
            "BRIDGE_SPOT_TESTNET_REST_URL": f"http://{host}",
            "BRIDGE_SPOT_TESTNET_WS_API_URL": f"ws://{host}/ws-api/v3",
            "BRIDGE_SPOT_TESTNET_STREAM_URL": f"ws://{host}",
            "BRIDGE_FUTURES_TESTNET_REST_URL": f"http://{futures}",
            "BRIDGE_FUTURES_TESTNET_WS_API_URL": f"ws://{futures}/ws-fapi/v1",
            "BRIDGE_FUTURES_TESTNET_STREAM_URL": f"ws://{futures}",
            "BRIDGE_METRICS_PORT": "0",
            "BRIDGE_POOL_SIZE": "4",
            "BRIDGE_SEND_SLOTS": "8",
        }


def new_server(settings: Mapping[str, str]) -> embedded.EmbeddedServer:
    """Make a database server, in shared memory where there is room: a killed server loses nothing there."""
    parent = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    return embedded.create(fsync=False, settings=settings, parent=parent)


class Account:
    """One account of one user, on both sides, and what happened to its orders.

    Args:
        world: where.
        dsn: of the cell's own database, where it has one.
        money: USDT it has.

    """

    def __init__(self, world: World, dsn: str | None = None, money: str = "100000") -> None:
        self.world = world
        self.dsn = dsn or world.server.dsn()
        described = fund(f"cell-{secrets.token_hex(6)}")
        described["balances"]["USDT"] = money
        self.name: str = described["name"]
        world.exchange.admin("POST", "/accounts", described)
        self.bot = Bot(self.dsn, world.encryption_key)
        self.user = self.bot.user()
        self.id: UUID = self.bot.account(self.user, api_key=described["api_key"], secret=described["secret"])

    def close(self) -> None:
        """Give the connection back."""
        self.bot.connection.close()

    def reconnect(self) -> None:
        """Find the database again after a failover."""
        self.close()
        self.bot = Bot(self.dsn, self.world.encryption_key)

    def know_the_epoch(self) -> None:
        """See to it that the history has its first record, as it has once any executor has run."""
        if not self._rows("SELECT 1 FROM bridge.epoch"):
            executor = self.executor()
            if not until(lambda: bool(self._rows("SELECT 1 FROM bridge.epoch")), 30):
                raise ProcessError(f"no executor recorded the epoch:\n{executor.tail()}")
            executor.stop()

    def fault(self, rule: Mapping[str, Any]) -> None:
        """Add a rule about this account's requests at the exchange."""
        self.world.exchange.admin("POST", "/faults", {**rule, "account": self.name})

    def executor(
        self, failpoints: str = "", *, mutation: str | None = None, exchange_port: int | None = None
    ) -> Forked:
        """Start an executor that serves this account only."""
        environment = self.world.environment(self.dsn, exchange_port) | {
            "BRIDGE_ONLY_ACCOUNTS": str(self.id),
            "BRIDGE_FAILPOINTS": failpoints,
        }
        return self.world.parent.start(EXECUTOR, environment, self.name, mutation=mutation)

    def listener(self) -> Forked:
        """Start a listener that follows this account only."""
        environment = self.world.environment(self.dsn) | {"BRIDGE_ONLY_ACCOUNTS": str(self.id)}
        return self.world.parent.start(LISTENER, environment, f"{self.name}-listener")

    def awaits_fills(self, order: UUID) -> bool:
        """Whether the exchange reported more as executed than we have fills of."""
        return bool(
            self._rows("SELECT 1 FROM bridge.attempt WHERE order_id = %s AND executed > filled", order)
        )

    def entry(self, order: UUID) -> dict[str, Any]:
        """Read our line about an order; empty when nothing has taken it in."""
        found = self._rows("SELECT * FROM bridge.outbox WHERE order_id = %s", order)
        return found[0] if found else {}

    def cancel(self, order: UUID) -> datetime | None:
        """Cancel as the bot does, unless the row is over; returns the database's time of it."""
        done = self.bot.connection.execute(
            "UPDATE orders SET status = 'canceled', updated_at = now() WHERE id = %s"
            " AND status IN ('pending', 'open', 'partial') RETURNING clock_timestamp() AS at",
            [order],
        ).fetchone()
        return done["at"] if done else None

    def facts(self, order: UUID, canceled_at: datetime | None) -> Facts:
        """Collect both sides of one order."""
        # Nothing is on its way any more.
        if not until(lambda: all(request["answered_ns"] for request in self._posts()), 90):
            raise ProcessError("the exchange still works on a request of this account")
        # The account has this one order: whatever else stands there, under whatever id, is one too many.
        ledgers = [
            self.world.exchange.admin("GET", f"/ledger?market={market}&account={self.name}")
            for market in ("spot", "futures")
        ]
        halts = self._rows("SELECT reason FROM bridge.control WHERE halted AND key = %s", str(self.id))
        return Facts(
            row=self.bot.read_order(order),
            entry=self.entry(order),
            attempts=self._rows("SELECT * FROM bridge.attempt WHERE order_id = %s ORDER BY number", order),
            at_exchange=[order for ledger in ledgers for order in orders_of(ledger["orders"])],
            posts=self.posts(),
            canceled_at=canceled_at,
            flagged_in_words=bool(
                self._rows("SELECT 1 FROM bridge.event WHERE order_id = %s AND kind = 'unknown'", order)
            ),
            halted=halts[0]["reason"] if halts else "",
        )

    def posts(self) -> int:
        """Count the requests to place an order that reached the exchange."""
        return len(self._posts())

    def _posts(self) -> list[Mapping[str, Any]]:
        requests = self.world.exchange.admin("GET", f"/requests?account={self.name}&method=POST")
        return [request for request in requests if request["path"] in PLACING]

    def questions(self, order: UUID) -> int:
        """Count the questions asked about an order."""
        (row,) = self._rows("SELECT count(*) AS n FROM bridge.question WHERE order_id = %s", order)
        return int(row["n"])

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        return list(self.bot.connection.execute(query, values).fetchall())


def pause(seconds: float) -> None:
    """Let time pass that a cell is about: a freeze, or a look at what does not change any more."""
    time.sleep(seconds)
