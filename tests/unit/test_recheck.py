"""PROTOCOL 10: after a change of history nothing is taken for absent on an answer that cannot be read."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
import respx

from services.order_executor.recheck import Recheck
from shared.binance.clock_offset import Clock
from shared.binance.sign import Credentials
from shared.binance.spot import SpotRest
from shared.database.old_rows import OldRow
from shared.domain.attempt import client_order_id
from shared.domain.order import Market
from shared.domain.states import EntryState
from shared.domain.symbol import index_instruments
from shared.settings import ProtocolSettings
from tests.order_rows import BTC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.domain.symbol import Instrument

ROW, TOKEN = UUID(int=1), UUID(int=3)
OURS = {
    "symbol": "BTCUSDT",
    "orderId": 7,
    "clientOrderId": client_order_id(ROW, 1),
    "status": "NEW",
    "executedQty": "0",
    "cummulativeQuoteQty": "0",
    "time": 1,
    "updateTime": 1,
}
BY_HAND = OURS | {"clientOrderId": "by-hand", "status": "OF_TOMORROW"}


class Database:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked_for: list[Any] = []

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Database]:
        yield self

    async def execute(self, _statement: str, *arguments: Any) -> None:
        self.asked_for.append(arguments)


@pytest.mark.parametrize(
    ("open_orders", "page", "settled", "proven_absent"),
    [
        ([], [], [], True),
        ([BY_HAND], [BY_HAND], [], True),
        ([OURS], [], [ROW], False),
        ([OURS | {"status": "OF_TOMORROW"}], [], [], False),
        ([], [OURS | {"executedQty": "many"}], [], False),
        ([], ["no order"], [], False),
        ([], [OURS | {"status": "OF_TOMORROW"}, OURS], [ROW], False),
        ({"orders": []}, [], [], False),
        ([], {"orders": []}, [], False),
    ],
)
async def test_only_a_readable_answer_proves_absence(
    open_orders: Any, page: Any, settled: list[UUID], proven_absent: bool
) -> None:
    """A list with an order nobody can read may hold the one that was asked for."""
    database = Database()
    findings: list[Any] = []
    recheck = made(database, findings, [BTC], open_orders=open_orders, page=page)
    await recheck._ask(SimpleNamespace(id=2), [old_row(EntryState.NEW)])
    assert [finding.order_id for finding in findings] == settled
    assert bool(database.asked_for) is proven_absent


@pytest.mark.parametrize("state", [EntryState.NEW, EntryState.UNKNOWN])
async def test_a_symbol_that_cannot_be_asked_about_proves_no_absence(state: EntryState) -> None:
    """Delisted since, or unreadable today: what was in flight stays unknown, what never was goes on."""
    database = Database()
    findings: list[Any] = []
    await made(database, findings, [])._ask(SimpleNamespace(id=2), [old_row(state)])
    assert not findings
    assert database.asked_for == [(2, [TOKEN])]


async def test_rows_are_left_for_the_next_look_while_no_symbol_is_known() -> None:
    """Right after a start nothing can be asked; nobody has to wait for the lease because of that."""
    database = Database()
    findings: list[Any] = []
    await made(database, findings, None)._ask(SimpleNamespace(id=2), [old_row(EntryState.UNKNOWN)])
    assert not findings
    assert database.asked_for == [([TOKEN],)]


def made(
    database: Database,
    findings: list[Any],
    instruments: list[Instrument] | None,
    *,
    open_orders: Any = (),
    page: Any = (),
) -> Any:
    """Make one that asks an exchange with these instruments and orders."""
    router = respx.Router(base_url="http://127.0.0.1:1")
    router.get("/api/v3/openOrders").respond(
        json=open_orders if isinstance(open_orders, dict) else list(open_orders)
    )
    router.get("/api/v3/allOrders").respond(json=page if isinstance(page, dict) else list(page))
    clock = Clock()
    clock.sample(clock.now_ms(), 1_790_000_000_000, clock.now_ms())
    rest = SpotRest(httpx.MockTransport(router.async_handler), "http://127.0.0.1:1", clock)
    venue = SimpleNamespace(
        rest=rest,
        market=Market.SPOT,
        environment_epoch=1,
        instruments=None if instruments is None else index_instruments(Market.SPOT, instruments),
    )
    return Recheck(
        database,  # type: ignore[arg-type]
        "test",
        SimpleNamespace(of=lambda *_, **__: venue),  # type: ignore[arg-type]
        SimpleNamespace(of=lambda *_: Credentials("key", "secret")),  # type: ignore[arg-type]
        SimpleNamespace(put=findings.append),  # type: ignore[arg-type]
        ProtocolSettings(),
        None,
    )


def old_row(state: EntryState) -> Any:
    """Write a row from before the change."""
    return SimpleNamespace(
        **dict.fromkeys(OldRow.__dataclass_fields__)
        | {
            "order_id": ROW,
            "account_id": UUID(int=2),
            "account": SimpleNamespace(is_testnet=True),
            "market": "spot",
            "symbol": "BTCUSDT",
            "state": state,
            "token": TOKEN,
            "attempts": 1 if state is EntryState.UNKNOWN else 0,
            "conditional": False,
            "created_at": datetime.now(UTC),
        }
    )
