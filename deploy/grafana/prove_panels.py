"""`make panels`: a real Prometheus scrapes a real run, and every panel of every dashboard has data to show.

The run is a local testnet with an executor and a listener, orders as the bot places them, and the troubles
that the panels are for: a lost event, an unknown fate, a refused key, a ban, a halt, a restart of Postgres.
A panel must also show more than zero, except those of `STAYS_ZERO`. Writes build/proof/panels.json.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.grafana.write_dashboards import FOLDER
from deploy.prometheus.running import Prometheus, prometheus
from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from shared.binance.sign import Credentials, signed_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from uuid import UUID

PROOF = Path("build/proof/panels.json")
PATIENCE_S = 120.0
WINDOW = "10s"  # what $__rate_interval stands for: four times the scrape interval in Grafana, more here
SCALED = {
    "BRIDGE_RECV_WINDOW_MS": "1000",
    "BRIDGE_ENGINE_DELAY": "0.5",
    "BRIDGE_QUERY_LAG": "0.5",
    "BRIDGE_GAP_WAIT": "3",
    "BRIDGE_LEASE": "2",
    "BRIDGE_SWEEP_INTERVAL": "0.5",
}
# What does not happen in this run, and why; everything else must have shown more than zero.
STAYS_ZERO = {
    "Real money": "the run is on a testnet",
    "Schema warnings": "the stand-in has exactly the tables we know",
    "Quarantine": "a restart of Postgres is no change of its history",
    "Epoch changes": "the same",
    "Trigger errors": "the trigger works",
    "Found by the sweep": "the trigger works",
    "Rows found by the sweep": "the trigger works",
    "Late evidence": "no assumption about the exchange is broken here",
    "Alerts firing": "their conditions last longer than this run lets them",
}


@dataclass(slots=True)
class Story:
    """What happens during the run.

    Args:
        local: the testnet.
        bot: writes the rows.

    """

    local: LocalTestnet
    bot: Bot
    accounts: dict[str, tuple[UUID, UUID]] = field(default_factory=dict)
    keys: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def add_account(self, name: str) -> None:
        """Make a user with an account on both sides."""
        funded = fund(name)
        self.local.admin("POST", "/accounts", funded)
        user = self.bot.user()
        account = self.bot.account(user, api_key=funded["api_key"], secret=funded["secret"])
        self.accounts[name], self.keys[name] = (user, account), funded

    def order(self, name: str = "trader", **columns: Any) -> UUID:
        """Place an order as the bot does; the amounts differ, so that none is taken for a twin."""
        amount = Decimal(50) + Decimal(next(self.numbers)) / 10
        return self.bot.order(*self.accounts[name], **{"symbol": "BTC/USDT", "amount": amount, **columns})

    def state(self, order_id: UUID) -> str:
        """Read the state of our entry about an order."""
        row = self.bot.connection.execute(
            "SELECT state FROM bridge.outbox WHERE order_id = %s", [order_id]
        ).fetchone()
        return str(row["state"]) if row else "missing"

    def told(self, order_id: UUID) -> Decimal:
        """Read how much the bot's row shows as filled."""
        return Decimal(self.bot.read_order(order_id)["filled_amount"])

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            for process in self.local.processes:
                process.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {process.name}\n{process.tail()}" for process in self.local.processes)
                raise SystemExit(f"not within {PATIENCE_S:g} s: {what}\n{logs}")
            time.sleep(0.05)

    def done(self, *orders: UUID) -> None:
        """Wait until orders are final."""
        self.until("orders are final", lambda: {self.state(order) for order in orders} == {"done"})

    def steer(self, *words: str) -> None:
        """Run a verb of the operator."""
        environment = {**os.environ, **self.local.service_environment()}
        command = [sys.executable, "-m", "services.command_line", *words]
        subprocess.run(command, check=True, env=environment, capture_output=True)  # noqa: S603 - our own module

    def price(self, symbol: str) -> Decimal:
        """Read the market price."""
        return Decimal(self.local.exchange_get(f"/api/v3/ticker/price?symbol={symbol}")["price"])

    def tell(self) -> None:
        """Let everything happen, one thing after the other."""
        for chapter in (
            self.ordinary_trading,
            self.refusals,
            self.lost_event,
            self.unknown_fate,
            self.strangers,
            self.halt,
            self.broken_streams,
            self.postgres_restart,
            self.ban,
        ):
            print(f"  {chapter.__name__.replace('_', ' ')}", flush=True)
            chapter()
            self.done(self.order(symbol="ETH/USDT"))

    def ordinary_trading(self) -> None:
        """Buy, sell and let rest."""
        for symbol in ("BTC/USDT", "ETH/USDT", "SOL/USDT") * 3:
            self.done(self.order(symbol=symbol))
            time.sleep(0.7)
        self.done(self.order(symbol="SOL/USDT", side="sell", amount=Decimal(60)))
        low = (self.price("XRPUSDT") * Decimal("0.95")).quantize(Decimal("0.0001"))
        self.order(symbol="XRP/USDT", type="limit", price=low, amount=Decimal(20))

    def refusals(self) -> None:
        """Be refused by us and by the exchange; be held as a twin; have a key refused."""
        self.done(self.order(symbol="MOON/USDT"), self.order(amount=Decimal(100000)))
        for _ in range(2):
            self.order(symbol="BNB/USDT", amount=Decimal(33))
        self.local.admin("POST", "/accounts/refused", {"key_revoked": True})
        self.done(self.order("refused"))

    def lost_event(self) -> None:
        """Lose the first of several fills on the way."""
        self.local.admin(
            "POST", "/faults", {"action": "event_lose", "event": "TRADE", "account": "trader", "count": 1}
        )
        high = (self.price("DOGEUSDT") * Decimal("0.999")).quantize(Decimal("0.00001"))
        resting = self.order(symbol="DOGE/USDT", type="limit", price=high, amount=Decimal(500))
        self.until("the order rests", lambda: self.state(resting) in {"submitted", "done"})
        # A thin book fills it in many parts: the next one shows that one is missing.
        self.local.admin("POST", "/crowd", {"symbol": "DOGEUSDT", "scale": "0.01"})
        self.local.admin("POST", "/price", {"symbol": "DOGEUSDT", "price": str(high * Decimal("0.99"))})
        self.until("a part of it is filled", lambda: self.told(resting) > 0)
        self.local.admin("POST", "/crowd", {"symbol": "DOGEUSDT", "scale": "1"})
        self.done(resting)
        self.local.admin("DELETE", "/faults")

    def unknown_fate(self) -> None:
        """Get no answer about an order that was executed, and none about one that was not."""
        for action in ("drop_after", "drop_before"):
            self.local.admin(
                "POST", "/faults", {"action": action, "route": "/api/v3/order", "method": "POST", "count": 1}
            )
            self.done(self.order(symbol="BNB/USDT"))
        self.local.admin("DELETE", "/faults")

    def strangers(self) -> None:
        """Trade by hand on the account, and let the bot's own executor send a row."""
        self._send_at_exchange("trader", "by-hand")
        held = self.order("botted", symbol="MOON/USDT")
        self.done(held)
        self._send_at_exchange("botted", str(held))

    def _send_at_exchange(self, name: str, client_order_id: str) -> None:
        credentials = Credentials(self.keys[name]["api_key"], self.keys[name]["secret"])
        parameters: dict[str, str | int | Decimal | bool] = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "MARKET",
            "quoteOrderQty": "20",
            "newClientOrderId": client_order_id,
            "recvWindow": 5000,
            "timestamp": time.time_ns() // 1_000_000,
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.local.exchange_port}/api/v3/order",
            data=signed_query(parameters, credentials).encode(),
            headers={
                "X-MBX-APIKEY": credentials.api_key,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - the local exchange
            pass

    def halt(self) -> None:
        """Stop sending and go on."""
        self.steer("halt", "--reason", "a drill")
        waiting = self.order(symbol="SOL/USDT")
        time.sleep(2.5)
        assert self.state(waiting) == "new"
        self.steer("resume")
        self.done(waiting)

    def broken_streams(self) -> None:
        """Hear nothing of an execution, and then have the user data streams cut."""
        self.local.admin(
            "POST", "/faults", {"action": "event_lose", "event": "TRADE", "account": "trader", "count": 1000}
        )
        high = (self.price("DOGEUSDT") * Decimal("0.999")).quantize(Decimal("0.00001"))
        resting = self.order(symbol="DOGE/USDT", type="limit", price=high, amount=Decimal(60))
        self.until("the order rests", lambda: self.state(resting) == "submitted")
        self.local.admin("POST", "/price", {"symbol": "DOGEUSDT", "price": str(high * Decimal("0.99"))})
        time.sleep(1)
        self.local.admin("DELETE", "/faults")
        self.local.admin("POST", "/streams/disconnect", {"kind": "ws-api"})
        self.done(resting)
        time.sleep(3)

    def postgres_restart(self) -> None:
        """Restart the database under the services."""
        assert self.local.server is not None
        self.bot.connection.close()
        self.local.server.stop()
        time.sleep(3)
        self.local.server.start()
        self.bot = Bot(self.local.server.dsn(), self.local.encryption_key)
        time.sleep(2)

    def ban(self) -> None:
        """Be banned for a moment."""
        self.local.admin("POST", "/ban", {"ms": 4000})
        waiting = self.order(symbol="BNB/USDT", amount=Decimal(40))
        self.done(waiting)


def judged(server: Prometheus, begin: float, end: float, accounts: Iterable[UUID]) -> list[dict[str, Any]]:
    """Run every panel's queries over the whole run."""
    rows = []
    for path in sorted(FOLDER.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                query = target["expr"].replace("$__rate_interval", WINDOW)
                # Whoever looks chooses one account; each is chosen once here.
                queries = {query.replace("$account", str(account)) for account in accounts}
                values = [value for one in queries for value in server.values(one, begin, end)]
                rows.append(
                    {
                        "dashboard": dashboard["title"],
                        "panel": panel["title"],
                        "query": target["expr"],
                        "points": len(values),
                        "largest": max((abs(value) for value in values), default=None),
                    }
                )
    for row in rows:
        moved = bool(row["largest"]) or row["panel"] in STAYS_ZERO
        row["ok"] = row["points"] > 0 and moved
    return rows


def main() -> int:
    """Run the story under Prometheus, then look at every panel; returns the exit code."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    began = time.time()
    with (
        tempfile.TemporaryDirectory(prefix="bridge-panels-") as folder,
        LocalTestnet([fund("nobody")], key, environment=SCALED, fsync=False) as local,
    ):
        assert local.database_url is not None
        story = Story(local, Bot(local.database_url, key))
        for name in ("trader", "refused", "botted"):
            story.add_account(name)
        ports = {
            module.rpartition(".")[2]: list(local.start_service(module).ports().values())
            for module in (EXECUTOR, LISTENER)
        }
        with prometheus(Path(folder), ports) as server:
            print("a run with", flush=True)
            story.tell()
            time.sleep(6)
            rows = judged(server, began, time.time(), [row for _, row in story.accounts.values()])
    print(f"{'dashboard':<20} {'panel':<42} {'points':>7}  {'largest':>10}")
    for row in rows:
        largest = "" if row["largest"] is None else f"{row['largest']:10.4g}"
        mark = "" if row["ok"] else "  <- NO DATA" if not row["points"] else "  <- ZERO"
        print(f"{row['dashboard']:<20} {row['panel']:<42} {row['points']:>7}  {largest:>10}{mark}")
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    report = {"panels": rows, "stays_zero": STAYS_ZERO, "seconds": round(time.time() - began, 1)}
    PROOF.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if rows and all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
