"""A small HTTP server beside the work: /metrics, /healthz and /readyz.

`/healthz` says that the process answers (its event loop turns); `/readyz` says whether it can do its work,
with a sentence for each thing that it needs. Neither shows anything secret, and nothing here accepts a body.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from shared.telemetry.redaction import Redactor

CHECK_TIMEOUT_S = 2.0


class State(NamedTuple):
    """What a readiness check found.

    Args:
        ready: whether the work can go on as far as this goes.
        sentence: what is the matter and what to do, or what is well.

    """

    ready: bool
    sentence: str


class Readiness:
    """The things a service needs, by name, each with a way to ask for it."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], State | Awaitable[State]]] = {}

    def add(self, name: str, check: Callable[[], State | Awaitable[State]]) -> None:
        """Register a check; a name is given once.

        Args:
            name: what is checked, in a word.
            check: answers within `CHECK_TIMEOUT_S` or counts as not ready; it handles its own errors.

        """
        if name in self._checks:
            raise ValueError(f"there is already a readiness check named {name}")
        self._checks[name] = check

    async def ask(self) -> Mapping[str, State]:
        """Ask all checks at once."""
        names = list(self._checks)
        states = await asyncio.gather(*(self._ask(name) for name in names))
        return dict(zip(names, states, strict=True))

    async def _ask(self, name: str) -> State:
        answer = self._checks[name]()
        if not inspect.isawaitable(answer):
            return answer
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await answer
        except TimeoutError:
            return State(ready=False, sentence=f"no answer within {CHECK_TIMEOUT_S:g} s")


@asynccontextmanager
async def serving(
    registry: CollectorRegistry,
    readiness: Readiness,
    redactor: Redactor,
    *,
    host: str,
    port: int,
    port_file: Path | None = None,
) -> AsyncIterator[int]:
    """Serve while the block runs, and give it the port that was bound.

    Args:
        registry: what /metrics shows.
        readiness: what /readyz asks.
        redactor: cleans the sentences.
        host: address to bind; only what the operator configured.
        port: 0 = any free one.
        port_file: where the port is written, complete or not at all.

    Raises:
        OSError: the address cannot be bound.

    """

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        states = await readiness.ask()
        ready = all(state.ready for state in states.values())
        body = {
            "ready": ready,
            "checks": {
                name: {"ready": state.ready, "sentence": redactor.clean(state.sentence)}
                for name, state in states.items()
            },
        }
        return web.Response(
            status=200 if ready else 503, body=orjson.dumps(body), content_type="application/json"
        )

    application = web.Application(client_max_size=1024)
    application.add_routes(
        [web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = int(runner.addresses[0][1])
        if port_file is not None:
            _write_whole(port_file, f"{bound}\n")
        yield bound
    finally:
        await runner.cleanup()


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds it whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
