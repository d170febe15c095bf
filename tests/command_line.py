"""The operator at his terminal: runs verbs in this process and reads what they print."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from typer.testing import CliRunner

from services.command_line.__main__ import app
from services.command_line.terminal import ExitCode
from services.local_exchange.server import RunningExchange, running_exchange
from services.local_exchange.settings import DEFAULT_ACCOUNTS
from shared.binance.ask import MarketRest, market_rest
from shared.binance.clock_offset import Clock
from shared.binance.rest import Answer
from shared.binance.sign import Credentials, signed_query
from shared.binance.transport import BinanceTransport
from shared.crypto import hash_api_key
from shared.database.connect import open_pool
from shared.database.settle import settle
from shared.domain.attempt import client_order_id
from shared.domain.order import Market
from tests.bot import ENCRYPTION_KEY
from tests.claimed import claimed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from uuid import UUID

    from services.local_exchange.settings import Settings
    from shared.binance.rest import Result
    from tests.bot import Bot


@dataclass(slots=True)
class Terminal:
    """A terminal with an environment."""

    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: object,
        code: ExitCode = ExitCode.DONE,
        typed: str | None = None,
        **variables: str,
    ) -> str:
        """Run `bridge ARGUMENTS`, assert its exit code, and return stdout and stderr together."""
        result = CliRunner().invoke(
            app, [str(argument) for argument in arguments], input=typed, env={**self.environment, **variables}
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"exit code {result.exit_code}:\n{result.output}"
        return result.output

    def json(
        self, *arguments: object, code: ExitCode = ExitCode.DONE, variables: Mapping[str, str] | None = None
    ) -> Any:
        """Run with `--json` and return the document it printed on stdout."""
        result = CliRunner().invoke(
            app,
            [*(str(argument) for argument in arguments), "--json"],
            env={**self.environment, **(variables or {})},
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"exit code {result.exit_code}:\n{result.output}"
        return json.loads(result.stdout)


@contextmanager
def exchange_in_thread(settings: Settings) -> Iterator[RunningExchange]:
    """Run a local exchange on an event loop of its own: a verb has its own, and blocks its thread."""
    started = threading.Event()
    running: list[RunningExchange] = []
    failed: list[BaseException] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        end = asyncio.Event()
        async with running_exchange(settings) as exchange:
            running.append(exchange)
            stop.append((asyncio.get_running_loop(), end))
            started.set()
            await end.wait()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - shown to the test, which waits in another thread
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work, name="local exchange")
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield running[0]
    finally:
        for loop, end in stop:
            loop.call_soon_threadsafe(end.set)
        thread.join()


@dataclass(slots=True)
class AtExchange:
    """What somebody does at the local exchange with an account's key, beside the bridge."""

    running: RunningExchange
    account: Mapping[str, Any] = field(default_factory=lambda: DEFAULT_ACCOUNTS[0])

    @property
    def variables(self) -> dict[str, str]:
        """The variables that point a verb at this exchange."""
        return {
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "BRIDGE_SPOT_TESTNET_REST_URL": self.running.rest_url,
            "BRIDGE_SPOT_TESTNET_WS_API_URL": self.running.ws_api_url,
            "BRIDGE_SPOT_TESTNET_STREAM_URL": self.running.stream_url,
            "BRIDGE_FUTURES_TESTNET_REST_URL": self.running.futures_rest_url,
            "BRIDGE_FUTURES_TESTNET_WS_API_URL": self.running.futures_ws_api_url,
            "BRIDGE_FUTURES_TESTNET_STREAM_URL": self.running.futures_stream_url,
        }

    @property
    def key(self) -> dict[str, str]:
        """Key and secret, as `Bot.account` takes them."""
        return {"api_key": self.account["api_key"], "secret": self.account["secret"]}

    def place(self, client_order_id: str, **parameters: str) -> dict[str, Any]:
        """Place an order, by default a market buy of BTC for 100 USDT; returns the exchange's answer."""
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "100"} | parameters
        return self._asked(lambda rest, key: _place(rest, key, order | {"newClientOrderId": client_order_id}))

    def place_future(self, client_order_id: str, **parameters: str) -> dict[str, Any]:
        """Place a futures order: a market buy of 0.002 BTC, or the conditional one the parameters make."""
        name = "clientAlgoId" if "algoType" in parameters else "newClientOrderId"
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.002"} | parameters
        return self._asked(
            lambda rest, key: _place(rest, key, order | {name: client_order_id}), market=Market.FUTURES
        )

    def place_far_below(self, client_order_id: str) -> dict[str, Any]:
        """Place a limit buy that rests."""
        order = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "quantity": "0.001",
            "price": "60000.00",
        }
        order |= {"timeInForce": "GTC", "newClientOrderId": client_order_id}
        return self._asked(lambda rest, key: _place(rest, key, order))

    def cancel(self, client_order_id: str) -> dict[str, Any]:
        """Cancel an order."""
        return self._asked(
            lambda rest, key: rest.cancel_order(key, "BTCUSDT", client_order_id=client_order_id)
        )

    def order(self, client_order_id: str) -> dict[str, Any]:
        """Read an order."""
        return self._asked(lambda rest, key: rest.order(key, "BTCUSDT", client_order_id=client_order_id))

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the exchange's admin API."""
        response = httpx.request(method, self.running.admin_url + path, json=body, timeout=10)
        response.raise_for_status()
        return response.json() if response.content else None

    def _asked(
        self, work: Callable[[MarketRest, Credentials], Awaitable[Result]], market: Market = Market.SPOT
    ) -> dict[str, Any]:
        url = self.running.rest_url if market is Market.SPOT else self.running.futures_rest_url

        async def ask() -> dict[str, Any]:
            async with BinanceTransport() as transport:
                rest = market_rest(market, transport, url, Clock(), recv_window_ms=5000)
                await rest.server_time()
                answer = await work(rest, Credentials(self.account["api_key"], self.account["secret"]))
                assert isinstance(answer, Answer), answer
                assert answer.ok, answer.body
                body: dict[str, Any] = answer.body
                return body

        # A verb's test may run on an event loop of its own.
        with ThreadPoolExecutor(1) as beside:
            return beside.submit(asyncio.run, ask()).result()


async def _place(rest: MarketRest, key: Credentials, order: dict[str, str]) -> Result:
    timing = {"recvWindow": 5000, "timestamp": rest.clock.exchange_now_ms()}
    return await rest.place_order(signed_query({**order, **timing}, key), key.api_key)


def make_unknown(
    database: str,
    order: UUID,
    *,
    base_url: str,
    api_key: str,
    symbol: str = "BTCUSDT",
    number: int = 1,
    parameters: str = "",
) -> str:
    """Leave an order as a worker does that died after its claim, an hour ago; returns its client order id."""
    name = client_order_id(order, number)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE orders SET status = 'open' WHERE id = %s", [order])
        connection.execute(
            "UPDATE bridge.outbox SET state = 'sending', attempts = %s, token = gen_random_uuid(), "
            "lease_until = clock_timestamp() - interval '59 min' WHERE order_id = %s",
            [number, order],
        )
        connection.execute(
            "INSERT INTO bridge.attempt "
            "(order_id, number, client_order_id, account_id, user_id, market, symbol, "
            "parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, base_asset, "
            "quote_asset, lot_step, claimed_at) "
            "SELECT order_id, %s, %s, account_id, user_id, market, %s, %s, "
            "extract(epoch FROM clock_timestamp() - interval '1 hour') * 1000, 5000, %s, %s, 1, token, "
            "'BTC', "
            "'USDT', 0.00001, clock_timestamp() - interval '1 hour' FROM bridge.outbox WHERE order_id = %s",
            [number, name, symbol, parameters, base_url, hash_api_key(api_key), order],
        )
    return name


async def settled_buy(dsn: str, bot: Bot, account: tuple[UUID, UUID]) -> UUID:
    """Buy 0.005 BTC for real, as far as the database knows."""
    pool = await open_pool(dsn, size=1, application_name="test")
    async with pool.acquire() as connection:
        order = await claimed(connection, bot, account, reasoning="the trend")
        order.trade(7, "0.005", "70000", fee="0.000005", asset="BTC", last=True)
        await settle(connection, order.reports())
    await pool.close()
    return order.order_id
