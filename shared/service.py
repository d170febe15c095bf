"""How a service process starts and ends: the same for both.

Configuration, secrets, logs, metrics, traces, the probes; then the database, waited for however long it is
away, and the checks of `refuse_unsafe`; then the work, until SIGTERM drains it.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

import structlog
import uvloop
from opentelemetry.trace import NoOpTracer

from shared import failpoints
from shared.crypto import forbid_core_dumps
from shared.database.connect import DATABASE_AWAY, DATABASE_REFUSES, open_pool, untrusted
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

DATABASE_RETRY_S = 0.25
DATABASE_RETRY_MAX_S = 5.0
CLOSES_WITHIN_S = 5.0


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
    life = Life()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, life.drain)
    readiness = Readiness()
    readiness.add(name, life.ready)
    async with (
        tracing(name, redactor, endpoint=telemetry.otlp_endpoint, ratio=telemetry.trace_ratio) as traces,
        serving(
            metrics.registry,
            readiness,
            redactor,
            host=telemetry.metrics_host,
            port=telemetry.metrics_port,
            port_file=telemetry.metrics_port_file,
        ),
    ):
        pool = await _reach_database(name, configuration, metrics, life)
        if pool is not None:
            service = make(Surroundings(configuration, pool, metrics, redactor, traces))
            # What is there by now stays: the collector need not walk through all modules again and again. Nor
            # need it look after every few hundred objects: an order makes more than that, and no cycles.
            gc.freeze()
            gc.set_threshold(20_000, 50, 50)
            life.begin(service)
            log.info("started", live_trading=configuration.guards.live_trading)
            await service.run()
            await _close(pool)
    log.info("stopped")


class Life:
    """Where a process stands between its start and its end, for the probes and for SIGTERM."""

    def __init__(self) -> None:
        self._service: Service | None = None
        self._draining = asyncio.Event()

    def begin(self, service: Service) -> None:
        """Let the service answer from now on; one that was told to end meanwhile drains at once."""
        self._service = service
        if self._draining.is_set():
            service.drain()

    def drain(self) -> None:
        """Take nothing new; a service that has not begun does not."""
        self._draining.set()
        if self._service is not None:
            self._service.drain()

    async def drained_within(self, seconds: float) -> bool:
        """Wait for the word to drain, no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return False
        return True

    def ready(self) -> State:
        """Say whether the work can be done now."""
        if self._service is None:
            return State(ready=False, sentence="the database has not been reached yet; it is tried again")
        return self._service.ready()


async def _reach_database(
    name: str, configuration: Configuration, metrics: Metrics, life: Life
) -> Pool | None:
    """Open the pool and check what is there; a database that is away is waited for, as it is later.

    Returns:
        None when the process was told to end before the database came.

    Raises:
        ConfigurationError: the database is there and does not let us in, which waiting would not change.

    """
    retry_s = DATABASE_RETRY_S
    while True:
        try:
            return await _checked_pool(name, configuration, metrics)
        except DATABASE_AWAY as error:
            if (why := untrusted(error)) is not None:
                raise ConfigurationError(why) from error
            log.warning("database.away", error=str(error), retry_s=retry_s)
        except DATABASE_REFUSES as error:
            raise ConfigurationError(
                f"The database refuses us: {error}. Check user, password and the database's name in "
                "BRIDGE_DATABASE_URL (or POSTGRES_*)."
            ) from error
        if await life.drained_within(retry_s):
            return None
        retry_s = min(2 * retry_s, DATABASE_RETRY_MAX_S)


async def _checked_pool(name: str, configuration: Configuration, metrics: Metrics) -> Pool:
    database = configuration.database
    pool = await open_pool(
        database.work_dsn,
        size=database.pool_size,
        application_name=name,
        prepared_statements=database.prepared_statements,
    )
    try:
        await refuse_unsafe(configuration, pool, metrics)
    except BaseException:
        pool.terminate()
        raise
    return pool


async def _close(pool: Pool) -> None:
    """Close the pool; a database that went away meanwhile is not waited for."""
    try:
        async with asyncio.timeout(CLOSES_WITHIN_S):
            await pool.close()
    except DATABASE_AWAY as error:
        log.warning("database.not_closed", error=str(error))
        pool.terminate()
