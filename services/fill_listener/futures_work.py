"""DESIGN 6: what a futures account needs beside its orders: margin, strangers' trades, funding, warnings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from services.fill_listener.funding import Funding
from services.fill_listener.margin import Margin
from services.fill_listener.strangers import Strangers
from services.fill_listener.visits import Visits
from services.fill_listener.wallets import Wallets
from shared.domain.fill import UnreadablePayloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from services.fill_listener.accounts import Account, Accounts
    from services.fill_listener.apply import Arrival, Item
    from services.fill_listener.foreign import Foreign
    from services.fill_listener.pace import Pace
    from services.fill_listener.venues import Environment
    from shared.binance.futures import FuturesRest
    from shared.database.connect import Connection, Pool
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

WALLETS_EVERY_S = 3600.0
WALLET_WEIGHT = 5


class FuturesWork:
    """Everything one futures environment needs beside the path of its orders.

    Args:
        environment: where the accounts trade.
        rest: its client.
        accounts: those followed here.
        pool: work connections.
        pace: our share of the request weight.
        foreign: records orders that are not ours.
        put: takes, for an account, reports and what is to be written, in turn with its events.
        metrics: of this process.

    """

    def __init__(
        self,
        environment: Environment,
        rest: FuturesRest,
        accounts: Accounts,
        pool: Pool,
        pace: Pace,
        foreign: Foreign,
        put: Callable[[UUID, Item], None],
        metrics: Metrics,
    ) -> None:
        self._put = put
        self._metrics = metrics
        strangers = Strangers(environment, rest, accounts, pool, pace, foreign, put)
        self._funding = Funding(environment, rest, accounts, pool, pace, put)
        self._margin = Margin(
            environment, rest, accounts, pool, pace, on_difference=strangers.visits.want, metrics=metrics
        )
        self._visits = (strangers.visits, self._funding.visits, self._margin.visits)
        self._wallets = Wallets(environment, pool, lambda: pace.take(WALLET_WEIGHT), metrics)
        self._wallet_rounds = Visits("wallets", environment, accounts, self._compare, every_s=WALLETS_EVERY_S)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for visits in (*self._visits, self._wallet_rounds):
                tasks.create_task(visits.run())

    async def _compare(self, accounts: Sequence[Account]) -> None:
        for account in accounts:
            if account.credentials is not None:
                await self._wallets.compare(account.id, account.credentials)

    def want(self, account_id: UUID) -> None:
        """Ask for everything of an account that may have been missed: nobody listened for a while."""
        for visits in self._visits:
            visits.want(account_id)

    def take(self, arrival: Arrival) -> None:
        """Act on an event about the account; unknown ones are ignored."""
        match arrival.event.get("e"):
            case "ACCOUNT_UPDATE":
                self._margin.visits.want(arrival.account_id)
                try:
                    self._funding.take(arrival)
                except UnreadablePayloadError as error:
                    log.warning("funding.unreadable", account_id=str(arrival.account_id), error=str(error))
                    self._funding.visits.want(arrival.account_id)
            case "ACCOUNT_CONFIG_UPDATE":
                self._margin.visits.want(arrival.account_id)
            case "MARGIN_CALL":
                self._warn(arrival)

    def _warn(self, arrival: Arrival) -> None:
        """Say loudly that the exchange is about to liquidate."""
        positions = arrival.event.get("p")
        symbols = [str(one.get("s")) for one in positions or () if isinstance(one, dict)]
        self._metrics.alarms("margin_call").inc()
        log.error(
            "account.margin_call",
            account_id=str(arrival.account_id),
            symbols=symbols,
            advice="add margin or close positions, or the exchange will liquidate them",
        )

        async def note(connection: Connection) -> None:
            await connection.execute(
                "INSERT INTO bridge.event (kind, account_id, data) "
                "VALUES ('margin_call', $1, jsonb_build_object('symbols', $2::text[]))",
                arrival.account_id,
                symbols,
            )

        self._put(arrival.account_id, note)
