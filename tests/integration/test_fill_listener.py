"""DESIGN 6: what happens at the exchange becomes fills, orders and positions, over real sockets."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from services.fill_listener.apply import Arrival
from shared.database.settle import settle
from shared.domain.reports import report_of_answer
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from tests.listening import LocalMarket, Trader, local_market, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bot import Bot


@pytest.fixture
async def market(bridge_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalMarket]:
    async with local_market(bridge_database, monkeypatch) as running:
        yield running


@pytest.fixture
async def trader(market: LocalMarket, bot: Bot) -> Trader:
    return await market.trader(bot, "alice")


async def test_an_event_becomes_a_filled_order_and_a_position(market: LocalMarket, trader: Trader) -> None:
    """Nobody settles the answer: the stream alone fills the order and opens the position."""
    await market.listen()
    order = await trader.buy("0.01", reasoning="because")
    await trader.filled(order)
    row = trader.row(order)
    (position,) = trader.positions()
    assert row["filled_amount"] == Decimal("0.01")
    assert (row["fee"], row["fee_currency"]) == (Decimal("0.00001"), "BTC")
    assert position["size"] == Decimal("0.00999")
    assert position["entry_price"] == row["avg_fill_price"]
    assert position["open_reasoning"] == "because"


async def test_the_ledger_is_the_exchanges(market: LocalMarket, trader: Trader) -> None:
    """Bought, bought more, sold all: fills, sums and fees are what the exchange's own ledger says."""
    await market.listen()
    for number, quantity in enumerate(("0.5", "0.25"), 1):
        await trader.filled(await trader.buy(quantity, exchange_order_id=number))
    (position,) = trader.positions()
    sell = await trader.order(side="sell")
    await trader.send(sell, type="MARKET", quantity=str(position["size"]).rstrip("0"))
    await trader.filled(sell)
    (closed,) = trader.positions()
    assert closed["status"] == "closed"
    ledger = (await market.admin("GET", f"/ledger?account={trader.name}"))["orders"]
    told = {(str(o["order"]["orderId"]), t["id"], t["qty"]) for o in ledger for t in o["trades"]}
    stored = await market.pool.fetch(
        "SELECT exchange_order_id, trade_id, quantity, commission FROM bridge.fill"
    )
    assert {(row[0], row[1], f"{row[2]:.8f}") for row in stored} == told


async def test_a_resting_order_is_cancelled_at_the_exchange(market: LocalMarket, trader: Trader) -> None:
    """On a cancel our own id stands in C; the row becomes canceled and keeps what it is."""
    await market.listen()
    order = await trader.order()
    answer = await trader.send(order, type="LIMIT", quantity="0.01", price="50000", timeInForce="GTC")
    await until(lambda: trader.row(order)["exchange_order_id"] == str(answer["orderId"]), "it rests")
    await market.rest.cancel_order(trader.credentials, "BTCUSDT", order_id=answer["orderId"])
    await until(lambda: trader.row(order)["status"] == "canceled", "the row is canceled")
    assert trader.positions() == []


async def test_a_lost_event_is_asked_for_at_once(market: LocalMarket, trader: Trader) -> None:
    """One of several trades is not told: the cumulative quantity shows the gap, its trades are fetched."""
    listener = await market.listen()
    await market.admin("POST", "/faults", {"action": "event_lose", "event": "TRADE", "count": 1})
    order = await trader.buy("5")
    await trader.filled(order)
    trades = await market.pool.fetchval("SELECT count(*) FROM bridge.fill")
    assert trades > 1
    assert listener.metrics.gaps_found("spot")._value.get() == 1
    assert listener.metrics.gaps_healed("spot")._value.get() == 1


async def test_events_twice_late_and_out_of_order(market: LocalMarket, trader: Trader) -> None:
    """Whatever the stream does to the sequence, sums and position are those of the exchange."""
    await market.listen()
    for action, extra in (
        ("event_duplicate", {"probability": 0.5}),
        ("event_reorder", {"probability": 0.3, "event": "TRADE"}),
        ("event_delay", {"probability": 0.3, "ms": 50}),
    ):
        await market.admin("POST", "/faults", {"action": action, "seed": 3, **extra})
    for number in range(1, 6):
        await trader.filled(await trader.buy("1", exchange_order_id=number))
    await market.admin("DELETE", "/faults")
    (position,) = trader.positions()
    assert position["size"] == Decimal("4.995")


async def test_what_happened_while_nobody_heard_is_found(market: LocalMarket, trader: Trader) -> None:
    """An order that filled before the listener came is reconciled."""
    before = await trader.buy("0.01")
    await trader.abandon(before)
    await market.listen()
    await trader.filled(before)


async def test_after_a_disconnect_it_hears_again(market: LocalMarket, trader: Trader) -> None:
    """The connection breaks and a resting order fills meanwhile; nothing is missing afterwards."""
    listener = await market.listen()
    resting = await trader.order()
    answer = await trader.send(resting, type="LIMIT", quantity="0.01", price="60000", timeInForce="GTC")
    await until(lambda: trader.row(resting)["exchange_order_id"] == str(answer["orderId"]), "it rests")
    await market.admin("POST", "/streams/disconnect", {"kind": "ws-api", "clean": False})
    await market.admin("POST", "/price", {"symbol": "BTCUSDT", "price": "59000"})
    await trader.filled(resting)
    await until(lambda: listener.ready().ready, "it hears again")
    after = await trader.buy("0.01", exchange_order_id=2)
    await trader.filled(after)


async def test_a_shutdown_is_announced_and_no_gap_arises(market: LocalMarket, trader: Trader) -> None:
    """On serverShutdown the next connection is heard before the old one ends: the stream has no gap."""
    await market.listen()
    first = await market.pool.fetchrow("SELECT connection_id, subscribed_at_ms FROM bridge.stream")
    assert first is not None
    await market.admin("POST", "/streams/shutdown", {"close_after_ms": 500})

    async def moved() -> bool:
        query = "SELECT connection_id <> $1 FROM bridge.stream"
        return bool(await market.pool.fetchval(query, first["connection_id"]))

    await until(moved, "another connection carries the account")
    assert (
        await market.pool.fetchval("SELECT subscribed_at_ms FROM bridge.stream") == first["subscribed_at_ms"]
    )
    await trader.filled(await trader.buy("0.01"))


async def test_a_silent_connection_is_found(
    market: LocalMarket, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that stays open and says nothing is replaced as soon as a probe goes unanswered."""
    monkeypatch.setattr("services.fill_listener.probe.EVERY_S", 0.1)
    monkeypatch.setattr("shared.binance.user_stream.ANSWER_TIMEOUT_S", 0.3)
    await market.listen()
    first = await market.pool.fetchval("SELECT connection_id FROM bridge.stream")
    await market.admin("POST", "/streams/silence", {"kind": "ws-api"})
    order = await trader.order()
    await trader.abandon(order)
    await trader.send(order, type="MARKET", quantity="0.01")

    async def moved() -> bool:
        return bool(await market.pool.fetchval("SELECT connection_id <> $1 FROM bridge.stream", first))

    await until(moved, "another connection carries the account")
    await trader.filled(order)


async def test_a_probe_verifies_the_stream(market: LocalMarket, trader: Trader) -> None:
    """The moment through which nothing is missing is recorded, and lies after the subscription."""
    market.monkeypatch.setattr("services.fill_listener.probe.EVERY_S", 0.1)
    await market.listen()

    async def verified() -> bool:
        row = await market.pool.fetchrow(
            "SELECT s.subscribed_at_ms, c.verified_through_ms FROM bridge.stream AS s "
            "JOIN bridge.connection AS c ON c.id = s.connection_id WHERE s.account_id = $1",
            trader.account,
        )
        return row is not None and (row[1] or 0) > row[0]

    await until(verified, "verified through a moment after the subscription")


async def test_positions_are_marked_to_the_market(market: LocalMarket, trader: Trader) -> None:
    """Price and profit of an open position follow the market, by the bot's formulas."""
    await market.listen()
    await trader.filled(await trader.buy("0.1"))
    await market.admin("POST", "/price", {"symbol": "BTCUSDT", "price": "77000", "volatility": 0})
    await until(lambda: trader.positions()[0]["current_price"] > 76900, "the new price is on the row")
    row = trader.positions()[0]
    gain = (row["current_price"] - row["entry_price"]) * row["size"]
    assert row["unrealized_pnl"] == round(gain, 8)
    assert row["unrealized_pnl_pct"] == round(gain / (row["entry_price"] * row["size"]) * 100, 4)


async def test_a_fee_in_a_third_asset_is_valued(market: LocalMarket, bot: Bot) -> None:
    """Charged in BNB, shown in BNB, and worth a fixed amount of quote in the position's profit."""
    trader = await market.trader(bot, "carol")
    await market.admin("POST", "/balances", {"account": "carol", "asset": "BNB", "delta": "10"})
    await market.admin("POST", "/accounts/carol", {"bnb_discount": True})
    await market.listen()
    order = await trader.buy("0.1")
    await trader.filled(order)
    assert trader.row(order)["fee_currency"] == "BNB"
    value = await market.pool.fetchval("SELECT sum(commission_in_quote) FROM bridge.fill")
    assert Decimal("4.5") < value < Decimal(6)  # 0.075 % of about 7,000 USDT
    (position,) = trader.positions()
    assert position["size"] == Decimal("0.1")
    assert position["realized_pnl"] == -round(value, 8)


async def test_a_manual_order_is_recorded_and_moves_nothing(market: LocalMarket, trader: Trader) -> None:
    """What the user trades by hand is flagged; positions and rows stay as they are."""
    await market.listen()
    await trader.place(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")

    async def recorded() -> bool:
        row = await market.pool.fetchrow("SELECT flag, status FROM bridge.external_order")
        return row is not None and tuple(row) == ("manual", "FILLED")

    await until(recorded, "the order is recorded as manual")
    assert trader.positions() == []
    assert await market.pool.fetchval("SELECT count(*) FROM bridge.control") == 0


async def test_the_bots_own_executor_halts_the_account(market: LocalMarket, trader: Trader) -> None:
    """An order whose client id is the bare id of a row was sent by the bot itself: stop, and shout."""
    await market.listen()
    row = trader.bot.order(trader.user, trader.account)
    await trader.place(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId=str(row)
    )

    async def halted() -> bool:
        query = "SELECT halted FROM bridge.control WHERE scope = 'account' AND key = $1"
        return bool(await market.pool.fetchval(query, str(trader.account)))

    await until(halted, "the account is halted")


async def test_an_order_found_late_on_the_stream_is_said(market: LocalMarket, trader: Trader) -> None:
    """Settled as not sent, and the stream shows it: the account is halted, and whoever heard it says so."""
    listener = await market.listen()
    order = await trader.order()
    word = Outcome(order.order_id, 1, order.token, AttemptOutcome.NOT_SENT, "reset", "The connection broke.")
    async with market.pool.acquire() as connection:
        assert (await settle(connection, [word])).lines
    await trader.send(order, type="MARKET", quantity="0.01")

    async def halted() -> bool:
        query = "SELECT halted FROM bridge.control WHERE scope = 'account' AND key = $1"
        return bool(await market.pool.fetchval(query, str(trader.account)))

    await until(halted, "the account is halted")
    said = {"market": "spot"}
    counter = "bridge_late_evidence_total"
    await until(lambda: listener.metrics.registry.get_sample_value(counter, said) == 1, "it is counted")


async def test_an_order_judged_absent_is_found_though_nobody_heard_it(
    market: LocalMarket, trader: Trader
) -> None:
    """It stays watched (PROTOCOL 7): asked for by its client id, long after nobody expects it any more."""
    order = await trader.order()
    async with market.pool.acquire() as connection:
        for outcome in (AttemptOutcome.UNKNOWN, AttemptOutcome.ABSENT):
            word = Outcome(order.order_id, 1, order.token, outcome, "absent", "It is not there.")
            assert (await settle(connection, [word])).lines
    price = {"price": "60000", "timeInForce": "GTC"}
    await trader.send(order, type="LIMIT", quantity="0.01", **price)
    await market.listen()

    async def late() -> bool:
        query = "SELECT late FROM bridge.attempt WHERE order_id = $1"
        return bool(await market.pool.fetchval(query, order.order_id))

    await until(late, "it is found")
    query = "SELECT halted FROM bridge.control WHERE scope = 'account' AND key = $1"
    assert await market.pool.fetchval(query, str(trader.account))


async def test_an_order_of_another_bridge_halts_the_account(market: LocalMarket, trader: Trader) -> None:
    """Our id form, but no row of ours: another bridge, a clone, or lost history (PROTOCOL 10)."""
    await market.listen()
    await trader.place(
        symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01", newClientOrderId=f"b{'0' * 31}1-1"
    )

    async def halted() -> bool:
        flag = await market.pool.fetchval("SELECT flag FROM bridge.external_order")
        return flag == "other_bridge" and bool(
            await market.pool.fetchval("SELECT halted FROM bridge.control")
        )

    await until(halted, "the account is halted")


async def test_a_fee_stored_without_a_price_is_valued(market: LocalMarket, bot: Bot) -> None:
    """Whoever stored the fill had no price of BNB: the listener values it as soon as it has one."""
    market.monkeypatch.setattr("services.fill_listener.value.EVERY_S", 0.1)
    trader = await market.trader(bot, "dave")
    await market.admin("POST", "/balances", {"account": "dave", "asset": "BNB", "delta": "10"})
    await market.admin("POST", "/accounts/dave", {"bnb_discount": True})
    order = await trader.order()
    answer = await trader.send(order, type="MARKET", quantity="0.1")
    report = report_of_answer(answer, order.origin)
    assert report is not None
    async with market.pool.acquire() as connection:
        await settle(connection, [report])
    assert trader.positions()[0]["realized_pnl"] == 0
    await market.listen()
    await until(lambda: trader.positions()[0]["realized_pnl"] < -4, "the fee is in the position")


async def test_a_position_the_bot_closed_is_told_once(market: LocalMarket, trader: Trader) -> None:
    """The kill switch closes in the database only: still held, so it is said, and never opened again."""
    market.monkeypatch.setattr("services.fill_listener.mark.EVERY_S", 0.05)
    await market.listen()
    await trader.filled(await trader.buy("0.1", exchange_order_id=1))
    trader.bot.connection.execute("UPDATE positions SET status = 'closed', closed_at = now()")

    async def told() -> bool:
        query = "SELECT count(*) FROM bridge.event WHERE kind = 'position_closed_by_bot'"
        return bool(await market.pool.fetchval(query) == 1)

    await until(told, "the event is there")
    await trader.filled(await trader.buy("0.1", exchange_order_id=2))
    assert [row["status"] for row in trader.positions()] == ["closed"]
    assert await told()


async def test_a_row_the_bot_holds_delays_only_its_own_order(market: LocalMarket, trader: Trader) -> None:
    """The bot keeps one row locked: the other order is applied meanwhile, the stream admits its gap."""
    market.monkeypatch.setattr("services.fill_listener.apply.ROW_HELD_RETRY_S", 0.05)
    await market.listen()
    since = await market.pool.fetchval("SELECT subscribed_at_ms FROM bridge.stream")
    held, free = await trader.order(exchange_order_id=1), await trader.order(exchange_order_id=2)
    with trader.bot.connection.transaction():
        trader.bot.connection.execute("SELECT 1 FROM orders WHERE id = %s FOR UPDATE", [held.order_id])
        for order in (held, free):
            await trader.send(order, type="MARKET", quantity="0.01")
        await trader.filled(free)

        async def gap_told() -> bool:
            return bool(await market.pool.fetchval("SELECT subscribed_at_ms > $1 FROM bridge.stream", since))

        await until(gap_told, "the stream proves nothing before now")
    await trader.filled(held)


async def test_an_event_that_cannot_be_read_leaves_a_gap(market: LocalMarket, trader: Trader) -> None:
    """It may have been about any order: the stream proves nothing before it, the orders are asked for."""
    listener = await market.listen()
    since = await market.pool.fetchval("SELECT subscribed_at_ms FROM bridge.stream")
    order = await trader.order()
    answer = await trader.send(order, type="LIMIT", quantity="0.01", price="50000", timeInForce="GTC")
    await until(lambda: trader.row(order)["exchange_order_id"] == str(answer["orderId"]), "it rests")
    (carrier,) = listener.carriers()
    carrier.lane.put(Arrival(trader.account, {**order.event(), "X": "SOMETHING_NEW"}))

    async def gap_told() -> bool:
        return bool(await market.pool.fetchval("SELECT subscribed_at_ms > $1 FROM bridge.stream", since))

    await until(gap_told, "the stream proves nothing before now")
    assert listener.metrics.alarms("event_unreadable")._value.get() == 1
