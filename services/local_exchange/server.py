"""Puts the exchange behind its ports, in a process of its own or inside a test."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from services.local_exchange.admin import Admin
from services.local_exchange.exchange import Exchange
from services.local_exchange.http_front import Front
from services.local_exchange.sockets import Sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine
    from pathlib import Path

    from services.local_exchange.settings import Settings


@dataclass(frozen=True, slots=True)
class RunningExchange:
    """A local exchange that listens."""

    exchange: Exchange
    sockets: Sockets
    host: str
    port: int
    futures_port: int
    admin_port: int

    @property
    def rest_url(self) -> str:
        """Base of REST URLs; paths begin `/api/v3`."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_api_url(self) -> str:
        """URL of the WebSocket API."""
        return f"ws://{self.host}:{self.port}/ws-api/v3"

    @property
    def stream_url(self) -> str:
        """Base of market streams: append `/ws/<stream>` or `/stream?streams=a/b`."""
        return f"ws://{self.host}:{self.port}"

    @property
    def futures_rest_url(self) -> str:
        """Base of futures REST URLs; paths begin `/fapi`."""
        return f"http://{self.host}:{self.futures_port}"

    @property
    def futures_ws_api_url(self) -> str:
        """URL of the futures WebSocket API."""
        return f"ws://{self.host}:{self.futures_port}/ws-fapi/v1"

    @property
    def futures_stream_url(self) -> str:
        """Base of futures streams: append `/private/ws?listenKey=…`, `/market/stream?streams=…`, ..."""
        return f"ws://{self.host}:{self.futures_port}"

    @property
    def admin_url(self) -> str:
        """Base of the admin API."""
        return f"http://{self.host}:{self.admin_port}"

    def urls(self) -> dict[str, str | int]:
        """Ports and URLs, as the port file holds them."""
        return {
            "port": self.port,
            "futures_port": self.futures_port,
            "admin_port": self.admin_port,
            "rest_url": self.rest_url,
            "ws_api_url": self.ws_api_url,
            "stream_url": self.stream_url,
            "futures_rest_url": self.futures_rest_url,
            "futures_ws_api_url": self.futures_ws_api_url,
            "futures_stream_url": self.futures_stream_url,
            "admin_url": self.admin_url,
        }


class Tasks:
    """The exchange's tasks, owned by a task group, ended together.

    Args:
        group: owns the tasks; a failure in one of them ends the exchange.

    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Start a task."""
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def stop(self) -> None:
        """Cancel what still runs."""
        for task in self._running:
            task.cancel()


@asynccontextmanager
async def running_exchange(settings: Settings) -> AsyncIterator[RunningExchange]:
    """Run a local exchange for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    exchange = Exchange(settings, loop.call_later)
    async with asyncio.TaskGroup() as group:
        tasks = Tasks(group)
        sockets = Sockets(exchange, tasks.start)
        spot = Front(exchange, exchange.spot, tasks.start, partial(sockets.upgrade, False))
        futures = Front(exchange, exchange.futures_venue, tasks.start, partial(sockets.upgrade, True))
        sockets.fronts = [spot, futures]
        server = await loop.create_server(spot, settings.host, settings.port)
        futures_server = await loop.create_server(futures, settings.host, settings.futures_port)
        runner = web.AppRunner(Admin(exchange, sockets).application(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, settings.host, settings.admin_port)
        await site.start()
        running = RunningExchange(
            exchange,
            sockets,
            settings.host,
            server.sockets[0].getsockname()[1],
            futures_server.sockets[0].getsockname()[1],
            runner.addresses[0][1],
        )
        if settings.step_ms:
            tasks.start(_walk(exchange, settings.step_ms / 1000))
        if settings.port_file is not None:
            write_port_file(settings.port_file, running)
        try:
            yield running
        finally:
            server.close()
            futures_server.close()
            sockets.disconnect(None, None, False)
            sockets.drop_rest()
            await runner.cleanup()
            tasks.stop()


async def _walk(exchange: Exchange, seconds: float) -> None:
    """Step the price path at a steady pace."""
    while True:
        await asyncio.sleep(seconds)
        exchange.step()


def write_port_file(path: Path, running: RunningExchange) -> None:
    """Write ports and URLs as JSON, so that a reader sees all of it or nothing."""
    half = path.with_name(path.name + ".half")
    half.write_text(json.dumps(running.urls()), encoding="utf-8")
    half.replace(path)
