"""DESIGN 6: what futures need of the database beside orders and fills: margin, strangers' trades, funding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.database.statements import statement
from shared.domain.position import PositionSide

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from decimal import Decimal
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.domain.futures_positions import ExchangePosition, Funding


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """An open futures position as the ledger has it.

    Attributes:
        id: of `bridge.position` and `public.positions`.
        account_id: whose.
        symbol: as the exchange writes it.
        side: long or short.
        size: in base.

    """

    id: UUID
    account_id: UUID
    symbol: str
    side: PositionSide
    size: Decimal


@dataclass(frozen=True, slots=True)
class TradeStart:
    """From which trade on an account's trades of a symbol are looked through for those of strangers.

    Attributes:
        symbol: as the exchange writes it.
        pair: its base and quote asset.
        from_id: trade id.
        is_open: whether a position is open.

    """

    symbol: str
    pair: tuple[str, str]
    from_id: int
    is_open: bool


class Setting(NamedTuple):
    """What was set for a symbol of an account; None: left as it was."""

    leverage: int | None
    margin_mode: str | None


async def held_futures(connection: Connection, account_id: UUID, symbol: str, side: PositionSide) -> Decimal:
    """Return how much of a position the ledger holds, which is what a futures row may reduce.

    Args:
        connection: any.
        account_id: the row's account.
        symbol: as the exchange writes it.
        side: of the position.

    """
    size: Decimal = await connection.fetchval(statement("held_futures"), account_id, symbol, side)
    return size


async def ledger_positions(connection: Connection, accounts: Collection[UUID]) -> list[LedgerPosition]:
    """Return the open futures positions of some accounts."""
    rows = await connection.fetch(statement("futures_positions"), list(accounts))
    return [LedgerPosition(**{**row, "side": PositionSide(row["side"])}) for row in rows]


async def show_margin(connection: Connection, told: Sequence[tuple[UUID, ExchangePosition]]) -> None:
    """Show liquidation price, leverage and margin mode in the bot's rows; nothing is written unchanged."""
    await connection.execute(
        statement("show_margin"),
        [position_id for position_id, _ in told],
        [position.liquidation_price for _, position in told],
        [position.leverage for _, position in told],
        [position.margin_mode for _, position in told],
    )


async def trade_starts(connection: Connection, account_id: UUID, environment_epoch: int) -> list[TradeStart]:
    """Return the symbols of an account whose trades are looked through, and where to begin."""
    rows = await connection.fetch(statement("trade_starts"), account_id, environment_epoch)
    starts: dict[str, TradeStart] = {}
    for row in rows:  # hedge mode has two holdings of a symbol
        start = TradeStart(
            row["symbol"], (row["base_asset"], row["quote_asset"]), row["from_id"], row["is_open"]
        )
        before = starts.get(start.symbol)
        if before is None or (not before.is_open and start.is_open) or start.from_id < before.from_id:
            starts[start.symbol] = start
    return list(starts.values())


async def external_client_ids(
    connection: Connection, account_id: UUID, symbol: str, exchange_order_ids: Collection[str]
) -> dict[str, str]:
    """Return the client ids of those orders that are recorded as not ours."""
    rows = await connection.fetch(
        "SELECT exchange_order_id, client_order_id FROM bridge.external_order "
        "WHERE account_id = $1 AND market = 'futures' AND symbol = $2 AND exchange_order_id = ANY ($3)",
        account_id,
        symbol,
        list(exchange_order_ids),
    )
    return {row["exchange_order_id"]: row["client_order_id"] for row in rows}


async def store_funding(
    connection: Connection, account_id: UUID, environment_epoch: int, told: Sequence[Funding]
) -> int:
    """Store funding payments once, whichever source told them first; returns how many were new."""
    count: int = await connection.fetchval(
        statement("store_funding"),
        account_id,
        environment_epoch,
        [one.symbol for one in told],
        [one.asset for one in told],
        [one.amount for one in told],
        [one.paid_at for one in told],
        [one.transaction_id for one in told],
    )
    return count


ACCOUNTS_CHANNEL = "bridge_accounts"


async def announce(connection: Connection, account_id: UUID) -> None:
    """Have the listeners look at once whether an account that is about to trade futures is followed."""
    await connection.execute(statement("announce_account"), account_id)


async def setting(
    connection: Connection, account_id: UUID, environment_epoch: int, symbol: str
) -> Setting | None:
    """Return what was set for a symbol of an account before its first order; None when nothing was yet."""
    row = await connection.fetchrow(
        "SELECT leverage, margin_mode FROM bridge.futures_setting "
        "WHERE account_id = $1 AND environment_epoch = $2 AND symbol = $3",
        account_id,
        environment_epoch,
        symbol,
    )
    return None if row is None else Setting(row["leverage"], row["margin_mode"])


async def store_setting(
    connection: Connection, account_id: UUID, environment_epoch: int, symbol: str, chosen: Setting
) -> None:
    """Remember that leverage and margin mode were set; it is not done again."""
    await connection.execute(
        "INSERT INTO bridge.futures_setting (account_id, environment_epoch, symbol, leverage, margin_mode) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        account_id,
        environment_epoch,
        symbol,
        chosen.leverage,
        chosen.margin_mode,
    )
