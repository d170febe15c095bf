"""What both services check before they touch a row (DESIGN 4, PROTOCOL 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from shared.database.contract import compare, load_contract, read_schema
from shared.database.durability import durability
from shared.environment import ConfigurationError

if TYPE_CHECKING:
    from shared.database.connect import Pool
    from shared.settings import Configuration
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)


async def refuse_unsafe(configuration: Configuration, pool: Pool, metrics: Metrics) -> None:
    """Refuse tables we would read or write wrongly, and live trading on a server that may lose commits.

    Raises:
        ConfigurationError: with what to do.
        OSError, asyncpg.PostgresError: the database went away meanwhile.

    """
    async with pool.acquire() as connection:
        differences = compare(load_contract(), await read_schema(connection))
        told = await durability(connection)
    for warning in differences.warnings:
        log.warning("contract.differs", difference=warning)
    metrics.contract_warnings.set(len(differences.warnings))
    if differences.fatal:
        raise ConfigurationError(
            "The bot's tables are not those this version knows: " + " ".join(differences.fatal)
        )
    guards = configuration.guards
    complaints = told.complaints(standbys_fenced=guards.standbys_fenced == "declared")
    for complaint in complaints:
        log.warning("durability", complaint=complaint)
    if complaints and guards.live_trading:
        raise ConfigurationError("Live trading is refused: " + " ".join(complaints))
