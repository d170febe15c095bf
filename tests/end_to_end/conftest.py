"""A whole bridge as real processes: one testnet per test worker, an account of its own per test."""

from __future__ import annotations

import base64
import os
import secrets
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.command_line import Terminal
from tests.pgbouncer import bouncer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

SECONDS = 60.0
THROUGH_PGBOUNCER = "BRIDGE_TEST_THROUGH_PGBOUNCER"
FUTURES = {"BRIDGE_FUTURES_LEVERAGE": "20", "BRIDGE_FUTURES_MARGIN_MODE": "isolated"}


@dataclass(slots=True)
class Trader:
    """A user of the bot with an account at the local exchange."""

    local: LocalTestnet
    bot: Bot
    name: str
    user: UUID
    account: UUID
    at_local: Mapping[str, Any]

    def order(self, **columns: Any) -> UUID:
        """Insert a pending order as the bot does."""
        return self.bot.order(self.user, self.account, **columns)

    def row(self, order_id: UUID) -> Mapping[str, Any]:
        """Read the bot's row."""
        return self.bot.read_order(order_id)

    def entry(self, order_id: UUID) -> Mapping[str, Any]:
        """Read our line about it."""
        query = "SELECT * FROM bridge.outbox WHERE order_id = %s"
        row = self.bot.connection.execute(query, [order_id]).fetchone()
        assert row is not None
        return row

    def positions(self) -> list[Mapping[str, Any]]:
        """Read the user's positions."""
        return list(self.bot.read_positions(self.user))

    def at_exchange(self, market: str = "spot") -> list[Mapping[str, Any]]:
        """Read the exchange's own ledger of this account's orders, plain and conditional."""
        ledger = self.local.admin("GET", f"/ledger?market={market}&account={self.name}")
        return [entry.get("order") or entry["algo"] for entry in ledger["orders"]]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something holds; the failure says what did not, and what the processes logged."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            for process in self.local.processes:
                if process.popen.poll() is not None and process.popen.returncode not in (0, -9):
                    pytest.fail(f"{process.name} ended:\n{process.tail()}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {p.name}\n{p.tail()}" for p in self.local.processes)
                pytest.fail(f"not within {SECONDS} s: {what}\n{logs}")
            time.sleep(0.02)

    def until_status(self, order_id: UUID, *statuses: str) -> Mapping[str, Any]:
        """Wait until the row shows one of the statuses; returns the row."""
        self.until(lambda: self.row(order_id)["status"] in statuses, f"order {order_id} is {statuses}")
        return self.row(order_id)


def new_trader(local: LocalTestnet, bot: Bot, **balances: str) -> Trader:
    """Make a user with an account that exists on both sides."""
    account = fund(f"trader-{secrets.token_hex(4)}")
    account["balances"] |= balances
    local.admin("POST", "/accounts", account)
    user = bot.user()
    row = bot.account(user, api_key=account["api_key"], secret=account["secret"])
    return Trader(local, bot, account["name"], user, row, account)


@pytest.fixture(scope="session")
def bare_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTestnet]:
    """Database and exchange, without services; under `make pgbouncer` these work through PgBouncer."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, environment=FUTURES, fsync=False) as local:
        if THROUGH_PGBOUNCER not in os.environ:
            yield local
            return
        assert local.database_url is not None
        with bouncer(local.database_url, tmp_path_factory.mktemp("pgbouncer")) as variables:
            local.environment = {**FUTURES, **variables}
            yield local


@pytest.fixture(scope="session")
def local(bare_local: LocalTestnet) -> LocalTestnet:
    """Database, exchange, one executor, one listener."""
    bare_local.start_service(EXECUTOR)
    bare_local.start_service(LISTENER)
    return bare_local


@pytest.fixture
def bot(bare_local: LocalTestnet) -> Iterator[Bot]:
    """The bot."""
    assert bare_local.database_url is not None
    with Bot(bare_local.database_url, bare_local.encryption_key) as bot:
        yield bot


@pytest.fixture
def trader(local: LocalTestnet, bot: Bot) -> Iterator[Trader]:
    """A user with 100,000 USDT; whatever a test did, his positions are what their fills come to."""
    trader = new_trader(local, bot)
    yield trader
    terminal = Terminal(local.service_environment())
    assert terminal.json("replay", "--account", trader.account)["differing"] == []


@pytest.fixture
def amount() -> Decimal:
    """An amount of its own, so that no two orders of a test session are twins."""
    return Decimal(100 + secrets.randbelow(100_000) / 1000).quantize(Decimal("0.001"))
