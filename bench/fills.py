"""Fills: from the exchange's event to the committed position, how many a second, and what it takes to listen.

Resting orders are placed by the executor; then a price moves, so that what fills them reaches the bridge over
the user stream and no other way.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg

from bench.figures import Row, latencies, rates
from bench.simulator import enter_whole, start_simulator
from bench.throughput import sample
from bench.world import SYMBOLS, wait_for
from services.command_line.stand_in_bot import Bot, order_row
from services.local_exchange.symbols import default_symbols

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any
    from uuid import UUID

    from bench.simulator import Simulator, WholeBridge
    from bench.world import World

WITHIN_S = 120.0
GAP_S = 0.03
A_LITTLE = Decimal("0.00005")  # less than resting orders are apart, more than the simulator's spread
FAR = Decimal("0.01")  # the whole crowd sells below the resting orders
DEEP = 1000  # times the simulator's usual book: what rests is small beside it
TICKS = {f"{symbol.base}/USDT": symbol.tick for symbol in default_symbols()}
# The commit that stored the fill is the one that changed the position.
APPLIED = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS committed,
       extract(epoch FROM traded_at)::float8 AS traded
  FROM bridge.fill WHERE applied AND source = 'stream' AND order_id = ANY(%s)
"""
RESTING = "SELECT count(*) FROM bridge.outbox WHERE state = 'submitted'"


class Market:
    """Resting orders and the price that fills them.

    Args:
        world: where it runs.
        bridge: executor and listener, running.
        traders: user and account of each order; they take turns.

    """

    def __init__(self, world: World, bridge: WholeBridge, traders: Sequence[tuple[UUID, UUID]]) -> None:
        self._world = world
        self._bridge = bridge
        self._traders = traders
        self._prices = {
            symbol: self._start_price(bridge.simulator, symbol.replace("/", "")) for symbol in SYMBOLS
        }
        self._orders = 0
        for symbol in SYMBOLS:
            bridge.simulator.admin("/crowd", {"symbol": symbol.replace("/", ""), "scale": DEEP})

    @staticmethod
    def _start_price(simulator: Simulator, symbol: str) -> Decimal:
        return Decimal(str(simulator.admin("/price", {"symbol": symbol})["price"]))

    def rest(self, count: int, symbols: Sequence[str], *, apart: bool) -> list[dict[str, Any]]:
        """Have orders rest below the market, at one price or at a price each; returns their rows."""
        rows = []
        for number in range(count):
            self._orders += 1
            user, account = self._traders[number % len(self._traders)]
            symbol = symbols[number // len(self._traders) % len(symbols)]
            steps = Decimal(number + 1 if apart else 1) / 10_000
            price = (self._prices[symbol] * (1 - steps)).quantize(TICKS[symbol])
            amount = Decimal(20) + Decimal(self._orders % 50_000) / 10_000
            rows.append(
                order_row(
                    user, account, symbol=symbol, type="limit", price=price, amount=amount, agent_id="bench"
                )
            )
        with (
            Bot(self._bridge.dsn, self._world.encryption_key) as bot,
            psycopg.connect(self._bridge.dsn, autocommit=True) as connection,
        ):
            bot.copy_orders(rows)
            _wait_for_count(connection, RESTING, count, self._bridge, "orders rest")
        return rows

    def fall_below(self, symbol: str, price: Decimal, by: Decimal) -> None:
        """Move a price below one, so that all that rests there is filled."""
        lower = (price * (1 - by)).quantize(TICKS[symbol])
        self._bridge.simulator.admin("/price", {"symbol": symbol.replace("/", ""), "price": str(lower)})
        self._prices[symbol] = lower

    def applied(self, rows: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
        """Wait until all have filled; returns when each was committed and when it was traded."""
        ids = [row["id"] for row in rows]
        with psycopg.connect(self._bridge.dsn, autocommit=True) as connection:
            _wait_for_count(connection, RESTING, 0, self._bridge, "what rested is filled and applied")
            return connection.execute(APPLIED.encode(), [ids]).fetchall()


def _wait_for_count(
    connection: psycopg.Connection[Any], query: str, wanted: int, bridge: WholeBridge, what: str
) -> None:
    def counted() -> bool:
        time.sleep(0.05)  # counting is work as well
        row = connection.execute(query.encode()).fetchone()
        return row is not None and row[0] == wanted

    wait_for(counted, what, bridge.processes, WITHIN_S)


def measure(
    world: World, *, accounts: Sequence[int], repetitions: int, latency_orders: int, burst: int
) -> list[Row]:
    """Measure with so many accounts each; memory is read at the end, after all the work."""
    rows = []
    simulator = start_simulator(world, "--rate-limit-scale=1000", "--step-ms=0")
    for count in accounts:
        bridge = enter_whole(world, f"fills_{count}", simulator)
        traders = _traders(world, bridge, count)
        bridge.start()
        market = Market(world, bridge, traders)
        taken, per_second = [], []
        for _ in range(repetitions):
            taken.append(_one_by_one(market, latency_orders))
            per_second.append(_at_once(market, min(burst, 1000 * count)))
        name = f"{count:,} account{'s' if count > 1 else ''}"
        what = "event to position" if count == accounts[0] else f"event to position, {name}"
        rows.append(latencies(what, "bridge", taken, note=f"{name}; the event's time has whole milliseconds"))
        what = "fills from the stream" if count == accounts[0] else f"fills from the stream, {name}"
        rows.append(rates(what, "bridge", per_second, "fills/s", note=name))
        rows += [
            Row(f"resident memory, {name}", process.name, p50=process.resident_mb(), unit="MB")
            for process in bridge.processes
        ]
        bridge.stop()
    simulator.process.stop()
    return rows


def _traders(world: World, bridge: WholeBridge, count: int) -> list[tuple[UUID, UUID]]:
    """Have exactly so many active accounts; those beyond the world's own are made here."""
    traders = world.traders[:count]
    with Bot(bridge.dsn, world.encryption_key) as bot:
        bot.connection.execute(
            "UPDATE exchange_accounts SET is_active = id = ANY(%s)", [[account for _, account in traders]]
        )
        more = []
        for number in range(count - len(traders)):
            key = (f"bench-more-{bridge.dsn[-12:]}-{number}", f"bench-more-secret-{number}")
            user = bot.user()
            traders.append((user, bot.account(user, api_key=key[0], secret=key[1])))
            more.append(key)
    if more:
        bridge.simulator.fund(more)
    return traders


def _one_by_one(market: Market, count: int) -> list[float]:
    """Fill orders one after another; returns each one's latency in ms."""
    symbol = SYMBOLS[0]
    rows = market.rest(count, [symbol], apart=True)
    for row in rows:
        time.sleep(GAP_S)
        market.fall_below(symbol, row["price"], A_LITTLE)
    return [1000 * (committed - traded) for committed, traded in market.applied(rows)]


def _at_once(market: Market, count: int) -> float:
    """Fill many at once; returns how many a second, from the first trade to the last commit."""
    rows = market.rest(count, SYMBOLS, apart=False)
    lowest = {row["symbol"]: row["price"] for row in rows}
    for symbol, price in lowest.items():
        market.fall_below(symbol, price, FAR)
    applied = market.applied(rows)
    return count / (max(committed for committed, _ in applied) - min(traded for _, traded in applied))


def everything_on(world: World, *, repetitions: int, count: int) -> list[Row]:
    """Measure throughput with exchange simulator, listener and database on the same cores."""
    simulator = start_simulator(world, "--rate-limit-scale=1000")
    bridge = enter_whole(world, "everything", simulator)
    taken = []
    for _ in range(repetitions):
        bridge.start()
        sample(world, bridge, 200)
        taken.append(sample(world, bridge, count))
        bridge.stop()
    simulator.process.stop()
    measured = "throughput, 1 process, exchange simulator and listener on the same cores"
    return [rates(measured, "bridge", taken, "orders/s")]
