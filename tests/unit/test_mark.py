"""Marking holds the rows of a few accounts at a time, however many are followed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from services.fill_listener.mark import AT_ONCE, Marker, PositionGauges
from shared.database import streams
from shared.domain.order import Market
from shared.telemetry.metrics import LISTENER, Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from uuid import UUID

    import pytest


class _Pool:
    """Has a connection that nobody uses."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        yield None


async def test_no_statement_marks_the_positions_of_more_than_a_few_accounts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 120 accounts each is marked once, in three statements: a fill waits for none of them for long."""
    environment = SimpleNamespace(market=Market.SPOT)
    accounts = [SimpleNamespace(id=uuid4(), environment=environment) for _ in range(2 * AT_ONCE + 20)]
    marked: list[list[UUID]] = []

    async def open_symbols(*_: object) -> set[str]:
        return {"BTCUSDT"}

    async def mark_positions(_connection: object, some: Collection[UUID], *_: object) -> int:
        marked.append(list(some))
        return len(some)

    monkeypatch.setattr(streams, "open_symbols", open_symbols)
    monkeypatch.setattr(streams, "mark_positions", mark_positions)
    metrics = Metrics(LISTENER)
    marker = Marker(
        cast("Any", environment),
        cast("Any", accounts),
        cast("Any", _Pool()),
        PositionGauges(metrics),
        metrics,
    )
    marker._learn("BTCUSDT", Decimal(70_000))
    await marker._mark()
    assert [len(some) for some in marked] == [AT_ONCE, AT_ONCE, 20]
    assert [account for some in marked for account in some] == [account.id for account in accounts]
