"""PROTOCOL 7: attempts whose outcome nobody knows, taken by one resolver at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.database.outbox import AccountRow, account_row
from shared.database.statements import statement
from shared.domain.absence import Identity, Question, QuestionKind, Result, Stream

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from shared.database.connect import Connection


@dataclass(frozen=True, slots=True)
class UnknownAttempt:
    """One attempt to ask about, with the token that may settle it.

    Attributes:
        order_id: the row.
        number: of the attempt.
        token: of this resolver.
        account_id: whose order it is.
        account: the account's row as it is now.
        market: spot or futures.
        symbol: as the exchange writes it.
        client_order_id: what to ask for.
        pair: base and quote asset.
        signed_at_ms: the signing timestamp.
        recv_window_ms: with it the deadline.
        base_url: where it was sent.
        api_key_hash: of the key it was sent with.
        account_uid: the exchange's own name of the account, where known.
        environment_epoch: of the base URL when it was claimed.
        epoch: of the database it was claimed in.
        counted: attempts of the row judged absent before.
        stream: how far its account's user stream is known to be without a gap.
        trace: W3C traceparent of the order's trace, or None.
        conditional: it went to the futures exchange's algo service.

    """

    order_id: UUID
    number: int
    token: UUID
    account_id: UUID
    account: AccountRow
    market: str
    symbol: str
    client_order_id: str
    pair: tuple[str, str]
    signed_at_ms: int
    recv_window_ms: int
    base_url: str
    api_key_hash: str
    account_uid: str | None
    environment_epoch: int
    epoch: int
    counted: int
    stream: Stream | None
    trace: str | None
    conditional: bool


async def take_unknown(
    connection: Connection,
    *,
    owner: str,
    lease: timedelta,
    limit: int = 100,
    accounts: list[UUID] | None = None,
) -> list[UnknownAttempt]:
    """Take unknown attempts nobody is resolving, each under a fresh token."""
    rows = await connection.fetch(statement("take_unknown"), owner, lease, limit, accounts)
    return [
        UnknownAttempt(
            order_id=row["order_id"],
            number=row["number"],
            token=row["token"],
            account_id=row["account_id"],
            account=account_row(row),
            market=row["market"],
            symbol=row["symbol"],
            client_order_id=row["client_order_id"],
            pair=(row["base_asset"], row["quote_asset"]),
            signed_at_ms=row["signed_at_ms"],
            recv_window_ms=row["recv_window_ms"],
            base_url=row["base_url"],
            api_key_hash=row["api_key_hash"],
            account_uid=row["account_uid"],
            environment_epoch=row["environment_epoch"],
            epoch=row["epoch"],
            counted=row["counted"],
            stream=Stream(row["subscribed_at_ms"], row["verified_through_ms"])
            if row["subscribed_at_ms"] is not None
            else None,
            trace=row["trace"],
            conditional=row["conditional"],
        )
        for row in rows
    ]


async def asked_so_far(connection: Connection, order_id: UUID, number: int) -> list[Question]:
    """Return every question asked about an attempt, in the order of asking."""
    rows = await connection.fetch(statement("asked_so_far"), order_id, number)
    return [
        Question(
            kind=QuestionKind(row["kind"]),
            result=Result(row["result"]),
            identity=Identity(row["api_key_hash"], row["account_uid"], row["environment"], row["epoch"]),
            sent_after_ms=row["sent_after_ms"],
        )
        for row in rows
    ]


async def store_question(
    connection: Connection, order_id: UUID, number: int, question: Question, detail: str
) -> None:
    """Keep a question and what it brought; it outlives this process."""
    identity = question.identity
    await connection.execute(
        statement("store_question"),
        order_id,
        number,
        question.kind,
        question.sent_after_ms,
        question.result,
        detail,
        identity.api_key_hash,
        identity.account_uid,
        identity.environment,
        identity.epoch,
    )


async def look_again_after(connection: Connection, token: UUID, *, wait: timedelta) -> None:
    """Leave an attempt alone for a while; whoever comes first then goes on."""
    await connection.execute(statement("look_again_after"), token, wait)


async def known_exchange_orders(
    connection: Connection, account_id: UUID, market: str, symbol: str, exchange_order_ids: list[str]
) -> set[str]:
    """Return those of the exchange's order ids that belong to an order we know."""
    rows = await connection.fetch(
        statement("known_exchange_orders"), account_id, market, symbol, exchange_order_ids
    )
    return {row["exchange_order_id"] for row in rows}
