"""A small HTTP server beside the work: /metrics, /healthz and /readyz.

On h11 and asyncio: a web framework costs a fifth of the time that a service takes to start, for three GETs.
`/healthz` says that the process answers (its event loop turns); `/readyz` says whether it can do its work,
with a sentence for each thing that it needs. Neither shows anything secret, and nothing here accepts a body.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

import h11
import orjson
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from shared.telemetry.redaction import Redactor

CHECK_TIMEOUT_S = 2.0
REQUEST_TIMEOUT_S = 5.0
LONGEST_REQUEST = 8192
TEXT = "text/plain; charset=utf-8"


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
    pages = Pages(registry, readiness, redactor)
    answering: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of the server's own: a mistake in a page is logged, and must not end the work beside it.
        task = asyncio.create_task(_converse(pages, reader, writer))
        answering[task] = writer
        task.add_done_callback(answering.pop)

    server = await asyncio.start_server(connected, host, port)
    try:
        bound = int(server.sockets[0].getsockname()[1])
        if port_file is not None:
            _write_whole(port_file, f"{bound}\n")
        yield bound
    finally:
        server.close()
        left = dict(answering)
        for task, writer in left.items():
            task.cancel()
            writer.transport.abort()  # the task may not have begun
        if left:
            await asyncio.wait(left)


class Page(NamedTuple):
    """An answer."""

    status: HTTPStatus
    kind: str
    body: bytes


class Pages:
    """What there is to be asked for.

    Args:
        registry: what /metrics shows.
        readiness: what /readyz asks.
        redactor: cleans the sentences.

    """

    def __init__(self, registry: CollectorRegistry, readiness: Readiness, redactor: Redactor) -> None:
        self._registry = registry
        self._readiness = readiness
        self._redactor = redactor

    async def answer(self, method: str, path: str, accept: str) -> Page:
        """Answer one request."""
        if method not in ("GET", "HEAD"):
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED)
        match path:
            case "/metrics":
                encode, kind = choose_encoder(accept)
                return Page(HTTPStatus.OK, kind, encode(self._registry))
            case "/healthz":
                return Page(HTTPStatus.OK, TEXT, b"ok\n")
            case "/readyz":
                return await self._readyz()
        return _plain(HTTPStatus.NOT_FOUND)

    async def _readyz(self) -> Page:
        states = await self._readiness.ask()
        ready = all(state.ready for state in states.values())
        body = {
            "ready": ready,
            "checks": {
                name: {"ready": state.ready, "sentence": self._redactor.clean(state.sentence)}
                for name, state in states.items()
            },
        }
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(status, "application/json", orjson.dumps(body))


def _plain(status: HTTPStatus) -> Page:
    return Page(status, TEXT, f"{status.phrase}\n".encode())


async def _converse(pages: Pages, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request of a connection and close it; who is slow, or speaks no HTTP, is hung up on."""
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_REQUEST)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            try:
                request = await _request(peer, reader)
            except h11.RemoteProtocolError as error:
                page = _plain(HTTPStatus(error.error_status_hint))
            else:
                if request is None:
                    return
                page = await pages.answer(*request)
            headers = [
                ("Content-Type", page.kind),
                ("Content-Length", str(len(page.body))),
                ("Connection", "close"),
            ]
            head = h11.Response(status_code=page.status, reason=page.status.phrase, headers=headers)
            for event in (head, h11.Data(page.body), h11.EndOfMessage()):
                writer.write(peer.send(event) or b"")
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError):
        pass  # nobody is there any more to be told
    finally:
        writer.transport.abort()


async def _request(peer: h11.Connection, reader: asyncio.StreamReader) -> tuple[str, str, str] | None:
    """Read method, path and `Accept` of a request; None when whoever connected has gone.

    Raises:
        h11.RemoteProtocolError: it is no request.

    """
    while (event := peer.next_event()) is h11.NEED_DATA:
        peer.receive_data(await reader.read(LONGEST_REQUEST))
    if not isinstance(event, h11.Request):
        return None
    path = event.target.partition(b"?")[0].decode("latin-1")
    accept = dict(event.headers).get(b"accept", b"").decode("latin-1")
    return event.method.decode("ascii"), path, accept


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds it whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
