"""PROTOCOL 7: the questions, on either market, and the cancel that needs to know which service has the order.

A conditional futures order is asked for in the algo service, and as the order it may have become: the same
client id, another service. Its single query was seen to deny orders that exist (Binance USDⓈ-M Futures docs
know nothing of it), so the lists are asked, too, before anything is made of a "does not exist".
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from shared.binance.futures import FuturesRest
from shared.binance.rest import Admit, Answer, Observer, Result
from shared.binance.spot import SpotRest
from shared.domain.absence import QuestionKind
from shared.domain.classify import Expected, find_order
from shared.domain.order import Market

if TYPE_CHECKING:
    import httpx

    from shared.binance.clock_offset import Clock
    from shared.binance.sign import Credentials

MarketRest: TypeAlias = SpotRest | FuturesRest
"""The client of one market; what both have, they call the same."""
FULL_PAGE: Final = 1000
NO_SUCH_ORDER: Final = -2013


def market_rest(
    market: Market,
    transport: httpx.AsyncBaseTransport,
    base_url: str,
    clock: Clock,
    recv_window_ms: int,
    observe: Observer | None = None,
    admit: Admit | None = None,
) -> MarketRest:
    """Make the client of a market; the arguments are those of both clients."""
    client = FuturesRest if market is Market.FUTURES else SpotRest
    return client(transport, base_url, clock, recv_window_ms, observe, admit)


async def put(
    rest: MarketRest, credentials: Credentials, kind: QuestionKind, expected: Expected, since_ms: int
) -> Result:
    """Ask one question about an attempt.

    Args:
        rest: of its market.
        credentials: of its account.
        kind: which; the three about conditional orders make sense on futures only.
        expected: the order asked about.
        since_ms: lists begin here, on the exchange's clock.

    Raises:
        ValueError: a question that this market does not have.

    """
    symbol, own_id = expected.symbol, expected.client_order_id
    match kind:
        case QuestionKind.ORDER:
            return await rest.order(credentials, symbol, client_order_id=own_id)
        case QuestionKind.OPEN_ORDERS:
            return await rest.open_orders(credentials, symbol)
        case QuestionKind.ALL_ORDERS:
            return await rest.all_orders(credentials, symbol, start_ms=since_ms, limit=FULL_PAGE)
        case QuestionKind.TRADES:
            return await rest.my_trades(credentials, symbol, start_ms=since_ms, limit=FULL_PAGE)
    if not isinstance(rest, FuturesRest):
        raise ValueError(f"{kind} is a question of the futures market; the attempt is not conditional")  # noqa: TRY004
    match kind:
        case QuestionKind.ALGO_ORDER:
            answer = await rest.algo_order(credentials, own_id)
            if _denied(answer):
                return await rest.order(credentials, symbol, client_order_id=own_id)
            return answer
        case QuestionKind.OPEN_ALGO_ORDERS:
            return await rest.open_algo_orders(credentials, symbol)
        case QuestionKind.ALL_ALGO_ORDERS:
            return await rest.all_algo_orders(credentials, symbol, start_ms=since_ms, limit=FULL_PAGE)


async def order(
    rest: MarketRest, credentials: Credentials, expected: Expected, *, conditional: bool = False
) -> Result:
    """Ask what became of one order, wherever it is.

    A conditional order that triggered is shown as the order it became, which alone knows what filled.

    Returns:
        The answer that shows it; -2013 where nobody knows it; else the first answer that was none.

    """
    plain = await rest.order(credentials, expected.symbol, client_order_id=expected.client_order_id)
    if not conditional or not isinstance(rest, FuturesRest) or not _denied(plain):
        return plain
    found = await _algo_order(rest, credentials, expected)
    actual = found.body.get("actualOrderId") if isinstance(found, Answer) and found.ok else None
    if isinstance(actual, str | int) and str(actual).isdecimal() and int(actual):
        became = await rest.order(credentials, expected.symbol, order_id=int(actual))
        return found if _denied(became) else became
    return found


async def cancel(
    rest: MarketRest, credentials: Credentials, expected: Expected, *, conditional: bool = False
) -> Result:
    """Cancel one order; of a conditional one that triggered already, the order it became.

    Returns:
        The answer of whichever service had it. The algo service says that it did, and not what the order is.

    """
    symbol, own_id = expected.symbol, expected.client_order_id
    if not conditional or not isinstance(rest, FuturesRest):
        return await rest.cancel_order(credentials, symbol, client_order_id=own_id)
    answer = await rest.cancel_algo_order(credentials, own_id)
    if isinstance(answer, Answer) and answer.code in (-2011, NO_SUCH_ORDER):
        return await rest.cancel_order(credentials, symbol, client_order_id=own_id)
    return answer


async def _algo_order(rest: FuturesRest, credentials: Credentials, expected: Expected) -> Result:
    """Ask the algo service for an order, the lists where its query denies it."""
    single = await rest.algo_order(credentials, expected.client_order_id)
    if not _denied(single):
        return single
    for listed in (rest.open_algo_orders, rest.all_algo_orders):
        answer = await listed(credentials, expected.symbol)
        if not isinstance(answer, Answer) or not answer.ok:
            return answer
        found: Any = find_order(answer.body, expected)
        if found is not None:
            return replace(answer, body=found)
    return single


def _denied(answer: Result) -> bool:
    """Tell whether the exchange says that there is no such order."""
    return isinstance(answer, Answer) and answer.code == NO_SUCH_ORDER
