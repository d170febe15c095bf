"""PROTOCOL 6: settle. The one path by which anything we learn about an order reaches the database.

Read the lines, which fills are stored already and how their holdings stand; decide
(`shared.domain.settlement`); write lines, fills and positions: one transaction, many orders at once. Used by
the executor for answers and by the listener for stream events and queries.

A few reports are read without a lock and written by one statement, which locks and looks whether what was
read still stands: two round trips to the database. What does not stand, many findings, and whatever is out of
the common, are settled under locks held from before the reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import asyncpg

from shared.database.claim import EpochChangedError
from shared.database.connect import DurableCommit
from shared.database.ledger import FILL_KEY, as_columns, note_contradictions, position_key
from shared.database.positions import Told, Versions, count_fills, count_new, traces_of_closed
from shared.database.statements import statement, without
from shared.domain.fill import contradiction
from shared.domain.order import OrderStatus
from shared.domain.position import OutOfOrderError
from shared.domain.settlement import Line, OrderReport, Outcome, with_outcome, with_report
from shared.domain.states import AttemptOutcome, EntryState, ExchangeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, TypeGuard
    from uuid import UUID

    from shared.database.connect import Connection
    from shared.database.positions import HoldingKey, PositionChange, Work
    from shared.domain.fill import Fill, FillKey

Key = tuple["UUID", int]
Finding = OrderReport | Outcome
FEW = 4
"""So many reports are settled without holding locks meanwhile. Among many, one that somebody else settles at
the same moment would have all done twice; and what a round trip takes is divided by their number."""
AT_ONCE = 3
"""So often that is tried: an order that fills at once is told of by an answer and by two events."""


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
    if len(findings) <= FEW and not any(isinstance(finding, Outcome) for finding in findings):
        async with DurableCommit(connection):
            settled = await _settle_at_once(connection, findings)
        if settled is not None:
            return settled
    async with DurableCommit(connection), connection.transaction():
        return await _settle_locked(connection, findings)


async def plan(connection: Connection) -> None:
    """Have all that settling runs planned on a connection, so that its first order does not wait for it."""
    await _lock(connection, ())
    await _read(connection, ())
    for text, parameters in ((without("write_settled", "fills"), 8), (statement("write_settled"), 13)):
        await connection.execute(text, *(None,) * parameters)


async def _settle_at_once(connection: Connection, findings: Sequence[Finding]) -> Settled | None:
    """Settle reports by one statement; None when that is not to be done, or others were faster each time.

    Executor and listener often hear of one order at the same moment. Who comes second learns it after the
    first has committed: what is read then mostly stands, and little is left to be said.
    """
    for _ in range(AT_ONCE):
        known = await _read(connection, findings)
        if _forgotten(findings, known) or known.uncounted:
            return None
        decided = _decide(known)
        if decided.contradicted or any(contradiction(old, told) for old, told, _ in decided.told_again):
            return None
        try:
            work = await count_new(None, decided.fresh)
            if await _write(connection, known, decided, work, known.versions(decided.fresh)):
                return await _settled(connection, decided, work)
        except OutOfOrderError:
            return None
        except asyncpg.IntegrityConstraintViolationError:
            continue  # somebody has just written the same execution, or one that begins the holding
    return None


async def _settle_locked(connection: Connection, findings: Sequence[Finding]) -> Settled:
    await _lock(connection, findings)
    known = await _read(connection, findings)
    if forgotten := _forgotten(findings, known):
        await _recover(connection, forgotten)
        await _lock(connection, findings)
        known = await _read(connection, findings)
    if any(isinstance(finding, Outcome) for finding in findings) and not known.in_its_history:
        # Positive evidence counts in any history, the other outcomes only in their own.
        raise EpochChangedError
    if known.uncounted:
        await count_fills(connection, known.uncounted)
        known = await _read(connection, findings)
    decided = _decide(known)
    contradictions = await note_contradictions(connection, decided.told_again)
    if decided.contradicted:
        await _halt_for_late_evidence(connection, decided.contradicted)
    work = await count_new(connection, decided.fresh)
    await _write(connection, known, decided, work)
    return await _settled(connection, decided, work, contradictions)


async def _write(
    connection: Connection, known: _Known, decided: _Decided, work: Work, versions: Versions | None = None
) -> bool:
    """Write what was decided; False when something is no more as it was read."""
    if not decided.changed and not decided.evidence:
        return True
    lines = [_json(line, known.lines[line.order_id, line.number]) for line in decided.changed]
    return await work.write(connection, lines, _evidence_json(decided.evidence), versions)


async def _settled(connection: Connection, decided: _Decided, work: Work, contradictions: int = 0) -> Settled:
    traced = any(line.trace for line in decided.changed)
    return Settled(
        lines=decided.changed,
        unchanged=decided.unchanged,
        ignored=tuple(decided.ignored),
        orphans=tuple(decided.orphans),
        positions=tuple(work.changes),
        fills_stored=tuple((str(one.report.market), one.report.source) for one in decided.fresh),
        fills_repeated=tuple((str(report.market), report.source) for _, _, report in decided.told_again),
        contradictions=contradictions,
        closed=await traces_of_closed(connection, work.changes) if traced else {},
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database knows of the attempts and executions that some findings tell of.

    Attributes:
        findings: they, with fills in the epoch of their attempts.
        rows: one of those that were read for each attempt.
        lines: the same, as settling takes them.
        told: the executions told, each once, with the state of their holdings.

    """

    findings: Sequence[Finding]
    rows: Mapping[Key, asyncpg.Record]
    lines: Mapping[Key, Line]
    told: Mapping[FillKey, Told]

    @property
    def uncounted(self) -> set[HoldingKey]:
        """The positions with stored fills that have to be counted before these."""
        return {one.holding_key for one in self.told.values() if one.row["others_wait"]}

    @property
    def in_its_history(self) -> bool:
        """The database is in the history that was compared last (PROTOCOL 10)."""
        return all(row["live_epoch"] is not None for row in self.rows.values())

    def versions(self, fresh: Sequence[Told]) -> Versions:
        """Return what has to stand still when a decision is written that counts some executions."""
        return Versions(
            lines={key: row["line_version"] for key, row in self.rows.items()},
            positions=frozenset(position_key(*one.holding_key) for one in fresh),
            holdings={
                one.row["holding_id"]: one.row["holding_version"] for one in fresh if one.row["holding_id"]
            },
        )


async def _read(connection: Connection, findings: Sequence[Finding]) -> _Known:
    asked: dict[tuple[Any, ...], None] = {}
    for finding in findings:
        fills = finding.fills if isinstance(finding, OrderReport) else ()
        for fill in fills:
            asked[
                finding.order_id, finding.number, fill.exchange_order_id, fill.trade_id, fill.position_side
            ] = None
        if not fills:
            asked[finding.order_id, finding.number, None, None, None] = None
    records = await connection.fetch(statement("read_lines"), *as_columns(asked, 5))
    rows = {(row["line_order_id"], row["line_number"]): row for row in records}
    lines = {key: _line(row) for key, row in rows.items()}
    findings = _in_its_epoch(findings, rows)
    told: dict[FillKey, Told] = {}
    by_fill = {tuple(row[name] for name in FILL_KEY): row for row in records}
    for report in findings:
        if isinstance(report, OrderReport) and _is_about(lines.get((report.order_id, report.number)), report):
            for fill in report.fills:
                told.setdefault(fill.key, Told(fill, report, by_fill[fill.key]))
    return _Known(findings, rows, lines, told)


def _is_about(line: Line | None, report: OrderReport) -> TypeGuard[Line]:
    return line is not None and (line.account_id, line.symbol) == (report.account_id, report.symbol)


@dataclass(frozen=True, slots=True)
class _Decided:
    """What findings make of what is known.

    Attributes:
        changed: the lines to be written.
        unchanged: lines about which nothing new was said.
        contradicted: lines of orders that exist although they were settled as not existing.
        fresh: executions that are not stored yet.
        told_again: (as stored, as told now, by which report).
        evidence: reports, and whether each came late.
        ignored: see `Settled`.
        orphans: see `Settled`.

    """

    changed: tuple[Line, ...]
    unchanged: tuple[Line, ...]
    contradicted: tuple[Line, ...]
    fresh: Sequence[Told]
    told_again: Sequence[tuple[Fill, Fill, OrderReport]]
    evidence: Sequence[tuple[OrderReport, bool]]
    ignored: Sequence[Outcome]
    orphans: Sequence[OrderReport]


def _decide(known: _Known) -> _Decided:
    stored = {key: fill for key, one in known.told.items() if (fill := one.stored) is not None}
    fresh_ones = [one for key, one in known.told.items() if key not in stored]
    new = {one.fill.key for one in fresh_ones}

    after = dict(known.lines)
    told_again: list[tuple[Fill, Fill, OrderReport]] = []
    evidence: list[tuple[OrderReport, bool]] = []
    ignored: list[Outcome] = []
    orphans: list[OrderReport] = []
    for finding in known.findings:
        line = after.get((finding.order_id, finding.number))
        if isinstance(finding, Outcome):
            decided = with_outcome(line, finding) if line else None
            if decided is None:
                ignored.append(finding)
                continue
        elif not _is_about(line, finding):
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

    changed = [(line, before) for key, line in after.items() if line != (before := known.lines[key])]
    return _Decided(
        changed=tuple(line for line, _ in changed),
        unchanged=tuple(line for key, line in after.items() if line == known.lines[key]),
        contradicted=tuple(line for line, before in changed if line.late and not before.late),
        fresh=fresh_ones,
        told_again=told_again,
        evidence=evidence,
        ignored=ignored,
        orphans=orphans,
    )


def _in_its_epoch(findings: Sequence[Finding], rows: Mapping[Key, asyncpg.Record]) -> list[Finding]:
    """Give fills the environment epoch their attempt was claimed in.

    Processes learn of a wiped testnet at different moments; the epoch is part of a fill's key, so whoever
    tells of a fill has to tell the same one.
    """

    def right(finding: Finding) -> Finding:
        row = rows.get((finding.order_id, finding.number))
        if isinstance(finding, Outcome) or row is None:
            return finding
        epoch = row["environment_epoch"]
        if all(fill.environment_epoch == epoch for fill in finding.fills):
            return finding
        fills = tuple(replace(fill, environment_epoch=epoch) for fill in finding.fills)
        return replace(finding, fills=fills)

    return [right(finding) for finding in findings]


async def _lock(connection: Connection, findings: Sequence[Finding]) -> None:
    attempts = sorted({(f.order_id, f.number) for f in findings})
    positions = {
        position_key(fill.account_id, fill.market, fill.symbol)
        for finding in findings
        if isinstance(finding, OrderReport)
        for fill in finding.fills
    }
    await connection.execute(statement("lock_lines"), *as_columns(attempts, 2), list(positions))


def _forgotten(findings: Sequence[Finding], known: _Known) -> list[OrderReport]:
    """Pick reports in our id form whose attempt this history does not have (PROTOCOL 10)."""
    reports = {(f.order_id, f.number): f for f in findings if isinstance(f, OrderReport)}
    return [report for key, report in reports.items() if key not in known.lines]


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
        order_id=row["line_order_id"],
        number=row["line_number"],
        account_id=row["account_id"],
        market=row["market"],
        symbol=row["symbol"],
        client_order_id=row["line_client_order_id"],
        quote_asset=row["line_quote_asset"],
        order_status=OrderStatus(row["order_status"]),
        reasoning=row["reasoning"],
        entry_state=EntryState(row["entry_state"]),
        entry_attempts=row["entry_attempts"],
        counted=row["counted"],
        has_evidence=row["has_evidence"],
        token=row["token"],
        outcome=AttemptOutcome(row["outcome"]) if row["outcome"] else None,
        exchange_order_id=row["line_exchange_order_id"],
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


def _json(line: Line, old: Line) -> dict[str, Any]:
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
