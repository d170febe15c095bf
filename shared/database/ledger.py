"""DESIGN 6: the ledger. Fills are stored once, by a key that is the same wherever an execution is told."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, NamedTuple

import orjson
import structlog

from shared.database.statements import statement
from shared.domain.fill import Fill, contradiction
from shared.domain.order import Market, Side

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection
    from shared.domain.fill import FillKey
    from shared.domain.settlement import OrderReport

log = structlog.get_logger(__name__)


async def environment_epoch(connection: Connection, base_url: str) -> int:
    """Return the epoch of an environment; it begins with 1 and rises when a testnet was wiped."""
    # The update changes nothing; without it a row that is there already would not be returned.
    epoch: int = await connection.fetchval(
        "INSERT INTO bridge.environment (base_url) VALUES ($1) "
        "ON CONFLICT (base_url) DO UPDATE SET base_url = excluded.base_url RETURNING epoch",
        base_url,
    )
    return epoch


async def known_fills(connection: Connection, fills: Collection[Fill]) -> dict[FillKey, Fill]:
    """Return the fills stored already of the orders that these belong to."""
    if not fills:
        return {}
    orders = sorted({fill.key[:5] for fill in fills})
    rows = await connection.fetch(statement("known_fills"), *as_columns(orders, 5))
    stored = (read_fill(row) for row in rows)
    return {fill.key: fill for fill in stored}


async def store_external_fills(connection: Connection, fills: Sequence[Fill], source: str) -> set[FillKey]:
    """Store executions of orders we did not place.

    Args:
        connection: within a transaction that holds the locks of the positions they belong to.
        fills: whose client order ids are known and not in our form.
        source: `stream` or `query`.

    Returns:
        The keys of those that were new; the others are compared with what was stored.

    """
    if not fills:
        return set()
    rows = [tuple(fill_row(fill, None, None, None, source).values()) for fill in fills]
    columns = as_columns(rows, 22)
    inserted = {tuple(row) for row in await connection.fetch(statement("store_fills"), *columns)}
    again = [fill for fill in fills if fill.key not in inserted]
    stored = await known_fills(connection, again)
    for fill in again:
        fields = contradiction(stored[fill.key], fill)
        if fields is not None:
            told_by = _Teller(None, fill.account_id, None, source)
            await _tell_contradiction(connection, stored[fill.key], fill, told_by, fields)
    return inserted


def fill_row(
    fill: Fill, order_id: UUID | None, number: int | None, strategy_id: UUID | None, source: str
) -> dict[str, Any]:
    """Return the columns of `bridge.fill` for an execution, in the order of `store_fills`."""
    return {
        "account_id": fill.account_id,
        "market": fill.market,
        "environment_epoch": fill.environment_epoch,
        "symbol": fill.symbol,
        "exchange_order_id": fill.exchange_order_id,
        "trade_id": fill.trade_id,
        "order_id": order_id,
        "number": number,
        "client_order_id": fill.client_order_id,
        "strategy_id": strategy_id,
        "side": fill.side,
        "position_side": fill.position_side,
        "price": fill.price,
        "quantity": fill.quantity,
        "quote": fill.quote,
        "commission": fill.commission,
        "commission_asset": fill.commission_asset,
        "commission_in_quote": fill.commission_in_quote,
        "realized": fill.realized,
        "is_maker": fill.is_maker,
        "traded_at": fill.traded_at,
        "source": source,
    }


async def note_contradictions(connection: Connection, pairs: Iterable[tuple[Fill, Fill, OrderReport]]) -> int:
    """Raise the alarm about executions that were told in two ways; what was stored first stands.

    Args:
        connection: within the settling transaction.
        pairs: (as stored, as told now, by which report).

    Returns:
        How many really differ.

    """
    found = 0
    for stored, told, report in pairs:
        fields = contradiction(stored, told)
        if fields is not None:
            await _tell_contradiction(connection, stored, told, report, fields)
            found += 1
    return found


class _Teller(NamedTuple):
    """Who told of an execution, where it was no report about an order of ours."""

    order_id: UUID | None
    account_id: UUID
    number: int | None
    source: str


async def _tell_contradiction(
    connection: Connection, stored: Fill, told: Fill, report: OrderReport | _Teller, fields: str
) -> None:
    data = {"symbol": told.symbol, "trade_id": told.trade_id, "fields": fields, "source": report.source}
    data |= {"stored": asdict(stored), "told": asdict(told)}
    await connection.execute(
        "INSERT INTO bridge.event (kind, order_id, account_id, number, data) "
        "VALUES ('fill_contradiction', $1, $2, $3, $4::text::jsonb)",
        report.order_id,
        report.account_id,
        report.number,
        as_json(data),
    )
    log.error(
        "fill.contradiction",
        order_id=str(report.order_id),
        account_id=str(report.account_id),
        symbol=told.symbol,
        trade_id=told.trade_id,
        fields=fields,
        advice="compare bridge.event fill_contradiction with the trade list of the exchange",
    )


def position_key(account_id: UUID, market: str, symbol: str) -> str:
    """Name what the advisory lock of a position's key is taken on."""
    return f"{account_id} {market} {symbol}"


def read_fill(row: asyncpg.Record) -> Fill:
    """Read a row of `bridge.fill`."""
    values = {name: row[name] for name in _FILL_FIELDS}
    return Fill(**{**values, "market": Market(row["market"]), "side": Side(row["side"])})


FILL_KEY = ("account_id", "market", "environment_epoch", "symbol", "exchange_order_id", "trade_id")
_FILL_FIELDS = tuple(field.name for field in fields(Fill))


def as_columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Turn rows into one array a column, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


def as_json(value: Any) -> str:
    """Write JSON with decimals as text, so that no digit is lost."""
    return orjson.dumps(value, default=str).decode()
