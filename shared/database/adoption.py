"""PROTOCOL 1: held rows leave by their owner's word: sent, linked to an exchange's order, or rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.operator import changing, run

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

    from shared.database.operator import Connection


@dataclass(frozen=True, slots=True)
class Link:
    """An order at the exchange that somebody else sent for a row.

    Args:
        client_order_id: as the exchange has it.
        symbol: as the exchange writes it.
        base: base asset.
        quote: quote asset.
        lot_step: of the symbol; a rest smaller than it cannot be sold.
        base_url: which exchange.
        environment_epoch: which life of it.
        api_key_hash: of the key that sees the order.

    """

    client_order_id: str
    symbol: str
    base: str
    quote: str
    lot_step: Decimal
    base_url: str
    environment_epoch: int
    api_key_hash: str


def send(connection: Connection, order_id: UUID, *, by: str, why: str) -> str | None:
    """Release a held row and wake the executors; returns its new state, None when it cannot be."""
    with changing(connection):
        rows = run(connection, "adopt_send", order_id, by, why)
    return rows[0]["state"] if rows else None


def reject(connection: Connection, order_id: UUID, *, by: str, why: str) -> bool:
    """Reject a held row; tells whether it was one, and may be made final."""
    with changing(connection):
        return bool(run(connection, "adopt_reject", order_id, by, why))


def link(connection: Connection, order_id: UUID, link: Link, *, by: str) -> int | None:
    """Give a held row an attempt for an order the exchange has; returns its number, None when it is not held.

    Raises:
        psycopg.errors.UniqueViolation: that order belongs to another row already.

    """
    with changing(connection):
        rows = run(
            connection,
            "adopt_link",
            order_id,
            by,
            link.client_order_id,
            link.symbol,
            link.base,
            link.quote,
            link.lot_step,
            link.base_url,
            link.environment_epoch,
            link.api_key_hash,
        )
    return rows[0]["number"] if rows else None
