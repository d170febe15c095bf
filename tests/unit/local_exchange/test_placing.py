"""Placing orders: types, fills, money, what is left."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.local_exchange.orders import Quote, Side
from tests.unit.local_exchange.desk import Desk, limit, market


@pytest.fixture
def desk():
    return Desk()


def rest(desk, side, price, quantity, symbol="BTCUSDT"):
    """Let the crowd rest one order."""
    book = desk.exchange.markets[symbol]
    quote = Quote(
        -(10**6) - len(list(book.book.own(side).in_order())), side, Decimal(price), Decimal(quantity)
    )
    book.book.own(side).add(quote)


def test_a_market_buy_walks_the_book_and_pays_in_the_asset_received(desk):
    """Best price first; commission of 0.1 % in base; FULL answer with one fill per level."""
    desk.empty_book()
    rest(desk, Side.SELL, "70010.00", "0.01")
    rest(desk, Side.SELL, "70000.00", "0.02")
    answer = desk.place(**market("BUY", quantity="0.025", newClientOrderId="walk"))
    assert answer["status"] == "FILLED"
    assert [(f["price"], f["qty"], f["commission"], f["commissionAsset"]) for f in answer["fills"]] == [
        ("70000.00000000", "0.02000000", "0.00002000", "BTC"),
        ("70010.00000000", "0.00500000", "0.00000500", "BTC"),
    ]
    assert answer["cummulativeQuoteQty"] == "1750.05000000"
    assert desk.free("BTC") == Decimal(1) + Decimal("0.025") - Decimal("0.000025")
    assert desk.free("USDT") == Decimal(100_000) - Decimal("1750.05")


def test_a_market_sell_pays_its_commission_in_quote(desk):
    """SELL receives quote, so quote is charged."""
    desk.empty_book()
    rest(desk, Side.BUY, "70000.00", "1")
    answer = desk.place(**market("SELL", quantity="0.5"))
    assert answer["fills"][0]["commission"] == "35.00000000"
    assert answer["fills"][0]["commissionAsset"] == "USDT"
    assert desk.free("USDT") == Decimal(100_000) + 35_000 - 35


def test_quote_order_quantity_is_converted_when_accepted_and_rounded_down(desk):
    """Never more is spent than asked; the NEW event already shows both quantities."""
    desk.empty_book()
    rest(desk, Side.SELL, "70000.00", "1")
    answer = desk.place(**market("BUY", quoteOrderQty="350"))
    assert answer["origQty"] == "0.00500000"
    assert answer["origQuoteOrderQty"] == "350.00000000"
    answer = desk.place(**market("BUY", quoteOrderQty="350.69"))
    assert answer["origQty"] == "0.00500000"
    assert Decimal(answer["cummulativeQuoteQty"]) <= Decimal("350.69")
    new = desk.listeners["alice"].events[0]
    assert (new["x"], new["q"], new["Q"]) == ("NEW", "0.00500000", "350.00000000")


@pytest.mark.parametrize(
    ("side", "levels", "quote", "quantity"),
    [
        ("BUY", ("70000.00", "80000.00"), "780", "0.01100000"),
        ("SELL", ("70000.00", "60000.00"), "760", "0.01100000"),
    ],
)
def test_quote_order_quantity_is_converted_along_the_levels(desk, side, levels, quote, quantity):
    """The best level first, the rest at the next."""
    desk.empty_book()
    for price in levels:
        rest(desk, Side.SELL if side == "BUY" else Side.BUY, price, "0.01")
    answer = desk.place(**market(side, quoteOrderQty=quote))
    assert (answer["origQty"], answer["status"]) == (quantity, "FILLED")
    assert Decimal(answer["cummulativeQuoteQty"]) == Decimal(quote)


def test_a_market_order_on_a_thin_book_expires_with_what_it_got(desk):
    """HTTP 200, EXPIRED, the filled part stands."""
    desk.empty_book()
    rest(desk, Side.SELL, "70000.00", "0.001")
    answer = desk.place(**market("BUY", quoteOrderQty="350"))
    assert (answer["status"], answer["executedQty"], answer["expiryReason"]) == (
        "EXPIRED",
        "0.00100000",
        "INSUFFICIENT_LIQUIDITY",
    )
    answer = desk.place(**market("BUY", quantity="0.01"))
    assert (answer["status"], answer["executedQty"]) == ("EXPIRED", "0.00000000")
    assert desk.refuse(**market("BUY", quoteOrderQty="350")) == (
        -2010,
        "Order book liquidity is less than symbol minimum quantity.",
    )


def test_a_market_order_without_enough_money_is_refused_whole(desk):
    """Not filled as far as the money goes: refused."""
    assert desk.refuse(**market("BUY", quoteOrderQty="100001")) == (
        -2010,
        "Account has insufficient balance for requested action.",
    )
    assert desk.refuse(**market("SELL", quantity="1.00001"))[0] == -2010


def test_a_limit_order_rests_locks_and_gives_back_what_a_better_price_saved(desk):
    """Funds are locked at the limit; a fill at a better price frees the difference."""
    desk.empty_book()
    rest(desk, Side.SELL, "69000.00", "0.1")
    answer = desk.place(**limit("BUY", "0.3", "70000"))
    assert answer["status"] == "PARTIALLY_FILLED"
    assert answer["executedQty"] == "0.10000000"
    assert desk.locked("USDT") == Decimal(14000)
    assert desk.free("USDT") == Decimal(100_000) - 14_000 - 6_900


def test_a_resting_order_is_filled_as_maker_by_another_account(desk):
    """Both sides hear of it, each with its own commission; the price is the resting one."""
    desk.empty_book()
    desk.place("alice", **limit("SELL", "0.1", "70000", newClientOrderId="resting"))
    desk.listeners["alice"].take()
    answer = desk.place("bob", **limit("BUY", "0.1", "71000"))
    assert answer["fills"][0]["price"] == "70000.00000000"
    trade = desk.listeners["alice"].events[0]
    assert (trade["x"], trade["X"], trade["m"], trade["N"]) == ("TRADE", "FILLED", True, "USDT")
    assert desk.exchange.accounts.by_name["alice"].open_orders == {}
    assert desk.locked("USDT", "bob") == 0


def test_earlier_orders_at_a_price_trade_first(desk):
    """Price, then time."""
    desk.empty_book()
    first = desk.place("alice", **limit("SELL", "0.1", "70000"))
    desk.place("alice", **limit("SELL", "0.1", "70000"))
    better = desk.place("alice", **limit("SELL", "0.1", "69999"))
    desk.place("bob", **market("BUY", quantity="0.2"))
    orders = desk.exchange.markets["BTCUSDT"].orders
    assert [str(orders[n].status) for n in (first["orderId"], first["orderId"] + 1, better["orderId"])] == [
        "FILLED",
        "NEW",
        "FILLED",
    ]


def test_immediate_or_cancel_keeps_its_fill_and_expires(desk):
    """The rest never reaches the book."""
    desk.empty_book()
    rest(desk, Side.SELL, "70000.00", "0.1")
    answer = desk.place(**limit("BUY", "0.3", "70000", timeInForce="IOC"))
    assert (answer["status"], answer["executedQty"]) == ("EXPIRED", "0.10000000")
    assert answer["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    assert desk.locked("USDT") == 0


def test_fill_or_kill_takes_all_or_nothing(desk):
    """Nothing trades when the book holds too little within the limit."""
    desk.empty_book()
    rest(desk, Side.SELL, "70000.00", "0.1")
    rest(desk, Side.SELL, "70001.00", "1")
    answer = desk.place(**limit("BUY", "0.3", "70000", timeInForce="FOK"))
    assert (answer["status"], answer["executedQty"]) == ("EXPIRED", "0.00000000")
    assert answer["expiryReason"] == "UNFILLED_FOK_ORDER_EXPIRED"
    assert desk.place(**limit("BUY", "0.1", "70000", timeInForce="FOK"))["status"] == "FILLED"
    assert desk.place(**limit("BUY", "0.3", "70001", timeInForce="FOK"))["status"] == "FILLED"


def test_a_limit_maker_never_takes(desk):
    """It rests, or it is refused."""
    params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.01"}
    assert desk.refuse(**params, price="70100") == (-2010, "Order would immediately match and take.")
    answer = desk.place(**params, price="69000")
    assert set(answer) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}


def test_a_client_order_id_is_taken_only_while_its_order_is_open(desk):
    """Duplicates are refused while open; any end frees the id, and both orders stay queryable."""
    desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="same"))
    assert desk.refuse(**limit("BUY", "0.01", "60000", newClientOrderId="same")) == (
        -2010,
        "Duplicate order sent.",
    )
    assert desk.ask("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="same")[0] == 200
    second = desk.place(**market("BUY", quoteOrderQty="350", newClientOrderId="same"))
    third = desk.place(**market("BUY", quoteOrderQty="350", newClientOrderId="same"))
    assert second["status"] == third["status"] == "FILLED"
    _, found = desk.ask("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="same")
    assert found["orderId"] == third["orderId"]
    desk.exchange.client_id_newest_first = False
    _, found = desk.ask("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="same")
    assert (found["orderId"], found["status"]) == (second["orderId"] - 1, "CANCELED")


def test_a_closed_symbol_takes_cancels_but_no_orders(desk):
    """Cancels work while a symbol is in BREAK."""
    desk.place(**limit("BUY", "0.01", "60000", newClientOrderId="old"))
    desk.exchange.markets["BTCUSDT"].symbol.status = "BREAK"
    assert desk.refuse(**market("BUY", quoteOrderQty="350")) == (-2010, "Market is closed.")
    assert desk.ask("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="old")[0] == 200


def test_the_price_range_rule_ends_a_market_order_at_its_bound(desk):
    """The first match outside the range expires the rest; earlier fills stand."""
    desk.empty_book()
    rest(desk, Side.SELL, "70000.00", "0.01")
    rest(desk, Side.SELL, "70800.00", "1")
    desk.exchange.markets["BTCUSDT"].symbol.price_range = (Decimal("0.99"), Decimal("1.01"))
    answer = desk.place(**market("BUY", quantity="0.02"))
    assert (answer["status"], answer["executedQty"]) == ("EXPIRED", "0.01000000")
    assert answer["expiryReason"] == "EXECUTION_RULE_PRICE_RANGE_EXCEEDED"


@pytest.mark.parametrize(
    ("side", "kind", "stop", "move", "rest_at"),
    [
        ("SELL", "STOP_LOSS", "69000", "68900", None),
        ("SELL", "TAKE_PROFIT", "71000", "71100", None),
        ("BUY", "STOP_LOSS", "71000", "71100", None),
        ("BUY", "TAKE_PROFIT", "69000", "68900", None),
        ("SELL", "STOP_LOSS_LIMIT", "69000", "68900", "75000"),
        ("BUY", "TAKE_PROFIT_LIMIT", "69000", "68900", "60000"),
    ],
)
def test_a_conditional_order_waits_for_its_price(desk, side, kind, stop, move, rest_at):
    """It is accepted without working, triggers on the last price, then acts as MARKET or LIMIT."""
    params = {"symbol": "BTCUSDT", "side": side, "type": kind, "quantity": "0.01", "stopPrice": stop}
    if rest_at:
        params |= {"price": rest_at, "timeInForce": "GTC"}
    placed = desk.place(**params, newOrderRespType="RESULT")
    assert placed["status"] == "NEW"
    assert "workingTime" not in placed
    event = desk.listeners["alice"].events[0]
    assert event["w"] is False
    assert "W" not in event
    query = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    assert desk.ask("GET", "/api/v3/order", **query)[1]["isWorking"] is False
    desk.exchange.move_price(desk.exchange.markets["BTCUSDT"], Decimal(move))
    found = desk.ask("GET", "/api/v3/order", **query)[1]
    assert found["isWorking"] is True
    assert found["status"] == ("NEW" if rest_at else "FILLED")
    asset = "BTC" if side == "SELL" else "USDT"
    assert (desk.locked(asset) > 0) is bool(rest_at)


def test_a_conditional_order_on_the_wrong_side_would_trigger_at_once(desk):
    """A stop that is reached already is refused."""
    params = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.01"}
    assert desk.refuse(**params, stopPrice="71000") == (-2010, "Order would trigger immediately.")


def test_a_trailing_stop_follows_the_price(desk):
    """100 basis points below the highest price since it was placed."""
    placed = desk.place(symbol="BTCUSDT", side="SELL", type="STOP_LOSS", quantity="0.01", trailingDelta="100")
    market_ = desk.exchange.markets["BTCUSDT"]
    order = market_.orders[placed["orderId"]]
    for price in ("72000", "71400"):
        desk.exchange.move_price(market_, Decimal(price))
        assert str(order.status) == "NEW"
    desk.exchange.move_price(market_, Decimal(71200))
    assert str(order.status) == "FILLED"


def test_resting_orders_fill_when_the_price_comes_to_them(desk):
    """The crowd trades through what is in its way, at the resting price."""
    placed = desk.place(**limit("BUY", "0.01", "69000"))
    desk.exchange.move_price(desk.exchange.markets["BTCUSDT"], Decimal(68000))
    order = desk.exchange.markets["BTCUSDT"].orders[placed["orderId"]]
    assert str(order.status) == "FILLED"
    assert {trade.price for trade in order.trades} == {Decimal(69000)}
    assert not desk.exchange.markets["BTCUSDT"].book.is_crossed()


def test_bnb_pays_with_its_discount_while_there_is_enough(desk):
    """Three quarters of the fee in BNB at the market rate; without BNB the received asset pays."""
    account = desk.exchange.accounts.by_name["alice"]
    account.bnb_discount = True
    desk.empty_book()
    rest(desk, Side.SELL, "70000.00", "1")
    fill = desk.place(**market("BUY", quantity="0.01"))["fills"][0]
    bnb_price = desk.exchange.markets["BNBUSDT"].last_price
    assert fill["commissionAsset"] == "BNB"
    assert Decimal(fill["commission"]) == (Decimal("0.525") / bnb_price).quantize(Decimal("1e-8"))
    account.balance("BNB").free = Decimal(0)
    assert desk.place(**market("BUY", quantity="0.01"))["fills"][0]["commissionAsset"] == "BTC"
