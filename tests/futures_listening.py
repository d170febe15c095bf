"""A fill listener for futures in this process, between a real database and a local exchange, for tests."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.fill_listener.listener import FillListener
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.rest import Answer
from shared.binance.sign import Credentials, signed_query
from shared.binance.transport import BinanceTransport
from shared.domain.attempt import client_order_id
from shared.domain.order import Market
from shared.service import surroundings
from shared.telemetry.metrics import LISTENER
from tests.claimed import Claimed, claimed
from tests.listening import LocalMarket, local_market, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import pytest

    from tests.bot import Bot


@dataclass(slots=True)
class FuturesTrader:
    """A user with a futures account, and the executor's part played by hand."""

    market: FuturesMarket
    bot: Bot
    user: UUID
    account: UUID
    name: str
    credentials: Credentials

    async def order(self, side: str = "buy", **columns: Any) -> Claimed:
        """Insert a row and claim it, as the executor does before it sends."""
        conditional = str(columns.get("type", "")).startswith("stop")
        async with self.market.local.pool.acquire() as connection:
            return await claimed(
                connection,
                self.bot,
                (self.user, self.account),
                side=side,
                market_type="futures",
                lot_step="0.001",
                parameters="algoType=CONDITIONAL&symbol=BTCUSDT" if conditional else "",
                **columns,
            )

    async def send(self, order: Claimed, **params: Any) -> dict[str, Any]:
        """Send an order under its own id; the answer is not settled, so the stream has to tell."""
        own_id = client_order_id(order.order_id, order.number)
        name = "clientAlgoId" if "algoType" in params else "newClientOrderId"
        symbol = order.base + order.quote
        return await self.place(**{**params, "symbol": symbol, "side": order.side.upper(), name: own_id})

    async def place(self, **params: Any) -> dict[str, Any]:
        """Place any order at the exchange."""
        rest = self.market.rest
        complete = {**params, "timestamp": rest.clock.exchange_now_ms()}
        answer = await rest.place_order(signed_query(complete, self.credentials), self.credentials.api_key)
        assert isinstance(answer, Answer)
        assert answer.ok, answer.body
        body: dict[str, Any] = answer.body
        return body

    async def trade(self, side: str = "buy", quantity: str = "0.1", **params: Any) -> Claimed:
        """Claim and send a market order."""
        order = await self.order(side)
        await self.send(order, type="MARKET", quantity=quantity, **params)
        return order

    async def stop(self, side: str, trigger: str, quantity: str = "0.1", **params: Any) -> Claimed:
        """Claim and send a stop."""
        order = await self.order(side, type="stop_market")
        await self.send(
            order,
            algoType="CONDITIONAL",
            type="STOP_MARKET",
            triggerPrice=trigger,
            quantity=quantity,
            **params,
        )
        return order

    def row(self, order: Claimed) -> dict[str, Any]:
        """Read the bot's row."""
        return self.bot.read_order(order.order_id)

    def positions(self) -> list[dict[str, Any]]:
        """Read the user's positions, the oldest first."""
        return sorted(self.bot.read_positions(self.user), key=lambda row: row["opened_at"])

    def position(self) -> dict[str, Any]:
        """Read the user's only position."""
        (row,) = self.positions()
        return row

    async def shown(self, **columns: Any) -> None:
        """Wait until the user's newest position shows these values."""

        def holds() -> bool:
            rows = self.positions()
            return bool(rows) and all(rows[-1][name] == value for name, value in columns.items())

        await until(holds, f"position with {columns}; they are {self.positions()}")

    async def status(self, order: Claimed, status: str) -> None:
        """Wait until a row has a status and its fills add up."""

        async def complete() -> bool:
            query = (
                "SELECT o.status::text = $2 AND a.executed = a.filled FROM bridge.attempt AS a "
                "JOIN public.orders AS o ON o.id = a.order_id WHERE o.id = $1"
            )
            return bool(await self.market.local.pool.fetchval(query, order.order_id, status))

        await until(complete, f"order {status}, without a gap; it is {self.row(order)['status']}")


@dataclass(slots=True)
class FuturesMarket:
    """The futures half of a local market."""

    local: LocalMarket
    rest: FuturesRest

    async def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the exchange's admin API."""
        return await self.local.admin(method, path, body)

    async def price(self, price: str) -> None:
        """Move the market of BTCUSDT."""
        await self.admin("POST", "/price", {"symbol": "BTCUSDT", "price": price, "market": "futures"})

    async def trader(self, bot: Bot, name: str, balance: str = "100000", **columns: Any) -> FuturesTrader:
        """Make a user with a funded account that futures are traded on."""
        key, secret = f"key-of-{name}-not-a-secret", f"secret-of-{name}-not-a-secret"
        description = {
            "name": name,
            "api_key": key,
            "secret": secret,
            "balances": {},
            "futures_balances": {"USDT": balance},
        }
        await self.admin("POST", "/accounts", description)
        user = bot.user()
        account = bot.account(user, api_key=key, secret=secret, **columns)
        await self.local.pool.execute(
            "INSERT INTO bridge.stream (account_id, market) VALUES ($1, 'futures')", account
        )
        return FuturesTrader(self, bot, user, account, name, Credentials(key, secret))

    def start(self) -> FillListener:
        """Start a listener."""
        listener = FillListener(surroundings(LISTENER, self.local.pool), Market.FUTURES)
        self.local.listeners[listener] = asyncio.create_task(listener.run())
        return listener

    async def listen(self) -> FillListener:
        """Start a listener and wait until it hears every account."""
        listener = self.start()
        await until(lambda: listener.ready().ready, "the listener is ready")
        for carrier in listener.carriers():
            await carrier.lane.drained()
        return listener


@asynccontextmanager
async def futures_market(
    bridge_database: str, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[FuturesMarket]:
    """Run an exchange, its futures half known to this process's configuration; the price stands still."""
    async with (
        local_market(bridge_database, monkeypatch, volatility=0, **settings) as local,
        BinanceTransport() as transport,
    ):
        for name, value in {
            "BRIDGE_FUTURES_TESTNET_REST_URL": local.exchange.futures_rest_url,
            "BRIDGE_FUTURES_TESTNET_WS_API_URL": local.exchange.futures_ws_api_url,
            "BRIDGE_FUTURES_TESTNET_STREAM_URL": local.exchange.futures_stream_url,
        }.items():
            monkeypatch.setenv(name, value)
        rest = FuturesRest(transport, local.exchange.futures_rest_url, Clock())
        await rest.server_time()
        yield FuturesMarket(local, rest)
