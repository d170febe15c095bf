"""What is in the database before a measurement: users, accounts, orders that are over, orders that wait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any
    from uuid import UUID

    import psycopg

_OLD_ORDERS, _BACKLOG, _POSITIONS = (
    Path(__file__).with_name(f"{name}.sql").read_bytes() for name in ("old_orders", "backlog", "positions")
)
_AT_ONCE = 100_000


def copy_accounts(connection: psycopg.Connection[Any], like: UUID, count: int) -> list[UUID]:
    """Insert more users, each with one account that is a copy of another.

    Args:
        connection: as a role that may write to the bot's tables.
        like: the account to copy, key and all; its user is copied as well.
        count: how many.

    Returns:
        The new accounts.

    """
    rows = connection.execute(
        """
        WITH pair AS MATERIALIZED (
            SELECT gen_random_uuid() AS user_id, gen_random_uuid() AS account_id, n
              FROM generate_series(1, %(count)s::integer) AS n
        ), owner AS (
            INSERT INTO public.users
            SELECT copy.* FROM pair, public.exchange_accounts AS a
              JOIN public.users AS u ON u.id = a.user_id,
              LATERAL jsonb_populate_record(u, jsonb_build_object('id', pair.user_id, 'telegram_id',
                     (SELECT max(telegram_id) FROM public.users) + pair.n, 'email', NULL)) AS copy
             WHERE a.id = %(like)s
        )
        INSERT INTO public.exchange_accounts
        SELECT copy.* FROM pair, public.exchange_accounts AS a,
               LATERAL jsonb_populate_record(a, jsonb_build_object('id', pair.account_id, 'user_id',
                       pair.user_id)) AS copy
         WHERE a.id = %(like)s
     RETURNING id
        """,
        {"count": count, "like": like},
    ).fetchall()
    return [next(iter(row.values())) if isinstance(row, dict) else row[0] for row in rows]


def add_old_orders(
    connection: psycopg.Connection[Any], accounts: Sequence[UUID], count: int, *, analyze: bool = True
) -> None:
    """Insert orders that are over, with all that the bridge keeps about each.

    Args:
        connection: as a role that may write everywhere.
        accounts: whose; they take turns.
        count: how many.
        analyze: let the planner know, so that whoever has planned plans again.

    """
    for first in range(0, count, _AT_ONCE):
        portion = min(count - first, _AT_ONCE)
        connection.execute(_OLD_ORDERS, {"accounts": list(accounts), "first": first, "count": portion})
    if analyze:
        connection.execute("ANALYZE")


def add_backlog(connection: psycopg.Connection[Any], accounts: Sequence[UUID], count: int) -> None:
    """Insert orders that wait; a fifth of them on the first account."""
    connection.execute(_BACKLOG, {"accounts": list(accounts), "count": count})


def add_positions(connection: psycopg.Connection[Any], accounts: Sequence[UUID]) -> None:
    """Give each account positions that are over and open ones."""
    connection.execute(_POSITIONS, {"accounts": list(accounts)})
