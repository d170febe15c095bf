"""Executor and listener as roles of their own: what they may do is enough for a row to become a position."""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import conninfo, sql

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.roles import on_our_tables, on_the_bots_tables, role_names
from services.command_line.stand_in_bot import Bot
from shared.database.migrate import lay_bot_stand_in, migrate
from tests.end_to_end.conftest import FUTURES, new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = secrets.token_hex(16)


def dsn_of(role: str, dsn: str) -> str:
    """Return the URL with the login of a role instead."""
    where = conninfo.conninfo_to_dict(dsn)
    login = f"{role_names()[role]}:{PASSWORD}"
    return f"postgresql://{login}@{where['host']}:{where['port']}/{where['dbname']}"


class ApartTestnet(LocalTestnet):
    """A testnet whose database is set up as `bridge grants --separate` says."""

    @staticmethod
    def _prepare_database(dsn: str) -> None:
        lay_bot_stand_in(dsn)
        with psycopg.connect(dsn, autocommit=True) as admin:
            for name in role_names().values():
                words = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                admin.execute(words.format(sql.Identifier(name), sql.Literal(PASSWORD)))
            for statement in on_the_bots_tables():
                admin.execute(statement.encode())
        migrate(dsn_of("migrator", dsn))
        with psycopg.connect(dsn_of("migrator", dsn), autocommit=True) as owner:
            for statement in on_our_tables():
                owner.execute(statement.encode())

    def start_as(self, role: str, module: str) -> None:
        """Start a service that knows no login but its role's."""
        assert self.database_url is not None
        everyones = self.environment
        self.environment = {**everyones, "BRIDGE_DATABASE_URL": dsn_of(role, self.database_url)}
        self.start_service(module)
        self.environment = everyones


@pytest.fixture(scope="module")
def apart() -> Iterator[ApartTestnet]:
    """One executor and one listener, each as its role."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with ApartTestnet([fund("nobody")], key, environment=FUTURES, fsync=False) as local:
        local.start_as("executor", EXECUTOR)
        local.start_as("listener", LISTENER)
        yield local


def test_a_row_becomes_a_position_between_two_roles(apart: ApartTestnet) -> None:
    """Bought, sold, canceled and refused, on spot and futures; neither service lacked a right anywhere."""
    with Bot(str(apart.database_url), apart.encryption_key) as bot:
        trader = new_trader(apart, bot)
        bought = trader.order(symbol="BTC/USDT", amount=350)
        trader.until_status(bought, "filled")
        trader.until(lambda: len(trader.positions()) == 1, "there is a position")
        (held,) = trader.positions()
        trader.until_status(trader.order(symbol="BTC/USDT", side="sell", amount=held["size"]), "filled")
        resting = trader.order(symbol="BNB/USDT", type="limit", price=560, amount=112)
        trader.until(lambda: trader.row(resting)["exchange_order_id"] != "", "it is at the exchange")
        trader.bot.cancel(resting)
        trader.until(lambda: trader.entry(resting)["state"] == "done", "the cancel reached the exchange")
        trader.until_status(trader.order(symbol="MOON/USDT"), "rejected")
        trader.until_status(trader.order(symbol="BTC/USDT", market_type="futures", amount=200), "filled")
        trader.until(lambda: len(trader.positions()) == 2, "there is a futures position")
        with psycopg.connect(str(apart.database_url)) as connection:
            users = connection.execute("SELECT DISTINCT usename FROM pg_stat_activity").fetchall()
    assert {"bridge_executor", "bridge_listener"} <= {name for (name,) in users}
    for process in apart.processes:
        lacking = re.findall(r".*permission denied.*", process.log.read_text())
        assert lacking == [], process.name
