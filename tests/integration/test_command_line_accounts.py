"""`bridge accounts`: keys go in sealed and tried, and never come out."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from services.command_line.terminal import ExitCode
from services.local_exchange.settings import DEFAULT_ACCOUNTS, Settings
from shared.crypto import Keyring
from tests.bot import ENCRYPTION_KEY
from tests.command_line import AtExchange, Terminal, exchange_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bot import Bot

ALICE = DEFAULT_ACCOUNTS[0]


@pytest.fixture
def exchange() -> Iterator[AtExchange]:
    with exchange_in_thread(Settings(volatility=0)) as running:
        yield AtExchange(running)


@pytest.fixture
def terminal(bridge_database: str, exchange: AtExchange) -> Terminal:
    futures = {"BRIDGE_FUTURES_TESTNET_REST_URL": exchange.running.rest_url}
    return Terminal({"BRIDGE_DATABASE_URL": bridge_database, **exchange.variables, **futures})


@pytest.fixture
def user(bot: Bot) -> UUID:
    return bot.user()


def no_secret(text: str) -> None:
    for secret in (ALICE["api_key"], ALICE["secret"], ENCRYPTION_KEY):
        assert secret not in text


def test_add_by_environment(terminal: Terminal, bot: Bot, user: UUID) -> None:
    """A key from the environment is tried, sealed in the bot's format, and stored as the bot stores it."""
    output = terminal.run(
        *("accounts", "add", "--user", user, "--label", "main"),
        BINANCE_API_KEY=ALICE["api_key"],
        BINANCE_API_SECRET=ALICE["secret"],
    )
    no_secret(output)
    assert "the key works" in output
    row = bot.connection.execute("SELECT * FROM exchange_accounts").fetchone()
    assert row is not None
    ring = Keyring([ENCRYPTION_KEY])
    assert ring.decrypt(row["api_key_encrypted"]) == ALICE["api_key"]
    assert ring.decrypt(row["secret_encrypted"]) == ALICE["secret"]
    theirs = bot.connection.execute(
        "SELECT * FROM exchange_accounts WHERE id = %s", [bot.account(user)]
    ).fetchone()
    assert theirs is not None
    for name in ("exchange", "passphrase", "is_testnet", "permissions", "is_active", "last_sync_at"):
        assert row[name] == theirs[name], name
    assert (row["listen_key_encrypted"], row["listen_key_expires_at"]) == (
        theirs["listen_key_encrypted"],
        theirs["listen_key_expires_at"],
    )


def test_add_by_file_and_by_keyboard(terminal: Terminal, bot: Bot, user: UUID, tmp_path: Path) -> None:
    """Files and hidden prompts are the other two ways; a label is used once per user."""
    key, secret = tmp_path / "key", tmp_path / "secret"
    key.write_text(ALICE["api_key"] + "\n")
    secret.write_text(ALICE["secret"] + "\n")
    add = ("accounts", "add", "--user", user, "--label")
    told = terminal.json(*add, "file", "--api-key-file", key, "--secret-file", secret)
    assert UUID(told["account"]).version == 4
    text = terminal.run(*add, "keyboard", typed=f"{ALICE['api_key']}\n{ALICE['secret']}\n")
    no_secret(text)
    text = terminal.run(*add, "file", "--api-key-file", key, "--secret-file", secret, code=ExitCode.REFUSED)
    assert "already" in text
    assert len(terminal.json("accounts", "list")) == 2
    terminal.run(*add, "lost", "--api-key-file", tmp_path / "none", code=ExitCode.USAGE)
    terminal.run(
        *(
            "accounts",
            "add",
            "--user",
            uuid4(),
            "--label",
            "x",
            "--api-key-file",
            key,
            "--secret-file",
            secret,
        ),
        code=ExitCode.NOT_FOUND,
    )


def test_a_key_that_does_not_work_is_not_stored(terminal: Terminal, user: UUID) -> None:
    """A wrong secret is found before anything is written, and said in words."""
    output = terminal.run(
        *("accounts", "add", "--user", user, "--label", "main"),
        code=ExitCode.FAILED,
        BINANCE_API_KEY=ALICE["api_key"],
        BINANCE_API_SECRET="not-the-secret",
    )
    assert "secret does not belong to the key" in output
    assert "Nothing was stored" in output
    assert terminal.json("accounts", "list") == []
    terminal.run(
        *("accounts", "add", "--user", user, "--label", "main", "--unchecked"),
        BINANCE_API_KEY=ALICE["api_key"],
        BINANCE_API_SECRET="not-the-secret",
    )
    assert len(terminal.json("accounts", "list")) == 1


def test_check(terminal: Terminal, exchange: AtExchange, bot: Bot, user: UUID) -> None:
    """A working key shows uid, permissions, clock, limits; a revoked or unreadable one fails with advice."""
    good = bot.account(user, label="good", **exchange.key)
    checks = terminal.json("accounts", "check", "good")[0]["checks"]
    told = {finding["check"]: finding for finding in checks}
    assert told["spot"]["level"] == "ok"
    assert "uid" in told["spot"]["says"]
    assert told["clock"]["level"] == "ok"
    assert told["order limit"]["level"] == "ok"
    assert told["futures"]["level"] == "warning"  # the local exchange serves spot
    exchange.admin("POST", "/accounts/alice", {"key_revoked": True})
    text = terminal.run("accounts", "check", good, code=ExitCode.FAILED)
    assert "bridge accounts add" in text
    no_secret(text)
    bot.account(user, label="sealed", encryption_key="/" * 43 + "=")
    assert "does not open" in terminal.run("accounts", "check", "sealed", code=ExitCode.FAILED)
    bot.account(user, label="elsewhere", exchange="okx")
    terminal.run("accounts", "check", "elsewhere", code=ExitCode.FAILED)
    assert len(terminal.json("accounts", "check", code=ExitCode.FAILED)) == 2


def test_check_says_when_an_account_may_not_trade(
    terminal: Terminal, exchange: AtExchange, bot: Bot, user: UUID
) -> None:
    """A key that reads but may not trade is a failure."""
    bot.account(user, label="main", **exchange.key)
    exchange.admin("POST", "/accounts/alice", {"can_trade": False})
    assert "may not trade" in terminal.run("accounts", "check", "main", code=ExitCode.FAILED)


def test_check_says_when_nobody_answers(
    terminal: Terminal, exchange: AtExchange, bot: Bot, user: UUID
) -> None:
    """An exchange that is away is not a wrong key."""
    bot.account(user, label="main", **exchange.key)
    text = terminal.run(
        "accounts", "check", code=ExitCode.FAILED, BRIDGE_SPOT_TESTNET_REST_URL="http://127.0.0.1:1"
    )
    assert "does not answer" in text
    assert "enter key" not in text
