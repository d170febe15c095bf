"""The bot's tables as the bridge knows them, compared with the ones it finds (start-up check, DESIGN 4).

`contract.json` is the contract: per table the columns with their types, and per enum its labels. A column is
written like `numeric(20,8)` or `uuid not null`. `unused` names the columns the bridge neither reads nor
writes, `null_written` those it writes NULL into, `inserted` says whether it inserts rows. The bot's tables
may be a little older or newer than that: what would make us read or write wrongly is fatal, all else is a
warning. Neither the order of columns nor indexes matter.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shared.database.connect import Connection

_NUMERIC = re.compile(r"numeric(?:\((\d+),(\d+)\))?")
_VARYING = re.compile(r"character varying(?:\((\d+)\))?|text")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        type: as `format_type` prints it; an enum by its bare name.
        nullable: whether it takes NULL.
        has_default: whether a row can be inserted without naming it (default, identity or generated).

    """

    type: str
    nullable: bool
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class ContractTable:
    """What the bridge relies on in one of the bot's tables; see the module's docstring."""

    columns: Mapping[str, Column]
    unused: frozenset[str]
    null_written: frozenset[str]
    inserted: bool


@dataclass(frozen=True, slots=True)
class Contract:
    """What the bridge relies on in the bot's schema."""

    tables: Mapping[str, ContractTable]
    enums: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database has: columns by table, labels by enum, both of schema `public`."""

    tables: Mapping[str, Mapping[str, Column]]
    enums: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Differences:
    """What stands between contract and database, as sentences.

    Args:
        fatal: the bridge must not start.
        warnings: it may; somebody should look.

    """

    fatal: tuple[str, ...]
    warnings: tuple[str, ...]


def load_contract() -> Contract:
    """Read the contract that travels with the program."""
    data = json.loads(
        resources.files("shared.database").joinpath("contract.json").read_text(encoding="utf-8")
    )
    return Contract(
        tables={
            name: ContractTable(
                columns={column: _column(words) for column, words in table["columns"].items()},
                unused=frozenset(table["unused"]),
                null_written=frozenset(table["null_written"]),
                inserted=table["inserted"],
            )
            for name, table in data["tables"].items()
        },
        enums={name: tuple(labels) for name, labels in data["enums"].items()},
    )


# From pg_catalog and not information_schema, which hides what the role has no right to.
_COLUMNS = """
SELECT c.relname, a.attname,
       CASE WHEN t.typtype = 'e' THEN t.typname::text ELSE format_type(a.atttypid, a.atttypmod) END,
       NOT a.attnotnull, a.atthasdef OR a.attidentity <> ''
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'public'
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE a.attnum > 0 AND NOT a.attisdropped
"""
_LABELS = """
SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
FROM pg_catalog.pg_enum AS e
JOIN pg_catalog.pg_type AS t ON t.oid = e.enumtypid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace AND n.nspname = 'public'
GROUP BY t.typname
"""


async def read_schema(connection: Connection) -> Schema:
    """Read tables and enums of schema `public`; needs no right on any of them."""
    tables: dict[str, dict[str, Column]] = {}
    for table, name, kind, nullable, has_default in await connection.fetch(_COLUMNS):
        tables.setdefault(table, {})[name] = Column(kind, nullable, has_default)
    labels = await connection.fetch(_LABELS)
    return Schema(tables=tables, enums={name: tuple(values) for name, values in labels})


def compare(contract: Contract, live: Schema) -> Differences:
    """Compare what the bridge relies on with what a database has."""
    fatal: list[str] = []
    warnings: list[str] = []
    for name, table in contract.tables.items():
        found = live.tables.get(name)
        if found is None:
            fatal.append(f"Table {name} is missing. Is this the bot's database, and did its migrations run?")
            continue
        for is_fatal, sentence in _compare_table(name, table, found):
            (fatal if is_fatal else warnings).append(sentence)
    for name, labels in contract.enums.items():
        present = live.enums.get(name)
        if present is None:
            fatal.append(f"Type {name} is missing.")
            continue
        fatal += [f"Type {name} lacks the value '{label}'." for label in labels if label not in present]
        warnings += [f"Type {name} has a new value '{label}'." for label in present if label not in labels]
    return Differences(tuple(fatal), tuple(warnings))


def _compare_table(
    table: str, wanted: ContractTable, found: Mapping[str, Column]
) -> Iterator[tuple[bool, str]]:
    """Yield each difference, with whether it is fatal."""
    added = {name: column for name, column in found.items() if name not in wanted.columns}
    for name, column in wanted.columns.items():
        used = name not in wanted.unused
        live = found.get(name)
        if live is None:
            twins = [other for other, candidate in added.items() if candidate.type == column.type]
            hint = f" Was it renamed to {' or '.join(twins)}?" if twins else ""
            yield used, f"Column {table}.{name} is missing.{hint}"
            continue
        if live.type != column.type:
            changed = f"Column {table}.{name} is {live.type}, not {column.type}."
            yield used and not _is_wider(live.type, column.type), changed
        if column.nullable and not live.nullable:
            yield name in wanted.null_written, f"Column {table}.{name} no longer takes NULL."
        if live.nullable and not column.nullable:
            yield False, f"Column {table}.{name} may now be NULL."
    for name, column in added.items():
        refuses = wanted.inserted and not column.nullable and not column.has_default
        why = " It is NOT NULL without a default, so no row of ours can be inserted." if refuses else ""
        yield refuses, f"Column {table}.{name} ({column.type}) is new.{why}"


def _is_wider(live: str, wanted: str) -> bool:
    """Whether every value of the wanted type fits unchanged into the live one, of the same kind."""
    ours, theirs = _NUMERIC.fullmatch(wanted), _NUMERIC.fullmatch(live)
    if ours and theirs and ours[1]:
        if theirs[1] is None:
            return True
        scale, their_scale = int(ours[2]), int(theirs[2])
        return their_scale >= scale and int(theirs[1]) - their_scale >= int(ours[1]) - scale
    ours, theirs = _VARYING.fullmatch(wanted), _VARYING.fullmatch(live)
    if ours and theirs:
        return theirs[1] is None or (ours[1] is not None and int(theirs[1]) >= int(ours[1]))
    return False


def _column(words: str) -> Column:
    kind, separator, _ = words.partition(" not null")
    return Column(kind, nullable=not separator)
