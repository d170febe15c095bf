"""The one PostgreSQL server of a test run, and the templates every test's database is copied from.

Where the server comes from: `BRIDGE_TEST_DATABASE_URL` (a superuser's URL) if set; else a container of
`postgres:17` if `BRIDGE_TEST_SERVER=container`; else the embedded wheel, the faster one (decision 0005).
It is started by the first test that needs one, shared by all workers of pytest-xdist, and stopped by whoever
started them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from services.command_line.grants import grants
from shared.database import embedded
from shared.database.migrate import lay_bot_stand_in, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = "postgres:17"
GIVEN_URL = "BRIDGE_TEST_DATABASE_URL"
SERVER = "BRIDGE_TEST_SERVER"
ROOM = 2 * 1024**3  # bytes; a container's /dev/shm has 64 MB unless told otherwise


@dataclass(frozen=True, slots=True)
class Login:
    """A role of the test server, with its password."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A running server that holds the template.

    Args:
        host: where it listens.
        port: where it listens.
        admin: a superuser.
        bot: owns the bot's tables and the databases; has no right whatever on schema `bridge`.
        bridge: owns schema `bridge` and has what `bridge grants` prints.
        template: database with the bot's tables and our migrations.
        bare: database with the bot's tables only.
        embedded: the server as `EmbeddedServer.to_json` wrote it, if it is that kind.
        container: id of the container, if it is that kind.

    """

    host: str
    port: int
    admin: Login
    bot: Login
    bridge: Login
    template: str
    bare: str
    embedded: str | None = None
    container: str | None = None

    def dsn(self, database: str, login: Login | None = None) -> str:
        """Build the URL of a database, as the superuser unless another login is given."""
        who = login or self.admin
        return f"postgresql://{who.name}:{who.password}@{self.host}:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self, template: str) -> Iterator[str]:
        """Copy a template for the length of a `with` block; yields the copy's name."""
        name = f"test_{secrets.token_hex(6)}"
        # Copying the files takes a third of the time of logging the pages.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(template), sql.Identifier(self.bot.name)
        )
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as admin:
            admin.execute(create)
        try:
            yield name
        finally:
            with psycopg.connect(self.dsn("postgres"), autocommit=True) as admin:
                admin.execute(drop)


def shared_server(folder: Path) -> DatabaseServer:
    """Find the server of this run, or start it if nobody has.

    Args:
        folder: of this run, made by `open_run`.

    """
    written = folder / "server.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not written.exists():
            server = _started(owner=int((folder / "owner").read_text()))
            written.write_text(json.dumps(asdict(server)))
        values = json.loads(written.read_text())
    values |= {name: Login(**values[name]) for name in ("admin", "bot", "bridge")}
    return DatabaseServer(**values)


def open_run(folder: Path) -> None:
    """Note in the run's folder which process the server shall not outlive: this one."""
    (folder / "owner").write_text(str(os.getpid()))


def close_run(folder: Path) -> None:
    """Stop the server of this run, if one was started, or clean up on the server that was given."""
    if not (folder / "server.json").exists():
        return
    server = shared_server(folder)
    if server.embedded is not None:
        embedded.EmbeddedServer.from_json(server.embedded).remove()
    elif server.container is not None:
        import docker  # type: ignore[import-untyped] # slow to import, and most runs need none

        docker.from_env().containers.get(server.container).remove(force=True, v=True)
    else:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
            for name in (server.template, server.bare):
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            for login in (server.bot, server.bridge):
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login.name)))


def _started(owner: int) -> DatabaseServer:
    given = os.environ.get(GIVEN_URL)
    if given is not None:
        parts = conninfo_to_dict(given)
        admin = Login(str(parts["user"]), str(parts.get("password", "")))
        return _prepared(str(parts.get("host", "127.0.0.1")), int(str(parts.get("port", 5432))), admin)
    if os.environ.get(SERVER) == "container":
        return _in_container()
    server = embedded.create(
        fsync=False,  # unsafe only if the machine loses power; a killed server loses nothing
        settings={"max_connections": "300"},
        owner=owner,
        parent=memory(),
    )
    try:
        admin = Login(embedded.SUPERUSER, server.password)
        return _prepared("127.0.0.1", server.port, admin, embedded_server=server.to_json())
    except BaseException:
        server.remove()
        raise


def memory() -> Path | None:
    """Find a file system in memory with room for a server; copying a database there takes 20 ms."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


def _in_container() -> DatabaseServer:
    from testcontainers.community.postgres import PostgresContainer  # slow to import
    from testcontainers.core.config import testcontainers_config

    testcontainers_config.ryuk_disabled = True  # its image may be missing; close_run removes the container
    container = PostgresContainer(IMAGE, driver=None).with_command(
        # fsync off: a killed server loses nothing either way
        "postgres -c listen_addresses=* -c fsync=off -c max_connections=300"
    )
    if memory() is not None:
        container.with_tmpfs_mount("/var/lib/postgresql/data", f"size={ROOM}")
    container.start()
    identity = container.get_wrapped_container().id
    try:
        admin = Login(container.username, container.password)
        host, port = container.get_container_host_ip(), int(container.get_exposed_port(container.port))
        return _prepared(host, port, admin, container=identity)
    except BaseException:
        container.stop()
        raise


def _prepared(
    host: str, port: int, admin: Login, *, embedded_server: str | None = None, container: str | None = None
) -> DatabaseServer:
    """Lay the bot's tables as the bot, run the grants as a superuser, migrate as the bridge."""
    run = secrets.token_hex(4)
    server = DatabaseServer(
        host=host,
        port=port,
        admin=admin,
        bot=Login(f"bot_{run}", secrets.token_hex(16)),
        bridge=Login(f"bridge_{run}", secrets.token_hex(16)),
        template=f"template_{run}",
        bare=f"bare_{run}",
        embedded=embedded_server,
        container=container,
    )
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        for login in (server.bot, server.bridge):
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(login.name), sql.Literal(login.password)
                )
            )
        bare, bot = sql.Identifier(server.bare), sql.Identifier(server.bot.name)
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(bare, bot))
        lay_bot_stand_in(server.dsn(server.bare, server.bot))
        template = sql.Identifier(server.template)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(template, bare, bot))
    with psycopg.connect(server.dsn(server.template), autocommit=True) as connection:
        for statement in grants(server.bridge.name):
            connection.execute(statement.encode())
    migrate(server.dsn(server.template, server.bridge))
    return server
