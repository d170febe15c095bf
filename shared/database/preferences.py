"""DESIGN 5: for whoever makes rows: which account a row is for, and the row itself, as the bot writes it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.database.operator import changing, run
from shared.domain.order import Market, OrderType, Side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.database.controls import Scope
    from shared.database.operator import Connection, Row


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A row to be inserted.

    Args:
        user_id: whose.
        account_id: on which account.
        symbol: as the bot writes it, BTC/USDT.
        side: buy or sell.
        type: market, limit, stop_market or stop_limit.
        amount: in the unit the executor is configured for, quote by default.
        market: spot or futures.
        price: limit price, 0 = none.
        stop_price: trigger, 0 = none.
        strategy_id: None = none.
        reduce_only: it may only make a position smaller.
        agent_id: who made it.
        reasoning: why.
        parent_id: an order it waits for.

    """

    user_id: UUID
    account_id: UUID
    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    market: Market = Market.SPOT
    price: Decimal = Decimal(0)
    stop_price: Decimal = Decimal(0)
    strategy_id: UUID | None = None
    reduce_only: bool = False
    agent_id: str = "operator"
    reasoning: str = ""
    parent_id: UUID | None = None


def place(connection: Connection, order: NewOrder) -> UUID:
    """Insert a pending row exactly as the bot does; returns its id."""
    with changing(connection):
        rows = run(
            connection,
            "place_order",
            order.user_id,
            order.strategy_id,
            order.account_id,
            order.symbol,
            order.market.value,
            order.side.value,
            order.type.value,
            order.price,
            order.amount,
            order.stop_price,
            order.reduce_only,
            order.agent_id,
            order.reasoning,
            order.parent_id,
        )
    identity: UUID = rows[0]["id"]
    return identity


def choose_account(
    connection: Connection, user_id: UUID, strategy_id: UUID | None
) -> tuple[UUID | None, str]:
    """Return the account for a new row of a user and strategy (None: none can be chosen), and why."""
    row = run(connection, "chosen_account", user_id, strategy_id)[0]
    return row["account_id"], row["why"]


def strategy_owner(connection: Connection, strategy_id: UUID) -> UUID | None:
    """Return whose strategy it is; None when there is no such strategy."""
    rows = run(connection, "strategy_owner", strategy_id)
    return rows[0]["user_id"] if rows else None


def prefer(
    connection: Connection, user_id: UUID, strategy_id: UUID | None, account_id: UUID, *, by: str
) -> bool:
    """Keep a preference; False when the account is not the user's, or not at Binance."""
    with changing(connection):
        return bool(run(connection, "set_preference", user_id, strategy_id, account_id, by))


def forget(connection: Connection, user_id: UUID, strategy_id: UUID | None) -> bool:
    """Drop a preference; tells whether there was one."""
    with changing(connection):
        return bool(run(connection, "drop_preference", user_id, strategy_id))


def preferences(connection: Connection) -> list[Row]:
    """Return all preferences."""
    return run(connection, "list_preferences")


def progress(connection: Connection, order_id: UUID) -> Row:
    """Return how far an order is."""
    return run(connection, "order_progress", order_id)[0]


def positions_to_flatten(
    connection: Connection, scope: Scope, position_ids: Sequence[UUID] | None = None
) -> list[Row]:
    """Return open positions of the ledger, each with whether an order of ours reduces it already."""
    ids = None if position_ids is None else list(position_ids)
    return run(connection, "positions_to_flatten", ids, scope.kind, scope.key)
