"""DESIGN 6: what an order has come to, from its fills and the exchange's cumulative reports.

Reports may come late, twice or in any order; `advance` is a join (largest cumulative quantity, strongest
end), so the result does not depend on the order. The exchange's states are those of the Spot docs, "Order
status (status)".
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from shared.domain.fees import order_fee
from shared.domain.fill import UnreadablePayloadError, moment_of
from shared.domain.money import COLUMN_STEP, ZERO, exactly, parse_decimal, to_column
from shared.domain.order import OrderStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from shared.domain.fill import Fill

_ENDS = {
    "FILLED": OrderStatus.FILLED,
    "CANCELED": OrderStatus.CANCELED,
    "REJECTED": OrderStatus.REJECTED,
    "EXPIRED": OrderStatus.EXPIRED,
    "EXPIRED_IN_MATCH": OrderStatus.EXPIRED,
}
_LIVE = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED", "PENDING_CANCEL"})
# If two ends were ever reported for one order, the stronger one stands, whatever came first.
_STRENGTH = (None, OrderStatus.REJECTED, OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.FILLED)


@dataclass(frozen=True, slots=True)
class OrderReport:
    """One cumulative statement of the exchange about an order.

    Args:
        exchange_order_id: the exchange's id, as text.
        client_order_id: the order's own client id (of a cancel's event, `C`).
        symbol: as the exchange writes it.
        end: how the order ended; None while it lives.
        executed: cumulative base quantity.
        executed_quote: cumulative quote; None where the exchange no longer has it.
        reported_at: the exchange's time of the statement.
        reason: why it expired or was rejected, in the exchange's word; ''.

    """

    exchange_order_id: str
    client_order_id: str
    symbol: str
    end: OrderStatus | None
    executed: Decimal
    executed_quote: Decimal | None
    reported_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OrderProgress:
    """The furthest the exchange has reported."""

    end: OrderStatus | None = None
    executed: Decimal = ZERO
    executed_quote: Decimal | None = ZERO
    reported_at: datetime | None = None

    @property
    def status(self) -> OrderStatus:
        """What `orders.status` says."""
        if self.end is not None:
            return self.end
        return OrderStatus.PARTIAL if self.executed > 0 else OrderStatus.OPEN


def report_from_event(event: Mapping[str, Any]) -> OrderReport:
    """Read the cumulative part of a spot `executionReport`.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    reasons = [event.get(key) for key in ("eR", "r") if event.get(key) not in (None, "", "NONE")]
    return _report(event, ("i", "s", "X", "z", "Z", "T"), event.get("C") or event.get("c"), reasons)


def report_from_order(order: Mapping[str, Any]) -> OrderReport:
    """Read an order as a query or a RESULT or FULL answer shows it.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    time = "updateTime" if "updateTime" in order else "transactTime"
    names = ("orderId", "symbol", "status", "executedQty", "cummulativeQuoteQty", time)
    client = order.get("origClientOrderId") or order.get("clientOrderId")
    return _report(order, names, client, [order.get("expiryReason")])


def _report(
    row: Mapping[str, Any], names: tuple[str, str, str, str, str, str], client: Any, reasons: list[Any]
) -> OrderReport:
    order, symbol, status, executed, executed_quote, time = (row.get(name) for name in names)
    if not isinstance(order, int) or not isinstance(time, int) or not isinstance(symbol, str):
        raise UnreadablePayloadError("an order report lacks its order id, its symbol or its time")
    if status not in _LIVE and status not in _ENDS:
        raise UnreadablePayloadError(f"unknown order status {str(status)[:40]!r}")
    try:
        quote = parse_decimal(executed_quote)
        return OrderReport(
            exchange_order_id=str(order),
            client_order_id=str(client or ""),
            symbol=symbol,
            end=_ENDS.get(str(status)),
            executed=parse_decimal(executed),
            executed_quote=quote if quote >= 0 else None,
            reported_at=moment_of(time),
            reason=str(next((reason for reason in reasons if reason), "")),
        )
    except ValueError as error:
        raise UnreadablePayloadError(f"an order report has no readable quantity: {error}") from None


def advance(progress: OrderProgress, report: OrderReport) -> OrderProgress:
    """Take a report in. An older or lower one changes nothing; an end is never left."""
    furthest = progress if _reached(progress) >= _reached(report) else report
    times = [time for time in (progress.reported_at, report.reported_at) if time is not None]
    return OrderProgress(
        end=max(progress.end, report.end, key=_STRENGTH.index),
        executed=furthest.executed,
        executed_quote=furthest.executed_quote,
        reported_at=max(times),
    )


def _reached(statement: OrderProgress | OrderReport) -> tuple[Decimal, Decimal]:
    quote = statement.executed_quote
    return statement.executed, quote if quote is not None else Decimal(-1)


@dataclass(frozen=True, slots=True)
class Agrees:
    """The stored fills are exactly what the exchange reports."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Fills are missing: fetch `myTrades` of this order at once."""

    quantity: Decimal
    quote: Decimal | None


@dataclass(frozen=True, slots=True)
class Excess:
    """More is stored than reported: ask for the order; if it says the same, something was counted twice."""

    quantity: Decimal
    quote: Decimal | None


def conserve(
    fills: Iterable[Fill], executed: Decimal, executed_quote: Decimal | None
) -> Agrees | Gap | Excess:
    """Compare the stored fills of an order with the cumulative quantity and quote the exchange reports.

    Args:
        fills: all stored fills of the order.
        executed: the furthest cumulative quantity reported, in base.
        executed_quote: the cumulative quote with it; None where the exchange no longer has it.

    Returns:
        Whether they agree; the quote may differ by the last decimal of each fill.

    """
    stored = list(fills)
    with exactly():
        quantity = executed - sum((fill.quantity for fill in stored), ZERO)
        quote = None
        if executed_quote is not None:
            quote = executed_quote - sum((fill.quote for fill in stored), ZERO)
    if quantity > 0:
        return Gap(quantity, quote)
    if quantity < 0:
        return Excess(-quantity, None if quote is None else -quote)
    if quote is None or abs(quote) <= COLUMN_STEP * len(stored):
        return Agrees()
    return Gap(ZERO, quote) if quote > 0 else Excess(ZERO, -quote)


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """The columns of `public.orders` that the exchange decides, at their 8 decimals and never NULL.

    Args:
        status: as the exchange has it.
        filled_amount: in base.
        avg_fill_price: quote per base; 0 while nothing filled.
        fee: in `fee_currency`.
        fee_currency: the asset charged, or the quote asset when there were several; ''.
        filled_at: only when the status is filled.

    """

    status: OrderStatus
    filled_amount: Decimal
    avg_fill_price: Decimal
    fee: Decimal
    fee_currency: str
    filled_at: datetime | None


def roll_up(fills: Iterable[Fill], progress: OrderProgress, quote: str) -> OrderFigures:
    """Write an order's figures from its fills.

    Args:
        fills: all stored fills of the order.
        progress: the furthest report; while fills are missing its cumulative figures stand in for theirs.
        quote: quote asset of the symbol.

    """
    stored = list(fills)
    with exactly():
        filled = sum((fill.quantity for fill in stored), ZERO)
        value = sum((fill.quote for fill in stored), ZERO)
        if progress.executed > filled and progress.executed_quote is not None:
            filled, value = progress.executed, progress.executed_quote
        average = to_column(value / filled) if filled > 0 else ZERO
    fee, currency = order_fee(stored, quote)
    status = progress.status
    if progress.end is None and filled > 0:
        status = OrderStatus.PARTIAL
    last = max((fill.traded_at for fill in stored), default=progress.reported_at)
    return OrderFigures(
        status=status,
        filled_amount=to_column(filled),
        avg_fill_price=average,
        fee=to_column(fee),
        fee_currency=currency,
        filled_at=last if status is OrderStatus.FILLED else None,
    )
