"""Spot REST requests (Binance REST docs, /api/v3), each returning an `Answer` or a `TransportFailure`.

The order itself is given as its finished query string: parameters and timestamp were decided when the order
was claimed (PROTOCOL 4). Everything else is signed when asked.
"""

from collections.abc import Sequence

import httpx
import orjson

from shared.binance.clock_offset import Clock
from shared.binance.rest import Admit, Answer, Observer, RestEndpoint, Result, TransportFailure, chosen
from shared.binance.sign import Credentials, Value
from shared.binance.transport import MAX_ANSWER_BYTES

__all__ = ["Answer", "Result", "SpotRest", "TransportFailure"]

_ALL_SYMBOLS_BYTES = 64 * 1024 * 1024  # the list of all symbols, uncompressed, outgrows the usual bound


class SpotRest:
    """The spot market behind one base URL.

    Args:
        transport: see `rest.RestEndpoint`.
        base_url: scheme and host, e.g. https://api.binance.com or https://testnet.binance.vision.
        clock: the exchange's clock, shared by everything that signs for this base URL.
        recv_window_ms: recvWindow of the questions; the order brings its own.
        observe: see `rest.RestEndpoint`.
        admit: see `rest.RestEndpoint`.

    """

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

    async def ping(self) -> Result:
        """Ask whether the exchange answers (weight 1)."""
        return await self._rest.public("/api/v3/ping")

    async def server_time(self) -> Result:
        """Ask the time and let the clock learn from the answer (weight 1)."""
        return await self._rest.time("/api/v3/time")

    async def exchange_info(self, symbols: Sequence[str] = ()) -> Result:
        """Ask for filters and limits (weight 20) of `symbols`, or of all."""
        params: dict[str, Value] = {"showPermissionSets": False}
        if symbols:
            params["symbols"] = orjson.dumps(list(symbols)).decode("ascii")
        return await self._rest.public("/api/v3/exchangeInfo", params, {MAX_ANSWER_BYTES: _ALL_SYMBOLS_BYTES})

    async def book_ticker(self, symbol: str | None = None) -> Result:
        """Ask for best bid and ask (weight 2) of one symbol, or (4) of all."""
        return await self._rest.public("/api/v3/ticker/bookTicker", chosen(symbol=symbol))

    async def depth(self, symbol: str, limit: int) -> Result:
        """Ask for the best levels of both sides of the book (weight 50 for 1000)."""
        return await self._rest.public("/api/v3/depth", {"symbol": symbol, "limit": limit})

    async def ticker_price(self, symbol: str | None = None) -> Result:
        """Ask for the last price (weight 2) of one symbol, or (4) of all."""
        return await self._rest.public("/api/v3/ticker/price", chosen(symbol=symbol))

    async def place_order(
        self, signed_query: str, api_key: str, *, first_byte_before: float | None = None
    ) -> Result:
        """POST one order: exactly these bytes, once.

        Args:
            signed_query: of `sign.signed_query`, over the parameters and timestamp stored with the attempt.
            api_key: of the key that signed.
            first_byte_before: `time.monotonic()` value after which no byte may leave any more; then the
                result is a failure with reason "too_late" and nothing written.

        """
        return await self._rest.post_once(
            "/api/v3/order", signed_query, api_key, first_byte_before=first_byte_before
        )

    async def order(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        client_order_id: str | None = None,
        order_id: int | None = None,
    ) -> Result:
        """Ask for one order (weight 4) by our id or by the exchange's."""
        params = chosen(symbol=symbol, orderId=order_id, origClientOrderId=client_order_id)
        return await self._rest.signed("GET", "/api/v3/order", params, credentials)

    async def cancel_order(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        client_order_id: str | None = None,
        order_id: int | None = None,
    ) -> Result:
        """Cancel one order (weight 1, 0 when it worked) by our id or by the exchange's."""
        params = chosen(symbol=symbol, orderId=order_id, origClientOrderId=client_order_id)
        return await self._rest.signed("DELETE", "/api/v3/order", params, credentials)

    async def open_orders(self, credentials: Credentials, symbol: str | None = None) -> Result:
        """Ask for the open orders of one symbol (weight 6) or of all (80)."""
        return await self._rest.signed("GET", "/api/v3/openOrders", chosen(symbol=symbol), credentials)

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
        """Ask for orders of any state (weight 20), from an order id on or by update time within 24 h."""
        params = chosen(symbol=symbol, orderId=from_order_id, startTime=start_ms, endTime=end_ms, limit=limit)
        return await self._rest.signed("GET", "/api/v3/allOrders", params, credentials)

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
        """Ask for trades (weight 20, with `order_id` 5); `order_id` and times exclude each other (-1128)."""
        params = chosen(
            symbol=symbol, orderId=order_id, fromId=from_id, startTime=start_ms, endTime=end_ms, limit=limit
        )
        return await self._rest.signed("GET", "/api/v3/myTrades", params, credentials)

    async def account(self, credentials: Credentials, *, omit_zero_balances: bool = True) -> Result:
        """Ask for balances, permissions and `uid` (weight 20)."""
        params = chosen(omitZeroBalances=omit_zero_balances)
        return await self._rest.signed("GET", "/api/v3/account", params, credentials)

    async def rate_limit_order(self, credentials: Credentials) -> Result:
        """Ask for the unfilled order counts of the account (weight 40)."""
        return await self._rest.signed("GET", "/api/v3/rateLimit/order", {}, credentials)
