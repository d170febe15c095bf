"""The part of `bridge doctor` that looks at the database; each check ends in findings."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import asyncpg
import psycopg

from services.command_line import grants
from services.command_line.findings import failed, ok, warning
from services.command_line.terminal import duration, first_line, moment
from shared.database import controls, health
from shared.database.connect import open_pool
from shared.database.contract import compare, load_contract, read_schema
from shared.database.durability import durability
from shared.database.migrate import OLDEST_SERVER, read_migrations, recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from services.command_line.findings import Finding
    from shared.database.operator import Connection, Row
    from shared.settings import DatabaseSettings, GuardSettings

NOTIFIED_WITHIN_S = 5.0
UNKNOWN_TOO_LONG_S = 300.0


def server(connection: Connection) -> Iterator[Finding]:
    """Look whether this is a read-write primary of a version we know."""
    facts = health.server_facts(connection)
    says = f"PostgreSQL {facts['version']}, database {facts['database']}, role {facts['role']}"
    if facts["version_number"] < OLDEST_SERVER:
        yield failed("database", says, "PostgreSQL 14 or newer is needed")
    elif facts["is_standby"] or facts["is_read_only"]:
        yield failed("database", f"{says}: read-only", "name the primary: nothing decides from a replica")
    else:
        yield ok("database", f"{says}, read-write" + (", over TLS" if connection.pgconn.ssl_in_use else ""))


def commits(settings: DatabaseSettings, guards: GuardSettings | None) -> Iterator[Finding]:
    """Look whether a committed attempt survives a crash or a failover (PROTOCOL 10)."""

    async def ask() -> list[str]:
        pool = await open_pool(
            settings.work_dsn,
            size=1,
            application_name="bridge doctor",
            prepared_statements=settings.prepared_statements,
        )
        try:
            async with pool.acquire() as connection:
                told = await durability(connection)
        finally:
            await pool.close()
        fenced = guards is not None and guards.standbys_fenced == "declared"
        return told.complaints(standbys_fenced=fenced)

    complaints = asyncio.run(ask())
    live = guards is not None and guards.live_trading
    for complaint in complaints:
        says, _, advice = complaint.partition(". ")
        tell = failed if live else warning
        yield tell("commits", says, advice or "live trading refuses it")
    if not complaints:
        yield ok("commits", "fsync and synchronous_commit are on, no standby lags")


def contract(settings: DatabaseSettings) -> Iterator[Finding]:
    """Compare the bot's tables with those we know."""

    async def read() -> tuple[tuple[str, ...], tuple[str, ...]]:
        connection = await asyncpg.connect(settings.work_dsn)
        try:
            differences = compare(load_contract(), await read_schema(connection))
        finally:
            await connection.close()
        return differences.fatal, differences.warnings

    fatal, warnings = asyncio.run(read())
    for sentence in fatal:
        yield failed(
            "bot's tables", sentence, "the services refuse to start; use a bridge that knows this bot"
        )
    for sentence in warnings:
        yield warning("bot's tables", sentence, "it works; tell whoever maintains the bridge")
    if not fatal and not warnings:
        yield ok("bot's tables", "as the bridge knows them")


def migrations(settings: DatabaseSettings) -> Iterator[Finding]:
    """Compare the applied migrations with those of this program."""
    present, known = recorded(settings.work_dsn), read_migrations()
    edited = [m.version for m in known if m.version in present and present[m.version] != m.checksum]
    missing = [m.version for m in known if m.version not in present]
    if edited:
        yield failed("migrations", f"{edited} were edited after they had been applied", "restore the files")
    elif len(present) > len(known):
        yield failed(
            "migrations", f"the database is at {max(present)}, we know {len(known)}", "use the newer bridge"
        )
    elif missing:
        yield failed("migrations", f"{len(missing)} are not applied", "run: bridge migrate")
    else:
        yield ok("migrations", f"all {len(known)} are applied")


def rights(connection: Connection) -> Iterator[Finding]:
    """Look whether the role has the rights the bridge uses."""
    wanted = [
        (right, column, table) for right, columns, table in grants.RIGHTS for column in columns or ("",)
    ]
    missing = health.missing_rights(connection, wanted)
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        yield warning(
            "rights",
            f"this role lacks {', '.join(missing[:3])}{more}",
            "fine for a role of one purpose; otherwise run what `bridge grants` prints",
        )
    else:
        yield ok("rights", "this role may do what the bridge does")


def trigger(connection: Connection) -> Iterator[Finding]:
    """Prove that the trigger takes rows in, by an insert that is rolled back."""
    facts = health.trigger_facts(connection)
    if facts["enabled"] is None:
        yield failed("trigger", "bridge_take_in is not on public.orders", "run: bridge migrate")
        return
    if facts["enabled"] not in ("O", "A"):
        yield failed(
            "trigger",
            "bridge_take_in is switched off",
            "ALTER TABLE public.orders ENABLE TRIGGER bridge_take_in",
        )
        return
    if facts["account_id"] is None:
        yield warning("trigger", "there is no account yet to prove it with", "bridge accounts add")
    elif not health.trigger_works(connection, facts["user_id"], facts["account_id"]):
        yield failed(
            "trigger",
            "a row inserted as the bot does was not taken in",
            "rows wait for the sweep; see the server's log, and run: bridge migrate",
        )
    else:
        yield ok("trigger", "a row inserted as the bot does was taken in (rolled back)")
    if facts["failures"]:
        yield warning(
            "trigger", f"it failed {facts['failures']} times so far", "the sweep took these rows in, 5 s late"
        )


def listening(settings: DatabaseSettings, connection: Connection) -> Iterator[Finding]:
    """Look whether LISTEN delivers on the connection that is to listen."""
    channel = f"bridge_doctor_{secrets.token_hex(6)}"
    with psycopg.connect(settings.listen_dsn, autocommit=True, connect_timeout=5) as ear:
        ear.execute(f"LISTEN {channel}".encode())  # a channel is no value, it cannot be a parameter
        connection.execute("SELECT pg_notify($1, '')", [channel])
        heard = list(ear.notifies(timeout=NOTIFIED_WITHIN_S, stop_after=1))
    if heard:
        yield ok("listen", "a notification arrived")
    else:
        yield failed(
            "listen",
            "no notification arrived: rows are found by the sweep only",
            "set BRIDGE_LISTEN_URL to a direct connection, not through a transaction pooler",
        )


def history(connection: Connection) -> Iterator[Finding]:
    """Compare the database's history with the recorded one (PROTOCOL 10)."""
    epoch = health.epoch(connection)
    if epoch is None:
        yield ok("epoch", "none recorded yet: the first service that starts does")
    elif not epoch["same"]:
        yield warning(
            "epoch",
            "this database is another history than the recorded one (failover, restore, copy)",
            "a running executor records it and begins the quarantine; after a snapshot: bridge epoch bump",
        )
    elif epoch["in_quarantine"] or epoch["awaiting_round"]:
        yield warning(
            "epoch",
            f"{epoch['why']}; quarantine until {moment(epoch['quarantine_until'])}, "
            f"{epoch['awaiting_round']} older rows wait",
            "it ends by itself while an executor runs",
        )
    else:
        yield ok("epoch", f"number {epoch['id']} since {moment(epoch['began_at'])}: {epoch['why']}")


def flow(connection: Connection) -> Iterator[Finding]:
    """Look at what waits, what nobody knows, and who else trades the same rows."""
    now = health.flow(connection)
    if now["executor_sessions"]:
        yield ok("executor", "at least one is connected")
    else:
        yield warning("executor", "none is seen by this role", "start one: python -m services.order_executor")
    if now["listeners"]:
        yield ok("listener", f"{now['listeners']} alive")
    else:
        yield warning("listener", "none was heard of in the last minute", "python -m services.fill_listener")
    if now["stream_problems"]:
        yield warning(
            "streams",
            f"{now['stream_problems']} accounts are not heard: {now['stream_problem']}",
            "bridge accounts check",
        )
    if now["not_taken_in"]:
        yield failed("outbox", f"{now['not_taken_in']} pending rows were not taken in", "start an executor")
    elif now["waiting"]:
        why = (
            f", most of those at the head of their queue for: {now['waiting_for']}"
            if now["waiting_for"]
            else ""
        )
        since = duration(now["waiting_since"])
        yield ok("outbox", f"{now['waiting']} rows wait, the oldest for {since}{why}")
    else:
        yield ok("outbox", "nothing waits")
    if now["not_understood"]:
        yield warning(
            "outbox",
            f"{now['not_understood']} pending rows name a market or a side that this version does not know",
            "they are left alone; use a bridge that knows this bot",
        )
    yield from _doubts(now)


def _doubts(now: Row) -> Iterator[Finding]:
    if now["unknown"]:
        since = now["unknown_since"]
        tell = failed if since.total_seconds() > UNKNOWN_TOO_LONG_S else warning
        yield tell(
            "unknown orders",
            f"{now['unknown']}, the oldest for {duration(since)}",
            "bridge orders --state unknown; if it cannot be found out: bridge resolve",
        )
    if now["held"]:
        yield warning(
            "held orders", f"{now['held']} wait for your word", "bridge orders --state held; bridge adopt"
        )
    if now["gaps"]:
        yield warning("fills", f"{now['gaps']} orders lack fills", "a running listener asks for them")
    if now["late"]:
        yield failed(
            "late evidence",
            f"{now['late']} orders were found in 24 h that had been settled as not existing",
            "compare the account with the exchange, then bridge resume",
        )
    if now["moved_by_another"] or now["sent_by_bot"]:
        yield failed(
            "bot's own executor",
            f"in 24 h {now['moved_by_another']} rows were moved by somebody else, and {now['sent_by_bot']} "
            "orders bear a bare row id",
            "switch the bot's executor off, or orders double",
        )
    else:
        yield ok("bot's own executor", "no sign of it in 24 h")


def balances(connection: Connection) -> Iterator[Finding]:
    """Look whether the accounts hold what their open positions say, as the listeners saw it last."""
    changes, short = health.balances(connection)
    for row in short:
        yield failed(
            "balances",
            f"account {str(row['account_id'])[:8]} holds {row['exchange']} {row['asset']}, "
            f"its open positions {row['held']}",
            "sold or withdrawn by hand, or lost in a restore: bridge reconcile, then bridge replay",
        )
    if changes:
        yield warning(
            "balances",
            f"in 24 h something beside our fills changed a balance {changes} times",
            "deposits, withdrawals or trades by hand; the events balance_differs say which",
        )
    if not short and not changes:
        yield ok("balances", "as our fills and open positions say, as far as the listeners have looked")


def switches(connection: Connection) -> Iterator[Finding]:
    """List what keeps orders from being sent."""
    rows = controls.in_force(connection)
    for row in rows:
        yield warning(
            row["kind"],
            f"{row['scope']} {row['key']} since {moment(row['set_at'])}: {row['reason']}",
            "bridge switches",
        )
    if not rows:
        yield ok("switches", "nothing keeps orders from being sent")


def safely(check: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Run one check; a failure of the database is a finding like any other."""
    try:
        return list(look())
    except (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        return [failed(check, first_line(error), "see the findings above, then run it again")]
