"""PROTOCOL 2: send slots are counted, freed once, and their most is told though it lasted milliseconds."""

from __future__ import annotations

from uuid import uuid4

from services.order_executor.slots import Slots
from shared.database.outbox import Key


def test_slots_are_taken_and_freed() -> None:
    """By order and attempt; freeing twice does nothing."""
    slots, account = Slots(2), uuid4()
    one, other = uuid4(), uuid4()
    slots.take(one, 1, uuid4(), Key(account, "spot", "BTCUSDT"))
    slots.take(other, 1, uuid4(), Key(account, "spot", "ETHUSDT"))
    assert (slots.free, len(slots.tokens)) == (0, 2)
    assert slots.busy_keys() == {Key(account, "spot", "BTCUSDT"), Key(account, "spot", "ETHUSDT")}
    assert slots.release(one, 1) == Key(account, "spot", "BTCUSDT")
    assert slots.release(one, 1) is None
    assert slots.free == 1


def test_the_most_at_once_is_told_until_it_was_asked() -> None:
    """A sweep sees what was in flight between two sweeps, not only what happens to be at its moment."""
    slots, account, order = Slots(8), uuid4(), uuid4()
    assert slots.most_since_asked() == 0
    for number in (1, 2, 3):
        slots.take(order, number, uuid4(), Key(account, "spot", "BTCUSDT"))
    slots.release(order, 1)
    slots.release(order, 2)
    assert slots.most_since_asked() == 3
    assert slots.most_since_asked() == 1
    slots.release(order, 3)
    slots.most_since_asked()
    assert slots.most_since_asked() == 0
