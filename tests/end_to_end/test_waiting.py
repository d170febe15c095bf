"""PROTOCOL 8: what says nothing about an order rejects nothing, counts nothing, and goes on by itself."""

from __future__ import annotations

import base64
import secrets
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from services.command_line.demo import EXECUTOR, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.end_to_end.conftest import Trader

# Ten minutes, scaled: many pauses, probes and sweeps pass in it.
OUTAGE_S = 6.0
SCALED = {
    "BRIDGE_RECV_WINDOW_MS": "500",
    "BRIDGE_ENGINE_DELAY": "0.25",
    "BRIDGE_QUERY_LAG": "0.25",
    "BRIDGE_GAP_WAIT": "1",
    "BRIDGE_LEASE": "1",
    "BRIDGE_SWEEP_INTERVAL": "0.5",
}


@pytest.fixture(scope="module")
def own() -> Iterator[LocalTestnet]:
    """A testnet of these tests alone, with one executor in scaled time."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, environment=SCALED, fsync=False) as local:
        local.start_service(EXECUTOR)
        yield local


@pytest.fixture
def alone(own: LocalTestnet) -> Iterator[Trader]:
    """A user of that testnet."""
    assert own.database_url is not None
    own.admin("DELETE", "/faults")
    with Bot(own.database_url, own.encryption_key) as bot:
        yield new_trader(own, bot)


def refused_connections(trader: Trader) -> Callable[[], None]:
    """Stop the exchange; its port refuses. Back again it knows the accounts it is told of."""
    local = trader.local
    local.exchange.kill()
    local.processes.remove(local.exchange)

    def back() -> None:
        local.start_exchange()
        local.admin("POST", "/accounts", trader.at_local)

    return back


def ban(trader: Trader) -> Callable[[], None]:
    """Have the exchange ban us: 418 with Retry-After, which is waited out to its end."""
    trader.local.admin("POST", "/ban", {"ms": int(OUTAGE_S * 1000) + 4000})
    return lambda: None


def attempts(trader: Trader, order: Any) -> list[dict[str, Any]]:
    """Read the attempts of an order."""
    return trader.bot.connection.execute(
        "SELECT number, outcome FROM bridge.attempt WHERE order_id = %s ORDER BY number", [order]
    ).fetchall()


@pytest.mark.parametrize("outage", [refused_connections, ban])
def test_outage_of_the_exchange_rejects_counts_and_uses_up_nothing(
    own: LocalTestnet, alone: Trader, outage: Callable[[Trader], Callable[[], None]]
) -> None:
    """What makes the outage known is not sent and not counted; a row that comes then just waits."""
    executor = next(p for p in own.processes if p.name.startswith("order_executor"))
    alone.until_status(alone.order(symbol="BNB/USDT", amount=Decimal(399)), "filled")
    before = executor.log.stat().st_size
    end = outage(alone)
    first = alone.order(symbol="ETH/USDT", amount=Decimal(400))

    def known() -> bool:
        return b"paused" in executor.log.read_bytes()[before:]

    alone.until(known, "the outage is known")
    second = alone.order(symbol="BTC/USDT", amount=Decimal(401))
    time.sleep(OUTAGE_S)
    assert all(attempt["outcome"] == "not_sent" for attempt in attempts(alone, first))
    assert attempts(alone, second) == []
    for order in (first, second):
        assert alone.row(order)["status"] in ("pending", "open")
        assert alone.entry(order)["counted"] == 0
    end()
    for order in (first, second):
        alone.until_status(order, "filled")
    for order in (first, second):
        assert len([o for o in alone.at_exchange() if order.hex in o["clientOrderId"]]) == 1


def test_database_away_costs_the_row_nothing(own: LocalTestnet, alone: Trader) -> None:
    """An order in flight when Postgres dies is settled after its return; nothing is sent twice."""
    fault = {"action": "delay_answer", "ms": 1000, "method": "POST", "route": "/api/v3/order", "count": 1}
    own.admin("POST", "/faults", fault)
    order = alone.order(symbol="ETH/USDT", amount=Decimal(403))
    alone.until(lambda: len(alone.at_exchange()) == 1, "the exchange has the order")
    assert own.server is not None
    own.server.kill()
    time.sleep(OUTAGE_S / 2)
    own.server.start()
    assert own.database_url is not None
    with Bot(own.database_url, own.encryption_key) as bot:
        alone.bot = bot
        alone.until_status(order, "filled")
        assert [attempt["outcome"] for attempt in attempts(alone, order)] == ["accepted"]
    assert len(alone.at_exchange()) == 1
