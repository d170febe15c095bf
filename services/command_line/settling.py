"""PROTOCOL 6 from the command line: an operator's findings take the same path as everybody else's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.command_line.terminal import CommandError, ExitCode
from shared.database import epoch as epochs
from shared.database import leases
from shared.database.connect import open_pool
from shared.database.settle import settle
from shared.domain.attempt import client_order_id
from shared.domain.fill import UnreadablePayloadError
from shared.domain.futures_algo import is_algo_id
from shared.domain.reports import report_of_query, with_trades
from shared.settings import DatabaseSettings, ProtocolSettings, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from uuid import UUID

    from services.command_line.exchange_access import Access
    from shared.database.connect import Connection
    from shared.database.epoch import Epoch
    from shared.database.settle import Finding, Settled
    from shared.domain.fill import FillOrigin
    from shared.domain.settlement import OrderReport


@asynccontextmanager
async def work_connection() -> AsyncIterator[Connection]:
    """Open one connection of the kind the services have."""
    database = load(DatabaseSettings)
    pool = await open_pool(
        database.work_dsn,
        size=1,
        application_name="bridge",
        prepared_statements=database.prepared_statements,
    )
    try:
        async with pool.acquire() as connection:
            yield connection
    finally:
        await pool.close()


def compare_epoch(account_id: UUID | None = None, *, why: str | None = None) -> Epoch:
    """Compare the database's history with the recorded one, as every process does before it decides.

    Args:
        account_id: also turn this account's entries whose worker died into unknown ones.
        why: an operator's reason to begin a new epoch although nothing differs.

    """

    async def compare() -> Epoch:
        async with work_connection() as connection:
            epoch = await epochs.current(connection, quarantine=load(ProtocolSettings).quarantine, why=why)
            if account_id is not None:
                await leases.expire(connection, [account_id])
            return epoch

    return asyncio.run(compare())


def settle_now(finding: Finding) -> Settled:
    """Settle one finding."""

    async def work() -> Settled:
        async with work_connection() as connection:
            return await settle(connection, [finding])

    return asyncio.run(work())


async def report_of(
    access: Access, order: Mapping[str, Any], *, order_id: UUID, number: int, origin: FillOrigin
) -> OrderReport:
    """Read an order the exchange shows as a report about an attempt of a row, with its fills.

    Whose order it is was decided by whoever looked for it: one the bot sent bears no id of ours.

    Raises:
        CommandError: it cannot be read, or its trades were not told: the position would be wrong.

    """
    own_id = "clientAlgoId" if "algoId" in order else "clientOrderId"
    try:
        report = report_of_query({**order, own_id: client_order_id(order_id, number)}, origin)
        assert report is not None
        if report.executed and not is_algo_id(report.exchange_order_id):
            trades = await access.trades(report.symbol, report.exchange_order_id)
            if trades is None:
                raise CommandError(
                    "The order is there, but its trades were not told; try again.", ExitCode.UNREACHABLE
                )
            report = with_trades(report, trades, origin)
    except UnreadablePayloadError as error:
        raise CommandError(f"The exchange's answer cannot be read: {error}.") from None
    return replace(report, client_order_id=str(order.get(own_id, "")))
