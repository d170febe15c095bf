"""DESIGN 4: work connections may lead through PgBouncer in transaction mode; LISTEN goes to Postgres."""

from __future__ import annotations

import base64
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end.conftest import new_trader
from tests.pgbouncer import FOUND, MISSING, bouncer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.conftest import Trader

pytestmark = pytest.mark.skipif(FOUND is None, reason=MISSING)


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Trader]:
    """A user whose bridge reaches its database through PgBouncer."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, fsync=False) as local:
        assert local.database_url is not None
        with (
            bouncer(local.database_url, tmp_path) as variables,
            Bot(local.database_url, local.encryption_key) as bot,
        ):
            local.environment = variables
            trader = new_trader(local, bot)
            executor, listener = local.start_service(EXECUTOR), local.start_service(LISTENER)
            yield trader
            listener.stop()
            executor.stop()


def test_orders_become_positions_through_a_transaction_pooler(behind: Trader) -> None:
    """Buys, a sell and a cancel over few connections; no statement needs a session of its own."""
    amounts = [Decimal(400 + n) for n in range(4)]
    symbols = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "BNB/USDT")
    bought = [behind.order(symbol=s, amount=a) for s, a in zip(symbols, amounts, strict=True)]
    resting = behind.order(symbol="BNB/USDT", type="limit", price=Decimal(560), amount=Decimal(112))
    for order in bought:
        behind.until_status(order, "filled")
    behind.until(lambda: len(behind.positions()) == len(bought), "every buy is a position")
    (held,) = [p for p in behind.positions() if p["symbol"] == "ETH/USDT"]
    behind.until_status(behind.order(symbol="ETH/USDT", side="sell", amount=held["size"]), "filled")
    behind.until(lambda: behind.row(resting)["exchange_order_id"] != "", "the limit order rests")
    behind.bot.cancel(resting)
    behind.until(lambda: behind.entry(resting)["state"] == "done", "the cancel reached the exchange")
    assert len(behind.at_exchange()) == len(bought) + 2
    logs = "\n".join(process.tail() for process in behind.local.processes)
    assert "prepared statement" not in logs
    assert pooled_transactions(behind.local.environment["BRIDGE_DATABASE_URL"]) > len(bought)


def pooled_transactions(through: str) -> int:
    """Read from PgBouncer's own console how many transactions went through it."""
    port = conninfo_to_dict(through)["port"]
    with psycopg.connect(
        f"host=127.0.0.1 port={port} user=admin dbname=pgbouncer", autocommit=True, prepare_threshold=None
    ) as console:
        cursor = psycopg.ClientCursor(console, row_factory=dict_row)  # the console knows simple queries only
        return sum(int(row["total_xact_count"]) for row in cursor.execute("SHOW STATS"))
