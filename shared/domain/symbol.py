"""DESIGN 5: which instrument of the exchange a row's symbol means, decided by `exchangeInfo` alone.

The bot writes `BTC/USDT`; people and models also write `BTC-USDT`, `BTCUSDT` and lower case. Anything that
could mean two instruments, or none, is rejected with a sentence. Only ASCII letters are folded: the upper
case of a foreign letter may be an ASCII one, and a look-alike must never become a real symbol. Positions are
written with the slash.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shared.domain.filters import Filters, parse_filters
from shared.domain.verdicts import Code, Rejected, reject, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.domain.order import Market

_FOLD = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_SEPARATORS = "/-"
_DEFAULT_PRECISION = 8
_NAMED_CANDIDATES = 4
_PERPETUAL = frozenset({"", "PERPETUAL", "TRADIFI_PERPETUAL"})


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol, as `exchangeInfo` describes it.

    Args:
        symbol: the exchange's name, for requests.
        base: base asset.
        quote: quote asset.
        status: TRADING, HALT, BREAK, CANCEL_ONLY and so on.
        base_precision: most decimals a quantity may have.
        quote_precision: most decimals a `quoteOrderQty` may have.
        order_types: types the exchange takes for it, in its own names.
        quote_order_qty_allowed: whether a market order may name the quote amount.
        filters: what an order must satisfy.
        contract: '' on spot; PERPETUAL, CURRENT_QUARTER and so on for futures.

    """

    symbol: str
    base: str
    quote: str
    status: str
    base_precision: int
    quote_precision: int
    order_types: frozenset[str]
    quote_order_qty_allowed: bool
    filters: Filters
    contract: str = ""

    @property
    def slash(self) -> str:
        """The bot's spelling, `BASE/QUOTE`."""
        return f"{self.base}/{self.quote}"

    @property
    def is_trading(self) -> bool:
        """Whether new orders are taken."""
        return self.status == "TRADING"


def parse_instrument(
    row: Mapping[str, Any], exchange_filters: Iterable[Mapping[str, Any]] = ()
) -> Instrument:
    """Read one element of `exchangeInfo.symbols`, spot or USDⓈ-M futures.

    Raises:
        ValueError: a field that every symbol has is missing or unreadable.

    """
    names = {}
    for key in ("symbol", "baseAsset", "quoteAsset", "status"):
        value = row.get(key)
        if not isinstance(value, str) or not value:
            raise ValueError(f"exchangeInfo symbol {row.get('symbol')!r} has no {key}")
        names[key] = value
    return Instrument(
        symbol=names["symbol"],
        base=names["baseAsset"],
        quote=names["quoteAsset"],
        status=names["status"],
        base_precision=int(row.get("quantityPrecision", row.get("baseAssetPrecision", _DEFAULT_PRECISION))),
        quote_precision=int(row.get("quoteAssetPrecision", row.get("quotePrecision", _DEFAULT_PRECISION))),
        order_types=frozenset(map(str, row.get("orderTypes", ()))),
        quote_order_qty_allowed=row.get("quoteOrderQtyMarketAllowed") is True,
        filters=parse_filters(row.get("filters", ()), exchange_filters),
        contract=str(row.get("contractType", "")),
    )


@dataclass(frozen=True, slots=True)
class Instruments:
    """All instruments of one market, findable by every spelling.

    Args:
        market: which exchangeInfo they come from.
        by_symbol: instrument by the exchange's name.
        spellings: instruments by folded name and by folded base + quote; more than one is an ambiguity.
        pairs: instruments by folded (base, quote).
        bases: instruments by folded base, to explain a bare `BTC`.
        unreadable: symbols of the answer we could not parse; one bad symbol must not hide the others.

    """

    market: Market
    by_symbol: Mapping[str, Instrument]
    spellings: Mapping[str, tuple[Instrument, ...]]
    pairs: Mapping[tuple[str, str], tuple[Instrument, ...]]
    bases: Mapping[str, tuple[Instrument, ...]]
    unreadable: tuple[str, ...] = ()

    def resolve(self, text: str) -> Instrument | Rejected:
        """Find the one instrument a row's symbol means.

        Args:
            text: as the bot wrote it; surrounding blanks are ignored.

        Returns:
            The instrument (whether it is trading now is the sizing's question), or the rejection.

        """
        folded = _fold(text.strip())
        parts = _split(folded)
        found = self.spellings.get(folded, ())
        if not found and len(parts) == 2:
            found = self.pairs.get((parts[0], parts[1]), ())
        if len(found) > 1:
            found = tuple(one for one in found if one.contract in _PERPETUAL) or found
        if len(found) == 1:
            return found[0]
        if found:
            return self._ambiguous(text, found)
        if folded in self.bases:
            return self._ambiguous(text, self.bases[folded])
        return reject(Code.SYMBOL_UNKNOWN, symbol=shown(text), market=self.market, hint=self._hint(parts))

    def _ambiguous(self, text: str, found: tuple[Instrument, ...]) -> Rejected:
        names = [one.symbol if one.contract not in _PERPETUAL else one.slash for one in found]
        listed = " or ".join(sorted(names)[:_NAMED_CANDIDATES])
        more = f" or {len(names) - _NAMED_CANDIDATES} more" if len(names) > _NAMED_CANDIDATES else ""
        return reject(Code.SYMBOL_AMBIGUOUS, symbol=shown(text), candidates=listed + more)

    def _hint(self, parts: tuple[str, ...]) -> str:
        turned = self.pairs.get((parts[1], parts[0]), ()) if len(parts) == 2 else ()
        if turned:
            return f" It knows {turned[0].slash}."
        return " Write base and quote, like BTC/USDT."


def _fold(text: str) -> str:
    return text.translate(_FOLD)


def _split(folded: str) -> tuple[str, ...]:
    for separator in _SEPARATORS:
        if separator in folded:
            return tuple(part.strip() for part in folded.split(separator))
    return ()


def parse_instruments(market: Market, exchange_info: object) -> Instruments:
    """Read a whole `exchangeInfo` answer.

    Args:
        market: which endpoint answered.
        exchange_info: its JSON; symbols that cannot be read are listed in `unreadable`, not raised.

    Raises:
        ValueError: the answer has no list of symbols, or `exchangeFilters` is unreadable.

    """
    rows = exchange_info.get("symbols") if isinstance(exchange_info, dict) else None
    if not isinstance(exchange_info, dict) or not isinstance(rows, list):
        raise ValueError("exchangeInfo has no list of symbols")  # noqa: TRY004 - a payload's fault
    exchange_filters = exchange_info.get("exchangeFilters") or ()
    try:
        parse_filters((), exchange_filters)
    except (TypeError, AttributeError, KeyError):
        raise ValueError("the exchangeFilters of exchangeInfo are unreadable") from None
    parsed: dict[str, Instrument] = {}
    unreadable = []
    for row in rows:
        try:
            instrument = parse_instrument(row, exchange_filters)
        except (ValueError, TypeError, AttributeError, KeyError):
            unreadable.append(shown(str(row.get("symbol") if isinstance(row, dict) else row)))
            continue
        parsed[instrument.symbol] = instrument
    return index_instruments(market, parsed.values(), tuple(unreadable))


def index_instruments(
    market: Market, instruments: Iterable[Instrument], unreadable: tuple[str, ...] = ()
) -> Instruments:
    """Make instruments findable by every spelling that `Instruments.resolve` accepts."""
    by_symbol = {one.symbol: one for one in instruments}
    spellings: dict[str, dict[str, Instrument]] = {}
    pairs: dict[tuple[str, str], list[Instrument]] = {}
    bases: dict[str, list[Instrument]] = {}
    for one in by_symbol.values():
        base, quote = _fold(one.base), _fold(one.quote)
        for spelling in (_fold(one.symbol), base + quote):
            spellings.setdefault(spelling, {})[one.symbol] = one
        pairs.setdefault((base, quote), []).append(one)
        bases.setdefault(base, []).append(one)
    return Instruments(
        market=market,
        by_symbol=MappingProxyType(by_symbol),
        spellings=MappingProxyType({key: tuple(found.values()) for key, found in spellings.items()}),
        pairs=MappingProxyType({key: tuple(found) for key, found in pairs.items()}),
        bases=MappingProxyType({key: tuple(found) for key, found in bases.items()}),
        unreadable=unreadable,
    )


_STALE = ("exchange_symbol", "exchange_type", "exchange_precision", "exchange_filter_")


def says_stale(reason_code: str) -> bool:
    """Tell whether a rejection of the exchange's says that what we know of the symbol is no longer so.

    Args:
        reason_code: as classified (PROTOCOL 5). We check symbol, type, precision and filters before sending;
            where the exchange refuses them all the same, its rules have changed, or we did not know enough.

    """
    return reason_code.startswith(_STALE)
