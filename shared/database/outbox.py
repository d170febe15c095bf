"""PROTOCOL 1 and 2: what the trigger took in, what it missed, and a look at what is ready, without a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson

from shared.database.statements import statement
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.verdicts import Code, reject, wait

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime, timedelta
    from decimal import Decimal
    from typing import Any
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection
    from shared.domain.verdicts import Rejected, Waiting

CHANNEL = "bridge_orders"

Accounts = list["UUID"] | None
"""The accounts a process serves; None = all."""


class Key(NamedTuple):
    """Rows of one key go in outbox order, one in flight (PROTOCOL 11)."""

    account_id: UUID
    market: str
    symbol: str


@dataclass(frozen=True, slots=True)
class AccountRow:
    """The row of `public.exchange_accounts` an order names; any change of it changes its version."""

    user_id: UUID
    exchange: str
    api_key_encrypted: bytes
    secret_encrypted: bytes
    is_testnet: bool
    is_active: bool
    version: str


class Announced(NamedTuple):
    """What a claim verifies of a row that was sized by its notification alone.

    Attributes:
        text: of the notification.
        account_version: of the account's row, as known.
        user_settings: text of `users.settings`, as known.

    """

    text: str
    account_version: str
    user_settings: str


@dataclass(frozen=True, slots=True)
class ReadyEntry:
    """An entry that may be claimed now, the row behind it, and what the guards want to know about it.

    Attributes:
        entry_id: `bridge.outbox.id`.
        key: see `Key`.
        order: the row.
        row_version: (xmin, ctid) of the row; the claim takes it only unchanged.
        account: None where the row names an account that does not exist.
        attempts: attempts made so far.
        counted: of these, judged absent.
        adopted: an operator released it; neither age nor twin holds it.
        age: how long it has waited, on the database's clock; see `own_age`.
        twin_of: an equal row of another statement that came just before.
        twin_apart: how long before.
        user_active: of the row's user; None when there is no such user.
        user_settings: `users.settings`.
        breaker: why that user's circuit breaker is tripped, by the bot or as we remember it, or None.
        sent_last_minute: attempts of that user in the last 60 s, counted up to the limit.
        strategy_capital: of the row's strategy, in USD; None without a strategy, 0 of one that is not the
            user's.
        parent_filled: what the row's parent filled, in base.
        quarantined_until: it is older than a change of the database's history, and nobody has asked about it
            yet (PROTOCOL 10); the end of the quarantine, else None.
        as_taken_in: the row still names the account, symbol and side it was taken in with.
        halt: (scope, reason) of a halt that covers the row.
        reduce_only: (scope, reason) of a reduce-only switch that covers it.
        taken_in_at: when the trigger or the sweep took it in.
        waiting_code: why it waits, as the entry has it by now; None before the first look.
        waiting_sentence: the same for people.
        trace: W3C traceparent or None.
        settings_text: `users.settings` as text.
        announced: nobody has looked at it yet; see `Announced`.

    """

    entry_id: int
    key: Key
    order: PendingOrder
    row_version: tuple[str, str]
    account: AccountRow | None
    attempts: int
    counted: int
    adopted: bool
    age: timedelta
    twin_of: UUID | None
    twin_apart: timedelta | None
    user_active: bool | None
    user_settings: Mapping[str, Any]
    breaker: str | None
    sent_last_minute: int
    strategy_capital: Decimal | None
    parent_filled: Decimal
    quarantined_until: datetime | None
    as_taken_in: bool
    halt: tuple[str, str] | None
    reduce_only: tuple[str, str] | None
    taken_in_at: datetime
    waiting_code: str | None
    waiting_sentence: str | None
    trace: str | None
    settings_text: str
    announced: Announced | None = None


async def peek(
    connection: Connection,
    *,
    low_water: int | None,
    keys: Collection[Key],
    limit: int,
    max_key_block: timedelta,
    twin_window: timedelta,
    max_per_minute: int,
    accounts: Accounts = None,
) -> list[ReadyEntry]:
    """Return the first ready entry of each ready key, oldest first, without locking anything.

    Args:
        connection: any.
        low_water: the keys of the newest entries from this id on are looked at; None = of none.
        keys: looked at too.
        limit: most entries returned.
        max_key_block: how long an unknown entry keeps the others of its key.
        twin_window: equal rows closer together than this are twins.
        max_per_minute: of a user's orders of the last minute no more are counted.
        accounts: only of these.

    """
    rows = await connection.fetch(
        statement("peek"),
        low_water,
        [k.account_id for k in keys],
        [k.market for k in keys],
        [k.symbol for k in keys],
        limit,
        max_key_block,
        twin_window,
        accounts,
        max_per_minute,
    )
    return [_ready_entry(row) for row in rows]


def _ready_entry(row: asyncpg.Record) -> ReadyEntry:
    order = pending_order(row)
    return ReadyEntry(
        entry_id=row["entry_id"],
        key=Key(order.account_id, order.market, row["key_symbol"]),
        order=order,
        row_version=(row["row_xmin"], row["row_ctid"]),
        account=account_row(row) if row["account_exists"] else None,
        attempts=row["attempts"],
        counted=row["counted"],
        adopted=row["adopted"],
        age=row["age"],
        twin_of=row["twin_of"],
        twin_apart=row["twin_apart"],
        user_active=row["user_active"],
        user_settings=read_settings(row["user_settings"]),
        breaker=row["breaker_reason"],
        sent_last_minute=row["sent_last_minute"],
        strategy_capital=row["strategy_capital"],
        parent_filled=row["parent_filled"],
        quarantined_until=row["quarantined_until"],
        as_taken_in=row["as_taken_in"],
        halt=_switch(row, "halt"),
        reduce_only=_switch(row, "reduce_only"),
        taken_in_at=row["taken_in_at"],
        waiting_code=row["reason_code"],
        waiting_sentence=row["reason"],
        trace=row["trace"],
        settings_text=row["user_settings"],
    )


def read_settings(text: str) -> Mapping[str, Any]:
    """Read `users.settings`; what cannot be read counts as not set."""
    try:
        settings = orjson.loads(text)
    except orjson.JSONDecodeError:  # a number beyond any float
        return {}
    return settings if isinstance(settings, dict) else {}


def _switch(row: asyncpg.Record, name: str) -> tuple[str, str] | None:
    scope = row[f"{name}_scope"]
    return (scope, row[f"{name}_reason"]) if scope else None


def account_row(row: asyncpg.Record) -> AccountRow:
    """Read the account columns the statements of this package select."""
    return AccountRow(
        user_id=row["account_user_id"],
        exchange=row["exchange"],
        api_key_encrypted=row["api_key_encrypted"],
        secret_encrypted=row["secret_encrypted"],
        is_testnet=row["is_testnet"],
        is_active=row["account_active"],
        version=row["account_version"],
    )


def pending_order(row: asyncpg.Record) -> PendingOrder:
    """Read a row of `public.orders`; SQL NULL and zero both mean absent (the bot writes zero values)."""
    return PendingOrder(
        id=row["id"],
        user_id=row["user_id"],
        strategy_id=row["strategy_id"],
        account_id=row["exchange_account_id"],
        symbol=row["symbol"],
        market=Market(row["market"]),
        side=Side(row["side"]),
        type=OrderType(row["type"]),
        amount=row["amount"],
        price=row["price"],
        stop_price=row["stop_price"],
        reduce_only=row["reduce_only"],
        agent_id=row["agent_id"],
        reasoning=row["reasoning"],
        parent_order_id=row["parent_order_id"],
        created_at=row["created_at"],
    )


class Trader(NamedTuple):
    """An account that may send, and its user's settings.

    Attributes:
        account_id: `exchange_accounts.id`.
        account: its row.
        settings_text: `users.settings` as text.

    """

    account_id: UUID
    account: AccountRow
    settings_text: str


async def traders(connection: Connection, *, limit: int, accounts: Accounts = None) -> list[Trader]:
    """Return accounts that may send, at most `limit`."""
    rows = await connection.fetch(statement("traders"), accounts, limit)
    return [Trader(row["id"], account_row(row), row["user_settings"]) for row in rows]


async def own_age(connection: Connection, entry_id: int) -> timedelta:
    """Return an entry's age without what it waited for earlier rows of its key or for its parent.

    Kept with the entry from then on. Asked only about rows that look too old, so it may cost more than a
    look.
    """
    age: timedelta = await connection.fetchval(statement("own_age"), entry_id)
    return age


async def take_in_again(connection: Connection, entry_ids: list[int]) -> int:
    """Follow rows that name another account, symbol or side than when they were taken in; returns how many.

    One that names a market or a side we do not know is not followed, and not sent.
    """
    return len(await connection.fetch(statement("take_in_again"), entry_ids))


async def standing_by(
    connection: Connection, *, limit: int, max_key_block: timedelta, accounts: Accounts = None
) -> list[tuple[UUID, Market, Waiting]]:
    """Return those of the oldest `limit` rows whose turn has not come, and what they wait for."""
    rows = await connection.fetch(statement("standing_by"), limit, accounts, max_key_block)
    return [
        (row["order_id"], Market(row["market"]), wait(Code(row["code"]), order=row["other"])) for row in rows
    ]


async def note_waiting(connection: Connection, waiting: Iterable[tuple[ReadyEntry, Waiting]]) -> None:
    """Keep with each entry why it waits; costs nothing where that is known already."""
    news = [
        (entry.entry_id, verdict.code, verdict.sentence)
        for entry, verdict in waiting
        if (entry.waiting_code, entry.waiting_sentence) != (verdict.code, verdict.sentence)
    ]
    if news:
        await connection.execute(statement("note_waiting"), *map(list, zip(*news, strict=True)))


async def unknown_types(
    connection: Connection, *, limit: int, accounts: Accounts = None
) -> list[tuple[int, tuple[str, str], Market, Rejected]]:
    """Return entry, row version and verdict of rows, of the oldest `limit`, of a type we do not know."""
    rows = await connection.fetch(statement("unknown_types"), list(OrderType), limit, accounts)
    return [
        (
            row["entry_id"],
            (row["row_xmin"], row["row_ctid"]),
            Market(row["market"]),
            reject(Code.TYPE_UNKNOWN, type=row["type"]),
        )
        for row in rows
    ]


async def keys_waiting(connection: Connection, accounts: Accounts = None) -> set[Key]:
    """Return every key with rows not yet at the exchange; the sweep's full look."""
    return {Key(*row) for row in await connection.fetch(statement("keys"), accounts)}


async def new_keys(connection: Connection, *, low_water: int, accounts: Accounts = None) -> set[Key]:
    """Return the key of every entry from this id on that waits to be sent."""
    return {Key(*row) for row in await connection.fetch(statement("new_keys"), low_water, accounts)}


async def take_in_missed(connection: Connection, *, limit: int = 1000) -> list[UUID]:
    """Take in pending rows the trigger missed; returns their ids."""
    return [row["order_id"] for row in await connection.fetch(statement("take_in_missed"), limit)]


async def low_water_mark(connection: Connection, *, trail: timedelta) -> int:
    """Return the id above which rows younger than `trail` lie; older ones are the sweep's business."""
    mark: int = await connection.fetchval(statement("low_water"), trail)
    return mark


async def environments(connection: Connection) -> list[tuple[Market, bool]]:
    """Return market and `is_testnet` of what the active Binance accounts trade, each pair once."""
    rows = await connection.fetch(statement("environments"))
    return [(Market(row["market"]), row["is_testnet"]) for row in rows]


async def get_pending(connection: Connection, limit: int) -> list[PendingOrder]:
    """Return the oldest rows that wait to be sent, at most `limit`."""
    return [pending_order(row) for row in await connection.fetch(statement("pending"), limit, None)]


async def get_pending_by_user(connection: Connection, user_id: UUID) -> list[PendingOrder]:
    """Return the rows of one user that wait to be sent, oldest first."""
    return [pending_order(row) for row in await connection.fetch(statement("pending"), None, user_id)]


class Depth(NamedTuple):
    """How many entries are in a state, and for how long the oldest."""

    entries: int
    oldest: timedelta


async def depth(connection: Connection) -> dict[str, Depth]:
    """Count the entries in each state that is not final."""
    rows = await connection.fetch(statement("depth"))
    return {row["state"]: Depth(row["n"], row["oldest"]) for row in rows}


async def trigger_failures(connection: Connection) -> int:
    """Return how often the trigger could not take a row in since it was installed."""
    failures: int = await connection.fetchval(statement("trigger_failures"))
    return failures


async def switches(connection: Connection) -> dict[str, tuple[int, int]]:
    """Return by scope how many halts and how many reduce-only switches are on."""
    rows = await connection.fetch(statement("switches"))
    return {row["scope"]: (row["halted"], row["reduce_only"]) for row in rows}
