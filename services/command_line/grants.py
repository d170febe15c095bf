"""`bridge grants`: what the owner of the bot's tables must run, so that the bridge has the rights it uses.

Printed, never run: the bridge has no right to hand these out. A role that got them owns schema `bridge` and
nothing else; the bot's own role needs nothing from us (its INSERT fires a SECURITY DEFINER function).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from psycopg import sql

from services.command_line.terminal import Json, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

ENUMS = (
    "exchange_type",
    "market_type",
    "order_side",
    "order_status",
    "order_type",
    "position_side",
    "position_status",
    "strategy_status",
    "strategy_transaction_type",
)

# (what is allowed, on which columns (none: the whole table), of which table). No right to delete anything, to
# read a user's password hash, or to change what only the bot decides (amount, price, side, ...).
RIGHTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("SELECT", ("id", "telegram_id", "is_active", "settings"), "users"),
    ("SELECT", (), "exchange_accounts"),
    ("INSERT", (), "exchange_accounts"),
    (
        "UPDATE",
        ("api_key_encrypted", "secret_encrypted", "passphrase", "listen_key_encrypted", "updated_at"),
        "exchange_accounts",
    ),
    ("SELECT", (), "user_strategies"),
    (
        "UPDATE",
        ("current_equity", "cash_reserve", "total_pnl", "total_pnl_percent", "updated_at"),
        "user_strategies",
    ),
    ("SELECT", (), "circuit_breaker_states"),
    ("SELECT", (), "orders"),
    ("TRIGGER", (), "orders"),
    ("INSERT", (), "orders"),
    (
        "UPDATE",
        (
            "status",
            "exchange_order_id",
            "filled_amount",
            "avg_fill_price",
            "fee",
            "fee_currency",
            "reasoning",
            "filled_at",
            "updated_at",
        ),
        "orders",
    ),
    ("SELECT", (), "positions"),
    ("INSERT", (), "positions"),
    (
        "UPDATE",
        (
            "size",
            "entry_price",
            "current_price",
            "liquidation_price",
            "leverage",
            "margin_mode",
            "unrealized_pnl",
            "unrealized_pnl_pct",
            "realized_pnl",
            "open_reasoning",
            "status",
            "opened_at",
            "closed_at",
            "updated_at",
        ),
        "positions",
    ),
    ("SELECT", (), "strategy_transactions"),
    ("INSERT", (), "strategy_transactions"),
)


# By role and not by connection, so that they hold behind PgBouncer in transaction mode too: every commit of
# ours is durable before it counts (PROTOCOL 3), a row the bot holds open stalls us no longer than this, and a
# frozen process of ours gives the rows it had locked back to the bot.
SETTINGS = {
    "synchronous_commit": "on",
    "lock_timeout": "'2s'",
    "idle_in_transaction_session_timeout": "'5s'",
}

# Only for this database: the role may be used elsewhere too.
_SETTING = """DO $$ BEGIN
    EXECUTE format('ALTER ROLE %I IN DATABASE %I %s', {role_text}, current_database(), {text});
END $$"""


def grants(role: str) -> Iterator[str]:
    """Yield the statements the owner of the bot's tables runs once, before `bridge migrate`.

    Args:
        role: the role the bridge connects as; it must exist.

    """
    yield filled("CREATE SCHEMA bridge AUTHORIZATION {role}", role)
    yield filled("GRANT USAGE ON SCHEMA public TO {role}", role)
    for enum in ENUMS:
        yield filled("GRANT USAGE ON TYPE public.{object} TO {role}", role, enum)
    for right, columns, table in RIGHTS:
        yield filled(f"GRANT {right}{listed(columns)} ON public.{{object}} TO {{role}}", role, table)
    for name, value in SETTINGS.items():
        yield setting(role, f"SET {name} = {value}")


def revocations(role: str) -> Iterator[str]:
    """Yield the statements that take back what `grants` gave, for after `bridge uninstall`.

    Args:
        role: the role the bridge connected as.

    """
    for right, columns, table in RIGHTS:
        yield filled(f"REVOKE {right}{listed(columns)} ON public.{{object}} FROM {{role}}", role, table)
    for enum in ENUMS:
        yield filled("REVOKE USAGE ON TYPE public.{object} FROM {role}", role, enum)
    yield filled("REVOKE USAGE ON SCHEMA public FROM {role}", role)
    for name in SETTINGS:
        yield setting(role, f"RESET {name}")


def command(
    role: Annotated[str, typer.Option(help="The role the bridge connects as.")] = "bridge",
    revoke: Annotated[bool, typer.Option(help="Print how to take them back, after an uninstall.")] = False,
    separate: Annotated[
        bool, typer.Option("--separate", help="A role each for migrating, executor, listener and operator.")
    ] = False,
    after_migrate: Annotated[
        bool, typer.Option("--after-migrate", help="With --separate: what follows every `bridge migrate`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the SQL that the owner of the bot's tables must run for the bridge's role."""
    if separate or after_migrate:
        comments, statements = _separate(role, revoke=revoke, after_migrate=after_migrate)
    else:
        comments, statements = _one_role(role, revoke=revoke)
    if as_json:
        print_json({"comments": comments, "statements": list(statements)})
        return
    for comment in comments:
        typer.echo(f"-- {comment}")
    for statement in statements:
        typer.echo(f"{statement};")


def _one_role(role: str, *, revoke: bool) -> tuple[list[str], Iterator[str]]:
    if revoke:
        after = f"Run as the owner of the bot's tables, after `bridge uninstall`; then: DROP ROLE {role};"
        return [after], revocations(role)
    before = [
        "Run once before `bridge migrate`, as a superuser, or as the owner of the bot's tables",
        "if it may act for the bridge's role. That role must exist:",
        f"CREATE ROLE {role} LOGIN PASSWORD '...';",
    ]
    return before, grants(role)


def _separate(prefix: str, *, revoke: bool, after_migrate: bool) -> tuple[list[str], Iterator[str]]:
    from services.command_line import roles  # it is made of what stands above

    names = roles.role_names(prefix)
    if revoke:
        after = "Run as a superuser in this database, after `bridge uninstall`; then DROP ROLE each."
        return [after], roles.taken_back(prefix)
    if after_migrate:
        owner = f"Run as {names['migrator']}, which owns our tables, after every `bridge migrate`."
        return [owner], roles.on_our_tables(prefix)
    before = [
        "Run once before `bridge migrate`, as a superuser. The roles must exist:",
        *(
            f"CREATE ROLE {names[name]} LOGIN PASSWORD '...';  -- {role.purpose}"
            for name, role in roles.ROLES.items()
        ),
        "Then migrate as the first of them, and run what `bridge grants --after-migrate` prints.",
    ]
    return before, roles.on_the_bots_tables(prefix)


def filled(template: str, role: str, target: str = "") -> str:
    """Put quoted names into a statement."""
    words = sql.SQL(template).format(
        role=sql.Identifier(role), role_text=role, object=sql.Identifier(target), text=target
    )
    return words.as_string(None)


def setting(role: str, change: str) -> str:
    """Return the statement that changes a setting of a role in this database."""
    return filled(_SETTING, role, change)


def listed(columns: tuple[str, ...]) -> str:
    """Return columns as SQL wants them behind a right."""
    return f" ({', '.join(columns)})" if columns else ""
