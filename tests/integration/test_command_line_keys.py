"""`bridge keys` and `bridge clear-breaker`: one transaction, nothing lost, nothing shown."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from services.command_line.terminal import ExitCode
from shared.crypto import Keyring
from shared.database import breakers
from shared.database.connect import open_pool
from tests.bot import API_KEY, API_SECRET, ENCRYPTION_KEY, encrypt
from tests.command_line import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.bot import Bot

NEW_KEY = base64.b64encode(bytes(range(32, 64))).decode()


@pytest.fixture
def terminal(bridge_database: str) -> Terminal:
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database})


@pytest.fixture
def user(bot: Bot) -> UUID:
    return bot.user()


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        yield connection


@pytest.fixture
def rotating(terminal: Terminal) -> Terminal:
    """A terminal that knows the new key and the old one."""
    return Terminal(terminal.environment | BOTH)


BOTH = {"ENCRYPTION_KEY": NEW_KEY, "BRIDGE_FORMER_ENCRYPTION_KEYS": ENCRYPTION_KEY}


def sealed(admin: psycopg.Connection[Any]) -> dict[UUID, dict[str, Any]]:
    rows = admin.execute(
        "SELECT id, api_key_encrypted, secret_encrypted, passphrase, listen_key_encrypted "
        "FROM exchange_accounts"
    ).fetchall()
    return {row["id"]: row for row in rows}


def test_rotate_verify(
    terminal: Terminal, rotating: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """Accounts of all exchanges are sealed anew, empty columns stay empty; verify forgets the old blobs."""
    first = bot.account(user, listen_key_encrypted=encrypt("listen"))
    second = bot.account(user, exchange="bybit", passphrase=encrypt("p@ss"))
    before = sealed(admin)
    output = rotating.run("keys", "rotate", "--bot-stopped")
    for secret in (API_KEY, API_SECRET, NEW_KEY, ENCRYPTION_KEY):
        assert secret not in output
    after, ring = sealed(admin), Keyring([NEW_KEY])
    for account in (first, second):
        assert ring.decrypt(after[account]["api_key_encrypted"]) == API_KEY
        assert ring.decrypt(after[account]["secret_encrypted"]) == API_SECRET
    assert ring.decrypt(after[first]["listen_key_encrypted"]) == "listen"
    assert ring.decrypt(after[second]["passphrase"]) == "p@ss"
    assert after[first]["passphrase"] == before[first]["passphrase"] == b""
    kept = admin.execute("SELECT api_key_encrypted FROM bridge.former_key ORDER BY account_id").fetchall()
    assert sorted(row["api_key_encrypted"] for row in kept) == sorted(
        row["api_key_encrypted"] for row in before.values()
    )
    assert "does not open" in terminal.run(
        "keys", "verify", code=ExitCode.FAILED, ENCRYPTION_KEY=ENCRYPTION_KEY
    )
    assert len(admin.execute("SELECT FROM bridge.former_key").fetchall()) == 2
    assert terminal.json("keys", "verify", variables={"ENCRYPTION_KEY": NEW_KEY})["forgotten"] == 2
    assert admin.execute("SELECT FROM bridge.former_key").fetchall() == []


def test_rotate_needs_the_bot_stopped_and_both_keys(
    terminal: Terminal, rotating: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """Without the word, or without the former key, nothing is touched."""
    bot.account(user)
    before = sealed(admin)
    assert "must be stopped" in rotating.run("keys", "rotate", code=ExitCode.REFUSED)
    terminal.run("keys", "rotate", "--bot-stopped", code=ExitCode.USAGE, ENCRYPTION_KEY=NEW_KEY)
    assert sealed(admin) == before


def test_an_account_no_key_opens_stops_the_rotation(
    rotating: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """It is named; nothing changes, unless it is to be left as it is."""
    good = bot.account(user)
    bad = bot.account(user, api_key_encrypted=b"test_api_key_binance")
    before = sealed(admin)
    text = rotating.run("keys", "rotate", "--bot-stopped", code=ExitCode.REFUSED)
    assert str(bad)[:8] in text
    assert sealed(admin) == before
    told = rotating.json("keys", "rotate", "--bot-stopped", "--skip-unreadable")
    assert (told["accounts"], told["unreadable"]) == (1, [str(bad)])
    after = sealed(admin)
    assert after[bad] == before[bad]
    assert Keyring([NEW_KEY]).decrypt(after[good]["api_key_encrypted"]) == API_KEY


def test_undo_spares_what_changed_since(
    terminal: Terminal, rotating: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any]
) -> None:
    """Undo puts the old blobs back, except where a user has entered another key meanwhile."""
    same, changed = bot.account(user), bot.account(user)
    before = sealed(admin)
    rotating.run("keys", "rotate", "--bot-stopped")
    admin.execute(
        "UPDATE exchange_accounts SET api_key_encrypted = %s WHERE id = %s",
        [encrypt("another", NEW_KEY), changed],
    )
    told = terminal.json(
        "keys",
        "undo",
        "--bot-stopped",
        variables={"ENCRYPTION_KEY": ENCRYPTION_KEY, "BRIDGE_FORMER_ENCRYPTION_KEYS": NEW_KEY},
    )
    assert (told["restored"], told["left"]) == (1, [str(changed)])
    after = sealed(admin)
    assert after[same] == before[same]
    assert Keyring([NEW_KEY]).decrypt(after[changed]["api_key_encrypted"]) == "another"


def test_undo_without_a_rotation(rotating: Terminal) -> None:
    """There is nothing to put back."""
    rotating.run("keys", "undo", "--bot-stopped", code=ExitCode.NOT_FOUND)


def reason(admin: psycopg.Connection[Any], user: UUID) -> str | None:
    row = admin.execute("SELECT bridge.breaker_reason(%s) AS reason", [user]).fetchone()
    assert row is not None
    why: str | None = row["reason"]
    return why


async def test_a_breaker_is_remembered_until_it_is_cleared(
    terminal: Terminal, bot: Bot, user: UUID, admin: psycopg.Connection[Any], bridge_database: str
) -> None:
    """The bot un-trips its row by accident: ours stays; an operator clears it; a new trip counts again."""
    assert reason(admin, user) is None
    bot.trip_breaker(user, "daily drawdown")
    assert reason(admin, user) == "daily drawdown"
    pool = await open_pool(bridge_database, size=1, application_name="test")
    async with pool.acquire() as connection:
        assert await breakers.remember(connection) == {user: "daily drawdown"}
        assert await breakers.remember(connection) == {}
    bot.connection.execute("UPDATE circuit_breaker_states SET is_triggered = false")
    assert reason(admin, user) == "daily drawdown"
    bot.connection.execute("UPDATE circuit_breaker_states SET is_triggered = true")
    assert "daily drawdown" in terminal.run("clear-breaker", user, "--reason", "seen")
    assert reason(admin, user) is None
    assert terminal.json("switches") == []
    async with pool.acquire() as connection:
        assert await breakers.remember(connection) == {}
    assert reason(admin, user) is None
    terminal.run("clear-breaker", user, code=ExitCode.NOT_FOUND)
    bot.trip_breaker(user, "again")
    assert reason(admin, user) == "again"
    assert "again" in terminal.run("clear-breaker", user)
    assert reason(admin, user) is None
    await pool.close()


async def test_a_breaker_ends_at_its_reset(
    bot: Bot, user: UUID, admin: psycopg.Connection[Any], bridge_database: str
) -> None:
    """`reset_at` is honoured, although the bot's row goes on showing the trip."""
    now = datetime.now(UTC)
    bot.trip_breaker(user, "old", triggered_at=now - timedelta(hours=1), reset_at=now - timedelta(seconds=1))
    assert reason(admin, user) is None
    pool = await open_pool(bridge_database, size=1, application_name="test")
    async with pool.acquire() as connection:
        await breakers.remember(connection)
    await pool.close()
    assert reason(admin, user) is None
