"""Every way a request can fail on the wire: was a byte written, was it sent once, is the connection dead."""

import asyncio
import socket
import threading

import httpx
import pytest

from shared.binance.transport import BinanceTransport, NoAnswer, NotSent, OutcomeUnknown, Reason
from tests.faults.transport.raw_server import Peer, RawServer, answer_all, whole

PATH = "/api/v3/order?symbol=BTCUSDT&timestamp=1&signature=00"


def transport(**options) -> BinanceTransport:
    """One connection at most: a slot that leaks or a connection kept by mistake stops the next request."""
    return BinanceTransport(**{"max_connections": 1, "answer_timeout_s": 10.0, **options})


def request(url: str, method: str = "POST", **options) -> httpx.Request:
    return httpx.Request(method, url + PATH, headers={"X-MBX-APIKEY": "k" * 64}, **options)


def wire_size(url: str) -> int:
    """Return how many bytes `request(url)` measures on the wire."""
    prepared = request(url)
    lines = [f"POST {PATH} HTTP/1.1"] + [f"{name}: {value}" for name, value in prepared.headers.items()]
    return len("\r\n".join(lines)) + 4


async def recovers(subject: BinanceTransport, server: RawServer, connections: int) -> None:
    """Prove that the failed connection was dropped: the next request is answered, on a new one."""
    before = len(server.requests)
    response = await subject.handle_async_request(request(server.url))
    assert await response.aread() == b"{}"
    assert len(server.requests) == before + 1
    assert server.connections == connections


async def test_name_that_does_not_resolve_is_not_sent(monkeypatch):
    """A DNS failure leaves nothing on the wire and says so."""

    async def no_such_name(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # The system's resolver is the one thing here that cannot be had on the loopback.
    monkeypatch.setattr("shared.binance.dial.resolve", no_such_name)
    async with transport() as subject:
        with pytest.raises(NotSent) as failure:
            await subject.handle_async_request(request("http://exchange.invalid"))
    assert failure.value.reason is Reason.DNS
    assert failure.value.bytes_written == 0


async def test_refused_connection_is_not_sent(serve):
    """A port nobody listens on: not sent, and the slot is free again for the next request."""
    server = serve(answer_all)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with transport() as subject:
        for _ in range(2):
            with pytest.raises(NotSent) as failure:
                await subject.handle_async_request(request(nobody))
            assert failure.value.reason is Reason.CONNECT
            assert failure.value.bytes_written == 0
        await recovers(subject, server, connections=1)


async def test_host_that_never_answers_the_connect_is_not_sent():
    """A full backlog leaves the connect hanging: the connect timeout ends it, nothing was sent."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
                fillers.append(filler)
            async with transport(connect_timeout_s=0.2) as subject:
                with pytest.raises(NotSent) as failure:
                    await subject.handle_async_request(request(f"http://127.0.0.1:{full.getsockname()[1]}"))
            assert failure.value.bytes_written == 0
            assert failure.value.reason in {Reason.CONNECT, Reason.CONNECT_TIMEOUT}
        finally:
            for filler in fillers:
                filler.close()


async def test_reset_of_a_warm_connection_before_the_write_is_seen_and_costs_nothing(serve):
    """The peer reset the idle connection unnoticed by the loop: the socket is asked, a new one opened."""
    may_reset, has_reset = threading.Event(), threading.Event()

    def reset_while_idle(peer: Peer) -> None:
        may_reset.wait()
        peer.reset()
        has_reset.set()

    server = serve(reset_while_idle, answer_all)
    async with transport() as subject:
        assert await subject.warm(server.url, 1) == 1
        may_reset.set()
        has_reset.wait()  # blocks the loop on purpose: no callback can run in between
        await recovers(subject, server, connections=2)
    assert len(server.requests) == 1


async def test_report_is_true_when_a_fresh_connection_is_reset_at_once(serve):
    """Whoever wins the race, `NotSent` is said only when the kernel took no byte; no second try."""
    server = serve(Peer.reset)
    async with transport() as subject:
        for attempt in range(1, 31):
            with pytest.raises(NoAnswer) as failure:
                await subject.handle_async_request(request(server.url))
            assert isinstance(failure.value, NotSent) == (failure.value.bytes_written == 0)
            assert server.connections <= attempt
    assert server.requests == []


async def test_reset_at_every_byte_of_the_request_is_unknown_and_never_sent_again(serve):
    """However much of the request the peer had read when it reset: unknown, one connection, no second try."""
    offsets = iter(range(10_000))

    def reset_after_some_bytes(peer: Peer) -> None:
        peer.sock.recv(1, socket.MSG_PEEK)
        peer.read_exactly(next(offsets))
        peer.reset()

    server = serve(reset_after_some_bytes)
    size = wire_size(server.url)
    async with transport() as subject:
        for attempt in range(1, size + 2):
            with pytest.raises(OutcomeUnknown) as failure:
                await subject.handle_async_request(request(server.url))
            assert failure.value.reason in {Reason.RESET, Reason.CLOSED}
            assert failure.value.bytes_written == size
            assert server.connections == attempt
    assert server.requests == []


async def test_reset_after_the_whole_request_is_unknown(serve):
    """The peer has the whole request and resets: unknown, not sent again."""

    def reset_after_request(peer: Peer) -> None:
        peer.read_request()
        peer.reset()

    server = serve(reset_after_request, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.RESET
        assert failure.value.bytes_written == wire_size(server.url)
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)


async def test_close_after_the_whole_request_is_unknown(serve):
    """The peer has the whole request and closes without a word: unknown, not sent again."""
    server = serve(lambda peer: peer.read_request() and None, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.CLOSED
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)


async def test_silence_is_unknown_and_closes_the_connection(serve):
    """No answer within the time allowed: unknown; the late answer finds a closed connection."""
    closed = threading.Event()

    def never_answer(peer: Peer) -> None:
        peer.read_request()
        peer.wait_for_end()
        closed.set()

    server = serve(never_answer, answer_all)
    async with transport(answer_timeout_s=0.2) as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.SILENCE
        assert await asyncio.to_thread(closed.wait, 10)
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)


def test_the_answer_timeout_is_longer_than_the_exchanges_own():
    """The exchange waits 10 s for its engine; giving up before would make unknown what is merely slow."""
    assert BinanceTransport()._answer_timeout_s > 10


ANSWER = whole(b'{"orderId":1}', headers=b"Date: x\r\n")
CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{"orde\r\n7\r\nrId":1}\r\n0\r\n\r\n'


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED], ids=["content-length", "chunked"])
async def test_half_an_answer_is_unknown_wherever_it_was_cut(serve, answer):
    """The peer closes after any proper part of its answer: unknown; only the whole is an answer."""
    lengths = iter(range(len(answer) + 1))

    def send_a_part(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer[: next(lengths)])

    server = serve(send_a_part)
    async with transport() as subject:
        for sent in range(1, len(answer) + 1):
            with pytest.raises(OutcomeUnknown) as failure:
                await subject.handle_async_request(request(server.url))
            assert failure.value.reason is Reason.CLOSED
            assert len(server.requests) == server.connections == sent
        response = await subject.handle_async_request(request(server.url))
        assert await response.aread() == b'{"orderId":1}'


async def test_half_an_answer_and_then_silence_is_unknown(serve):
    """The second half never comes: the time allowed is for the whole answer."""

    def send_half(peer: Peer) -> None:
        peer.read_request()
        peer.send(ANSWER[:-3])
        peer.wait_for_end()

    server = serve(send_half, answer_all)
    async with transport(answer_timeout_s=0.2) as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.SILENCE
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n{}",  # no length: cannot be told from half an answer
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=[
        "tls",
        "ssh",
        "status",
        "two lengths",
        "negative",
        "length and chunks",
        "chunk size",
        "no length",
        "upgrade",
    ],
)
async def test_garbage_is_unknown(serve, garbage):
    """What is not one well-framed HTTP/1.1 answer is no answer."""

    def send_garbage(peer: Peer) -> None:
        peer.read_request()
        peer.send(garbage)
        peer.wait_for_end()

    server = serve(send_garbage, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.FRAMING
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
async def test_hundred_megabytes_are_refused_long_before_they_are_read(serve, announced):
    """An answer beyond the bound ends at the bound, or at its announcement, and is unknown."""
    taken: list[int] = []

    def send_without_end(peer: Peer) -> None:
        peer.read_request()
        block = b"x" * 1_000_000
        if announced:
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            block = b"f4240\r\n" + block + b"\r\n"
        for _ in range(100):
            try:
                peer.send(block)
            except OSError:
                return
            taken.append(1_000_000)

    server = serve(send_without_end, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.TOO_LARGE
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)
    assert sum(taken) < 30_000_000  # the bound and what the socket buffers hold


async def test_headers_without_end_are_refused(serve):
    """A header that never ends is stopped at its own bound."""

    def send_headers(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(100):
            peer.send(b"x" * 10_000)

    server = serve(send_headers, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.TOO_LARGE
        await recovers(subject, server, connections=2)


async def test_slow_drip_does_not_stretch_the_time_allowed(serve):
    """Bytes that keep coming one by one do not restart the clock."""
    ended = threading.Event()

    def drip(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(1000):
                peer.send(b"x")
                if ended.wait(0.02):
                    return
        except ConnectionError:
            return
        raise AssertionError("the client took the whole drip")

    server = serve(drip, answer_all)
    async with transport(answer_timeout_s=0.3) as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.SILENCE
        ended.set()
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)


async def test_answer_left_in_the_socket_is_not_taken_for_the_next_request(serve):
    """A second answer that arrives while the connection is idle kills it, seen by the loop or not."""
    may_send, has_sent = threading.Event(), threading.Event()

    def answer_twice(peer: Peer) -> None:
        peer.read_request()
        peer.answer()
        may_send.wait()
        peer.answer(b'{"orderId":666}')
        has_sent.set()
        peer.wait_for_end()

    server = serve(answer_twice, answer_all)
    async with transport() as subject:
        await subject.handle_async_request(request(server.url))
        may_send.set()
        has_sent.wait()  # blocks the loop on purpose
        await recovers(subject, server, connections=2)


async def test_two_answers_at_once_are_trusted_neither_of_them(serve):
    """Bytes behind the answer in one segment: which of the two is ours cannot be known."""

    def answer_twice(peer: Peer) -> None:
        peer.read_request()
        peer.send(whole(b'{"orderId":1}') + whole(b'{"orderId":2}'))
        peer.wait_for_end()

    server = serve(answer_twice, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.reason is Reason.FRAMING
        await recovers(subject, server, connections=2)


async def test_peer_that_closed_at_the_moment_of_reuse_is_seen(serve):
    """The end of file is in the kernel, not yet in the loop: a new connection is used, one request sent."""
    may_close, has_closed = threading.Event(), threading.Event()

    def close_while_idle(peer: Peer) -> None:
        peer.read_request()
        peer.answer()
        may_close.wait()
        peer.sock.close()
        has_closed.set()

    server = serve(close_while_idle, answer_all)
    async with transport() as subject:
        await subject.handle_async_request(request(server.url))
        may_close.set()
        has_closed.wait()  # blocks the loop on purpose
        await recovers(subject, server, connections=2)
    assert len(server.requests) == 2


async def test_peer_that_closes_when_the_reused_connection_speaks_is_unknown(serve):
    """The close crosses our request: some bytes are out, so it is unknown and not sent again."""

    def close_at_second_request(peer: Peer) -> None:
        peer.read_request()
        peer.answer()
        peer.sock.recv(1, socket.MSG_PEEK)

    server = serve(close_at_second_request, answer_all)
    async with transport() as subject:
        await subject.handle_async_request(request(server.url))
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url))
        assert failure.value.bytes_written == wire_size(server.url)
        assert len(server.requests) == server.connections == 1
        await recovers(subject, server, connections=2)


async def test_answer_before_the_request_was_written_is_unknown(serve):
    """An answer that begins while our request is still going out cannot be the answer to it."""

    def answer_early(peer: Peer) -> None:
        peer.sock.recv(1, socket.MSG_PEEK)
        peer.answer()
        peer.wait_for_end()

    server = serve(answer_early, answer_all)
    async with transport() as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await subject.handle_async_request(request(server.url, content=b"x" * 16_000_000))
        assert failure.value.reason is Reason.FRAMING
        assert 0 < failure.value.bytes_written < 16_000_000
        await recovers(subject, server, connections=2)


async def test_cancelled_request_closes_its_connection(serve):
    """Cancellation passes through and leaves no connection on which an answer is still due."""
    arrived, closed = threading.Event(), threading.Event()

    def never_answer(peer: Peer) -> None:
        peer.read_request()
        arrived.set()
        peer.wait_for_end()
        closed.set()

    server = serve(never_answer, answer_all)
    async with transport() as subject:
        task = asyncio.create_task(subject.handle_async_request(request(server.url)))
        assert await asyncio.to_thread(arrived.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(closed.wait, 10)
        assert len(server.requests) == 1
        await recovers(subject, server, connections=2)
