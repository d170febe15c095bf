"""`bridge epoch` and `bridge prune`: a new history by word, an old one exported before it is forgotten."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from shared.database import retention
from shared.database.operator import connect
from tests.bot import API_KEY
from tests.command_line import Terminal, make_unknown, settled_buy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from tests.bot import Bot


@pytest.fixture
def terminal(bridge_database: str) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database})


@pytest.fixture
def account(bot: Bot) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user, label="main")


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def count(admin: psycopg.Connection[Any], table: str) -> int:
    row = admin.execute(f"SELECT count(*) FROM bridge.{table}").fetchone()
    assert row is not None
    return int(row[0])


def test_bump_begins_a_quarantine(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], admin: psycopg.Connection[Any], database: str
) -> None:
    """A bump records who and why, makes what was in flight unknown, and older rows wait to be asked about."""
    assert "No history" in terminal.run("epoch", "show")
    terminal.run(
        "epoch", "bump", "--reason", "first"
    )  # there was none: that is the first, without quarantine
    sending = bot.order(*account)
    make_unknown(database, sending, base_url="", api_key=API_KEY)
    waiting = bot.order(*account, symbol="ETH/USDT")
    told = terminal.json("epoch", "bump", "--reason", "snapshot of this morning")
    assert told["epoch"] == 2
    shown = terminal.json("epoch", "show")
    assert shown["same"] is True
    assert shown["now"]["in_quarantine"] is True
    assert shown["now"]["awaiting_round"] == 2
    assert "snapshot of this morning (by " in shown["recorded"][0]["why"]
    states = dict(admin.execute("SELECT order_id, state FROM bridge.outbox").fetchall())
    assert states == {sending: "unknown", waiting: "new"}
    assert "Quarantine until" in terminal.run("epoch", "show")


def test_bump_wants_the_executors_stopped(terminal: Terminal, bridge_database: str) -> None:
    """An executor that is connected knows things of before: it has to be stopped first."""
    with psycopg.connect(bridge_database, application_name="order_executor x"):
        text = terminal.run("epoch", "bump", "--reason", "x", code=ExitCode.REFUSED)
    assert "stop all executors" in text


async def test_prune_exports_then_forgets(
    terminal: Terminal,
    bot: Bot,
    account: tuple[UUID, UUID],
    admin: psycopg.Connection[Any],
    bridge_database: str,
    tmp_path: Path,
) -> None:
    """Old orders go with their audit into the file and out of the database; ledger and bot's rows stay."""
    old = await settled_buy(bridge_database, bot, account)
    young = bot.order(*account, symbol="ETH/USDT")
    admin.execute(
        "UPDATE bridge.outbox SET changed_at = clock_timestamp() - interval '100 days' WHERE order_id = %s",
        [old],
    )
    admin.execute(
        "INSERT INTO bridge.event (kind, at) VALUES ('halted', clock_timestamp() - interval '100 days')"
    )
    assert terminal.json("prune", "--dry-run") == {"orders": 1, "events": 1, "external_orders": 0}
    events = count(admin, "event")
    told = terminal.json("prune", "--export", tmp_path / "audit.jsonl")
    assert (told["outbox"], told["attempt"], told["evidence"]) == (1, 1, 1)
    assert told["event"] == events
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert len(lines) == sum(told.values())
    assert {line["of"] for line in lines} == {"outbox", "attempt", "evidence", "event"}
    (entry,) = [line for line in lines if line["of"] == "outbox"]
    assert entry["order_id"] == str(old)
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600
    assert (count(admin, "attempt"), count(admin, "event")) == (0, 0)
    assert [order for (order,) in admin.execute("SELECT order_id FROM bridge.outbox")] == [young]
    assert (count(admin, "fill"), count(admin, "position")) == (1, 1)
    assert bot.read_order(old)["status"] == "filled"
    pruned = admin.execute("SELECT pruned_before FROM bridge.installation").fetchone()
    assert pruned is not None
    assert pruned[0] is not None


async def test_prune_leaves_what_is_not_complete(
    terminal: Terminal,
    bot: Bot,
    account: tuple[UUID, UUID],
    admin: psycopg.Connection[Any],
    bridge_database: str,
    tmp_path: Path,
) -> None:
    """An order that lacks a fill, and one that is watched, stay whatever their age; no empty file is left."""
    order = await settled_buy(bridge_database, bot, account)
    admin.execute("UPDATE bridge.outbox SET changed_at = clock_timestamp() - interval '100 days'")
    admin.execute("UPDATE bridge.attempt SET executed = executed + 1")
    assert "Nothing is that old" in terminal.run("prune", "--export", tmp_path / "audit.jsonl")
    assert not (tmp_path / "audit.jsonl").exists()
    admin.execute(
        "UPDATE bridge.attempt SET executed = filled, watched_until = clock_timestamp() + interval '1 h'"
    )
    assert terminal.json("prune", "--export", tmp_path / "audit.jsonl") == {}
    assert terminal.json("order", order)["attempts"]


async def test_what_cannot_be_exported_is_not_forgotten(
    terminal: Terminal,
    bot: Bot,
    account: tuple[UUID, UUID],
    admin: psycopg.Connection[Any],
    bridge_database: str,
    tmp_path: Path,
) -> None:
    """Without a file, onto an existing one, or on a full disk: the database keeps everything."""
    await settled_buy(bridge_database, bot, account)
    admin.execute("UPDATE bridge.outbox SET changed_at = clock_timestamp() - interval '100 days'")
    assert "--export" in terminal.run("prune", code=ExitCode.USAGE)
    (tmp_path / "there").write_text("older")
    terminal.run("prune", "--export", tmp_path / "there", code=ExitCode.USAGE)
    assert (tmp_path / "there").read_text() == "older"
    terminal.run("prune", "--export", tmp_path / "x", "--older-than", "6", code=ExitCode.USAGE)

    def full(_lines: object) -> None:
        raise OSError(28, "No space left on device")

    with connect(bridge_database) as connection, pytest.raises(OSError, match="No space"):
        retention.prune(connection, timedelta(days=90), full)
    assert count(admin, "attempt") == 1
