"""DESIGN 6: what a commission is worth, and conversion of amounts between assets.

Source: the exchange's "Commission Rates" FAQ. A commission is charged in the asset received (a buy in
base, a sell in quote) or in BNB where the account pays with it, and the asset may change between two
fills of one order. Its value in quote is fixed with the price of the moment the fill is first stored, and
used again on every replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.domain.money import exactly, to_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    _PriceOf = Callable[[tuple[str, str]], Decimal | None]


USD_LIKE = frozenset({"USD", "USDT", "USDC", "FDUSD"})
"""Assets whose unit is taken for one dollar where a cap is in USD: an assumption, good to a few per mille."""
_BRIDGES = ("USDT", "USDC", "FDUSD", "BTC", "BNB", "ETH")


def convert(
    amount: Decimal, asset: str, to: str, prices: Mapping[tuple[str, str], Decimal]
) -> Decimal | None:
    """Convert an amount by a direct or inverse price, or over one well-traded asset between.

    Args:
        amount: in `asset`.
        asset: what it is in now.
        to: what it shall be in.
        prices: fresh prices by (base, quote); the caller leaves out stale ones.

    Returns:
        The amount in `to`, at most 18 decimals; None when there is no route.

    """
    return _convert(amount, asset, to, prices.get)


def _convert(amount: Decimal, asset: str, to: str, price_of: _PriceOf) -> Decimal | None:
    if asset == to or not amount:
        return amount
    direct = _leg(amount, asset, to, price_of)
    if direct is not None:
        return to_ledger(direct)
    for between in _BRIDGES:
        first = _leg(amount, asset, between, price_of)
        second = _leg(first, between, to, price_of) if first is not None else None
        if second is not None:
            return to_ledger(second)
    return None


def _leg(amount: Decimal, asset: str, to: str, price_of: _PriceOf) -> Decimal | None:
    with exactly():
        straight, inverse = price_of((asset, to)), price_of((to, asset))
        if straight is not None and straight > 0:
            return amount * straight
        if inverse is not None and inverse > 0:
            return amount / inverse
    return None


def usd_value(amount: Decimal, asset: str, prices: Mapping[tuple[str, str], Decimal]) -> Decimal | None:
    """Value an amount in USD for the caps; None when there is no route (no route, no send)."""
    if asset in USD_LIKE:
        return amount
    routes = (convert(amount, asset, dollar, prices) for dollar in ("USDT", "USDC", "FDUSD", "USD"))
    return next((value for value in routes if value is not None), None)


def commission_in_quote(
    commission: Decimal,
    asset: str,
    pair: tuple[str, str],
    price: Decimal,
    prices: Mapping[tuple[str, str], Decimal],
) -> Decimal | None:
    """Value a commission in the quote asset of its fill.

    Args:
        commission: as charged.
        asset: what it was charged in; '' when nothing was.
        pair: base and quote of the fill.
        price: of the fill itself, which values a commission in base.
        prices: of the moment, for any third asset.

    Returns:
        The value in quote; None when no price leads there yet.

    """
    _, quote = pair
    if not commission or asset == quote:
        return commission
    return _convert(commission, asset, quote, lambda of: price if of == pair else prices.get(of))
