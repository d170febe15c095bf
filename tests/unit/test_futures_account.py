"""Position mode, leverage and margin mode are known, or set, before a futures row is claimed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import respx

from services.order_executor.futures_account import FuturesAccounts
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.sign import Credentials
from shared.domain.futures_orders import PositionMode
from shared.domain.futures_settings import chosen_leverage
from shared.domain.verdicts import Code, Rejected, Waiting
from shared.futures_settings import FuturesSettings
from tests.order_rows import ENTRY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.binance.venue import Venue

URL = "https://fapi.exchange.test"
ACCOUNT = ENTRY.order.account_id
KEY = Credentials("an-api-key", "secret")
SET = {"leverage": 20, "margin_mode": "isolated"}


class Memory:
    """A pool whose database remembers what was set."""

    def __init__(self) -> None:
        self.stored: list[tuple[Any, ...]] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Memory]:
        yield self

    async def fetchrow(self, _query: str, *key: Any) -> dict[str, Any] | None:
        return next(
            ({"leverage": row[3], "margin_mode": row[4]} for row in self.stored if row[:3] == key), None
        )

    async def execute(self, _query: str, *row: Any) -> None:
        self.stored.append(row)


@pytest.fixture
def exchange() -> respx.Router:
    return respx.Router(base_url=URL, assert_all_called=False)


@pytest.fixture
def venue(exchange: respx.Router) -> Venue:
    clock = Clock(lambda: 5000.0)
    clock.sample(5000.0, 1_790_000_000_000, 5000.0)
    rest = FuturesRest(httpx.MockTransport(exchange.async_handler), URL, clock)
    return SimpleNamespace(rest=rest, base_url=URL, environment_epoch=1)  # type: ignore[return-value]


def accounts(memory: Memory | None = None, **settings: Any) -> FuturesAccounts:
    chosen = FuturesSettings().model_copy(update=settings)
    return FuturesAccounts(memory or Memory(), chosen)  # type: ignore[arg-type]


async def test_rows_of_one_account_ask_for_its_mode_once(exchange: respx.Router, venue: Venue) -> None:
    """Rows prepared side by side share one answer, until an order was refused for it."""
    asked = exchange.get("/fapi/v1/accountConfig").respond(json={"dualSidePosition": True})
    known = accounts()
    modes = await asyncio.gather(*(known.mode(ACCOUNT, venue, KEY) for _ in range(5)))
    assert modes == [PositionMode.HEDGE] * 5
    assert asked.call_count == 1
    known.forget_mode(venue, KEY)
    asked.respond(json={"dualSidePosition": False})
    assert await known.mode(ACCOUNT, venue, KEY) is PositionMode.ONE_WAY


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ((500, {}), Waiting, Code.NO_ANSWER),
        ((200, {"something": "else"}), Waiting, Code.NO_ANSWER),
        ((401, {"code": -2015, "msg": "no right for futures"}), Rejected, Code.KEY_REFUSED),
    ],
)
async def test_an_unknown_mode_is_never_guessed(
    exchange: respx.Router, venue: Venue, answer: tuple[int, Any], kind: type, code: Code
) -> None:
    """Without a word the row waits; with a refused key it is rejected."""
    exchange.get("/fapi/v1/accountConfig").respond(answer[0], json=answer[1])
    verdict = await accounts().mode(ACCOUNT, venue, KEY)
    assert isinstance(verdict, Waiting | Rejected)
    assert isinstance(verdict, kind)
    assert verdict.code is code


async def test_settings_are_made_once_per_symbol(exchange: respx.Router, venue: Venue) -> None:
    """Another process, or another run, finds them made and leaves them as they are."""
    margin = exchange.post("/fapi/v1/marginType").respond(400, json={"code": -4046, "msg": "No need."})
    leverage = exchange.post("/fapi/v1/leverage").respond(json={"leverage": 20})
    memory = Memory()
    first, second = accounts(memory, **SET), accounts(memory, **SET)
    for one in (first, first, second):
        assert await one.set_up(ENTRY, venue, KEY, "BTCUSDT") is None
    assert (margin.call_count, leverage.call_count, len(memory.stored)) == (1, 1, 1)
    assert memory.stored[0][2:] == ("BTCUSDT", 20, "isolated")


async def test_a_margin_mode_that_cannot_change_now_stays(exchange: respx.Router, venue: Venue) -> None:
    """With a position open the exchange keeps it; that is no reason not to trade."""
    exchange.post("/fapi/v1/marginType").respond(400, json={"code": -4048, "msg": "position exists"})
    exchange.post("/fapi/v1/leverage").respond(json={"leverage": 20})
    memory = Memory()
    assert await accounts(memory, **SET).set_up(ENTRY, venue, KEY, "BTCUSDT") is None
    assert memory.stored[0][3:] == (20, None)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ((400, {"code": -4028, "msg": "Leverage 20 is not valid."}), Rejected, Code.SETTING_REFUSED),
        ((401, {"code": -2015, "msg": "Invalid API-key."}), Rejected, Code.KEY_REFUSED),
        ((503, {"code": -1001, "msg": "Internal error."}), Waiting, Code.NO_ANSWER),
        ((400, {"code": -1021, "msg": "Timestamp."}), Waiting, Code.NO_ANSWER),
    ],
)
async def test_nothing_is_sent_at_a_leverage_nobody_chose(
    exchange: respx.Router, venue: Venue, answer: tuple[int, Any], kind: type, code: Code
) -> None:
    """A refusal is final for the row, a failure passes; neither is remembered as made."""
    exchange.post("/fapi/v1/leverage").respond(answer[0], json=answer[1])
    memory = Memory()
    verdict = await accounts(memory, leverage=20).set_up(ENTRY, venue, KEY, "BTCUSDT")
    assert isinstance(verdict, Waiting | Rejected)
    assert isinstance(verdict, kind)
    assert verdict.code is code
    assert memory.stored == []


async def test_what_is_not_configured_is_left_alone(venue: Venue) -> None:
    """No request, no line in the database."""
    memory = Memory()
    assert await accounts(memory).set_up(ENTRY, venue, KEY, "BTCUSDT") is None
    assert memory.stored == []


@pytest.mark.parametrize(
    ("configured", "limit", "chosen"),
    [
        (20, 5, 5),
        (20, 0, 20),
        (20, 50, 20),
        (20, "x", 20),
        (20, Decimal("2.9"), 2),
        (20, 0.5, 1),
        (None, 5, None),
    ],
)
def test_the_users_limit_lowers_the_leverage(configured: int | None, limit: Any, chosen: int | None) -> None:
    """Go writes 0 for no limit."""
    entry = replace(ENTRY, user_settings={"max_leverage_multiple": limit})
    assert chosen_leverage(configured, entry.user_settings) == chosen
