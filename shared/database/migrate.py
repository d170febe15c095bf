"""Brings schema `bridge` to the newest version, and takes it out of the bot's database again.

The migrations are `sql/migrations/NNNN_what.sql`, found as package data, so an installed wheel has them
too. Each runs in one transaction together with its line in `bridge.migration`; a transaction-level advisory
lock serialises two runners (it also holds behind PgBouncer, where a session lock would not). A role that
owns nothing but schema `bridge` is enough, once the owner of the bot's tables has run what `bridge grants`
prints.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.resources.abc import Traversable

    Connection = psycopg.Connection[tuple[Any, ...]]

Result = TypeVar("Result")

OLDEST_SERVER = 140000  # SQL-standard function bodies, which our migrations use, came with PostgreSQL 14
LOCK_TIMEOUT = "500ms"  # of one try to lock a table of the bot; its INSERTs queue behind us for as long
PAUSE_SECONDS = 1.0  # between two tries, so that what queued behind us gets through
PATIENCE = timedelta(seconds=60)

_ADVISORY_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('bridge.migration', 0))"
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class MigrationError(RuntimeError):
    """The schema could not be brought to the wanted version; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `sql/migrations`.

    Args:
        version: the four digits of its name, counted from 1 without gaps.
        name: the rest of its name.
        statements: its text.

    """

    version: int
    name: str
    statements: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, with line ends as on Unix (a checkout on Windows changes them)."""
        return hashlib.sha256(self.statements.replace("\r\n", "\n").encode()).hexdigest()


def read_migrations(folder: Traversable | None = None) -> list[Migration]:
    """Read the migrations in order of their version.

    Args:
        folder: where they are, our own package data when omitted.

    Raises:
        MigrationError: a file's name is not like `0001_what.sql`, or a number is missing or used twice.

    """
    found = []
    for file in (folder or resources.files("sql").joinpath("migrations")).iterdir():
        if not file.name.endswith(".sql"):
            continue
        matched = _FILE_NAME.fullmatch(file.name)
        if matched is None:
            raise MigrationError(f"{file.name} is no migration: name it like 0007_what.sql.")
        found.append(Migration(int(matched[1]), matched[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(
            "The migrations must be numbered 0001, 0002, ... without a gap, each number once."
        )
    return found


def migrate(
    database_url: str,
    *,
    migrations: Sequence[Migration] | None = None,
    patience: timedelta = PATIENCE,
    waiting: Callable[[str], None] | None = None,
) -> list[Migration]:
    """Apply what is not yet applied, and return it; nothing happens when the schema is up to date.

    Args:
        database_url: of the bot's database, as a role that owns schema `bridge` or may create it.
        migrations: what to apply, the package's own when omitted.
        patience: how long to go on trying when others hold locks on the bot's tables; each try queues for no
            more than `LOCK_TIMEOUT`, so that the bot never waits long behind us.
        waiting: told why, each time a try was in vain.

    Raises:
        MigrationError: an applied migration was edited, the database is newer than this program or too old a
            PostgreSQL, a right is missing, or the locks stayed taken.

    """
    wanted = read_migrations() if migrations is None else list(migrations)
    with closing(_connect(database_url)) as connection:
        if connection.info.server_version < OLDEST_SERVER:
            raise MigrationError(f"PostgreSQL 14 or newer is needed, not {connection.info.server_version}.")

        def apply_one() -> Migration | None:
            return _apply_next(connection, wanted)

        done: list[Migration] = []
        while (applied := _patiently(apply_one, patience, waiting)) is not None:
            done.append(applied)
        return done


def recorded(database_url: str) -> dict[int, str]:
    """Read which versions a database has, with their checksums; empty when the bridge is not installed.

    Raises:
        MigrationError: the database cannot be reached.

    """
    with closing(_connect(database_url)) as connection:
        return _recorded(connection)


def uninstall(
    database_url: str, *, patience: timedelta = PATIENCE, waiting: Callable[[str], None] | None = None
) -> bool:
    """Take the trigger and schema `bridge`, with all that is recorded in it, out of the bot's database.

    Dropping the schema takes the trigger on `public.orders` with it, which the schema's owner may do although
    only the table's owner could drop the trigger by name. Other tables of the bot are not touched.

    Args:
        database_url: of the bot's database, as the role that owns schema `bridge`.
        patience: see `migrate`.
        waiting: see `migrate`.

    Returns:
        Whether there was anything to take out.

    Raises:
        MigrationError: the schema belongs to another role, something foreign was built upon it, or the locks
            stayed taken.

    """
    with closing(_connect(database_url)) as connection:
        return _patiently(lambda: _drop(connection), patience, waiting)


def lay_bot_stand_in(database_url: str) -> None:
    """Create the stand-in of the bot's tables in an empty database, for the demo and the tests.

    Raises:
        MigrationError: the database has a table `orders` already; it may be the bot's own.

    """
    with closing(_connect(database_url)) as connection, connection.transaction():
        if connection.execute("SELECT to_regclass('public.orders')").fetchone() != (None,):
            raise MigrationError(
                "public.orders exists already: the stand-in of the bot's tables is for empty databases only."
            )
        folder = resources.files("sql").joinpath("bot_stand_in")
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".sql"):
                connection.execute(file.read_bytes())


def _connect(database_url: str) -> Connection:
    try:
        return psycopg.connect(
            database_url, autocommit=True, application_name="bridge migrate", prepare_threshold=None
        )
    except errors.OperationalError as error:
        why = str(error).strip().splitlines()[0].rstrip(".")
        raise MigrationError(f"The database cannot be reached: {why}. Check BRIDGE_DATABASE_URL.") from error


def _apply_next(connection: Connection, wanted: Sequence[Migration]) -> Migration | None:
    """Apply the first migration the database lacks, in one transaction; `None` when it lacks none."""
    with connection.transaction():
        _take_turn(connection)
        present = _recorded(connection)
        _check(present, wanted)
        if len(present) == len(wanted):
            return None
        migration = wanted[len(present)]
        _limit_transaction(connection)
        try:
            if not present:
                _lay_ground(connection)
            connection.execute(migration.statements.encode())
            connection.execute(
                "INSERT INTO bridge.migration (version, name, checksum) VALUES (%s, %s, %s)",
                [migration.version, migration.name, migration.checksum],
            )
        except errors.InsufficientPrivilege as error:
            raise MigrationError(
                f"Migration {migration.version:04} lacks a right ({error.diag.message_primary}). Let "
                "the owner of the bot's tables run what `bridge grants` prints, then try again."
            ) from error
        return migration


def _take_turn(connection: Connection) -> None:
    """Wait for another runner as long as that one needs, whatever the role's own lock_timeout is."""
    connection.execute("SET LOCAL lock_timeout = 0")
    connection.execute(_ADVISORY_LOCK)


def _limit_transaction(connection: Connection) -> None:
    """No lock is waited for long with the bot queueing behind us, and no unqualified name lands in public."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
    connection.execute("SET LOCAL search_path = pg_catalog, pg_temp")


def _recorded(connection: Connection) -> dict[int, str]:
    if connection.execute("SELECT to_regclass('bridge.migration')").fetchone() == (None,):
        return {}
    rows = connection.execute("SELECT version, checksum FROM bridge.migration ORDER BY version").fetchall()
    return dict(rows)


def _check(present: dict[int, str], wanted: Sequence[Migration]) -> None:
    """Compare what a database has with what this program knows; raises where they part."""
    if len(present) > len(wanted):
        raise MigrationError(
            f"The database is at version {max(present)}, this program knows {len(wanted)}: "
            "run the newer bridge that migrated it."
        )
    for migration in wanted[: len(present)]:
        if present.get(migration.version) != migration.checksum:
            raise MigrationError(
                f"Migration {migration.version:04}_{migration.name} was edited after it had been applied. "
                "Restore the file, and put the change into a new migration."
            )


def _lay_ground(connection: Connection) -> None:
    """Create the schema, unless the owner of the database has, and the table of migrations."""
    if connection.execute("SELECT to_regnamespace('bridge')").fetchone() == (None,):
        connection.execute(
            "CREATE SCHEMA bridge"
        )  # IF NOT EXISTS would ask for the right even when it exists
    connection.execute(
        "CREATE TABLE bridge.migration ("
        " version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )


# What CASCADE would take along that is neither in our schema nor one of its triggers on the bot's tables: a
# view somebody made over bridge.outbox, for example (pg_depend knows it by its rewrite rule), or a foreign
# key.
_FOREIGN_DEPENDENTS = """
WITH ours AS (
    SELECT 'pg_class'::regclass AS classid, oid AS objid
    FROM pg_class WHERE relnamespace = 'bridge'::regnamespace
    UNION ALL
    SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'bridge'::regnamespace
    UNION ALL
    SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'bridge'::regnamespace
)
SELECT DISTINCT dependent.oid::regclass::text
FROM pg_depend AS d
JOIN ours ON d.refclassid = ours.classid AND d.refobjid = ours.objid
LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
JOIN pg_class AS dependent
  ON dependent.oid = CASE d.classid WHEN 'pg_class'::regclass THEN d.objid ELSE
         coalesce(r.ev_class, k.conrelid) END
WHERE dependent.relnamespace NOT IN ('bridge'::regnamespace, 'pg_toast'::regnamespace)
ORDER BY 1
"""


def _drop(connection: Connection) -> bool:
    with connection.transaction():
        _take_turn(connection)
        if connection.execute("SELECT to_regnamespace('bridge')").fetchone() == (None,):
            return False
        foreign = connection.execute(_FOREIGN_DEPENDENTS).fetchall()
        if foreign:
            names = ", ".join(name for (name,) in foreign)
            raise MigrationError(
                f"Nothing was removed: {names} is built upon schema bridge; drop that first."
            )
        _limit_transaction(connection)
        try:
            connection.execute("DROP SCHEMA bridge CASCADE")
        except errors.InsufficientPrivilege as error:
            raise MigrationError("Schema bridge belongs to another role: uninstall as that role.") from error
        return True


def _patiently(
    work: Callable[[], Result], patience: timedelta, waiting: Callable[[str], None] | None
) -> Result:
    """Do the work; where a lock was not to be had, let the others through and do it again."""
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        try:
            return work()
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if time.monotonic() + PAUSE_SECONDS > deadline:
                raise MigrationError(
                    f"The bot's tables stayed locked for {patience.total_seconds():.0f} s. "
                    "Look for a long transaction in pg_stat_activity, then try again."
                ) from error
            if waiting is not None:
                waiting(f"a table of the bot is locked, trying again ({error.diag.message_primary})")
            time.sleep(PAUSE_SECONDS)
