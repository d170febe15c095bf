"""The environments this listener follows: for each its addresses, clock, symbols and prices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.binance.clock_offset import Clock
from shared.binance.spot import SpotRest
from shared.binance.transport import BinanceTransport
from shared.binance.venue import Venue
from shared.database.ledger import environment_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from shared.database.connect import Pool
    from shared.domain.order import Market
    from shared.endpoints import Endpoints
    from shared.settings import Configuration

MAX_REST_CONNECTIONS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Environment:
    """One market of one environment.

    Attributes:
        testnet: False for real money.
        endpoints: its addresses.
        venue: its clock, symbols, prices and REST requests.
        ready: set once clock and symbols are known.

    """

    testnet: bool
    endpoints: Endpoints
    venue: Venue
    ready: asyncio.Event

    @property
    def market(self) -> Market:
        """Spot or futures."""
        return self.venue.market

    def pair(self, symbol: str) -> tuple[str, str] | None:
        """Return base and quote asset of a symbol; None while it is not known."""
        instruments = self.venue.instruments
        instrument = instruments.by_symbol.get(symbol) if instruments else None
        return (instrument.base, instrument.quote) if instrument else None

    async def prices_for(self, asset: str, quote: str) -> dict[tuple[str, str], Decimal]:
        """Return fresh prices that lead from an asset to another, asking for them if need be."""
        prices = self.venue.prices()
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

    """

    def __init__(self, configuration: Configuration, pool: Pool) -> None:
        self._configuration = configuration
        self._pool = pool
        self._transport = BinanceTransport(max_connections=MAX_REST_CONNECTIONS)
        self._environments: dict[tuple[Market, bool], Environment] = {}
        self._opened: asyncio.Queue[Environment] = asyncio.Queue()

    def __iter__(self) -> Iterator[Environment]:
        """Iterate over the environments opened so far."""
        return iter(self._environments.values())

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
        rest = SpotRest(self._transport, endpoints.rest, Clock(), self._configuration.protocol.recv_window_ms)
        ready = asyncio.Event()
        max_age_s = self._configuration.guards.max_price_age.total_seconds()
        venue = Venue(market, rest, live=not testnet, max_price_age_s=max_age_s, on_ready=ready.set)
        return Environment(testnet, endpoints, venue, ready)

    async def run(self) -> None:
        """Keep every environment's clock, symbols and wanted prices fresh until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                environment = await self._opened.get()
                tasks.create_task(environment.venue.run(), name=f"venue {environment.endpoints.rest}")

    async def aclose(self) -> None:
        """Close every REST connection."""
        await self._transport.aclose()
