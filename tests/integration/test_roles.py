"""Four roles: each may do what its process does, and none more (`bridge grants --separate`)."""

from __future__ import annotations

import ast
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors, sql
from typer.testing import CliRunner

from services.command_line.__main__ import app
from services.command_line.roles import ROLES, on_our_tables, on_the_bots_tables, role_names
from shared.database.migrate import migrate
from tests.bot import Bot
from tests.database_server import Login

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.database_server import DatabaseServer

PREFIX = f"apart_{secrets.token_hex(4)}"
ROOT = Path(__file__).resolve().parents[2]
STATEMENTS = ROOT / "shared" / "database"
PROCESSES = {
    "executor": "services.order_executor.__main__",
    "listener": "services.fill_listener.__main__",
    "operator": "services.command_line.__main__",
}
"""Where each role's process begins."""
NOT_RUN = {
    "executor": {"show_margin.sql", "store_funding.sql"},
    "listener": {"claim.sql", "peek.sql"},
    "operator": {
        *("live_listeners.sql", "release_streams.sql", "renew_streams.sql", "stream_heard.sql"),
        *("stream_lost.sql", "take_streams.sql"),
    },
}
"""Statements of a module that a process imports for another statement's sake; its role may not run them."""


@pytest.fixture(scope="module")
def separate(database_server: DatabaseServer) -> Iterator[dict[str, str]]:
    """URLs of one database by role, set up as `bridge grants --separate` says."""
    logins = {name: Login(role, secrets.token_hex(16)) for name, role in role_names(PREFIX).items()}
    with database_server.database(database_server.bare) as name:
        with psycopg.connect(database_server.dsn(name), autocommit=True) as admin:
            for login in logins.values():
                words = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                admin.execute(words.format(sql.Identifier(login.name), sql.Literal(login.password)))
            for statement in on_the_bots_tables(PREFIX):
                admin.execute(statement.encode())
        urls = {role: database_server.dsn(name, login) for role, login in logins.items()}
        migrate(urls["migrator"])
        with psycopg.connect(urls["migrator"], autocommit=True) as owner:
            for statement in on_our_tables(PREFIX):
                owner.execute(statement.encode())
        yield urls | {"bot": database_server.dsn(name, database_server.bot)}
        with psycopg.connect(database_server.dsn(name), autocommit=True) as admin:
            for login in logins.values():
                admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(login.name)))
    with psycopg.connect(database_server.dsn("postgres"), autocommit=True) as admin:
        for login in logins.values():
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login.name)))


def imported(module: str, seen: set[Path]) -> None:
    """Add the file of a module of ours to those seen, and the files of all it imports, also in functions."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if path in seen or not path.is_file():
        return
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                imported(name, seen)


def statements_of(role: str) -> dict[str, str]:
    """Return the statement files named by the modules that a role's process imports."""
    process: set[Path] = set()
    imported(PROCESSES[role], process)
    texts = [path.read_text(encoding="utf-8") for path in process if path.parent == STATEMENTS]
    return {
        file.name: file.read_text(encoding="utf-8")
        for file in STATEMENTS.glob("*.sql")
        if any(f'"{file.stem}"' in text for text in texts)
    }


@pytest.mark.parametrize("role", PROCESSES)
def test_each_role_may_run_what_its_process_runs(role: str, separate: dict[str, str]) -> None:
    """Planning a statement checks every right it needs."""
    statements = statements_of(role)
    assert len(statements) > 10
    lacking = {}
    with psycopg.connect(separate[role], autocommit=True, prepare_threshold=None) as connection:
        if connection.info.server_version < 160000:
            pytest.skip("EXPLAIN (GENERIC_PLAN), which plans without parameters, came with PostgreSQL 16")
        for name, text in statements.items():
            try:
                connection.execute(f"EXPLAIN (GENERIC_PLAN) {text}".encode())
            except errors.InsufficientPrivilege as error:
                lacking[name] = error.diag.message_primary
    assert {name: said for name, said in lacking.items() if name not in NOT_RUN[role]} == {}
    assert lacking.keys() == NOT_RUN[role], "the list above is no longer than it must be"


@pytest.mark.parametrize("role", PROCESSES)
def test_each_role_may_take_in_a_row(role: str, separate: dict[str, str]) -> None:
    """Whichever process finds another history does it; planning does not ask for this right."""
    with psycopg.connect(separate[role]) as connection:
        connection.execute("SELECT nextval('bridge.statement_id')")


FOR_NO_ROLE = (
    "DELETE FROM public.orders",
    "UPDATE public.orders SET amount = 1",
    "UPDATE public.orders SET exchange_account_id = gen_random_uuid()",
    "UPDATE public.exchange_accounts SET is_active = true",
    "UPDATE public.exchange_accounts SET is_testnet = false",
    "SELECT password_hash FROM public.users",
    "UPDATE public.users SET settings = '{}'",
    "UPDATE public.circuit_breaker_states SET is_triggered = false",
    "DELETE FROM public.positions",
    "CREATE TABLE public.ours ()",
    "ALTER TABLE public.orders DISABLE TRIGGER ALL",
)
FOR_NO_SERVICE = (
    "INSERT INTO public.orders (id) VALUES (gen_random_uuid())",
    "UPDATE public.exchange_accounts SET secret_encrypted = ''",
    "INSERT INTO public.exchange_accounts (id) VALUES (gen_random_uuid())",
    "SELECT * FROM bridge.former_key",
    "DELETE FROM bridge.outbox",
    "DELETE FROM bridge.attempt",
    "DELETE FROM bridge.evidence",
    "UPDATE bridge.evidence SET late = false",
    "UPDATE bridge.event SET kind = ''",
    "DELETE FROM bridge.event",
    "DELETE FROM bridge.fill",
    "INSERT INTO bridge.preference DEFAULT VALUES",
    "CREATE TABLE bridge.more ()",
    "DROP TABLE bridge.outbox",
    "UPDATE bridge.migration SET checksum = ''",
)
FOR_ONE_LESS = {
    "migrator": (
        "UPDATE public.orders SET status = 'open'",
        "SELECT secret_encrypted FROM public.exchange_accounts",
        "SELECT settings FROM public.users",
        "SELECT * FROM public.positions",
    ),
    "executor": (*FOR_NO_SERVICE, "UPDATE bridge.stream SET owner = NULL", "DELETE FROM bridge.listener"),
    "listener": (
        *FOR_NO_SERVICE,
        "SELECT * FROM public.circuit_breaker_states",
        "UPDATE bridge.breaker SET cleared_by = 'me'",
        "UPDATE bridge.cap SET claims = 0",
        "DELETE FROM bridge.pause",
    ),
    "operator": (
        "DELETE FROM bridge.fill",
        "DELETE FROM public.exchange_accounts",
        "UPDATE public.user_strategies SET cash_reserve = 0",
        "CREATE TABLE bridge.more ()",
        "UPDATE bridge.migration SET checksum = ''",
    ),
}


@pytest.mark.parametrize("role", ROLES)
def test_no_role_may_do_more(role: str, separate: dict[str, str]) -> None:
    """Each statement is refused for lack of a right, and for nothing else."""
    allowed = []
    with psycopg.connect(separate[role]) as connection:
        for statement in (*FOR_NO_ROLE, *FOR_ONE_LESS[role]):
            try:
                connection.execute(statement.encode())
                allowed.append(statement)
            except errors.InsufficientPrivilege:
                pass
            except psycopg.Error as error:
                allowed.append(f"{statement}: {error}")
            connection.rollback()
    assert allowed == []


def test_the_bots_insert_is_taken_in(separate: dict[str, str]) -> None:
    """The trigger runs with the migrator's rights, which are enough."""
    with Bot(separate["bot"]) as bot:
        user = bot.user()
        order = bot.order(user, bot.account(user))
    with psycopg.connect(separate["executor"]) as connection:
        query = "SELECT count(*), (SELECT is_called FROM bridge.trigger_failures) FROM bridge.outbox "
        found = connection.execute(query + "WHERE order_id = %s", [order]).fetchone()
    assert found == (1, False)


def test_what_is_printed_is_what_was_run() -> None:
    """The verb prints the statements of both parts, and how to make the roles."""
    before = CliRunner().invoke(app, ["grants", "--separate"]).output
    after = CliRunner().invoke(app, ["grants", "--separate", "--after-migrate"]).output
    for name in role_names().values():
        assert f"CREATE ROLE {name} LOGIN" in before
    assert [line for line in before.splitlines() if line in {f"{s};" for s in on_the_bots_tables()}]
    assert all(f"{statement};" in after for statement in on_our_tables())
