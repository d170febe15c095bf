"""Soak of the fills: lost, doubled, late and swapped events; streams, listeners and Postgres killed.

Orders are placed by a real executor, half of whose answers are lost too, so that most fills can only come by
the stream or by asking. At the end fills, orders and positions in the database have to equal the exchange's
own ledger, to the last decimal.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import secrets
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot, order_row
from shared.database.embedded import Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from services.command_line.local_testnet import Process

PROOF = Path("build/proof/soak_fills.json")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT")
ENVIRONMENT = {
    "BRIDGE_MAX_ORDER_USD": "100000",
    "BRIDGE_MAX_POSITION_USD": "100000000",
    "BRIDGE_MAX_EXPOSURE_USD": "100000000",
    "BRIDGE_MAX_ORDERS_PER_MINUTE": "100000",
    "BRIDGE_MARKET_COLLAR_PERCENT": "50",
    "BRIDGE_MAX_ORDER_AGE": "3600",
    # Scaled: an order whose answer is lost is found at once by the stream; one that never arrived is sent
    # again soon.
    "BRIDGE_RECV_WINDOW_MS": "1500",
    "BRIDGE_LEASE": "4",
    "BRIDGE_ENGINE_DELAY": "0.5",
    "BRIDGE_QUERY_LAG": "0.5",
    "BRIDGE_GAP_WAIT": "2",
}
EVENT_FAULTS = (
    {"action": "event_lose", "probability": 0.04},
    {"action": "event_duplicate", "probability": 0.04},
    {"action": "event_reorder", "probability": 0.04},
    {"action": "event_delay", "ms": 300, "probability": 0.04},
)
LOST_ANSWERS = {"action": "drop_after", "method": "POST", "route": "/api/v3/order", "probability": 0.5}
SETTLES_WITHIN_S = 240.0
NO_CAPS = '{"max_position_size_usd": 100000000, "max_total_exposure_usd": 100000000}'


@dataclass(slots=True)
class Result:
    """What the run did and what it found."""

    fills: int = 0
    orders: int = 0
    events_lost: int = 0
    events_duplicated: int = 0
    events_delayed: int = 0
    events_swapped: int = 0
    answers_lost: int = 0
    stream_kills: int = 0
    listener_kills: int = 0
    postgres_restarts: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether the database equals the exchange's ledger."""
        return not (self.lost or self.doubled or self.wrong)


class Soak:
    """One run.

    Args:
        fills: at least so many.
        listener_kills: at least so many.
        postgres_restarts: so many, in turn ordered, immediate and by kill -9, spread over the fills.
        accounts: how many trade.
        seed: of everything drawn here.

    """

    def __init__(
        self, *, fills: int, listener_kills: int, postgres_restarts: int, accounts: int, seed: int
    ) -> None:
        self._wanted = fills
        self._kills = listener_kills
        self._restarts = postgres_restarts
        self._random = random.Random(seed)
        self._accounts = [fund(f"account-{number}") for number in range(accounts)]
        for account in self._accounts:
            account["balances"] = {"USDT": "100000000", "BNB": "0"}
        self._spread = 0
        self.result = Result()

    def run(self) -> Result:
        """Trade, disturb, heal, compare."""
        started = time.monotonic()
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        options = ("--rate-limit-scale=1000",)
        with LocalTestnet(
            self._accounts, key, environment=ENVIRONMENT, fsync=False, exchange_options=options
        ) as local:
            assert local.database_url is not None
            with Bot(local.database_url, key) as bot:
                user = bot.user(settings=NO_CAPS)
                rows = {
                    bot.account(user, api_key=a["api_key"], secret=a["secret"]): a["name"]
                    for a in self._accounts
                }
                local.start_service(EXECUTOR)
                listeners = [local.start_service(LISTENER), local.start_service(LISTENER)]
                for fault in (*EVENT_FAULTS, LOST_ANSWERS):
                    local.admin("POST", "/faults", {**fault, "seed": self._random.randrange(1 << 30)})
                self._trade(local, bot, user, list(rows), listeners)
                self._count_faults(local)
                local.admin("DELETE", "/faults")
                self._wait_settled(local, bot)
                self._compare(local, bot, rows)
        self.result.seconds = round(time.monotonic() - started, 1)
        return self.result

    def _trade(
        self, local: LocalTestnet, bot: Bot, user: UUID, accounts: list[UUID], listeners: list[Process]
    ) -> None:
        """Insert orders in bursts; between them kill listeners, cut streams, restart Postgres."""
        while True:
            filled = bot.connection.execute("SELECT count(*) AS n FROM bridge.fill").fetchone()
            assert filled is not None
            done = filled["n"] >= self._wanted and self.result.listener_kills >= self._kills
            if done:
                return
            if filled["n"] < self._wanted:
                burst = [self._order(user, account) for account in accounts]
                bot.orders(burst)
                self.result.orders += len(burst)
            if self.result.listener_kills < self._kills:
                self._kill_a_listener(local, listeners)
            if filled["n"] * (self._restarts + 1) >= self._wanted * (self.result.postgres_restarts + 1):
                self._restart_postgres(local, bot)
            local.admin("POST", "/streams/disconnect", {"kind": "ws-api"})
            self.result.stream_kills += 1
            time.sleep(0.2)

    def _order(self, user: UUID, account: UUID) -> dict[str, Any]:
        """Draw an order: mostly buys that walk the book, some sells of what is held; no two are twins."""
        self._spread += 1
        symbol = self._random.choice(SYMBOLS)
        if self._random.random() < 0.25:
            part = Decimal(self._random.randrange(50, 400)) + Decimal(self._spread) / 10000
            return order_row(user, account, symbol=symbol, side="sell", amount=part, agent_id="seller")
        amount = Decimal(self._random.randrange(2_000, 60_000)) + Decimal(self._spread) / 10000
        return order_row(user, account, symbol=symbol, amount=amount)

    def _kill_a_listener(self, local: LocalTestnet, listeners: list[Process]) -> None:
        """Kill -9 one of the two and start another; the accounts change hands."""
        victim = listeners.pop(0)
        victim.kill()
        local.processes.remove(victim)
        self.result.listener_kills += 1
        listeners.append(local.start_service(LISTENER))

    def _restart_postgres(self, local: LocalTestnet, bot: Bot) -> None:
        """Restart it under way, orders just inserted and events arriving; a bot connects again too."""
        if self.result.postgres_restarts == self._restarts:
            return
        server = local.server
        assert server is not None
        bot.connection.close()
        match self.result.postgres_restarts % 3:
            case 0:
                server.restart(Stop.FAST)
            case 1:
                server.restart(Stop.IMMEDIATE)
            case _:
                server.kill()
                server.start()
        bot.connection = psycopg.connect(server.dsn(), autocommit=True, row_factory=dict_row)
        self.result.postgres_restarts += 1

    def _count_faults(self, local: LocalTestnet) -> None:
        applied: dict[str, int] = defaultdict(int)
        for rule in local.admin("GET", "/faults"):
            applied[rule["action"]] += rule["applied"]
        self.result.events_lost = applied["event_lose"]
        self.result.events_duplicated = applied["event_duplicate"]
        self.result.events_delayed = applied["event_delay"]
        self.result.events_swapped = applied["event_reorder"]
        self.result.answers_lost = applied["drop_after"]

    def _wait_settled(self, local: LocalTestnet, bot: Bot) -> None:
        """Wait until nothing is on its way any more and every gap is healed."""
        deadline = time.monotonic() + SETTLES_WITHIN_S
        left = 1
        while left and time.monotonic() < deadline:
            for process in local.processes:
                process.check()
            row = bot.connection.execute(
                "SELECT (SELECT count(*) FROM bridge.outbox WHERE state NOT IN ('done', 'held')) + "
                "(SELECT count(*) FROM bridge.attempt WHERE executed > filled) + "
                "(SELECT count(*) FROM bridge.fill WHERE NOT applied) AS open"
            ).fetchone()
            assert row is not None
            left = row["open"]
            time.sleep(0.25)
        if left:
            self._complain("wrong", f"{left} things were still on their way after {SETTLES_WITHIN_S} s")

    def _compare(self, local: LocalTestnet, bot: Bot, accounts: Mapping[UUID, str]) -> None:
        """Compare fills, orders and positions with the exchange's ledger."""
        for account, name in accounts.items():
            ledger = local.admin("GET", f"/ledger?account={name}")["orders"]
            self._compare_fills(bot, account, ledger)
            self._compare_orders(bot, account, ledger)
            self._compare_positions(bot, account, ledger)

    def _compare_fills(self, bot: Bot, account: UUID, ledger: Iterable[dict[str, Any]]) -> None:
        stored: dict[tuple[str, str, int], list[tuple[Decimal, ...]]] = defaultdict(list)
        for row in bot.connection.execute(
            "SELECT symbol, exchange_order_id, trade_id, price, quantity, commission FROM bridge.fill "
            "WHERE account_id = %s",
            [account],
        ):
            key = (row["symbol"], row["exchange_order_id"], row["trade_id"])
            stored[key].append((row["price"], row["quantity"], row["commission"]))
        told = {
            (entry["order"]["symbol"], str(entry["order"]["orderId"]), trade["id"]): (
                Decimal(trade["price"]),
                Decimal(trade["qty"]),
                Decimal(trade["commission"]),
            )
            for entry in ledger
            for trade in entry["trades"]
        }
        self.result.fills += len(told)
        for key in told.keys() - stored.keys():
            self._complain("lost", f"fill {key} of {account} is not stored")
        for key, rows in stored.items():
            if len(rows) > 1 or key not in told:
                self._complain("doubled", f"fill {key} of {account} is stored {len(rows)} times")
            elif rows[0] != told[key]:
                self._complain("wrong", f"fill {key} of {account}: {rows[0]}, the exchange says {told[key]}")

    def _compare_orders(self, bot: Bot, account: UUID, ledger: Iterable[dict[str, Any]]) -> None:
        ours: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in ledger:
            ours[entry["order"]["clientOrderId"][1:33]].append(entry["order"])
        for row in bot.connection.execute(
            "SELECT id, status::text, filled_amount FROM orders WHERE exchange_account_id = %s", [account]
        ):
            orders = ours.get(row["id"].hex, [])
            if len(orders) > 1:
                self._complain("doubled", f"order {row['id']} is {len(orders)} times at the exchange")
            elif orders and row["filled_amount"] != Decimal(orders[0]["executedQty"]):
                self._complain("wrong", f"order {row['id']} shows {row['filled_amount']} filled")
            elif not orders and row["status"] != "rejected":
                self._complain("lost", f"order {row['id']} is {row['status']} and not at the exchange")

    def _compare_positions(self, bot: Bot, account: UUID, ledger: Iterable[dict[str, Any]]) -> None:
        """Recompute size by plain sums and realized PnL by average cost, in fractions."""
        trades: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in ledger:
            trades[entry["order"]["symbol"]] += entry["trades"]
        for symbol, rows in trades.items():
            net = Fraction(0)
            for trade in rows:
                quantity = Fraction(trade["qty"])
                net += quantity - Fraction(trade["commission"]) if trade["isBuyer"] else -quantity
            row = bot.connection.execute(
                "SELECT coalesce(sum(size) FILTER (WHERE status = 'open'), 0) AS size, "
                "(SELECT coalesce(sum(dust), 0) FROM bridge.holding "
                " WHERE account_id = %(account)s AND symbol = %(symbol)s) AS dust "
                "FROM bridge.position WHERE account_id = %(account)s AND symbol = %(symbol)s",
                {"account": account, "symbol": symbol},
            ).fetchone()
            assert row is not None
            if Fraction(row["size"]) + Fraction(row["dust"]) != net:
                self._complain(
                    "wrong", f"{symbol} of {account}: {row['size']} + {row['dust']}, not {float(net)}"
                )

    def _complain(self, kind: str, sentence: str) -> None:
        setattr(self.result, kind, getattr(self.result, kind) + 1)
        self.result.complaints.append(sentence)


def main(arguments: list[str] | None = None) -> int:
    """Run it, print a table, write the proof; returns 1 when a fill was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fills", type=int, default=10_000)
    parser.add_argument("--listener-kills", type=int, default=50)
    parser.add_argument("--postgres-restarts", type=int, default=5)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args(arguments)
    soak = Soak(
        fills=chosen.fills,
        listener_kills=chosen.listener_kills,
        postgres_restarts=chosen.postgres_restarts,
        accounts=chosen.accounts,
        seed=chosen.seed,
    )
    result = soak.run()
    told = asdict(result)
    for name, value in told.items():
        if name != "complaints":
            print(f"{name.replace('_', ' '):<20} {value:>10}")
    for sentence in result.complaints[:20]:
        print("  " + sentence)
    PROOF.parent.mkdir(parents=True, exist_ok=True)
    PROOF.write_text(json.dumps(told, indent=1))
    enough = (
        result.fills >= chosen.fills
        and result.listener_kills >= chosen.listener_kills
        and result.postgres_restarts >= chosen.postgres_restarts
    )
    return 0 if result.clean and enough and result.events_lost else 1


if __name__ == "__main__":
    sys.exit(main())
