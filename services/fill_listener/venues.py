"""The environments this listener follows: for each its addresses, clock, symbols and prices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.fill_listener.pace import Pace
from shared.binance.ask import market_rest
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.futures_stream import FuturesUserStream
from shared.binance.transport import BinanceTransport
from shared.binance.user_stream import MAX_SUBSCRIPTIONS, open_user_stream
from shared.binance.venue import Venue
from shared.database.ledger import environment_epoch
from shared.domain.order import Market

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from decimal import Decimal
    from uuid import UUID

    from shared.binance.user_stream import UserStream
    from shared.database.connect import Pool
    from shared.endpoints import Endpoints
    from shared.settings import Configuration
    from shared.telemetry.redaction import Redactor

MAX_REST_CONNECTIONS = 16
CONNECTS_PER_S = 1.0  # 300 in 5 minutes is spot's documented bound; futures name none
CONNECTS_AT_ONCE = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class Environment:
    """One market of one environment.

    Attributes:
        testnet: False for real money.
        endpoints: its addresses.
        venue: its clock, symbols, prices and REST requests.
        ready: set once clock and symbols are known.
        accounts_per_stream: how many accounts one connection for user data carries.
        on_listen_key: told every listen key before anything can log it.
        connects: how fast connections for futures user data are made; each account may need one.

    """

    testnet: bool
    endpoints: Endpoints
    venue: Venue
    ready: asyncio.Event
    accounts_per_stream: int
    on_listen_key: Callable[[str], None]
    connects: Pace = field(default_factory=lambda: Pace(CONNECTS_PER_S, CONNECTS_AT_ONCE))

    @property
    def market(self) -> Market:
        """Spot or futures."""
        return self.venue.market

    @property
    def futures_rest(self) -> FuturesRest | None:
        """The futures client, where this is the futures market."""
        rest = self.venue.rest
        return rest if isinstance(rest, FuturesRest) else None

    @property
    def market_stream(self) -> str:
        """Root of the streams that carry tickers; on futures they have a path of their own."""
        return self.endpoints.stream + ("/market" if self.market is Market.FUTURES else "")

    async def open_stream(
        self,
        *,
        on_event: Callable[[UUID, dict[str, Any]], None],
        on_shutdown: Callable[[], None],
        recv_window_ms: int,
    ) -> UserStream | FuturesUserStream:
        """Open a connection for user data, of whatever kind this market has.

        Args:
            on_event: called with each event.
            on_shutdown: called when the server is about to go.
            recv_window_ms: of signed subscriptions.

        Raises:
            StreamDownError: it could not be opened.

        """
        rest = self.venue.rest
        if isinstance(rest, FuturesRest):
            return FuturesUserStream(
                self.endpoints.stream,
                rest,
                on_event=on_event,
                on_shutdown=on_shutdown,
                on_key=self.on_listen_key,
                before_connect=lambda: self.connects.take(1),
            )
        return await open_user_stream(
            self.endpoints.ws_api,
            rest.clock,
            on_event=on_event,
            on_shutdown=on_shutdown,
            recv_window_ms=recv_window_ms,
        )

    def pair(self, symbol: str) -> tuple[str, str] | None:
        """Return base and quote asset of a symbol; None while it is not known."""
        instruments = self.venue.instruments
        instrument = instruments.by_symbol.get(symbol) if instruments else None
        return (instrument.base, instrument.quote) if instrument else None

    async def prices_for(self, asset: str, quote: str) -> dict[tuple[str, str], Decimal]:
        """Return fresh prices that lead from an asset to another, asking for them if need be."""
        prices = dict(self.venue.prices())
        for symbol in (f"{asset}{quote}", f"{asset}USDT", f"{quote}USDT"):
            pair = self.pair(symbol)
            if pair is None or pair in prices:
                continue
            book = await self.venue.book(symbol)
            if book is not None:
                prices[pair] = (book.bid + book.ask) / 2
        return prices


class Environments:
    """Opens environments when the first account needs them, and keeps them.

    Args:
        configuration: endpoints, recvWindow, price age.
        pool: work connections.
        redactor: told every listen key.

    """

    def __init__(self, configuration: Configuration, pool: Pool, redactor: Redactor) -> None:
        self._configuration = configuration
        self._pool = pool
        self._redactor = redactor
        self._transport = BinanceTransport(max_connections=MAX_REST_CONNECTIONS)
        self._environments: dict[tuple[Market, bool], Environment] = {}
        self._opened: asyncio.Queue[Environment] = asyncio.Queue()

    def __iter__(self) -> Iterator[Environment]:
        """Iterate over the environments opened so far; one opened meanwhile comes with the next look."""
        return iter(tuple(self._environments.values()))

    async def of(self, market: Market, *, testnet: bool) -> Environment:
        """Return an environment; a new one knows its epoch, and its clock and symbols a moment later."""
        environment = self._environments.get((market, testnet))
        if environment is None:
            environment = self._open(market, testnet=testnet)
            async with self._pool.acquire() as connection:
                environment.venue.environment_epoch = await environment_epoch(
                    connection, environment.endpoints.rest
                )
            self._environments[market, testnet] = environment
            self._opened.put_nowait(environment)
        return environment

    def _open(self, market: Market, *, testnet: bool) -> Environment:
        endpoints = self._configuration.exchange.endpoints(market, testnet=testnet)
        recv_window_ms = self._configuration.protocol.recv_window_ms
        rest = market_rest(market, self._transport, endpoints.rest, Clock(), recv_window_ms)
        ready = asyncio.Event()
        max_age_s = self._configuration.guards.max_price_age.total_seconds()
        venue = Venue(market, rest, live=not testnet, max_price_age_s=max_age_s, on_ready=ready.set)
        futures = market is Market.FUTURES
        carried = self._configuration.futures.accounts_per_stream if futures else MAX_SUBSCRIPTIONS
        return Environment(testnet, endpoints, venue, ready, carried, self._redactor.register)

    async def run(self) -> None:
        """Keep every environment's clock, symbols and wanted prices fresh until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                environment = await self._opened.get()
                tasks.create_task(environment.venue.run(), name=f"venue {environment.endpoints.rest}")

    async def aclose(self) -> None:
        """Close every REST connection."""
        await self._transport.aclose()
