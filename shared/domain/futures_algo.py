"""PROTOCOL 6: conditional futures orders as the algo service shows them, before and after they trigger.

The algo service has ids of its own. When the trigger is reached an ordinary order is made, whose client order
id is the `clientAlgoId` (Binance USDⓈ-M Futures docs, "Event: Algo Order Update"). Its events may come
before the algo order's own say so, and it alone knows what filled and how it ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from shared.domain.fill import UnreadablePayloadError, decimal_of, text_of, whole_of
from shared.domain.money import ZERO
from shared.domain.states import AlgoStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

ALGO_PREFIX: Final = "algo-"
"""Marks an id of the algo service wherever an exchange order id stands: the two number differently."""
REFUSED_AT_TRIGGER: Final = (
    "Binance refused the order when its trigger was reached and does not say why; "
    "most often the margin did not suffice."
)


def is_algo_id(exchange_order_id: str) -> bool:
    """Tell whether an exchange order id, as we keep it, is the algo service's and not yet an order's."""
    return exchange_order_id.startswith(ALGO_PREFIX)


@dataclass(frozen=True, slots=True)
class AlgoOrder:
    """A conditional order in one form, whatever said it.

    Args:
        algo_id: the algo service's number of it.
        client_algo_id: ours, and that of the order it becomes.
        symbol: as the exchange writes it.
        status: of the conditional order.
        quantity: ordered, in base.
        executed: filled quantity of the order it became; 0 where that is not told for certain.
        actual_order_id: the order it became, as text; '' before it triggered.
        at_ms: when, epoch milliseconds.
        reason: why the matching engine refused it, if it did; ''.

    """

    algo_id: int
    client_algo_id: str
    symbol: str
    status: AlgoStatus
    quantity: Decimal
    executed: Decimal
    actual_order_id: str
    at_ms: int
    reason: str = ""

    @property
    def exchange_order_id(self) -> str:
        """The order it became, else its own id, marked as such."""
        return self.actual_order_id or f"{ALGO_PREFIX}{self.algo_id}"


def algo_from_event(event: Mapping[str, Any]) -> AlgoOrder:
    """Read an ALGO_UPDATE; `ap`, `aq` and `rm` are absent, not zero, before there is something to say.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    order = event.get("o")
    if not isinstance(order, dict):
        raise UnreadablePayloadError("an event about a conditional order has no order")
    status = _status(order.get("X"))
    return AlgoOrder(
        algo_id=whole_of(order, "aid"),
        client_algo_id=text_of(order, "caid"),
        symbol=text_of(order, "s"),
        status=status,
        quantity=decimal_of(order, "q"),
        executed=decimal_of(order, "aq") if order.get("aq") else ZERO,
        actual_order_id=_actual(order.get("ai")),
        at_ms=whole_of(event, "T"),
        reason=_reason(status, order.get("rm")),
    )


def algo_from_order(order: Mapping[str, Any]) -> AlgoOrder:
    """Read the answer to placing or querying a conditional order, or one element of a list of them.

    `actualQty` is not taken for what filled: the documentation shows it on an order that never triggered. The
    order it became is asked instead.

    Raises:
        UnreadablePayloadError: a field is missing or the status is unknown.

    """
    status = _status(order.get("algoStatus"))
    return AlgoOrder(
        algo_id=whole_of(order, "algoId"),
        client_algo_id=text_of(order, "clientAlgoId"),
        symbol=text_of(order, "symbol"),
        status=status,
        quantity=decimal_of(order, "quantity"),
        executed=ZERO,
        actual_order_id=_actual(order.get("actualOrderId")),
        at_ms=whole_of(order, "updateTime"),
        reason=_reason(status, None),
    )


def _reason(status: AlgoStatus, told: Any) -> str:
    """Say why the engine refused an order; the event tells it, the answer to a query has no field for it."""
    return str(told or REFUSED_AT_TRIGGER) if status is AlgoStatus.REJECTED else ""


def _status(value: Any) -> AlgoStatus:
    try:
        return AlgoStatus(str(value))
    except ValueError:
        raise UnreadablePayloadError(
            f"a conditional order has the unknown status {str(value)[:40]!r}"
        ) from None


def _actual(value: Any) -> str:
    """Read the id of the order it became: text in the algo service's payloads, a number elsewhere."""
    text = "" if value is None else str(value)
    if text and not (text.isascii() and text.isdigit()):
        raise UnreadablePayloadError("the id of the order a conditional one became is no number")
    return "" if text == "0" else text
