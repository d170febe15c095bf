"""Who listens to which account, and what event faults do on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.local_exchange.faults import Action, Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    Later = Callable[[float, Callable[[], None]], object]


HELD_S = 1.0


class Listener(Protocol):
    """A subscription of one account on one connection."""

    def deliver(self, payload: bytes) -> None:
        """Send one event, given as JSON."""


@dataclass(slots=True)
class UserStreams:
    """Subscriptions by account name.

    Args:
        faults: rules on events.
        later: runs a callback after so many seconds.

    """

    faults: Faults
    later: Later
    listeners: dict[str, list[Listener]] = field(default_factory=dict)
    held: dict[str, list[bytes]] = field(default_factory=dict)

    def subscribe(self, account: str, listener: Listener) -> None:
        """Let a listener have the account's events from now on."""
        self.listeners.setdefault(account, []).append(listener)

    def unsubscribe(self, account: str, listener: Listener) -> None:
        """Stop that."""
        listening = self.listeners.get(account, [])
        if listener in listening:
            listening.remove(listener)

    def publish(self, account: str, symbol: str, client_id: str, name: str, payload: bytes) -> None:
        """Send an event to all listeners of an account, unless a fault has other plans for it."""
        if not self.faults.on_events and not self.held:
            self._send(account, payload)
            return
        rules = self.faults.event_plan(account, symbol, client_id, name).rules
        if Action.EVENT_LOSE in rules:
            return
        copies = 2 if Action.EVENT_DUPLICATE in rules else 1
        if Action.EVENT_REORDER in rules:
            # It goes out after the next event, or alone when none comes.
            self.held.setdefault(account, []).extend([payload] * copies)
            self.later(HELD_S, lambda: self._release(account))
            return
        if Action.EVENT_DELAY in rules:
            for _ in range(copies):
                self.later(rules[Action.EVENT_DELAY].ms / 1000, lambda: self._send(account, payload))
            return
        for _ in range(copies):
            self._send(account, payload)
        self._release(account)

    def _release(self, account: str) -> None:
        for earlier in self.held.pop(account, ()):
            self._send(account, earlier)

    def _send(self, name: str, payload: bytes) -> None:
        for listener in tuple(self.listeners.get(name, ())):
            listener.deliver(payload)
