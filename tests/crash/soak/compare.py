"""The end of a soak: every row, fill and position against the exchange's own ledgers."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.crash.judge import Facts, Verdict, judge
from tests.crash.ledger import orders_of
from tests.crash.soak.trade import MAY_BE_REJECTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from uuid import UUID

    from tests.crash.soak.database import Database
    from tests.crash.soak.plan import Result
    from tests.crash.soak.trade import Trading
    from tests.crash.world import Exchange

MARKETS = ("spot", "futures")


class Comparison:
    """Both sides of everything that was traded.

    Args:
        exchange: whose ledgers are believed.
        database: ours.
        trading: what the bot did.
        result: takes what is found.

    """

    def __init__(self, exchange: Exchange, database: Database, trading: Trading, result: Result) -> None:
        self._exchange = exchange
        self._database = database
        self._trading = trading
        self._result = result

    def run(self) -> None:
        """Compare."""
        for halt in self._database.rows("SELECT scope, key, reason FROM bridge.control WHERE halted"):
            self._result.complain("wrong", f"{halt['scope']} {halt['key']} was halted: {halt['reason']}")
        ends: dict[str, int] = defaultdict(int)
        for account, name in self._trading.names.items():
            ledgers = {
                market: self._exchange.admin("GET", f"/ledger?market={market}&account={name}")["orders"]
                for market in MARKETS
            }
            everything = [entry for ledger in ledgers.values() for entry in ledger]
            self._count(everything)
            for facts in self._facts(account, everything):
                ends[facts.row["status"]] += 1
                self._judge(facts)
            for market, ledger in ledgers.items():
                self._compare_positions(account, market, ledger)
        self._result.ends = dict(ends)

    def _count(self, entries: Iterable[Mapping[str, Any]]) -> None:
        algos = [entry["algo"] for entry in entries if "algo" in entry]
        self._result.conditional += len(algos)
        self._result.triggered += sum(bool(algo.get("actualOrderId")) for algo in algos)

    def _facts(self, account: UUID, ledger: Iterable[Mapping[str, Any]]) -> Iterator[Facts]:
        at_exchange: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for order in orders_of(ledger):
            at_exchange[order["clientOrderId"][1:33]].append(order)
        attempts: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
        for attempt in self._database.rows(
            "SELECT * FROM bridge.attempt WHERE account_id = %s ORDER BY number", account
        ):
            attempts[attempt["order_id"]].append(attempt)
        entries = {
            row["order_id"]: row
            for row in self._database.rows("SELECT * FROM bridge.outbox WHERE account_id = %s", account)
        }
        for row in self._database.rows("SELECT * FROM orders WHERE exchange_account_id = %s", account):
            yield Facts(
                row=row,
                entry=entries.get(row["id"], {"state": "never taken in", "reason_code": None}),
                attempts=attempts[row["id"]],
                at_exchange=at_exchange.pop(row["id"].hex, []),
                posts=0,
                canceled_at=self._trading.canceled_at.get(row["id"]),
                flagged_in_words=True,
                halted="",
            )
        for stray, orders in at_exchange.items():
            self._result.complain("wrong", f"{len(orders)} orders of {stray} at the exchange, and no row")

    def _judge(self, facts: Facts) -> None:
        kind = self._trading.kinds[facts.row["id"]]
        refused = kind in MAY_BE_REJECTED or facts.entry["reason_code"] == "absent_too_often"
        judged = judge(facts, may_reject=refused, may_stay_unknown=True)
        if judged.verdict is Verdict.FLAGGED:
            self._result.flagged += 1
        elif judged.verdict is not Verdict.CLEAN:
            self._result.complain(str(judged.verdict), f"{kind} {facts.row['id']}: {judged.why}")

    def _compare_positions(self, account: UUID, market: str, ledger: Iterable[Mapping[str, Any]]) -> None:
        """What we hold by our books is what the exchange's trades leave, to the last decimal."""
        net: dict[str, Fraction] = defaultdict(Fraction)
        trades: dict[str, int] = defaultdict(int)
        for trade in (trade for entry in ledger for trade in entry.get("trades", ())):
            trades[trade["symbol"]] += 1
            net[trade["symbol"]] += left_by(trade, market)
        for symbol, size in net.items():
            (held,) = self._database.rows(
                "SELECT (SELECT coalesce(sum(CASE side WHEN 'long' THEN size ELSE -size END), 0)"
                "         FROM bridge.position WHERE account_id = %(a)s AND market = %(m)s"
                "          AND symbol = %(s)s AND status = 'open')"
                "     + (SELECT coalesce(sum(dust), 0) FROM bridge.holding"
                "         WHERE account_id = %(a)s AND market = %(m)s AND symbol = %(s)s) AS size,"
                " (SELECT count(*) FROM bridge.fill"
                "   WHERE account_id = %(a)s AND market = %(m)s AND symbol = %(s)s) AS fills",
                {"a": account, "m": market, "s": symbol},
            )
            what = f"{market} {symbol} of {account}"
            if held["fills"] != trades[symbol]:
                kind = "lost" if held["fills"] < trades[symbol] else "doubled"
                self._result.complain(kind, f"{what}: {held['fills']} fills of {trades[symbol]} trades")
            if Fraction(held["size"]) != size:
                self._result.complain("wrong", f"{what}: {held['size']} held, not {float(size)}")


def left_by(trade: Mapping[str, Any], market: str) -> Fraction:
    """Return what a trade adds to a position: on spot a buy's fee is taken from what was bought."""
    quantity = Fraction(trade["qty"])
    if not trade["buyer" if market == "futures" else "isBuyer"]:
        return -quantity
    return quantity if market == "futures" else quantity - Fraction(trade["commission"])
