"""A proxy of the careless kind: it sends the first order it sees twice and passes on the second answer."""

from __future__ import annotations

import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


class RepeatingProxy:
    """Listens on a port of its own and forwards HTTP to one on this machine.

    Args:
        upstream_port: of the exchange.

    """

    def __init__(self, upstream_port: int) -> None:
        self.repeated = 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self) -> None:
                copies = 1
                if self.command == "POST" and not proxy.repeated:
                    proxy.repeated += 1
                    copies = 2
                status, headers, body = self.ask(copies)[-1]
                with contextlib.suppress(OSError):  # whoever asked may have been killed
                    self.send_response(status)
                    for name, value in headers:
                        if name.lower() not in HOP_BY_HOP:
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def ask(self, copies: int) -> list[tuple[int, list[tuple[str, str]], bytes]]:
                """Ask that often, all before the first answer is read: the copies arrive together."""
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
                with contextlib.ExitStack() as stack:
                    upstreams = [
                        stack.enter_context(
                            contextlib.closing(
                                http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=30)
                            )
                        )
                        for _ in range(copies)
                    ]
                    for upstream in upstreams:
                        upstream.connect()
                    for upstream in upstreams:
                        upstream.request(self.command, self.path, headers=headers)
                    answers = [upstream.getresponse() for upstream in upstreams]
                    return [(answer.status, answer.getheaders(), answer.read()) for answer in answers]

            do_GET = do_POST = do_DELETE = forward  # noqa: N815 -- the names the server looks for

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
