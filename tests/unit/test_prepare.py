"""PROTOCOL 2: what is said of a row before its size: attempts, quarantine, pauses, clock, parent."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from services.order_executor.futures_account import FuturesAccounts
from services.order_executor.pauses import Pauses
from services.order_executor.prepare import Preparer
from shared.binance.clock_offset import Clock
from shared.binance.rest import TransportFailure
from shared.binance.sign import Credentials
from shared.domain.attempt import MAX_ATTEMPTS
from shared.domain.classify import Pause
from shared.domain.order import Market
from shared.domain.sizing import Book
from shared.domain.symbol import Instrument, index_instruments
from shared.domain.verdicts import Code, Held, Rejected, Verdict, Waiting
from shared.futures_settings import FuturesSettings
from shared.settings import GuardSettings, ProtocolSettings, load
from shared.telemetry.metrics import Metrics
from tests.order_rows import BTC, ENTRY, ROW

if TYPE_CHECKING:
    from collections.abc import Callable

D = Decimal
CHILD = replace(ENTRY, order=replace(ROW, parent_order_id=UUID(int=5)))


class Venue:
    """A venue without a network."""

    base_url = "http://127.0.0.1:1"
    market = Market.SPOT
    live = False

    def __init__(self, instrument: Instrument = BTC) -> None:
        clock = Clock(lambda: 1000.0)
        clock.sample(1000.0, 1000, 1000.0)
        self.rest = SimpleNamespace(clock=clock)
        self.instruments = index_instruments(Market.SPOT, [instrument])

    async def book(self, symbol: str) -> Book:
        return Book(D(69990), D(70000), D(1), D(1))


@pytest.fixture
def venue() -> Venue:
    return Venue()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses(None, Metrics("order_executor", "test"), lambda: None)  # type: ignore[arg-type]


@pytest.fixture
def preparer(venue: Venue, pauses: Pauses) -> Preparer:
    configuration: Any = SimpleNamespace(guards=load(GuardSettings), protocol=load(ProtocolSettings))
    venues: Any = SimpleNamespace(of=lambda *_, **__: venue)
    keys: Any = SimpleNamespace(of=lambda *_: Credentials("key", "secret"))
    futures = FuturesAccounts(None, FuturesSettings())  # type: ignore[arg-type]
    return Preparer(configuration, None, venues, keys, pauses, futures)  # type: ignore[arg-type]


def fail_thrice(pauses: Pauses, venue: Venue) -> None:
    for _ in range(3):
        pauses.observed(venue, TransportFailure(bytes_written=False, reason="connect", detail=""))  # type: ignore[arg-type]


def ban(pauses: Pauses, venue: Venue) -> None:
    pauses.pause_address(venue, 60, "418")  # type: ignore[arg-type]


def use_up_orders(pauses: Pauses, venue: Venue) -> None:
    pauses.pause_account(ENTRY, Pause.ACCOUNT, 10, "-1015")


def refuse_key(pauses: Pauses, venue: Venue) -> None:
    pauses.pause_account(ENTRY, Pause.KEY, None, "-2015 Invalid API-key")


@pytest.mark.parametrize(
    ("cause", "kind", "code"),
    [
        (fail_thrice, Waiting, Code.PAUSED),
        (ban, Waiting, Code.BANNED),
        (use_up_orders, Waiting, Code.RATE_LIMITED),
        (refuse_key, Rejected, Code.KEY_REFUSED),
    ],
)
async def test_what_is_paused_is_not_prepared(
    preparer: Preparer,
    pauses: Pauses,
    venue: Venue,
    cause: Callable[[Pauses, Venue], None],
    kind: type[Verdict],
    code: Code,
) -> None:
    """An address or account that is paused lets its rows wait; a refused key rejects them."""
    cause(pauses, venue)
    verdict = await preparer.prepare(ENTRY)
    assert isinstance(verdict, kind)
    assert verdict.code is code


async def test_refused_key_is_tried_again_when_its_row_has_changed(
    preparer: Preparer, pauses: Pauses, venue: Venue
) -> None:
    """Another version of the account's row is another key, perhaps."""
    refuse_key(pauses, venue)
    assert ENTRY.account is not None
    changed = replace(ENTRY, account=replace(ENTRY.account, version="8"))
    assert pauses.verdict(venue, changed) is None  # type: ignore[arg-type]


async def test_nine_attempts_are_the_last(preparer: Preparer) -> None:
    """The row is put aside for its owner, not rejected: none of them was sent."""
    verdict = await preparer.prepare(replace(ENTRY, attempts=MAX_ATTEMPTS))
    assert isinstance(verdict, Held)
    assert verdict.code is Code.ATTEMPTS_USED_UP
    assert not isinstance(await preparer.prepare(replace(ENTRY, attempts=MAX_ATTEMPTS - 1)), Held)


async def test_quarantine_says_until_when(preparer: Preparer) -> None:
    """The sentence holds the moment, for whoever looks."""
    until = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
    verdict = await preparer.prepare(replace(ENTRY, quarantined_until=until))
    assert isinstance(verdict, Waiting)
    assert verdict.code is Code.QUARANTINE
    assert "2026-11-01T12:30:00" in verdict.sentence


async def test_nothing_is_prepared_with_an_unknown_clock(preparer: Preparer, venue: Venue) -> None:
    """A timestamp that may be wrong would be refused, or worse, be valid for too long."""
    venue.rest.clock.forget()
    verdict = await preparer.prepare(ENTRY)
    assert isinstance(verdict, Waiting)
    assert verdict.code is Code.CLOCK_UNKNOWN


async def test_nothing_is_done_after_a_parent_that_did_nothing(preparer: Preparer) -> None:
    """A stop for an entry that never filled would open a position of its own."""
    verdict = await preparer.prepare(CHILD)
    assert isinstance(verdict, Rejected)
    assert verdict.code is Code.PARENT_UNFILLED
    assert str(UUID(int=5)) in verdict.sentence


async def test_a_mistake_of_ours_holds_the_row_it_was_made_with(preparer: Preparer, venue: Venue) -> None:
    """It would come back at every start, and keep all other rows from being sent."""
    broken: Any = SimpleNamespace(resolve=lambda _: 1 / 0)
    venue.instruments = broken
    verdict = await preparer.prepare(ENTRY)
    assert isinstance(verdict, Held)
    assert verdict.code is Code.NOT_PREPARED
    assert "ZeroDivisionError" in verdict.sentence


@pytest.mark.parametrize("away", [ssl.SSLCertVerificationError(), ConnectionRefusedError(), TimeoutError()])
async def test_a_database_that_is_away_holds_nothing(
    preparer: Preparer, venue: Venue, away: Exception
) -> None:
    """It is no mistake of ours, even where it is a ValueError: the row waits with all the others."""

    def lost(_: str) -> None:
        raise away

    broken: Any = SimpleNamespace(resolve=lost)
    venue.instruments = broken
    with pytest.raises(type(away)):
        await preparer.prepare(ENTRY)
