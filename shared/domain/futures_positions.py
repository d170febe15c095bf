"""DESIGN 6: what the exchange itself says of futures positions, to show and to compare with the ledger.

The ledger counts positions from fills; liquidation price, leverage and margin type are the exchange's alone.
Its own profit of each execution (`rp`, before fees) is compared with ours: both reckon by average cost, so
they differ by rounding, or because one of us misses an execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from shared.domain.fill import decimal_of, moment_of, object_of, objects_of, text_of, whole_of
from shared.domain.money import ZERO, exactly
from shared.domain.position import PositionSide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from shared.domain.fill import Fill
    from shared.domain.holding import Counted
    from shared.domain.position import Position

LEAST_DIFFERENCE: Final = Decimal("0.000001")
ROUNDING: Final = Decimal("0.000001")
"""Share of what was traded by which two ways of rounding an average price may make the profit differ."""


@dataclass(frozen=True, slots=True)
class ExchangePosition:
    """An open position as `positionRisk` shows it.

    Args:
        symbol: as the exchange writes it.
        side: long or short.
        size: in base, positive.
        liquidation_price: in quote; 0 where there is none.
        leverage: of the symbol.
        margin_mode: `cross` or `isolated`, as the bot writes it.

    """

    symbol: str
    side: PositionSide
    size: Decimal
    liquidation_price: Decimal
    leverage: int
    margin_mode: str


def read_positions(rows: object) -> list[ExchangePosition]:
    """Read the answer of `positionRisk` (version 2); symbols without a position are left out.

    Raises:
        UnreadablePayloadError: it is no list of positions, or a number is missing.

    """
    found = []
    for row in objects_of(rows):
        amount = decimal_of(row, "positionAmt")
        if amount:
            found.append(_position(row, amount))
    return found


def _position(row: Mapping[str, Any], amount: Decimal) -> ExchangePosition:
    leverage = decimal_of(row, "leverage")
    return ExchangePosition(
        symbol=text_of(row, "symbol"),
        # In hedge mode the amount of a short is negative, too.
        side=PositionSide.LONG if amount > 0 else PositionSide.SHORT,
        size=abs(amount),
        liquidation_price=max(decimal_of(row, "liquidationPrice"), ZERO),
        leverage=max(int(leverage), 1),
        margin_mode="isolated" if text_of(row, "marginType").lower() == "isolated" else "cross",
    )


def realized_difference(before: Position, after: Counted, fills: Iterable[Fill]) -> Decimal | None:
    """Compare the profit that some fills brought with what the exchange says they did, both before fees.

    Args:
        before: the position without them.
        after: the position with them.
        fills: those counted in between.

    Returns:
        Ours less the exchange's, in quote; None when they agree, or the exchange said nothing.

    """
    told = [fill for fill in fills if fill.realized is not None]
    if not told:
        return None
    with exactly():
        start = before.cycle
        ours = sum((cycle.realized + cycle.fees for cycle in after.cycles), ZERO)
        ours -= (start.realized + start.fees) if start is not None else ZERO
        theirs = sum((fill.realized for fill in told if fill.realized is not None), ZERO)
        allowed = max(LEAST_DIFFERENCE, ROUNDING * sum((fill.quote for fill in told), ZERO))
        return ours - theirs if abs(ours - theirs) > allowed else None


@dataclass(frozen=True, slots=True)
class Funding:
    """A funding payment, received (positive) or paid.

    Args:
        symbol: whose funding it was; '' where the exchange did not say.
        asset: what was paid.
        amount: in that asset.
        paid_at: when.
        transaction_id: the exchange's; None on the stream.

    """

    symbol: str
    asset: str
    amount: Decimal
    paid_at: datetime
    transaction_id: int | None = None


def funding_from_event(event: Mapping[str, Any]) -> list[Funding]:
    """Read the funding of an ACCOUNT_UPDATE; nothing when it is about something else.

    With cross margin it has balances and no positions, and the symbol only since 2026-08 (Futures docs,
    "Event: Balance and Position Update").

    Raises:
        UnreadablePayloadError: it is about funding and something is missing.

    """
    account = event.get("a")
    if (
        event.get("e") != "ACCOUNT_UPDATE"
        or not isinstance(account, dict)
        or account.get("m") != "FUNDING_FEE"
    ):
        return []
    symbols = {str(one.get("s")) for one in objects_of(account.get("P") or [])}
    symbol = str(account.get("S") or (symbols.pop() if len(symbols) == 1 else ""))
    paid_at = moment_of(whole_of(event, "T"))
    return [
        Funding(symbol, text_of(balance, "a"), decimal_of(balance, "bc"), paid_at)
        for balance in objects_of(account.get("B") or [])
        if decimal_of(balance, "bc")
    ]


def funding_from_income(row: Mapping[str, Any]) -> Funding | None:
    """Read one element of `income`; None when it is no funding.

    Raises:
        UnreadablePayloadError: something is missing.

    """
    if object_of(row).get("incomeType") != "FUNDING_FEE":
        return None
    return Funding(
        symbol=str(row.get("symbol") or ""),
        asset=text_of(row, "asset"),
        amount=decimal_of(row, "income"),
        paid_at=moment_of(whole_of(row, "time")),
        transaction_id=int(decimal_of(row, "tranId")),
    )
