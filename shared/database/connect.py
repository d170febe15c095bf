"""Connections of the hot path: asyncpg, to a read-write primary, every commit durable.

A commit that Postgres acknowledges with a warning (it gave up waiting for the synchronous standby) counts as
not committed (PROTOCOL 3), so every connection here notes the warnings it was sent.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
from asyncpg.connect_utils import SessionAttribute

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 10.0
LOCK_TIMEOUT = "2s"  # rows the bot holds open must not stall ours for longer
IDLE_TIMEOUT = "5s"  # nor must a frozen process of ours hold the bot's rows

# What a lost, refused or starting database looks like from asyncpg; the work in hand is kept and tried again
# (PROTOCOL 8).
DATABASE_AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)

# It is there, and user, password or name are wrong: nothing that passes by itself.
DATABASE_REFUSES = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


def untrusted(error: BaseException) -> str | None:
    """Say why TLS to the database cannot be had as it was asked for; None when the error is another one.

    Nothing that passes by itself, unlike what `DATABASE_AWAY` holds.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The database's certificate is not one we trust: {error.verify_message or error}. Check "
            "sslrootcert (the file of its authority) and the host's name in BRIDGE_DATABASE_URL."
        )
    # asyncpg has no type of its own for it
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return (
            "The database speaks no TLS, and it was asked for. Switch it on there (ssl = on), or, if the "
            "network between is your own, write another sslmode in BRIDGE_DATABASE_URL or POSTGRES_SSL_MODE."
        )
    return None


class NotDurableError(Exception):
    """The commit was not confirmed by the synchronous standby; it counts as not made."""


def _as_json(value: Any) -> str:
    # Text keeps every digit of a Decimal; asyncpg's UUID is a class of its own.
    return orjson.dumps(value, default=str).decode()


async def _prepare(connection: Connection) -> None:
    await connection.set_type_codec("jsonb", encoder=_as_json, decoder=orjson.loads, schema="pg_catalog")


async def _no_reset(connection: Any) -> None:
    """Keep a released connection as it is: nothing here leaves session state behind."""


async def open_pool(dsn: str, *, size: int, application_name: str, prepared_statements: bool = True) -> Pool:
    """Open the pool of *work* connections.

    Args:
        dsn: where the database is; several hosts are tried until one is a read-write primary.
        size: most connections held.
        application_name: shown in `pg_stat_activity`.
        prepared_statements: off behind PgBouncer in transaction mode.

    Raises:
        OSError, asyncpg.PostgresError: the database cannot be reached or refuses us.

    """
    pool: Pool | None = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        init=_prepare,
        reset=_no_reset,
        # A new connection takes 50 ms to learn its statements; one that was idle for long must not be that.
        max_inactive_connection_lifetime=0,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        target_session_attrs=SessionAttribute.read_write,
        statement_cache_size=200 if prepared_statements else 0,
        max_cached_statement_lifetime=0,  # planned once per connection, never in the midst of an order
        # A transaction pooler passes no settings on; there the role has them.
        server_settings={
            "application_name": application_name,
            "synchronous_commit": "on",
            "lock_timeout": LOCK_TIMEOUT,
            "idle_in_transaction_session_timeout": IDLE_TIMEOUT,
            # Planning the peek for its very values takes five times as long as running it (2.0 ms against
            # 0.4 ms), and the plan is the same: every statement here goes through an index. What a kept plan
            # was made for may have been an empty table: joins go in the order in which they are written, from
            # row to row, and none may read a table from end to end.
            "plan_cache_mode": "force_generic_plan",
            "join_collapse_limit": "1",
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "random_page_cost": "1.1",
            "jit": "off",
        }
        if prepared_statements
        else {},
    )
    assert pool is not None
    return pool


class DurableCommit:
    """Notes the warnings a connection is sent, so that an unconfirmed commit is not taken for a commit.

    Use: `async with durable(connection): <the one statement or transaction>`.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._warning: str | None = None

    def _note(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.severity_en == "WARNING":
            self._warning = str(message)

    async def __aenter__(self) -> Connection:
        self._connection.add_log_listener(self._note)
        return self._connection

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.remove_log_listener(self._note)
        if kind is None and self._warning is not None:
            raise NotDurableError(self._warning)
