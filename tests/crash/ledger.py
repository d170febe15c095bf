"""Pure: the exchange's own ledger in one form, whatever market and service an order was placed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def orders_of(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the orders of a ledger; a conditional one and the order it became are one.

    Args:
        entries: of the admin API's ledger, of either market.

    Returns:
        Objects with `clientOrderId`, `orderId`, `status` and `executedQty`; that of a conditional order that
        did not trigger has the algo service's id, marked as the bridge marks it.

    """
    plain: list[Mapping[str, Any]] = []
    conditional: list[Mapping[str, Any]] = []
    for entry in entries:
        if "algo" in entry:
            conditional.append(entry["algo"])
        else:
            plain.append(entry["order"])
    known = {str(order["orderId"]) for order in plain}
    untriggered = [algo for algo in conditional if str(algo.get("actualOrderId") or "") not in known]
    return [
        *plain,
        *(
            {
                "clientOrderId": algo["clientAlgoId"],
                "orderId": f"algo-{algo['algoId']}",
                "symbol": algo["symbol"],
                "status": algo["algoStatus"],
                "executedQty": "0",
            }
            for algo in untriggered
        ),
    ]
