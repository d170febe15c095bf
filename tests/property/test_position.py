"""Positions under any order, repetition and split of their fills, against an independent reckoning."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.fill import Fill
from shared.domain.order import Market, Side
from shared.domain.position import Netting, OutOfOrderError, Position, PositionSide, Rules, apply, fold

START = datetime(2026, 11, 1, tzinfo=UTC)
STEP = Decimal("0.00001")
NETTINGS = st.sampled_from(
    [Rules(Netting.LONG_ONLY, "BTC", STEP), Rules(Netting.ONE_WAY, "BTC"), Rules(Netting.SHORT_ONLY, "BTC")]
)


@st.composite
def fills(draw: st.DrawFn, market: Market) -> Fill:
    """An execution with a fee in quote, base or a third asset, at one of few moments (so that they tie)."""
    price = draw(st.decimals("0.01", "99999.99", places=2))
    units = draw(st.integers(1, 300))
    with localcontext() as context:
        context.prec = 60
        quantity = units * STEP
        asset = draw(st.sampled_from(["USDT", "BNB", "BTC"]))
        rate = draw(st.sampled_from([Decimal(0), Decimal("0.001"), Decimal("0.00075")]))
        fee = (quantity if asset == "BTC" else price * quantity) * rate
        value = fee * price if asset == "BTC" else fee
        trade = draw(st.integers(1, 40))
        return Fill(
            account_id=UUID(int=1),
            market=market,
            environment_epoch=1,
            symbol="BTCUSDT",
            exchange_order_id=str(draw(st.integers(1, 3))),
            trade_id=trade,
            order_id=None,
            client_order_id="",
            side=draw(st.sampled_from(Side)),
            price=price,
            quantity=quantity,
            quote=price * quantity,
            commission=fee,
            commission_asset=asset,
            commission_in_quote=value,
            traded_at=START + timedelta(seconds=draw(st.integers(0, 3))),
        )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Position, list[Fill]]:
    """Rules of one key and distinct executions of it."""
    rules = draw(NETTINGS)
    market = Market.SPOT if rules.dust_below else Market.FUTURES
    told = draw(st.lists(fills(market), max_size=25, unique_by=lambda one: one.key))
    return Position(rules), told


@dataclass
class Ledger:
    """Average cost by signed size and running price, in fractions: another formulation, to disagree with."""

    rules: Rules
    size: Fraction = Fraction(0)
    average: Fraction = Fraction(0)
    dust: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    open_profit: Fraction = Fraction(0)
    profits: list[Fraction] = field(default_factory=list)
    excess: Fraction = Fraction(0)

    def trade(self, fill: Fill) -> None:
        """Count one fill, piece by piece."""
        spot_base_fee = fill.market is Market.SPOT and fill.commission_asset == "BTC"
        fee_value = Fraction(fill.commission_in_quote or 0)
        fee_base = Fraction(fill.commission) if spot_base_fee else Fraction(0)
        sign = 1 if fill.side is Side.BUY else -1
        left, price, quantity = Fraction(fill.quantity), Fraction(fill.price), Fraction(fill.quantity)
        if self.size * sign < 0:
            part = min(left, abs(self.size))
            self._realize(part, price, sign)
            self.open_profit -= fee_value * part / quantity
            left -= part
            if fee_base and self.size:
                self._realize(min(fee_base, abs(self.size)), price, sign)
            self._maybe_end()
        if not left:
            return
        if not self._may_open(sign):
            if not self.size and self.dust[0] and left == quantity:
                gone = min(left, self.dust[0])
                self.dust = (self.dust[0] - gone, self.dust[1])
            self.excess += left
            return
        if not self.size:
            self.size, self.average = self.dust
            self.dust = (Fraction(0), Fraction(0))
        net = left - fee_base
        total = abs(self.size) + net
        self.average = (abs(self.size) * self.average + net * price) / total
        self.size = sign * total
        self.open_profit -= fee_value * left / quantity

    def _may_open(self, sign: int) -> bool:
        return self.rules.netting is Netting.ONE_WAY or sign == (
            1 if self.rules.netting is Netting.LONG_ONLY else -1
        )

    def _realize(self, part: Fraction, price: Fraction, sign: int) -> None:
        self.open_profit += part * (self.average - price) * sign
        self.size += sign * part

    def _maybe_end(self) -> None:
        if abs(self.size) and abs(self.size) >= Fraction(self.rules.dust_below):
            return
        if self.size:
            dust, average = self.dust
            self.dust = (dust + abs(self.size), self.average if not dust else average)
        self.size = Fraction(0)
        self.profits.append(self.open_profit)
        self.open_profit = Fraction(0)


def near(ours: Decimal, theirs: Fraction) -> bool:
    return abs(Fraction(ours) - theirs) < Fraction(1, 10**12)


@given(histories())
def test_agrees_with_an_independent_average_cost(history: tuple[Position, list[Fill]]) -> None:
    """Size, average, every closed profit and every excess equal a reckoning in fractions."""
    start, told = history
    position, ledger = fold(told, start), Ledger(start.rules)
    for fill in sorted(told, key=lambda one: (one.traded_at, one.trade_id, one.exchange_order_id)):
        ledger.trade(fill)
    assert len(position.closed) == len(ledger.profits)
    for cycle, profit in zip(position.closed, ledger.profits, strict=True):
        assert near(cycle.realized, profit)
    assert (position.cycle is None) is (ledger.size == 0)
    assert Fraction(position.dust) == ledger.dust[0]
    if position.cycle is not None:
        sign = 1 if position.cycle.side is PositionSide.LONG else -1
        assert Fraction(position.cycle.size) * sign == ledger.size
        assert near(position.cycle.entry_price, ledger.average)
        assert near(position.cycle.realized, ledger.open_profit)
    assert sum((Fraction(one.quantity) for one in position.unmatched), Fraction(0)) == ledger.excess


@given(histories(), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(history: tuple[Position, list[Fill]], random: object) -> None:
    """Any permutation with any duplicates folds to the same value."""
    start, told = history
    shuffled = told + [one for one in told if random.random() < 0.5]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(shuffled, start) == fold(told, start)


@given(histories(), st.integers(0, 25))
def test_one_by_one_and_in_batches_equal_the_fold(history: tuple[Position, list[Fill]], cut: int) -> None:
    """Incremental counting equals the fold, wherever the sequence is split; a late fill is refused."""
    start, told = history
    inorder = sorted(told, key=lambda one: one.moment)
    position = start
    for fill in inorder:
        position = apply(position, fill)
    assert position == fold(told, start)
    assert fold(inorder[cut:], fold(inorder[:cut], start)) == position
    if len(inorder) > 1:
        with pytest.raises(OutOfOrderError):
            apply(position, inorder[0])


@given(histories())
def test_nothing_is_lost_or_made(history: tuple[Position, list[Fill]]) -> None:
    """Nothing is ever held short on spot, and profits of ended cycles add up to the money that moved."""
    start, told = history
    position = fold(told, start)
    with localcontext() as context:
        context.prec = 60
        unmatched = sum((one.quantity for one in position.unmatched), Decimal(0))
        if start.rules.netting is Netting.LONG_ONLY:
            assert position.held >= 0
            assert all(cycle.side is PositionSide.LONG for cycle in position.closed)
        if position.cycle is None and not position.dust and not position.unmatched:
            spent = sum((one.quote if one.side is Side.BUY else -one.quote for one in told), Decimal(0))
            paid_in_base = any(one.commission and one.commission_asset == "BTC" for one in told)
            fees = sum((one.commission_in_quote or Decimal(0) for one in told), Decimal(0))
            profit = sum((cycle.realized for cycle in position.closed), Decimal(0))
            if not paid_in_base or start.rules.netting is Netting.ONE_WAY:
                assert profit == -spent - fees
        assert unmatched >= 0
