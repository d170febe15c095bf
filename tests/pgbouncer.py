"""PgBouncer in transaction mode in front of a test's server, where there is one to run."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOOLS = Path("build/tools")  # where `.ci/pgbouncer` puts Debian's
FOUND = shutil.which("pgbouncer", path=f"{TOOLS.resolve()}:{os.environ['PATH']}:/usr/sbin")
MISSING = "no pgbouncer: `.ci/pgbouncer build/tools` brings one"

SERVERS = 4  # fewer than the services' connections together: they have to take turns


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def bouncer(dsn: str, folder: Path) -> Iterator[Mapping[str, str]]:
    """Run PgBouncer in front of a server; yields the variables of a service that works through it."""
    assert FOUND is not None, MISSING
    to = conninfo_to_dict(dsn)
    port = free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        "[databases]\n"
        f"* = host={to['host']} port={to['port']} user={to['user']} password={to['password']}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {SERVERS}\n"
        "max_client_conn = 200\nserver_reset_query_always = 1\nserver_reset_query = DISCARD ALL\n"
        "stats_users = admin\nadmin_users = admin\n"
    )
    as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
    log = folder / "pgbouncer.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([FOUND, *as_nobody, str(configuration)], stdout=output, stderr=output) as process,
    ):
        try:
            yield {
                "BRIDGE_DATABASE_URL": f"postgresql://{to['user']}@127.0.0.1:{port}/{to['dbname']}",
                "BRIDGE_LISTEN_URL": dsn,
                "BRIDGE_PREPARED_STATEMENTS": "off",
            }
        finally:
            process.terminate()
