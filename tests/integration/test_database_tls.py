"""Postgres over TLS where it is asked for: verified, or refused with a sentence, by services and doctor."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from services.command_line.demo import EXECUTOR, LISTENER
from services.command_line.terminal import ExitCode
from shared.database.connect import open_pool
from shared.database.migrate import lay_bot_stand_in, migrate
from tests.bot import ENCRYPTION_KEY
from tests.command_line import Terminal
from tests.faults.transport.test_transport_tls import make
from tests.tls_database import PROGRAMS, front, own_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.database_server import DatabaseServer
    from tests.faults.transport.test_transport_tls import Certificates

MISSING = "no PostgreSQL with TLS in /usr/lib/postgresql; the embedded one is built without"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("ca"), "127.0.0.1")


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of another authority that calls itself the same."""
    return make(tmp_path_factory.mktemp("other"), "127.0.0.1")


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("misnamed"), "127.0.0.2")


@pytest.fixture(
    scope="module",
    params=[pytest.param("own", marks=pytest.mark.skipif(not PROGRAMS, reason=MISSING)), "front"],
)
def encrypted(
    request: pytest.FixtureRequest, certificates: Certificates, database_server: DatabaseServer
) -> Iterator[str]:
    """URL of a database with the bot's tables and ours, on a server that speaks TLS."""
    if request.param == "own":
        with own_server(certificates) as url:
            lay_bot_stand_in(url)
            migrate(url)
            yield url
    else:
        with (
            database_server.database(database_server.template) as name,
            front(database_server.dsn(name), certificates) as url,
        ):
            yield url


def asking(url: str, mode: str, authority: Certificates | None = None) -> dict[str, str]:
    """Return the environment that asks for TLS."""
    root = f"&sslrootcert={authority.trusted_by}" if authority is not None else ""
    return {"BRIDGE_DATABASE_URL": f"{url}?sslmode={mode}{root}", "ENCRYPTION_KEY": ENCRYPTION_KEY}


def start(module: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start a service that is expected to give up at once."""
    return subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, **environment, "BRIDGE_METRICS_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_what_is_asked_for_is_what_there_is(encrypted: str, certificates: Certificates) -> None:
    """Both drivers verify the server to the end, and speak TLS to it."""
    url = asking(encrypted, "verify-full", certificates)["BRIDGE_DATABASE_URL"]
    pool = await open_pool(url, size=1, application_name="test")
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT 1") == 1
        driver: Any = connection
        assert driver._transport.get_extra_info("ssl_object") is not None
    await pool.close()
    with psycopg.connect(url) as other:
        assert other.pgconn.ssl_in_use


def test_doctor_says_that_it_speaks_tls(encrypted: str, certificates: Certificates) -> None:
    """Everything it asks for goes over it, LISTEN as well."""
    told = Terminal(asking(encrypted, "verify-full", certificates)).json(
        "doctor", "--offline", code=ExitCode.DONE
    )
    found = {finding["check"]: finding for finding in told["findings"]}
    assert found["database"]["says"].endswith("over TLS")
    assert found["listen"]["level"] == "ok"


@pytest.mark.parametrize("module", [EXECUTOR, LISTENER])
def test_a_server_of_another_authority_is_refused(encrypted: str, strange: Certificates, module: str) -> None:
    """At once, with what is wrong and what to look at; nothing is sent to it, the password least of all."""
    ended = start(module, asking(encrypted, "verify-full", strange))
    assert ended.returncode == 2, ended.stderr
    assert "not one we trust" in ended.stderr
    assert "sslrootcert" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_doctor_says_that_the_authority_is_another(encrypted: str, strange: Certificates) -> None:
    """The same for the operator."""
    text = Terminal(asking(encrypted, "verify-full", strange)).run("doctor", code=ExitCode.FAILED)
    assert "certificate" in text
    assert "sslrootcert" in text


def test_a_server_of_another_name_is_refused(database_server: DatabaseServer, misnamed: Certificates) -> None:
    """`verify-full` looks at the name, too; `verify-ca` does not."""
    with front(database_server.dsn("postgres"), misnamed) as url:
        ended = start(EXECUTOR, asking(url, "verify-full", misnamed))
        assert ended.returncode == 2, ended.stderr
        assert "not one we trust" in ended.stderr
        with psycopg.connect(asking(url, "verify-ca", misnamed)["BRIDGE_DATABASE_URL"]) as connection:
            assert connection.pgconn.ssl_in_use


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_a_server_without_tls_is_refused_where_it_is_asked_for(
    database_server: DatabaseServer, certificates: Certificates, mode: str
) -> None:
    """Nothing falls back to plain text."""
    url = database_server.dsn("postgres")
    environment = asking(url, mode, certificates)
    ended = start(EXECUTOR, environment)
    assert ended.returncode == 2, ended.stderr
    assert "speaks no TLS" in ended.stderr
    assert "sslmode" in ended.stderr
    assert "sslmode" in Terminal(environment).run("doctor", code=ExitCode.FAILED)


def test_an_authority_that_is_not_there_is_a_sentence(
    database_server: DatabaseServer, tmp_path: Path
) -> None:
    """A path mistyped, a secret not mounted."""
    url = f"{database_server.dsn('postgres')}?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"
    ended = start(EXECUTOR, {"BRIDGE_DATABASE_URL": url, "ENCRYPTION_KEY": ENCRYPTION_KEY})
    assert ended.returncode == 2, ended.stderr
    assert "ca.pem" in ended.stderr
