"""Fixtures shared by all tests: a PostgreSQL server per run, a fresh database per test, and the bot."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings

from tests.bot import Bot
from tests.database_server import DatabaseServer, close_run, open_run, shared_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# No deadline for one example: on a busy machine it says nothing about the code. New examples in every run, on
# CI too, where Hypothesis would otherwise repeat the same ones for ever.
settings.register_profile("bridge", parent=settings.get_profile("default"), deadline=None, derandomize=False)
settings.load_profile("bridge")

RUN_FOLDER = "BRIDGE_TEST_RUN_FOLDER"  # from the process that starts the workers to the workers


def pytest_configure(config: pytest.Config) -> None:
    """Make the run's folder, before any worker starts."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.mkdtemp(prefix="bridge-tests-")
        os.environ[RUN_FOLDER] = folder
        open_run(Path(folder))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server, after all workers have ended."""
    if not hasattr(config, "workerinput"):
        folder = os.environ.pop(RUN_FOLDER)
        try:
            close_run(Path(folder))
        finally:
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def database_server() -> DatabaseServer:
    """The run's PostgreSQL server, with its roles and templates."""
    return shared_server(Path(os.environ[RUN_FOLDER]))


@pytest.fixture
def database_name(database_server: DatabaseServer) -> Iterator[str]:
    """The name of a fresh database with the bot's tables and schema `bridge`."""
    with database_server.database(database_server.template) as name:
        yield name


@pytest.fixture
def database(database_server: DatabaseServer, database_name: str) -> str:
    """URL of a fresh database with the bot's tables and schema `bridge`, as a superuser."""
    return database_server.dsn(database_name)


@pytest.fixture
def bridge_database(database_server: DatabaseServer, database_name: str) -> str:
    """URL of the same database as the bridge's role, which has what `bridge grants` prints."""
    return database_server.dsn(database_name, database_server.bridge)


@pytest.fixture
def bot_database(database_server: DatabaseServer, database_name: str) -> str:
    """URL of the same database as the bot's role, which has no right on schema `bridge`."""
    return database_server.dsn(database_name, database_server.bot)


@pytest.fixture
def bot(bot_database: str) -> Iterator[Bot]:
    """The bot, connected to the same database under its own role."""
    with Bot(bot_database) as connected:
        yield connected


@pytest.fixture
async def bot_connection(bot_database: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[object, ...]]]:
    """A bare autocommit connection under the bot's role."""
    async with await psycopg.AsyncConnection.connect(bot_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def bare_database_name(database_server: DatabaseServer) -> Iterator[str]:
    """The name of a fresh database with the bot's tables only: the bridge has never been here."""
    with database_server.database(database_server.bare) as name:
        yield name
