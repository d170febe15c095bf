"""Four roles instead of one (DESIGN 7): what each process needs, and no more.

`bridge_migrator` owns schema `bridge` and runs `bridge migrate`; the executor, the listener and the
operator's command line connect as roles that own nothing. Their rights on the bot's tables are by column,
those on our own tables by table: what is append-only cannot be changed or forgotten by a service.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psycopg import sql

from services.command_line.grants import ENUMS, SETTINGS, filled, listed, setting

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Rights = tuple[tuple[str, tuple[str, ...], str], ...]

_FILLED = (
    *("status", "exchange_order_id", "filled_amount", "avg_fill_price", "fee", "fee_currency"),
    *("reasoning", "filled_at", "updated_at"),
)
_POSITION = (
    *("size", "entry_price", "current_price", "unrealized_pnl", "unrealized_pnl_pct", "realized_pnl"),
    *("status", "opened_at", "closed_at", "updated_at"),
)
_MARGIN = ("liquidation_price", "leverage", "margin_mode")
_SEALED = ("api_key_encrypted", "secret_encrypted", "passphrase", "listen_key_encrypted", "updated_at")
# What settling writes, whoever learns of an order (docs/architecture.md): the same for all three.
_SETTLING: Rights = (
    ("SELECT", (), "orders"),
    ("UPDATE", _FILLED, "orders"),
    ("SELECT", (), "exchange_accounts"),
    ("SELECT", ("id", "user_id", "allocated_capital"), "user_strategies"),
    ("SELECT", (), "positions"),
    ("INSERT", (), "positions"),
)
_EQUITY = ("current_equity", "cash_reserve", "total_pnl", "total_pnl_percent", "updated_at")
_BREAKER = ("user_id", "is_triggered", "triggered_at", "trigger_reason", "reset_at", "updated_at")

SEQUENCES = frozenset({"statement_id", "trigger_failures"})
READ, KEEP = "SELECT", "SELECT, INSERT"
WRITE, OWN = f"{KEEP}, UPDATE", f"{KEEP}, UPDATE, DELETE"
_SETTLED_TABLES: Mapping[str, str] = {
    **dict.fromkeys(("attempt", "control", "fill", "holding", "outbox", "position", "environment"), WRITE),
    **dict.fromkeys(("event", "evidence", "question"), KEEP),
    **dict.fromkeys(("migration", "installation"), READ),
    "epoch": WRITE,
    "trigger_failures": READ,
    # Whoever finds another history, or sweeps, takes in what the trigger missed.
    "statement_id": "USAGE",
}


@dataclass(frozen=True, slots=True)
class Role:
    """One of the roles.

    Attributes:
        purpose: who connects as it.
        rights: on the bot's tables: what, on which columns (none: the whole table), of which table.
        tables: and sequences of schema `bridge`: what it may do with each; it may not even read the others.

    """

    purpose: str
    rights: Rights
    tables: Mapping[str, str] = field(default_factory=dict)


ROLES: Mapping[str, Role] = {
    "migrator": Role(
        "bridge migrate, bridge uninstall; owns schema bridge and the functions the bot's INSERTs run",
        (
            ("TRIGGER", (), "orders"),
            ("SELECT", (), "orders"),
            ("SELECT", ("id", "user_id", "exchange", "is_active"), "exchange_accounts"),
        ),
    ),
    "executor": Role(
        "python -m services.order_executor",
        (
            *_SETTLING,
            ("UPDATE", _POSITION, "positions"),
            ("SELECT", ("id", "is_active", "settings"), "users"),
            ("SELECT", _BREAKER, "circuit_breaker_states"),
        ),
        {
            **_SETTLED_TABLES,
            **dict.fromkeys(("breaker", "cap", "futures_setting", "rate", "rate_seat"), WRITE),
            **dict.fromkeys(("connection", "external_order", "preference", "stream"), READ),
            "pause": OWN,
        },
    ),
    "listener": Role(
        "python -m services.fill_listener",
        (
            *_SETTLING,
            ("UPDATE", (*_POSITION, *_MARGIN, "open_reasoning"), "positions"),
            ("SELECT", ("id", "telegram_id", "is_active", "settings"), "users"),
            ("SELECT", (), "user_strategies"),
            ("UPDATE", _EQUITY, "user_strategies"),
            ("SELECT", (), "strategy_transactions"),
            ("INSERT", (), "strategy_transactions"),
        ),
        {
            **_SETTLED_TABLES,
            **dict.fromkeys(("strategy_book", "strategy_booked", "strategy_due"), OWN),
            **dict.fromkeys(("balance", "external_order", "feed_reader", "funding", "wallet"), WRITE),
            **dict.fromkeys(("futures_setting", "stream"), WRITE),
            **dict.fromkeys(("connection", "listener"), OWN),
            **dict.fromkeys(("cap", "rate", "rate_seat"), READ),
        },
    ),
    "operator": Role(
        "bridge orders, halt, place, accounts, keys, doctor, ...",
        (
            *_SETTLING,
            ("INSERT", (), "orders"),
            ("UPDATE", _POSITION, "positions"),
            ("INSERT", (), "exchange_accounts"),
            ("UPDATE", _SEALED, "exchange_accounts"),
            ("SELECT", ("id", "telegram_id", "is_active", "settings"), "users"),
            ("SELECT", _BREAKER, "circuit_breaker_states"),
        ),
        {
            **_SETTLED_TABLES,
            **dict.fromkeys(("breaker", "cap"), WRITE),
            **dict.fromkeys(("funding", "futures_setting", "listener", "wallet"), READ),
            **dict.fromkeys(("connection", "stream"), READ),
            **dict.fromkeys(("rate", "rate_seat"), READ),
            **dict.fromkeys(
                # `bridge prune` forgets what was exported, `bridge keys verify` the blobs it has verified.
                ("attempt", "outbox", "event", "evidence", "question", "external_order", "preference"),
                OWN,
            ),
            **dict.fromkeys(("former_key", "pause"), OWN),
            "installation": "SELECT, UPDATE",
        },
    ),
}


def role_names(prefix: str = "bridge") -> dict[str, str]:
    """Return the name in the database of each role."""
    return {name: f"{prefix}_{name}" for name in ROLES}


def on_the_bots_tables(prefix: str = "bridge") -> Iterator[str]:
    """Yield what the owner of the bot's tables runs once, before `bridge migrate`; the roles must exist."""
    names = role_names(prefix)
    yield filled("CREATE SCHEMA bridge AUTHORIZATION {role}", names["migrator"])
    for name, role in ROLES.items():
        yield filled("GRANT USAGE ON SCHEMA public TO {role}", names[name])
        for enum in ENUMS:
            yield filled("GRANT USAGE ON TYPE public.{object} TO {role}", names[name], enum)
        for right, columns, table in role.rights:
            words = f"GRANT {right}{listed(columns)} ON public.{{object}} TO {{role}}"
            yield filled(words, names[name], table)
        for variable, value in SETTINGS.items():
            yield setting(names[name], f"SET {variable} = {value}")


def on_our_tables(prefix: str = "bridge") -> Iterator[str]:
    """Yield what the migrator's role, which owns them, runs after every `bridge migrate`."""
    names = role_names(prefix)
    for name, role in ROLES.items():
        if not role.tables:
            continue
        yield filled("GRANT USAGE ON SCHEMA bridge TO {role}", names[name])
        yield filled("REVOKE ALL ON ALL TABLES IN SCHEMA bridge FROM {role}", names[name])
        for table, rights in sorted(role.tables.items()):
            kind = "SEQUENCE " if table in SEQUENCES else ""
            yield filled(f"GRANT {rights} ON {kind}bridge.{{object}} TO {{role}}", names[name], table)


def taken_back(prefix: str = "bridge") -> Iterator[str]:
    """Yield what takes all of it back, after `bridge uninstall`."""
    for name in role_names(prefix).values():
        yield sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)).as_string(None)
