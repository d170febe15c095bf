"""The spot market's own questions (Binance REST docs, /api/v3); those of both markets are in `questions`."""

from collections.abc import Sequence

import orjson

from shared.binance.questions import Paths, Questions
from shared.binance.rest import Answer, Result, TransportFailure, chosen
from shared.binance.sign import Credentials, Value
from shared.binance.transport import MAX_ANSWER_BYTES

__all__ = ["Answer", "Result", "SpotRest", "TransportFailure"]

_ALL_SYMBOLS_BYTES = 64 * 1024 * 1024  # the list of all symbols, uncompressed, outgrows the usual bound


class SpotRest(Questions):
    """The spot market behind one base URL."""

    PATHS = Paths(
        ping="/api/v3/ping",
        time="/api/v3/time",
        book_ticker="/api/v3/ticker/bookTicker",
        depth="/api/v3/depth",
        ticker_price="/api/v3/ticker/price",
        order="/api/v3/order",
        open_orders="/api/v3/openOrders",
        all_orders="/api/v3/allOrders",
        trades="/api/v3/myTrades",
    )

    async def exchange_info(self, symbols: Sequence[str] = ()) -> Result:
        """Ask for filters and limits (weight 20) of `symbols`, or of all."""
        params: dict[str, Value] = {"showPermissionSets": False}
        if symbols:
            params["symbols"] = orjson.dumps(list(symbols)).decode("ascii")
        return await self._rest.public("/api/v3/exchangeInfo", params, {MAX_ANSWER_BYTES: _ALL_SYMBOLS_BYTES})

    async def place_order(
        self, signed_query: str, api_key: str, *, first_byte_before: float | None = None
    ) -> Result:
        """POST one order: exactly these bytes, once; the arguments are those of `RestEndpoint.post_once`."""
        return await self._rest.post_once(
            self.PATHS.order, signed_query, api_key, first_byte_before=first_byte_before
        )

    async def account(self, credentials: Credentials, *, omit_zero_balances: bool = True) -> Result:
        """Ask for balances, permissions and `uid` (weight 20)."""
        params = chosen(omitZeroBalances=omit_zero_balances)
        return await self._rest.signed("GET", "/api/v3/account", params, credentials)

    async def rate_limit_order(self, credentials: Credentials) -> Result:
        """Ask for the unfilled order counts of the account (weight 40)."""
        return await self._rest.signed("GET", "/api/v3/rateLimit/order", {}, credentials)
