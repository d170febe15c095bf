"""PROTOCOL 5: one HTTP/1.1 connection that counts the bytes of a request as the kernel takes them.

The socket is driven directly (loop.add_reader, socket.send) and not through an asyncio transport, because a
transport takes bytes into a buffer of its own and hides whether they left: all our `not_sent` rests on this
count. The first byte leaves in the same step of the event loop in which the caller asks.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable

from shared.binance.failures import NotSent, OutcomeUnknown, Reason
from shared.binance.http_answer import AnswerReader, BadAnswerError, WholeAnswer
from shared.binance.tls_session import TlsSession

_READ_SIZE = 64 * 1024


class Connection:
    """A connected socket: one request at a time, and none after anything went wrong on it.

    Args:
        sock: connected, non-blocking.
        tls: its session after the handshake, or None for plain TCP.

    """

    def __init__(self, sock: socket.socket, tls: TlsSession | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._tls = tls
        self._reader: AnswerReader | None = None
        self._done: asyncio.Future[WholeAnswer] | None = None
        self._unsent = memoryview(b"")
        self._written = 0
        self._writer_set = False
        self.closed = False
        self.idle_since = time.monotonic()
        # Reads also while idle: an idle socket that turns readable is dead.
        self._loop.add_reader(sock, self._on_readable)

    def look(self) -> bool:
        """Return whether the connection shows no end of file and no unread byte at this very moment.

        The event loop may not have told us yet, so the socket itself is asked.
        """
        while not self.closed and self._read_once():
            pass
        return not self.closed

    async def exchange(
        self,
        request: bytes,
        timeout_s: float,
        max_answer_bytes: int,
        on_written: Callable[[], None] | None = None,
    ) -> WholeAnswer:
        """Write `request` once and return its whole answer.

        The connection is closed unless the answer was whole, alone and the server keeps the connection alive.

        Args:
            request: head and body.
            timeout_s: seconds from the first byte out to the last byte in.
            max_answer_bytes: bound of the answer on the wire.
            on_written: called when the socket took the first bytes, before anything is awaited.

        Raises:
            NotSent: the socket took no byte.
            OutcomeUnknown: it took at least one.

        """
        self._reader = AnswerReader(max_answer_bytes)
        self._done = done = self._loop.create_future()
        self._written = 0
        timer = self._loop.call_later(timeout_s, self._on_silence, timeout_s)
        keep = False
        try:
            self._send(request)
            if on_written is not None and self._written:
                on_written()
            answer: WholeAnswer = await done
            keep = answer.keep_alive
            return answer
        finally:
            timer.cancel()
            self._reader = None
            self._done = None
            if keep:
                self.idle_since = time.monotonic()
            else:  # whatever it was, cancellation included
                self.close()

    def close(self) -> None:
        """Close the socket; a request in flight on it fails. Closing twice does nothing."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock)
        if self._writer_set:
            self._loop.remove_writer(self._sock)
        self._sock.close()
        self._fail(Reason.CLOSED_HERE, "The transport was closed.")

    def _send(self, request: bytes) -> None:
        try:
            self._unsent = memoryview(request if self._tls is None else self._tls.seal(request))
        except ssl.SSLError as error:
            self._break(Reason.TLS, f"TLS failed before the request was written ({error.reason}).")
            return
        self._write_some()

    def _write_some(self) -> None:
        try:
            count = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError as error:  # send() reports an error only when it took nothing in this call
            self._break(Reason.WRITE, f"Writing the request failed ({error.strerror}).")
            return
        self._written += count
        self._unsent = self._unsent[count:]
        if self._unsent and not self._writer_set:
            self._writer_set = True
            self._loop.add_writer(self._sock, self._write_some)
        elif not self._unsent and self._writer_set:
            self._writer_set = False
            self._loop.remove_writer(self._sock)

    def _on_readable(self) -> None:
        self._read_once()

    def _read_once(self) -> bool:
        """Take what the socket has; return whether it had anything and is still open."""
        try:
            wire = self._sock.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._break(Reason.RESET, f"The connection was reset ({error.strerror}).")
            return False
        if self._tls is None:
            plain, ended = wire, not wire
        else:
            try:
                self._tls.give_incoming(wire)
                plain = self._tls.unseal()
            except ssl.SSLError as error:
                closed = isinstance(error, ssl.SSLEOFError)
                reason = Reason.CLOSED if closed else Reason.FRAMING
                self._break(reason, f"The TLS stream broke ({error.reason}).")
                return False
            ended = self._tls.ended
        if plain:
            self._take(plain)
        if ended and not self.closed:
            half = self._reader is not None and self._reader.begun
            self._break(
                Reason.CLOSED,
                f"The server closed the connection {'in the middle of' if half else 'without'} an answer.",
            )
        return not self.closed

    def _take(self, plain: bytes) -> None:
        reader, done = self._reader, self._done
        if reader is None or done is None:
            self.close()  # idle: no request of ours can be answered by these bytes
            return
        if self._unsent:
            self._break(Reason.FRAMING, "An answer began before the request was written.")
            return
        try:
            answer = reader.feed(plain)
        except BadAnswerError as error:
            self._break(error.reason, str(error))
            return
        if answer is not None and not done.done():
            done.set_result(answer)

    def _on_silence(self, timeout_s: float) -> None:
        self._break(Reason.SILENCE, f"No whole answer within {timeout_s:g} s.")

    def _break(self, reason: Reason, sentence: str) -> None:
        self._fail(reason, sentence)
        self.close()

    def _fail(self, reason: Reason, sentence: str) -> None:
        if self._done is None or self._done.done():
            return
        if self._written:
            self._done.set_exception(OutcomeUnknown(reason, sentence, self._written))
        else:
            self._done.set_exception(NotSent(reason, sentence))
