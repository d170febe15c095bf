"""PROTOCOL 3: claim = durable attempt, one commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.database.caps import Ask, InUse, Rate, read_dropped
from shared.database.connect import DurableCommit
from shared.database.ledger import as_json
from shared.database.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta
    from decimal import Decimal
    from typing import Any
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.database.epoch import Epoch
    from shared.database.outbox import Announced


class EpochChangedError(Exception):
    """The database is not the one the rows were read from (PROTOCOL 10); nothing was claimed."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One attempt about to be claimed: what will be sent, and the row version it was sized on.

    Attributes:
        entry_id: `bridge.outbox.id`.
        order_id: the row.
        number: of the attempt, 1 to 9.
        row_version: (xmin, ctid) of the row as peeked at.
        client_order_id: pure function of row and number.
        symbol: as the exchange writes it.
        base_asset: of the symbol.
        quote_asset: of the symbol.
        environment_epoch: of the base URL.
        lot_step: of the symbol; what is smaller than it cannot be sold any more.
        parameters: exactly what will be signed, timestamp and recvWindow included.
        signed_at_ms: the signing timestamp, exchange clock.
        base_url: where it will be sent.
        api_key_hash: of the key it will be sent with.
        token: random; whoever holds it may settle.
        ask: what it reserves, and the caps it must stay within.
        trace: W3C traceparent of the order's trace, kept in the outbox for whoever goes on with it; or None.
        announced: of a row that nobody has peeked at; then the row version says nothing.

    """

    entry_id: int
    order_id: UUID
    number: int
    row_version: tuple[str, str]
    client_order_id: str
    symbol: str
    base_asset: str
    quote_asset: str
    lot_step: Decimal
    environment_epoch: int
    parameters: str
    signed_at_ms: int
    base_url: str
    api_key_hash: str
    token: UUID
    ask: Ask
    trace: str | None = None
    announced: Announced | None = None


class Claims(NamedTuple):
    """What a claim did.

    Attributes:
        orders: claimed. Of the others those not in `dropped` changed since the peek, are held by somebody
            else, halted or paused, and stay as they were.
        dropped: not claimed for their caps, or because another claim of their user came between, with what
            was in use; an earlier row of the same batch may have been the last that fitted.

    """

    orders: frozenset[UUID]
    dropped: Mapping[UUID, InUse]


async def claim(
    connection: Connection,
    intents: Sequence[Intent],
    rates: Sequence[Rate],
    *,
    recv_window_ms: int,
    owner: str,
    lease: timedelta,
    epoch: Epoch,
    max_per_minute: int,
    twin_window: timedelta,
) -> Claims:
    """Claim what is still as it was peeked at and within its caps, and commit its attempts.

    Args:
        connection: any.
        intents: what would be sent.
        rates: of every quote asset the users' positions and orders may be counted in.
        recv_window_ms: of every order.
        owner: who claims.
        lease: until when nobody else asks about it.
        epoch: the history the rows were read in.
        max_per_minute: orders of one user; asked here only for announced rows.
        twin_window: the same.

    Raises:
        EpochChangedError: the database changed under us; nothing was claimed.
        NotDurableError: the commit was not confirmed by the synchronous standby; treat what it holds as in
            flight, send nothing.

    """
    async with DurableCommit(connection):
        row = await connection.fetchrow(
            statement("claim"),
            as_json([_row(intent) for intent in intents]),
            recv_window_ms,
            owner,
            lease,
            epoch.id,
            epoch.timeline,
            epoch.postmaster_start,
            as_json([rate._asdict() for rate in rates]),
            [intent.entry_id for intent in intents],
            max_per_minute,
            twin_window,
        )
    assert row is not None
    if not row["same_epoch"]:
        raise EpochChangedError
    return Claims(frozenset(row["claimed"]), dict(read_dropped(row)))


def _row(intent: Intent) -> dict[str, Any]:
    """Lay out an intent for `claim.sql`; one JSON text is read faster than an array for each column."""
    ask, announced = intent.ask, intent.announced
    return {
        "entry_id": intent.entry_id,
        "number": intent.number,
        "row_xmin": intent.row_version[0],
        "row_ctid": intent.row_version[1],
        "client_order_id": intent.client_order_id,
        "symbol": intent.symbol,
        "parameters": intent.parameters,
        "signed_at_ms": intent.signed_at_ms,
        "base_url": intent.base_url,
        "api_key_hash": intent.api_key_hash,
        "token": intent.token,
        "base_asset": intent.base_asset,
        "quote_asset": intent.quote_asset,
        "lot_step": intent.lot_step,
        "environment_epoch": intent.environment_epoch,
        "quantity": ask.quantity,
        "worth": ask.worth,
        "usd": ask.usd,
        "is_testnet": ask.is_testnet,
        "position_cap": ask.position,
        "exposure_cap": ask.exposure,
        "capital": ask.capital,
        "trace": intent.trace,
        "announced": None if announced is None else announced.text,
        "account_version": None if announced is None else announced.account_version,
        "user_settings": None if announced is None else announced.user_settings,
    }
