"""The venues this executor sends to: one per market and environment, opened when the first row needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shared.binance.ask import market_rest
from shared.binance.clock_offset import Clock
from shared.binance.rest import TransportFailure
from shared.binance.transport import BinanceTransport, NotSent
from shared.binance.venue import Venue
from shared.database.connect import DATABASE_AWAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from shared.binance.rest import Result, Ticket
    from shared.domain.order import Market
    from shared.settings import Configuration


log = structlog.get_logger(__name__)

WARM_CONNECTIONS = 4
RETRY_S = 0.25
WARM_EVERY_S = 8.0  # under half of the transport's idle limit


class Venues:
    """Opens venues and keeps them.

    Args:
        configuration: endpoints, recvWindow, price age.
        on_ready: called when a venue can be sent to.
        observed: told what came of every request.
        admit: asked for the rate budget's share of every request that is no order.
        epoch_of: reads the epoch of a base URL's environment, before it can be sent to.

    """

    def __init__(
        self,
        configuration: Configuration,
        on_ready: Callable[[], None],
        observed: Callable[[Venue, str, str, Result], None],
        admit: Callable[[Venue, str, str, str], Awaitable[Ticket | TransportFailure]],
        epoch_of: Callable[[str], Awaitable[int]],
    ) -> None:
        self._epoch_of = epoch_of
        self._observed = observed
        self._admit = admit
        self._configuration = configuration
        self._on_ready = on_ready
        self._transport = BinanceTransport(max_connections=configuration.protocol.send_slots + 16)
        self._venues: dict[tuple[Market, bool], Venue] = {}
        self._opened: asyncio.Queue[Venue] = asyncio.Queue()

    def __iter__(self) -> Iterator[Venue]:
        """Iterate over the venues opened so far; one that a row opens meanwhile comes with the next look."""
        return iter(tuple(self._venues.values()))

    def of(self, market: Market, *, testnet: bool) -> Venue:
        """Return the venue of an account's orders; a new one is not ready until its clock is known."""
        venue = self._venues.get((market, testnet))
        if venue is None:
            endpoints = self._configuration.exchange.endpoints(market, testnet=testnet)
            rest = market_rest(
                market,
                self._transport,
                endpoints.rest,
                Clock(),
                self._configuration.protocol.recv_window_ms,
                observe=lambda method, path, result: self._observed(
                    self._venues[market, testnet], method, path, result
                ),
                admit=lambda method, path, query: self._admit(
                    self._venues[market, testnet], method, path, query
                ),
            )
            max_age = self._configuration.guards.max_price_age.total_seconds()
            venue = Venue(market, rest, live=not testnet, max_price_age_s=max_age, on_ready=self._on_ready)
            self._venues[market, testnet] = venue
            self._opened.put_nowait(venue)
        return venue

    async def run(self) -> None:
        """Keep every venue fresh until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                venue = await self._opened.get()
                tasks.create_task(self._keep(venue), name=f"venue {venue.base_url}")
                tasks.create_task(self._keep_warm(venue), name=f"connections to {venue.base_url}")

    async def _keep(self, venue: Venue) -> None:
        while True:
            try:
                venue.environment_epoch = await self._epoch_of(venue.base_url)
                break
            except DATABASE_AWAY as error:
                log.warning("venue.database_away", base_url=venue.base_url, error=str(error))
                await asyncio.sleep(RETRY_S)
        await venue.run()

    async def _keep_warm(self, venue: Venue) -> None:
        """Keep connections open, so that no order waits for a handshake."""
        while True:
            try:
                await self._transport.warm(venue.base_url, WARM_CONNECTIONS)
            except NotSent as error:
                log.warning("venue.unreachable", base_url=venue.base_url, error=str(error))
                failure = TransportFailure(bytes_written=False, reason=error.reason, detail=str(error))
                self._observed(venue, "CONNECT", "", failure)
            await asyncio.sleep(WARM_EVERY_S)

    async def aclose(self) -> None:
        """Close every connection to the exchange."""
        await self._transport.aclose()
