"""DESIGN 6: one process follows both markets, each with its own accounts, streams and pace of requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.fill_listener.feed import keep_notifying
from services.fill_listener.listener import FillListener, new_name
from services.fill_listener.mark import PositionGauges
from shared.domain.order import Market
from shared.telemetry.server import State

if TYPE_CHECKING:
    from shared.service import Surroundings


class MarketListeners:
    """A listener per market, ended together.

    Args:
        around: settings, database, telemetry.

    """

    def __init__(self, around: Surroundings) -> None:
        name, gauges = new_name(), PositionGauges(around.metrics)
        self._around = around
        self._listeners = [FillListener(around, market, name=name, gauges=gauges) for market in Market]

    async def run(self) -> None:
        """Listen until `drain` is called."""
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(keep_notifying(self._around.pool), name="feed")]
            async with asyncio.TaskGroup() as listening:
                for listener in self._listeners:
                    listening.create_task(listener.run())
            for task in beside:
                task.cancel()

    def drain(self) -> None:
        """Take nothing new; `run` returns when what has come is applied."""
        for listener in self._listeners:
            listener.drain()

    def ready(self) -> State:
        """Say whether every account held here is heard, on both markets."""
        states = [listener.ready() for listener in self._listeners]
        return State(
            ready=all(state.ready for state in states),
            sentence="; ".join(state.sentence for state in states if state.ready is not True)
            or states[0].sentence,
        )
