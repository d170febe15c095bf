"""DESIGN 6: whether a testnet was wiped, from what it says about orders that it had accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_LEAST = 2
"""One missing order proves nothing."""


def was_wiped(found: Sequence[bool]) -> bool | None:
    """Judge by orders in the order of their sending, each still known to the exchange or not.

    A wipe takes everything up to a moment: the oldest are missing, and whatever is there is newer.

    Args:
        found: one word per order, the oldest first.

    Returns:
        None when they do not tell.

    """
    if not found:
        return None
    if found[0]:
        return False
    missing = found.index(True) if True in found else len(found)
    return True if missing >= AT_LEAST and all(found[missing:]) else None
