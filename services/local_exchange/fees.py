"""Commissions: in the asset that is received, or in BNB with its discount."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING

from services.local_exchange.orders import Side

if TYPE_CHECKING:
    from services.local_exchange.accounts import Account
    from services.local_exchange.symbols import Symbol

EIGHT = Decimal("0.00000001")
BNB_DISCOUNT = Decimal("0.25")


@dataclass(frozen=True, slots=True)
class Commission:
    """What one fill costs."""

    amount: Decimal
    asset: str


def commission(
    account: Account,
    symbol: Symbol,
    side: Side,
    qty: Decimal,
    quote_qty: Decimal,
    is_maker: bool,
    bnb_price: Decimal | None,
) -> Commission:
    """Return the commission of one fill (Binance docs "Commission FAQ").

    Charged in the asset received: base for a BUY, quote for a SELL. With the BNB discount switched on and
    enough
    free BNB the whole fee is paid in BNB at `rate * (1 - 0.25)`. The direction of rounding is undocumented;
    down to eight decimals is assumed.

    Args:
        account: whose rates apply.
        symbol: what was traded.
        side: side of the account's order.
        qty: base quantity of the fill.
        quote_qty: quote quantity of the fill.
        is_maker: whether the account's order rested.
        bnb_price: price of BNB in the quote asset, None where there is none.

    """
    rate = account.maker_rate if is_maker else account.taker_rate
    if account.bnb_discount and bnb_price is not None:
        in_bnb = (quote_qty * rate * (1 - BNB_DISCOUNT) / bnb_price).quantize(EIGHT, ROUND_DOWN)
        if account.balance("BNB").free >= in_bnb:
            return Commission(in_bnb, "BNB")
    if side is Side.BUY:
        return Commission((qty * rate).quantize(EIGHT, ROUND_DOWN), symbol.base)
    return Commission((quote_qty * rate).quantize(EIGHT, ROUND_DOWN), symbol.quote)
