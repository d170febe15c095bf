"""PROTOCOL 8: what says nothing about an order rejects nothing, counts nothing, and goes on by itself."""

from __future__ import annotations

import base64
import secrets
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from services.command_line.demo import fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end import resolver_on_a_switch
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

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


NAME = "exchange.test"
MARKETS = ("spot", "futures")
POSTS = {"spot": "/api/v3/order", "futures": "/fapi/v1/order"}


@pytest.fixture(scope="module")
def own() -> Iterator[LocalTestnet]:
    """A testnet of these tests alone, with one executor in scaled time that knows the exchange by name."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, environment=SCALED, fsync=False) as local:
        switch(local).touch()
        local.start_service(
            resolver_on_a_switch.__name__,
            BRIDGE_SPOT_TESTNET_REST_URL=f"http://{NAME}:{local.exchange_port}",
            BRIDGE_FUTURES_TESTNET_REST_URL=f"http://{NAME}:{local.futures_port}",
            **{resolver_on_a_switch.SWITCH: str(switch(local))},
        )
        yield local


@pytest.fixture
def alone(own: LocalTestnet) -> Iterator[Trader]:
    """A user of that testnet."""
    assert own.database_url is not None
    own.admin("DELETE", "/faults")
    with Bot(own.database_url, own.encryption_key) as bot:
        yield new_trader(own, bot)


def switch(local: LocalTestnet) -> Path:
    """Return the file without which no name is resolved."""
    return local.folder / "names"


def refused_connections(trader: Trader) -> Callable[[], None]:
    """Stop the exchange; its ports refuse. Back again it knows the accounts it is told of."""
    local = trader.local
    local.exchange.kill()
    local.processes.remove(local.exchange)

    def back() -> None:
        local.start_exchange()
        local.admin("POST", "/accounts", trader.at_local)

    return back


def unresolved_names(trader: Trader) -> Callable[[], None]:
    """Let the resolver fail, and end the connections that need it no more."""
    switch(trader.local).unlink()
    trader.local.admin("POST", "/rest/disconnect", {})
    return switch(trader.local).touch


def ban(trader: Trader) -> Callable[[], None]:
    """Have the exchange ban us: 418 with Retry-After, which is waited out to its end."""
    trader.local.admin("POST", "/ban", {"ms": int(OUTAGE_S * 1000) + 4000})
    return lambda: None


def attempts(trader: Trader, order: UUID) -> list[dict[str, Any]]:
    """Read the attempts of an order."""
    return trader.bot.connection.execute(
        "SELECT number, outcome FROM bridge.attempt WHERE order_id = %s ORDER BY number", [order]
    ).fetchall()


def until_accepted(trader: Trader, order: UUID) -> None:
    """Wait until the exchange has taken an order, and see that it has it once."""
    taken = "accepted"
    trader.until(lambda: taken in [one["outcome"] for one in attempts(trader, order)], f"{order} is {taken}")
    at_exchange = [one for market in MARKETS for one in trader.at_exchange(market)]
    assert len([one for one in at_exchange if order.hex in one["clientOrderId"]]) == 1


@pytest.mark.parametrize("outage", [refused_connections, unresolved_names, ban])
def test_outage_of_the_exchange_rejects_counts_and_uses_up_nothing(
    own: LocalTestnet, alone: Trader, outage: Callable[[Trader], Callable[[], None]]
) -> None:
    """While the exchange cannot be reached rows wait, on both markets; afterwards each is sent once."""
    (executor,) = (p for p in own.processes if p is not own.exchange)
    for market in MARKETS:  # connections, prices and position mode are known
        until_accepted(alone, alone.order(symbol="BNB/USDT", market_type=market, amount=Decimal(399)))
    before = executor.log.stat().st_size
    end = outage(alone)
    first = [alone.order(symbol="ETH/USDT", market_type=market, amount=Decimal(400)) for market in MARKETS]

    def known() -> bool:
        lines = [line for line in executor.log.read_bytes()[before:].splitlines() if b"paused" in line]
        ports = (own.exchange_port, own.futures_port)
        return all(any(b":%d" % port in line for line in lines) for port in ports)

    alone.until(known, "the outage is known, at both addresses")
    second = [alone.order(symbol="BTC/USDT", market_type=market, amount=Decimal(401)) for market in MARKETS]
    time.sleep(OUTAGE_S)
    for order in first:
        tried = attempts(alone, order)
        assert all(attempt["outcome"] == "not_sent" for attempt in tried)
        assert len(tried) <= 3, "it was tried until the outage was known, and not again"
    for order in second:
        assert attempts(alone, order) == []
    for order in first + second:
        assert alone.row(order)["status"] in ("pending", "open")
        assert alone.entry(order)["counted"] == 0
    end()
    for order in first + second:
        until_accepted(alone, order)


@pytest.mark.parametrize("market", MARKETS)
def test_database_away_costs_the_row_nothing(own: LocalTestnet, alone: Trader, market: str) -> None:
    """An order in flight when Postgres dies is settled after its return; nothing is sent twice."""
    fault = {"action": "delay_answer", "ms": 1000, "method": "POST", "route": POSTS[market], "count": 1}
    own.admin("POST", "/faults", fault)
    order = alone.order(symbol="ETH/USDT", market_type=market, amount=Decimal(403))
    alone.until(lambda: len(alone.at_exchange(market)) == 1, "the exchange has the order")
    assert own.server is not None
    own.server.kill()
    time.sleep(OUTAGE_S / 2)
    own.server.start()
    assert own.database_url is not None
    with Bot(own.database_url, own.encryption_key) as bot:
        alone.bot = bot
        until_accepted(alone, order)
        assert [attempt["outcome"] for attempt in attempts(alone, order)] == ["accepted"]
        assert alone.entry(order)["counted"] == 0
        waiting = alone.order(symbol="SOL/USDT", market_type=market, amount=Decimal(404))
        until_accepted(alone, waiting)
    assert len(alone.at_exchange(market)) == 2
