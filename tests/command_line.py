"""The operator at his terminal: runs verbs in this process and reads what they print."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from services.command_line.__main__ import app
from services.command_line.terminal import ExitCode
from services.local_exchange.server import RunningExchange, running_exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.local_exchange.settings import Settings


@dataclass(slots=True)
class Terminal:
    """A terminal with an environment."""

    environment: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: object,
        code: ExitCode = ExitCode.DONE,
        typed: str | None = None,
        **variables: str,
    ) -> str:
        """Run `bridge ARGUMENTS`, assert its exit code, and return stdout and stderr together."""
        result = CliRunner().invoke(
            app, [str(argument) for argument in arguments], input=typed, env={**self.environment, **variables}
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"exit code {result.exit_code}:\n{result.output}"
        return result.output

    def json(
        self, *arguments: object, code: ExitCode = ExitCode.DONE, variables: Mapping[str, str] | None = None
    ) -> Any:
        """Run with `--json` and return the document it printed on stdout."""
        result = CliRunner().invoke(
            app,
            [*(str(argument) for argument in arguments), "--json"],
            env={**self.environment, **(variables or {})},
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"exit code {result.exit_code}:\n{result.output}"
        return json.loads(result.stdout)


@contextmanager
def exchange_in_thread(settings: Settings) -> Iterator[RunningExchange]:
    """Run a local exchange on an event loop of its own: a verb has its own, and blocks its thread."""
    started = threading.Event()
    running: list[RunningExchange] = []
    failed: list[BaseException] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        end = asyncio.Event()
        async with running_exchange(settings) as exchange:
            running.append(exchange)
            stop.append((asyncio.get_running_loop(), end))
            started.set()
            await end.wait()

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - shown to the test, which waits in another thread
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=work, name="local exchange")
    thread.start()
    started.wait()
    try:
        if failed:
            raise failed[0]
        yield running[0]
    finally:
        for loop, end in stop:
            loop.call_soon_threadsafe(end.set)
        thread.join()
