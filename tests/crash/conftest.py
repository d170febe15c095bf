"""Crash tests: processes that die or freeze on purpose, on times scaled down so that waiting is short."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import pytest

from services.command_line.demo import fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.crash.scale import SCALED
from tests.end_to_end.conftest import Trader, new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def crash_local() -> Iterator[LocalTestnet]:
    """Database and exchange without services; whoever starts one gets the scaled times."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    with LocalTestnet([fund("nobody")], key, environment=SCALED.environment(), fsync=False) as local:
        yield local


@pytest.fixture
def trader(crash_local: LocalTestnet) -> Iterator[Trader]:
    """A user with 100,000 USDT and an account of its own."""
    assert crash_local.database_url is not None
    with Bot(crash_local.database_url, crash_local.encryption_key) as bot:
        yield new_trader(crash_local, bot)
