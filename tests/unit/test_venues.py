"""The venues an executor has opened."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from services.order_executor.venues import Venues
from shared.domain.order import Market
from shared.settings import load_configuration

if TYPE_CHECKING:
    import pytest

    from shared.binance.rest import Result, Ticket
    from shared.binance.venue import Venue


async def test_a_venue_may_be_opened_while_somebody_looks_at_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sweep looks at each, waiting in between, while the first futures row opens another one."""
    monkeypatch.setenv("BRIDGE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("ENCRYPTION_KEY", base64.b64encode(bytes(32)).decode())
    venues = Venues(load_configuration(), lambda: None, _nothing, _admit, _epoch_of)
    venues.of(Market.SPOT, testnet=True)
    looked_at = []
    for venue in venues:
        looked_at.append(venue.market)
        venues.of(Market.FUTURES, testnet=True)
    assert looked_at == [Market.SPOT]
    assert [venue.market for venue in venues] == [Market.SPOT, Market.FUTURES]
    await venues.aclose()


def _nothing(_venue: Venue, _method: str, _path: str, _result: Result) -> None:
    """No request is made."""


async def _admit(_venue: Venue, _method: str, _path: str, _query: str) -> Ticket:
    raise AssertionError


async def _epoch_of(_base_url: str) -> int:
    raise AssertionError
