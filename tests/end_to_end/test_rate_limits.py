"""PROTOCOL 2 at the real limits: they are used up, never overstepped, and nobody waits for others."""

from __future__ import annotations

import base64
import secrets
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from bench.limits import MOST, counted, refused, resting
from services.command_line.demo import EXECUTOR, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG = 10_000
WITHIN_S = 400.0
NO_CAPS = {
    "BRIDGE_MAX_ORDERS_PER_MINUTE": "1000000",
    "BRIDGE_MAX_POSITION_USD": "1000000000",
    "BRIDGE_MAX_EXPOSURE_USD": "1000000000",
}


@pytest.fixture
def still() -> Iterator[LocalTestnet]:
    """An exchange with production's limits whose prices stand still, and two executors."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    options = ("--step-ms=0", "--volatility=0")
    with LocalTestnet(
        [fund("nobody")], key, environment=NO_CAPS, fsync=False, exchange_options=options
    ) as local:
        local.start_service(EXECUTOR)
        local.start_service(EXECUTOR)
        yield local


@pytest.mark.whole
@pytest.mark.timeout(600)
def test_a_backlog_uses_up_the_limit_and_oversteps_none(still: LocalTestnet) -> None:
    """Two executors, 10,000 resting orders of one account: 95 of 100 in a window, no 429, others pass."""
    assert still.database_url is not None
    with Bot(still.database_url, still.encryption_key) as bot:
        crowd, single = new_trader(still, bot, USDT="1000000000"), new_trader(still, bot)
        bot.copy_orders(resting((crowd.user, crowd.account), BACKLOG))

        def placed() -> dict[int, int]:
            return counted(still.admin("GET", f"/requests?account={crowd.name}"), crowd.name)

        crowd.until(lambda: bool(crowd.at_exchange()), "the backlog is being worked off")
        order = single.order(amount=Decimal(25))
        single.until_status(order, "filled")
        left = bot.connection.execute(
            "SELECT count(*) AS n FROM bridge.outbox WHERE account_id = %s AND state = 'new'",
            [crowd.account],
        ).fetchone()
        assert left is not None
        assert left["n"] > BACKLOG - 10 * MOST, "the single order did not wait for the backlog"

        # However slow the machine: some window is used up, and then none of those before was overstepped.
        deadline = time.monotonic() + WITHIN_S
        while max(placed().values()) < 0.95 * MOST:
            assert time.monotonic() < deadline, f"no window was used to 95 %: {placed()}"
            time.sleep(0.2)
        assert max(placed().values()) <= MOST
        assert refused(still.admin("GET", "/requests")) == 0
