"""What a worker does between peek and claim, for tests: intents with the least that a claim wants to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.database import claim as claims
from shared.database import epoch as epochs
from shared.database import outbox
from shared.database.caps import Ask, Rate
from shared.domain.attempt import client_order_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.database.claim import Claims, Intent
    from shared.database.connect import Connection
    from shared.database.epoch import Epoch
    from shared.database.outbox import ReadyEntry

BASE_URL = "http://127.0.0.1:1"
LEASE = timedelta(seconds=30)
QUARANTINE = timedelta(seconds=60)


async def epoch_of(connection: Connection) -> Epoch:
    """Read the epoch, as a process does at its start."""
    return await epochs.current(connection, quarantine=QUARANTINE)


async def peek(connection: Connection, **how: Any) -> list[ReadyEntry]:
    """Look at what is ready, by default from the first entry on and with the default windows."""
    defaults: dict[str, Any] = {
        "low_water": 0,
        "keys": [],
        "limit": 100,
        "max_key_block": timedelta(seconds=90),
        "twin_window": timedelta(seconds=5),
        "max_per_minute": 60,
    }
    return await outbox.peek(connection, **(defaults | how))


def ask(worth: float | str, **changes: Any) -> Ask:
    """Ask for so many USDT, by default under caps that are never reached; 0 reduces."""
    amount = Decimal(str(worth))
    plenty = Decimal(10) ** 12
    wanted = Ask(
        quantity=Decimal(1),
        worth=amount,
        usd=amount,
        is_testnet=True,
        position=plenty,
        exposure=plenty,
        capital=None,
    )
    return replace(wanted, **changes)


def intend(entry: ReadyEntry, **changes: Any) -> Intent:
    """Intend the next attempt of an entry."""
    number = entry.attempts + 1
    intent = claims.Intent(
        entry_id=entry.entry_id,
        order_id=entry.order.id,
        number=number,
        row_version=entry.row_version,
        client_order_id=client_order_id(entry.order.id, number),
        symbol=entry.key.symbol,
        base_asset=entry.key.symbol.removesuffix("USDT"),
        quote_asset="USDT",
        environment_epoch=1,
        lot_step=Decimal("0.00001"),
        parameters="side=BUY",
        signed_at_ms=1_700_000_000_000,
        base_url=BASE_URL,
        api_key_hash="00",
        token=uuid4(),
        ask=ask(0),
        announced=entry.announced,
    )
    return replace(intent, **changes)


async def claim(
    connection: Connection, intents: Sequence[Intent], epoch: Epoch | None = None
) -> frozenset[UUID]:
    """Claim intents and return the orders claimed."""
    return (await claim_within_caps(connection, intents, epoch)).orders


async def claim_within_caps(
    connection: Connection,
    intents: Sequence[Intent],
    epoch: Epoch | None = None,
    rates: Sequence[Rate] = (Rate("USDT", is_testnet=True, usd=Decimal(1)),),
) -> Claims:
    """Claim intents and say which dropped out."""
    return await claims.claim(
        connection,
        intents,
        rates,
        recv_window_ms=5000,
        owner="test",
        lease=LEASE,
        epoch=epoch or await epoch_of(connection),
        max_per_minute=60,
        twin_window=timedelta(seconds=5),
    )


async def claim_all(connection: Connection, **how: Any) -> list[Intent]:
    """Peek and claim everything that is ready; returns what was claimed, oldest first."""
    intents = [intend(entry) for entry in await peek(connection, **how)]
    mine = await claim(connection, intents)
    return [intent for intent in intents if intent.order_id in mine]
