"""DESIGN 6: last prices from the market streams, for as many symbols as are wanted at the moment.

Source: Binance spot docs, "WebSocket Streams": combined streams, `<symbol>@miniTicker` (one message a second,
only when something traded), at most 1,024 streams on a connection and 5 messages a second to it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.binance.user_stream import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, StreamDownError
from shared.domain.money import parse_decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from decimal import Decimal

    from websockets.asyncio.client import ClientConnection

MAX_STREAMS: Final = 1024
SYMBOLS_A_MESSAGE: Final = 200
BETWEEN_MESSAGES_S: Final = 0.25
SILENT_AFTER_S: Final = 60.0
MAX_FRAME_BYTES: Final = 1024 * 1024


class MarketStream:
    """One open connection.

    Args:
        socket: see `open_market_stream`.
        on_price: called with symbol and last price.

    """

    def __init__(self, socket: ClientConnection, on_price: Callable[[str, Decimal], None]) -> None:
        self._socket = socket
        self._on_price = on_price
        self._last_id = 0
        self.symbols: frozenset[str] = frozenset()

    async def want(self, symbols: Collection[str]) -> None:
        """Subscribe to these symbols and no others.

        Raises:
            StreamDownError: the connection is gone, or there are more symbols than one connection takes.

        """
        wanted = frozenset(symbols)
        if len(wanted) > MAX_STREAMS:
            raise StreamDownError("too many symbols")
        await self._tell("UNSUBSCRIBE", sorted(self.symbols - wanted))
        await self._tell("SUBSCRIBE", sorted(wanted - self.symbols))
        self.symbols = wanted

    async def read(self) -> str:
        """Read until the connection ends or is silent for a minute; says why."""
        try:
            while True:
                # With nothing wanted there is nothing to hear.
                timeout_s = SILENT_AFTER_S if self.symbols else None
                async with asyncio.timeout(timeout_s):
                    self._take(await self._socket.recv())
        except TimeoutError:
            return "silent"
        except ConnectionClosed as error:
            return f"closed {error.rcvd.code}" if error.rcvd else "lost"

    async def close(self) -> None:
        """Close the connection; `read` then returns."""
        await self._socket.close()

    async def _tell(self, method: str, symbols: list[str]) -> None:
        for start in range(0, len(symbols), SYMBOLS_A_MESSAGE):
            self._last_id += 1
            names = [f"{symbol.lower()}@miniTicker" for symbol in symbols[start : start + SYMBOLS_A_MESSAGE]]
            request = {"method": method, "params": names, "id": self._last_id}
            try:
                await self._socket.send(orjson.dumps(request).decode())
            except ConnectionClosed:
                raise StreamDownError("lost") from None
            await asyncio.sleep(BETWEEN_MESSAGES_S)

    def _take(self, message: str | bytes) -> None:
        try:
            frame: Any = orjson.loads(message)
            data = frame["data"]
            symbol, price = str(data["s"]), parse_decimal(data["c"])
        except (KeyError, TypeError, ValueError):
            return  # an answer to a request, or something that is no price: nothing to mark with
        if price > 0:
            self._on_price(symbol, price)


async def open_market_stream(url: str, on_price: Callable[[str, Decimal], None]) -> MarketStream:
    """Open a connection for combined streams, with none subscribed yet.

    Args:
        url: root of the streams.
        on_price: see `MarketStream`.

    Raises:
        StreamDownError: it could not be opened.

    """
    try:
        socket = await connect(
            f"{url}/stream",
            proxy=None,
            compression=None,
            open_timeout=CONNECT_TIMEOUT_S,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_FRAME_BYTES,
        )
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise StreamDownError(f"connect: {type(error).__name__}") from error
    return MarketStream(socket, on_price)
