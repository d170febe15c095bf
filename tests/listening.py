"""A fill listener in this process, between a real database and a local exchange, for its tests."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from services.fill_listener.listener import FillListener
from services.local_exchange.server import running_exchange
from services.local_exchange.settings import Settings
from shared.binance.clock_offset import Clock
from shared.binance.rest import Answer
from shared.binance.sign import Credentials, signed_query
from shared.binance.spot import SpotRest
from shared.binance.transport import BinanceTransport
from shared.database.connect import open_pool
from shared.domain.attempt import client_order_id
from shared.service import surroundings
from shared.telemetry.metrics import LISTENER
from tests.bot import ENCRYPTION_KEY
from tests.claimed import Claimed, claimed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    import pytest

    from services.local_exchange.server import RunningExchange
    from shared.database.connect import Pool
    from tests.bot import Bot

SECONDS = 20.0


async def until(condition: Callable[[], Awaitable[bool] | bool], what: str) -> None:
    """Wait until something holds; fails with what did not."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {SECONDS:.0f} s: {what}")


@dataclass(slots=True)
class Trader:
    """A user with an account at the local exchange, and the executor's part played by hand."""

    market: LocalMarket
    bot: Bot
    user: UUID
    account: UUID
    name: str
    credentials: Credentials

    async def order(self, **columns: Any) -> Claimed:
        """Insert a row and claim it, as the executor does before it sends."""
        async with self.market.pool.acquire() as connection:
            return await claimed(connection, self.bot, (self.user, self.account), **columns)

    async def send(self, order: Claimed, **params: Any) -> dict[str, Any]:
        """Send an order under its own id; the answer is not settled, so the stream has to tell."""
        own_id = client_order_id(order.order_id, order.number)
        return await self.place(
            symbol=order.base + order.quote, side=order.side.upper(), newClientOrderId=own_id, **params
        )

    async def place(self, **params: Any) -> dict[str, Any]:
        """Place any order at the exchange."""
        rest = self.market.rest
        complete = {"timestamp": rest.clock.exchange_now_ms(), **params}
        answer = await rest.place_order(signed_query(complete, self.credentials), self.credentials.api_key)
        assert isinstance(answer, Answer)
        assert answer.ok, answer.body
        body: dict[str, Any] = answer.body
        return body

    async def abandon(self, order: Claimed) -> None:
        """Leave an order behind as a dead executor does: nobody knows what became of it."""
        await self.market.pool.execute(
            "UPDATE bridge.outbox SET state = 'unknown' WHERE order_id = $1", order.order_id
        )

    async def buy(self, quantity: str = "0.01", **columns: Any) -> Claimed:
        """Claim and send a market buy."""
        order = await self.order(**columns)
        await self.send(order, type="MARKET", quantity=quantity)
        return order

    def row(self, order: Claimed) -> dict[str, Any]:
        """Read the bot's row."""
        return self.bot.read_order(order.order_id)

    def positions(self) -> list[dict[str, Any]]:
        """Read the user's positions."""
        return self.bot.read_positions(self.user)

    async def filled(self, order: Claimed) -> None:
        """Wait until an order is filled and all its fills are stored and counted."""

        async def complete() -> bool:
            query = (
                "SELECT o.status = 'filled' AND a.executed = a.filled FROM bridge.attempt AS a "
                "JOIN public.orders AS o ON o.id = a.order_id WHERE o.id = $1"
            )
            return bool(await self.market.pool.fetchval(query, order.order_id))

        await until(complete, f"order filled, without a gap; it is {self.row(order)['status']}")


@dataclass(slots=True)
class LocalMarket:
    """The exchange, the database, and as many listeners as a test starts."""

    exchange: RunningExchange
    pool: Pool
    rest: SpotRest
    http: aiohttp.ClientSession
    monkeypatch: pytest.MonkeyPatch
    listeners: dict[FillListener, asyncio.Task[None]] = field(default_factory=dict)

    async def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the exchange's admin API."""
        async with self.http.request(method, self.exchange.admin_url + path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def trader(self, bot: Bot, name: str, **columns: Any) -> Trader:
        """Make a user with a funded account."""
        key, secret = f"key-of-{name}-not-a-secret", f"secret-of-{name}-not-a-secret"
        await self.admin(
            "POST",
            "/accounts",
            {
                "name": name,
                "api_key": key,
                "secret": secret,
                "balances": {"USDT": "1000000", "BTC": "10", "BNB": "0"},
            },
        )
        user = bot.user()
        account = bot.account(user, api_key=key, secret=secret, **columns)
        return Trader(self, bot, user, account, name, Credentials(key, secret))

    async def listen(self) -> FillListener:
        """Start a listener and wait until it hears every account."""
        listener = self.start()
        await until(lambda: listener.ready().ready, "the listener is ready")
        for carrier in listener.carriers():
            await carrier.lane.drained()  # what it hears is recorded, too
        return listener

    def start(self) -> FillListener:
        """Start a listener."""
        listener = FillListener(surroundings(LISTENER, self.pool))
        self.listeners[listener] = asyncio.create_task(listener.run())
        return listener

    async def kill(self, listener: FillListener) -> None:
        """End a listener as a crash would: nothing is drained, no lease given up."""
        task = self.listeners.pop(listener)
        task.cancel()
        await asyncio.wait([task])

    async def stop(self) -> None:
        """Drain every listener."""
        for listener in self.listeners:
            listener.drain()
        for task in self.listeners.values():
            await task


@asynccontextmanager
async def local_market(
    bridge_database: str, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[LocalMarket]:
    """Run an exchange and point this process's configuration at it and at the database."""
    async with (
        running_exchange(Settings(seed=7, accounts=(), rate_limit_scale=100, **settings)) as exchange,
        BinanceTransport() as transport,
        aiohttp.ClientSession() as http,
    ):
        for name, value in {
            "BRIDGE_DATABASE_URL": bridge_database,
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "BRIDGE_SPOT_TESTNET_REST_URL": exchange.rest_url,
            "BRIDGE_SPOT_TESTNET_WS_API_URL": exchange.ws_api_url,
            "BRIDGE_SPOT_TESTNET_STREAM_URL": exchange.stream_url,
        }.items():
            monkeypatch.setenv(name, value)
        pool = await open_pool(bridge_database, size=8, application_name="test")
        rest = SpotRest(transport, exchange.rest_url, Clock())
        await rest.server_time()
        market = LocalMarket(exchange, pool, rest, http, monkeypatch)
        try:
            yield market
        finally:
            await market.stop()
            await pool.close()
