"""The rate governor at the exchange's real limits: how much of each is used, and whether one is overstepped.

Two executors work off a backlog of resting LIMIT orders, which the exchange counts until the window ends.
Beside them an account with one order shows whether it has to wait for the others.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING

from bench.figures import Row
from bench.simulator import enter_whole, start_simulator
from bench.world import BenchError, client_ids
from services.command_line.stand_in_bot import Bot, order_row

if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from bench.world import World

WINDOW_MS = 10_000
MOST = 100  # spot's ORDERS limit of ten seconds, as the local exchange has it from production
TOO_MANY = ("429", "418")
RESTING = (
    ("BTC/USDT", Decimal(60_000)),
    ("ETH/USDT", Decimal(2_000)),
    ("SOL/USDT", Decimal(100)),
    ("BNB/USDT", Decimal(400)),
    ("XRP/USDT", Decimal("0.5")),
    ("DOGE/USDT", Decimal("0.1")),
)


def measure(world: World, *, accounts: int, windows: int, processes: int, backlog: int) -> list[Row]:
    """Work off a backlog for so many whole windows; each account has more rows than fit into them."""
    simulator = start_simulator(world, "--step-ms=0")
    bridge = enter_whole(world, "limits", simulator, with_listener=False)
    traders = world.traders[:accounts]
    with Bot(bridge.dsn, world.encryption_key) as bot:
        bot.copy_orders(row for trader in traders for row in resting(trader, (windows + 2) * MOST))
        bot.copy_orders(resting(world.traders[accounts], backlog))
        bridge.start(processes)
        first = int(time.time() * 1000) // WINDOW_MS + 1
        _sleep_until(first)
        user, account = world.traders[accounts + 1]
        single = order_row(user, account, amount=Decimal(25), agent_id="bench")
        bot.orders([single])
        committed_ns = time.time_ns()
        _sleep_until(first + windows)
    requests = simulator.admin("/requests")
    bridge.stop()
    simulator.process.stop()
    own_id = client_ids(single["id"])[0]
    arrived_ns = next((one["arrived_ns"] for one in requests if one["client_order_id"] == own_id), None)
    if arrived_ns is None:
        raise BenchError(f"an order beside {backlog:,} pending ones did not arrive in {windows} windows")
    used = [
        100 * counted(requests, world.keys[str(account)][0]).get(window, 0) / MOST
        for _, account in traders
        for window in range(first, first + windows)
    ]
    name = f"{processes} executors, {accounts} accounts, {windows} windows of 10 s"
    return [
        Row("order limit used, worst account and window", "bridge", p50=min(used), unit="%", note=name),
        Row(
            "requests refused as too many",
            "bridge",
            rate=float(refused(requests)),
            unit="requests",
            note=name,
        ),
        Row(
            f"wake-up beside another account's {backlog:,} pending orders",
            "bridge",
            p50=(arrived_ns - committed_ns) / 1e6,
        ),
    ]


def _sleep_until(window: int) -> None:
    time.sleep(max(0.0, window * WINDOW_MS / 1000 - time.time()))


def counted(requests: list[dict[str, Any]], account: str) -> dict[int, int]:
    """Count an account's placements by the window of the exchange's clock in which they arrived."""
    counts: dict[int, int] = {}
    for one in requests:
        if one["method"] == "POST" and one["account"] == account and one["path"].endswith("/order"):
            window = one["arrived_ns"] // 1_000_000 // WINDOW_MS
            counts[window] = counts.get(window, 0) + 1
    return counts


def refused(requests: list[dict[str, Any]]) -> int:
    """Count the requests that were one too many."""
    return sum(one["result"].startswith(TOO_MANY) for one in requests)


def resting(trader: tuple[UUID, UUID], count: int) -> list[dict[str, Any]]:
    """Make LIMIT buys that rest far below the market, no two of them alike."""
    user, account = trader
    return [
        order_row(
            user,
            account,
            symbol=symbol,
            type="limit",
            price=price,
            amount=Decimal(20) + Decimal(number) / 1000,
            agent_id="bench",
        )
        for number in range(count)
        for symbol, price in [RESTING[number % len(RESTING)]]
    ]
