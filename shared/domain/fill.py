"""DESIGN 6: executions as the exchange tells them, once each, and what they add up to for an order.

A fill is read from the user stream's `executionReport`, from the `fills` of an order's answer, or from
`myTrades`; the same execution gives the same key from each (Spot docs: "Payload: Order Update", "New
order", "Account trade list"). What the exchange reports cumulatively is kept apart (`OrderProgress`), so
that the two can be compared after every event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from shared.domain.fees import commission_in_quote
from shared.domain.money import COLUMN_STEP, ZERO, exact_product, parse_decimal
from shared.domain.order import Market, Side

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_PRICES: Mapping[tuple[str, str], Decimal] = MappingProxyType({})

LIQUIDATION: Final = "autoclose-"
"""How the client ids of a liquidation's orders begin."""

FillKey = tuple["UUID", Market, int, str, str, int]


class UnreadablePayloadError(ValueError):
    """A payload of the exchange lacks a field we cannot do without, or it is of another form."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution (the columns of `bridge.fill`).

    Args:
        account_id: exchange account of the bot's that traded.
        market: spot or futures.
        environment_epoch: rises when a testnet was wiped and hands out old ids again.
        symbol: as the exchange writes it.
        exchange_order_id: the exchange's order id, as text.
        trade_id: the exchange's trade id; a self-trade has the same one in two orders.
        order_id: the row it belongs to; None for an order we did not place.
        client_order_id: as far as the source tells it.
        side: of the order.
        price: quote per base.
        quantity: in base, gross of fees.
        quote: in quote, gross of fees.
        commission: as charged.
        commission_asset: what it was charged in; '' when nothing was.
        commission_in_quote: its value, fixed when first stored; None until a price was to be had.
        traded_at: the exchange's transaction time.
        is_maker: whether the order rested.
        position_side: BOTH, LONG or SHORT (futures); BOTH on spot.
        realized: futures: the exchange's own figure, to compare with ours.

    """

    account_id: UUID
    market: Market
    environment_epoch: int
    symbol: str
    exchange_order_id: str
    trade_id: int
    order_id: UUID | None
    client_order_id: str
    side: Side
    price: Decimal
    quantity: Decimal
    quote: Decimal
    commission: Decimal
    commission_asset: str
    commission_in_quote: Decimal | None
    traded_at: datetime
    is_maker: bool = False
    position_side: str = "BOTH"
    realized: Decimal | None = None

    @property
    def key(self) -> FillKey:
        """What makes it this execution and no other."""
        return (
            self.account_id,
            self.market,
            self.environment_epoch,
            self.symbol,
            self.exchange_order_id,
            self.trade_id,
        )

    @property
    def liquidates(self) -> bool:
        """Whether the exchange did it to close a position that had run out of margin.

        Its orders are told by their client id (Futures docs, "Event: Order Update": `autoclose-`);
        auto-deleveraging (`adl_autoclose`) closes a position at a gain and is an ordinary close.
        """
        return self.market is Market.FUTURES and self.client_order_id.startswith(LIQUIDATION)

    @property
    def moment(self) -> tuple[datetime, int, str]:
        """Where it stands in the sequence of its position."""
        return self.traded_at, self.trade_id, self.exchange_order_id


def contradiction(stored: Fill, told: Fill) -> str | None:
    """Compare two accounts of one execution.

    Args:
        stored: what we have.
        told: what another source says under the same key.

    Returns:
        The fields that differ, for the alarm; None when they agree. Times, the maker flag, our own
        valuation and the last decimal of `quote` may differ between sources.

    """
    names = ("side", "price", "quantity", "commission", "commission_asset")
    differing = [name for name in names if getattr(stored, name) != getattr(told, name)]
    if abs(stored.quote - told.quote) > COLUMN_STEP:
        differing.append("quote")
    return ", ".join(differing) or None


@dataclass(frozen=True, slots=True)
class FillOrigin:
    """What a payload does not say about a fill.

    Args:
        account_id: whose stream or answer it is.
        market: spot or futures.
        environment_epoch: current one of the base URL.
        pair: base and quote asset of the symbol.
        order_id: our row, or None.
        client_order_id: where the payload has none (`myTrades`).
        prices: fresh prices by (base, quote), to value a commission in a third asset.

    """

    account_id: UUID
    market: Market
    environment_epoch: int
    pair: tuple[str, str]
    order_id: UUID | None = None
    client_order_id: str = ""
    prices: Mapping[tuple[str, str], Decimal] = field(default_factory=lambda: _NO_PRICES)


@dataclass(frozen=True, slots=True)
class _Names:
    """Where one source keeps the parts of a fill."""

    trade_id: str
    price: str
    quantity: str
    quote: str | None
    commission: str
    commission_asset: str


_EVENT = _Names("t", "L", "l", "Y", "n", "N")
_ANSWER = _Names("tradeId", "price", "qty", None, "commission", "commissionAsset")
_TRADE = _Names("id", "price", "qty", "quoteQty", "commission", "commissionAsset")


def from_event(event: Mapping[str, Any], origin: FillOrigin) -> Fill | None:
    """Read the fill of a spot `executionReport`; None when the event is no trade.

    Raises:
        UnreadablePayloadError: it is a trade and something is missing.

    """
    if event.get("e") != "executionReport" or event.get("x") != "TRADE":
        return None
    client_order_id = str(event.get("C") or event.get("c") or origin.client_order_id)
    head = _Head(event, "s", "i", "T", side_of(event.get("S")), client_order_id, event.get("m") is True)
    return _fill(event, _EVENT, head, origin)


def from_answer(answer: Mapping[str, Any], origin: FillOrigin) -> tuple[Fill, ...]:
    """Read the fills of an order's answer (`newOrderRespType=FULL`); an answer without any has none.

    Raises:
        UnreadablePayloadError: something is missing.

    """
    rows = objects_of(answer.get("fills") or [])
    head = _Head(
        answer,
        "symbol",
        "orderId",
        "transactTime",
        side_of(answer.get("side")) if rows else Side.BUY,
        str(answer.get("clientOrderId") or origin.client_order_id),
        is_maker=False,
    )
    return tuple(_fill(row, _ANSWER, head, origin) for row in rows)


def from_trade(trade: Mapping[str, Any], origin: FillOrigin) -> Fill:
    """Read a fill from one element of `myTrades`.

    Raises:
        UnreadablePayloadError: something is missing.

    """
    buyer = object_of(trade).get("isBuyer")
    if not isinstance(buyer, bool):
        raise UnreadablePayloadError("a trade does not say whether we were the buyer")
    head = _Head(
        trade,
        "symbol",
        "orderId",
        "time",
        Side.BUY if buyer else Side.SELL,
        origin.client_order_id,
        trade.get("isMaker") is True,
    )
    return _fill(trade, _TRADE, head, origin)


@dataclass(frozen=True, slots=True)
class _Head:
    """The parts a fill shares with its order."""

    payload: Mapping[str, Any]
    symbol: str
    order: str
    time: str
    side: Side
    client_order_id: str
    is_maker: bool


def _fill(row: Mapping[str, Any], names: _Names, head: _Head, origin: FillOrigin) -> Fill:
    price, quantity = decimal_of(row, names.price), decimal_of(row, names.quantity)
    quote = exact_product(price, quantity) if names.quote is None else decimal_of(row, names.quote)
    commission = decimal_of(row, names.commission) if row.get(names.commission) is not None else ZERO
    asset = str(row.get(names.commission_asset) or "") if commission else ""
    if commission and not asset:
        raise UnreadablePayloadError("a commission has no asset")
    return Fill(
        account_id=origin.account_id,
        market=origin.market,
        environment_epoch=origin.environment_epoch,
        symbol=text_of(head.payload, head.symbol),
        exchange_order_id=str(whole_of(head.payload, head.order)),
        trade_id=whole_of(row, names.trade_id),
        order_id=origin.order_id,
        client_order_id=head.client_order_id,
        side=head.side,
        price=price,
        quantity=quantity,
        quote=quote,
        commission=commission,
        commission_asset=asset,
        commission_in_quote=commission_in_quote(commission, asset, origin.pair, price, origin.prices),
        traded_at=moment_of(whole_of(head.payload, head.time)),
        is_maker=head.is_maker,
    )


def moment_of(milliseconds: int) -> datetime:
    """Turn the exchange's epoch milliseconds into a time, exactly.

    Raises:
        UnreadablePayloadError: it is before the year 1 or after the year 9999.

    """
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise UnreadablePayloadError("a time is out of the calendar's range") from None


def object_of(value: object) -> Mapping[str, Any]:
    """Take a JSON object.

    Raises:
        UnreadablePayloadError: it is something else.

    """
    if not isinstance(value, dict):
        raise UnreadablePayloadError(f"there is {type(value).__name__} where an object should be")
    return value


def objects_of(value: object) -> list[Mapping[str, Any]]:
    """Take a list of JSON objects.

    Raises:
        UnreadablePayloadError: it is something else.

    """
    if not isinstance(value, list):
        raise UnreadablePayloadError(f"there is {type(value).__name__} where a list should be")
    return [object_of(one) for one in value]


def text_of(row: Mapping[str, Any], key: str) -> str:
    """Read a text from a payload.

    Raises:
        UnreadablePayloadError: it is missing.

    """
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise UnreadablePayloadError(f"field {key} is missing")
    return value


def whole_of(row: Mapping[str, Any], key: str) -> int:
    """Read a whole number from a payload.

    Raises:
        UnreadablePayloadError: it is missing or another kind of number.

    """
    value = row.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnreadablePayloadError(f"field {key} is no whole number")
    return value


def decimal_of(row: Mapping[str, Any], key: str) -> Decimal:
    """Read a decimal from a payload.

    Raises:
        UnreadablePayloadError: it is missing or no number.

    """
    try:
        return parse_decimal(row.get(key))
    except ValueError as error:
        raise UnreadablePayloadError(f"field {key}: {error}") from None


def side_of(value: Any) -> Side:
    """Read BUY or SELL.

    Raises:
        UnreadablePayloadError: it is neither.

    """
    try:
        return Side(str(value).lower())
    except ValueError:
        raise UnreadablePayloadError("the side is neither BUY nor SELL") from None
