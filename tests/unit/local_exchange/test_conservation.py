"""Whatever is traded: nothing appears, nothing vanishes, the book never crosses, fills add up."""

from __future__ import annotations

import random
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.local_exchange.orders import ZERO, Side
from tests.unit.local_exchange.desk import Desk

ACCOUNTS = ("alice", "bob")
PRICES = st.integers(6990, 7010).map(lambda cents: f"{cents}0")
QUANTITIES = st.integers(1, 400).map(lambda lots: f"{Decimal(lots) / 1000}")
SIDES = st.sampled_from(["BUY", "SELL"])
MODES = st.sampled_from(["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"])
BY_LIMIT = st.fixed_dictionaries(
    {
        "side": SIDES,
        "type": st.just("LIMIT"),
        "timeInForce": st.sampled_from(["GTC", "GTC", "IOC", "FOK"]),
        "quantity": QUANTITIES,
        "price": PRICES,
        "selfTradePreventionMode": MODES,
    }
)
AT_MARKET = st.fixed_dictionaries(
    {"side": SIDES, "type": st.just("MARKET"), "quantity": QUANTITIES, "selfTradePreventionMode": MODES}
)
BY_QUOTE = st.fixed_dictionaries(
    {
        "side": SIDES,
        "type": st.just("MARKET"),
        "quoteOrderQty": st.integers(5, 30_000).map(str),
        "selfTradePreventionMode": MODES,
    }
)
STOP = st.fixed_dictionaries(
    {
        "side": SIDES,
        "type": st.sampled_from(["STOP_LOSS", "TAKE_PROFIT"]),
        "quantity": QUANTITIES,
        "stopPrice": PRICES,
    }
)
ORDERS = st.tuples(
    st.sampled_from(ACCOUNTS), st.one_of(BY_LIMIT, BY_LIMIT, BY_LIMIT, AT_MARKET, BY_QUOTE, STOP)
)
STEPS = st.lists(
    st.one_of(
        ORDERS,
        ORDERS,
        ORDERS,
        st.tuples(st.just("price"), PRICES),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("discount"), st.sampled_from(ACCOUNTS)),
    ),
    min_size=6,
    max_size=30,
)


def holdings(desk, asset):
    money = desk.exchange.engine.matching.money
    own = sum(
        (
            account.balance(asset).free + account.balance(asset).locked
            for account in desk.exchange.accounts.by_name.values()
        ),
        ZERO,
    )
    return own + money.crowd.get(asset, ZERO) + money.fees.get(asset, ZERO)


def take(desk, step):
    who, what = step
    if who == "price":
        desk.exchange.move_price(desk.exchange.markets["BTCUSDT"], Decimal(what))
    elif who == "cancel":
        orders = list(desk.exchange.markets["BTCUSDT"].orders.values())
        if what < len(orders):
            desk.ask(
                "DELETE",
                "/api/v3/order",
                orders[what].account.name,
                symbol="BTCUSDT",
                orderId=orders[what].id,
            )
    elif who == "discount":
        account = desk.exchange.accounts.by_name[what]
        account.bnb_discount = not account.bnb_discount
    else:
        desk.ask("POST", "/api/v3/order", who, symbol="BTCUSDT", **what)


def check(desk, before):
    """Totals constant, nothing negative, not crossed, locks and fills consistent."""
    market = desk.exchange.markets["BTCUSDT"]
    assert {asset: holdings(desk, asset) for asset in before} == before
    assert not market.book.is_crossed()
    for account in desk.exchange.accounts.by_name.values():
        assert all(b.free >= 0 and b.locked >= 0 for b in account.balances.values())
        locked = {"BTC": ZERO, "USDT": ZERO}
        for order in account.open_orders.values():
            expected = (
                order.remaining * (order.price or order.stop_price)
                if order.side is Side.BUY
                else order.remaining
            )
            assert order.locked == expected
            locked["USDT" if order.side is Side.BUY else "BTC"] += order.locked
        assert {asset: account.balance(asset).locked for asset in locked} == locked
    for order in market.orders.values():
        assert sum((t.qty for t in order.trades), ZERO) == order.executed
        assert sum((t.quote_qty for t in order.trades), ZERO) == order.quote_executed
        assert order.executed + order.prevented + order.remaining == order.quantity
        assert order.is_open == ((order.symbol, order.id) in order.account.open_orders)


def crowded_desk():
    desk = Desk(levels=4)
    desk.exchange.spot.limits.raise_to(10**5)
    return desk, {asset: holdings(desk, asset) for asset in ("BTC", "USDT", "BNB")}


@settings(max_examples=80)
@given(STEPS)
def test_money_is_conserved_and_the_book_is_sound(steps):
    """After every step of any sequence."""
    desk, before = crowded_desk()
    for step in steps:
        take(desk, step)
        check(desk, before)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_money_is_conserved_through_a_long_day(seed):
    """Hundreds of orders of two accounts that meet each other, the crowd and themselves."""
    chance = random.Random(seed)
    desk, before = crowded_desk()
    traded: Counter[str] = Counter()
    for number in range(600):
        side = chance.choice(["BUY", "SELL"])
        quantity = f"{Decimal(chance.randint(1, 80)) / 1000}"
        price = f"{chance.randint(6990, 7010)}0"
        mode = chance.choice(["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"])
        who = chance.choice(ACCOUNTS)
        order = {
            "side": side,
            "type": "LIMIT",
            "timeInForce": chance.choice(["GTC", "GTC", "GTC", "IOC", "FOK"]),
            "quantity": quantity,
            "price": price,
            "selfTradePreventionMode": mode,
        }
        if chance.random() < 0.3:
            order = {"side": side, "type": "MARKET", "quantity": quantity, "selfTradePreventionMode": mode}
        elif chance.random() < 0.1:
            order = {"side": side, "type": "STOP_LOSS", "quantity": quantity, "stopPrice": price}
        if chance.random() < 0.15:
            take(desk, ("cancel", chance.randint(0, number)))
        if chance.random() < 0.05:
            take(desk, ("price", price))
        if chance.random() < 0.05:
            take(desk, ("discount", who))
        take(desk, (who, order))
        if number % 10 == 0:
            check(desk, before)
    check(desk, before)
    for order in desk.exchange.markets["BTCUSDT"].orders.values():
        traded[str(order.status)] += 1
        traded["maker fills"] += sum(trade.is_maker for trade in order.trades)
    assert (
        min(traded[kind] for kind in ("FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "maker fills")) > 1
    )


@settings(max_examples=8)
@given(st.integers(0, 2**32), st.integers(1, 15))
def test_the_same_seed_walks_the_same_way(seed, steps):
    """Prices and books are functions of seed and number of steps."""

    def walk():
        desk = Desk(seed=seed, volatility=500)
        for _ in range(steps):
            desk.exchange.step()
        return [
            (name, m.path.price, m.book.bids.depth(20), m.book.asks.depth(20), m.last_price)
            for name, m in desk.exchange.markets.items()
        ]

    first = walk()
    assert first == walk()
    assert all(price > 0 for _, price, *_ in first)
