"""DESIGN 6, PROTOCOL 7: who listens for which account, and since when its stream is without a gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import timedelta
    from decimal import Decimal
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class Followed:
    """An account with something to follow.

    Attributes:
        account_id: row of `exchange_accounts`.
        user_id: its owner.
        version: changes whenever the row does.
        is_testnet: chooses the endpoints.
        is_active: whether new orders may be sent; an inactive one is followed until it has nothing left.

    """

    account_id: UUID
    user_id: UUID
    version: str
    is_testnet: bool
    is_active: bool


@dataclass(frozen=True, slots=True)
class SealedKey:
    """The encrypted key of an account, and the version of the row it was read from."""

    account_id: UUID
    version: str
    api_key_encrypted: bytes
    secret_encrypted: bytes


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An order that is not over, or whose fills do not add up.

    Attributes:
        order_id: the row.
        number: of the attempt.
        account_id: whose.
        symbol: as the exchange writes it.
        client_order_id: ours.
        exchange_order_id: None while the exchange never told it.
        pair: base and quote asset.
        executed: what the exchange reported last, cumulative.
        filled: sum of the stored fills.
        conditional: it is, or was, with the futures exchange's algo service.

    """

    order_id: UUID
    number: int
    account_id: UUID
    symbol: str
    client_order_id: str
    exchange_order_id: str | None
    pair: tuple[str, str]
    executed: Decimal
    filled: Decimal
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class PositionTotals:
    """The positions of one account in one quote asset, in that asset."""

    account_id: UUID
    quote_asset: str
    open: int
    exposure: Decimal
    unrealized: Decimal
    realized: Decimal


@dataclass(frozen=True, slots=True)
class BotClosed:
    """A position the bot closed in its table although it is still held."""

    position_id: UUID
    account_id: UUID
    symbol: str
    size: Decimal


async def followed(
    connection: Connection, market: str, *, live: bool, accounts: Sequence[UUID] | None
) -> list[Followed]:
    """Return the accounts with something to follow.

    Args:
        connection: any.
        market: spot or futures.
        live: also those of real money.
        accounts: only these; None = all.

    """
    rows = await connection.fetch(statement("followed"), market, live, accounts)
    return [
        Followed(row["id"], row["user_id"], row["version"], row["is_testnet"], row["is_active"])
        for row in rows
    ]


async def sealed_keys(connection: Connection, accounts: Collection[UUID]) -> list[SealedKey]:
    """Return the encrypted keys of some accounts."""
    rows = await connection.fetch(statement("account_keys"), list(accounts))
    return [
        SealedKey(row["id"], row["version"], row["api_key_encrypted"], row["secret_encrypted"])
        for row in rows
    ]


async def live_listeners(connection: Connection, name: str, *, lease: timedelta) -> int:
    """Say that this listener lives, and return how many do, itself included."""
    count: int = await connection.fetchval(statement("live_listeners"), name, lease)
    return count


async def renew(
    connection: Connection, owner: str, market: str, accounts: Collection[UUID], *, lease: timedelta
) -> set[UUID]:
    """Renew the leases on those of some accounts that are still this listener's; returns them."""
    rows = await connection.fetch(statement("renew_streams"), owner, market, lease, list(accounts))
    return {row["account_id"] for row in rows}


async def take(
    connection: Connection,
    owner: str,
    market: str,
    accounts: Collection[UUID],
    *,
    lease: timedelta,
    most: int,
) -> set[UUID]:
    """Take leases on some accounts that nobody holds; returns those taken."""
    rows = await connection.fetch(statement("take_streams"), owner, market, lease, list(accounts), most)
    return {row["account_id"] for row in rows}


async def release(connection: Connection, owner: str, market: str, accounts: Collection[UUID]) -> None:
    """Give some accounts up, for another listener to take."""
    await connection.execute(statement("release_streams"), owner, market, list(accounts))


async def opened(connection: Connection, connection_id: UUID, owner: str, base_url: str) -> None:
    """Record a connection to the exchange, before any account is heard on it."""
    await connection.execute(
        "INSERT INTO bridge.connection (id, owner, base_url) VALUES ($1, $2, $3)",
        connection_id,
        owner,
        base_url,
    )


async def closed(connection: Connection, connection_id: UUID) -> None:
    """Forget a connection that is gone."""
    await connection.execute("DELETE FROM bridge.connection WHERE id = $1", connection_id)


async def verified(connection: Connection, connection_id: UUID, through_ms: int) -> None:
    """Record that a probe was answered at `through_ms` and all frames before it are applied (PROTOCOL 7)."""
    await connection.execute(
        "UPDATE bridge.connection SET verified_through_ms = $2 WHERE id = $1", connection_id, through_ms
    )


async def heard(
    connection: Connection, owner: str, market: str, connection_id: UUID, since_ms: Mapping[UUID, int]
) -> None:
    """Record since when some accounts are heard on a connection, on the exchange's clock."""
    await connection.execute(
        statement("stream_heard"), owner, market, connection_id, list(since_ms), list(since_ms.values())
    )


async def lost(connection: Connection, owner: str, market: str, accounts: Collection[UUID], why: str) -> None:
    """Record that some accounts are not heard any more: from here on there is a gap."""
    await connection.execute(statement("stream_lost"), owner, market, list(accounts), why)


async def gap(connection: Connection, market: str, accounts: Collection[UUID], since_ms: int | None) -> None:
    """Record that something of some accounts was heard and not applied.

    Args:
        connection: any.
        market: spot or futures.
        accounts: whose.
        since_ms: the exchange's time now, from when on their streams are whole again; None when it is not
            known: then they are not until they are subscribed anew.

    """
    await connection.execute(
        "UPDATE bridge.stream SET subscribed_at_ms = "
        "CASE WHEN $3::bigint IS NOT NULL THEN greatest(subscribed_at_ms, $3::bigint) END "
        "WHERE account_id = ANY ($1::uuid[]) AND market = $2 AND subscribed_at_ms IS NOT NULL",
        list(accounts),
        market,
        since_ms,
    )


async def position_totals(
    connection: Connection, accounts: Collection[UUID], market: str
) -> list[PositionTotals]:
    """Return what the positions of some accounts come to."""
    rows = await connection.fetch(statement("position_totals"), list(accounts), market)
    return [PositionTotals(**dict(row)) for row in rows]


async def open_attempts(connection: Connection, accounts: Collection[UUID], market: str) -> list[OpenAttempt]:
    """Return the orders a reconciliation asks about."""
    return [
        read_attempt(row)
        for row in await connection.fetch(statement("open_attempts"), list(accounts), market)
    ]


async def gaps(
    connection: Connection, accounts: Collection[UUID], market: str, *, for_longer_than: timedelta
) -> list[OpenAttempt]:
    """Return the orders whose fills do not add up although nothing was settled of them for a while."""
    rows = await connection.fetch(statement("gaps"), list(accounts), market, for_longer_than)
    return [read_attempt(row) for row in rows]


def read_attempt(row: asyncpg.Record | Mapping[str, Any]) -> OpenAttempt:
    """Read a row of `open_attempts`."""
    return OpenAttempt(
        order_id=row["order_id"],
        number=row["number"],
        account_id=row["account_id"],
        symbol=row["symbol"],
        client_order_id=row["client_order_id"],
        exchange_order_id=row["exchange_order_id"],
        pair=(row["base_asset"], row["quote_asset"]),
        executed=row["executed"],
        filled=row["filled"],
        conditional=row["conditional"],
    )


async def open_symbols(connection: Connection, accounts: Collection[UUID], market: str) -> set[str]:
    """Return the symbols of the open positions of some accounts."""
    rows = await connection.fetch(statement("open_symbols"), list(accounts), market)
    return {row["symbol"] for row in rows}


async def mark_positions(
    connection: Connection, accounts: Collection[UUID], market: str, prices: Mapping[str, Decimal]
) -> int:
    """Give the open positions of some accounts their market price; returns how many rows changed."""
    changed: int = await connection.fetchval(
        statement("mark_positions"), list(accounts), market, list(prices), list(prices.values())
    )
    return changed


async def bot_closed(connection: Connection, accounts: Collection[UUID], market: str) -> list[BotClosed]:
    """Return, once each, the positions the bot closed in its table although they are still held."""
    rows = await connection.fetch(statement("bot_closed"), list(accounts), market)
    return [BotClosed(row["id"], row["account_id"], row["symbol"], row["size"]) for row in rows]
