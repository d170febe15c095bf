"""DESIGN 5: which leverage a symbol gets before its first order: as configured, within the user's limit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def chosen_leverage(configured: int | None, user_settings: Mapping[str, Any]) -> int | None:
    """Return the leverage to set; None leaves the account's own.

    Args:
        configured: of this installation; None = not set.
        user_settings: `users.settings`; `max_leverage_multiple` limits it, 0 and nonsense do not (Go writes 0
            for "no limit").

    """
    if configured is None:
        return None
    limit = user_settings.get("max_leverage_multiple")
    if isinstance(limit, bool) or not isinstance(limit, int | float | Decimal):
        return configured
    number = Decimal(str(limit))
    return configured if not number.is_finite() or number <= 0 else max(1, min(configured, int(number)))
