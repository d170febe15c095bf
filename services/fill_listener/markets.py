"""DESIGN 6: one process follows both markets, each with its own accounts, streams and pace of requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.fill_listener import books
from services.fill_listener.aside import keep_doing
from services.fill_listener.feed import keep_notifying
from services.fill_listener.listener import FillListener, new_name
from services.fill_listener.mark import PositionGauges
from shared.database.futures import ACCOUNTS_CHANNEL
from shared.database.listen import Listener
from shared.domain.order import Market
from shared.telemetry.server import State

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shared.service import Surroundings


class MarketListeners:
    """A listener per market, ended together.

    Args:
        around: settings, database, telemetry.

    Attributes:
        announcements: of accounts that are about to trade.

    """

    def __init__(self, around: Surroundings) -> None:
        name, gauges = new_name(), PositionGauges(around.metrics)
        self._around = around
        self._listeners = [FillListener(around, market, name=name, gauges=gauges) for market in Market]
        self.announcements = Listener(
            around.configuration.database.listen_dsn,
            [ACCOUNTS_CHANNEL],
            on_notification=lambda _channel, _payload: self._look_at_accounts(),
            on_connected=self._look_at_accounts,
            on_probed=lambda _seconds: None,
            on_down=lambda: None,
            application_name=f"fill_listener {name}",
        )

    async def run(self) -> None:
        """Listen until `drain` is called."""
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(work, name=title) for title, work in self._beside().items()]
            async with asyncio.TaskGroup() as listening:
                for listener in self._listeners:
                    listening.create_task(listener.run())
            for task in beside:
                task.cancel()

    def _beside(self) -> dict[str, Coroutine[None, None, None]]:
        """Return what is kept going while anybody listens."""
        options, metrics, pool = self._around.configuration.options, self._around.metrics, self._around.pool
        work: dict[str, Coroutine[None, None, None]] = {
            "feed": keep_notifying(pool),
            "announcements": self.announcements.run(),
        }
        if options.telegram_token is not None:
            from services.fill_listener import telegram  # its HTTP client takes 0.2 s to import

            token = options.telegram_token.get_secret_value()
            teller = telegram.Telegram(pool, options.telegram_url, token, metrics)
            work["telegram"] = keep_doing("telegram", teller.tell, metrics, every_s=telegram.EVERY_S)
        if options.strategy_books:
            keeper = books.StrategyBooks(pool, options.bot_time_zone, metrics)
            work["strategy books"] = keep_doing("strategy_books", keeper.keep, metrics, every_s=books.EVERY_S)
        return work

    def _look_at_accounts(self) -> None:
        for listener in self._listeners:
            listener.look_at_accounts()

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
