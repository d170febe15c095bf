"""The settler outlives a database that goes away at the worst moment."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import asyncpg
import pytest
from opentelemetry.trace import NoOpTracer

from services.order_executor import settle as settling
from services.order_executor.settle import Settler
from shared.database.claim import EpochChangedError
from shared.database.settle import Settled
from shared.domain.settlement import Outcome
from shared.domain.states import AttemptOutcome
from shared.telemetry.metrics import EXECUTOR, Metrics
from shared.telemetry.redaction import Redactor
from shared.telemetry.traces import Tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.database.connect import Pool


class _Pool:
    """Has a connection that nobody uses."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        yield None


@pytest.mark.parametrize(
    "error",
    [asyncpg.InterfaceError("the underlying connection is closed"), asyncpg.LockNotAvailableError("locked")],
)
async def test_a_database_that_goes_away_while_its_history_is_compared_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The epoch changed, and the look at it fails once: the finding is settled all the same."""
    answers: list[Exception | None] = [EpochChangedError(), EpochChangedError(), None]
    looks: list[Exception | None] = [error, None]

    async def settle(_connection: object, _findings: Sequence[object]) -> Settled:
        _next(answers)
        return Settled()

    async def look() -> None:
        _next(looks)

    monkeypatch.setattr(settling, "settle", settle)
    monkeypatch.setattr(settling, "RETRY_S", 0)
    settled: list[Any] = []
    tracing = Tracing(NoOpTracer(), Redactor())
    settler = Settler(
        cast("Pool", _Pool()), Metrics(EXECUTOR), tracing, lambda batch, _: settled.extend(batch), look
    )
    finding = Outcome(uuid4(), 1, uuid4(), AttemptOutcome.UNKNOWN, "timeout", "No answer came.")
    settler.put(finding)
    running = asyncio.create_task(settler.run())
    await asyncio.wait_for(settler.drained(), 5)
    running.cancel()
    assert settled == [finding]
    assert not answers
    assert not looks


def _next(outcomes: list[Exception | None]) -> None:
    outcome = outcomes.pop(0)
    if outcome is not None:
        raise outcome
