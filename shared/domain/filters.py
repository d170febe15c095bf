"""DESIGN 5: the exchange's filters, checked before sending, so that a bad row costs no request.

Source: the exchange's "Filters" page (spot) and the `exchangeInfo` of its futures, whose `MIN_NOTIONAL` and
`MAX_NUM_ORDERS` name their fields differently. A limit of 0 means that part of a filter is switched off;
production's `MARKET_LOT_SIZE` usually has a step and a minimum of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import lcm
from typing import TYPE_CHECKING, Any

from shared.domain.money import LEDGER_STEP, ZERO, exact_product, exact_rest, exactly, parse_decimal, plain
from shared.domain.order import OrderType, Side
from shared.domain.verdicts import Code, Rejected, reject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

_ABOVE, _BELOW, _OFF_STEP = "above the maximum of", "below the minimum of", "not a multiple of"


@dataclass(frozen=True, slots=True)
class StepRange:
    """PRICE_FILTER, LOT_SIZE and MARKET_LOT_SIZE: a range and a grid, each part off when it is 0."""

    minimum: Decimal = ZERO
    maximum: Decimal = ZERO
    step: Decimal = ZERO

    def offence(self, value: Decimal) -> tuple[str, Decimal] | None:
        """Say how a value breaks the filter and against which limit; None when it passes."""
        if self.minimum > 0 and value < self.minimum:
            return _BELOW, self.minimum
        if self.maximum > 0 and value > self.maximum:
            return _ABOVE, self.maximum
        if exact_rest(value, self.step):
            return _OFF_STEP, self.step
        return None


@dataclass(frozen=True, slots=True)
class Notional:
    """NOTIONAL or MIN_NOTIONAL: how much an order must and may be worth, in quote.

    Args:
        name: which of the two the symbol has.
        minimum: 0 = off.
        maximum: 0 = off.
        minimum_for_market: whether the minimum binds market orders.
        maximum_for_market: whether the maximum binds market orders.

    """

    name: str
    minimum: Decimal = ZERO
    maximum: Decimal = ZERO
    minimum_for_market: bool = True
    maximum_for_market: bool = False


@dataclass(frozen=True, slots=True)
class PercentPrice:
    """PERCENT_PRICE or PERCENT_PRICE_BY_SIDE: how far a limit price may be from the reference price.

    A bound of None is not enforced (futures bind only the harmful side of each order).
    """

    name: str
    buy: tuple[Decimal | None, Decimal | None]
    sell: tuple[Decimal | None, Decimal | None]


@dataclass(frozen=True, slots=True)
class Filters:
    """Every filter of one symbol that can refuse an order of ours; a missing one refuses nothing."""

    price: StepRange = field(default_factory=StepRange)
    lot_size: StepRange = field(default_factory=StepRange)
    market_lot_size: StepRange = field(default_factory=StepRange)
    notional: Notional | None = None
    percent_price: PercentPrice | None = None
    max_position: Decimal | None = None
    max_orders: tuple[tuple[str, int], ...] = ()
    max_algo_orders: tuple[tuple[str, int], ...] = ()
    max_asset: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def lot_step(self) -> Decimal:
        """The step every quantity of this symbol must be a multiple of; 0 = none."""
        return self.lot_size.step

    def quantity_step(self, order_type: OrderType) -> Decimal:
        """Give the step a quantity must be a multiple of; a market order obeys both lot filters. 0 = none."""
        lot, market = self.lot_size.step, self.market_lot_size.step
        if order_type is not OrderType.MARKET or market <= 0:
            return lot
        if lot <= 0:
            return market
        with exactly():
            units = lcm(int(lot / LEDGER_STEP), int(market / LEDGER_STEP))
            return units * LEDGER_STEP


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the exchange would be asked to do, in its own terms; the filters judge this and not the row.

    Args:
        base: name of the base asset, for the sentences.
        quote: name of the quote asset, for the sentences.
        side: buy or sell.
        type: what the row asked for.
        quantity: in base; of a `quoteOrderQty` order the estimate by the book, since the exchange
            converts it too.
        price: limit price, or None.
        stop_price: trigger price, or None.
        reference: fresh price of the book, or None; stands in for the exchange's average price.
        reduce_only: futures exempt reducing orders from the minimum worth.

    """

    base: str
    quote: str
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    reference: Decimal | None = None
    reduce_only: bool = False

    @property
    def worth(self) -> Decimal | None:
        """Price times quantity as the exchange reckons it, in quote; None while it cannot be known.

        How it values a stop without a limit price is not documented; the lower of trigger and market counts.
        """
        price = self.price
        if price is None:
            price = min((p for p in (self.stop_price, self.reference) if p is not None), default=None)
        if price is None:
            return None
        return exact_product(price, self.quantity)


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account has at the exchange, as far as MAX_POSITION and the order counts ask for it.

    Args:
        base_total: free plus locked of the base asset.
        open_buys: base quantity still open in buy orders of the symbol.
        open_orders: open orders of the symbol, conditional ones included.
        open_algo_orders: open STOP_LOSS* and TAKE_PROFIT* orders of the symbol.
        all_open_orders: open orders of the account over all symbols.
        all_open_algo_orders: conditional ones of those.

    """

    base_total: Decimal = ZERO
    open_buys: Decimal = ZERO
    open_orders: int = 0
    open_algo_orders: int = 0
    all_open_orders: int = 0
    all_open_algo_orders: int = 0


def parse_filters(
    symbol_filters: Iterable[Mapping[str, Any]], exchange_filters: Iterable[Mapping[str, Any]] = ()
) -> Filters:
    """Read the `filters` of an `exchangeInfo` symbol, and `exchangeFilters` or `myFilters` beside it.

    Filters of what we never send (icebergs, trailing stops, order lists) and unknown ones are left out.

    Raises:
        ValueError: a number is missing or is none.

    """
    rows = [*symbol_filters, *exchange_filters]
    by_type = {str(row.get("filterType", "")): row for row in rows}
    position = by_type.get("MAX_POSITION")
    return Filters(
        price=_step_range(by_type.get("PRICE_FILTER"), "minPrice", "maxPrice", "tickSize"),
        lot_size=_step_range(by_type.get("LOT_SIZE"), "minQty", "maxQty", "stepSize"),
        market_lot_size=_step_range(by_type.get("MARKET_LOT_SIZE"), "minQty", "maxQty", "stepSize"),
        notional=_notional(by_type),
        percent_price=_percent_price(by_type),
        max_position=_number(position, "maxPosition") if position else None,
        max_orders=_counts(by_type, {"MAX_NUM_ORDERS", "EXCHANGE_MAX_NUM_ORDERS"}),
        max_algo_orders=_counts(by_type, {"MAX_NUM_ALGO_ORDERS", "EXCHANGE_MAX_NUM_ALGO_ORDERS"}),
        max_asset={
            str(row["asset"]): _number(row, "limit") for row in rows if row.get("filterType") == "MAX_ASSET"
        },
    )


def _number(row: Mapping[str, Any], key: str) -> Decimal:
    if key not in row:
        raise ValueError(f"filter {row.get('filterType')} has no {key}")
    return parse_decimal(row[key])


def _step_range(row: Mapping[str, Any] | None, minimum: str, maximum: str, step: str) -> StepRange:
    if row is None:
        return StepRange()
    return StepRange(_number(row, minimum), _number(row, maximum), _number(row, step))


def _notional(by_type: Mapping[str, Mapping[str, Any]]) -> Notional | None:
    row = by_type.get("NOTIONAL")
    if row is not None:
        return Notional(
            "NOTIONAL",
            minimum=_number(row, "minNotional"),
            maximum=_number(row, "maxNotional") if "maxNotional" in row else ZERO,
            minimum_for_market=bool(row.get("applyMinToMarket", True)),
            maximum_for_market=bool(row.get("applyMaxToMarket", False)),
        )
    row = by_type.get("MIN_NOTIONAL")
    if row is None:
        return None
    key = "minNotional" if "minNotional" in row else "notional"  # the second is the futures' name
    return Notional(
        "MIN_NOTIONAL", minimum=_number(row, key), minimum_for_market=bool(row.get("applyToMarket", True))
    )


def _percent_price(by_type: Mapping[str, Mapping[str, Any]]) -> PercentPrice | None:
    row = by_type.get("PERCENT_PRICE_BY_SIDE")
    if row is not None:
        return PercentPrice(
            "PERCENT_PRICE_BY_SIDE",
            buy=(_number(row, "bidMultiplierDown"), _number(row, "bidMultiplierUp")),
            sell=(_number(row, "askMultiplierDown"), _number(row, "askMultiplierUp")),
        )
    row = by_type.get("PERCENT_PRICE")
    if row is None:
        return None
    low, high = _number(row, "multiplierDown"), _number(row, "multiplierUp")
    if "multiplierDecimal" in row:  # only futures have it, and there only the harmful side binds
        return PercentPrice("PERCENT_PRICE", buy=(None, high), sell=(low, None))
    return PercentPrice("PERCENT_PRICE", buy=(low, high), sell=(low, high))


def _counts(by_type: Mapping[str, Mapping[str, Any]], names: set[str]) -> tuple[tuple[str, int], ...]:
    found = []
    for name in sorted(names & by_type.keys()):
        row = by_type[name]
        limits = [row[key] for key in ("maxNumOrders", "maxNumAlgoOrders", "limit") if key in row]
        if not limits:
            raise ValueError(f"filter {name} has no limit")
        found.append((name, int(limits[0])))
    return tuple(found)


def check(filters: Filters, proposal: Proposal, holdings: Holdings | None = None) -> Rejected | None:
    """Judge a proposed order by every filter.

    Args:
        filters: of the proposal's symbol.
        proposal: what would be sent.
        holdings: what the account has; None skips those filters (the exchange still checks).

    Returns:
        The first refusal, naming filter, value and limit; None when the exchange has no reason to refuse.

    """
    return (
        _check_prices(filters, proposal)
        or _check_percent_price(filters, proposal)
        or _check_quantity(filters, proposal)
        or _check_notional(filters, proposal)
        or _check_max_asset(filters, proposal)
        or (_check_holdings(filters, proposal, holdings) if holdings is not None else None)
    )


def _check_prices(filters: Filters, proposal: Proposal) -> Rejected | None:
    for which, value in (("price", proposal.price), ("stop price", proposal.stop_price)):
        offence = filters.price.offence(value) if value is not None else None
        if offence is not None:
            relation, limit = offence
            return reject(
                Code.FILTER_PRICE,
                filter="PRICE_FILTER",
                which=which,
                value=value,
                relation=relation,
                limit=limit,
            )
    return None


def _check_percent_price(filters: Filters, proposal: Proposal) -> Rejected | None:
    rule = filters.percent_price
    if rule is None or proposal.price is None or proposal.reference is None:
        return None
    low, high = rule.buy if proposal.side is Side.BUY else rule.sell
    with exactly():
        bounds = (
            (_BELOW, None if low is None else low * proposal.reference, low),
            (_ABOVE, None if high is None else high * proposal.reference, high),
        )
    for relation, limit, multiplier in bounds:
        if limit is None or multiplier is None or multiplier <= 0:
            continue
        if proposal.price < limit if relation == _BELOW else proposal.price > limit:
            return reject(
                Code.FILTER_PERCENT_PRICE,
                filter=rule.name,
                value=proposal.price,
                relation=relation.removesuffix(" of"),
                limit=limit,
                reference=proposal.reference,
                side=proposal.side,
            )
    return None


def _check_quantity(filters: Filters, proposal: Proposal) -> Rejected | None:
    rules = [(Code.FILTER_LOT_SIZE, filters.lot_size)]
    if proposal.type is OrderType.MARKET:
        rules.append((Code.FILTER_MARKET_LOT_SIZE, filters.market_lot_size))
    for code, rule in rules:
        offence = rule.offence(proposal.quantity)
        if offence is not None:
            relation, limit = offence
            return reject(code, value=proposal.quantity, base=proposal.base, relation=relation, limit=limit)
    return None


def _check_notional(filters: Filters, proposal: Proposal) -> Rejected | None:
    rule, worth = filters.notional, proposal.worth
    if rule is None or worth is None:
        return None
    market = proposal.price is None
    relation, limit = "", ZERO
    if not proposal.reduce_only and worth < rule.minimum and (rule.minimum_for_market or not market):
        relation, limit = "less than the minimum of", rule.minimum
    elif 0 < rule.maximum < worth and (rule.maximum_for_market or not market):
        relation, limit = "more than the maximum of", rule.maximum
    if not relation:
        return None
    return reject(
        Code.FILTER_NOTIONAL,
        filter=rule.name,
        value=plain(worth),
        quote=proposal.quote,
        relation=relation,
        limit=limit,
    )


def too_small(filters: Filters, proposal: Proposal) -> bool:
    """Tell whether the exchange would refuse an order for being too little, in base or in worth."""
    quantity, rule, worth = proposal.quantity, filters.notional, proposal.worth
    least = filters.lot_size.minimum
    if proposal.type is OrderType.MARKET:
        least = max(least, filters.market_lot_size.minimum)
    if quantity <= 0 or quantity < least:
        return True
    if rule is None or worth is None or proposal.reduce_only:
        return False
    return worth < rule.minimum and (rule.minimum_for_market or proposal.price is not None)


def _check_max_asset(filters: Filters, proposal: Proposal) -> Rejected | None:
    if not filters.max_asset:
        return None
    for asset, value in ((proposal.base, proposal.quantity), (proposal.quote, proposal.worth)):
        limit = filters.max_asset.get(asset)
        if limit is not None and value is not None and value > limit:
            return reject(Code.FILTER_MAX_ASSET, value=value, asset=asset, limit=limit)
    return None


def _check_holdings(filters: Filters, proposal: Proposal, holdings: Holdings) -> Rejected | None:
    if filters.max_position is not None and proposal.side is Side.BUY:
        with exactly():
            could_hold = holdings.base_total + holdings.open_buys + proposal.quantity
        if could_hold > filters.max_position:
            return reject(
                Code.FILTER_MAX_POSITION, value=could_hold, base=proposal.base, limit=filters.max_position
            )
    open_now = {
        "MAX_NUM_ORDERS": holdings.open_orders,
        "EXCHANGE_MAX_NUM_ORDERS": holdings.all_open_orders,
        "MAX_NUM_ALGO_ORDERS": holdings.open_algo_orders,
        "EXCHANGE_MAX_NUM_ALGO_ORDERS": holdings.all_open_algo_orders,
    }
    limits = filters.max_orders + (filters.max_algo_orders if proposal.type.has_trigger else ())
    for name, limit in limits:
        if open_now[name] + 1 > limit:
            return reject(Code.FILTER_MAX_NUM_ORDERS, filter=name, value=open_now[name] + 1, limit=limit)
    return None
