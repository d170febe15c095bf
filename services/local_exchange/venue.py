"""A market that clients reach under its own addresses: its routes, its WebSocket methods, its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.local_exchange.calls import Operation
    from services.local_exchange.rate_limits import RateLimits


@dataclass(frozen=True, slots=True)
class Venue:
    """Spot or futures.

    Args:
        name: `spot` or `futures`.
        routes: operations by path and HTTP method.
        methods: operations by WebSocket API method.
        limits: its rate limits.
        gone: paths that were there once and answer 410.
        late_in_engine: code of a request whose window passes just before the engine, and its text.
        timeout_status: HTTP status of -1007.

    """

    name: str
    routes: Mapping[str, Mapping[str, Operation]]
    methods: Mapping[str, Operation]
    limits: RateLimits
    gone: frozenset[str]
    late_in_engine: tuple[int, str]
    timeout_status: int
