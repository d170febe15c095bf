"""PROTOCOL 6: read what the exchange says about one of our orders, from an answer, a query or the stream.

The same order looks different in three places (Spot docs: "New order", "Query order", "Payload: Order
Update"); here each becomes an `OrderReport`. An order whose client id is not in our form is none of ours and
gives None. What the futures exchange says is read by `futures_reports`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from shared.domain import futures_reports
from shared.domain.attempt import parse_client_order_id
from shared.domain.fill import (
    UnreadablePayloadError,
    from_answer,
    from_event,
    from_trade,
    moment_of,
    object_of,
    objects_of,
    text_of,
    whole_of,
)
from shared.domain.futures_fills import fill_from_trade
from shared.domain.money import ZERO, exactly, parse_decimal
from shared.domain.order import Market
from shared.domain.settlement import OrderReport
from shared.domain.states import ExchangeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from shared.domain.fill import Fill, FillOrigin


class _Names(NamedTuple):
    """Where one source keeps the parts of a report."""

    symbol: str
    order: str
    status: str
    executed: str
    executed_quote: str
    times: tuple[str, ...]


_ANSWER = _Names("symbol", "orderId", "status", "executedQty", "cummulativeQuoteQty", ("transactTime",))
_QUERY = _ANSWER._replace(times=("updateTime", "time"))
_EVENT = _Names("s", "i", "X", "z", "Z", ("T", "E"))


def report_of_answer(answer: Mapping[str, Any], origin: FillOrigin) -> OrderReport | None:
    """Read the answer to the POST of an order (ACK, RESULT or FULL), or to its DELETE.

    An ACK tells that the order was accepted and nothing more, so it counts as NEW.

    Args:
        answer: the JSON object.
        origin: account, market, epoch, assets and prices; its order is read from the client order id.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    if origin.market is Market.FUTURES:
        return futures_reports.report_of_order(answer, origin, "answer")
    # The answer to a cancel has the cancel's own id in clientOrderId (Spot docs, "Cancel order").
    client_order_id = str(object_of(answer).get("origClientOrderId") or answer.get("clientOrderId") or "")
    if "status" not in answer:
        answer = {**answer, "status": "NEW", "executedQty": "0", "cummulativeQuoteQty": "0"}
    return _report(
        answer, _ANSWER, client_order_id, origin, "answer", lambda owned: from_answer(answer, owned)
    )


def report_of_query(order: Mapping[str, Any], origin: FillOrigin) -> OrderReport | None:
    """Read one order of GET order, openOrders or allOrders; it has no fills (see `with_trades`).

    Args:
        order: one JSON object of the answer.
        origin: see `report_of_answer`.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    if origin.market is Market.FUTURES:
        return futures_reports.report_of_order(order, origin, "query")
    return _report(order, _QUERY, str(object_of(order).get("clientOrderId") or ""), origin, "query")


def report_of_event(event: Mapping[str, Any], origin: FillOrigin) -> OrderReport | None:
    """Read an order event of the user stream, with its fill when it is a trade.

    Args:
        event: what is inside the frame's `event`.
        origin: see `report_of_answer`.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    if origin.market is Market.FUTURES:
        return futures_reports.report_of_event(event, origin)

    def fills(owned: FillOrigin) -> tuple[Fill, ...]:
        fill = from_event(event, owned)
        return () if fill is None else (fill,)

    return _report(event, _EVENT, client_order_id_of_event(event), origin, "stream", fills)


def order_of_event(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the part of a stream event that speaks of an order; None when the event is about something else.

    Spot tells it all in one level, futures within `o`; both use the same short names there.
    """
    if event.get("e") == "executionReport":
        return event
    if event.get("e") not in ("ORDER_TRADE_UPDATE", "ALGO_UPDATE"):
        return None
    order = event.get("o")
    return order if isinstance(order, dict) else {}


def client_order_id_of_event(event: Mapping[str, Any]) -> str:
    """Return the order's own client id.

    `c` is the id of the request that caused the event, so on a cancel it is the cancel's and the order's own
    stands in `C`; on all other events `C` is empty (Spot docs, "Payload: Order Update").
    """
    return str(event.get("C") or event.get("c") or "")


def with_trades(report: OrderReport, trades: object, origin: FillOrigin) -> OrderReport:
    """Add to an order the fills that `myTrades` lists for it.

    Trades may be listed before we are told of them otherwise, so the order has executed at least their sum.

    Args:
        report: of the same order, made before the trades were asked for.
        trades: the answer of `myTrades?orderId=`; those of other orders are left out.
        origin: see `report_of_answer`.

    Raises:
        UnreadablePayloadError: a trade lacks a field.

    """
    owned = _owned(origin, report.order_id, report.client_order_id)
    read = fill_from_trade if origin.market is Market.FUTURES else from_trade
    told = [read(trade, owned) for trade in objects_of(trades)]
    fills = tuple(fill for fill in told if fill.exchange_order_id == report.exchange_order_id)
    with exactly():
        executed = sum((fill.quantity for fill in fills), ZERO)
        executed_quote = sum((fill.quote for fill in fills), ZERO)
    return replace(
        report,
        fills=fills,
        executed=max(report.executed, executed),
        executed_quote=max(report.executed_quote, executed_quote),
    )


def _report(
    row: Mapping[str, Any],
    names: _Names,
    client_order_id: str,
    origin: FillOrigin,
    source: str,
    fills: Callable[[FillOrigin], tuple[Fill, ...]] = lambda _: (),
) -> OrderReport | None:
    ours = parse_client_order_id(client_order_id)
    if ours is None:
        return None
    symbol, order = text_of(row, names.symbol), whole_of(row, names.order)
    time = whole_of(row, next((name for name in names.times if name in row), names.times[0]))
    try:
        status = ExchangeStatus(str(row.get(names.status)))
        executed = parse_decimal(row.get(names.executed))
        executed_quote = parse_decimal(row.get(names.executed_quote))
    except ValueError as error:
        raise UnreadablePayloadError(
            f"a report about order {order} of {symbol} is unreadable: {error}"
        ) from None
    return OrderReport(
        order_id=ours[0],
        number=ours[1],
        account_id=origin.account_id,
        market=origin.market,
        symbol=symbol,
        client_order_id=client_order_id,
        exchange_order_id=str(order),
        status=status,
        executed=executed,
        # Negative for very old orders: "not available" (Spot docs, "Query order").
        executed_quote=max(executed_quote, ZERO),
        occurred_at=moment_of(time),
        source=source,
        pair=origin.pair,
        fills=fills(_owned(origin, ours[0], client_order_id)),
    )


def _owned(origin: FillOrigin, order_id: UUID, client_order_id: str) -> FillOrigin:
    """Name the order a fill belongs to, where the caller has not done so."""
    if origin.order_id == order_id and origin.client_order_id == client_order_id:
        return origin
    return replace(origin, order_id=order_id, client_order_id=client_order_id)
