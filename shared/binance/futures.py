"""The futures market's own questions (Binance USDⓈ-M Futures docs, /fapi); those of both are in `questions`.

Conditional orders live in a service of their own with ids of their own (docs, "New Algo Order"); what such an
order becomes when it triggers is an ordinary order whose `clientOrderId` is the `clientAlgoId`.
"""

from collections.abc import Sequence
from typing import Final

from shared.binance.questions import Paths, Questions
from shared.binance.rest import Answer, Result, chosen
from shared.binance.sign import Credentials
from shared.binance.transport import MAX_ANSWER_BYTES

CONDITIONAL: Final = "algoType=CONDITIONAL"
"""The parameter that sends an order to the algo service."""
NO_CHANGE: Final = frozenset({-4046, -4059})
"""Codes of a setting that is already as asked for (docs, "Error Code"): as good as success."""

_ALL_SYMBOLS_BYTES: Final = 32 * 1024 * 1024  # 1.1 MB in 2026; there is no way to ask for fewer symbols


class FuturesRest(Questions):
    """The USDⓈ-M futures market behind one base URL."""

    PATHS = Paths(
        ping="/fapi/v1/ping",
        time="/fapi/v1/time",
        book_ticker="/fapi/v1/ticker/bookTicker",
        depth="/fapi/v1/depth",
        ticker_price="/fapi/v2/ticker/price",
        order="/fapi/v1/order",
        open_orders="/fapi/v1/openOrders",
        all_orders="/fapi/v1/allOrders",
        trades="/fapi/v1/userTrades",
    )

    async def exchange_info(self, symbols: Sequence[str] = ()) -> Result:
        """Ask for filters and limits (weight 1) of all symbols; the exchange ignores a choice of symbols."""
        extensions = {MAX_ANSWER_BYTES: _ALL_SYMBOLS_BYTES}
        return await self._rest.public("/fapi/v1/exchangeInfo", extensions=extensions)

    async def place_order(
        self, signed_query: str, api_key: str, *, first_byte_before: float | None = None
    ) -> Result:
        """POST one order, plain or conditional: exactly these bytes, once.

        Which of the two it is stands in the query itself, so that the endpoint is as durable as the attempt.

        Args:
            signed_query: see `RestEndpoint.post_once`.
            api_key: of the key that signed.
            first_byte_before: see `RestEndpoint.post_once`.

        """
        conditional = CONDITIONAL in signed_query.split("&")
        path = "/fapi/v1/algoOrder" if conditional else self.PATHS.order
        return await self._rest.post_once(path, signed_query, api_key, first_byte_before=first_byte_before)

    async def algo_order(self, credentials: Credentials, client_algo_id: str) -> Result:
        """Ask for one conditional order (weight 1).

        It was seen to answer -2013 for orders that exist, finished ones and ones just placed; ask the lists,
        too.
        """
        params = chosen(clientAlgoId=client_algo_id)
        return await self._rest.signed("GET", "/fapi/v1/algoOrder", params, credentials)

    async def cancel_algo_order(self, credentials: Credentials, client_algo_id: str) -> Result:
        """Cancel one conditional order that has not triggered (weight 1)."""
        params = chosen(clientAlgoId=client_algo_id)
        return await self._rest.signed("DELETE", "/fapi/v1/algoOrder", params, credentials)

    async def open_algo_orders(self, credentials: Credentials, symbol: str | None = None) -> Result:
        """Ask for the conditional orders that have not triggered: of one symbol (weight 1), of all (40)."""
        return await self._rest.signed("GET", "/fapi/v1/openAlgoOrders", chosen(symbol=symbol), credentials)

    async def all_algo_orders(
        self,
        credentials: Credentials,
        symbol: str,
        *,
        from_algo_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> Result:
        """Ask for conditional orders of any state (weight 5), within 7 days."""
        params = chosen(symbol=symbol, algoId=from_algo_id, startTime=start_ms, endTime=end_ms, limit=limit)
        return await self._rest.signed("GET", "/fapi/v1/allAlgoOrders", params, credentials)

    async def account(self, credentials: Credentials) -> Result:
        """Ask for balances and positions in short (weight 5)."""
        return await self._rest.signed("GET", "/fapi/v3/account", {}, credentials)

    async def account_config(self, credentials: Credentials) -> Result:
        """Ask for the account's settings, `dualSidePosition` (hedge mode) among them (weight 5)."""
        return await self._rest.signed("GET", "/fapi/v1/accountConfig", {}, credentials)

    async def symbol_config(self, credentials: Credentials, symbol: str) -> Result:
        """Ask for leverage and margin type of a symbol (weight 5)."""
        return await self._rest.signed("GET", "/fapi/v1/symbolConfig", chosen(symbol=symbol), credentials)

    async def position_risk(self, credentials: Credentials, symbol: str | None = None) -> Result:
        """Ask for positions with entry and liquidation price, leverage and margin type (weight 5).

        Version 2 and not 3, which has neither leverage nor margin type.
        """
        return await self._rest.signed("GET", "/fapi/v2/positionRisk", chosen(symbol=symbol), credentials)

    async def set_leverage(self, credentials: Credentials, symbol: str, leverage: int) -> Result:
        """Set the leverage of a symbol, long and short together (weight 1)."""
        params = chosen(symbol=symbol, leverage=leverage)
        return await self._rest.signed("POST", "/fapi/v1/leverage", params, credentials)

    async def set_margin_type(self, credentials: Credentials, symbol: str, margin_type: str) -> Result:
        """Set ISOLATED or CROSSED for a symbol (weight 1); refused while it has orders or a position."""
        params = chosen(symbol=symbol, marginType=margin_type)
        return await self._rest.signed("POST", "/fapi/v1/marginType", params, credentials)

    async def income(
        self,
        credentials: Credentials,
        *,
        income_type: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> Result:
        """Ask for funding, commissions, transfers and so on (weight 30), by default of the last 7 days."""
        params = chosen(incomeType=income_type, startTime=start_ms, endTime=end_ms, limit=limit)
        return await self._rest.signed("GET", "/fapi/v1/income", params, credentials)

    async def create_listen_key(self, api_key: str) -> Result:
        """Return the account's listen key, the active one if there is one, good for another hour (weight 1).

        The key belongs to the account, not to us: whoever else listens has the same one, so it is never
        deleted.
        """
        return await self._rest.send("POST", "/fapi/v1/listenKey", "", api_key)

    async def extend_listen_key(self, api_key: str) -> Result:
        """Extend the listen key by an hour (weight 1); -1125 when there is none any more."""
        return await self._rest.send("PUT", "/fapi/v1/listenKey", "", api_key)


def listen_key_of(answer: Result) -> str | None:
    """Return the listen key of an answer; None when it has none."""
    if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, dict):
        return None
    key = answer.body.get("listenKey")
    return key if isinstance(key, str) and key else None


def setting_holds(answer: Result) -> bool:
    """Tell whether leverage or margin type now is what was asked for."""
    return isinstance(answer, Answer) and (answer.status == 200 or answer.code in NO_CHANGE)
