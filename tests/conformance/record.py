"""What a client did and whether it worked."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where the local exchange listens and who trades there."""

    rest_url: str
    ws_api_url: str
    stream_url: str
    futures_rest_url: str
    futures_ws_api_url: str
    futures_stream_url: str
    admin_url: str
    api_key: str
    secret: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client did."""

    client: str
    version: str
    operation: str
    ok: bool
    note: str


@dataclass(slots=True)
class Record:
    """Collects the operations of one client."""

    client: str
    version: str
    operations: list[Operation] = field(default_factory=list)

    @asynccontextmanager
    async def doing(self, operation: str) -> AsyncIterator[None]:
        """Note an operation as done, or as failed with whatever the client raised."""
        note = ""
        try:
            yield
        except Exception as failure:  # noqa: BLE001 - whatever a client raises is a finding
            note = f"{type(failure).__name__}: {failure}"[:400]
        self.operations.append(Operation(self.client, self.version, operation, not note, note))

    def rows(self) -> list[dict[str, Any]]:
        """Return the operations as JSON rows."""
        return [asdict(operation) for operation in self.operations]


def expect(condition: object, what: str) -> None:
    """Fail the operation under way unless the condition holds."""
    if not condition:
        raise AssertionError(what)
