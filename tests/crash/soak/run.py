"""The soak: thousands of orders through faults, kills, freezes, restarts and failovers, then reconciled.

Several executors and listeners share the accounts, on spot and futures. What the exchange, the network, the
machine and the database do to them is drawn by a seed; at the end both sides have to agree on every order,
fill and position.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

from shared.telemetry.metrics import EXECUTOR, LISTENER
from tests.crash.cluster import Cluster
from tests.crash.processes import until
from tests.crash.soak.compare import Comparison
from tests.crash.soak.database import Database
from tests.crash.soak.faults import FAULTS
from tests.crash.soak.fleet import Fleet
from tests.crash.soak.plan import SOAK, Plan, Result
from tests.crash.soak.trade import Trading
from tests.crash.world import World

MOST_OPEN = 250
SETTLES_WITHIN_S = 240.0

STILL_MOVING = (
    "SELECT (SELECT count(*) FROM bridge.outbox WHERE state NOT IN ('done', 'held', 'submitted'))"
    " + (SELECT count(*) FROM bridge.attempt WHERE executed > filled)"
    " + (SELECT count(*) FROM bridge.fill WHERE NOT applied)"
    " + (SELECT count(*) FROM bridge.outbox AS e JOIN orders AS o ON o.id = e.order_id"
    "     WHERE e.state = 'submitted' AND o.status = 'canceled')"
    " + (SELECT count(*) FROM orders WHERE status = 'pending') AS n"
)
OPEN = "SELECT count(*) AS n FROM bridge.outbox WHERE state IN ('new', 'sending', 'unknown', 'backoff')"


class Soak:
    """One run of the soak.

    Args:
        plan: how much of everything.

    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self.result = Result()

    def run(self) -> Result:
        """Trade and disturb, let everything settle, compare."""
        plan, result = self._plan, self.result
        started = time.monotonic()
        with ExitStack() as stack:
            world = stack.enter_context(World(SOAK))
            self._database = Database(stack.enter_context(Cluster()), world.encryption_key)
            stack.callback(self._database.close)
            self._trading = Trading(world.exchange, self._database, self._chance, plan.accounts)
            self._fleet = Fleet(world, self._database, self._chance)
            for kind in [EXECUTOR] * plan.executors + [LISTENER] * plan.listeners:
                self._fleet.start(kind)
            for fault in FAULTS:
                world.exchange.admin("POST", "/faults", {**fault, "seed": self._chance.randrange(1 << 30)})
            self._trade()
            result.faults = sum(f["applied"] for f in world.exchange.admin("GET", "/faults"))
            world.exchange.admin("DELETE", "/faults")
            until(lambda: self._count(STILL_MOVING) == 0, SETTLES_WITHIN_S, 0.5)
            self._fleet.check()
            Comparison(world.exchange, self._database, self._trading, result).run()
            self._fleet.stop()
        result.futures = sum(kind.startswith("futures") for kind in self._trading.kinds.values())
        result.seconds = round(time.monotonic() - started)
        return result

    def _trade(self) -> None:
        """Insert orders in bursts, with what the plan does in between."""
        schedule = self._plan.schedule()
        while self.result.orders < self._plan.orders:
            self.result.orders += self._trading.burst(self._plan.orders - self.result.orders)
            self._trading.cancel_some()
            while schedule and schedule[0][0] <= self.result.orders:
                self._disturb(schedule.pop(0)[1])
            self._fleet.check()
            until(lambda: self._count(OPEN) < MOST_OPEN, 120, 0.2)

    def _disturb(self, what: str) -> None:
        """Do one of the things the plan is about."""
        match what:
            case "kill":
                self._fleet.kill_one()
                self.result.kills += 1
            case "freeze":
                self._fleet.freeze_one()
                self.result.freezes += 1
            case "restart":
                self._database.restart()
                self.result.postgres_restarts += 1
            case "failover":
                self.result.kills += self._fleet.replace_strays()
                self._database.fail_over()
                self.result.failovers += 1
            case "swing":
                self._trading.swing()

    def _count(self, query: str) -> int:
        (row,) = self._database.rows(query)
        return int(row["n"])
