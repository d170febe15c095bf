"""Promise 4: fold the stored fills again, and say or mend what is not what they come to."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from shared.database.ledger import as_json, position_key, read_fill
from shared.database.positions import apply_fills, cycle_of, opened, recount, state_of
from shared.database.statements import statement
from shared.domain.money import ZERO
from shared.domain.position import fold
from shared.domain.replay import Difference, Place, Stored, differences

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection
    from shared.database.positions import HoldingKey

_ROW = (
    *("size", "entry_price", "current_price", "unrealized_pnl", "unrealized_pnl_pct"),
    *("realized_pnl", "status", "opened_at", "closed_at"),
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A holding, folded again.

    Attributes:
        account_id: whose.
        market: spot or futures.
        symbol: as the exchange writes it.
        fills: how many were folded.
        found: what was not what they come to.
        left: of that, after the repair; without one the same.

    """

    account_id: UUID
    market: str
    symbol: str
    fills: int
    found: tuple[Difference, ...]
    left: tuple[Difference, ...]


async def replay_all(
    connection: Connection, account_id: UUID | None, symbol: str | None, *, repair: str | None
) -> list[Replayed]:
    """Fold the fills of every holding again, each in a transaction that nobody counts fills beside.

    Args:
        connection: any.
        account_id: only this account's.
        symbol: only this one, in any spelling.
        repair: who asks for what differs to be written again as the fills say; None = only look.

    """
    uncounted = await connection.fetch(statement("uncounted_fills"), account_id, symbol)
    replayed = [await _count(connection, row, repair) for row in uncounted]
    for row in await connection.fetch(statement("holdings_to_replay"), account_id, symbol):
        async with connection.transaction():
            replayed.append(await _replay(connection, row, repair))
    return replayed


async def _count(connection: Connection, row: asyncpg.Record, repair: str | None) -> Replayed:
    """Count fills in that nobody has counted."""
    key: HoldingKey = (row["account_id"], row["market"], row["symbol"])
    found = (Difference(Place.FILLS, 0, "applied", f"{row['fills']} are not counted", "all are"),)
    left: tuple[Difference, ...] = found
    if repair is not None:
        async with connection.transaction():
            await apply_fills(connection, [key])
            await _tell(connection, row, found, repair)
        left = ()
    return Replayed(*key, row["fills"], found, left)


async def _replay(connection: Connection, row: asyncpg.Record, repair: str | None) -> Replayed:
    key: HoldingKey = (row["account_id"], row["market"], row["symbol"])
    await connection.execute(statement("lock_holdings"), [position_key(*key)])
    ids, fills, found = await _compared(connection, row["id"])
    left = found
    # A life the ledger has lost would become a second row beside the bot's old one.
    is_whole = not any(one.place is Place.LEDGER and one.field == "number" for one in found)
    if found and is_whole and repair is not None:
        rows = {difference.number for difference in found if difference.place is Place.ROW}
        shown_again = [identity for number, identity in ids.items() if number in rows]
        await recount(connection, [row["id"]], shown_again=shown_again)
        _, _, left = await _compared(connection, row["id"])
        await _tell(connection, row, [one for one in found if one not in left], repair)
    return Replayed(*key, fills, found, left)


async def _compared(
    connection: Connection, holding_id: UUID
) -> tuple[dict[int, UUID], int, tuple[Difference, ...]]:
    """Fold one holding's fills; returns the ids of its lives, how many fills there are, what differs."""
    (holding,) = await connection.fetch(statement("holdings"), [holding_id])
    lives = await connection.fetch(statement("replayed_lives"), holding_id)
    fills = [read_fill(row) for row in await connection.fetch(statement("whole_holding"), holding_id)]
    state = state_of(holding)
    stored = Stored(
        position=state,
        unmatched=holding["unmatched"] or ZERO,
        lives={row["number"]: cycle_of(row) for row in lives},
        rows={row["number"]: _row(row) for row in lives if row["has_row"]},
        bot_closed=frozenset(row["number"] for row in lives if row["bot_closed"]),
    )
    found = tuple(differences(stored, fold(fills, opened(state, holding))))
    return {row["number"]: row["id"] for row in lives}, len(fills), found


def _row(life: asyncpg.Record) -> dict[str, object]:
    return {name: life[f"row_{name}"] for name in _ROW}


async def _tell(connection: Connection, row: asyncpg.Record, mended: Sequence[Difference], by: str) -> None:
    """Put what was mended into the audit trail, with what stood there before."""
    data = {"by": by, "market": row["market"], "symbol": row["symbol"]}
    data |= {"mended": [asdict(difference) for difference in mended]}
    await connection.execute(
        "INSERT INTO bridge.event (kind, account_id, data) VALUES ('operator_replays', $1, $2::text::jsonb)",
        row["account_id"],
        as_json(data),
    )
