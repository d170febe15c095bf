"""The local exchange with all it simulates, where a lean server would not do: fills, streams, limits."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.contenders.roster import Bridge
from bench.world import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bench.world import Running, World

RICH = {"USDT": "1000000000"}


@dataclass(slots=True)
class Simulator:
    """A running local exchange.

    Attributes:
        process: it.
        url: of its REST API.
        admin_url: of its admin API.

    """

    process: Running
    url: str
    admin_url: str

    def admin(self, path: str, body: object = None) -> Any:
        """Ask the admin API, or with a body tell it something."""
        request = urllib.request.Request(  # noqa: S310 - ours
            self.admin_url + path,
            method="GET" if body is None else "POST",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - ours
            return json.loads(answer.read() or b"null")

    def fund(self, keys: Iterable[tuple[str, str]]) -> None:
        """Open accounts with money in them."""
        accounts = [{"name": key, "api_key": key, "secret": secret, "balances": RICH} for key, secret in keys]
        self.admin("/accounts", {"accounts": accounts})


def start_simulator(world: World, *options: str) -> Simulator:
    """Start a local exchange whose prices stand still, with the world's accounts."""
    port_file = world.folder / f"simulator-{len(list(world.folder.glob('simulator-*.json')))}.json"
    accounts_file = port_file.with_suffix(".accounts")
    accounts_file.write_text("[]")
    process = world.start(
        "exchange simulator",
        "services.local_exchange",
        f"--accounts={accounts_file}",
        f"--port-file={port_file}",
        "--volatility=0",
        *options,
    )
    wait_for(port_file.exists, "the exchange simulator", [process])
    ports = json.loads(port_file.read_text())
    simulator = Simulator(
        process, f"http://127.0.0.1:{ports['port']}", f"http://127.0.0.1:{ports['admin_port']}"
    )
    simulator.fund(world.keys.values())
    return simulator


class WholeBridge(Bridge):
    """Executor and listener, against an exchange simulator.

    Attributes:
        simulator: where they trade.
        with_listener: whether a listener runs beside the executors.

    """

    simulator: Simulator
    with_listener: bool = True

    def start(self, count: int = 1) -> None:
        """Start the executors, then the listener, each until it is ready."""
        # Only counted processes of the super class are executors.
        super().start(count)
        if self.with_listener:
            ready = self.world.folder / f"listener-{len(list(self.world.folder.glob('*.ready')))}.ready"
            listener = self._service("fill_listener", "services.fill_listener", ready)
            self.processes.append(listener)
            wait_for(lambda: self._is_ready(listener, ready), "fill_listener", [listener], within_s=120)

    def _start_one(self, ready: Path) -> Running:
        return self._service("order_executor", "services.order_executor", ready)

    def _service(self, name: str, module: str, ready: Path) -> Running:
        environment = self.world.bridge_environment(self.dsn, self.simulator.url)
        return self.world.start(
            name, module, environment=environment | {"BRIDGE_METRICS_PORT_FILE": str(ready)}
        )


def enter_whole(
    world: World, database: str, simulator: Simulator, *, with_listener: bool = True
) -> WholeBridge:
    """Make a database of its own for executor and listener."""
    bridge = WholeBridge("bridge", world, world.database(f"bench_{database}", bridged=True))
    bridge.simulator = simulator
    bridge.with_listener = with_listener
    return bridge
