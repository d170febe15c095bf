"""PROTOCOL 8: the exchange's clock jumps; one refused order has it measured again, and nothing is counted."""

from __future__ import annotations

import base64
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.conftest import Trader

PLACING = {"spot": "/api/v3/order", "futures": "/fapi/v1/order"}
MARKETS = ("spot", "futures")


@pytest.fixture(scope="module")
def own() -> Iterator[LocalTestnet]:
    """A testnet of these tests alone: they set its clock."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, fsync=False) as local:
        local.start_service(EXECUTOR)
        local.start_service(LISTENER)
        yield local


@pytest.fixture
def alone(own: LocalTestnet) -> Iterator[Trader]:
    """A user of that testnet."""
    assert own.database_url is not None
    with Bot(own.database_url, own.encryption_key) as bot:
        yield new_trader(own, bot)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("jump_ms", [60_000, -60_000], ids=["ahead", "behind"])
def test_one_refused_order_measures_the_clock_again(alone: Trader, market: str, jump_ms: int) -> None:
    """The first order comes outside its window: -1021 proves it was not taken, and the second is in time."""
    local = alone.local
    first = alone.order(symbol="BTC/USDT", market_type=market, amount=Decimal(201))
    alone.until_status(first, "filled")  # the venue is open, its clock is measured
    skew_ms = local.admin("GET", "/clock")["skew_ms"]
    local.admin("POST", "/clock", {"skew_ms": skew_ms + jump_ms})
    order = alone.order(symbol="ETH/USDT", market_type=market, amount=Decimal(202))
    alone.until_status(order, "filled")
    posts = local.admin("GET", f"/requests?account={alone.name}&path={PLACING[market]}&method=POST")
    of_it = [request["result"] for request in posts if request["client_order_id"].startswith(f"b{order.hex}")]
    assert [("-1021" in result, result.startswith("200")) for result in of_it] == [
        (True, False),
        (False, True),
    ]
    entry = alone.entry(order)
    assert (entry["attempts"], entry["counted"], entry["state"]) == (2, 0, "done")
