"""`bridge doctor`: all is well where it is, and each thing that can be wrong has its line and its advice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from services.command_line.terminal import ExitCode
from services.local_exchange.settings import DEFAULT_ACCOUNTS, Settings
from tests.bot import ENCRYPTION_KEY
from tests.command_line import AtExchange, Terminal, exchange_in_thread, settled_buy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.bot import Bot
    from tests.database_server import DatabaseServer

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
def account(bot: Bot, exchange: AtExchange) -> tuple[UUID, UUID]:
    user = bot.user()
    return user, bot.account(user, label="main", **exchange.key)


@pytest.fixture
def admin(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def examine(terminal: Terminal, *options: str, code: ExitCode = ExitCode.DONE) -> dict[str, dict[str, str]]:
    """Run the doctor; returns the worst finding of each check."""
    order = ["ok", "warning", "failed"]
    found: dict[str, dict[str, str]] = {}
    for finding in terminal.json("doctor", *options, code=code)["findings"]:
        old = found.get(finding["check"])
        if old is None or order.index(finding["level"]) > order.index(old["level"]):
            found[finding["check"]] = finding
    return found


@pytest.mark.usefixtures("account")
def test_a_healthy_set_up(terminal: Terminal, bot: Bot) -> None:
    """Nothing fails, and nothing was left behind by the proof of the trigger."""
    found = examine(terminal)
    assert {name for name, finding in found.items() if finding["level"] == "failed"} == set()
    for name in (
        *("configuration", "database", "bot's tables", "migrations", "rights", "trigger", "listen", "keys"),
        *("stream", "outbox", "switches", "bot's own executor", "live trading"),
    ):
        assert found[name]["level"] == "ok", found[name]
    assert any(name.startswith("account ") and name.endswith(" spot") for name in found)
    assert bot.connection.execute("SELECT count(*) AS n FROM orders").fetchone() == {"n": 0}
    assert terminal.json("orders") == []
    text = terminal.run("doctor")
    for secret in (ALICE["api_key"], ALICE["secret"], ENCRYPTION_KEY):
        assert secret not in text


def test_every_finding_that_is_not_well_says_what_to_do(terminal: Terminal) -> None:
    """No warning and no failure is without advice."""
    found = terminal.json("doctor", "--offline")["findings"]
    assert [f for f in found if f["level"] != "ok" and not f["advice"]] == []
    assert [f for f in found if f["level"] != "ok"]  # there is no service, and no account


def test_a_database_that_is_away(terminal: Terminal) -> None:
    """One line, with the variable to look at and without the password."""
    lost = Terminal(
        terminal.environment | {"BRIDGE_DATABASE_URL": "postgresql://nobody:hush-hush@127.0.0.1:1/none"}
    )
    text = lost.run("doctor", code=ExitCode.FAILED)
    assert "check BRIDGE_DATABASE_URL" in text
    assert "hush" not in text


def test_a_wrong_configuration(terminal: Terminal) -> None:
    """Each variable that cannot be used has a line; the rest is still looked at."""
    wrong = Terminal(
        terminal.environment
        | {"ENCRYPTION_KEY": "short", "BRIDGE_LIVE_TRADING": "on", "BRIDGE_RECV_WINDOW_MS": "1"}
    )
    findings = wrong.json("doctor", "--offline", code=ExitCode.FAILED)["findings"]
    says = [finding["says"] for finding in findings if finding["check"] == "configuration"]
    for name in ("ENCRYPTION_KEY", "BRIDGE_BOT_EXECUTOR_OFF", "BRIDGE_RECV_WINDOW_MS"):
        assert any(name in text for text in says), name
    assert any(finding["check"] == "trigger" for finding in findings)


def test_without_the_bridge(
    terminal: Terminal, database_server: DatabaseServer, bare_database_name: str
) -> None:
    """A database the bridge has never been in: migrate, and nothing else is guessed."""
    bare = Terminal(terminal.environment | {"BRIDGE_DATABASE_URL": database_server.dsn(bare_database_name)})
    found = examine(bare, "--offline", code=ExitCode.FAILED)
    assert found["migrations"]["advice"] == "run: bridge migrate"
    assert "trigger" not in found


def test_a_dead_trigger(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], admin: psycopg.Connection[Any]
) -> None:
    """Switched off, or broken inside: both are found, the second by the rolled-back insert."""
    admin.execute("ALTER TABLE orders DISABLE TRIGGER bridge_take_in")
    assert "switched off" in examine(terminal, "--offline", code=ExitCode.FAILED)["trigger"]["says"]
    admin.execute("ALTER TABLE orders ENABLE TRIGGER bridge_take_in")
    admin.execute("ALTER TABLE bridge.outbox ADD CONSTRAINT never CHECK (symbol = '') NOT VALID")
    bot.order(*account)
    found = terminal.json("doctor", "--offline", code=ExitCode.FAILED)["findings"]
    says = [f["says"] for f in found if f["check"] == "trigger"]
    assert "a row inserted as the bot does was not taken in" in says
    assert any("it failed 1 times" in text for text in says)


def test_a_changed_table(terminal: Terminal, admin: psycopg.Connection[Any]) -> None:
    """A renamed column is a failure, an added one a warning."""
    admin.execute("ALTER TABLE orders ADD COLUMN colour text")
    assert examine(terminal, "--offline")["bot's tables"]["level"] == "warning"
    admin.execute("ALTER TABLE orders RENAME COLUMN agent_id TO agent")
    assert examine(terminal, "--offline", code=ExitCode.FAILED)["bot's tables"]["level"] == "failed"


def test_an_edited_migration_and_a_newer_database(terminal: Terminal, admin: psycopg.Connection[Any]) -> None:
    """Both are named."""
    admin.execute("UPDATE bridge.migration SET checksum = '' WHERE version = 2")
    assert "[2] were edited" in examine(terminal, "--offline", code=ExitCode.FAILED)["migrations"]["says"]
    admin.execute("DELETE FROM bridge.migration WHERE version >= 2")
    assert "bridge migrate" in examine(terminal, "--offline", code=ExitCode.FAILED)["migrations"]["advice"]


def test_a_missing_right(
    terminal: Terminal, admin: psycopg.Connection[Any], database_server: DatabaseServer
) -> None:
    """A right that was taken away is named."""
    admin.execute(f"REVOKE UPDATE (status) ON orders FROM {database_server.bridge.name}")
    assert "UPDATE (status) ON public.orders" in examine(terminal, "--offline")["rights"]["says"]


def test_keys_that_do_not_open_or_work(
    terminal: Terminal, exchange: AtExchange, bot: Bot, account: tuple[UUID, UUID]
) -> None:
    """An unreadable key and a refused one are failures of their account only."""
    other = bot.account(account[0], encryption_key="/" * 43 + "=")
    found = examine(terminal, code=ExitCode.FAILED)
    assert "does not open" in found[f"account {str(other)[:8]}"]["says"]
    assert found[f"account {str(account[1])[:8]} spot"]["level"] == "ok"
    exchange.admin("POST", "/accounts/alice", {"key_revoked": True})
    found = examine(terminal, code=ExitCode.FAILED)
    assert "bridge accounts add" in found[f"account {str(account[1])[:8]} spot"]["advice"]


def test_an_exchange_that_is_away(terminal: Terminal, account: tuple[UUID, UUID]) -> None:
    """Neither REST nor stream: two lines, and no account is blamed."""
    away = terminal.environment | {
        "BRIDGE_SPOT_TESTNET_REST_URL": "http://127.0.0.1:1",
        "BRIDGE_SPOT_TESTNET_WS_API_URL": "ws://127.0.0.1:1/ws-api/v3",
    }
    found = examine(Terminal(away), code=ExitCode.FAILED)
    assert "does not answer" in found["stream"]["says"]
    assert "BRIDGE_SPOT_TESTNET_WS_API_URL" in found["stream"]["advice"]
    assert "does not answer" in found[f"account {str(account[1])[:8]} spot"]["says"]


def test_the_bots_listen_key_trap(terminal: Terminal, bot: Bot, account: tuple[UUID, UUID]) -> None:
    """An account that is off although its key works for spot was switched off by the bot: the way out."""
    bot.connection.execute("UPDATE exchange_accounts SET is_active = false WHERE id = %s", [account[1]])
    found = examine(terminal, code=ExitCode.FAILED)
    finding = found[f"account {str(account[1])[:8]}"]
    assert "switched off" in finding["says"]
    assert "WEBSOCKET_ENABLED=false" in finding["advice"]


def test_what_an_operator_should_see(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], admin: psycopg.Connection[Any]
) -> None:
    """Held and unknown orders, halts, rows moved by another, rows not taken in: each has its line."""
    held, unknown = bot.order(*account), bot.order(*account, symbol="ETH/USDT")
    admin.execute("UPDATE bridge.outbox SET state = 'held' WHERE order_id = %s", [held])
    admin.execute(
        "UPDATE bridge.outbox SET state = 'sending', attempts = 1, token = gen_random_uuid() "
        "WHERE order_id = %s",
        [unknown],
    )
    admin.execute(
        "UPDATE bridge.outbox SET state = 'unknown', changed_at = clock_timestamp() - interval '1 hour' "
        "WHERE order_id = %s",
        [unknown],
    )
    admin.execute("INSERT INTO bridge.event (kind, order_id) VALUES ('moved_by_another', %s)", [held])
    terminal.run("halt", "--reason", "test")
    admin.execute("ALTER TABLE orders DISABLE TRIGGER bridge_take_in")
    missed = bot.order(*account, symbol="SOL/USDT")
    bot.connection.execute("UPDATE orders SET created_at = now() - interval '1 hour' WHERE id = %s", [missed])
    found = examine(terminal, "--offline", code=ExitCode.FAILED)
    assert found["held orders"]["level"] == "warning"
    assert "bridge adopt" in found["held orders"]["advice"]
    assert found["unknown orders"]["level"] == "failed"
    assert "bridge resolve" in found["unknown orders"]["advice"]
    assert found["halt"]["level"] == "warning"
    assert found["bot's own executor"]["level"] == "failed"
    assert "1 pending rows were not taken in" in found["outbox"]["says"]


def test_what_waits_is_told_with_what_it_waits_for(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], admin: psycopg.Connection[Any]
) -> None:
    """And rows that only another version of the bridge can read are no failure of the trigger's."""
    bot.order(*account)
    admin.execute("UPDATE bridge.outbox SET reason_code = 'halted', reason = 'Sending is halted.'")
    assert "for: halted" in examine(terminal, "--offline")["outbox"]["says"]
    admin.execute("ALTER TYPE market_type ADD VALUE 'margin'")
    bot.order(*account, market_type="margin")
    admin.execute("UPDATE orders SET created_at = now() - interval '1 hour'")
    found = examine(terminal, "--offline")["outbox"]
    assert (found["level"], "1 pending rows name a market" in found["says"]) == ("warning", True)


def test_another_encryption_key_than_the_bots(terminal: Terminal, account: tuple[UUID, UUID]) -> None:
    """No key opens: that is one mistake, not as many as there are accounts."""
    found = examine(Terminal(terminal.environment | {"ENCRYPTION_KEY": "/" * 43 + "="}), code=ExitCode.FAILED)
    assert found["keys"]["level"] == "failed"
    assert "ENCRYPTION_KEY" in found["keys"]["advice"]


def test_real_money_without_the_words(terminal: Terminal, bot: Bot) -> None:
    """An active account with real money while live trading is off: its rows will be rejected."""
    bot.account(bot.user(), is_testnet=False)
    found = examine(terminal, "--offline")
    assert "are rejected" in found["live trading"]["says"]
    live = terminal.environment | {"BRIDGE_LIVE_TRADING": "on", "BRIDGE_BOT_EXECUTOR_OFF": "confirmed"}
    # The test server runs without fsync, which live trading must not.
    found = examine(Terminal(live), "--offline", code=ExitCode.FAILED)
    assert found["live trading"]["level"] == "ok"
    assert "fsync" in found["commits"]["says"]


def test_what_an_account_lacks_is_told(
    terminal: Terminal, bot: Bot, account: tuple[UUID, UUID], database: str, bridge_database: str
) -> None:
    """Less at the exchange than the open positions hold fails; a change beside our fills is a warning."""
    asyncio.run(settled_buy(bridge_database, bot, account))
    assert examine(terminal, "--offline")["balances"]["level"] == "ok"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO bridge.wallet (account_id, market, environment_epoch, asset, exchange, ledger) "
            "VALUES (%s, 'spot', 1, 'BTC', 0.004, 0.004995)",
            [account[1]],
        )
        found = examine(terminal, "--offline", code=ExitCode.FAILED)["balances"]
        assert "holds 0.004 BTC, its open positions 0.004995" in found["says"]
        admin.execute("UPDATE bridge.wallet SET exchange = 1")
        admin.execute(
            "INSERT INTO bridge.event (kind, account_id) VALUES ('balance_differs', %s)", [account[1]]
        )
        found = examine(terminal, "--offline")["balances"]
        assert (found["level"], "changed a balance 1 times" in found["says"]) == ("warning", True)
