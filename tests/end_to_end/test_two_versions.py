"""A rolling upgrade: executors of two versions on one database share the work, and nothing is sent twice."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from services.command_line.demo import EXECUTOR, LISTENER
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from services.command_line.local_testnet import LocalTestnet
    from services.command_line.stand_in_bot import Bot

OLDER = os.environ.get("BRIDGE_OLDER_VERSION", "HEAD~20")
SYMBOLS = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT")
MOST_ROUNDS = 40


@pytest.fixture
def older(tmp_path: Path) -> dict[str, str]:
    """Environment of a process that runs the older version, from a copy of its code."""
    archive = subprocess.run(["git", "archive", OLDER, "services", "shared", "sql"], capture_output=True)
    if archive.returncode != 0:
        pytest.skip(f"git does not have {OLDER}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as code:
        code.extractall(tmp_path, filter="data")
    # Safe path: otherwise `python -m` would find the version of the folder it is started in.
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    asked = [sys.executable, "-c", "import services.order_executor as it; print(it.__file__)"]
    found = subprocess.run(asked, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path))
    return environment


@pytest.mark.whole
def test_two_versions_share_one_database(bare_local: LocalTestnet, bot: Bot, older: dict[str, str]) -> None:
    """Orders go on until both have claimed some; then the older drains, and the newer goes on alone."""
    bare_local.start_service(LISTENER)
    bare_local.start_service(EXECUTOR)
    old = bare_local.start_service(EXECUTOR, **older)
    traders = [new_trader(bare_local, bot) for _ in range(6)]
    sent: list[tuple[int, UUID]] = []

    def one_round(number: int) -> None:
        for who, trader in enumerate(traders):
            symbol = SYMBOLS[number % len(SYMBOLS)]
            sent.append((who, trader.order(symbol=symbol, amount=Decimal(50 + number))))
        for who, order in sent[-len(traders) :]:
            traders[who].until_status(order, "filled")

    def owners() -> Counter[str]:
        rows = bot.connection.execute("SELECT owner FROM bridge.outbox WHERE attempts > 0").fetchall()
        return Counter(row["owner"] for row in rows)

    for number in range(MOST_ROUNDS):
        one_round(number)
        if len(owners()) > 1:
            break
    assert len(owners()) == 2, "both have claimed"
    old.stop()
    assert old.popen.returncode == 0, old.tail()
    one_round(MOST_ROUNDS)
    counted = bot.connection.execute("SELECT count(*) AS attempts FROM bridge.attempt").fetchone()
    assert counted == {"attempts": len(sent)}
    assert sum(len(trader.at_exchange()) for trader in traders) == len(sent)
