"""PROTOCOL 7: what can no longer be judged absent is asked about once in a while, and an operator is told."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import httpx
import pytest
import respx
from structlog.testing import capture_logs

from services.order_executor.ask import Lists
from services.order_executor.resolve import LONGEST_WAIT, Resolver
from shared.binance.clock_offset import Clock
from shared.binance.sign import Credentials
from shared.binance.spot import SpotRest
from shared.database.statements import statement
from shared.domain.attempt import client_order_id
from shared.domain.order import Market
from shared.settings import ProtocolSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

URL = "https://api.exchange.test"
KEY = Credentials("an-api-key", "secret")
NOW = 1_790_000_000_000
A_DAY_AGO = NOW - 86_400_001
ROW, TOKEN = UUID(int=1), UUID(int=3)


class Database:
    """Knows of no question so far, and notes when the attempt is looked at again."""

    def __init__(self) -> None:
        self.again_after: list[timedelta] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Database]:
        yield self

    async def fetch(self, *_: Any) -> list[Any]:
        return []

    async def execute(self, query: str, *arguments: Any) -> None:
        if query == statement("look_again_after"):
            self.again_after.append(arguments[1])


@pytest.mark.parametrize(
    ("signed_at_ms", "epoch", "asked", "alarms", "longest_wait"),
    [
        (A_DAY_AGO, 7, 1, ["unknown.for_ever"], True),
        # The round after a change of history settles it, and no operator has to.
        (NOW - 1000, 6, 0, [], False),
    ],
)
async def test_absence_that_cannot_be_judged(
    signed_at_ms: int, epoch: int, asked: int, alarms: list[str], longest_wait: bool
) -> None:
    """One question a minute, not as many as a look may ask."""
    exchange = respx.Router(base_url=URL, assert_all_called=False)
    exchange.get("/api/v3/time").respond(json={"serverTime": NOW})
    question = exchange.get("/api/v3/order").respond(400, json={"code": -2013, "msg": "No such order."})
    clock = Clock(lambda: 5000.0)
    clock.sample(5000.0, NOW, 5000.0)
    rest = SpotRest(httpx.MockTransport(exchange.async_handler), URL, clock)
    venue = SimpleNamespace(
        rest=rest, market=Market.SPOT, environment_epoch=1, base_url=URL, prices=lambda: SimpleNamespace()
    )
    database = Database()
    counted = SimpleNamespace(questions=lambda *_: SimpleNamespace(inc=lambda: None))
    resolver = Resolver(
        cast("Any", database),
        "test",
        cast("Any", SimpleNamespace(of=lambda *_, **__: venue)),
        cast("Any", SimpleNamespace(of=lambda *_: KEY)),
        cast("Any", SimpleNamespace(put=lambda _: None)),
        cast("Any", SimpleNamespace(epoch=SimpleNamespace(id=7))),
        ProtocolSettings(),
        None,
        cast("Any", counted),
        cast("Any", SimpleNamespace()),
    )
    attempt = SimpleNamespace(
        order_id=ROW,
        number=1,
        token=TOKEN,
        account_id=UUID(int=2),
        account=SimpleNamespace(is_testnet=True),
        market="spot",
        symbol="BTCUSDT",
        client_order_id=client_order_id(ROW, 1),
        pair=("BTC", "USDT"),
        signed_at_ms=signed_at_ms,
        recv_window_ms=5000,
        base_url=URL,
        api_key_hash=KEY.fingerprint,
        account_uid=None,
        environment_epoch=1,
        epoch=epoch,
        stream=None,
        trace=None,
        conditional=False,
    )
    with capture_logs() as logs:
        await resolver._go_on(cast("Any", attempt), Lists())
    assert question.call_count == asked
    assert [line["event"] for line in logs if line["log_level"] == "error"] == alarms
    (again_after,) = database.again_after
    assert (again_after == LONGEST_WAIT) is longest_wait
