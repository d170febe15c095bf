"""The transport drives sockets itself, so its tests run on both event loops."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.faults.transport.raw_server import RawServer, Script


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every asynchronous test here once per event loop."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Start servers that act by script; each is closed after the test, which fails if a script did."""
    servers: list[RawServer] = []

    def start(*scripts: Script, **options) -> RawServer:
        server = RawServer(*scripts, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
