"""`make containers`: the image is built; the local composition runs, is disturbed, and is taken down again.

Postgres, the migrations, the local exchange, both services and Prometheus run on the engine that answers;
Grafana, Alertmanager and Jaeger are left out, because their images cannot be had everywhere: what they are
given is checked by `docker compose config` and by tests. Writes build/proof/containers.json.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROOF = Path("build/proof/containers.json")
IMAGE = "order-execution-bridge:proof"
COMPOSITIONS = ("compose.yaml", "compose.testnet.yaml", "compose.beside-bot.yaml")
RUN = ("postgres", "migrate", "trader", "exchange", "order_executor", "fill_listener", "prometheus")
SERVICES = {
    "order_executor": "services.order_executor.executor",
    "fill_listener": "services.fill_listener.markets",
}
LASTING = ("postgres", "order_executor", "fill_listener", "prometheus", "exchange")
PATIENCE_S = 240.0
CUT_OFF_S = 10.0
# A random port of this machine for each, so that a run never meets another one.
PORTS = (
    "POSTGRES",
    "EXCHANGE",
    "EXCHANGE_FUTURES",
    "EXCHANGE_ADMIN",
    "PROMETHEUS",
    "GRAFANA",
    "ALERTMANAGER",
    "JAEGER",
)
# What the other compositions want to be told.
ELSEWHERE = {
    "POSTGRES_HOST": "postgres",
    "POSTGRES_DB": "bot",
    "POSTGRES_USER": "bridge",
    "BOT_NETWORK": "bot_default",
}
ORDER = """
INSERT INTO orders (user_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type,
                    amount, price, avg_fill_price, stop_price, agent_id, reasoning, fee_currency)
SELECT user_id, id, '', '{symbol}', '{market}', 'buy', 'market', {amount}, 0, 0, 0, '', '', ''
  FROM exchange_accounts LIMIT 1 RETURNING id
"""
# In microseconds, of cgroups of either version.
PROCESSOR_TIME = """
if [ -f /sys/fs/cgroup/cpu.stat ]; then sed -n 's/^usage_usec //p' /sys/fs/cgroup/cpu.stat
else echo $(( $(cat /sys/fs/cgroup/cpuacct/cpuacct.usage) / 1000 )); fi
"""
STATUS = "SELECT status FROM orders WHERE id = '{order}'"
ATTEMPTS = "SELECT count(*) FROM bridge.attempt WHERE order_id = '{order}'"
COUNTED = """
SELECT count(*) FROM orders AS o JOIN positions AS p USING (user_id, symbol)
 WHERE o.id = '{order}' AND p.status = 'open' AND p.market_type = o.market_type AND p.size = (
       SELECT sum(w.filled_amount - CASE WHEN p.symbol LIKE w.fee_currency || '/%' THEN w.fee ELSE 0 END)
         FROM orders AS w
         WHERE (w.user_id, w.symbol, w.market_type) = (o.user_id, o.symbol, o.market_type)
           AND w.status = 'filled')
"""


class StepError(Exception):
    """A step did not hold; the message says what was seen."""


@dataclass(slots=True)
class Composition:
    """A project of `docker compose` of our own, gone without a trace when the proof ends.

    Attributes:
        steps: what was done, for the report.

    """

    project: str = field(default_factory=lambda: f"bridge-proof-{secrets.token_hex(3)}")
    steps: list[dict[str, Any]] = field(default_factory=list)
    amounts: Iterator[int] = field(default_factory=lambda: count(1))

    def docker(self, *words: str) -> str:
        """Run `docker`, and return what it said.

        Raises:
            StepError: it failed.

        """
        environment = {**os.environ, **ELSEWHERE, "BRIDGE_IMAGE": IMAGE}
        environment |= {f"{name}_PORT_HERE": "" for name in PORTS}
        command = ["docker", *words]
        ran = subprocess.run(  # noqa: S603 - our own words
            command, env=environment, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise StepError(f"docker {' '.join(words)}: {ran.stdout[-2000:]}{ran.stderr[-4000:]}")
        return ran.stdout.strip()

    def compose(self, *words: str, file: str = "compose.yaml") -> str:
        """Run `docker compose` on this project."""
        return self.docker("compose", "-p", self.project, "-f", f"deploy/{file}", *words)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Do one step of the proof, and note how it went."""
        began = time.monotonic()
        row = {"step": name, "ok": False, "seconds": 0.0}
        self.steps.append(row)
        try:
            yield
            row["ok"] = True
        finally:
            row["seconds"] = round(time.monotonic() - began, 1)
            print(f"  {name:<62} {'ok' if row['ok'] else 'FAILED':>6} {row['seconds']:7.1f} s", flush=True)

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        said = ""
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except StepError as error:
                said = str(error)
            time.sleep(0.5)
        raise StepError(f"not within {PATIENCE_S:g} s: {what}\n{said}")

    def container(self, service: str) -> dict[str, Any]:
        """Inspect a service's container."""
        (found,) = json.loads(self.docker("inspect", self.compose("ps", "--all", "--quiet", service)))
        return dict(found)

    def healthy(self, service: str) -> bool:
        """Whether a service's own health check says that it works."""
        state = self.container(service)["State"]
        return bool(state["Running"] and state.get("Health", {}).get("Status") == "healthy")

    def sql(self, query: str) -> str:
        """Ask the bot's database."""
        psql = ("psql", "-U", "bot", "-d", "bot", "-v", "ON_ERROR_STOP=1", "-qAtc", query)
        return self.compose("exec", "-T", "postgres", *psql)

    def insert(self, symbol: str, market: str = "spot") -> str:
        """Insert an order as the bot does; the amounts differ, so that none is taken for a twin."""
        # A contract of futures is worth more at least, and what the spot orders come to stays below the caps.
        least = 100 if market == "spot" else 200
        return self.sql(ORDER.format(symbol=symbol, market=market, amount=least + next(self.amounts)))

    def status(self, order: str) -> str:
        """Read the bot's row."""
        return self.sql(STATUS.format(order=order))

    def filled(self, order: str) -> None:
        """Wait until an order is filled and its position there, counted once."""
        self.until(f"order {order} is filled", lambda: self.status(order) == "filled")
        counted = COUNTED.format(order=order)
        self.until(f"the position of {order} is the sum of its fills", lambda: self.sql(counted) == "1")

    def scraped(self) -> bool:
        """Whether Prometheus scrapes both services."""
        query = ("promtool", "query", "instant", "http://127.0.0.1:9090", "sum(up{job!='prometheus'})")
        return "=> 2 @" in self.compose("exec", "-T", "prometheus", *query)


def prove(composition: Composition) -> dict[str, Any]:
    """Do every step; returns what else is reported."""
    facts: dict[str, Any] = {}
    with composition.step("every composition is well formed"):
        for file in COMPOSITIONS:
            composition.compose("--profile", "*", "config", "--quiet", file=file)
    with composition.step("the image is built"):
        composition.compose("build", "order_executor")
        facts["image_mb"] = round(int(composition.docker("inspect", "-f", "{{.Size}}", IMAGE)) / 1e6, 1)
    with composition.step("the composition comes up"):
        composition.compose("up", "--detach", "--no-build", *RUN)
        for service in LASTING:
            composition.until(f"{service} is healthy", lambda s=service: composition.healthy(s))  # type: ignore[misc]
    with composition.step("the services are nobody, and can write nowhere"):
        hardened(composition)
    with composition.step("nothing is compiled when a service starts"):
        compiled(composition)
    with composition.step("each service starts again by itself, and is measured"):
        facts["start"] = {service: measured(composition, service) for service in SERVICES}
    with composition.step("an order becomes a position"):
        composition.filled(composition.insert("BTC/USDT"))
    with composition.step("so does an order of futures"):
        composition.filled(composition.insert("BTC/USDT", market="futures"))
    with composition.step("bridge doctor, in a container, finds nothing that does not work"):
        composition.compose("exec", "-T", "order_executor", "bridge", "doctor")
    with composition.step("bridge replay finds the positions to be what their fills come to"):
        composition.compose("exec", "-T", "order_executor", "bridge", "replay")
    with composition.step("Prometheus scrapes both services"):
        composition.until("both are up", composition.scraped)
    with composition.step("migrate is started again and changes nothing"):
        composition.compose("up", "--no-build", "--no-deps", "--force-recreate", "migrate")
    for service in LASTING[:-1]:
        with composition.step(f"{service} is stopped, and started again"):
            stopped(composition, service)
    with composition.step("order_executor is cut off the network for a while"):
        cut_off(composition)
    # Last, and then another symbol: a restart wipes the exchange like a reset of the real testnet, and it
    # hands out the same ids again.
    with composition.step("exchange is stopped, and started again"):
        stopped(composition, "exchange", symbol="SOL/USDT")
    return facts


def measured(composition: Composition, service: str) -> dict[str, float]:
    """Start one container while the others are at rest: time and processor time until it says it has started.

    The seconds are what this machine takes, busy as it is; they are reported, not judged.
    """
    composition.compose("stop", service)
    identity = composition.container(service)["Id"]
    composition.docker("start", identity)
    began = datetime.fromisoformat(composition.container(service)["State"]["StartedAt"][:26] + "+00:00")
    since = ("logs", "--since", began.isoformat(), identity)
    composition.until(f"{service} has started", lambda: bool(_started(composition.docker(*since))))
    used = composition.docker("exec", identity, "sh", "-c", PROCESSOR_TIME)
    (at,) = _started(composition.docker(*since))
    composition.until(f"{service} is healthy", lambda: composition.healthy(service))
    return {
        "seconds": round((at - began).total_seconds(), 2),
        "processor_seconds": round(int(used) / 1e6, 2),
    }


def _started(log: str) -> list[datetime]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [datetime.fromisoformat(line["timestamp"]) for line in lines if line["event"] == "started"]


def compiled(composition: Composition) -> None:
    """Check that every module of a service comes from bytecode: a read-only container could not keep it."""
    for service, module in SERVICES.items():
        loud = f"python -v -c 'import shared.service, {module}' 2>&1"
        said = composition.compose("exec", "-T", service, "sh", "-c", loud)
        sources = re.findall(r"^# code object from '(.*\.py)'$", said, re.MULTILINE)
        if sources or "code object from" not in said:
            raise StepError(f"{service} compiles at every start: {sources}")


def hardened(composition: Composition) -> None:
    """Check from inside what the composition promises."""
    for service in SERVICES:
        tried = "id -u; touch /opt/bridge/x || echo refused; command -v gcc || echo none"
        said = composition.compose("exec", "-T", service, "sh", "-c", tried)
        if said.split()[0] != "10001" or "refused" not in said or "none" not in said:
            raise StepError(f"{service}: {said}")


def stopped(composition: Composition, service: str, symbol: str = "ETH/USDT") -> None:
    """Stop a container in an orderly way, let an order come meanwhile, start it again."""
    composition.compose("stop", service)
    code = composition.container(service)["State"]["ExitCode"]
    if service in SERVICES and code != 0:
        raise StepError(f"{service} ended with {code} instead of draining")
    meanwhile = composition.insert(symbol) if service != "postgres" else None
    # Not by compose, which would first wait for the health of all that the service depends on.
    composition.docker("start", composition.container(service)["Id"])
    composition.until(f"{service} is healthy", lambda: composition.healthy(service))
    if meanwhile is not None:
        composition.filled(meanwhile)
    composition.filled(composition.insert(symbol))


def cut_off(composition: Composition) -> None:
    """Take the executor off the network; what comes meanwhile waits, and is sent once afterwards."""
    network, container = f"{composition.project}_default", composition.container("order_executor")["Id"]
    composition.docker("network", "disconnect", network, container)
    waiting = composition.insert("BNB/USDT")
    time.sleep(CUT_OFF_S)
    if (status := composition.status(waiting)) != "pending":
        raise StepError(f"nobody can have sent the order, and it is {status}")
    composition.docker("network", "connect", "--alias", "order_executor", network, container)
    composition.filled(waiting)
    attempts = composition.sql(ATTEMPTS.format(order=waiting))
    if attempts != "1":
        raise StepError(f"sent {attempts} times")


def main() -> int:
    """Prove it, take everything down again, write the report; returns the exit code."""
    composition, facts = Composition(), {}
    try:
        print(f"the composition {composition.project}", flush=True)
        facts = prove(composition)
    except StepError as error:
        print(error, file=sys.stderr)
        print(composition.compose("logs", "--tail", "40"), file=sys.stderr)
    finally:
        composition.compose("down", "--volumes", "--timeout", "5")
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    ok = bool(facts) and all(step["ok"] for step in composition.steps)
    report = {"ok": ok, "steps": composition.steps, "image_mb": None, **facts}
    PROOF.write_text(json.dumps(report, indent=1) + "\n")
    print(f"image {report['image_mb']} MB, starts: {facts.get('start')}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
