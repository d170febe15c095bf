"""PROTOCOL 6: read what the futures exchange says about one of our orders, plain or conditional.

Answers have neither average price nor quote amount any more, and which fields a query still has is not
certain (Binance USDⓈ-M Futures change log, 2026-06-30), so neither is used: what an order traded at is known
from its fills alone, and the reports tell quantities.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.domain.attempt import parse_client_order_id
from shared.domain.fill import (
    UnreadablePayloadError,
    decimal_of,
    moment_of,
    object_of,
    text_of,
    whole_of,
)
from shared.domain.futures_algo import algo_from_event, algo_from_order
from shared.domain.futures_fills import fill_from_event
from shared.domain.money import ZERO
from shared.domain.settlement import OrderReport
from shared.domain.states import ExchangeStatus, algo_exchange_status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from shared.domain.fill import FillOrigin
    from shared.domain.futures_algo import AlgoOrder


def report_of_order(order: Mapping[str, Any], origin: FillOrigin, source: str) -> OrderReport | None:
    """Read an order as placing, cancelling, a query or a list shows it; None when its id is not our form.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    if "algoId" in object_of(order):
        return _algo_report(algo_from_order(order), origin, source)
    # Placing and cancelling tell no `time`; both and every query tell `updateTime`.
    time = "updateTime" if "updateTime" in order else "time"
    return _report(
        origin,
        client_order_id=str(order.get("clientOrderId") or ""),
        symbol=text_of(order, "symbol"),
        exchange_order_id=str(whole_of(order, "orderId")),
        status=_status(order.get("status")),
        executed=decimal_of(order, "executedQty"),
        at_ms=whole_of(order, time),
        source=source,
    )


def report_of_event(event: Mapping[str, Any], origin: FillOrigin) -> OrderReport | None:
    """Read an ORDER_TRADE_UPDATE, with its fill when it tells of one, or an ALGO_UPDATE.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    if event.get("e") == "ALGO_UPDATE":
        return _algo_report(algo_from_event(event), origin, "stream")
    order = event.get("o")
    if not isinstance(order, dict):
        raise UnreadablePayloadError("an event about an order has no order")
    report = _report(
        origin,
        client_order_id=str(order.get("c") or ""),
        symbol=text_of(order, "s"),
        exchange_order_id=str(whole_of(order, "i")),
        status=_status(order.get("X")),
        executed=decimal_of(order, "z"),
        at_ms=whole_of(order, "T"),
        source="stream",
    )
    if report is None:
        return None
    owned = replace(origin, order_id=report.order_id, client_order_id=report.client_order_id)
    fill = fill_from_event(event, owned)
    return replace(report, fills=(fill,)) if fill is not None else report


def _algo_report(algo: AlgoOrder, origin: FillOrigin, source: str) -> OrderReport | None:
    return _report(
        origin,
        client_order_id=algo.client_algo_id,
        symbol=algo.symbol,
        exchange_order_id=algo.exchange_order_id,
        status=algo_exchange_status(algo.status, quantity=algo.quantity, executed=algo.executed),
        executed=algo.executed,
        at_ms=algo.at_ms,
        source=source,
        reason=algo.reason,
    )


def _report(
    origin: FillOrigin,
    *,
    client_order_id: str,
    symbol: str,
    exchange_order_id: str,
    status: ExchangeStatus,
    executed: Decimal,
    at_ms: int,
    source: str,
    reason: str = "",
) -> OrderReport | None:
    ours = parse_client_order_id(client_order_id)
    if ours is None:
        return None
    return OrderReport(
        order_id=ours[0],
        number=ours[1],
        account_id=origin.account_id,
        market=origin.market,
        symbol=symbol,
        client_order_id=client_order_id,
        exchange_order_id=exchange_order_id,
        status=status,
        executed=executed,
        executed_quote=ZERO,
        occurred_at=moment_of(at_ms),
        source=source,
        pair=origin.pair,
        reason=reason,
    )


def _status(value: Any) -> ExchangeStatus:
    try:
        return ExchangeStatus(str(value))
    except ValueError:
        raise UnreadablePayloadError(f"an order has the unknown status {str(value)[:40]!r}") from None
