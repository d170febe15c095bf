"""`bridge migrate`, `bridge grants` and `bridge uninstall` on a real database with the bot's tables."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors
from typer.testing import CliRunner

from services.command_line import grants
from services.command_line.__main__ import app
from shared.database.migrate import (
    Migration,
    MigrationError,
    lay_bot_stand_in,
    migrate,
    read_migrations,
    recorded,
    uninstall,
)
from tests.bot import Bot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.database_server import DatabaseServer

CATALOG = Path(__file__).parent.parent / "catalog.sql"
OURS = read_migrations()


class Installation:
    """A database in which the bridge has never been, seen by everyone concerned."""

    def __init__(self, server: DatabaseServer, name: str) -> None:
        self.admin = server.dsn(name)
        self.bot = server.dsn(name, server.bot)
        self.bridge = server.dsn(name, server.bridge)
        self.role = server.bridge.name

    def grant(self) -> None:
        self.run(*grants.grants(self.role))

    def run(self, *statements: str) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def catalog(self) -> list[str]:
        with psycopg.connect(self.admin) as connection:
            return [line for (line,) in connection.execute(CATALOG.read_bytes()).fetchall()]


@pytest.fixture
def installation(database_server: DatabaseServer, bare_database_name: str) -> Installation:
    return Installation(database_server, bare_database_name)


def test_a_second_run_does_nothing(installation: Installation) -> None:
    """Migrating is idempotent and says what it did; every migration is recorded with its checksum."""
    installation.grant()
    assert migrate(installation.bridge) == OURS
    before = installation.catalog()
    assert migrate(installation.bridge) == []
    assert installation.catalog() == before
    assert recorded(installation.bridge) == {migration.version: migration.checksum for migration in OURS}


def test_upgraded_step_by_step_equals_fresh(
    installation: Installation, database_server: DatabaseServer, database_name: str
) -> None:
    """A database that met each version in turn ends like one that was migrated at once."""
    installation.grant()
    for count in range(1, len(OURS) + 1):
        assert migrate(installation.bridge, migrations=OURS[:count]) == [OURS[count - 1]]
    fresh = Installation(database_server, database_name).catalog()
    # What a role is set to in one database does not travel with a copy of that database.
    assert [line for line in installation.catalog() if not line.startswith("role ")] == fresh


def test_uninstalled_is_as_before(installation: Installation) -> None:
    """The role that owns only schema bridge removes all it made; the revocations remove the rights."""
    with Bot(installation.bot) as bot:
        user = bot.user()
        account = bot.account(user)
        before = installation.catalog()
        installation.grant()
        migrate(installation.bridge)
        order = bot.order(user, account)
        assert uninstall(installation.bridge) is True
        installation.run(*grants.revocations(installation.role))
        assert installation.catalog() == before
        assert bot.read_order(order)["status"] == "pending"
        bot.order(user, account)
    assert uninstall(installation.bridge) is False


def test_uninstall_keeps_its_hands_off_what_others_built(installation: Installation) -> None:
    """A view somebody made over our tables is named instead of dropped, and nothing is removed."""
    installation.grant()
    migrate(installation.bridge)
    installation.run("CREATE VIEW public.waiting AS SELECT * FROM bridge.outbox")
    before = installation.catalog()
    with pytest.raises(MigrationError, match="waiting is built upon schema bridge"):
        uninstall(installation.bridge)
    assert installation.catalog() == before


def test_uninstall_needs_the_owner(installation: Installation) -> None:
    """Another role is told so in a sentence."""
    installation.grant()
    migrate(installation.bridge)
    with pytest.raises(MigrationError, match="belongs to another role"):
        uninstall(installation.bot)


def test_four_runners_at_once_apply_everything_once(installation: Installation) -> None:
    """Replicas that migrate as they start do not fall over one another."""
    installation.grant()
    with ThreadPoolExecutor(4) as runners:
        done = list(runners.map(lambda _: migrate(installation.bridge), range(4)))
    assert sorted(migration.version for each in done for migration in each) == [each.version for each in OURS]


def test_without_the_grants_the_missing_right_is_named(
    database_server: DatabaseServer, installation: Installation
) -> None:
    """A role that owns only its schema is told which right it lacks and which command prints it."""
    installation.run(f"CREATE SCHEMA bridge AUTHORIZATION {database_server.bridge.name}")
    before = installation.catalog()
    with pytest.raises(MigrationError, match=r"permission denied for table orders.*`bridge grants`"):
        migrate(installation.bridge)
    assert installation.catalog() == before


def test_without_a_schema_the_missing_right_is_named(installation: Installation) -> None:
    """Nor may the role create the schema itself, unless it was given that."""
    with pytest.raises(MigrationError, match=r"permission denied for database.*`bridge grants`"):
        migrate(installation.bridge)


def test_a_superuser_needs_no_grants(installation: Installation) -> None:
    """Where the bridge connects as the bot's all-mighty role, `bridge migrate` alone is enough."""
    assert migrate(installation.admin) == OURS


@pytest.mark.parametrize(
    "forbidden",
    [
        "DELETE FROM orders",
        "TRUNCATE orders",
        "UPDATE orders SET amount = 1",
        "UPDATE orders SET symbol = 'DOGE/USDT'",
        "UPDATE exchange_accounts SET is_active = true",
        "SELECT password_hash FROM users",
        "UPDATE users SET settings = '{}'",
        "UPDATE circuit_breaker_states SET daily_pnl = 0",
        "DELETE FROM positions",
        "ALTER TABLE orders ADD COLUMN ours text",
        "CREATE TABLE public.ours ()",
    ],
)
def test_the_grants_give_no_more_than_is_used(forbidden: str, bridge_database: str) -> None:
    """The bridge's role cannot touch what only the bot decides, nor read a password."""
    with psycopg.connect(bridge_database) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(forbidden.encode())


@pytest.mark.parametrize(
    "needed",
    [
        "SELECT id, xmin, ctid FROM orders WHERE status = 'pending' FOR UPDATE SKIP LOCKED",
        "UPDATE orders SET status = 'open', reasoning = '' WHERE status = 'pending'",
        "SELECT id, is_active, settings, telegram_id FROM users",
        "SELECT *, xmin FROM exchange_accounts",
        "SELECT * FROM circuit_breaker_states",
        "UPDATE positions SET size = 0, status = 'closed', closed_at = now()",
        "UPDATE user_strategies SET cash_reserve = 0 WHERE false",
        "SELECT system_identifier FROM pg_control_system()",
        "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8), pg_postmaster_start_time()",
    ],
)
def test_the_grants_give_what_is_used(needed: str, bridge_database: str) -> None:
    """Kinds of statement the services depend on are allowed to the bridge's role."""
    with psycopg.connect(bridge_database) as connection:
        connection.execute(needed.encode())


STATEMENTS = sorted(
    file.name for file in resources.files("shared.database").iterdir() if file.name.endswith(".sql")
)


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_grants_cover_every_statement_of_ours(name: str, bridge_database: str) -> None:
    """The bridge's role may run each of our statement files: planning one checks every right it needs."""
    text = resources.files("shared.database").joinpath(name).read_text(encoding="utf-8")
    with psycopg.connect(bridge_database) as connection:
        if connection.info.server_version < 160000:
            pytest.skip("EXPLAIN (GENERIC_PLAN), which plans without parameters, came with PostgreSQL 16")
        connection.execute(f"EXPLAIN (GENERIC_PLAN) {text}".encode())


def test_an_edited_migration_is_refused(installation: Installation) -> None:
    """A file that was changed after it had been applied is named, and nothing after it is applied."""
    edited = [replace(OURS[0], statements=OURS[0].statements + "-- edited"), *OURS[1:]]
    migrate(installation.admin, migrations=OURS[:1])
    with pytest.raises(MigrationError, match=f"0001_{OURS[0].name} was edited"):
        migrate(installation.admin, migrations=edited)
    assert list(recorded(installation.admin)) == [1]


def test_the_checksum_does_not_see_line_ends() -> None:
    """A checkout that turned line ends into those of Windows is not an edited one."""
    windows = replace(OURS[0], statements=OURS[0].statements.replace("\n", "\r\n"))
    assert windows.checksum == OURS[0].checksum


def test_an_older_program_refuses_a_newer_database(installation: Installation) -> None:
    """Going back to an old version of the program does not go unnoticed."""
    migrate(installation.admin)
    with pytest.raises(MigrationError, match="run the newer bridge"):
        migrate(installation.admin, migrations=OURS[:1])


def test_a_failing_migration_leaves_nothing(installation: Installation) -> None:
    """What comes before it stays, of itself there is no trace, and the next run can go on."""
    good = Migration(1, "good", "CREATE TABLE bridge.one ()")
    bad = Migration(2, "bad", "CREATE TABLE bridge.two (); SELECT 1 / 0")
    with pytest.raises(errors.DivisionByZero):
        migrate(installation.admin, migrations=[good, bad])
    assert list(recorded(installation.admin)) == [1]
    assert not [line for line in installation.catalog() if "bridge.two" in line]
    mended = replace(bad, statements="CREATE TABLE bridge.two ()")
    assert migrate(installation.admin, migrations=[good, mended]) == [mended]


def test_an_unqualified_name_lands_nowhere(installation: Installation) -> None:
    """A migration that forgets the schema fails instead of leaving something among the bot's tables."""
    with pytest.raises((errors.InsufficientPrivilege, MigrationError)):
        migrate(installation.admin, migrations=[Migration(1, "sloppy", "CREATE TABLE sloppy ()")])
    assert not [line for line in installation.catalog() if "sloppy" in line]


@pytest.mark.parametrize("work", [migrate, uninstall], ids=["migrate", "uninstall"])
def test_the_bot_does_not_wait_behind_us(work: Callable[..., object], installation: Installation) -> None:
    """While an open transaction holds orders we give up our place in the queue, and other INSERTs pass."""
    installation.grant()
    if work is uninstall:
        migrate(installation.bridge)
    with Bot(installation.bot) as slow, Bot(installation.bot) as other:
        user = slow.user()
        account = slow.account(user)
        slow.connection.execute("BEGIN")
        slow.order(user, account)
        passed = []

        def let_go(_why: str) -> None:
            passed.append(other.order(user, account))
            slow.connection.execute("COMMIT")

        assert work(installation.bridge, waiting=let_go)
        assert len(passed) == 1


def test_a_table_locked_for_ever_is_reported(installation: Installation) -> None:
    """When patience ends, the message says where to look; the database is unchanged."""
    with Bot(installation.bot) as bot:
        user = bot.user()
        account = bot.account(user)
        before = installation.catalog()
        bot.connection.execute("BEGIN")
        bot.order(user, account)
        with pytest.raises(MigrationError, match="pg_stat_activity"):
            migrate(installation.admin, patience=timedelta(0))
        bot.connection.execute("ROLLBACK")
        assert installation.catalog() == before


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["0001_one.sql", "0003_three.sql"], "without a gap"),
        (["0001_one.sql", "0001_two.sql"], "each number once"),
        (["1_one.sql"], "is no migration"),
    ],
)
def test_misnumbered_files_are_refused(names: list[str], complaint: str, tmp_path: Path) -> None:
    """A gap, a number used twice or a strange name is an error before anything is applied."""
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=complaint):
        read_migrations(tmp_path)


def test_the_stand_in_is_refused_beside_real_tables(database: str) -> None:
    """The stand-in is never laid where a table orders exists already."""
    with pytest.raises(MigrationError, match="empty databases only"):
        lay_bot_stand_in(database)


def test_an_unreachable_database_is_a_sentence() -> None:
    """No stack trace for a wrong port."""
    with pytest.raises(MigrationError, match="cannot be reached"):
        migrate("postgresql://nobody@127.0.0.1:1/none")


def test_the_verbs(installation: Installation) -> None:
    """`bridge grants`, `bridge migrate` and `bridge uninstall` as a person types them."""
    environment = {"BRIDGE_DATABASE_URL": installation.bridge}
    runner = CliRunner()

    def typed(*words: str, answer: str | None = None) -> tuple[int, str]:
        result = runner.invoke(app, words, env=environment, input=answer)
        return result.exit_code, result.output

    code, printed = typed("migrate")
    assert (code, "bridge grants" in printed) == (1, True)
    code, printed = typed("grants", "--role", installation.role)
    installation.run(printed)
    statements = json.loads(typed("grants", "--role", installation.role, "--json")[1])["statements"]
    assert statements
    assert all(f"{statement};" in printed for statement in statements)
    code, printed = typed("migrate", "--json")
    assert (code, json.loads(printed)["applied"][0]) == (0, {"version": 1, "name": OURS[0].name})
    assert typed("migrate") == (0, "nothing to do: the schema is up to date\n")
    assert typed("uninstall", "--json", answer="n\n")[0] == 1
    assert recorded(installation.admin) != {}
    assert json.loads(typed("uninstall", "--yes", "--json")[1]) == {"removed": True}
    assert recorded(installation.admin) == {}
    assert typed("uninstall", "--yes")[1].startswith("nothing to do")
    code, printed = typed("grants", "--role", installation.role, "--revoke")
    installation.run(printed)
