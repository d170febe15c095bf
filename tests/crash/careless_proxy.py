"""A proxy of the careless kind between us and the exchange, for what only something on the way can do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


class OnTheWay(StrEnum):
    """What happens to the first order that passes."""

    REPEATED = "repeated"  # it is sent twice, and the second answer is passed on
    CUT = "cut"  # it is sent, and the connection it came on is closed at once


class CarelessProxy:
    """Listens on a port of its own and forwards HTTP to one on this machine.

    Args:
        upstream_port: of the exchange.
        does: to the first order.

    """

    def __init__(self, upstream_port: int, does: OnTheWay) -> None:
        self._upstream_port = upstream_port
        self._to_do: OnTheWay | None = does
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
                does = proxy.due(self.command)
                sent = proxy.send(
                    self.command, self.path, headers, copies=2 if does is OnTheWay.REPEATED else 1
                )
                if does is OnTheWay.CUT:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    proxy.answers(sent)
                    return
                status, answer_headers, body = proxy.answers(sent)[-1]
                with contextlib.suppress(OSError):  # whoever asked may have been killed
                    self.send_response(status)
                    for name, value in answer_headers:
                        if name.lower() not in HOP_BY_HOP:
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            do_GET = do_POST = do_DELETE = forward  # noqa: N815 -- the names the server looks for

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = _QuietServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def due(self, method: str) -> OnTheWay | None:
        """Say what is to be done to this request; to one order only."""
        if method != "POST":
            return None
        does, self._to_do = self._to_do, None
        return does

    def send(
        self, method: str, path: str, headers: dict[str, str], *, copies: int
    ) -> list[http.client.HTTPConnection]:
        """Send that many copies, all before any answer is read: they arrive together."""
        upstreams = [
            http.client.HTTPConnection("127.0.0.1", self._upstream_port, timeout=90) for _ in range(copies)
        ]
        for upstream in upstreams:
            upstream.connect()
        for upstream in upstreams:
            upstream.request(method, path, headers=headers)
        return upstreams

    def answers(
        self, upstreams: Sequence[http.client.HTTPConnection]
    ) -> list[tuple[int, list[tuple[str, str]], bytes]]:
        """Read what came back."""
        read = []
        for upstream in upstreams:
            with contextlib.closing(upstream):
                answer = upstream.getresponse()
                read.append((answer.status, answer.getheaders(), answer.read()))
        return read


class _QuietServer(ThreadingHTTPServer):
    """One thread per connection; what killed clients and dropped answers do to them is no news."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""
