"""DESIGN 6: one connection to the WebSocket API, against a server that says whatever a test wants."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
from websockets.asyncio.server import serve

from shared.binance.clock_offset import Clock
from shared.binance.sign import Credentials
from shared.binance.user_stream import (
    StreamDownError,
    StreamRefusedError,
    UserStream,
    open_user_stream,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from websockets.asyncio.server import ServerConnection

ALICE, BOB = UUID(int=1), UUID(int=2)
KEY = Credentials("a-key", "a-secret")
Reply = "Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]"


@dataclass
class Heard:
    """What a connection handed over."""

    events: list[tuple[UUID, dict[str, Any]]] = field(default_factory=list)
    shutdowns: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)


@asynccontextmanager
async def connected(
    reply: Callable[[ServerConnection, dict[str, Any]], Awaitable[None]],
) -> AsyncIterator[tuple[UserStream, Heard, asyncio.Task[str]]]:
    """Open a connection to a server that answers each request with `reply`; reads until closed."""
    heard = Heard()

    async def speak(socket: ServerConnection) -> None:
        async for message in socket:
            request = orjson.loads(message)
            heard.requests.append(request)
            await reply(socket, request)

    def shutdown() -> None:
        heard.shutdowns += 1

    clock = Clock()
    clock.sample(clock.now_ms(), 1_700_000_000_000, clock.now_ms())
    async with serve(speak, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        stream = await open_user_stream(
            f"ws://127.0.0.1:{port}/ws-api/v3",
            clock,
            on_event=lambda account, event: heard.events.append((account, event)),
            on_shutdown=shutdown,
            recv_window_ms=5000,
        )
        reading = asyncio.create_task(stream.read())
        yield stream, heard, reading
        await stream.close()
        await reading


async def send(socket: ServerConnection, frame: Any) -> None:
    await socket.send(orjson.dumps(frame).decode())


async def test_an_event_right_behind_the_subscription_is_not_lost() -> None:
    """The account's first event may be the very next frame after the answer."""

    async def reply(socket: ServerConnection, request: dict[str, Any]) -> None:
        await send(socket, {"id": request["id"], "status": 200, "result": {"subscriptionId": 4}})
        await send(socket, {"subscriptionId": 4, "event": {"e": "executionReport", "i": 1}})

    async with connected(reply) as (stream, heard, _):
        await stream.subscribe(ALICE, KEY)
        await asyncio.wait_for(until_heard(heard, 1), 5)
        assert heard.events == [(ALICE, {"e": "executionReport", "i": 1})]
        params = heard.requests[0]["params"]
        assert (params["apiKey"], params["recvWindow"]) == ("a-key", 5000)
        assert set(params) == {"apiKey", "recvWindow", "timestamp", "signature"}


async def until_heard(heard: Heard, count: int) -> None:
    while len(heard.events) < count:
        await asyncio.sleep(0)


async def test_events_go_to_the_account_of_their_subscription() -> None:
    """Ids start at 0; an event of a subscription nobody has is dropped."""
    ids = iter([0, 1])

    async def reply(socket: ServerConnection, request: dict[str, Any]) -> None:
        await send(socket, {"id": request["id"], "status": 200, "result": {"subscriptionId": next(ids)}})
        if heard_all := len(stream.accounts) == 2:
            assert heard_all

    async with connected(reply) as (stream, heard, _):
        await stream.subscribe(ALICE, KEY)
        await stream.subscribe(BOB, KEY)
        for number in (1, 7, 0):
            stream._take({"subscriptionId": number, "event": {"e": "x", "n": number}})
        assert [(account, event["n"]) for account, event in heard.events] == [(BOB, 1), (ALICE, 0)]


async def test_a_refused_key_is_told_with_its_code() -> None:
    """The error's code and the moment to come back reach the caller."""

    async def reply(socket: ServerConnection, request: dict[str, Any]) -> None:
        error = {"code": -1003, "msg": "Too much", "data": {"serverTime": 1, "retryAfter": 1700000099000}}
        await send(socket, {"id": request["id"], "status": 429, "error": error})

    async with connected(reply) as (stream, _, _):
        with pytest.raises(StreamRefusedError) as refused:
            await stream.subscribe(ALICE, KEY)
    assert (refused.value.code, refused.value.retry_at_ms) == (-1003, 1700000099000)
    assert stream.accounts == frozenset()


async def test_a_probe_teaches_the_clock() -> None:
    """The server's time comes back and bounds the offset."""

    async def reply(socket: ServerConnection, request: dict[str, Any]) -> None:
        await send(socket, {"id": request["id"], "status": 200, "result": {"serverTime": 1_800_000_000_000}})

    async with connected(reply) as (stream, _, _):
        assert await stream.probe() == 1_800_000_000_000
        assert abs(stream._clock.exchange_now_ms() - 1_800_000_000_000) < 5000


async def test_no_answer_means_the_connection_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent server is found after the timeout."""
    monkeypatch.setattr("shared.binance.user_stream.ANSWER_TIMEOUT_S", 0.05)

    async def reply(_socket: ServerConnection, _request: dict[str, Any]) -> None:
        """Say nothing."""

    async with connected(reply) as (stream, _, _):
        with pytest.raises(StreamDownError, match="silent"):
            await stream.probe()


async def test_whoever_waits_is_told_when_the_connection_breaks() -> None:
    """No request waits for its timeout once the connection is gone."""

    async def reply(socket: ServerConnection, _request: dict[str, Any]) -> None:
        await socket.close(1008, "ban")

    async with connected(reply) as (stream, _, reading):
        with pytest.raises(StreamDownError):
            await stream.probe()
        assert await reading == "closed 1008"


@pytest.mark.parametrize("frame", ["no json", "[1, 2]", '"text"', b"\xff\xfe"])
async def test_a_frame_that_cannot_be_read_ends_the_connection(frame: str | bytes) -> None:
    """It may have been a fill: everything is asked for again after reconnecting."""

    async def reply(socket: ServerConnection, _request: dict[str, Any]) -> None:
        await socket.send(frame)

    async with connected(reply) as (stream, _, reading):
        with pytest.raises(StreamDownError):
            await stream.probe()
        assert await reading == "unreadable frame"


async def test_frames_nobody_asked_for_are_harmless() -> None:
    """Late answers, answers without an id, odd ids and events of unknown form change nothing."""

    async def reply(socket: ServerConnection, request: dict[str, Any]) -> None:
        for frame in (
            {"id": None, "status": 401, "error": {"code": -2015}},
            {"id": [1]},
            {"subscriptionId": {}, "event": {"e": "x"}},
            {"event": 5},
            {},
        ):
            await send(socket, frame)
        await send(socket, {"id": request["id"], "status": 200, "result": {"serverTime": 1_800_000_000_000}})

    async with connected(reply) as (stream, heard, _):
        await stream.probe()
        assert heard.events == []


async def test_shutdown_and_termination_are_told() -> None:
    """serverShutdown has no subscription; eventStreamTerminated ends one."""

    async def reply(socket: ServerConnection, request: dict[str, Any]) -> None:
        await send(socket, {"id": request["id"], "status": 200, "result": {"subscriptionId": 0}})
        await send(socket, {"event": {"e": "serverShutdown", "E": 1}})
        await send(socket, {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 2}})

    async with connected(reply) as (stream, heard, _):
        await stream.subscribe(ALICE, KEY)
        await asyncio.wait_for(until_heard(heard, 1), 5)
        assert heard.shutdowns == 1
        assert heard.events[0][1]["e"] == "eventStreamTerminated"
        assert stream.accounts == frozenset()


async def test_nobody_there() -> None:
    """A refused connection is told as such."""
    with pytest.raises(StreamDownError, match="connect"):
        await open_user_stream(
            "ws://127.0.0.1:9/ws-api/v3",
            Clock(),
            on_event=lambda _account, _event: None,
            on_shutdown=lambda: None,
            recv_window_ms=5000,
        )
