"""A PostgreSQL that speaks TLS, for tests: the machine's own, or ours behind a front that does it.

The embedded wheel is built without TLS: where the machine has no PostgreSQL, the same server stands behind a
front that ends the TLS connection; to a client there is no difference.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from shared.database import embedded

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tests.faults.transport.test_transport_tls import Certificates

SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL docs, "Message Formats": SSLRequest
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # where Debian puts them


def url_of(dsn: str, **changes: object) -> str:
    """Write a connection URL with some parts changed."""
    to = conninfo_to_dict(dsn) | changes
    return f"postgresql://{to['user']}:{to['password']}@{to['host']}:{to['port']}/{to['dbname']}"


@contextlib.contextmanager
def own_server(certificates: Certificates) -> Iterator[str]:
    """Run the machine's own PostgreSQL with a certificate; yields the URL of its superuser."""
    account = embedded._account()
    server = embedded._lay_out(secrets.token_hex(16), account, PROGRAMS[0], None, None)
    try:
        server = embedded._reachable(server)
        password = server.folder / "password"
        password.write_text(server.password)
        for made in (password, *(certificates.trusted_by.with_suffix(end) for end in (".pem", ".key"))):
            copied = server.folder / made.name
            if copied != made:
                shutil.copy(made, copied)
            copied.chmod(0o600)
            embedded._hand_over(copied, account)
        server.run(
            "initdb", f"--pgdata={server.data}", "--username=postgres", f"--pwfile={password}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        chain = server.folder / certificates.trusted_by.name
        server.configure(
            {
                "port": str(server.port),
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "dynamic_shared_memory_type": "mmap",
                "fsync": "off",
                "ssl": "on",
                "ssl_cert_file": str(chain),
                "ssl_key_file": str(chain.with_suffix(".key")),
            }
        )
        server.start()
        yield server.dsn()
    finally:
        server.remove()


@contextlib.contextmanager
def front(dsn: str, certificates: Certificates) -> Iterator[str]:
    """Put something before a server that ends TLS connections; yields the URL that leads through it."""
    to = conninfo_to_dict(dsn)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_answer, args=(listening, certificates.server, to), daemon=True).start()
        yield url_of(dsn, host="127.0.0.1", port=listening.getsockname()[1])


def _answer(listening: socket.socket, context: ssl.SSLContext, to: dict[str, object]) -> None:
    while True:
        try:
            plain, _ = listening.accept()
        except OSError:
            return  # the test is over
        threading.Thread(target=_relay, args=(plain, context, to), daemon=True).start()


def _relay(plain: socket.socket, context: ssl.SSLContext, to: dict[str, object]) -> None:
    with contextlib.suppress(OSError), plain:
        if plain.recv(len(SSL_REQUEST), socket.MSG_WAITALL) != SSL_REQUEST:
            return  # it takes TLS only
        plain.sendall(b"S")
        with (
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection((str(to["host"]), int(str(to["port"])))) as server,
        ):
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
