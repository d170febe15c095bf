"""`python -m services.order_executor`: one executor process."""

from __future__ import annotations

import asyncio
import signal
import sys

import structlog
import uvloop

from services.order_executor.executor import Executor
from shared import failpoints
from shared.crypto import forbid_core_dumps
from shared.database.connect import open_pool
from shared.environment import ConfigurationError
from shared.settings import Configuration, load_configuration
from shared.start_up import refuse_unsafe
from shared.telemetry import logs
from shared.telemetry.metrics import EXECUTOR, Metrics
from shared.telemetry.redaction import Redactor
from shared.telemetry.server import Readiness, serving

log = structlog.get_logger(__name__)


def main() -> int:
    """Run until SIGTERM or SIGINT; returns the exit code."""
    try:
        configuration = load_configuration()
        failpoints.arm_from_environment(live_trading=configuration.guards.live_trading)
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - before there is a log
        return 2
    forbid_core_dumps()
    try:
        uvloop.run(_run(configuration))
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for whoever started us
        return 2
    return 0


async def _run(configuration: Configuration) -> None:
    telemetry = configuration.telemetry
    redactor = Redactor()
    redactor.register(*configuration.secrets())
    logs.configure(EXECUTOR, telemetry.log_level, redactor)
    metrics = Metrics(EXECUTOR)
    database = configuration.database
    pool = await open_pool(
        database.work_dsn,
        size=database.pool_size,
        application_name=EXECUTOR,
        prepared_statements=database.prepared_statements,
    )
    await refuse_unsafe(configuration, pool, metrics)
    executor = Executor(configuration, pool, metrics, redactor)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, executor.drain)
    readiness = Readiness()
    readiness.add("outbox", executor.ready)
    async with serving(
        metrics.registry,
        readiness,
        redactor,
        host=telemetry.metrics_host,
        port=telemetry.metrics_port,
        port_file=telemetry.metrics_port_file,
    ):
        log.info("started", live_trading=configuration.guards.live_trading)
        await executor.run()
    await pool.close()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
