"""DESIGN 5: the checks a row passes before it is sized, in this order.

 1. from before us: months-old rows are never touched by themselves, not even rejected;
 2. account, then user: exists, Binance, belongs to the row's user, active;
 3. live opt-in, then the key: readable, not refused by the exchange;
 4. the row's own numbers: amount, price, stop price;
 5. age, then twin: a person decides;
 6. switches and limits: halt, reduce-only, circuit breaker, orders per minute.

What can never become right is rejected before what a person decides, and that before what passes by
itself. Breaker and reduce-only switches never stop an order that only reduces. What needs the sized order
and a price, collar and caps, follows in `limits`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.sizing import reduces
from shared.domain.verdicts import Code, Verdict, hold, reject, shown, wait

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from uuid import UUID

    from shared.domain.order import PendingOrder


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What is known of the account a row names.

    Args:
        id: `exchange_accounts.id`.
        user_id: its owner.
        exchange: the bot's label, `binance` and so on.
        is_active: NULL in the database counts as false.
        is_testnet: NULL in the database counts as false, that is, as real money.
        key_readable: whether API key and secret decrypt.
        key_refused: why the exchange refuses the key (-2014, -2015, -1022), while the account is paused
            for it.

    """

    id: UUID
    user_id: UUID
    exchange: str
    is_active: bool
    is_testnet: bool
    key_readable: bool
    key_refused: str | None = None


@dataclass(frozen=True, slots=True)
class Switch:
    """A halt or reduce-only switch that is on for this row.

    Args:
        scope: what it covers, in words: "everything", "the account ...", "BTCUSDT".
        reason: what the operator wrote.

    """

    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the checks before sizing look at, read at one moment.

    Args:
        order: the row.
        account: the account it names, or None when there is none.
        user_active: whether its user is active; None when there is no such user.
        live: whether live trading is switched on, with both words (DESIGN 5).
        from_before: the row existed before the bridge was switched on, and nobody has adopted it.
        age: by the database's clock, without what it waited for earlier rows or its parent (PROTOCOL 1).
        max_age: older rows are held.
        twin_of: an equal earlier row of another statement within the twin window, or None.
        twin_apart: how long before that one was inserted.
        halt: the halt switch that covers the row, or None.
        reduce_only: the reduce-only switch that covers it, or None.
        breaker: why the user's circuit breaker is tripped (by the bot, or remembered by us), or None.
        sent_last_minute: orders of this user sent in the last 60 s.
        max_per_minute: how many may be.

    """

    order: PendingOrder
    account: AccountFacts | None
    user_active: bool | None
    live: bool
    from_before: bool
    age: timedelta
    max_age: timedelta
    twin_of: UUID | None
    twin_apart: timedelta | None
    halt: Switch | None
    reduce_only: Switch | None
    breaker: str | None
    sent_last_minute: int
    max_per_minute: int


def check_from_before(snapshot: Snapshot) -> Verdict | None:
    """Hold a row that was there before us."""
    return hold(Code.FROM_BEFORE) if snapshot.from_before else None


def check_account(snapshot: Snapshot) -> Verdict | None:
    """Reject a row whose account is missing, foreign, of another exchange or switched off."""
    order, account = snapshot.order, snapshot.account
    if account is None:
        return reject(Code.ACCOUNT_UNKNOWN, account=order.account_id)
    if account.user_id != order.user_id:
        return reject(Code.ACCOUNT_FOREIGN, account=account.id)
    if account.exchange != "binance":
        return reject(Code.ACCOUNT_NOT_BINANCE, exchange=shown(account.exchange))
    if not account.is_active:
        return reject(Code.ACCOUNT_INACTIVE, account=account.id)
    return None


def check_user(snapshot: Snapshot) -> Verdict | None:
    """Reject a row whose user is missing or switched off."""
    if snapshot.user_active is None:
        return reject(Code.USER_UNKNOWN, user=snapshot.order.user_id)
    return None if snapshot.user_active else reject(Code.USER_INACTIVE, user=snapshot.order.user_id)


def check_live(snapshot: Snapshot) -> Verdict | None:
    """Reject real money until live trading is switched on."""
    account = snapshot.account
    if account is not None and not account.is_testnet and not snapshot.live:
        return reject(Code.LIVE_NOT_SWITCHED_ON)
    return None


def check_key(snapshot: Snapshot) -> Verdict | None:
    """Reject a row whose account's key cannot be read, or is refused by the exchange."""
    account = snapshot.account
    if account is not None and not account.key_readable:
        return reject(Code.KEY_UNREADABLE)
    if account is not None and account.key_refused is not None:
        return reject(Code.KEY_REFUSED, reason=shown(account.key_refused))
    return None


def check_numbers(snapshot: Snapshot) -> Verdict | None:
    """Reject amounts and prices that no order can have; the bot validates almost none of them."""
    order = snapshot.order
    if not order.amount.is_finite() or order.amount <= 0:
        return reject(Code.AMOUNT_NOT_POSITIVE, amount=order.amount)
    for which, price in (("price", order.price), ("stop price", order.stop_price)):
        if not price.is_finite() or price < 0:
            return reject(Code.PRICE_NEGATIVE, which=which, price=price)
    if order.type.has_limit_price and order.price == 0:
        return reject(Code.PRICE_MISSING, type=order.type, price=order.price)
    if order.type.has_trigger and order.stop_price == 0:
        return reject(Code.STOP_PRICE_MISSING, type=order.type, price=order.stop_price)
    return None


def check_age(snapshot: Snapshot) -> Verdict | None:
    """Hold a row that waited longer than the age limit."""
    if snapshot.age <= snapshot.max_age:
        return None
    return hold(Code.TOO_OLD, age=_seconds(snapshot.age), limit=_seconds(snapshot.max_age))


def check_twin(snapshot: Snapshot) -> Verdict | None:
    """Hold the later of two equal rows: the bot makes them by repeating its own INSERT."""
    if snapshot.twin_of is None:
        return None
    apart = "a moment" if snapshot.twin_apart is None else _seconds(snapshot.twin_apart)
    return hold(Code.TWIN, twin=snapshot.twin_of, apart=apart)


def check_halt(snapshot: Snapshot) -> Verdict | None:
    """Let every placement wait while a halt covers it, reducing ones too."""
    halt = snapshot.halt
    return wait(Code.HALTED, scope=halt.scope, reason=shown(halt.reason)) if halt is not None else None


def check_reduce_only(snapshot: Snapshot) -> Verdict | None:
    """Reject what would open or add while a reduce-only switch is on."""
    switch = snapshot.reduce_only
    if switch is None or reduces(snapshot.order):
        return None
    return reject(Code.REDUCE_ONLY_SWITCH, scope=switch.scope, reason=shown(switch.reason))


def check_breaker(snapshot: Snapshot) -> Verdict | None:
    """Reject what would open or add while the user's circuit breaker is tripped."""
    if snapshot.breaker is None or reduces(snapshot.order):
        return None
    return reject(Code.CIRCUIT_BREAKER, reason=shown(snapshot.breaker) or "no reason given")


def check_rate(snapshot: Snapshot) -> Verdict | None:
    """Let the row wait when its user has sent enough in the last minute."""
    if snapshot.sent_last_minute < snapshot.max_per_minute:
        return None
    return wait(Code.ORDERS_PER_MINUTE, count=snapshot.sent_last_minute, limit=snapshot.max_per_minute)


BEFORE_SIZING: tuple[Callable[[Snapshot], Verdict | None], ...] = (
    check_from_before,
    check_account,
    check_user,
    check_live,
    check_key,
    check_numbers,
    check_age,
    check_twin,
    check_halt,
    check_reduce_only,
    check_breaker,
    check_rate,
)


def before_sizing(snapshot: Snapshot) -> Verdict | None:
    """Give the first verdict of the checks that need no price; None lets the row go on to the sizing."""
    for check in BEFORE_SIZING:
        if (verdict := check(snapshot)) is not None:
            return verdict
    return None


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.1f}".removesuffix(".0")
