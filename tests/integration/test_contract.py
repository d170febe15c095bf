"""The start-up check: what in the bot's schema stops the bridge, and what is only reported."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest

from shared.database.contract import Column, Differences, Schema, compare, load_contract, read_schema

if TYPE_CHECKING:
    from tests.database_server import DatabaseServer

CONTRACT = load_contract()
LIVE = Schema(
    tables={name: dict(table.columns) for name, table in CONTRACT.tables.items()}, enums=dict(CONTRACT.enums)
)


def with_column(table: str, name: str, column: Column | None) -> Schema:
    """The contract's own schema with one column changed, added or (None) taken away."""
    columns = {key: value for key, value in LIVE.tables[table].items() if key != name}
    if column is not None:
        columns[name] = column
    return replace(LIVE, tables={**LIVE.tables, table: columns})


def with_labels(name: str, *labels: str) -> Schema:
    return replace(LIVE, enums={**LIVE.enums, name: labels})


async def checked(dsn: str) -> Differences:
    connection = await asyncpg.connect(dsn)
    try:
        return compare(CONTRACT, await read_schema(connection))
    finally:
        await connection.close()


async def test_the_stand_in_is_the_contract(bridge_database: str) -> None:
    """The bot's tables with our schema beside them show no difference, read with the bridge's rights."""
    assert await checked(bridge_database) == Differences((), ())


async def test_an_empty_database_is_refused(database_server: DatabaseServer) -> None:
    """Pointed at the wrong database the bridge says so, once per table and type."""
    found = await checked(database_server.dsn("postgres"))
    assert len(found.fatal) == len(CONTRACT.tables) + len(CONTRACT.enums)
    assert "Is this the bot's database" in found.fatal[0]


FATAL_CHANGES = {
    "ALTER TABLE orders DROP COLUMN fee": "Column orders.fee is missing.",
    "ALTER TABLE orders RENAME fee_currency TO fee_asset": (
        "Column orders.fee_currency is missing. Was it renamed to fee_asset?"
    ),
    "ALTER TABLE orders ALTER amount TYPE double precision": (
        "Column orders.amount is double precision, not numeric(20,8)."
    ),
    "ALTER TABLE orders ALTER price TYPE numeric(20,4)": (
        "Column orders.price is numeric(20,4), not numeric(20,8)."
    ),
    "ALTER TABLE orders ALTER symbol TYPE varchar(6)": (
        "Column orders.symbol is character varying(6), not character varying(50)."
    ),
    "ALTER TABLE positions ADD venue text NOT NULL": (
        "Column positions.venue (text) is new. "
        "It is NOT NULL without a default, so no row of ours can be inserted."
    ),
    "ALTER TABLE positions ALTER closed_at SET NOT NULL": "Column positions.closed_at no longer takes NULL.",
    "ALTER TYPE order_status RENAME VALUE 'canceled' TO 'cancelled'": (
        "Type order_status lacks the value 'canceled'."
    ),
    "DROP TABLE strategy_transactions": (
        "Table strategy_transactions is missing. Is this the bot's database, and did its migrations run?"
    ),
}


@pytest.mark.parametrize("change", FATAL_CHANGES)
async def test_a_change_that_breaks_us_is_fatal(
    change: str, database_server: DatabaseServer, bare_database_name: str
) -> None:
    """Each such change of the bot's real tables is named in one sentence and stops the start."""
    dsn = database_server.dsn(bare_database_name)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(change.encode())
    assert (await checked(dsn)).fatal == (FATAL_CHANGES[change],)


HARMLESS_CHANGES = {
    "ALTER TABLE orders ADD time_in_force text": "Column orders.time_in_force (text) is new.",
    "ALTER TABLE orders ADD venue text NOT NULL": "Column orders.venue (text) is new.",
    "ALTER TABLE positions ADD venue text NOT NULL DEFAULT ''": "Column positions.venue (text) is new.",
    "ALTER TABLE positions ADD number bigint GENERATED ALWAYS AS IDENTITY": (
        "Column positions.number (bigint) is new."
    ),
    "ALTER TYPE order_type ADD VALUE 'trailing_stop'": "Type order_type has a new value 'trailing_stop'.",
    "ALTER TABLE orders ALTER symbol TYPE text": "Column orders.symbol is text, not character varying(50).",
    "ALTER TABLE orders ALTER amount TYPE numeric(30,10)": (
        "Column orders.amount is numeric(30,10), not numeric(20,8)."
    ),
    "ALTER TABLE users DROP COLUMN last_name": "Column users.last_name is missing.",
    "ALTER TABLE orders ALTER symbol DROP NOT NULL": "Column orders.symbol may now be NULL.",
    "ALTER TABLE orders ALTER agent_id SET NOT NULL": "Column orders.agent_id no longer takes NULL.",
}


@pytest.mark.parametrize("change", HARMLESS_CHANGES)
async def test_a_change_that_does_us_no_harm_is_a_warning(
    change: str, database_server: DatabaseServer, bare_database_name: str
) -> None:
    """Anything added, and anything wider than we need, is reported and nothing more."""
    dsn = database_server.dsn(bare_database_name)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(change.encode())
    assert await checked(dsn) == Differences((), (HARMLESS_CHANGES[change],))


async def test_the_order_of_columns_does_not_matter() -> None:
    """The bot's branches differ in the order of the columns of users; that is no difference."""
    backwards = {name: dict(reversed(list(columns.items()))) for name, columns in LIVE.tables.items()}
    assert compare(CONTRACT, replace(LIVE, tables=backwards)) == Differences((), ())


@pytest.mark.parametrize("table", CONTRACT.tables)
def test_every_used_column_is_watched(table: str) -> None:
    """Taking away any column the bridge uses is fatal; one it does not use is a warning."""
    for name in CONTRACT.tables[table].columns:
        found = compare(CONTRACT, with_column(table, name, None))
        is_unused = name in CONTRACT.tables[table].unused
        assert (len(found.fatal), len(found.warnings)) == ((0, 1) if is_unused else (1, 0)), name


@pytest.mark.parametrize("name", CONTRACT.enums)
def test_every_label_is_watched(name: str) -> None:
    """An enum that lost any of its labels is fatal."""
    for label in CONTRACT.enums[name]:
        remaining = [other for other in CONTRACT.enums[name] if other != label]
        found = compare(CONTRACT, with_labels(name, *remaining))
        assert found == Differences((f"Type {name} lacks the value '{label}'.",), ())
