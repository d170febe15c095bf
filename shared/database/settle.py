"""PROTOCOL 6: settle. The one path by which anything we learn about an order reaches the database.

Lock the lines, read which fills are stored already, decide (`shared.domain.settlement`), write, apply the new
fills to the positions: one transaction, many orders at once. Used by the executor for answers and by the
listener for stream events and queries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shared.database.claim import EpochChangedError
from shared.database.connect import DurableCommit
from shared.database.ledger import note_contradictions, position_key
from shared.database.positions import count_new, look_up, traces_of_closed
from shared.database.statements import statement
from shared.domain.order import OrderStatus
from shared.domain.settlement import Line, OrderReport, Outcome, with_outcome, with_report
from shared.domain.states import AttemptOutcome, EntryState, ExchangeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any
    from uuid import UUID

    import asyncpg

    from shared.database.connect import Connection
    from shared.database.positions import PositionChange
    from shared.domain.fill import Fill, FillKey

Finding = OrderReport | Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """What a call of `settle` wrote.

    Attributes:
        lines: one per finding that changed something, in its final state.
        unchanged: lines about which nothing new was said.
        ignored: outcomes whose token, number or state no longer held.
        orphans: reports with our id form about rows we do not know (PROTOCOL 10); the caller decides.
        positions: positions opened, grown, reduced or closed by the new fills.
        fills_stored: (market, source) of each new fill.
        fills_repeated: (market, source) of each fill told again.
        contradictions: how many of these were told in another way.
        closed: traces of the orders whose fills made the positions that were closed.

    """

    lines: tuple[Line, ...] = ()
    unchanged: tuple[Line, ...] = ()
    ignored: tuple[Outcome, ...] = ()
    orphans: tuple[OrderReport, ...] = ()
    positions: tuple[PositionChange, ...] = ()
    fills_stored: tuple[tuple[str, str], ...] = ()
    fills_repeated: tuple[tuple[str, str], ...] = ()
    contradictions: int = 0
    closed: Mapping[UUID, tuple[str, ...]] = field(default_factory=dict)


async def settle(connection: Connection, findings: Sequence[Finding]) -> Settled:
    """Settle findings in one durable transaction.

    Raises:
        EpochChangedError: the server restarted or its history changed; compare the epoch, then settle again.
        NotDurableError: the synchronous standby did not confirm; settle again.
        asyncpg.LockNotAvailableError: somebody holds one of the rows; settle one by one, later.

    """
    async with DurableCommit(connection), connection.transaction():
        return await _settle(connection, findings)


async def _settle(connection: Connection, findings: Sequence[Finding]) -> Settled:
    rows = await _lock(connection, findings)
    if forgotten := _forgotten(findings, rows):
        await _recover(connection, forgotten)
        rows = await _lock(connection, findings)
    if any(isinstance(f, Outcome) for f in findings) and any(row["live_epoch"] is None for row in rows):
        # Positive evidence counts in any history, the other outcomes only in their own.
        raise EpochChangedError
    findings = _in_its_epoch(findings, rows)
    before = {(row["order_id"], row["number"]): _line(row) for row in rows}
    told = await look_up(
        connection, _told_fills(findings, before), {(row["order_id"], row["number"]): row for row in rows}
    )
    stored = {key: fill for key, one in told.items() if (fill := one.stored) is not None}
    fresh_ones = [one for key, one in told.items() if key not in stored]
    new = {one.fill.key for one in fresh_ones}

    after = dict(before)
    told_again: list[tuple[Fill, Fill, OrderReport]] = []
    evidence: list[tuple[OrderReport, bool]] = []
    ignored: list[Outcome] = []
    orphans: list[OrderReport] = []
    for finding in findings:
        line = after.get((finding.order_id, finding.number))
        if isinstance(finding, Outcome):
            decided = with_outcome(line, finding) if line else None
            if decided is None:
                ignored.append(finding)
                continue
        elif line is None or (line.account_id, line.symbol) != (finding.account_id, finding.symbol):
            orphans.append(finding)
            continue
        else:
            fresh: list[Fill] = []
            for fill in finding.fills:
                if fill.key in new:
                    new.remove(fill.key)
                    stored[fill.key] = fill
                    fresh.append(fill)
                else:
                    told_again.append((stored[fill.key], fill, finding))
            decided = with_report(line, finding, fresh)
            evidence.append((finding, decided.late))
        after[finding.order_id, finding.number] = decided

    changed = [line for key, line in after.items() if line != before[key]]
    contradictions = await note_contradictions(connection, told_again)
    contradicted = [line for line in changed if line.late and not before[line.order_id, line.number].late]
    if contradicted:
        await _halt_for_late_evidence(connection, contradicted)
    if changed or evidence:
        await connection.execute(
            statement("write_lines"), [_json(line, before) for line in changed], _evidence_json(evidence)
        )
    positions = await count_new(connection, fresh_ones)
    unchanged = [line for key, line in after.items() if line == before[key]]
    traced = any(line.trace for line in changed)
    return Settled(
        lines=tuple(changed),
        unchanged=tuple(unchanged),
        ignored=tuple(ignored),
        orphans=tuple(orphans),
        positions=tuple(positions),
        fills_stored=tuple((str(one.report.market), one.report.source) for one in fresh_ones),
        fills_repeated=tuple((str(report.market), report.source) for _, _, report in told_again),
        contradictions=contradictions,
        closed=await traces_of_closed(connection, positions) if traced else {},
    )


def _in_its_epoch(findings: Sequence[Finding], rows: Sequence[asyncpg.Record]) -> list[Finding]:
    """Give fills the environment epoch their attempt was claimed in.

    Processes learn of a wiped testnet at different moments; the epoch is part of a fill's key, so whoever
    tells of a fill has to tell the same one.
    """
    epochs = {(row["order_id"], row["number"]): row["environment_epoch"] for row in rows}

    def right(finding: Finding) -> Finding:
        epoch = epochs.get((finding.order_id, finding.number))
        if isinstance(finding, Outcome) or epoch is None:
            return finding
        if all(fill.environment_epoch == epoch for fill in finding.fills):
            return finding
        fills = tuple(replace(fill, environment_epoch=epoch) for fill in finding.fills)
        return replace(finding, fills=fills)

    return [right(finding) for finding in findings]


def _told_fills(
    findings: Sequence[Finding], lines: Mapping[tuple[UUID, int], Line]
) -> list[tuple[Fill, OrderReport]]:
    """Pick the fills of reports about known attempts, each execution once."""
    told: dict[FillKey, tuple[Fill, OrderReport]] = {}
    for finding in findings:
        if isinstance(finding, OrderReport):
            line = lines.get((finding.order_id, finding.number))
            if line is not None and (line.account_id, line.symbol) == (finding.account_id, finding.symbol):
                for fill in finding.fills:
                    told.setdefault(fill.key, (fill, finding))
    return list(told.values())


async def _lock(connection: Connection, findings: Sequence[Finding]) -> list[asyncpg.Record]:
    ordered = sorted({(f.order_id, f.number) for f in findings})
    keys = {
        position_key(fill.account_id, fill.market, fill.symbol)
        for finding in findings
        if isinstance(finding, OrderReport)
        for fill in finding.fills
    }
    return await connection.fetch(
        statement("lock_lines"), [o for o, _ in ordered], [n for _, n in ordered], list(keys)
    )


def _forgotten(findings: Sequence[Finding], rows: Sequence[asyncpg.Record]) -> list[OrderReport]:
    """Pick reports in our id form whose attempt this history does not have (PROTOCOL 10)."""
    known = {(row["order_id"], row["number"]) for row in rows}
    reports = {(f.order_id, f.number): f for f in findings if isinstance(f, OrderReport)}
    return [report for key, report in reports.items() if key not in known]


async def _recover(connection: Connection, reports: Sequence[OrderReport]) -> None:
    """Make forgotten attempts of rows we know again, so that their reports are evidence."""
    orders, numbers = [r.order_id for r in reports], [r.number for r in reports]
    accounts = [r.account_id for r in reports]
    await connection.execute(statement("lock_forgotten"), orders)
    await connection.execute(statement("overtake"), orders, numbers, accounts)
    await connection.execute(
        statement("recover_attempts"),
        orders,
        numbers,
        accounts,
        [r.client_order_id for r in reports],
        [r.symbol for r in reports],
        [r.pair[0] for r in reports],
        [r.pair[1] for r in reports],
    )


def _line(row: asyncpg.Record) -> Line:
    return Line(
        order_id=row["order_id"],
        number=row["number"],
        account_id=row["account_id"],
        market=row["market"],
        symbol=row["symbol"],
        client_order_id=row["client_order_id"],
        quote_asset=row["quote_asset"],
        order_status=OrderStatus(row["order_status"]),
        reasoning=row["reasoning"],
        entry_state=EntryState(row["entry_state"]),
        entry_attempts=row["entry_attempts"],
        counted=row["counted"],
        has_evidence=row["has_evidence"],
        token=row["token"],
        outcome=AttemptOutcome(row["outcome"]) if row["outcome"] else None,
        exchange_order_id=row["exchange_order_id"],
        exchange_status=ExchangeStatus(row["exchange_status"]) if row["exchange_status"] else None,
        executed=row["executed"],
        executed_quote=row["executed_quote"],
        filled=row["filled"],
        fee=row["fee"],
        fee_asset=row["fee_asset"],
        fee_in_quote=row["fee_in_quote"],
        another_attempt_live=row["another_attempt_live"],
        late=row["late"],
        trace=row["trace"],
        reported_at=row["reported_at"],
        filled_at=row["filled_at"],
    )


# What of a line the bot's row shows; the row is written only when one of these changed.
_ROW_FIELDS = (
    "order_status",
    "exchange_order_id",
    "executed",
    "priced",
    "executed_quote",
    "fee",
    "fee_asset",
    "reasoning",
)


def _json(line: Line, before: dict[tuple[UUID, int], Line]) -> dict[str, Any]:
    old = before[line.order_id, line.number]
    return {
        "order_id": line.order_id,
        "number": line.number,
        "account_id": line.account_id,
        "order_status": line.order_status,
        "reasoning": line.reasoning,
        "entry_state": line.entry_state,
        "counted": line.counted,
        "has_evidence": line.has_evidence,
        "outcome": line.outcome,
        "exchange_order_id": line.exchange_order_id,
        "exchange_status": line.exchange_status,
        "executed": line.executed,
        "priced": line.priced,
        "executed_quote": line.executed_quote,
        "filled": line.filled,
        "fee": line.fee,
        "fee_asset": line.fee_asset,
        "fee_in_quote": line.fee_in_quote,
        "average_price": line.average_price,
        "reported_at": line.reported_at,
        "filled_at": line.filled_at,
        "reason_code": line.reason_code,
        "reason": line.reason,
        "retry_after": f"{line.retry_after.total_seconds()} seconds"
        if line.retry_after is not None
        else None,
        "late": line.late,
        "row_changed": not (line.late and line.another_attempt_live)
        and any(getattr(line, field) != getattr(old, field) for field in _ROW_FIELDS),
        "events": list(line.events),
    }


async def _halt_for_late_evidence(connection: Connection, lines: Sequence[Line]) -> None:
    """Halt the accounts of orders that exist although they were settled as not existing (PROTOCOL 6)."""
    await connection.execute(
        statement("halt_accounts"),
        sorted({line.account_id for line in lines}),
        "An order was found that had been settled as not existing: "
        + ", ".join(line.client_order_id for line in lines)
        + ". Compare the account with the exchange, then `bridge resume`.",
    )


def _evidence_json(evidence: Iterable[tuple[OrderReport, bool]]) -> list[dict[str, Any]]:
    return [
        {
            "order_id": report.order_id,
            "number": report.number,
            "source": report.source,
            "exchange_order_id": report.exchange_order_id,
            "exchange_status": report.status,
            "late": late,
        }
        for report, late in evidence
    ]


async def refuse(
    connection: Connection, refusals: Sequence[tuple[int, tuple[str, str], str, str]]
) -> frozenset[UUID]:
    """Reject rows that were never claimed: entry done, row `rejected` with the reason.

    Args:
        connection: any.
        refusals: (entry id, row version as peeked at, reason code, sentence).

    Returns:
        The rows rejected; one that changed since the peek is left for the next look.

    """
    return await _leave_new(connection, "refuse", refusals)


async def hold(
    connection: Connection, holds: Sequence[tuple[int, tuple[str, str], str, str]]
) -> frozenset[UUID]:
    """Hold rows for their owner's word (PROTOCOL 1); they leave only by `bridge adopt` or a cancel."""
    return await _leave_new(connection, "hold", holds)


async def _leave_new(
    connection: Connection, name: str, rows: Sequence[tuple[int, tuple[str, str], str, str]]
) -> frozenset[UUID]:
    records = await connection.fetch(
        statement(name),
        [entry for entry, _, _, _ in rows],
        [version[0] for _, version, _, _ in rows],
        [version[1] for _, version, _, _ in rows],
        [code for _, _, code, _ in rows],
        [sentence for _, _, _, sentence in rows],
    )
    return frozenset(row["order_id"] for row in records)
