"""Times in answers: milliseconds, or microseconds for a client that asks for them.

Binance REST docs "General API Information": header `X-MBX-TIME-UNIT`; WebSocket API: `timeUnit` in the URL.
 The engine's clock ticks in milliseconds, so microseconds end in three zeros.
"""

from __future__ import annotations

from typing import Any

from services.local_exchange.errors import ExchangeError

TIME_FIELDS = frozenset(
    (
        "serverTime",
        "transactTime",
        "workingTime",
        "time",
        "updateTime",
        "closeTime",
        "openTime",
        "timestamp",
        "authorizedSince",
        "connectedSince",
        "retryAfter",
    )
)
EVENT_TIMES = frozenset(("E", "T", "O", "W", "D", "u"))
CANDLE_TIMES = (0, 6)
CANDLE_LENGTH = 12


def wants_microseconds(unit: str | None) -> bool:
    """Read a time unit.

    Raises:
        ExchangeError: -1194 for an unknown one.

    """
    if unit is None or unit.upper() == "MILLISECOND":
        return False
    if unit.upper() == "MICROSECOND":
        return True
    raise ExchangeError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")


def in_microseconds(answer: Any, fields: frozenset[str] = TIME_FIELDS) -> Any:
    """Return an answer or event with all its times in microseconds; -1 and null stay as they are."""
    if isinstance(answer, dict):
        return {
            name: value * 1000
            if name in fields and isinstance(value, int) and value > 0
            else in_microseconds(value, fields)
            for name, value in answer.items()
        }
    if isinstance(answer, list):
        if len(answer) == CANDLE_LENGTH and isinstance(answer[0], int):
            return [value * 1000 if i in CANDLE_TIMES else value for i, value in enumerate(answer)]
        return [in_microseconds(value, fields) for value in answer]
    return answer


def event_in_microseconds(event: dict[str, Any]) -> dict[str, Any]:
    """Return a user data event with its times in microseconds; `u` is a time only in account positions."""
    fields = EVENT_TIMES if event.get("e") == "outboundAccountPosition" else EVENT_TIMES - {"u"}
    return {name: value * 1000 if name in fields else value for name, value in event.items()}
