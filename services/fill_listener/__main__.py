"""`python -m services.fill_listener`: one listener process."""

from __future__ import annotations

import asyncio
import signal
import sys

import structlog
import uvloop

from services.fill_listener.listener import FillListener
from shared import failpoints
from shared.crypto import forbid_core_dumps
from shared.database.connect import open_pool
from shared.environment import ConfigurationError
from shared.settings import Configuration, load_configuration
from shared.telemetry import logs
from shared.telemetry.metrics import LISTENER, Metrics
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
    uvloop.run(_run(configuration))
    return 0


async def _run(configuration: Configuration) -> None:
    telemetry, database = configuration.telemetry, configuration.database
    redactor = Redactor()
    redactor.register(*configuration.secrets())
    logs.configure(LISTENER, telemetry.log_level, redactor)
    metrics = Metrics(LISTENER)
    pool = await open_pool(
        database.work_dsn,
        size=database.pool_size,
        application_name=LISTENER,
        prepared_statements=database.prepared_statements,
    )
    listener = FillListener(configuration, pool, metrics, redactor)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, listener.drain)
    readiness = Readiness()
    readiness.add("streams", listener.ready)
    async with serving(
        metrics.registry,
        readiness,
        redactor,
        host=telemetry.metrics_host,
        port=telemetry.metrics_port,
        port_file=telemetry.metrics_port_file,
    ):
        log.info("started", listener=listener.name, live_trading=configuration.guards.live_trading)
        await listener.run()
    await pool.close()
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
