"""A server of bare sockets that does to a client what a script says, and counts what reached it.

It runs in threads, so a test can let it act while the client's event loop stands still.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable

Script = Callable[["Peer"], None]


class Peer:
    """One accepted connection, seen from the server."""

    def __init__(self, sock: socket.socket, server: "RawServer") -> None:
        self.sock = sock
        self.server = server
        self.received = b""

    def read_request(self) -> bytes:
        """Read one whole request and count it; empty at end of file."""
        data = b""
        while b"\r\n\r\n" not in data:
            part = self.sock.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            part = self.sock.recv(65536)
            if not part:
                return b""
            body += part
        self.server.requests.append(data)
        return data

    def read_exactly(self, count: int) -> bytes:
        """Read `count` bytes and leave the rest in the kernel."""
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            assert part, "the client closed early"
            data += part
        self.received += data
        return data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: bytes = b"{}", status: bytes = b"200 OK", headers: bytes = b"") -> None:
        self.send(whole(body, status, headers))

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_end(self) -> None:
        """Wait until the client closes; TimeoutError when it does not within the socket's timeout."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass


def whole(body: bytes = b"{}", status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """Return a well-framed answer."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


def answer_all(peer: Peer) -> None:
    """Behave: answer every request on the connection until the client closes it."""
    while peer.read_request():
        peer.answer()


class RawServer:
    """Runs the first script on the first connection and so on; the last one on all that follow.

    `requests` holds every whole request that arrived on any connection, `connections` counts those accepted.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._scripts = scripts
        self._tls = tls
        self._failures: list[BaseException] = []
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            sock.settimeout(20)
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._peers.append(sock)
            thread = threading.Thread(target=self._run, args=(script, sock))
            self._threads.append(thread)
            thread.start()

    def _run(self, script: Script, sock: socket.socket) -> None:
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            script(Peer(sock, self))
        except (ConnectionError, ssl.SSLError):
            pass  # the client went away, which is its right
        except OSError as error:
            if sock.fileno() != -1:
                self._failures.append(error)
        except AssertionError as error:
            self._failures.append(error)
        finally:
            sock.close()

    def close(self) -> None:
        """Stop; raise what a script raised."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        finally:
            self._listener.close()
        self._acceptor.join()
        for sock in self._peers:
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]
