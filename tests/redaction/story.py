"""A run of real processes in which secrets of every kind are used, and everything these processes emit."""

from __future__ import annotations

import base64
import gzip
import os
import secrets
import string
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from psycopg import sql

from services.command_line.demo import EXECUTOR, LISTENER
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.redaction.careless import WITHOUT_REDACTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from services.command_line.local_testnet import Process

PATIENCE_S = 180.0
LETTERS = string.ascii_letters + string.digits
PRIVATE = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def random_text(length: int = 64) -> str:
    """Return text in the form of Binance's keys."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))


def key_material(kind: str) -> tuple[str, dict[str, str]]:
    """Make a secret of one kind: what the bot stores, and what the exchange knows of it."""
    if kind == "hmac":
        secret = random_text()
        return secret, {"secret": secret}
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    if kind == "ed25519":
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(*PRIVATE).decode()
    return pem, {"public_key": key.public_key().public_bytes(*PUBLIC).decode()}


class Collector:
    """Takes traces over OTLP/HTTP, as a collector does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                bodies.append(str(self.headers).encode())
                zipped = self.headers.get("Content-Encoding") == "gzip"
                bodies.append(gzip.decompress(body) if zipped else body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the length of a `with` block."""
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        thread.join()
        collector.server.server_close()


@dataclass(slots=True)
class Story:
    """What happens, and what is emitted.

    Args:
        local: a testnet whose services are started here.
        bot: writes the rows.
        collector: gets the traces.

    Attributes:
        secrets: by name.
        emitted: (where, what), as it comes.

    """

    local: LocalTestnet
    bot: Bot
    collector: Collector
    secrets: dict[str, str | bytes] = field(default_factory=dict)
    emitted: list[tuple[str, str | bytes]] = field(default_factory=list)
    accounts: dict[str, tuple[UUID, UUID]] = field(default_factory=dict)
    services: list[Process] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        assert self.local.server is not None
        self.secrets["database password"] = self.local.server.password
        self.secrets["encryption key"] = self.local.encryption_key
        self.secrets["encryption key, its bytes"] = base64.b64decode(self.local.encryption_key)
        ports = self.local.exchange.ports()
        futures = f"127.0.0.1:{ports['futures_port']}"
        self.local.environment = {
            "BRIDGE_FUTURES_TESTNET_REST_URL": f"http://{futures}",
            "BRIDGE_FUTURES_TESTNET_WS_API_URL": f"ws://{futures}/ws-fapi/v1",
            "BRIDGE_FUTURES_TESTNET_STREAM_URL": f"ws://{futures}",
            "BRIDGE_LOG_LEVEL": "debug",
            "BRIDGE_SWEEP_INTERVAL": "0.5",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
        }

    # -- What it is made of -----------------------------------------------------------------------

    def add_account(self, name: str, kind: str = "hmac", *, at_exchange: bool = True) -> None:
        """Make a user with an account on both sides."""
        secret, known = key_material(kind)
        api_key = random_text()
        if at_exchange:
            balances = {"USDT": "100000", "BTC": "0", "BNB": "0"}
            body = {"name": name, "api_key": api_key, "balances": balances, **known}
            self.local.admin("POST", "/accounts", body)
        user = self.bot.user()
        self.accounts[name] = (user, self.bot.account(user, api_key=api_key, secret=secret, label=name))
        self.secrets[f"{name}: API key"] = api_key
        self.secrets[f"{name}: secret"] = secret
        if "PRIVATE KEY" in secret:
            self.secrets[f"{name}: secret without line breaks"] = "".join(secret.splitlines()[1:-1])

    def order(self, name: str, **columns: Any) -> UUID:
        """Place an order as the bot does; the amounts differ, so that none is taken for a twin."""
        amount = Decimal(50) + Decimal(next(self.numbers)) / 10
        return self.bot.order(*self.accounts[name], **{"symbol": "BTC/USDT", "amount": amount, **columns})

    def state(self, order_id: UUID) -> str:
        """Read the state of our entry about an order."""
        query = "SELECT state FROM bridge.outbox WHERE order_id = %s"
        row = self.bot.connection.execute(query, [order_id]).fetchone()
        return str(row["state"]) if row else "missing"

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until something holds.

        Raises:
            TimeoutError: it did not.

        """
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {process.name}\n{process.tail()}" for process in self.services)
                raise TimeoutError(f"not within {PATIENCE_S:g} s: {what}\n{logs}")
            time.sleep(0.05)

    def done(self, *orders: UUID) -> None:
        """Wait until orders are final."""
        self.until("orders are final", lambda: {self.state(order) for order in orders} == {"done"})

    def start(self, module: str, **variables: str) -> Process:
        """Start a service; its log is searched in the end."""
        process = self.local.start_service(module, **variables)
        self.services.append(process)
        return process

    def text(self, name: str) -> str:
        """Return a secret that is text."""
        secret = self.secrets[name]
        assert isinstance(secret, str)
        return secret

    # -- What happens -----------------------------------------------------------------------------

    def trade(self) -> None:
        """Trade with each kind of key, and be known to the listener of futures."""
        for name in self.accounts:
            if name != "stranger":
                self.done(self.order(name))
        self.order("hmac", symbol="BTC/USDT", market_type="futures", amount=Decimal(200))
        self.until("a listen key is used", lambda: bool(self._at_exchange()["listen_keys"]))

    def be_refused(self) -> None:
        """Use a key the exchange does not know, and one whose secret is another's."""
        self.done(self.order("stranger"))

    def be_echoed(self, name: str = "hmac") -> None:
        """Have a wall before the exchange, and the exchange itself, quote the request in their answers."""
        signature = secrets.token_hex(32)
        self.secrets["echoed signature"] = signature
        api_key = self.text(f"{name}: API key")
        url = f"https://127.0.0.1/api/v3/order?symbol=BTCUSDT&timestamp=1&signature={signature}"
        page = f"<html>Blocked: {url} or {quote(url)}, X-MBX-APIKEY: {api_key}</html>"
        said = f'{{"code": -1013, "msg": "Filter failure for key {api_key}: {url}"}}'
        order = {"route": "/api/v3/order", "method": "POST", "count": 1}
        for action, status, body in (("answer_after", 502, page), ("answer_before", 400, said)):
            self.local.admin("POST", "/faults", order | {"action": action, "status": status, "body": body})
            self.done(self.order(name))
        self.local.admin("DELETE", "/faults")

    def be_blocked(self) -> None:
        """Have the firewall quote the key; the address is paused for a minute then."""
        page = f"<html>Blocked: {self.text('hmac: API key')}</html>"
        fault = {"action": "answer_before", "route": "/api/v3/order", "method": "POST", "count": 1}
        self.local.admin("POST", "/faults", fault | {"status": 403, "body": page})
        blocked = self.order("hmac", symbol="BNB/USDT")
        self.until("it is put back", lambda: self.state(blocked) == "backoff")
        self.until("it is paused", lambda: bool(self._lift_pauses()))
        self.local.admin("DELETE", "/faults")

    def _lift_pauses(self) -> int:
        return self.bot.connection.execute("DELETE FROM bridge.pause WHERE scope = 'address'").rowcount

    def be_cut_off(self, name: str = "hmac") -> None:
        """Lose answers, streams and listen keys."""
        fault = {"action": "drop_after", "route": "/api/v3/order", "method": "POST", "count": 1}
        self.local.admin("POST", "/faults", fault)
        self.done(self.order(name))
        self.local.admin("POST", "/streams/disconnect", {"kind": "ws-api"})
        self.note_at_exchange()
        self.local.admin("POST", "/futures/expire_listen_key", {"account": name})

    def look(self) -> None:
        """Scrape what the services serve, and read the list of processes."""
        for process in self.services:
            if process.popen.poll() is None:
                (port,) = process.ports().values()
                for path in ("/metrics", "/healthz", "/readyz"):
                    self.emitted.append((f"{process.name} {path}", _got(f"http://127.0.0.1:{port}{path}")))
        for process in self.local.processes:
            if process.popen.poll() is None:
                listed = Path(f"/proc/{process.popen.pid}/cmdline").read_bytes()
                self.emitted.append((f"process list: {process.name}", listed))

    def crash(self, *, redacted: bool = True) -> str:
        """Run an executor that dies with everything in its exception; returns its log."""
        # A key of its own for each: an earlier row of unknown fate would hold the next one up.
        self.order("hmac", symbol="ETH/USDT" if redacted else "SOL/USDT")
        name = "careless" if redacted else "unredacted"
        port_file = self.local.folder / f"{name}.port"
        variables = self.local.service_environment() | {"BRIDGE_METRICS_PORT_FILE": str(port_file)}
        if not redacted:
            variables[WITHOUT_REDACTION] = "1"
        executor = self.local._start(name, port_file, "tests.redaction.careless", **variables)
        self.until("the careless executor died", lambda: executor.popen.poll() is not None)
        if redacted:
            self.services.append(executor)
        return executor.log.read_text()

    def operate(self, *, whole: bool = True) -> None:
        """Look and steer as the operator does, also with variables that are wrong."""
        self.tell("doctor")
        self.tell("accounts", "check", "hmac")
        self.tell("accounts", "check", "stranger")
        wrong = {"BRIDGE_DATABASE_URL": f"mysql://u:{self.text('database password')}@127.0.0.1/x"}
        wrong["ENCRYPTION_KEY"] = self.text("hmac: secret")
        self.tell("doctor", "--offline", **wrong)
        if not whole:
            return
        assert self.local.database_url is not None
        away = {"BRIDGE_DATABASE_URL": self.local.database_url.replace("@127.0.0.1:", "@127.0.0.1:1")}
        self.tell("orders", **away)
        for words in (("orders",), ("accounts", "list"), ("positions",), ("switches",), ("keys", "verify")):
            self.tell(*words, "--json")
        self.tell("order", str(self.order("hmac", symbol="MOON/USDT")))
        given = {
            "BINANCE_API_KEY": self.text("hmac: API key"),
            "BINANCE_API_SECRET": self.text("stranger: secret"),
        }
        self.tell("accounts", "add", "--user", str(self.accounts["hmac"][0]), "--label", "new", **given)
        for module in (EXECUTOR, LISTENER):
            self.run(f"{module} with wrong variables", [sys.executable, "-m", module], wrong)

    def tell(self, *words: str, **variables: str) -> None:
        """Run a verb of the operator."""
        self.run(
            f"bridge {' '.join(words[:2])}",
            [sys.executable, "-m", "services.command_line", *words],
            variables,
        )

    def run(self, name: str, command: list[str], variables: dict[str, str]) -> None:
        """Run a command to its end; what it says is searched, whatever its exit code."""
        environment = {**os.environ, **self.local.service_environment(), **variables}
        done = subprocess.run(command, check=False, env=environment, capture_output=True, timeout=120)
        self.emitted += [(f"{name}: stdout", done.stdout), (f"{name}: stderr", done.stderr)]

    # -- What is left -----------------------------------------------------------------------------

    def _at_exchange(self) -> dict[str, list[str]]:
        secrets_seen: dict[str, list[str]] = self.local.admin("GET", "/secrets")
        return secrets_seen

    def note_at_exchange(self) -> None:
        """Learn the signatures and listen keys used so far."""
        for kind, texts in self._at_exchange().items():
            for number, text in enumerate(texts):
                self.secrets[f"{kind} {number}: {text[:4]}"] = text

    def end(self) -> None:
        """Stop the services; gather logs, traces, and all that our tables and the bot's hold."""
        self.note_at_exchange()
        for process in self.services:
            process.stop()
        self.emitted += [(f"log of {process.name}", process.log.read_bytes()) for process in self.services]
        self.emitted += [("traces", body) for body in self.collector.bodies]
        assert self.local.server is not None
        self.emitted.append(("log of Postgres", self.local.server.log.read_bytes()))
        self.emitted += list(_tables(self.local.server.dsn()))

    def emitted_by(self, beginning: str) -> bytes:
        """Return what was emitted at places that begin so."""
        return b"\n".join(
            text.encode() if isinstance(text, str) else text
            for where, text in self.emitted
            if where.startswith(beginning)
        )


def _got(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    return body


def _tables(dsn: str) -> Iterator[tuple[str, bytes]]:
    """Dump every table of ours and of the bot's."""
    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('bridge', 'public')"
        ).fetchall()
        for schema, table in tables:
            copy = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, table))
            with connection.cursor().copy(copy) as lines:
                yield f"table {schema}.{table}", b"".join(bytes(line) for line in lines)


@contextmanager
def telling() -> Iterator[Story]:
    """Start a testnet, a collector and the bot for one story."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with (
        LocalTestnet([], key, fsync=False) as local,
        collecting() as collector,
        Bot(str(local.database_url), key) as bot,
    ):
        yield Story(local, bot, collector)
