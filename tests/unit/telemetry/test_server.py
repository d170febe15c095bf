"""The health server says what a probe and a scraper need, and nothing more."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from shared.telemetry import server
from shared.telemetry.metrics import EXECUTOR, Metrics
from shared.telemetry.redaction import Redactor
from shared.telemetry.server import Readiness, State, serving


@pytest.fixture
def readiness():
    return Readiness()


@pytest.fixture
async def get(readiness, tmp_path):
    """Serve on a free port and return a function that asks for a path."""
    metrics, redactor = Metrics(EXECUTOR), Redactor()
    redactor.register("hunter2hunter2")
    port_file = tmp_path / "port"
    async with (
        serving(metrics.registry, readiness, redactor, host="127.0.0.1", port=0, port_file=port_file) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        assert port_file.read_text() == f"{port}\n"

        async def ask(path, **headers):
            async with session.get(path, headers=headers) as response:
                return response.status, response.headers["Content-Type"], await response.text()

        yield ask


async def test_metrics_in_both_formats(get):
    """A plain scrape and one that asks for OpenMetrics are both answered in their format."""
    status, kind, text = await get("/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert "bridge_info{" in text
    _, kind, text = await get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


async def test_health(get):
    """The process answers, whatever it is ready for."""
    assert (await get("/healthz"))[::2] == (200, "ok\n")


async def test_ready_when_every_check_is(get, readiness):
    """Synchronous and asynchronous checks are asked; all must be well."""

    async def database():
        return State(ready=True, sentence="the database answers")

    readiness.add("database", database)
    readiness.add("listen", lambda: State(ready=True, sentence="notifications arrive"))
    status, kind, text = await get("/readyz")
    assert (status, kind) == (200, "application/json")
    assert '"notifications arrive"' in text


async def test_one_check_that_fails_is_enough(get, readiness):
    """The answer says which it is and what to do, without a secret."""
    readiness.add("listen", lambda: State(ready=True, sentence="well"))
    readiness.add(
        "key", lambda: State(ready=False, sentence="hunter2hunter2 does not open; set ENCRYPTION_KEY")
    )
    status, _, text = await get("/readyz")
    assert status == 503
    assert '"ready":false' in text
    assert "set ENCRYPTION_KEY" in text
    assert "hunter2" not in text


async def test_a_check_that_hangs(get, readiness, monkeypatch):
    """A check that gives no answer counts as not ready; the others are still told."""
    monkeypatch.setattr(server, "CHECK_TIMEOUT_S", 0.01)
    cancelled = asyncio.Event()

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    readiness.add("database", hang)
    readiness.add("listen", lambda: State(ready=True, sentence="well"))
    status, _, text = await get("/readyz")
    assert status == 503
    assert "no answer within" in text
    assert '"well"' in text
    assert cancelled.is_set()


def test_a_name_is_given_once(readiness):
    """Two checks of one name would hide one another."""
    readiness.add("database", lambda: State(ready=True, sentence="well"))
    with pytest.raises(ValueError, match="database"):
        readiness.add("database", lambda: State(ready=True, sentence="well"))


async def test_an_address_in_use_is_said_at_the_start(readiness):
    """The second server on one port fails before any work begins, and leaves no port file behind."""
    registry, redactor = Metrics(EXECUTOR).registry, Redactor()
    async with serving(registry, readiness, redactor, host="127.0.0.1", port=0) as port:
        with pytest.raises(OSError, match="in use"):
            async with serving(registry, readiness, redactor, host="127.0.0.1", port=port):
                pass


async def exchanged(port: int, sent: bytes) -> bytes:
    """What a client that writes these bytes is told before the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: us\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n"),
        (
            b"POST /metrics HTTP/1.1\r\nHost: us\r\nContent-Length: 3\r\n\r\nabc",
            b"HTTP/1.1 405 Method Not Allowed\r\n",
        ),
        (b"\x16\x03\x01 what\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (
            b"GET /healthz HTTP/1.1\r\nHost: us\r\nX: " + b"x" * 9000,
            b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        ),
        (b"GET /healthz?probe=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
    ],
)
async def test_what_is_no_request_of_ours(readiness, sent, answer):
    """Another path, a body, another protocol, an endless header: told so, or hung up on; nothing breaks."""
    async with serving(Metrics(EXECUTOR).registry, readiness, Redactor(), host="127.0.0.1", port=0) as port:
        assert (await exchanged(port, sent)).startswith(answer)
        assert (await exchanged(port, b"GET /healthz HTTP/1.1\r\nHost: us\r\n\r\n")).endswith(b"\r\n\r\nok\n")


async def test_a_head_request_has_no_body(readiness):
    """Some probes ask for the head alone."""
    async with serving(Metrics(EXECUTOR).registry, readiness, Redactor(), host="127.0.0.1", port=0) as port:
        told = await exchanged(port, b"HEAD /healthz HTTP/1.1\r\nHost: us\r\n\r\n")
    assert b"Content-Length: 3\r\n" in told
    assert told.endswith(b"\r\n\r\n")


async def test_who_says_nothing_is_hung_up_on(readiness, monkeypatch):
    """A connection that never asks is closed, and one that is open does not hold up the end."""
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.01)
    registry = Metrics(EXECUTOR).registry
    async with serving(registry, readiness, Redactor(), host="127.0.0.1", port=0) as port:
        assert await exchanged(port, b"GET /hea") == b""
        monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 3600)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        assert b"ok" in await exchanged(port, b"GET /healthz HTTP/1.1\r\nHost: us\r\n\r\n")
    writer.close()


async def probed(*arguments: str) -> tuple[int | None, str]:
    """What the containers' health probe says, as the image runs it."""
    script = str(Path(__file__).parents[3] / "deploy/healthy.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", script, *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_the_containers_probe(readiness):
    """It believes 200 only, and says what it was told."""
    readiness.add("database", lambda: State(ready=False, sentence="away"))
    async with serving(Metrics(EXECUTOR).registry, readiness, Redactor(), host="127.0.0.1", port=0) as port:
        assert await probed(str(port)) == (0, "HTTP/1.1 200 OK\n")
        assert await probed(str(port), "/readyz") == (1, "HTTP/1.1 503 Service Unavailable\n")
    code, said = await probed(str(port))
    assert (code, "does not answer" in said) == (1, True)
