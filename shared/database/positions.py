"""DESIGN 6: positions, counted from the stored fills in the transaction that stored them.

One transaction at a time counts into one (account, market, symbol), under an advisory lock taken in sorted
order. In the common case only the new fills are counted; a late one means folding its holding again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from shared.database.ledger import FILL_KEY, as_columns, fill_row, position_key, read_fill
from shared.database.statements import statement, without
from shared.domain.futures_positions import realized_difference
from shared.domain.holding import Change, Counted, Kind, count_again, count_in, emptied
from shared.domain.money import ZERO
from shared.domain.order import Market
from shared.domain.position import Cycle, OutOfOrderError, Position, PositionSide, opening, rules_of
from shared.domain.projection import project

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from decimal import Decimal
    from typing import Any
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection
    from shared.domain.fill import Fill
    from shared.domain.settlement import OrderReport

    Row = asyncpg.Record | Mapping[str, Any]

log = structlog.get_logger(__name__)

HoldingKey = tuple["UUID", str, str]


@dataclass(frozen=True, slots=True)
class PositionChange:
    """What happened to a position, as written.

    Attributes:
        position_id: of `bridge.position` and `public.positions`.
        account_id: whose.
        market: spot or futures.
        symbol: as the exchange writes it.
        side: long or short.
        kind: opened, grown, reduced, closed or corrected.
        order_id: the order whose fills did it; None for an order we did not place.
        size: after it, in base.
        entry_price: after it, quote per base.
        realized: of this life of the position so far, in quote, net of fees.

    """

    position_id: UUID
    account_id: UUID
    market: Market
    symbol: str
    side: PositionSide
    kind: Kind
    order_id: UUID | None
    size: Decimal
    entry_price: Decimal
    realized: Decimal


async def lock(connection: Connection, keys: Collection[HoldingKey]) -> None:
    """Lock the positions of some keys until the transaction ends: before their fills are written."""
    await connection.execute(statement("lock_holdings"), [position_key(*key) for key in keys])


async def apply_fills(connection: Connection, keys: Collection[HoldingKey]) -> list[PositionChange]:
    """Count what is stored of some keys and not counted yet into their positions; locks them first."""
    await lock(connection, keys)
    return await count_fills(connection, keys)


async def count_fills(connection: Connection, keys: Collection[HoldingKey]) -> list[PositionChange]:
    """Count all stored fills of some keys that were not counted yet into their positions.

    Args:
        connection: within the transaction that stored them and holds the locks of the keys.
        keys: (account, market, symbol as the exchange writes it).

    Returns:
        What happened to the positions, in order.

    """
    if not keys:
        return []
    rows = await connection.fetch(statement("new_fills"), *as_columns(sorted(keys), 3))
    if not rows:
        return []
    work = Work()
    for _, group in groupby(sorted(rows, key=_holding_order), key=_holding_order):
        of_holding = list(group)
        fills = [read_fill(row) for row in of_holding]
        await _count(connection, of_holding[0], fills, of_holding, work)
        work.fills += [dict(zip(FILL_KEY, fill.key, strict=True)) for fill in fills]
    await work.write(connection)
    return work.changes


@dataclass(frozen=True, slots=True)
class Told:
    """An execution that a report told.

    Attributes:
        fill: it.
        report: which told it.
        row: the line of its order, the state of its holding, and the fill itself where it is stored already.

    """

    fill: Fill
    report: OrderReport
    row: asyncpg.Record

    @property
    def stored(self) -> Fill | None:
        """The same execution as it was stored before."""
        return read_fill(self.row) if self.row["price"] is not None else None

    @property
    def holding_key(self) -> HoldingKey:
        """Where its position's lock is."""
        return self.fill.account_id, self.fill.market, self.fill.symbol


@dataclass(frozen=True, slots=True)
class Versions:
    """What was read without holding a lock, and has to stand still when something is written.

    Attributes:
        lines: versions of row, entry and attempt, by attempt.
        positions: names of the locks of the positions that will change.
        holdings: versions of those there are already.

    """

    lines: Mapping[tuple[UUID, int], str]
    positions: Collection[str]
    holdings: Mapping[UUID, str]


async def count_new(connection: Connection | None, told: Sequence[Told]) -> Work:
    """Count executions that are not stored yet into their positions.

    Args:
        connection: within the transaction that has locked the lines and the positions; None: nothing is
            locked, so a holding cannot be folded again.
        told: they.

    Returns:
        What is to be written, the executions too.

    Raises:
        OutOfOrderError: a holding had to be folded again.

    """
    work = Work()
    by_holding: dict[tuple[Any, ...], list[Told]] = {}
    for one in sorted(told, key=lambda one: one.fill.moment):
        by_holding.setdefault(tuple(one.row[name] for name in _HOLDING_KEY), []).append(one)
    for of_holding in by_holding.values():
        fills, rows = [one.fill for one in of_holding], [one.row for one in of_holding]
        await _count(connection, rows[0], fills, rows, work)
    work.new_fills = [
        fill_row(one.fill, one.report.order_id, one.report.number, one.row["strategy_id"], one.report.source)
        for one in told
    ]
    return work


async def traces_of_closed(
    connection: Connection, changes: Collection[PositionChange]
) -> dict[UUID, tuple[str, ...]]:
    """Return the traces of the orders that made the positions which are closed now, by position."""
    closed = [change.position_id for change in changes if change.kind is Kind.CLOSED]
    if not closed:
        return {}
    rows = await connection.fetch(statement("traces_of_positions"), closed)
    return {row["position_id"]: tuple(row["traces"]) for row in rows}


class Work:
    """What is going to be written of some positions."""

    def __init__(self) -> None:
        self.holdings: list[dict[str, Any]] = []
        self.cycles: list[dict[str, Any]] = []
        self.fills: list[dict[str, Any]] = []
        self.new_fills: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.changes: list[PositionChange] = []

    async def write(
        self,
        connection: Connection,
        lines: Sequence[dict[str, Any]] = (),
        evidence: Sequence[dict[str, Any]] = (),
        versions: Versions | None = None,
    ) -> bool:
        """Write it, and what became of the orders, in one statement.

        Args:
            connection: within the transaction that holds the locks; with versions any.
            lines: of orders, as JSON.
            evidence: about them, as JSON.
            versions: nothing is written unless these still stand.

        Returns:
            Whether they did.

        """
        known: tuple[Any, ...] = (None,) * 6
        if versions is not None:
            known = (
                [order_id for order_id, _ in versions.lines],
                [number for _, number in versions.lines],
                list(versions.lines.values()),
                list(versions.positions),
                list(versions.holdings),
                list(versions.holdings.values()),
            )
        written: bool
        if not self.holdings:
            text = without("write_settled", "fills")
            written = await connection.fetchval(text, *known, lines, evidence)
        else:
            written = await connection.fetchval(
                statement("write_settled"),
                *known,
                lines,
                evidence,
                self.holdings,
                self.cycles,
                self.new_fills,
                self.fills,
                self.events,
            )
        return written


def _holding_order(row: asyncpg.Record) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _HOLDING_KEY)


@dataclass(frozen=True, slots=True)
class _Written:
    """What is to be written of one holding.

    Attributes:
        counted: its new state.
        cycles: the lives that look different now.
        ids: the ids of the lives there are rows of, by number.
        ended: the lives that had ended before.
        unmatched: sold beyond what we knew was held, altogether.

    """

    counted: Counted
    cycles: tuple[Cycle, ...]
    ids: dict[int, UUID]
    ended: frozenset[int]
    unmatched: Decimal


async def recount(
    connection: Connection, holdings: Collection[UUID], *, shown_again: Collection[UUID] = ()
) -> list[PositionChange]:
    """Fold holdings again from all their fills, because the worth of one has changed.

    Args:
        connection: within a transaction that holds the locks of their keys.
        holdings: ids of `bridge.holding`.
        shown_again: lives whose row of the bot's is written again although the ledger has them right.

    Returns:
        The lives that look different now.

    """
    work = Work()
    for row in await connection.fetch(statement("holdings"), list(holdings)):
        written = await _again(connection, row["holding_id"], state_of(row), shown_again)
        _put(work, row, row["holding_id"], written, "")
    await work.write(connection)
    return work.changes


async def _count(
    connection: Connection | None,
    first: Row,
    fills: Sequence[Fill],
    orders: Sequence[asyncpg.Record],
    work: Work,
) -> None:
    """Count the new fills of one holding.

    Args:
        connection: within the transaction; None: see `count_new`.
        first: the state of the holding.
        fills: new to it.
        orders: reasoning and strategy of the orders of these fills.
        work: takes what is to be written.

    """
    start = state_of(first)
    try:
        counted = count_in(start, fills)
    except OutOfOrderError:
        if connection is None:
            raise
        written = await _again(connection, first["holding_id"], start, late=fills)
    else:
        open_id = first["position_id"] or first["opening_id"]
        ids = {start.cycle.number: open_id} if start.cycle is not None else {}
        unmatched = (first["unmatched"] or ZERO) + _quantity(counted)
        written = _Written(counted, counted.cycles, ids, frozenset(), unmatched)
        difference = realized_difference(start, counted, fills)
        if difference is not None:
            work.events.append(_difference_json(first, fills, difference))
    reasoning = next((row["reasoning"] for row in orders if row["reasoning"]), "")
    strategy = next((row["order_strategy_id"] for row in orders if row["order_strategy_id"]), None)
    _put(work, first, first["holding_id"] or uuid4(), written, reasoning, strategy)


def _put(
    work: Work,
    row: Row,
    holding_id: UUID,
    written: _Written,
    reasoning: str,
    strategy: UUID | None = None,
) -> None:
    """Add what became of a holding to what is going to be written.

    A holding that is nobody's alone (futures) shows new lives under the strategy of the order that began
    them.
    """
    work.holdings.append(_holding_json(row, holding_id, written))
    ids = dict(written.ids)
    for cycle in written.cycles:
        identity = ids.setdefault(cycle.number, uuid4())
        work.cycles.append(
            {
                **_cycle_json(row, cycle),
                "strategy_id": row["strategy_id"] or strategy,
                "id": identity,
                "holding_id": holding_id,
                "is_new": cycle.number not in written.ids,
                "reopened": cycle.number in written.ended,
                "opening": identity == row["opening_id"],
                "reasoning": reasoning,
            }
        )
    for change in written.counted.changes:
        work.changes.append(_position_change(row, change, ids[change.number]))
        work.events.append(_event_json(work.changes[-1]))
    if written.unmatched > (row["unmatched"] or ZERO):
        work.events.append(_unmatched_json(row, written.unmatched - (row["unmatched"] or ZERO)))


async def _again(
    connection: Connection,
    holding_id: UUID,
    start: Position,
    shown_again: Collection[UUID] = (),
    late: Sequence[Fill] = (),
) -> _Written:
    """Fold a whole holding again, because a fill came late; lives that are no more become empty ones.

    An empty one gives its number away, to the life that is counted next: below zero nothing counts on.
    """
    lives = await connection.fetch(statement("lives"), holding_id)
    fills = [read_fill(row) for row in await connection.fetch(statement("whole_holding"), holding_id)]
    before = {row["number"]: cycle_of(row) for row in lives if row["id"]}
    counted = count_again(opened(start, lives[0]), [*fills, *late], before)
    there = {cycle.number for cycle in counted.cycles}
    changed = {change.number for change in counted.changes}
    changed |= {row["number"] for row in lives if row["id"] in shown_again}
    gone = [number for number in before if number > 0 and number not in there]
    aside = {number: min(0, *before) - nth for nth, number in enumerate(gone, 1)}
    empty = tuple(replace(emptied(before[number]), number=aside[number]) for number in gone)
    return _Written(
        counted,
        (*(cycle for cycle in counted.cycles if cycle.number in changed), *empty),
        {aside.get(row["number"], row["number"]): row["id"] for row in lives if row["id"]},
        frozenset(
            aside.get(row["number"], row["number"]) for row in lives if row["status"] not in (None, "open")
        ),
        _quantity(counted),
    )


def _quantity(counted: Counted) -> Decimal:
    return sum((part.quantity for part in counted.unmatched), ZERO)


def state_of(row: Row) -> Position:
    """Read a holding's state, or begin one: empty, or with the bot's row that was there before us."""
    rules = rules_of(Market(row["market"]), row["position_side"], row["base_asset"], row["dust_below"])
    if row["holding_id"] is None:
        return opened(Position(rules), row)
    through = (row["through_at"], row["through_trade"], row["through_order"]) if row["through_at"] else None
    return Position(
        rules,
        cycle_of(row) if row["position_id"] else None,
        dust=row["dust"],
        dust_cost=row["dust_cost"],
        cycles=row["cycles"],
        through=through,
        unvalued=row["unvalued"],
    )


def opened(state: Position, row: Row) -> Position:
    """Return what a holding began with: nothing, or the bot's row that was there before us."""
    if row["opening_side"] is None:
        return Position(state.rules)
    return opening(
        state.rules,
        PositionSide(row["opening_side"]),
        row["opening_size"],
        row["opening_price"],
        row["opening_at"],
    )


def cycle_of(row: Row) -> Cycle:
    """Read a life of a position."""
    return Cycle(
        number=row["number"],
        side=PositionSide(row["cycle_side"]),
        size=row["size"],
        cost=row["cost"],
        entry_price=row["entry_price"],
        peak=row["peak"],
        exited=row["exited"],
        exit_value=row["exit_value"],
        realized=row["cycle_realized"],
        fees=row["fees"],
        last_price=row["last_price"],
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        liquidated=row.get("status") == "liquidated",
    )


def _holding_json(row: Row, holding_id: UUID, written: _Written) -> dict[str, Any]:
    position = written.counted.position
    through = position.through or (None, None, None)
    return {
        "id": holding_id,
        **{name: row[name] for name in _HOLDING_FIELDS},
        "cycles": position.cycles,
        "dust": position.dust,
        "dust_cost": position.dust_cost,
        "unmatched": written.unmatched,
        "unvalued": position.unvalued,
        "through_at": through[0],
        "through_trade": through[1],
        "through_order": through[2],
    }


def _cycle_json(row: Row, cycle: Cycle) -> dict[str, Any]:
    shown = project(cycle)
    return {
        **{name: row[name] for name in ("account_id", "user_id", "market", "symbol")},
        "display_symbol": f"{row['base_asset']}/{row['quote_asset']}",
        "number": cycle.number,
        "side": cycle.side,
        "status": shown.status,
        "size": cycle.size,
        "cost": cycle.cost,
        "entry_price": cycle.entry_price,
        "peak": cycle.peak,
        "exited": cycle.exited,
        "exit_value": cycle.exit_value,
        "realized": cycle.realized,
        "fees": cycle.fees,
        "last_price": cycle.last_price,
        "opened_at": cycle.opened_at,
        "closed_at": cycle.closed_at,
        "shown_size": shown.size,
        "shown_entry": shown.entry_price,
        "shown_price": shown.current_price,
        "shown_pnl": shown.unrealized_pnl,
        "shown_percent": shown.unrealized_pnl_pct,
        "shown_realized": shown.realized_pnl,
    }


def _position_change(row: Row, change: Change, position_id: UUID) -> PositionChange:
    return PositionChange(
        position_id=position_id,
        account_id=row["account_id"],
        market=Market(row["market"]),
        symbol=row["symbol"],
        side=change.cycle.side,
        kind=change.kind,
        order_id=change.order_id,
        size=change.cycle.size,
        entry_price=change.cycle.entry_price,
        realized=change.cycle.realized,
    )


def _event_json(change: PositionChange) -> dict[str, Any]:
    names = ("position_id", "market", "symbol", "side", "size", "entry_price", "realized")
    data = {name: getattr(change, name) for name in names}
    return {"kind": change.kind, "order_id": change.order_id, "account_id": change.account_id, "data": data}


def _unmatched_json(row: Row, quantity: Decimal) -> dict[str, Any]:
    """Tell of a sale beyond what we knew was held: it never makes a short (DESIGN 6)."""
    data = {"symbol": row["symbol"], "quantity": quantity, "position_side": row["position_side"]}
    return {
        "kind": "position_unmatched",
        "order_id": None,
        "account_id": row["account_id"],
        "data": data,
    }


def _difference_json(row: Row, fills: Sequence[Fill], difference: Decimal) -> dict[str, Any]:
    """Tell that the exchange reckons another profit than we do: one of us misses an execution."""
    log.warning(
        "position.realized_differs",
        account_id=str(row["account_id"]),
        symbol=row["symbol"],
        difference=str(difference),
        advice="compare bridge.fill with the trade list of the exchange; trades from before us are not in it",
    )
    data = {
        "symbol": row["symbol"],
        "position_side": row["position_side"],
        "difference": difference,
        "trades": [fill.trade_id for fill in fills],
    }
    return {
        "kind": "realized_differs",
        "order_id": fills[-1].order_id,
        "account_id": row["account_id"],
        "data": data,
    }


_HOLDING_KEY = ("account_id", "market", "symbol", "environment_epoch", "strategy_id", "position_side")
_HOLDING_FIELDS = (
    "account_id",
    "market",
    "environment_epoch",
    "symbol",
    "strategy_id",
    "position_side",
    "user_id",
    "base_asset",
    "quote_asset",
    "dust_below",
    "opening_id",
    "opening_side",
    "opening_size",
    "opening_price",
    "opening_at",
)
