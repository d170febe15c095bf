"""DESIGN 5: collar and caps of a sized row.

Collar and the cap per order are judged here, before the claim. What a user has in use already is known for
certain only inside the claim, which reserves; what it lets drop out is judged here with its figures.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.database.caps import Ask, Rate
from shared.domain.fees import USD_LIKE, usd_value
from shared.domain.limits import Caps, Collar, Priced, after_sizing, check_caps, user_caps, walk
from shared.domain.money import ZERO
from shared.domain.order import OrderType, Side
from shared.domain.verdicts import Code, Rejected, Waiting, wait

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from shared.binance.venue import Venue
    from shared.database.caps import InUse
    from shared.database.outbox import ReadyEntry
    from shared.domain.limits import Walk
    from shared.domain.sizing import Book, Sized
    from shared.domain.symbol import Instrument
    from shared.domain.verdicts import Verdict
    from shared.settings import GuardSettings


class Limits:
    """Judges sized rows by price and worth.

    Args:
        guards: our own caps and the collar.

    """

    def __init__(self, guards: GuardSettings) -> None:
        self._own = Caps(
            per_order=guards.max_order_usd, position=guards.max_position_usd, exposure=guards.max_exposure_usd
        )
        self._collar = Collar(
            adverse=guards.limit_collar_percent / 100,
            away=guards.resting_collar_percent / 100,
            walk=guards.market_collar_percent / 100,
        )
        # Quote assets beside dollars that somebody's positions or orders turned out to be counted in.
        self._met: defaultdict[Venue, set[str]] = defaultdict(set)

    async def price(
        self, entry: ReadyEntry, venue: Venue, instrument: Instrument, sized: Sized, book: Book | None
    ) -> Priced | Rejected | Waiting:
        """Put a price on a sized row, or say why it is not sent."""
        order = entry.order
        way: Walk | None = None
        if order.type is OrderType.MARKET and book is not None and _exceeds_best(book, order.side, sized):
            levels = await venue.levels(instrument.symbol, order.side)
            if levels is None:
                return wait(Code.NO_FRESH_PRICE, symbol=instrument.slash)
            way = walk(levels, sized.quantity)
            if way is None:
                return wait(Code.NO_FRESH_PRICE, symbol=instrument.slash)
        priced = Priced(
            order=order,
            sized=sized,
            quote_asset=instrument.quote,
            symbol=instrument.slash,
            book=book,
            walk=way,
            prices={} if instrument.quote in USD_LIKE else venue.prices(),
            caps=user_caps(entry.user_settings, self._own),
            position_usd=ZERO,
            exposure_usd=ZERO,
            strategy_used_usd=ZERO,
            strategy_capital_usd=entry.strategy_capital,
            collar=self._collar,
        )
        verdict = after_sizing(priced)
        return verdict if isinstance(verdict, Rejected | Waiting) else priced

    def ask(self, priced: Priced, *, is_testnet: bool) -> Ask:
        """Say what the claim has to reserve; nothing for a row that only reduces."""
        sized = priced.sized
        usd = ZERO if sized.reduces else usd_value(sized.quote, priced.quote_asset, priced.prices)
        assert usd is not None  # or the row would wait for a price
        return Ask(
            quantity=sized.quantity,
            worth=ZERO if sized.reduces else sized.quote,
            usd=usd,
            is_testnet=is_testnet,
            position=priced.caps.position,
            exposure=priced.caps.exposure,
            capital=priced.strategy_capital_usd,
        )

    def rates(self, wanted: Iterable[tuple[Venue, Priced]]) -> list[Rate]:
        """Value the quote assets of these rows, and those met before, in the environment of each."""
        assets: dict[Venue, set[str]] = {}
        for venue, priced in wanted:
            assets.setdefault(venue, {*USD_LIKE, *self._met[venue]}).add(priced.quote_asset)
        found: dict[tuple[str, bool], Decimal] = {}
        for venue, names in assets.items():
            prices = {} if names <= USD_LIKE else venue.prices()
            for name in names:
                usd = usd_value(ZERO + 1, name, prices)
                if usd is not None:
                    found[name, not venue.live] = usd
        return [Rate(asset, is_testnet, usd) for (asset, is_testnet), usd in found.items()]

    def over(self, venue: Venue, priced: Priced, in_use: InUse) -> Verdict | None:
        """Judge a row that dropped out of a claim; None when it is worth another look."""
        if in_use.unvalued is not None:
            self._met[venue].add(in_use.unvalued)
            if usd_value(ZERO + 1, in_use.unvalued, venue.prices()) is None:
                return wait(Code.NO_USD_PRICE, asset=in_use.unvalued)
            return None
        return check_caps(
            replace(
                priced,
                position_usd=in_use.position,
                exposure_usd=in_use.exposure,
                strategy_used_usd=in_use.strategy,
            )
        )


def _exceeds_best(book: Book, side: Side, sized: Sized) -> bool:
    """Tell whether an order trades beyond the best level, as far as is known."""
    return sized.quantity > (book.ask_size if side is Side.BUY else book.bid_size)
