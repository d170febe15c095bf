"""How a service process starts and ends: the same for both.

Configuration, secrets, logs, metrics, traces, the database, the checks of `refuse_unsafe`, the probes; then
the work, until SIGTERM drains it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog
import uvloop
from opentelemetry.trace import NoOpTracer

from shared import failpoints
from shared.crypto import forbid_core_dumps
from shared.database.connect import DATABASE_AWAY, open_pool
from shared.environment import ConfigurationError
from shared.settings import Configuration, load_configuration
from shared.start_up import refuse_unsafe
from shared.telemetry import logs
from shared.telemetry.metrics import Metrics
from shared.telemetry.redaction import Redactor
from shared.telemetry.server import Readiness, State, serving
from shared.telemetry.traces import Tracing, tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.database.connect import Pool

log = structlog.get_logger(__name__)

DATABASE_RETRY_S = 1.0


class Surroundings(NamedTuple):
    """What a service finds when it starts."""

    configuration: Configuration
    pool: Pool
    metrics: Metrics
    redactor: Redactor
    tracing: Tracing


def surroundings(name: str, pool: Pool) -> Surroundings:
    """Make the surroundings of a service that runs inside another process, without traces: for tests."""
    redactor = Redactor()
    return Surroundings(load_configuration(), pool, Metrics(name), redactor, Tracing(NoOpTracer(), redactor))


class Service(Protocol):
    """A process's work."""

    async def run(self) -> None:
        """Work until `drain` is called, then finish what was begun and return."""

    def drain(self) -> None:
        """Take nothing new."""

    def ready(self) -> State:
        """Say whether the work can be done now."""


def serve(name: str, make: Callable[[Surroundings], Service]) -> int:
    """Run a service until SIGTERM or SIGINT.

    Args:
        name: `order_executor` or `fill_listener`.
        make: builds the service once everything around it stands.

    Returns:
        The exit code: 2 for a configuration that cannot be worked with.

    """
    try:
        configuration = load_configuration()
        failpoints.arm_from_environment(live_trading=configuration.guards.live_trading)
        forbid_core_dumps()
        uvloop.run(_serve(name, make, configuration))
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for whoever started us
        return 2
    return 0


async def _serve(name: str, make: Callable[[Surroundings], Service], configuration: Configuration) -> None:
    telemetry = configuration.telemetry
    redactor = Redactor()
    redactor.register(*configuration.secrets())
    logs.configure(name, telemetry.log_level, redactor)
    metrics = Metrics(name)
    async with tracing(
        name, redactor, endpoint=telemetry.otlp_endpoint, ratio=telemetry.trace_ratio
    ) as traces:
        pool = await _reach_database(name, configuration)
        await refuse_unsafe(configuration, pool, metrics)
        service = make(Surroundings(configuration, pool, metrics, redactor, traces))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.drain)
        readiness = Readiness()
        readiness.add(name, service.ready)
        async with serving(
            metrics.registry,
            readiness,
            redactor,
            host=telemetry.metrics_host,
            port=telemetry.metrics_port,
            port_file=telemetry.metrics_port_file,
        ):
            log.info("started", live_trading=configuration.guards.live_trading)
            await service.run()
        await pool.close()
    log.info("stopped")


async def _reach_database(name: str, configuration: Configuration) -> Pool:
    """Open the pool; a database that is away is waited for, as it is later."""
    database = configuration.database
    while True:
        try:
            return await open_pool(
                database.work_dsn,
                size=database.pool_size,
                application_name=name,
                prepared_statements=database.prepared_statements,
            )
        except DATABASE_AWAY as error:
            log.warning("database.away", error=str(error), retry_s=DATABASE_RETRY_S)
            await asyncio.sleep(DATABASE_RETRY_S)
