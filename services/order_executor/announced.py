"""PROTOCOL 2: rows whose notification says all there is to say about them, so that nobody has to look first.

A single row usually finds its key empty and its user and account as they were at his last order. So it is
sized by what its notification carries and by what earlier looks brought; the claim verifies all of it, and
what it does not find so is looked at like any other row.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import orjson

from shared.database.outbox import Announced, Key, ReadyEntry, read_settings
from shared.domain.order import Market, OrderType, PendingOrder, Side

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from shared.database.outbox import AccountRow, Trader

AT_ONCE = 8  # of more that come together a look knows what is to be sent first


class _User(NamedTuple):
    """An active user's settings."""

    settings_text: str
    settings: Mapping[str, Any]


class Announcements:
    """The notifications not dealt with yet, and what is known of accounts, users and strategies.

    Args:
        accounts: served by this process; None = all.

    """

    def __init__(self, accounts: list[UUID] | None) -> None:
        self._served = None if accounts is None else frozenset(accounts)
        self._texts: deque[str] = deque()
        self._accounts: dict[UUID, AccountRow] = {}
        self._users: dict[UUID, _User] = {}
        self._capital: dict[UUID, Decimal] = {}

    def put(self, text: str) -> bool:
        """Keep a notification; False when there are too many to go by them."""
        if len(self._texts) == AT_ONCE:
            self._texts.clear()
            return False
        self._texts.append(text)
        return True

    def take(self, most: int, busy: Container[Key]) -> tuple[list[ReadyEntry], bool]:
        """Return what may be claimed by its notification, and whether any of the others has to be looked at.

        Args:
            most: no more than these.
            busy: keys with an order in flight here.

        """
        entries: dict[Key, ReadyEntry] = {}
        left_over = False
        while self._texts:
            entry = self._entry(self._texts.popleft())
            if entry is None or entry.key in busy or entry.key in entries or len(entries) == most:
                left_over = True
            elif self._served is None or entry.order.account_id in self._served:
                entries[entry.key] = entry
        return list(entries.values()), left_over

    def meet(self, traders: Iterable[Trader]) -> None:
        """Take in who may send, before anybody does."""
        for trader in traders:
            self._accounts[trader.account_id] = trader.account
            settings = read_settings(trader.settings_text)
            self._users[trader.account.user_id] = _User(trader.settings_text, settings)

    def learn(self, entries: Iterable[ReadyEntry]) -> None:
        """Take in what a look has brought."""
        for entry in entries:
            order = entry.order
            if entry.account is not None:
                self._accounts[order.account_id] = entry.account
            if entry.user_active:
                self._users[order.user_id] = _User(entry.settings_text, entry.user_settings)
            if order.strategy_id is not None and entry.strategy_capital is not None:
                self._capital[order.strategy_id] = entry.strategy_capital

    def _entry(self, text: str) -> ReadyEntry | None:
        """Read a notification; None when there is more to it than is known here, or nothing."""
        try:
            entry_id, taken_in, key_symbol, order = _read(text)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError):
            return None
        account, user = self._accounts.get(order.account_id), self._users.get(order.user_id)
        if account is None or user is None:
            return None
        capital = None if order.strategy_id is None else self._capital.get(order.strategy_id)
        if order.strategy_id is not None and capital is None:
            return None
        return ReadyEntry(
            entry_id=entry_id,
            key=Key(order.account_id, order.market, key_symbol),
            order=order,
            row_version=("", ""),
            account=account,
            attempts=0,
            counted=0,
            adopted=False,
            age=max(timedelta(0), datetime.now(UTC) - taken_in),
            twin_of=None,
            twin_apart=None,
            user_active=True,
            user_settings=user.settings,
            breaker=None,
            sent_last_minute=0,
            strategy_capital=capital,
            parent_filled=Decimal(0),
            quarantined_until=None,
            as_taken_in=True,
            halt=None,
            reduce_only=None,
            taken_in_at=taken_in,
            waiting_code=None,
            waiting_sentence=None,
            trace=None,
            settings_text=user.settings_text,
            announced=Announced(text, account.version, user.settings_text),
        )


def _read(text: str) -> tuple[int, datetime, str, PendingOrder]:
    """Read what `bridge.announcement` has written.

    Raises:
        ValueError, TypeError, LookupError, ArithmeticError, AttributeError: it is something else.

    """
    whole = orjson.loads(text)
    entry_id, taken_in, order_id, user_id, account_id, strategy_id, symbol, key_symbol = whole[:8]
    market, side, kind, amount, price, stop_price, agent_id, created = whole[8:]
    # Whoever may connect may notify: what is not turned into a type of its own below is looked at here.
    if not (isinstance(entry_id, int) and 0 < entry_id < 2**63):
        raise ValueError("That is no entry.")
    if not all(isinstance(name, str) for name in (symbol, key_symbol, agent_id)):
        raise TypeError("A name is text.")
    order = PendingOrder(
        id=UUID(order_id),
        user_id=UUID(user_id),
        strategy_id=None if strategy_id is None else UUID(strategy_id),
        account_id=UUID(account_id),
        symbol=symbol,
        market=Market(market),
        side=Side(side),
        type=OrderType(kind),
        amount=Decimal(amount),
        price=Decimal(price),
        stop_price=Decimal(stop_price),
        reduce_only=False,
        agent_id=agent_id,
        reasoning="",
        parent_order_id=None,
        created_at=_moment(created),
    )
    return entry_id, _moment(taken_in), key_symbol, order


def _moment(seconds: str) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(Decimal(seconds) * 1_000_000))
