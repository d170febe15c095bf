"""DESIGN 5: what a futures account is set to before its rows are claimed: position mode, leverage, margin.

The mode decides which parameters an order has, so it is known before any row of the account is sized. It can
change only while the account has neither orders nor positions; an order sent by the old one is refused, and
the refusal makes us ask again. Leverage and margin mode are set once per symbol, before our first order that
opens; whoever changes them at the exchange afterwards meant to.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import structlog

from shared.binance.futures import FuturesRest, setting_holds
from shared.binance.rest import Answer
from shared.database import futures
from shared.database.futures import Setting
from shared.domain.futures_orders import PositionMode, mode_of
from shared.domain.futures_settings import chosen_leverage
from shared.domain.verdicts import Code, reject, wait

if TYPE_CHECKING:
    from uuid import UUID

    from shared.binance.rest import Result
    from shared.binance.sign import Credentials
    from shared.binance.venue import Venue
    from shared.database.connect import Pool
    from shared.database.outbox import ReadyEntry
    from shared.domain.verdicts import Rejected, Waiting
    from shared.futures_settings import FuturesSettings

log = structlog.get_logger(__name__)

MODE_HOLDS_S = 60.0
KEY_REFUSED = frozenset({-2014, -2015, -1022})
KEPT = frozenset({-4047, -4048})
"""The margin mode stays while the symbol has an order or a position (Futures docs, "Error Code")."""
_MARGIN_TYPES = {"cross": "CROSSED", "isolated": "ISOLATED"}


class FuturesAccounts:
    """What this process knows of futures accounts.

    Args:
        pool: work connections.
        settings: leverage and margin mode to set.

    """

    def __init__(self, pool: Pool, settings: FuturesSettings) -> None:
        self._pool = pool
        self._settings = settings
        self._modes: dict[tuple[str, str], tuple[PositionMode, float]] = {}
        self._set: set[tuple[UUID, int, str]] = set()
        # Rows of one account are prepared side by side; one of them asks.
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def mode(
        self, account_id: UUID, venue: Venue, credentials: Credentials
    ) -> PositionMode | Waiting | Rejected:
        """Return the position mode of an account, asking for it if need be."""
        account = (venue.base_url, credentials.fingerprint)
        async with self._locks[account]:
            mode, at = self._modes.get(account, (None, 0.0))
            if mode is not None and time.monotonic() - at < MODE_HOLDS_S:
                return mode
            if mode is None:
                # An account is followed on futures from its first order on; its answer tells no price, so the
                # stream had better be there before it.
                async with self._pool.acquire() as connection:
                    await futures.announce(connection, account_id)
            answer = await _rest(venue).account_config(credentials)
            if isinstance(answer, Answer) and answer.code in KEY_REFUSED:
                return reject(Code.KEY_REFUSED, reason=answer.message or "")
            mode = mode_of(answer.body) if isinstance(answer, Answer) and answer.ok else None
            if mode is None:
                return wait(Code.NO_ANSWER, address=venue.base_url)
            self._modes[account] = (mode, time.monotonic())
            return mode

    def forget_mode(self, venue: Venue, credentials: Credentials) -> None:
        """Ask for the mode again before the next order: one was refused for it."""
        self._modes.pop((venue.base_url, credentials.fingerprint), None)

    async def set_up(
        self, entry: ReadyEntry, venue: Venue, credentials: Credentials, symbol: str
    ) -> Waiting | Rejected | None:
        """Set leverage and margin mode before the first order that opens on a symbol; None = all is set."""
        leverage = chosen_leverage(self._settings.leverage, entry.user_settings)
        margin_mode = self._settings.margin_mode or None
        if leverage is None and margin_mode is None:
            return None
        account_id, epoch = entry.order.account_id, venue.environment_epoch
        if (account_id, epoch, symbol) in self._set:
            return None
        async with self._locks[venue.base_url, credentials.fingerprint]:
            async with self._pool.acquire() as connection:
                known = await futures.setting(connection, account_id, epoch, symbol)
            if known is None:
                done = await self._ask_for(venue, credentials, symbol, Setting(leverage, margin_mode))
                if not isinstance(done, Setting):
                    return done
                async with self._pool.acquire() as connection:
                    await futures.store_setting(connection, account_id, epoch, symbol, done)
                log.info(
                    "futures.set_up", symbol=symbol, leverage=done.leverage, margin_mode=done.margin_mode
                )
            self._set.add((account_id, epoch, symbol))
        return None

    async def _ask_for(
        self, venue: Venue, credentials: Credentials, symbol: str, wanted: Setting
    ) -> Setting | Waiting | Rejected:
        """Set what is wanted; returns what holds now of it."""
        rest, margin_mode = _rest(venue), wanted.margin_mode
        if margin_mode is not None:
            answer = await rest.set_margin_type(credentials, symbol, _MARGIN_TYPES[margin_mode])
            if isinstance(answer, Answer) and answer.code in KEPT:
                log.warning("futures.margin_mode_kept", symbol=symbol, reason=answer.message)
                margin_mode = None
            elif not setting_holds(answer):
                return _refusal(venue, symbol, f"the margin mode {margin_mode}", answer)
        if wanted.leverage is not None:
            answer = await rest.set_leverage(credentials, symbol, wanted.leverage)
            if not setting_holds(answer):
                return _refusal(venue, symbol, f"a leverage of {wanted.leverage}", answer)
        return Setting(wanted.leverage, margin_mode)


def _rest(venue: Venue) -> FuturesRest:
    assert isinstance(venue.rest, FuturesRest), "a row of the futures market, at another venue"
    return venue.rest


def _refusal(venue: Venue, symbol: str, what: str, answer: Result) -> Waiting | Rejected:
    """Tell a refusal from a failure: the one is final for the row, the other passes."""
    if isinstance(answer, Answer) and answer.code in KEY_REFUSED:
        return reject(Code.KEY_REFUSED, reason=answer.message or "")
    if isinstance(answer, Answer) and answer.status == 400 and (answer.code or 0) <= -4000:
        return reject(Code.SETTING_REFUSED, setting=what, symbol=symbol, reason=answer.message or "")
    return wait(Code.NO_ANSWER, address=venue.base_url)
