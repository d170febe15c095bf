"""What both markets are asked: the same questions, each under its own path (Binance docs, spot and futures).

Each gives an `Answer` or a `TransportFailure`. The order itself is given as its finished query string:
parameters and timestamp were decided when it was claimed (PROTOCOL 4). Everything else is signed when asked.
Weights are those of spot / futures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from shared.binance.rest import RestEndpoint, chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from shared.binance.clock_offset import Clock
    from shared.binance.rest import Admit, Observer, Result
    from shared.binance.sign import Credentials


class Paths(NamedTuple):
    """Where a market answers which question."""

    ping: str
    time: str
    book_ticker: str
    depth: str
    ticker_price: str
    order: str
    open_orders: str
    all_orders: str
    trades: str


class Questions(ABC):
    """One market behind one base URL.

    Args:
        transport: see `rest.RestEndpoint`.
        base_url: scheme and host, e.g. https://testnet.binance.vision or https://demo-fapi.binance.com.
        clock: the exchange's clock, shared by everything that signs for this base URL.
        recv_window_ms: recvWindow of the questions; the order brings its own.
        observe: see `rest.RestEndpoint`.
        admit: see `rest.RestEndpoint`.

    """

    PATHS: ClassVar[Paths]

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        base_url: str,
        clock: Clock,
        recv_window_ms: int = 5000,
        observe: Observer | None = None,
        admit: Admit | None = None,
    ) -> None:
        self._rest = RestEndpoint(transport, base_url, clock, recv_window_ms, observe, admit)

    @property
    def base_url(self) -> str:
        """Scheme and host, as stored on an attempt."""
        return self._rest.base_url

    @property
    def clock(self) -> Clock:
        """The exchange's clock as far as this process knows it."""
        return self._rest.clock

    @abstractmethod
    async def exchange_info(self, symbols: Sequence[str] = ()) -> Result:
        """Ask for filters and limits of `symbols`, or of all."""

    @abstractmethod
    async def place_order(
        self, signed_query: str, api_key: str, *, first_byte_before: float | None = None
    ) -> Result:
        """POST one order: exactly these bytes, once; see `RestEndpoint.post_once`."""

    @abstractmethod
    async def account(self, credentials: Credentials) -> Result:
        """Ask for the account's balances."""

    async def ping(self) -> Result:
        """Ask whether the exchange answers (weight 1)."""
        return await self._rest.public(self.PATHS.ping)

    async def server_time(self) -> Result:
        """Ask the time and let the clock learn from the answer (weight 1).

        `exchangeInfo` has a `serverTime` too, which is days old on the demo exchange; it is never used.
        """
        return await self._rest.time(self.PATHS.time)

    async def book_ticker(self, symbol: str | None = None) -> Result:
        """Ask for best bid and ask of one symbol (weight 2), or of all (4 / 5)."""
        return await self._rest.public(self.PATHS.book_ticker, chosen(symbol=symbol))

    async def depth(self, symbol: str, limit: int) -> Result:
        """Ask for the best levels of both sides of the book (weight 50 / 20 for 1000)."""
        return await self._rest.public(self.PATHS.depth, {"symbol": symbol, "limit": limit})

    async def ticker_price(self, symbol: str | None = None) -> Result:
        """Ask for the last price of one symbol (weight 2 / 1), or of all (4 / 2)."""
        return await self._rest.public(self.PATHS.ticker_price, chosen(symbol=symbol))

    async def order(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        client_order_id: str | None = None,
        order_id: int | None = None,
    ) -> Result:
        """Ask for one plain order by our id or by the exchange's (weight 4 / 1).

        Futures forget it after 3 days if it was cancelled or expired unfilled.
        """
        params = chosen(symbol=symbol, orderId=order_id, origClientOrderId=client_order_id)
        return await self._rest.signed("GET", self.PATHS.order, params, credentials)

    async def cancel_order(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        client_order_id: str | None = None,
        order_id: int | None = None,
    ) -> Result:
        """Cancel one plain order by our id or by the exchange's (weight 1; on spot 0 when it worked)."""
        params = chosen(symbol=symbol, orderId=order_id, origClientOrderId=client_order_id)
        return await self._rest.signed("DELETE", self.PATHS.order, params, credentials)

    async def open_orders(self, credentials: Credentials, symbol: str | None = None) -> Result:
        """Ask for the open plain orders of one symbol (weight 6 / 1) or of all (80 / 40)."""
        return await self._rest.signed("GET", self.PATHS.open_orders, chosen(symbol=symbol), credentials)

    async def all_orders(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        from_order_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> Result:
        """Ask for plain orders of any state (weight 20 / 5), from an id on or within 24 h / 7 days."""
        params = chosen(symbol=symbol, orderId=from_order_id, startTime=start_ms, endTime=end_ms, limit=limit)
        return await self._rest.signed("GET", self.PATHS.all_orders, params, credentials)

    async def my_trades(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        order_id: int | None = None,
        from_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> Result:
        """Ask for trades, the oldest first (weight 20, with `order_id` 5 / 5).

        Spot refuses times beside `order_id` (-1128). On futures times cover 7 days at most and exclude
        `from_id`, and nothing is older than three months: to go on, ask from the last trade id + 1.
        """
        params = chosen(
            symbol=symbol, orderId=order_id, fromId=from_id, startTime=start_ms, endTime=end_ms, limit=limit
        )
        return await self._rest.signed("GET", self.PATHS.trades, params, credentials)
