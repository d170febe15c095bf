"""The soak: thousands of orders through faults, kills, freezes, restarts and failovers, then reconciled.

Several executors and listeners share the accounts. What the exchange, the network, the machine and the
database do to them is drawn by a seed; at the end both sides have to agree on every order, fill and position.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from services.command_line.demo import fund
from services.command_line.stand_in_bot import Bot, order_row
from shared.database.embedded import Stop
from shared.telemetry.metrics import EXECUTOR, LISTENER
from tests.crash.behaviours import BAD_GATEWAY, BROKEN, ORDER, QUESTIONS, SERVICE_UNAVAILABLE
from tests.crash.cluster import Cluster
from tests.crash.judge import Facts, Verdict, judge
from tests.crash.processes import ProcessError, until
from tests.crash.scale import Scale
from tests.crash.world import RATE_LIMIT_SCALE, World, pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from tests.crash.processes import Forked

PROOF = Path("build/proof/soak.json")
SOAK = Scale(
    "soak",
    recv_window_ms=2000,
    engine_delay_s=1.0,
    query_lag_s=1.0,
    gap_wait_s=3.0,
    lease_s=3.0,
    sweep_s=1.0,
    answer_timeout_s=2.5,
)
ENVIRONMENT = {
    "BRIDGE_MAX_POSITION_USD": "100000000",
    "BRIDGE_MAX_EXPOSURE_USD": "100000000",
    "BRIDGE_MAX_ORDERS_PER_MINUTE": "100000",
    "BRIDGE_MAX_ORDER_AGE": "3600",
    "BRIDGE_MAX_KEY_BLOCK": "20",
    "BRIDGE_POOL_SIZE": "8",
    "BRIDGE_SEND_SLOTS": "32",
    "BRIDGE_LOG_LEVEL": "warning",
}
NO_CAPS = '{"max_position_size_usd": 100000000, "max_total_exposure_usd": 100000000}'
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT", "XRP/USDT")
RESTS_AT = {
    "BTC/USDT": Decimal(64500),
    "ETH/USDT": Decimal(3230),
    "SOL/USDT": Decimal(138),
    "BNB/USDT": Decimal(555),
    "XRP/USDT": Decimal("0.555"),
}
MOST_OPEN = 250
SETTLES_WITHIN_S = 240.0
FREEZE_S = SOAK.freeze_s

FAULTS: tuple[Mapping[str, Any], ...] = (
    {"action": "drop_before", "method": "POST", "route": ORDER, "probability": 0.02},
    {"action": "drop_after", "method": "POST", "route": ORDER, "probability": 0.03},
    {"action": "never_before", "method": "POST", "route": ORDER, "probability": 0.004},
    {"action": "never_after", "method": "POST", "route": ORDER, "probability": 0.004},
    {"action": "truncate", "method": "POST", "route": ORDER, "bytes": 30, "probability": 0.01},
    {"action": "answer_after", "method": "POST", "route": ORDER, "probability": 0.01, **BAD_GATEWAY},
    {"action": "answer_before", "method": "POST", "route": ORDER, "probability": 0.01, **SERVICE_UNAVAILABLE},
    {"action": "delay_arrival", "method": "POST", "route": ORDER, "ms": 2500, "probability": 0.005},
    {"action": "delay_forward", "method": "POST", "route": ORDER, "ms": 700, "probability": 0.01},
    {"action": "delay_engine", "method": "POST", "route": ORDER, "ms": 300, "probability": 0.01},
    {"action": "delay_answer", "method": "POST", "route": ORDER, "ms": 600, "probability": 0.01},
    {"action": "answer_before", "method": "GET", "route": QUESTIONS, "probability": 0.03, **BROKEN},
    {"action": "drop_after", "method": "GET", "route": QUESTIONS, "probability": 0.02},
    {"action": "lag", "method": "GET", "route": QUESTIONS, "ms": 400, "probability": 0.1},
    {"action": "drop_before", "method": "DELETE", "route": ORDER, "probability": 0.05},
    {"action": "drop_after", "method": "DELETE", "route": ORDER, "probability": 0.05},
    {"action": "event_lose", "probability": 0.02},
    {"action": "event_duplicate", "probability": 0.02},
    {"action": "event_delay", "ms": 300, "probability": 0.02},
    {"action": "event_reorder", "probability": 0.02},
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Args:
        orders: rows the bot inserts.
        kills: kill -9 of an executor or listener.
        freezes: SIGSTOP of an executor, longer than lease and absence wait.
        restarts: of Postgres, in turn ordered, immediate and by kill -9.
        failovers: to an asynchronous standby that has not heard of the last commits.
        least_faults: of the exchange, that have to have happened.
        accounts: that trade.
        executors: that run at once.
        listeners: that run at once.
        seed: of everything drawn here.

    """

    orders: int = 10_000
    kills: int = 110
    freezes: int = 15
    restarts: int = 10
    failovers: int = 2
    least_faults: int = 500
    accounts: int = 20
    executors: int = 3
    listeners: int = 2
    seed: int = 7

    def schedule(self) -> list[tuple[int, str]]:
        """Spread what is done to the processes and to Postgres evenly over the orders."""
        disturbances = {
            "kill": self.kills,
            "freeze": self.freezes,
            "restart": self.restarts,
            "failover": self.failovers,
        }
        return sorted(
            (round(self.orders * (number + 0.5) / count), what)
            for what, count in disturbances.items()
            for number in range(count)
        )


@dataclass(slots=True)
class Result:
    """What the run did and what it found."""

    orders: int = 0
    faults: int = 0
    kills: int = 0
    freezes: int = 0
    postgres_restarts: int = 0
    failovers: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    flagged: int = 0
    seconds: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether both sides agree on everything."""
        return not (self.lost or self.doubled or self.wrong)

    def complain(self, verdict: str, sentence: str) -> None:
        """Count what is not as it should be."""
        setattr(self, verdict, getattr(self, verdict) + 1)
        self.complaints.append(f"{verdict}: {sentence}")


@dataclass(slots=True)
class _Service:
    """One running process and the database it was pointed at."""

    kind: str
    process: Forked
    dsn: str


class Soak:
    """One run of the soak."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.result = Result()
        self._random = random.Random(plan.seed)
        self._services: list[_Service] = []
        self._names: dict[UUID, str] = {}
        self._kinds: dict[UUID, str] = {}
        self._canceled_at: dict[UUID, datetime | None] = {}
        self._resting: list[UUID] = []

    def run(self) -> Result:
        """Trade and disturb, let everything settle, compare."""
        started = time.monotonic()
        with ExitStack() as stack:
            self._world = stack.enter_context(World(SOAK))
            self._cluster = stack.enter_context(Cluster())
            self._dsn = self._cluster.follow()
            self._connect()
            stack.callback(lambda: self._bot.connection.close())
            self._open_accounts()
            for kind in [EXECUTOR] * self.plan.executors + [LISTENER] * self.plan.listeners:
                self._services.append(self._start(kind))
            for fault in FAULTS:
                self._world.exchange.admin(
                    "POST", "/faults", {**fault, "seed": self._random.randrange(1 << 30)}
                )
            self._trade()
            self.result.faults = sum(f["applied"] for f in self._world.exchange.admin("GET", "/faults"))
            self._world.exchange.admin("DELETE", "/faults")
            self._settle()
            self._reconcile()
            for service in self._services:
                service.process.stop()
        self.result.seconds = round(time.monotonic() - started)
        return self.result

    # -- Trading and disturbing ---------------------------------------------------------------------

    def _connect(self) -> None:
        self._bot = Bot(self._dsn, self._world.encryption_key)

    def _open_accounts(self) -> None:
        for number in range(self.plan.accounts):
            described = fund(f"soak-{number}")
            described["balances"] = {"USDT": "100000000", "BNB": "0"}
            self._world.exchange.admin("POST", "/accounts", described)
            user = self._bot.user(settings=NO_CAPS)
            account = self._bot.account(user, api_key=described["api_key"], secret=described["secret"])
            self._names[account] = described["name"]
        rows = self._rows("SELECT id, user_id FROM exchange_accounts")
        self._users = {row["id"]: row["user_id"] for row in rows}

    def _start(self, kind: str) -> _Service:
        environment = self._world.environment(self._dsn) | ENVIRONMENT
        return _Service(kind, self._world.parent.start(kind, environment, kind), self._dsn)

    def _trade(self) -> None:
        """Insert orders in bursts, with what the plan does in between."""
        schedule = self.plan.schedule()
        accounts = list(self._names)
        while self.result.orders < self.plan.orders:
            burst = [self._draw(account) for account in accounts[: self.plan.orders - self.result.orders]]
            self._bot.orders(burst)
            self.result.orders += len(burst)
            self._cancel_some()
            while schedule and schedule[0][0] <= self.result.orders:
                self._disturb(schedule.pop(0)[1])
            self._check()
            until(lambda: self._open() < MOST_OPEN, 120, 0.2)

    def _draw(self, account: UUID) -> dict[str, Any]:
        """Draw a row with an amount no other row has."""
        number = len(self._kinds)
        amount = Decimal(6) + Decimal(number) / 10_000
        symbol = self._random.choice(SYMBOLS)
        columns: dict[str, Any] = {"symbol": symbol, "amount": amount}
        kind = self._random.choices(("buy", "sell", "rests", "bad"), (70, 12, 15, 3))[0]
        if kind == "sell":
            columns |= {"side": "sell"}
        elif kind == "rests":
            columns |= {"type": "limit", "price": RESTS_AT[symbol]}
        elif kind == "bad":
            columns |= {"symbol": "MOON/USDT"}
        row = order_row(self._users[account], account, **columns)
        self._kinds[row["id"]] = kind
        if kind == "rests":
            self._resting.append(row["id"])
        return row

    def _cancel_some(self) -> None:
        """Let the bot cancel resting orders, at whatever stage they are."""
        for _ in range(min(3, len(self._resting))):
            order = self._resting.pop(self._random.randrange(len(self._resting)))
            done = self._rows(
                "UPDATE orders SET status = 'canceled', updated_at = now() WHERE id = %s"
                " AND status IN ('pending', 'open', 'partial') RETURNING clock_timestamp() AS at",
                order,
            )
            self._canceled_at[order] = done[0]["at"] if done else None

    def _disturb(self, what: str) -> None:
        """Do one of the things the plan is about."""
        getattr(self, f"_{what}")()

    def _kill(self) -> None:
        service = self._random.choice(self._services)
        service.process.kill()
        self._services.remove(service)
        self._services.append(self._start(service.kind))
        self.result.kills += 1

    def _freeze(self) -> None:
        service = self._random.choice([s for s in self._services if s.kind == EXECUTOR])
        service.process.send(signal.SIGSTOP)
        pause(FREEZE_S)
        service.process.send(signal.SIGCONT)
        self.result.freezes += 1

    def _restart(self) -> None:
        how: tuple[Callable[[], None], ...] = (
            lambda: self._cluster.primary.restart(Stop.FAST),
            lambda: self._cluster.primary.restart(Stop.IMMEDIATE),
            self._crash_postgres,
        )
        self._bot.connection.close()
        how[self.result.postgres_restarts % len(how)]()
        self._connect()
        self.result.postgres_restarts += 1

    def _crash_postgres(self) -> None:
        self._cluster.primary.kill()
        self._cluster.primary.start()

    def _failover(self) -> None:
        """Lose the commits of half a second: the standby has every row, not what became of the last ones."""
        for service in [s for s in self._services if s.dsn != self._dsn]:
            # It knows neither of the two servers of today; a supervisor would have restarted it by now.
            service.process.kill()
            self._services.remove(service)
            self._services.append(self._start(service.kind))
            self.result.kills += 1
        self._cluster.cut()
        pause(0.5)
        self._bot.connection.close()
        self._cluster.fail_over()
        self._dsn = self._cluster.follow()
        self._connect()
        self.result.failovers += 1

    def _check(self) -> None:
        """No process may end by itself."""
        for service in self._services:
            if service.process.code is not None:
                raise ProcessError(
                    f"a {service.kind} ended with {service.process.code}:\n{service.process.tail()}"
                )

    def _open(self) -> int:
        (row,) = self._rows(
            "SELECT count(*) AS n FROM bridge.outbox WHERE state IN ('new', 'sending', 'unknown', 'backoff')"
        )
        return int(row["n"])

    # -- Settling and comparing ----------------------------------------------------------------------

    def _settle(self) -> None:
        """Wait until nothing is on its way, every gap is healed, every cancel has reached the exchange."""
        query = (
            "SELECT (SELECT count(*) FROM bridge.outbox WHERE state NOT IN ('done', 'held', 'submitted'))"
            " + (SELECT count(*) FROM bridge.attempt WHERE executed > filled)"
            " + (SELECT count(*) FROM bridge.fill WHERE NOT applied)"
            " + (SELECT count(*) FROM bridge.outbox AS e JOIN orders AS o ON o.id = e.order_id"
            "     WHERE e.state = 'submitted' AND o.status = 'canceled')"
            " + (SELECT count(*) FROM orders WHERE status = 'pending') AS n"
        )
        until(lambda: self._rows(query)[0]["n"] == 0, SETTLES_WITHIN_S, 0.5)
        self._check()

    def _reconcile(self) -> None:
        """Compare every row, fill and position with the exchange's own ledger."""
        halts = self._rows("SELECT scope, key, reason FROM bridge.control WHERE halted")
        for halt in halts:
            self.result.complain("wrong", f"{halt['scope']} {halt['key']} was halted: {halt['reason']}")
        ends: dict[str, int] = defaultdict(int)
        for account, name in self._names.items():
            ledger = self._world.exchange.admin("GET", f"/ledger?account={name}")["orders"]
            for facts in self._facts(account, ledger):
                ends[facts.row["status"]] += 1
                self._judge(facts)
            self._compare_positions(account, ledger)
        self.result.ends = dict(ends)

    def _facts(self, account: UUID, ledger: Iterable[Mapping[str, Any]]) -> Iterator[Facts]:
        at_exchange: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in ledger:
            at_exchange[entry["order"]["clientOrderId"][1:33]].append(entry["order"])
        attempts: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        for attempt in self._rows(
            "SELECT * FROM bridge.attempt WHERE account_id = %s ORDER BY number", account
        ):
            attempts[attempt["order_id"]].append(attempt)
        entries = {
            row["order_id"]: row
            for row in self._rows("SELECT * FROM bridge.outbox WHERE account_id = %s", account)
        }
        for row in self._rows("SELECT * FROM orders WHERE exchange_account_id = %s", account):
            yield Facts(
                row=row,
                entry=entries.get(row["id"], {"state": "never taken in", "reason_code": None}),
                attempts=attempts[row["id"]],
                at_exchange=at_exchange.pop(row["id"].hex, []),
                posts=0,
                canceled_at=self._canceled_at.get(row["id"]),
                flagged_in_words=True,
                halted="",
            )
        for stray, orders in at_exchange.items():
            self.result.complain("wrong", f"{len(orders)} orders of {stray} at the exchange, and no row")

    def _judge(self, facts: Facts) -> None:
        kind = self._kinds[facts.row["id"]]
        refused = kind in ("sell", "bad") or facts.entry["reason_code"] == "absent_too_often"
        judged = judge(facts, may_reject=refused, may_stay_unknown=True)
        if judged.verdict is Verdict.FLAGGED:
            self.result.flagged += 1
        elif judged.verdict is not Verdict.CLEAN:
            self.result.complain(str(judged.verdict), f"{kind} {facts.row['id']}: {judged.why}")

    def _compare_positions(self, account: UUID, ledger: Iterable[Mapping[str, Any]]) -> None:
        """What we hold by our books is what the exchange's trades leave, to the last decimal."""
        net: dict[str, Fraction] = defaultdict(Fraction)
        trades: dict[str, int] = defaultdict(int)
        for entry in ledger:
            for trade in entry["trades"]:
                quantity = Fraction(trade["qty"])
                symbol = entry["order"]["symbol"]
                trades[symbol] += 1
                net[symbol] += quantity - Fraction(trade["commission"]) if trade["isBuyer"] else -quantity
        for symbol, size in net.items():
            (held,) = self._rows(
                "SELECT (SELECT coalesce(sum(size), 0) FROM bridge.position"
                "         WHERE account_id = %(a)s AND symbol = %(s)s AND status = 'open')"
                "     + (SELECT coalesce(sum(dust), 0) FROM bridge.holding"
                "         WHERE account_id = %(a)s AND symbol = %(s)s) AS size,"
                " (SELECT count(*) FROM bridge.fill WHERE account_id = %(a)s AND symbol = %(s)s) AS fills",
                {"a": account, "s": symbol},
            )
            if held["fills"] != trades[symbol]:
                kind = "lost" if held["fills"] < trades[symbol] else "doubled"
                self.result.complain(
                    kind, f"{symbol} of {account}: {held['fills']} fills of {trades[symbol]} trades"
                )
            if Fraction(held["size"]) != size:
                self.result.complain(
                    "wrong", f"{symbol} of {account}: {held['size']} held, not {float(size)}"
                )

    def _rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        parameters = values[0] if values and isinstance(values[0], dict) else values
        try:
            cursor = self._bot.connection.execute(query.encode(), parameters)
        except psycopg.OperationalError:
            self._connect()
            cursor = self._bot.connection.execute(query.encode(), parameters)
        return list(cursor.fetchall())


def enough(plan: Plan, result: Result) -> bool:
    """Whether the run did what its plan says."""
    return (
        result.orders >= plan.orders
        and result.faults >= plan.least_faults
        and result.kills >= plan.kills
        and result.postgres_restarts >= plan.restarts
        and result.failovers >= plan.failovers
    )


def main(arguments: list[str] | None = None) -> int:
    """Run it, print a table, write the proof; returns 1 when anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args(arguments)
    plan = Plan(orders=chosen.orders, seed=chosen.seed)
    print(f"{SOAK.name} times: {SOAK}, request-weight limits x {RATE_LIMIT_SCALE}", flush=True)
    result = Soak(plan).run()
    told = asdict(result)
    for name, value in told.items():
        if name not in ("complaints", "ends"):
            print(f"{name.replace('_', ' '):<20} {value:>8}")
    print("rows ended " + ", ".join(f"{status} {count}" for status, count in sorted(result.ends.items())))
    for sentence in result.complaints[:30]:
        print("  " + sentence)
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps(told, indent=1))
    return 0 if result.clean and enough(plan, result) else 1


if __name__ == "__main__":
    sys.exit(main())
