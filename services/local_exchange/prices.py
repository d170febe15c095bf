"""The seeded price path and the crowd that quotes around it."""

from __future__ import annotations

import random
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

from services.local_exchange.orders import Quote, Side


class Traded(Protocol):
    """What a price path and a crowd must know of a symbol or contract."""

    name: str
    start_price: Decimal
    tick: Decimal
    step: Decimal


MILLIONTH = Decimal("0.000001")


class PricePath:
    """A random walk back to its anchor; the same seed, symbol and number of steps give the same price.

    Args:
        seed: the exchange's seed.
        symbol: whose price walks.
        volatility: largest move per step in millionths of the price; 0 holds the price still.

    """

    __slots__ = ("_random", "_tick", "anchor", "price", "volatility")

    def __init__(self, seed: int, symbol: Traded, volatility: int) -> None:
        self._random = random.Random(f"path:{seed}:{symbol.name}")
        self._tick = symbol.tick
        self.anchor = self.price = symbol.start_price
        self.volatility = volatility

    def step(self) -> Decimal:
        """Walk one step and return the price, a multiple of the tick."""
        if self.volatility:
            swing = self._random.randint(-self.volatility, self.volatility)
            pull = (self.anchor - self.price) / 500
            moved = self.price + self.price * swing * MILLIONTH + pull
            self.price = max(self._tick, moved.quantize(self._tick))
        return self.price

    def jump(self, price: Decimal) -> None:
        """Go to a price at once and walk around it from there."""
        self.anchor = self.price = price.quantize(self._tick)


class Crowd:
    """Everybody else: rests on both sides of the price and trades a little at every step.

    Args:
        seed: the exchange's seed.
        symbol: what the crowd trades.
        levels: price levels per side.

    """

    __slots__ = ("_next_id", "_random", "_symbol", "levels", "scale")

    def __init__(self, seed: int, symbol: Traded, levels: int) -> None:
        self._random = random.Random(f"crowd:{seed}:{symbol.name}")
        self._symbol = symbol
        self._next_id = 0
        self.levels = levels
        self.scale = Decimal(1)

    def quotes(self, mid: Decimal) -> list[Quote]:
        """Resting orders around a mid price: small at the touch, larger further away."""
        made = []
        spread = max(self._symbol.tick, (mid * 20 * MILLIONTH).quantize(self._symbol.tick))
        for level in range(self.levels):
            for side in (Side.BUY, Side.SELL):
                away = spread * (level + 1)
                price = mid - away if side is Side.BUY else mid + away
                quantity = self._quantity(price, 4000 + 4000 * level)
                if price > 0 and quantity > 0:
                    made.append(self._quote(side, price, quantity))
        return made

    def taker(self, mid: Decimal) -> Quote:
        """Return a small marketable order of the crowd, on a random side."""
        side = self._random.choice((Side.BUY, Side.SELL))
        price = mid * 2 if side is Side.BUY else self._symbol.tick
        return self._quote(side, price, self._quantity(mid, 400))

    def _quantity(self, price: Decimal, notional: int) -> Decimal:
        share = Decimal(self._random.randint(50, 150)) / 100
        amount = notional * share * self.scale / price if price > 0 else Decimal(0)
        return (amount / self._symbol.step).to_integral_value(ROUND_DOWN) * self._symbol.step

    def _quote(self, side: Side, price: Decimal, quantity: Decimal) -> Quote:
        self._next_id -= 1
        return Quote(self._next_id, side, price, quantity)
