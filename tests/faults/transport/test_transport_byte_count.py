"""`bytes_written` is what the kernel took: at every byte at which writing can fail, plain and under TLS."""

import asyncio
import socket

import pytest

from shared.binance.connection import Connection
from shared.binance.failures import NoAnswer, NotSent, OutcomeUnknown, Reason

REQUEST = b"POST /api/v3/order?symbol=BTCUSDT HTTP/1.1\r\nHost: exchange\r\nContent-Length: 0\r\n\r\n"


class CutSocket(socket.socket):
    """A real socket whose kernel takes `limit` bytes, in pieces of `step`, and then reports a broken pipe."""

    limit = 0
    step = 7

    def send(self, data, flags=0):
        if self.limit == 0:
            raise BrokenPipeError(32, "Broken pipe")
        taken = super().send(data[: min(self.limit, self.step)], flags)
        self.limit -= taken
        return taken


def cut_pair(limit: int) -> tuple[CutSocket, socket.socket]:
    ours, theirs = socket.socketpair()
    cut = CutSocket(fileno=ours.detach())
    cut.setblocking(False)
    cut.limit = limit
    return cut, theirs


@pytest.mark.parametrize("limit", range(len(REQUEST)))
async def test_report_counts_every_byte_that_left(limit):
    """The k-th byte fails: k bytes are reported, the peer has these, and only zero is `NotSent`."""
    ours, theirs = cut_pair(limit)
    with theirs:
        connection = Connection(ours, None)
        with pytest.raises(NoAnswer) as failure:
            await connection.exchange(REQUEST, 10, 1000)
        assert type(failure.value) is (NotSent if limit == 0 else OutcomeUnknown)
        assert failure.value.bytes_written == limit
        assert failure.value.reason is Reason.WRITE
        assert connection.closed
        received = b""
        while part := theirs.recv(1000):
            received += part
        assert received == REQUEST[:limit]


async def test_peer_that_is_gone_takes_no_byte():
    """Writing to a connection whose other end is closed is `NotSent`: the kernel refused the first byte."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = Connection(ours, None)
    theirs.close()
    with pytest.raises(NotSent) as failure:
        await connection.exchange(REQUEST, 10, 1000)
    assert failure.value.bytes_written == 0


async def test_look_sees_what_the_loop_has_not_told():
    """End of file or a stray byte in the kernel: not usable, without any callback having run."""
    for spoil in (lambda peer: peer.close(), lambda peer: peer.send(b"x")):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = Connection(ours, None)
        assert connection.look()
        spoil(theirs)
        assert not connection.look()
        assert connection.closed
        theirs.close()


async def test_request_larger_than_the_socket_buffer_is_written_whole():
    """What the kernel does not take at once follows when it can, in order."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    body = bytes(range(256)) * 4000
    connection = Connection(ours, None)

    def peer() -> bytes:
        received = b""
        while len(received) < len(body):
            received += theirs.recv(65536)
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return received

    answer, received = await asyncio.gather(connection.exchange(body, 10, 1000), asyncio.to_thread(peer))
    assert answer.status == 200
    assert received == body
    assert connection.look()
    connection.close()
    theirs.close()
