"""The user data stream: which events, in which order, with which fields."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.local_exchange.orders import Quote, Side
from tests.unit.local_exchange.desk import Desk, limit, market

# Binance docs "User Data Streams", executionReport: the fields every report has, in their order.
REPORT = [
    "e",
    "E",
    "s",
    "c",
    "S",
    "o",
    "f",
    "q",
    "p",
    "P",
    "F",
    "g",
    "C",
    "x",
    "X",
    "r",
    "i",
    "l",
    "z",
    "L",
    "n",
    "N",
    "T",
    "t",
    "I",
    "w",
    "m",
    "M",
    "O",
    "Z",
    "Y",
    "Q",
    "W",
    "V",
]


@pytest.fixture
def desk():
    desk = Desk()
    desk.empty_book()
    return desk


def rest(desk, side, price, quantity):
    book = desk.exchange.markets["BTCUSDT"].book
    book.own(side).add(Quote(-(10**6) - int(Decimal(price)), side, Decimal(price), Decimal(quantity)))


def test_a_market_order_that_runs_out_of_book_tells_its_whole_life(desk):
    """NEW, TRADE, TRADE, EXPIRED, one position; one E and T; w only on NEW; execution ids rise with gaps.

    Binance docs "Market orders FAQ".
    """
    rest(desk, Side.SELL, "70000", "0.01")
    rest(desk, Side.SELL, "70001", "0.01")
    desk.place(**market("BUY", quantity="0.03", newClientOrderId="life"))
    events = desk.listeners["alice"].take()
    assert [event.get("x", event["e"]) for event in events] == [
        "NEW",
        "TRADE",
        "TRADE",
        "EXPIRED",
        "outboundAccountPosition",
    ]
    reports = events[:-1]
    assert [list(report) for report in reports[:3]] == [REPORT] * 3
    assert list(reports[3]) == [*REPORT, "eR"]
    assert [r["X"] for r in reports] == ["NEW", "PARTIALLY_FILLED", "PARTIALLY_FILLED", "EXPIRED"]
    assert [r["w"] for r in reports] == [True, False, False, False]
    assert [r["M"] for r in reports] == [False, True, True, False]
    assert [r["z"] for r in reports] == ["0.00000000", "0.01000000", "0.02000000", "0.02000000"]
    assert len({(r["E"], r["T"]) for r in reports}) == 1
    ids = [r["I"] for r in reports]
    assert ids == [ids[0], ids[0] + 1, ids[0] + 3, ids[0] + 5]
    assert (reports[3]["t"], reports[3]["n"], reports[3]["N"]) == (-1, "0", None)
    assert reports[3]["eR"] == "INSUFFICIENT_LIQUIDITY"
    assert [b["a"] for b in events[-1]["B"]] == ["BTC", "USDT"]
    assert events[-1]["B"][0]["f"] == f"{desk.free('BTC'):.8f}"


def test_a_cancel_names_itself_in_c_and_the_order_in_capital_c(desk):
    """`c` is the cancel request's id, `C` the order's; elsewhere `C` is empty."""
    placed = desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="mine"))
    new = desk.listeners["alice"].take()[0]
    assert (new["c"], new["C"]) == ("mine", "")
    status, answer = desk.ask(
        "DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"], newClientOrderId="cancel-1"
    )
    assert status == 200
    assert (answer["origClientOrderId"], answer["clientOrderId"]) == ("mine", "cancel-1")
    cancelled, position = desk.listeners["alice"].take()
    assert (cancelled["x"], cancelled["c"], cancelled["C"]) == ("CANCELED", "cancel-1", "mine")
    assert position["e"] == "outboundAccountPosition"


def test_a_resting_order_reports_its_partial_fills_as_on_the_book(desk):
    """A limit order that keeps resting has w true."""
    desk.place("alice", **limit("SELL", "0.1", "70000"))
    desk.listeners["alice"].take()
    desk.place("bob", **market("BUY", quantity="0.04"))
    trade = desk.listeners["alice"].take()[0]
    assert (trade["X"], trade["w"], trade["m"], trade["l"], trade["z"]) == (
        "PARTIALLY_FILLED",
        True,
        True,
        "0.04000000",
        "0.04000000",
    )


def test_strategy_and_trailing_fields_come_only_when_sent(desk):
    """j, J and d are conditional."""
    desk.place(
        symbol="BTCUSDT",
        side="SELL",
        type="STOP_LOSS",
        quantity="0.01",
        trailingDelta="100",
        strategyId="7",
        strategyType="1000001",
    )
    event = desk.listeners["alice"].take()[0]
    assert (event["j"], event["J"], event["d"]) == (7, 1000001, 100)


def test_a_deposit_is_a_balance_update_and_a_position(desk):
    """In that order."""
    account = desk.exchange.accounts.by_name["alice"]
    desk.exchange.deposit(account, "SOL", Decimal("2.5"))
    update, position = desk.listeners["alice"].take()
    assert (update["e"], update["a"], update["d"]) == ("balanceUpdate", "SOL", "2.50000000")
    assert position["B"] == [{"a": "SOL", "f": "2.50000000", "l": "0.00000000"}]


def test_maintenance_expires_open_orders_with_its_reason(desk):
    """EXCHANGE_CANCELED."""
    desk.place(**limit("BUY", "0.01", "60000"))
    desk.listeners["alice"].take()
    desk.exchange.engine.expire_all(desk.exchange.markets["BTCUSDT"], desk.now)
    expired = desk.listeners["alice"].take()[0]
    assert (expired["X"], expired["eR"]) == ("EXPIRED", "EXCHANGE_CANCELED")
    assert desk.locked("USDT") == 0


@pytest.mark.parametrize(
    ("mode", "maker", "taker", "maker_left"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "EXPIRED", "0"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH", "0.02"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH", "0"),
        ("DECREMENT", "NEW", "EXPIRED_IN_MATCH", "0.01"),
        ("TRANSFER", "NEW", "EXPIRED_IN_MATCH", "0.01"),
    ],
)
def test_self_trade_prevention_follows_the_takers_mode(desk, mode, maker, taker, maker_left):
    """Binance docs "STP FAQ": who expires, what stays, no trade in any mode."""
    resting = desk.place(**limit("SELL", "0.02", "70000"))
    desk.listeners["alice"].take()
    answer = desk.place(**market("BUY", quantity="0.01", selfTradePreventionMode=mode))
    order = desk.exchange.markets["BTCUSDT"].orders[resting["orderId"]]
    assert (str(order.status), answer["status"]) == (maker, taker)
    assert order.remaining == Decimal(maker_left)
    assert answer["executedQty"] == "0.00000000"
    assert answer["preventedMatches"][0]["makerOrderId"] == resting["orderId"]
    assert desk.locked("BTC") == Decimal(maker_left)
    prevented = [e for e in desk.listeners["alice"].take() if e.get("x") == "TRADE_PREVENTION"]
    assert prevented
    assert all((e["l"], e["L"], e["Y"]) == ("0.00000000",) * 3 for e in prevented)
    found = desk.ask("GET", "/api/v3/myPreventedMatches", symbol="BTCUSDT", orderId=answer["orderId"])[1]
    assert found[0]["selfTradePreventionMode"] == mode


def test_the_default_mode_expires_own_resting_orders_and_trades_on(desk):
    """EXPIRE_MAKER: the taker goes on with the next level."""
    own = desk.place(**limit("SELL", "0.02", "70000"))
    rest(desk, Side.SELL, "70010", "1")
    answer = desk.place(**market("BUY", quantity="0.01"))
    assert (answer["status"], answer["fills"][0]["price"]) == ("FILLED", "70010.00000000")
    assert str(desk.exchange.markets["BTCUSDT"].orders[own["orderId"]].status) == "EXPIRED_IN_MATCH"


def test_a_decremented_buy_frees_what_it_lost(desk):
    """The lock of a resting BUY shrinks by price times prevented quantity."""
    resting = desk.place(**limit("BUY", "0.05", "70000"))
    desk.place(**market("SELL", quantity="0.02", selfTradePreventionMode="DECREMENT"))
    order = desk.exchange.markets["BTCUSDT"].orders[resting["orderId"]]
    assert (str(order.status), order.prevented) == ("NEW", Decimal("0.02"))
    assert order.locked == desk.locked("USDT") == Decimal(2100)


def test_fill_or_kill_does_not_count_own_orders(desk):
    """They would be expired, not traded."""
    desk.place(**limit("SELL", "0.05", "70000"))
    answer = desk.place(**limit("BUY", "0.05", "70000", timeInForce="FOK"))
    assert (answer["status"], answer["expiryReason"]) == ("EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED")
    assert len(desk.ask("GET", "/api/v3/openOrders")[1]) == 1
