"""The bot writes to a row, or holds it, at the worst moment: it is sent as it is now, once, or not at all."""

from __future__ import annotations

import base64
import secrets
import time
import urllib.request
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot, order_row
from shared.binance.sign import Credentials, signed_query
from shared.domain.verdicts import Code
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from services.command_line.local_testnet import Process
    from tests.end_to_end.conftest import Trader

MARKETS = ("spot", "futures")
POSTS = {"spot": "/api/v3/order", "futures": "/fapi/v1/order"}
HELD_S = 3.0
RESTING = {"symbol": "ETH/USDT", "type": "limit", "price": Decimal(3400)}


@pytest.fixture(scope="module")
def own() -> Iterator[LocalTestnet]:
    """A testnet of these tests alone, whose prices stand still."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet(
        [fund("nobody")],
        key,
        environment={"BRIDGE_SWEEP_INTERVAL": "0.5"},
        exchange_options=["--volatility=0"],
        fsync=False,
    ) as local:
        yield local


@pytest.fixture
def alone(own: LocalTestnet) -> Iterator[Trader]:
    """A user of that testnet."""
    assert own.database_url is not None
    own.admin("DELETE", "/faults")
    with Bot(own.database_url, own.encryption_key) as bot:
        yield new_trader(own, bot)


class Serving:
    """An executor that serves one trader, for the length of a block."""

    def __init__(self, trader: Trader, failpoints: str = "") -> None:
        self._trader = trader
        self._failpoints = failpoints

    def __enter__(self) -> Process:
        self._process = self._trader.local.start_service(
            EXECUTOR, BRIDGE_ONLY_ACCOUNTS=str(self._trader.account), BRIDGE_FAILPOINTS=self._failpoints
        )
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.stop()
        self._trader.local.processes.remove(self._process)


def on_both_markets(trader: Trader, **columns: Any) -> list[UUID]:
    """Insert a row on each market with one statement, so that one look finds both."""
    rows = [order_row(trader.user, trader.account, market_type=market, **columns) for market in MARKETS]
    return trader.bot.orders(rows)


@contextmanager
def holding(holder: Bot, orders: list[UUID]) -> Iterator[None]:
    """Keep rows locked for seconds, as a slow transaction of the bot does."""
    with holder.connection.transaction():
        holder.connection.execute("SELECT 1 FROM orders WHERE id = ANY (%s) FOR UPDATE", [orders])
        end = time.monotonic() + HELD_S
        yield
        time.sleep(max(0.0, end - time.monotonic()))


def write(trader: Trader, order: UUID, **columns: Any) -> None:
    """Change columns of a row, as whoever works on the same rows does."""
    for name, value in columns.items():
        trader.bot.connection.execute(f"UPDATE orders SET {name} = %s WHERE id = %s", [value, order])


def outcomes(trader: Trader, order: UUID) -> list[str | None]:
    """Read what became of an order's attempts."""
    rows = trader.bot.connection.execute(
        "SELECT outcome FROM bridge.attempt WHERE order_id = %s ORDER BY number", [order]
    ).fetchall()
    return [row["outcome"] for row in rows]


def until_accepted(trader: Trader, order: UUID) -> None:
    """Wait until the exchange has taken an order, by its first attempt."""
    trader.until(lambda: outcomes(trader, order) == ["accepted"], f"{order} is accepted")


def posted(trader: Trader, market: str) -> int:
    """Count the orders that reached the exchange."""
    path = f"/requests?account={trader.name}&path={POSTS[market]}&method=POST"
    return len(trader.local.admin("GET", path))


def reached(trader: Trader, executor: Process, point: str) -> None:
    """Wait until the executor has come to a failpoint."""
    trader.until(lambda: f"failpoint {point}" in executor.log.read_text(), f"it has reached {point}")


def test_rows_changed_after_the_peek_are_sent_as_they_are_now(alone: Trader) -> None:
    """Sized at 340 USDT, then the bot writes 680: nobody sends what the row said before."""
    with Serving(alone, "prepare.sized=delay:1500@1") as executor:
        orders = on_both_markets(alone, **RESTING, amount=Decimal(340))
        reached(alone, executor, "prepare.sized")
        for order in orders:
            write(alone, order, amount=Decimal(680))
        for order in orders:
            until_accepted(alone, order)
    for market in MARKETS:
        (sent,) = alone.at_exchange(market)
        assert Decimal(sent["origQty"]) == Decimal("0.2")
        assert posted(alone, market) == 1


def test_rows_cancelled_after_the_peek_are_never_sent(alone: Trader) -> None:
    """The cancel is committed before the claim: the claim finds it."""
    with Serving(alone, "prepare.sized=delay:1500@1") as executor:
        orders = on_both_markets(alone, **RESTING, amount=Decimal(340))
        reached(alone, executor, "prepare.sized")
        for order in orders:
            alone.bot.cancel(order)
        for order in orders:
            alone.until(lambda order=order: alone.entry(order)["state"] == "done", "the cancel is noticed")  # type: ignore[misc]
        for order in on_both_markets(alone, **RESTING, amount=Decimal(408)):
            until_accepted(alone, order)
    for order, market in zip(orders, MARKETS, strict=True):
        assert outcomes(alone, order) == []
        assert alone.row(order)["status"] == "canceled"
        assert posted(alone, market) == 1


def test_rows_that_the_bots_own_executor_took_after_the_peek_are_left_to_it(alone: Trader) -> None:
    """They are closed and that is said, and the next rows of their keys are sent."""
    with Serving(alone, "prepare.sized=delay:1500@1") as executor:
        orders = on_both_markets(alone, **RESTING, amount=Decimal(340))
        reached(alone, executor, "prepare.sized")
        for order in orders:
            write(alone, order, status="open")
        for order in on_both_markets(alone, **RESTING, amount=Decimal(408)):
            until_accepted(alone, order)
        assert executor.log.read_text().count("order.moved_by_another") == len(orders)
    for order, market in zip(orders, MARKETS, strict=True):
        entry = alone.entry(order)
        assert (entry["state"], entry["reason_code"]) == ("done", "moved_by_another")
        assert outcomes(alone, order) == []
        assert posted(alone, market) == 1


def test_rows_the_bot_holds_at_the_claim_delay_only_themselves(own: LocalTestnet, alone: Trader) -> None:
    """Its transaction stays open for seconds: others are sent meanwhile, and these after it."""
    assert own.database_url is not None
    with (
        Serving(alone, "prepare.peeked=delay:1500@1") as executor,
        Bot(own.database_url, own.encryption_key) as holder,
    ):
        orders = on_both_markets(alone, **RESTING, amount=Decimal(340))
        reached(alone, executor, "prepare.peeked")
        with holding(holder, orders):
            for other in on_both_markets(alone, symbol="BNB/USDT", amount=Decimal(120)):
                until_accepted(alone, other)
            assert [outcomes(alone, order) for order in orders] == [[], []]
        for order in orders:
            until_accepted(alone, order)
    assert [posted(alone, market) for market in MARKETS] == [2, 2]


def test_rows_the_bot_holds_when_their_answers_come_are_settled_when_it_lets_go(
    own: LocalTestnet, alone: Trader
) -> None:
    """The answers wait for the rows; others do not, and nothing is sent again."""
    assert own.database_url is not None
    with Serving(alone) as executor, Bot(own.database_url, own.encryption_key) as holder:
        for route in POSTS.values():
            fault = {"action": "delay_answer", "ms": 1000, "method": "POST", "route": route, "count": 1}
            own.admin("POST", "/faults", fault)
        orders = on_both_markets(alone, **RESTING, amount=Decimal(340))
        alone.until(lambda: [posted(alone, m) for m in MARKETS] == [1, 1], "the exchange has the orders")
        with holding(holder, orders):
            alone.until(
                lambda: "settle.row_locked" in executor.log.read_text(), "an answer waits for its row"
            )
            for other in on_both_markets(alone, symbol="BNB/USDT", amount=Decimal(120)):
                until_accepted(alone, other)
            assert [outcomes(alone, order) for order in orders] == [[None], [None]]
        for order in orders:
            until_accepted(alone, order)
            assert alone.row(order)["status"] == "open"
    assert [posted(alone, market) for market in MARKETS] == [2, 2]


@pytest.mark.parametrize("market", MARKETS)
def test_an_order_the_bot_sent_itself_halts_the_account(alone: Trader, market: str) -> None:
    """Its client id is the bare id of a row: nothing more of ours is sent, and an operator is told why."""
    local = alone.local
    listener = local.start_service(LISTENER, BRIDGE_ONLY_ACCOUNTS=str(alone.account))
    with Serving(alone):
        until_accepted(alone, alone.order(symbol="BNB/USDT", market_type=market, amount=Decimal(120)))
        row = alone.order(**RESTING, market_type=market, amount=Decimal(340))
        until_accepted(alone, row)
        alone.until(lambda: heard(alone, market), "the account is heard")
        place_as_the_bot(alone, market, row)

        def halted() -> bool:
            query = "SELECT reason FROM bridge.control WHERE scope = 'account' AND key = %s AND halted"
            found = alone.bot.connection.execute(query, [str(alone.account)]).fetchone()
            return found is not None and "bot's own executor" in found["reason"]

        alone.until(halted, "the account is halted")
        waits = alone.order(symbol="SOL/USDT", market_type=market, amount=Decimal(121))
        alone.until(lambda: alone.entry(waits)["reason_code"] == Code.HALTED, "the row is seen, and waits")
        assert alone.row(waits)["status"] == "pending"
        assert outcomes(alone, waits) == []
        assert "account.halted" in listener.log.read_text()
        alone.bot.connection.execute("UPDATE bridge.control SET halted = false")
        until_accepted(alone, waits)
    listener.stop()
    local.processes.remove(listener)


def heard(trader: Trader, market: str) -> bool:
    """Tell whether the listener hears the account."""
    query = "SELECT connection_id FROM bridge.stream WHERE account_id = %s AND market = %s"
    row = trader.bot.connection.execute(query, [trader.account, market]).fetchone()
    return row is not None and row["connection_id"] is not None


def place_as_the_bot(trader: Trader, market: str, row: UUID) -> None:
    """Send an order whose client id is the bare id of a row."""
    key = Credentials(trader.at_local["api_key"], trader.at_local["secret"])
    params: dict[str, str | int] = {
        "symbol": "ETHUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.1",
        "newClientOrderId": str(row),
        "timestamp": int(time.time() * 1000),
    }
    port = trader.local.futures_port if market == "futures" else trader.local.exchange_port
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{POSTS[market]}?{signed_query(params, key)}",
        method="POST",
        headers={"X-MBX-APIKEY": key.api_key},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
