"""Positions as a fold over fills, by hand-reckoned examples."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from uuid import UUID

import pytest

from shared.domain.fill import Fill
from shared.domain.order import Market, Side
from shared.domain.position import (
    ContradictionError,
    Netting,
    OutOfOrderError,
    Position,
    PositionSide,
    Rules,
    apply,
    fold,
    opening,
    rules_of,
)
from shared.domain.projection import PositionStatus, project

D = Decimal
START = datetime(2026, 11, 1, tzinfo=UTC)
SPOT = Position(Rules(Netting.LONG_ONLY, "BTC"))
STEPPED = Position(Rules(Netting.LONG_ONLY, "BTC", D("0.00001")))
ONE_WAY = Position(Rules(Netting.ONE_WAY, "BTC"))


def all_of(*values: object) -> tuple[Decimal, ...]:
    return tuple(D(str(value)) for value in values)


def fill(
    trade: int,
    side: str,
    quantity: str,
    price: str,
    fee: str = "0",
    asset: str = "USDT",
    worth: str | None = None,
    market: Market = Market.SPOT,
) -> Fill:
    """One execution, a second after the one before."""
    amount, each = D(quantity), D(price)
    value = D(fee) if asset == "USDT" else D(fee) * each if asset == "BTC" else D(worth) if worth else None
    with localcontext(prec=60):
        quote = amount * each
    return Fill(
        account_id=UUID(int=1),
        market=market,
        environment_epoch=1,
        symbol="BTCUSDT",
        exchange_order_id=str(trade),
        trade_id=trade,
        order_id=None,
        client_order_id="",
        side=Side(side),
        price=each,
        quantity=amount,
        quote=quote,
        commission=D(fee),
        commission_asset=asset,
        commission_in_quote=value,
        traded_at=START + timedelta(seconds=trade),
    )


def perp(side: str, quantity: str, price: str, trade: int = 1, fee: str = "0", asset: str = "USDT") -> Fill:
    return fill(trade, side, quantity, price, fee, asset, market=Market.FUTURES)


def test_long_that_grows_shrinks_and_closes() -> None:
    """Average cost: 1 at 100 and 1 at 200 make 2 at 150; the exits are measured against that."""
    position = fold(
        [fill(1, "buy", "1", "100"), fill(2, "buy", "1", "200"), fill(3, "sell", "0.5", "250")], SPOT
    )
    assert position.cycle is not None
    assert (position.cycle.size, position.cycle.entry_price, position.cycle.realized) == all_of(
        "1.5", 150, 50
    )
    position = apply(position, fill(4, "sell", "1.5", "100"))
    assert position.cycle is None
    (cycle,) = position.closed
    assert cycle.realized == 50 - 75
    assert cycle.entry_price == 150
    assert cycle.exit_price == D("137.5")
    assert (cycle.opened_at, cycle.closed_at) == (START + timedelta(seconds=1), START + timedelta(seconds=4))


def test_fee_in_base_makes_the_position_smaller() -> None:
    """0.1 % of a buy is taken in base: the size is net, and the fee is worth what it cost."""
    position = fold([fill(1, "buy", "1", "100", "0.001", "BTC")], SPOT)
    assert position.cycle is not None
    assert position.cycle.size == D("0.999")
    assert position.cycle.entry_price == 100
    assert position.cycle.fees == D("0.1")
    assert position.cycle.realized == D("-0.1")
    (cycle,) = apply(position, fill(2, "sell", "0.999", "110", "0.10989")).closed
    assert cycle.realized == D("0.999") * 110 - 100 - D("0.10989")


def test_fee_of_a_sell_in_base_leaves_the_wallet_too() -> None:
    """Where the base asset pays the fees (BNB), a sell takes its fee out of the holding."""
    position = fold([fill(1, "buy", "1", "100"), fill(2, "sell", "0.5", "120", "0.001", "BTC")], SPOT)
    assert position.cycle is not None
    assert position.cycle.size == D("0.499")
    (cycle,) = apply(position, fill(3, "sell", "0.499", "100")).closed
    assert cycle.realized == D("0.5") * 120 + D("0.499") * 100 - 100


def test_fee_of_the_last_sell_may_come_from_elsewhere() -> None:
    """All is sold, the fee in base is paid from other holdings: still a fee, not a short."""
    position = fold([fill(1, "buy", "1", "100"), fill(2, "sell", "1", "120", "0.001", "BTC")], SPOT)
    assert position.cycle is None
    assert not position.unmatched
    assert position.closed[0].realized == 20 - D("0.12")


def test_fee_in_a_third_asset_counts_at_its_stored_value() -> None:
    """A fee in BNB leaves size alone and costs what it was worth when stored."""
    position = fold([fill(1, "buy", "1", "100", "0.0001", "BNB", "0.07")], SPOT)
    assert position.cycle is not None
    assert (position.cycle.size, position.cycle.realized) == all_of(1, "-0.07")
    assert position.unvalued == 0
    assert fold([fill(1, "buy", "1", "100", "0.0001", "BNB")], SPOT).unvalued == 1


def test_sell_beyond_what_is_held_never_makes_a_short() -> None:
    """The excess is reported with its share of quote and fee, and counts into nothing."""
    position = fold([fill(1, "buy", "1", "100"), fill(2, "sell", "3", "120", "0.36")], SPOT)
    assert position.cycle is None
    assert position.closed[0].realized == 20 - D("0.12")
    (excess,) = position.unmatched
    assert (excess.quantity, excess.quote, excess.fee) == all_of(2, 240, "0.24")
    lonely = fold([fill(1, "sell", "1", "100")], SPOT)
    assert lonely.cycle is None
    assert lonely.unmatched[0].quantity == 1


def test_rest_below_the_lot_step_closes_and_is_carried() -> None:
    """What can never be sold alone ends the cycle, and is there again in the next one."""
    bought = fill(1, "buy", "0.00714", "70000", "0.00000714", "BTC")
    position = fold([bought, fill(2, "sell", "0.00713", "70000")], STEPPED)
    assert position.cycle is None
    assert position.dust == position.held == D("0.00000286")
    (cycle,) = position.closed
    assert cycle.peak == D("0.00713286")
    position = apply(position, fill(3, "buy", "0.001", "80000"))
    assert position.cycle is not None
    assert position.cycle.size == D("0.00100286")
    assert position.cycle.cost == 80 + D("0.00000286") * 70000
    assert position.cycle.number == 2
    assert position.dust == 0


def test_dust_sold_from_outside_is_gone() -> None:
    """A sale that meets no open position uses up the dust we carry."""
    position = fold([fill(1, "buy", "0.00000900", "70000"), fill(2, "sell", "0.000008", "70000")], STEPPED)
    position = apply(position, fill(3, "sell", "0.00001", "70000"))
    assert position.dust == 0
    assert position.unmatched[0].quantity == D("0.00001")


def test_fill_that_flips_closes_one_cycle_and_opens_the_other() -> None:
    """Long 1, sell 3: one closed long, one open short of 2 at the fill's price; the fee is shared."""
    position = fold([perp("buy", "1", "100"), perp("sell", "3", "110", trade=2, fee="0.33")], ONE_WAY)
    assert position.closed[0].realized == 10 - D("0.11")
    assert position.cycle is not None
    assert position.cycle.side is PositionSide.SHORT
    assert (position.cycle.size, position.cycle.entry_price, position.cycle.realized) == all_of(
        2, 110, "-0.22"
    )
    (_, short) = apply(position, perp("buy", "2", "100", trade=3)).closed
    assert short.realized == 20 - D("0.22")


def test_fee_in_the_base_asset_leaves_a_futures_position_alone() -> None:
    """A BNB fee on BNBUSDT futures comes out of the margin."""
    position = fold(
        [replace(perp("buy", "1", "100", fee="0.001", asset="BTC"), commission_in_quote=D("0.1"))], ONE_WAY
    )
    assert position.cycle is not None
    assert (position.cycle.size, position.cycle.realized) == all_of(1, "-0.1")


def test_short_side_of_hedge_mode() -> None:
    """There a buy only ever closes."""
    rules = rules_of(Market.FUTURES, "SHORT", "BTC", D(1))
    position = fold([perp("sell", "1", "100"), perp("buy", "2", "90", trade=2)], Position(rules))
    assert position.closed[0].realized == 10
    assert position.cycle is None
    assert position.unmatched[0].quantity == 1


def test_opening_entry_counts_as_what_was_held() -> None:
    """A row of the bot's from before us is closed by our fills like any other."""
    start = opening(SPOT.rules, PositionSide.LONG, D(2), D(100), START)
    (cycle,) = fold([fill(1, "sell", "2", "150")], start).closed
    assert cycle.realized == 100
    assert cycle.number == 1


def test_duplicate_of_the_last_fill_changes_nothing_and_an_older_one_is_refused() -> None:
    """Incremental counting never counts twice; what comes late asks for a new fold."""
    first, second = fill(1, "buy", "1", "100"), fill(2, "buy", "1", "200")
    position = fold([first, second], SPOT)
    assert apply(position, second) == position
    with pytest.raises(OutOfOrderError):
        apply(position, first)


def test_one_key_with_two_contents_is_an_alarm() -> None:
    """It is never skipped silently."""
    with pytest.raises(ContradictionError, match="price"):
        fold([fill(1, "buy", "1", "100"), fill(1, "buy", "1", "101")], SPOT)


def test_self_trade_counts_on_both_of_its_orders() -> None:
    """Both sides carry one trade id, and neither swallows the other."""
    both = [fill(1, "buy", "1", "100"), replace(fill(1, "sell", "1", "100"), exchange_order_id="2")]
    position = fold([fill(0, "buy", "1", "90"), *both], SPOT)
    assert position.cycle is not None
    assert position.cycle.size == 1
    assert position.cycle.realized == 5


def test_amounts_of_forty_digits_are_exact() -> None:
    """The default decimal context would round here."""
    position = fold([fill(1, "buy", "999999999999.99999999", "888888888888.88888888")], SPOT)
    assert position.cycle is not None
    exact = Fraction("999999999999.99999999") * Fraction("888888888888.88888888")
    assert Fraction(position.cycle.cost) == exact


def test_projection_of_an_open_row() -> None:
    """The bot's formulas, at its 8 decimals, never NULL and never price 0."""
    position = fold([fill(1, "buy", "0.005", "70000", "0.000005", "BTC")], SPOT)
    assert position.cycle is not None
    figures = project(position.cycle, D(71000))
    assert figures.size == D("0.004995")
    assert figures.unrealized_pnl == D("4.995")
    assert figures.unrealized_pnl_pct == D("1.4286")
    assert figures.realized_pnl == D("-0.35")
    assert figures.status is PositionStatus.OPEN
    assert figures.closed_at is None
    assert project(position.cycle).current_price == 70000
    assert project(position.cycle, D(0)).current_price == 70000


def test_projection_of_a_closed_row_keeps_the_exit_price() -> None:
    """Readers of closed rows take current_price for the exit price, and size for what it was."""
    (cycle,) = fold([fill(1, "buy", "1", "100"), fill(2, "sell", "1", "120")], SPOT).closed
    figures = project(cycle, D(500))
    assert (figures.size, figures.current_price, figures.realized_pnl) == all_of(1, 120, 20)
    assert (figures.unrealized_pnl, figures.unrealized_pnl_pct) == all_of(0, 0)
    assert figures.status is PositionStatus.CLOSED


def test_projection_of_a_short_gains_when_the_price_falls() -> None:
    """(entry - current) x size."""
    position = fold([perp("sell", "2", "100")], ONE_WAY)
    assert position.cycle is not None
    figures = project(position.cycle, D(90))
    assert (figures.unrealized_pnl, figures.unrealized_pnl_pct) == all_of(20, 10)


def test_projection_of_something_that_cost_nothing_has_no_percentage() -> None:
    """Opened at price 0: the gain is shown, and nothing is divided by zero."""
    start = opening(SPOT.rules, PositionSide.LONG, D(2), D(0), START)
    assert start.cycle is not None
    figures = project(start.cycle, D(5))
    assert figures.unrealized_pnl == 10
    assert figures.unrealized_pnl_pct == 0


def test_projection_never_overflows_the_columns() -> None:
    """A cheap coin's huge numbers are clamped, so that the fill can still be stored."""
    position = fold([fill(1, "buy", "5000000000000", "0.00000001")], SPOT)
    assert position.cycle is not None
    figures = project(position.cycle, D(1000000))
    assert figures.size < D(10) ** 12
    assert figures.unrealized_pnl < D(10) ** 12
    assert figures.unrealized_pnl_pct == D("999999.9999")
