"""Margin calls, liquidation, auto-deleveraging, funding; and that no money is made on the way."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from services.local_exchange.futures.positions import PositionSide
from services.local_exchange.orders import ZERO, Side
from tests.unit.local_exchange.futures.futures_desk import FuturesDesk, limit, market, stop

D = Decimal


@pytest.fixture
def desk():
    return FuturesDesk()


def leverage(desk, name, times):
    desk.ask("POST", "/fapi/v1/leverage", name, symbol="BTCUSDT", leverage=times)


def equity(desk):
    """Everything that accounts, crowd, fee purse and insurance own at the mark prices."""
    total = ZERO
    for account in desk.futures.accounts.values():
        total += account.balance("USDT")
        for position in account.held():
            total += position.unrealized(desk.futures.markets[position.symbol].mark)
    for book in desk.futures.markets.values():
        total += book.crowd_cash + book.crowd_amount * book.mark
    matching = desk.futures.engine.matching
    return total + matching.fees.get("USDT", ZERO) + desk.futures.risk.insurance


def test_a_cross_account_is_warned_and_then_liquidated(desk):
    """MARGIN_CALL once, then orders off (er 5), an autoclose order, CALCULATED, the fee to the insurance."""
    desk.futures.transfer(desk.account(), "USDT", D(-95_000))
    leverage(desk, "alice", 50)
    desk.order(**market("BUY", "1"))
    desk.order(**limit("BUY", "0.1", "60000"))
    before = equity(desk)
    desk.events()
    desk.move("65330")
    assert desk.kinds() == ["MARGIN_CALL"]
    desk.move("65320")
    assert desk.kinds() == []
    desk.move("65000")
    events = desk.events()
    expired = events[0]["o"]
    assert (expired["X"], expired["er"]) == ("EXPIRED", "5")
    forced = [e["o"] for e in events if e["e"] == "ORDER_TRADE_UPDATE" and e["o"]["x"] == "CALCULATED"]
    assert forced[-1]["X"] == "FILLED"
    assert forced[-1]["c"].startswith("autoclose-")
    assert (forced[-1]["o"], forced[-1]["f"], forced[-1]["R"]) == ("LIMIT", "IOC", True)
    assert events[-1]["a"]["m"] == "INSURANCE_CLEAR"
    assert desk.position().amount == 0
    assert desk.account().balance("USDT") >= 0
    assert abs(equity(desk) - before) < D("0.000001")
    listed = desk.ask("GET", "/fapi/v1/forceOrders", symbol="BTCUSDT")[1]
    assert listed[0]["clientOrderId"].startswith("autoclose-")


def test_an_isolated_position_dies_alone(desk):
    """The rest of the wallet is untouched beyond the position's margin."""
    desk.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    leverage(desk, "alice", 50)
    desk.order(**market("BUY", "1"))
    margin = desk.position().isolated_wallet
    wallet = desk.account().balance("USDT")
    risk = desk.ask("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")[1][0]
    liquidation = D(risk["liquidationPrice"])
    assert 68_000 < liquidation < 69_500
    desk.move(f"{liquidation + 20:.1f}")
    assert desk.position().amount == 1
    desk.move(f"{liquidation - 10:.1f}")
    assert desk.position().amount == 0
    assert wallet - margin - 100 <= desk.account().balance("USDT") < wallet


def test_a_short_is_liquidated_upwards(desk):
    """The mirror image."""
    leverage(desk, "alice", 50)
    desk.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order(**market("SELL", "1"))
    desk.move("71500")
    assert desk.position().amount == 0


def test_an_empty_book_deleverages_the_most_profitable(desk):
    """What the book does not take is closed against opposite positions (adl_autoclose)."""
    leverage(desk, "alice", 50)
    desk.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order("bob", **limit("SELL", "1", "70000"))
    desk.thin()
    desk.order("alice", **limit("BUY", "1", "70000"))
    assert desk.position("alice").amount == 1
    before = equity(desk)
    desk.events("bob")
    desk.move("68000")
    assert desk.position("alice").amount == desk.position("bob").amount == 0
    forced = [e["o"] for e in desk.events("bob") if e["e"] == "ORDER_TRADE_UPDATE"]
    assert (forced[0]["c"], forced[0]["x"], forced[0]["X"]) == ("adl_autoclose", "CALCULATED", "FILLED")
    assert D(forced[0]["rp"]) > 0
    assert abs(equity(desk) - before) < D("0.000001")


def test_a_test_may_deleverage_at_will(desk):
    """By the admin API, in part."""
    desk.order(**market("BUY", "0.5"))
    desk.futures.auto_deleverage(desk.account(), desk.market, PositionSide.BOTH, D("0.2"), None)
    assert desk.position().amount == D("0.3")
    with pytest.raises(ValueError, match="no position"):
        desk.futures.auto_deleverage(desk.account("bob"), desk.market, PositionSide.BOTH, None, None)


def test_a_delisted_contract_closes_what_is_open(desk):
    """Orders expire with er 7; both sides are closed at the mark by `settlement_autoclose-` orders."""
    desk.order("alice", **limit("BUY", "1", "69000", newClientOrderId="rests"))
    desk.order("alice", **market("BUY", "0.5"))
    desk.order("bob", **market("SELL", "0.2"))
    desk.events("alice")
    before = equity(desk)
    desk.futures.settle(desk.market)
    assert desk.position("alice").amount == desk.position("bob").amount == 0
    assert not desk.account("alice").open_orders
    expired, closed = [e["o"] for e in desk.events("alice") if e["e"] == "ORDER_TRADE_UPDATE"]
    assert (expired["c"], expired["X"], expired["er"]) == ("rests", "EXPIRED", "7")
    assert closed["c"].startswith("settlement_autoclose-")
    assert (closed["x"], closed["X"], D(closed["L"])) == ("CALCULATED", "FILLED", desk.market.mark)
    assert abs(equity(desk) - before) < D("0.000001")
    assert desk.refused(**market("BUY", "0.1"))[0] == -4141


def test_funding_moves_money_from_longs_to_shorts(desk):
    """Cross: balance only, P empty, S named; isolated: from the position's margin."""
    desk.order(**market("BUY", "1"))
    desk.events()
    before = equity(desk)
    wallet = desk.account().balance("USDT")
    desk.futures.fund(desk.market, D("0.001"))
    (event,) = desk.events()
    assert (event["a"]["m"], event["a"]["S"], event["a"]["P"]) == ("FUNDING_FEE", "BTCUSDT", [])
    assert event["a"]["B"][0]["bc"] == "-70"
    assert desk.account().balance("USDT") == wallet - 70
    assert equity(desk) == before
    desk.ask("POST", "/fapi/v1/marginType", "bob", symbol="BTCUSDT", marginType="ISOLATED")
    desk.order("bob", **market("SELL", "1"))
    margin = desk.position("bob").isolated_wallet
    desk.futures.fund(desk.market, D("0.001"))
    assert desk.position("bob").isolated_wallet == margin + 70
    assert desk.events("bob")[-1]["a"]["P"][0]["s"] == "BTCUSDT"


def test_funding_comes_by_itself_every_eight_hours(desk):
    """At 00, 08 and 16 hours."""
    desk.order(**market("BUY", "1"))
    desk.events()
    desk.advance(8 * 3600)
    desk.futures.step()
    assert "FUNDING_FEE" in [e["a"]["m"] for e in desk.events() if e["e"] == "ACCOUNT_UPDATE"]


def test_transfers_are_told(desk):
    """DEPOSIT and WITHDRAW with the change in bc."""
    desk.futures.transfer(desk.account(), "USDT", D(10))
    desk.futures.transfer(desk.account(), "USDT", D(-10))
    assert [(e["a"]["m"], e["a"]["B"][0]["bc"], e["a"]["P"]) for e in desk.events()] == [
        ("DEPOSIT", "10", []),
        ("WITHDRAW", "-10", []),
    ]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_money_is_made_or_lost_through_a_long_day(seed):
    """Equity of everybody together is constant; books are sound; reduce-only never opens."""
    chance = random.Random(seed)
    desk = FuturesDesk()
    desk.exchange.futures_venue.limits.raise_to(10**4)
    for name in ("alice", "bob"):
        leverage(desk, name, 20)
    before = equity(desk)
    for number in range(300):
        who = chance.choice(["alice", "bob"])
        side = chance.choice(["BUY", "SELL"])
        quantity = f"{D(chance.randint(1, 900)) / 1000}"
        price = f"{desk.market.path.price + chance.randint(-300, 300) // 10 * 10:.1f}"
        draw = chance.random()
        if draw < 0.4:
            desk.ask("POST", "/fapi/v1/order", who, **market(side, quantity))
        elif draw < 0.7:
            kind = chance.choice(["GTC", "GTC", "IOC", "FOK", "GTX"])
            order = limit(side, quantity, price, timeInForce=kind)
            desk.ask("POST", "/fapi/v1/order", who, **order, reduceOnly=chance.choice(["true", "false"]))
        elif draw < 0.8:
            desk.ask("POST", "/fapi/v1/algoOrder", who, **stop(side, quantity, price))
        elif draw < 0.9:
            desk.move(f"{D(chance.randint(6500, 7500)) * 10:.1f}")
        elif draw < 0.95:
            desk.futures.fund(desk.market, D(chance.randint(-10, 10)) / 10_000)
        else:
            desk.ask("DELETE", "/fapi/v1/allOpenOrders", who, symbol="BTCUSDT")
        if number % 5 == 0:
            assert abs(equity(desk) - before) < D("0.000001")
            assert not desk.market.book.is_crossed()
    for kept in desk.market.orders.values():
        assert sum((t.qty for t in kept.trades), ZERO) == kept.executed
        assert kept.executed + kept.remaining == kept.quantity
        assert kept.is_open == ((kept.symbol, kept.id) in kept.account.open_orders)
    held = (a.position("BTCUSDT", PositionSide.BOTH).amount for a in desk.futures.accounts.values())
    net = sum(held, ZERO)
    assert net + desk.market.crowd_amount == 0


def test_a_position_beyond_the_leverage_is_refused(desk):
    """-2027 counts the position that would be reached."""
    desk.futures.transfer(desk.account(), "USDT", D(10_000_000))
    leverage(desk, "alice", 125)
    desk.order(**limit("BUY", "4", "69000"))
    assert desk.refused(**limit("BUY", "5", "69000"))[0] == -2027
    assert desk.market.book.opposite(Side.SELL).best_price() is not None
