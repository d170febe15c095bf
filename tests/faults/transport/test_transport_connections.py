"""Which connection carries a request: a warm one, never a stale one, each answer to its own request."""

import asyncio
import re
import socket
import threading
import time

import httpx
import pytest

from shared.binance.dial import dial
from shared.binance.transport import (
    FIRST_BYTE_BEFORE,
    MAX_ANSWER_BYTES,
    BinanceTransport,
    NotSent,
    OutcomeUnknown,
    Reason,
)
from tests.faults.transport.raw_server import Peer, answer_all, whole


def request(url: str, query: str = "a=1", **options) -> httpx.Request:
    return httpx.Request("POST", f"{url}/api/v3/order?{query}", **options)


def echo(peer: Peer) -> None:
    """Answer with the id that the request carried."""
    while data := peer.read_request():
        found = re.search(rb"id=(\d+)", data)
        assert found
        peer.answer(found[1])


async def test_request_goes_out_as_given(serve):
    """Method, target, headers and body are what the caller built, byte by byte."""
    server = serve(answer_all)
    async with BinanceTransport() as subject:
        sent = request(
            server.url, "q=%EF%BC%91%2B&signature=ab%3D%3D", headers={"X-MBX-APIKEY": "key"}, content=b"a=1"
        )
        response = await subject.handle_async_request(sent)
    assert response.status_code == 200
    assert response.headers["content-length"] == "2"
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.startswith(
        b"POST /api/v3/order?q=%EF%BC%91%2B&signature=ab%3D%3D HTTP/1.1\r\nHost: 127.0.0.1:"
    )
    assert b"\r\nX-MBX-APIKEY: key\r\n" in head
    assert body == b"a=1"


async def test_works_under_an_httpx_client(serve):
    """httpx's own client runs on it, and its timeouts of 5 s are not read."""
    server = serve(answer_all)
    async with httpx.AsyncClient(transport=BinanceTransport(), base_url=server.url) as client:
        response = await client.post("/api/v3/order?a=1")
    assert response.json() == {}
    assert len(server.requests) == 1


async def test_64_in_flight_each_get_their_own_answer(serve):
    """Concurrency mixes nothing up, and connections stay within the bound."""
    server = serve(echo)
    async with BinanceTransport(max_connections=16) as subject:

        async def ask(number: int) -> None:
            response = await subject.handle_async_request(request(server.url, f"id={number}"))
            assert await response.aread() == b"%d" % number

        async with asyncio.TaskGroup() as group:
            for number in range(64 * 5):
                group.create_task(ask(number))
    assert server.connections <= 16
    assert len(server.requests) == 64 * 5


async def test_idle_connection_is_used_again_within_its_limit_only(serve):
    """Idle for the limit or longer: closed and replaced, so that we never race the server's own close."""
    server = serve(answer_all)
    async with BinanceTransport(idle_limit_s=3600) as subject:
        await subject.handle_async_request(request(server.url))
        await subject.handle_async_request(request(server.url))
        assert server.connections == 1
    async with BinanceTransport(idle_limit_s=0) as subject:
        await subject.handle_async_request(request(server.url))
        await subject.handle_async_request(request(server.url))
        assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [whole(headers=b"Connection: close\r\n"), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"],
    ids=["connection: close", "http/1.0"],
)
async def test_connection_the_server_will_close_is_not_used_again(serve, answer):
    """The server said it closes: the answer counts, the connection does not."""

    def say_goodbye(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)
        peer.wait_for_end()

    server = serve(say_goodbye, answer_all)
    async with BinanceTransport() as subject:
        for _ in range(2):
            assert (await subject.handle_async_request(request(server.url))).status_code == 200
    assert server.connections == 2


async def test_interim_answer_is_passed_over(serve):
    """A 1xx answer is not the answer, and its headers are not the answer's."""

    def hint_first(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + whole())
        peer.read_request()
        peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        peer.wait_for_end()

    server = serve(hint_first)
    async with BinanceTransport() as subject:
        response = await subject.handle_async_request(request(server.url))
        assert response.status_code == 200
        assert "link" not in response.headers
        assert (await subject.handle_async_request(request(server.url))).status_code == 204
    assert server.connections == 1


async def test_more_requests_than_connections_wait_and_then_are_not_sent(serve):
    """A request beyond the bound waits for a free connection, within the connect timeout."""
    may_answer = threading.Event()

    def answer_late(peer: Peer) -> None:
        while peer.read_request():
            may_answer.wait()
            peer.answer()

    server = serve(answer_late)
    async with BinanceTransport(max_connections=1, connect_timeout_s=0.2) as subject:
        first = asyncio.create_task(subject.handle_async_request(request(server.url)))
        await asyncio.sleep(0)
        with pytest.raises(NotSent) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.NO_FREE_CONNECTION
        may_answer.set()
        assert (await first).status_code == 200
        assert (await subject.handle_async_request(request(server.url))).status_code == 200
    assert server.connections == 1


async def test_waiting_request_gets_the_connection_that_becomes_free(serve):
    """The bound delays, it does not refuse."""
    server = serve(echo)
    async with BinanceTransport(max_connections=1) as subject:
        answers = await asyncio.gather(
            *(subject.handle_async_request(request(server.url, f"id={n}")) for n in range(10))
        )
    assert [await answer.aread() for answer in answers] == [b"%d" % n for n in range(10)]
    assert server.connections == 1


async def test_warm_opens_ahead_and_only_what_is_missing(serve):
    """Warm connections are there before the first request; asking again opens none."""
    server = serve(answer_all)
    async with BinanceTransport() as subject:
        assert await subject.warm(server.url, 3) == 3
        assert await subject.warm(server.url, 3) == 3
        await asyncio.gather(*(subject.handle_async_request(request(server.url)) for _ in range(3)))
        assert await subject.warm(server.url, 2) == 3
    assert server.connections == 3


async def test_first_byte_leaves_a_warm_connection_before_any_other_task_runs(serve):
    """Nothing waits between call and socket: the next task finds the request already at the peer."""
    arrived = threading.Event()

    def note(peer: Peer) -> None:
        peer.read_request()
        arrived.set()
        peer.answer()

    server = serve(note)
    async with BinanceTransport() as subject:
        await subject.warm(server.url, 1)
        sending = asyncio.create_task(subject.handle_async_request(request(server.url)))
        await asyncio.sleep(0)  # one step of `sending`
        assert arrived.wait(10)  # blocks the loop on purpose
        await sending


async def test_connections_opened_ahead_stay_within_the_bound(serve):
    """Opening ahead while requests open connections of their own keeps no more than the bound."""
    server = serve(answer_all)
    async with BinanceTransport(max_connections=2) as subject:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(subject.handle_async_request(request(server.url)))
                group.create_task(subject.warm(server.url, 5))
        assert await subject.warm(server.url, 5) == 2


async def test_warm_says_when_nobody_is_there():
    """No server: the caller learns it before the first order does."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with BinanceTransport() as subject:
        with pytest.raises(NotSent):
            await subject.warm(nobody, 2)


async def test_too_late_for_the_first_byte_is_not_sent_and_keeps_the_connection(serve):
    """The moment passed while the connection was sought: nothing is written, the connection stays good."""
    server = serve(answer_all)
    async with BinanceTransport() as subject:
        with pytest.raises(NotSent) as failure:
            await subject.handle_async_request(
                request(server.url, extensions={FIRST_BYTE_BEFORE: time.monotonic()})
            )
        assert failure.value.reason is Reason.TOO_LATE
        assert server.requests == []
        soon = request(server.url, extensions={FIRST_BYTE_BEFORE: time.monotonic() + 60})
        assert (await subject.handle_async_request(soon)).status_code == 200
    assert server.connections == 1


async def test_request_can_name_its_own_bound(serve):
    """A large answer is taken when the request says it may be large."""

    def answer_large(peer: Peer) -> None:
        while peer.read_request():
            peer.answer(b"x" * 100_000)

    server = serve(answer_large)
    async with BinanceTransport(max_answer_bytes=1000) as subject:
        with pytest.raises(OutcomeUnknown):
            await subject.handle_async_request(request(server.url))
        large = request(server.url, extensions={MAX_ANSWER_BYTES: 200_000})
        assert len(await (await subject.handle_async_request(large)).aread()) == 100_000


@pytest.mark.parametrize(
    "bad",
    [
        lambda url: httpx.Request("POST", url, headers={"X-MBX-APIKEY": "a\r\nX: b"}),
        lambda url: httpx.Request("POST", url, headers={"X-MBX-APIKEY": "a\nb"}),
        lambda url: httpx.Request("HEAD", url),
        lambda url: httpx.Request("POST", url, content=iter([b"a"])),
        lambda url: httpx.Request("GET", "ftp://127.0.0.1/"),
    ],
    ids=["header injection", "line feed", "method", "streamed body", "scheme"],
)
async def test_request_that_is_no_plain_http_is_not_sent(serve, bad):
    """What cannot be written safely is refused before any connection is opened."""
    server = serve(answer_all)
    async with BinanceTransport() as subject:
        with pytest.raises(NotSent) as failure:
            await subject.handle_async_request(bad(server.url))
    assert failure.value.reason is Reason.BAD_REQUEST
    assert server.connections == 0


async def test_transport_closed_while_connecting_sends_nothing(serve, monkeypatch):
    """A connection that comes up after the close is dropped, and the request with it."""
    server = serve(answer_all)
    subject = BinanceTransport()

    async def close_and_dial(*args):
        await subject.aclose()
        return await dial(*args)

    monkeypatch.setattr("shared.binance.transport.dial", close_and_dial)
    with pytest.raises(NotSent) as failure:
        await subject.handle_async_request(request(server.url))
    assert failure.value.reason is Reason.CLOSED_HERE
    assert server.requests == []


async def test_closing_the_transport_ends_what_is_in_flight(serve):
    """A request in flight becomes unknown, a later one is not sent."""
    arrived = threading.Event()

    def never_answer(peer: Peer) -> None:
        peer.read_request()
        arrived.set()
        peer.wait_for_end()

    server = serve(never_answer)
    subject = BinanceTransport()
    task = asyncio.create_task(subject.handle_async_request(request(server.url)))
    assert await asyncio.to_thread(arrived.wait, 10)
    await subject.aclose()
    with pytest.raises(OutcomeUnknown) as failure:
        await task
    assert failure.value.reason is Reason.CLOSED_HERE
    with pytest.raises(NotSent):
        await subject.handle_async_request(request(server.url))
    assert len(server.requests) == 1
