"""`bridge demo`: the whole bridge on one machine, with nothing installed.

Inserts orders the way the bot does, shows what happens to them, and ends with the portfolio, the refusals and
the latencies. Exits non-zero when anything is not as it should be.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import statistics
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row

from services.command_line import demo_futures
from services.command_line.demo_script import Wanted, script
from services.command_line.local_testnet import LocalTestnet, LocalTestnetError
from services.command_line.stand_in_bot import Bot
from services.command_line.terminal import Json  # noqa: TC001 -- read at run time
from shared.database.embedded import EmbeddedServerError
from shared.domain.attempt import client_order_id
from shared.domain.money import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

PROOF = Path("build/proof/demo.json")
SETTLES_WITHIN_S = 60.0
EXECUTOR = "services.order_executor"
LISTENER = "services.fill_listener"


@dataclass(slots=True)
class Demo:
    """One run."""

    local: LocalTestnet
    bot: Bot
    connection: psycopg.Connection[dict[str, Any]]
    orders: list[Wanted] = field(default_factory=script)
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """Print one line with the seconds since the start."""
        print(f"{time.monotonic() - self.started:6.2f} s  {text}", flush=True)

    def insert_orders(self, accounts: dict[str, UUID], user: UUID) -> None:
        """Insert the orders one by one, in a transaction each, like the bot."""
        for wanted in self.orders:
            self.insert(wanted, accounts[wanted.account], user)

    def insert(self, wanted: Wanted, account: UUID, user: UUID) -> None:
        """Insert one order."""
        columns = dict(wanted.columns)
        if columns.get("type") == "limit":
            columns["price"] = self.price_below_market(columns["symbol"])
        wanted.order_id = self.bot.order(
            user, account, agent_id="portfolio_architect", reasoning="demo", **columns
        )
        wanted.committed_ns = time.time_ns()
        self.say(f"bot inserts    {wanted.title}")

    def price_below_market(self, symbol: str) -> Decimal:
        """Return a price 5 % below the market, on the symbol's tick."""
        ticker = self.local.exchange_get(f"/api/v3/ticker/price?symbol={symbol.replace('/', '')}")
        return (Decimal(ticker["price"]) * Decimal("0.95")).quantize(Decimal("0.0001"))

    def watch(self) -> bool:
        """Show every change until all is as it has to be; False when that does not happen in time."""
        deadline = time.monotonic() + SETTLES_WITHIN_S
        while time.monotonic() < deadline:
            for process in self.local.processes:
                process.check()
            self.show_changes()
            opened = [w for w in self.orders if w.ends == "filled" and not w.columns.get("reduce_only")]
            closed = [w for w in self.orders if w.columns.get("reduce_only")]
            positions = [row["status"] for row in self.rows("SELECT status::text FROM positions")]
            wanted_now = ["open"] * (len(opened) - len(closed)) + ["closed"] * len(closed)
            if all(w.shown == w.ends for w in self.orders) and sorted(positions, reverse=True) == wanted_now:
                return self.marked()
            time.sleep(0.02)
        return False

    def show_changes(self) -> None:
        """Print every status that is new."""
        rows = {
            row["id"]: row
            for row in self.rows("SELECT id, status::text, filled_amount, avg_fill_price FROM orders")
        }
        for wanted in self.orders:
            assert wanted.order_id is not None
            row = rows[wanted.order_id]
            if row["status"] == wanted.shown:
                continue
            wanted.shown = row["status"]
            fill = ""
            if row["filled_amount"]:
                fill = f"{plain(row['filled_amount'])} at {plain(row['avg_fill_price'])}"
            self.say(f"  → {row['status']:<10} {wanted.title:<40} {fill}".rstrip())

    def marked(self) -> bool:
        """Wait until every position was marked to the market once."""
        deadline = time.monotonic() + SETTLES_WITHIN_S
        while time.monotonic() < deadline:
            stale = self.rows("SELECT 1 FROM positions WHERE status = 'open' AND current_price = entry_price")
            if not stale:
                return True
            time.sleep(0.1)
        return False

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Run a query of our own making."""
        return self.connection.execute(query.encode()).fetchall()

    def report(self, *, settled: bool) -> dict[str, Any]:
        """Collect what the proof file holds."""
        received = self.received()
        committed = {
            row["order_id"]: row["ns"]
            for row in self.rows(
                "SELECT order_id, (extract(epoch FROM min(pg_xact_commit_timestamp(xmin))) * 1e9)::bigint "
                "AS ns FROM bridge.event WHERE kind IN ('position_opened', 'position_grown') "
                "AND order_id IS NOT NULL GROUP BY order_id"
            )
        }
        rows = {
            row["id"]: row
            for row in self.rows(
                "SELECT o.id, o.market_type::text AS market, o.symbol, o.side::text, o.type::text, "
                "o.status::text, e.reason_code, e.reason "
                "FROM orders AS o JOIN bridge.outbox AS e ON e.order_id = o.id"
            )
        }
        orders = []
        for wanted in self.orders:
            assert wanted.order_id is not None
            row = rows[wanted.order_id]
            arrived = received.get(client_order_id(wanted.order_id, 1))
            position = committed.get(wanted.order_id)
            orders.append(
                {
                    "order_id": str(row["id"]),
                    "market": row["market"],
                    "symbol": row["symbol"],
                    "side": row["side"],
                    "type": row["type"],
                    "status": row["status"],
                    "reason": row["reason"],
                    "wakeup_ms": (arrived - wanted.committed_ns) / 1e6 if arrived else None,
                    "position_ms": (position - wanted.committed_ns) / 1e6 if position else None,
                    "expected": row["status"] == wanted.ends and row["reason_code"] == wanted.reason,
                }
            )
        positions = [
            {name: plain(value) if isinstance(value, Decimal) else value for name, value in row.items()}
            for row in self.rows(
                "SELECT market_type::text AS market, symbol, side::text, size, entry_price, current_price, "
                "unrealized_pnl, realized_pnl, leverage, margin_mode, liquidation_price, status::text "
                "FROM positions ORDER BY market_type, opened_at"
            )
        ]
        ok = settled and all(order["expected"] for order in orders) and self.agrees_with_exchange(positions)
        return {"ok": ok, "orders": orders, "positions": positions}

    def received(self) -> dict[str, int]:
        """Return when the local exchange received each order, by client order id."""
        if not self.local.with_exchange:
            return {}
        return {
            request["client_order_id"]: request["arrived_ns"]
            for path in ("/api/v3/order", *demo_futures.PLACING)
            for request in self.local.admin("GET", f"/requests?path={path}&method=POST")
        }

    def agrees_with_exchange(self, positions: list[dict[str, Any]]) -> bool:
        """Compare with the local exchange's ledger: each order we sent is there once, and no other is."""
        if not self.local.with_exchange:
            return True
        ledger = self.local.admin("GET", "/ledger")["orders"]
        spot = [w for w in self.orders if w.market == "spot" and w.ends != "rejected"]
        ours = [client_order_id(w.order_id, 1) for w in spot if w.order_id]
        return (
            sorted(entry["order"]["clientOrderId"] for entry in ledger) == sorted(ours)
            and demo_futures.agrees_with_exchange(self)
            and demo_futures.positions_agree(positions)
        )


def print_report(report: dict[str, Any]) -> None:
    """Print portfolio, refusals and latencies for people."""
    print("\nPortfolio")
    print(
        f"  {'market':<8} {'symbol':<10} {'side':<6} {'size':>10} {'entry':>10} {'current':>10} "
        f"{'unrealized':>11} {'realized':>10} {'leverage':>12} {'liquidation':>12}  status"
    )
    for p in report["positions"]:
        open_pnl, taken = (f"{Decimal(p[name]):.4f}" for name in ("unrealized_pnl", "realized_pnl"))
        what = f"{p['market']:<8} {p['symbol']:<10} {p['side']:<6}"
        prices = f"{p['size']:>10} {p['entry_price']:>10} {p['current_price']:>10}"
        of_futures = p["market"] == "futures"
        leverage = f"{p['leverage']} {p['margin_mode']}" if of_futures else ""
        end = f"{Decimal(p['liquidation_price']):.4f}" if of_futures else ""
        print(f"  {what} {prices} {open_pnl:>11} {taken:>10} {leverage:>12} {end:>12}  {p['status']}")
    print("\nNot sent, and why")
    for order in report["orders"]:
        if order["status"] == "rejected":
            print(f"  {order['symbol']:<10} {order['reason']}")
    print("\nFrom the bot's commit (the first orders of fresh processes; `make bench` measures warm ones)")
    for market in ("spot", "futures"):
        for name, measure in (
            ("the exchange receiving the order", "wakeup_ms"),
            ("the position being committed", "position_ms"),
        ):
            of = [o for o in report["orders"] if o["market"] == market]
            values = [o[measure] for o in of if o[measure] is not None]
            if values:
                median, slowest = statistics.median(values), max(values)
                print(f"  {market:<8} to {name:<33} median {median:7.1f} ms   slowest {slowest:7.1f} ms")


def fund(name: str) -> dict[str, Any]:
    """Make an account of the local exchange with money in it; its key says that it is no real one."""
    return {
        "name": name,
        "api_key": f"local-{name}-{secrets.token_hex(16)}",
        "secret": f"local-secret-{secrets.token_hex(24)}",
        "balances": {"USDT": "100000", "BTC": "0", "BNB": "0"},
    }


def keys_from_environment() -> dict[str, Any]:
    """Read the testnet key of the user.

    Raises:
        SystemExit: it is not there; the message says where to get one.

    """
    try:
        return {
            "name": "you",
            "api_key": os.environ["BINANCE_TESTNET_KEY"],
            "secret": os.environ["BINANCE_TESTNET_SECRET"],
        }
    except KeyError as missing:
        raise SystemExit(
            f"{missing.args[0]} is not set. Make a key at the spot testnet of Binance, "
            "then set BINANCE_TESTNET_KEY and BINANCE_TESTNET_SECRET."
        ) from None


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def run(*, keep: bool, database_url: str | None, testnet: bool) -> int:
    """Run the demo; returns the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    trader = keys_from_environment() if testnet else fund("trader")
    other = fund("other")
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    where = "" if testnet else " the local exchange,"
    print(f"Starting PostgreSQL,{where} an order_executor and a fill_listener …", flush=True)
    try:
        with LocalTestnet(
            [] if testnet else [trader, other],
            key,
            database_url=database_url,
            environment=demo_futures.SETTINGS,
            with_exchange=not testnet,
        ) as local:
            return _run_on(local, trader, other, keep=keep)
    except KeyboardInterrupt:
        print("\nInterrupted; everything is stopped and removed.")
        return 130
    except (LocalTestnetError, EmbeddedServerError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _run_on(local: LocalTestnet, trader: dict[str, Any], other: dict[str, Any], *, keep: bool) -> int:
    assert local.database_url is not None
    with (
        Bot(local.database_url, encryption_key=local.encryption_key) as bot,
        psycopg.connect(local.database_url, autocommit=True, row_factory=dict_row) as connection,
    ):
        user, stranger = bot.user(), bot.user()
        accounts = {
            "trader": bot.account(user, api_key=trader["api_key"], secret=trader["secret"]),
            "inactive": bot.account(
                user, api_key=trader["api_key"], secret=trader["secret"], is_active=False
            ),
            "foreign": bot.account(stranger, api_key=other["api_key"], secret=other["secret"]),
        }
        local.start_service(EXECUTOR)
        local.start_service(LISTENER)
        demo = Demo(local, bot, connection)
        if local.with_exchange:
            demo.orders += demo_futures.script()  # a key of the spot testnet has no right for futures
        demo.insert_orders(accounts, user)
        settled = demo.watch()
        if settled and local.with_exchange:
            settled = demo_futures.trigger_and_liquidate(
                demo, accounts["trader"], user, within_s=SETTLES_WITHIN_S
            )
        report = demo.report(settled=settled)
        print_report(report)
        PROOF.parent.mkdir(parents=True, exist_ok=True)
        PROOF.write_text(json.dumps(report, indent=1))
        verdict = "Everything is as it should be." if report["ok"] else "SOMETHING IS NOT AS IT SHOULD BE."
        print(f"\n{verdict}  ({PROOF})")
        if not report["ok"]:
            for line in _complaints(demo, report):
                print(line)
            return 1
        if keep:
            _keep(local, accounts["trader"], user)
    return 0


def _complaints(demo: Demo, report: dict[str, Any]) -> Iterator[str]:
    for order, wanted in zip(report["orders"], demo.orders, strict=True):
        if not order["expected"]:
            yield f"  {wanted.title}: {order['status']} ({order['reason']}), expected {wanted.ends}"
    for process in demo.local.processes:
        yield f"--- the end of {process.name}'s log\n{process.tail()}"


BY_HAND = """
Staying up; Ctrl-C ends it. Insert orders by hand:

  psql {dsn}

  INSERT INTO orders (user_id, exchange_account_id, exchange_order_id, symbol, market_type, side, type,
                      amount, price, avg_fill_price, stop_price, agent_id, reasoning, fee_currency)
  VALUES ('{user}', '{account}',
          '', 'BTC/USDT', 'spot', 'buy', 'market', 250, 0, 0, 0, '', '', '');

  SELECT symbol, status, filled_amount, avg_fill_price, reasoning FROM orders ORDER BY created_at;
  SELECT symbol, side, size, entry_price, current_price, unrealized_pnl FROM positions;
"""


def _keep(local: LocalTestnet, account: UUID, user: UUID) -> None:
    print(BY_HAND.format(dsn=local.database_url, user=user, account=account))
    while True:
        for process in local.processes:
            process.check()
        time.sleep(1)


def command(
    keep: Annotated[bool, typer.Option(help="Stay up afterwards, to insert rows by hand.")] = False,
    testnet: Annotated[
        bool,
        typer.Option(help="Trade on Binance's testnet, with BINANCE_TESTNET_KEY and _SECRET."),
    ] = False,
    database_url: Annotated[
        str | None, typer.Option(help="An empty PostgreSQL database, where no embedded one is to be had.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the whole bridge at work on this machine: bot, database, exchange, executor, listener.

    With --json the story goes to stderr and the report to stdout. Exit code 1: something was not as it
    should be.
    """
    if not as_json:
        raise typer.Exit(run(keep=keep, database_url=database_url, testnet=testnet))
    PROOF.unlink(missing_ok=True)
    with redirect_stdout(sys.stderr):
        code = run(keep=keep, database_url=database_url, testnet=testnet)
    if PROOF.exists():
        typer.echo(PROOF.read_text())
    raise typer.Exit(code)
