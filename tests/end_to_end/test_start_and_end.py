"""A service that cannot start says so in a sentence; one that is told to end drains."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.command_line.local_testnet import Process
    from tests.end_to_end.conftest import Trader


@pytest.fixture(scope="module")
def own() -> Iterator[LocalTestnet]:
    """A testnet whose services belong to these tests alone."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, fsync=False) as local:
        yield local


@pytest.fixture
def alone(own: LocalTestnet) -> Iterator[Trader]:
    """A user of that testnet."""
    assert own.database_url is not None
    own.admin("DELETE", "/faults")
    with Bot(own.database_url, own.encryption_key) as bot:
        yield new_trader(own, bot)


def test_sigterm_settles_what_is_in_flight(own: LocalTestnet, alone: Trader) -> None:
    """The answer is on its way when SIGTERM comes: it is waited for and settled, exit code 0."""
    executor = own.start_service(EXECUTOR)
    fault = {"action": "delay_answer", "ms": 1500, "method": "POST", "route": "/api/v3/order", "count": 1}
    own.admin("POST", "/faults", fault)
    order = alone.order(symbol="BTC/USDT", amount=Decimal(301))
    alone.until(lambda: len(alone.at_exchange()) == 1, "the exchange has the order")
    executor.popen.send_signal(signal.SIGTERM)
    assert executor.popen.wait(20) == 0, executor.tail()
    assert alone.row(order)["status"] == "filled"
    assert '"draining"' in executor.tail()


def test_drained_executor_claims_nothing_more(own: LocalTestnet, alone: Trader) -> None:
    """A row that came after SIGTERM stays pending for the next executor, which takes it at its start."""
    executor = own.start_service(EXECUTOR)
    executor.stop()
    order = alone.order(symbol="ETH/USDT", amount=Decimal(302))
    assert alone.row(order)["status"] == "pending"
    successor = own.start_service(EXECUTOR)
    alone.until_status(order, "filled")
    successor.stop()


def test_killed_listener_is_followed_by_one_that_reads_what_was_missed(
    own: LocalTestnet, alone: Trader
) -> None:
    """A limit order fills while nobody listens; the next listener finds the fill and makes the position."""
    executor = own.start_service(EXECUTOR)
    listener = own.start_service(LISTENER)
    order = alone.order(symbol="SOL/USDT", type="limit", price=Decimal("142.5"), amount=Decimal(303))
    alone.until(lambda: alone.row(order)["exchange_order_id"] != "", "the order rests")
    listener.kill()
    own.admin("POST", "/price", {"symbol": "SOLUSDT", "price": "140"})
    alone.until(lambda: alone.at_exchange()[0]["status"] == "FILLED", "the exchange filled it")
    assert alone.row(order)["status"] in ("open", "partial")
    successor = own.start_service(LISTENER)
    row = alone.until_status(order, "filled")
    (position,) = alone.positions()
    assert position["size"] == row["filled_amount"] - row["fee"]
    successor.stop()
    executor.stop()


@pytest.mark.parametrize("module", [EXECUTOR, LISTENER])
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ENCRYPTION_KEY": ""}, "ENCRYPTION_KEY"),
        ({"ENCRYPTION_KEY": "not base64"}, "ENCRYPTION_KEY"),
        ({"BRIDGE_DATABASE_URL": "mysql://x"}, "BRIDGE_DATABASE_URL"),
        ({"BRIDGE_LIVE_TRADING": "on"}, "BRIDGE_BOT_EXECUTOR_OFF"),
        ({"BRIDGE_SEND_SLOTZ": "4"}, "BRIDGE_SEND_SLOTZ"),
    ],
)
def test_wrong_setting_is_a_sentence_and_exit_code_2(
    own: LocalTestnet, module: str, variables: dict[str, str], sentence: str
) -> None:
    """A missing or wrong variable is named, without a traceback and without its value."""
    started = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, **own.service_environment(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 2, started.stdout + started.stderr
    assert sentence in started.stderr
    assert "Traceback" not in started.stderr
    assert own.encryption_key not in started.stderr


@pytest.mark.parametrize(
    ("part", "sentence"),
    [("password", "password authentication failed"), ("dbname", 'database "nowhere" does not exist')],
)
def test_a_database_that_refuses_is_a_sentence_and_exit_code_2(
    own: LocalTestnet, part: str, sentence: str
) -> None:
    """A wrong password or name is said at once, without a traceback and without the password."""
    assert own.database_url is not None
    to = conninfo_to_dict(own.database_url) | {part: "nowhere"}
    url = f"postgresql://{to['user']}:{to['password']}@{to['host']}:{to['port']}/{to['dbname']}"
    started = subprocess.run(
        [sys.executable, "-m", EXECUTOR],
        env={**os.environ, **own.service_environment(), "BRIDGE_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert started.returncode == 2, started.stdout + started.stderr
    assert sentence in started.stderr
    assert "BRIDGE_DATABASE_URL" in started.stderr
    assert "Traceback" not in started.stderr
    assert str(to["password"]) not in started.stderr.replace('"nowhere"', "")


@contextlib.contextmanager
def database_away(own: LocalTestnet) -> Iterator[None]:
    """Stop Postgres for the length of a block."""
    assert own.server is not None
    own.server.stop()
    try:
        yield
    finally:
        own.server.start()


def ended(service: Process) -> int:
    """Tell a service to end and return its exit code."""
    service.popen.send_signal(signal.SIGTERM)
    return service.popen.wait(20)


SAYS_AWAY = '"event":"database.away"'


@pytest.mark.parametrize("module", [EXECUTOR, LISTENER])
def test_a_service_waits_for_its_database(own: LocalTestnet, alone: Trader, module: str) -> None:
    """Started while Postgres is away it stays alive and says so, and it works once Postgres is there."""
    with database_away(own):
        service = own.start_process(module)
        alone.until(lambda: SAYS_AWAY in service.tail(), "it says that the database is away")
        (port,) = service.ports().values()
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10)
        with refused.value as answer:
            assert b"database has not been reached" in answer.read()
    own.wait_ready(service)
    assert ended(service) == 0, service.tail()


def test_the_wait_for_the_database_ends_when_told(own: LocalTestnet, alone: Trader) -> None:
    """SIGTERM ends a service that has not begun, in order."""
    with database_away(own):
        service = own.start_process(LISTENER)
        alone.until(lambda: SAYS_AWAY in service.tail(), "it says that the database is away")
        assert ended(service) == 0, service.tail()


@pytest.mark.parametrize("module", [EXECUTOR, LISTENER])
def test_a_service_drains_without_its_database(own: LocalTestnet, module: str) -> None:
    """SIGTERM while Postgres is away and nothing is in flight: exit code 0."""
    service = own.start_service(module)
    with database_away(own):
        assert ended(service) == 0, service.tail()


def test_an_executor_that_cannot_settle_ends_all_the_same(own: LocalTestnet, alone: Trader) -> None:
    """The answer comes, the database does not: it ends in bounded time, and its heir asks and finds."""
    executor = own.start_service(EXECUTOR, BRIDGE_LEASE="6")
    fault = {"action": "delay_answer", "ms": 1500, "method": "POST", "route": "/api/v3/order", "count": 1}
    own.admin("POST", "/faults", fault)
    order = alone.order(symbol="BTC/USDT", amount=Decimal(304))
    alone.until(lambda: len(alone.at_exchange()) == 1, "the exchange has the order")
    with database_away(own):
        alone.until(lambda: '"settle.database_away"' in executor.tail(), "it cannot write the answer down")
        executor.popen.send_signal(signal.SIGTERM)
        assert executor.popen.wait(40) == 0, executor.tail()
        assert '"drain.incomplete"' in executor.tail()
    with Bot(alone.local.database_url or "", own.encryption_key) as bot:
        heir = own.start_service(EXECUTOR)
        after = replace(alone, bot=bot)
        after.until_status(order, "filled")
        assert len(after.at_exchange()) == 1
        heir.stop()


def test_tables_that_are_not_the_bots_stop_the_start(own: LocalTestnet, alone: Trader) -> None:
    """A renamed column is fatal at the start, and named."""
    alone.bot.connection.execute("ALTER TABLE orders RENAME COLUMN fee_currency TO fee_asset")
    try:
        started = subprocess.run(
            [sys.executable, "-m", EXECUTOR],
            env={**os.environ, **own.service_environment()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        alone.bot.connection.execute("ALTER TABLE orders RENAME COLUMN fee_asset TO fee_currency")
    assert started.returncode == 2
    assert "fee_currency" in started.stderr
