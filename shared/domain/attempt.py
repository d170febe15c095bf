"""PROTOCOL 3: the client order id as a pure function of row and number, and the time in which to send.

The id has to be computable from the row alone: an attempt that a failover made the database forget can then
still be asked about. Its form, `b` + 32 hex digits + `-` + number, is 35 characters long and within what both
markets accept (Binance FIX docs, `ClOrdID`: `^[a-zA-Z0-9-_]{1,36}$` on spot; a wider class on futures).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from shared.domain.errors import DomainError

MAX_ATTEMPTS: Final = 9
"""Attempt numbers run from 1 to 9, counted or not; when number 9 was not sent the row is held."""

_OURS: Final = re.compile(r"b([0-9a-f]{32})-([1-9])")
_BOTS: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def client_order_id(order_id: UUID, number: int) -> str:
    """Name the attempt at the exchange.

    Args:
        order_id: the row's primary key.
        number: of the attempt, 1 to 9.

    Raises:
        DomainError: the number is out of range; the row must be held instead.

    """
    if not 1 <= number <= MAX_ATTEMPTS:
        raise DomainError(
            f"Attempt numbers run from 1 to {MAX_ATTEMPTS}, got {number}: hold the row (PROTOCOL 3)."
        )
    return f"b{order_id.hex}-{number}"


def all_client_order_ids(order_id: UUID) -> tuple[str, ...]:
    """All nine ids a row can ever have had: what is asked about after a database change (PROTOCOL 10)."""
    return tuple(client_order_id(order_id, number) for number in range(1, MAX_ATTEMPTS + 1))


def parse_client_order_id(text: str) -> tuple[UUID, int] | None:
    """Read row and attempt number out of an id in our form; None when it is not in our form."""
    match = _OURS.fullmatch(text)
    return None if match is None else (UUID(hex=match[1]), int(match[2]))


def parse_bot_client_order_id(text: str) -> UUID | None:
    """Read the row out of an id in the form of the bot's own executor, the bare UUID; None otherwise.

    Other programs use bare UUIDs too: it is the bot's only if a row has this id.
    """
    return UUID(text) if _BOTS.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class SigningWindow:
    """The time in which the exchange may take an attempt's request in, on the exchange's clock.

    Args:
        signed_at_ms: the signing timestamp stored with the attempt, milliseconds.
        recv_window_ms: recvWindow, milliseconds.

    """

    signed_at_ms: int
    recv_window_ms: int

    @property
    def deadline_ms(self) -> int:
        """D: past it the request cannot enter the matching engine (Binance REST docs, "Timing security")."""
        return self.signed_at_ms + self.recv_window_ms

    @property
    def first_byte_before_ms(self) -> int:
        """The last moment with half the window still left; no first byte leaves after it (PROTOCOL 4)."""
        return self.deadline_ms - (self.recv_window_ms + 1) // 2

    def must_not_send(self, now_exchange_ms: int) -> bool:
        """Whether less than half the window is left, so that the attempt is settled `not_sent` instead.

        Args:
            now_exchange_ms: our best estimate of the exchange's clock.

        """
        return now_exchange_ms > self.first_byte_before_ms
