"""Listen keys: one per account, an hour of life, silence for whoever listens to a key that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.local_exchange.futures.engine import FuturesEngine
    from services.local_exchange.futures.wallet import FuturesAccount

LIFE_MS = 60 * 60_000
KEY_LENGTH = 64
UNKNOWN_KEY = "This listenKey does not exist."


class ListenKeys:
    """Keys by account name and the other way round.

    Args:
        engine: invents keys.
        tell: sends an event to an account.

    """

    def __init__(
        self,
        engine: FuturesEngine,
        tell: Callable[[FuturesAccount, None, dict[str, Any]], None],
    ) -> None:
        self._engine = engine
        self._tell = tell
        self._keys: dict[str, tuple[FuturesAccount, str, int]] = {}
        self.owners: dict[str, FuturesAccount] = {}

    def start(self, account: FuturesAccount, now: int) -> str:
        """Return the account's key, new or the one it has, good for another hour."""
        known = self._keys.get(account.name)
        key = self._engine.invent_id(KEY_LENGTH) if known is None else known[1]
        self._keys[account.name] = (account, key, now + LIFE_MS)
        self.owners[key] = account
        return key

    def keep(self, account: FuturesAccount, now: int) -> str:
        """Extend the account's key by an hour and return it.

        Raises:
            ExchangeError: -1125 when there is none.

        """
        if account.name not in self._keys:
            raise ExchangeError(-1125, UNKNOWN_KEY)
        return self.start(account, now)

    def end(self, account: FuturesAccount, now: int) -> None:
        """Delete the account's key and tell its listeners; nothing more arrives on it."""
        known = self._keys.pop(account.name, None)
        if known is not None:
            self._tell(account, None, events.listen_key_expired(known[1], now))
            self.owners.pop(known[1], None)

    def expire(self, now: int) -> None:
        """End the keys whose hour is over."""
        for account, _, until in list(self._keys.values()):
            if now >= until:
                self.end(account, now)
