"""Guards and limits: each refusal, their order, and what they never stop."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from shared.domain.guards import BEFORE_SIZING, AccountFacts, Snapshot, Switch, before_sizing
from shared.domain.limits import Caps, Collar, Priced, Walk, after_sizing, user_caps, walk
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.reading import Unit
from shared.domain.sizing import Book, Sized
from shared.domain.verdicts import (
    REFUSALS,
    Code,
    Held,
    Rejected,
    Verdict,
    VerdictKind,
    Waiting,
    hold,
    reject,
    shown,
    wait,
)
from tests.order_rows import ROW

D = Decimal
ACCOUNT = AccountFacts(
    UUID(int=3), UUID(int=2), "binance", is_active=True, is_testnet=True, key_readable=True
)
GOOD = Snapshot(
    order=ROW,
    account=ACCOUNT,
    user_active=True,
    live=False,
    from_before=False,
    age=timedelta(seconds=1),
    max_age=timedelta(minutes=15),
    twin_of=None,
    twin_apart=None,
    halt=None,
    reduce_only=None,
    breaker=None,
    sent_last_minute=0,
    max_per_minute=10,
)
SWITCH = Switch("all accounts", "drill")


def code_of(verdict: Verdict | None) -> Code | None:
    return None if verdict is None else verdict.code


BAD: dict[Code, dict[str, object]] = {
    Code.FROM_BEFORE: {"from_before": True},
    Code.ACCOUNT_UNKNOWN: {"account": None},
    Code.ACCOUNT_FOREIGN: {"account": replace(ACCOUNT, user_id=UUID(int=9))},
    Code.ACCOUNT_NOT_BINANCE: {"account": replace(ACCOUNT, exchange="bybit")},
    Code.ACCOUNT_INACTIVE: {"account": replace(ACCOUNT, is_active=False)},
    Code.USER_UNKNOWN: {"user_active": None},
    Code.USER_INACTIVE: {"user_active": False},
    Code.LIVE_NOT_SWITCHED_ON: {"account": replace(ACCOUNT, is_testnet=False)},
    Code.KEY_UNREADABLE: {"account": replace(ACCOUNT, key_readable=False)},
    Code.KEY_REFUSED: {"account": replace(ACCOUNT, key_refused="-2015 Invalid API-key")},
    Code.AMOUNT_NOT_POSITIVE: {"order": replace(ROW, amount=D(0))},
    Code.PRICE_NEGATIVE: {"order": replace(ROW, price=D(-1))},
    Code.PRICE_MISSING: {"order": replace(ROW, type=OrderType.LIMIT)},
    Code.STOP_PRICE_MISSING: {"order": replace(ROW, type=OrderType.STOP_MARKET)},
    Code.TOO_OLD: {"age": timedelta(minutes=16)},
    Code.TWIN: {"twin_of": UUID(int=8), "twin_apart": timedelta(seconds=0.5)},
    Code.HALTED: {"halt": SWITCH},
    Code.REDUCE_ONLY_SWITCH: {"reduce_only": SWITCH},
    Code.CIRCUIT_BREAKER: {"breaker": "drawdown"},
    Code.ORDERS_PER_MINUTE: {"sent_last_minute": 10},
}


def test_good_row_passes() -> None:
    """Nothing to say about it."""
    assert before_sizing(GOOD) is None


@pytest.mark.parametrize("code", BAD)
def test_each_fault_has_its_own_verdict(code: Code) -> None:
    """One fault, one code, of the kind the table says."""
    verdict = before_sizing(replace(GOOD, **BAD[code]))  # type: ignore[arg-type]
    assert code_of(verdict) is code
    kinds = {Waiting: VerdictKind.WAITING, Held: VerdictKind.HELD, Rejected: VerdictKind.REJECTED}
    assert kinds[type(verdict)] is REFUSALS[code].kind


def test_of_two_faults_the_earlier_check_speaks() -> None:
    """The documented order decides, whichever two faults meet."""
    order = list(BAD)
    for first, second in itertools.combinations(order, 2):
        if set(BAD[first]) & set(BAD[second]):
            continue
        both = replace(GOOD, **BAD[second], **BAD[first])  # type: ignore[arg-type]
        assert code_of(before_sizing(both)) is first


def test_final_refusals_come_before_a_persons_and_those_before_waiting() -> None:
    """A row that can never be right is not kept waiting; a row from before us is never even rejected."""
    kinds = [REFUSALS[code].kind for code in BAD if code is not Code.FROM_BEFORE]
    last_held = max(i for i, kind in enumerate(kinds) if kind is VerdictKind.HELD)
    assert all(kind is not VerdictKind.WAITING for kind in kinds[: last_held + 1])
    assert BEFORE_SIZING[0].__name__ == "check_from_before"


@pytest.mark.parametrize(
    "order",
    [replace(ROW, side=Side.SELL), replace(ROW, market=Market.FUTURES, side=Side.SELL, reduce_only=True)],
)
def test_breaker_and_reduce_only_switch_never_stop_what_reduces(order: PendingOrder) -> None:
    """Getting out is always allowed; only a halt stops it."""
    tripped = replace(GOOD, order=order, breaker="drawdown", reduce_only=SWITCH)
    assert before_sizing(tripped) is None
    assert code_of(before_sizing(replace(tripped, halt=SWITCH))) is Code.HALTED


def test_live_account_passes_once_live_trading_is_on() -> None:
    """Real money is opt-in, and then it is served."""
    live = replace(GOOD, account=replace(ACCOUNT, is_testnet=False), live=True)
    assert before_sizing(live) is None


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_amounts_no_order_can_have(amount: str) -> None:
    """Postgres' numeric can hold NaN, and the bot stores tiny amounts as 0."""
    verdict = before_sizing(replace(GOOD, order=replace(ROW, amount=D(amount))))
    assert isinstance(verdict, Rejected)
    assert amount in verdict.sentence


def test_age_at_the_limit_still_passes() -> None:
    """Held is what is past the limit."""
    assert before_sizing(replace(GOOD, age=timedelta(minutes=15))) is None


def test_texts_of_others_cannot_break_a_line() -> None:
    """A reason or symbol of the bot's is cut and cleaned before it is repeated."""
    verdict = before_sizing(replace(GOOD, halt=Switch("all", "x\n\x1b[31m" + "y" * 500)))
    assert verdict is not None
    assert "\n" not in verdict.sentence
    assert "\x1b" not in verdict.sentence
    assert len(verdict.sentence) < 200
    assert shown("这是测试币456/USDT") == "这是测试币456/USDT"


def test_every_code_is_in_the_table_and_names_a_metric() -> None:
    """`make refusals` prints this table."""
    assert set(REFUSALS) == set(Code)
    for refusal in REFUSALS.values():
        assert refusal.template.endswith((".", "{hint}")), refusal.code
        assert refusal.code in refusal.metric


def test_a_code_cannot_be_given_another_kind() -> None:
    """A held reason can never be turned into a rejection by a slip."""
    for wrong in (lambda: reject(Code.TWIN), lambda: hold(Code.HALTED), lambda: wait(Code.DUST)):
        with pytest.raises(ValueError, match="verdict"):
            wrong()


SIZED = Sized({}, D("0.005"), D(350), Unit.QUOTE, reduces=False)
CAPS = Caps(per_order=D(1000), position=D(1000), exposure=D(5000))
PRICED = Priced(
    order=ROW,
    sized=SIZED,
    quote_asset="USDT",
    symbol="BTC/USDT",
    book=Book(D(69990), D(70000)),
    walk=Walk(D(70010), enough=True),
    prices={},
    caps=CAPS,
    position_usd=D(0),
    exposure_usd=D(0),
    strategy_used_usd=D(0),
    strategy_capital_usd=None,
    collar=Collar(),
)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"sized": replace(SIZED, quote=D(1000))}, None),
        ({"sized": replace(SIZED, quote=D("1000.001"))}, Code.CAP_ORDER),
        ({"position_usd": D("650.01")}, Code.CAP_POSITION),
        ({"exposure_usd": D(4651)}, Code.CAP_EXPOSURE),
        ({"strategy_used_usd": D(700), "strategy_capital_usd": D(1000)}, Code.CAP_STRATEGY),
        ({"caps": replace(CAPS, minimum=D(400))}, Code.BELOW_USER_MINIMUM),
        ({"quote_asset": "BTC"}, Code.NO_USD_PRICE),
        ({"quote_asset": "BTC", "prices": {("BTC", "USDT"): D(70000)}}, Code.CAP_ORDER),
        ({"quote_asset": "TRY", "prices": {("USDT", "TRY"): D(35)}}, None),
        ({"walk": Walk(D(71400), enough=True)}, None),
        ({"walk": Walk(D("71400.01"), enough=True)}, Code.COLLAR_MARKET),
        ({"walk": Walk(D(70010), enough=False)}, Code.COLLAR_MARKET),
        ({"walk": None}, None),
        ({"book": None}, Code.NO_FRESH_PRICE),
    ],
)
def test_market_order_against_collar_and_caps(changes: dict[str, object], code: Code | None) -> None:
    """Each limit passes at its value and refuses above; no route to USD, no send."""
    assert code_of(after_sizing(replace(PRICED, **changes))) is code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "kind", "price", "stop", "code"),
    [
        (Side.BUY, OrderType.LIMIT, "73500", "0", None),
        (Side.BUY, OrderType.LIMIT, "73501", "0", Code.COLLAR_LIMIT),
        (Side.BUY, OrderType.LIMIT, "35000", "0", None),
        (Side.BUY, OrderType.LIMIT, "34999", "0", Code.COLLAR_LIMIT),
        (Side.SELL, OrderType.LIMIT, "66490", "0", Code.COLLAR_LIMIT),
        (Side.SELL, OrderType.LIMIT, "100000", "0", None),
        (Side.SELL, OrderType.STOP_MARKET, "0", "60000", None),
        (Side.SELL, OrderType.STOP_MARKET, "0", "30000", Code.COLLAR_STOP),
        (Side.SELL, OrderType.STOP_LIMIT, "59000", "60000", None),
        (Side.SELL, OrderType.STOP_LIMIT, "50000", "60000", Code.COLLAR_LIMIT),
    ],
)
def test_limits_and_stops_against_the_collar(
    side: Side, kind: OrderType, price: str, stop: str, code: Code | None
) -> None:
    """A limit may be a little worse than the market or far better; a stop-limit counts from its trigger."""
    order = replace(ROW, side=side, type=kind, price=D(price), stop_price=D(stop))
    sized = replace(SIZED, reduces=side is Side.SELL)
    assert code_of(after_sizing(replace(PRICED, order=order, sized=sized))) is code


def test_caps_never_stop_what_reduces() -> None:
    """Whatever the caps say, a position can be closed."""
    huge = replace(SIZED, quote=D(10**9), reduces=True)
    closing = replace(PRICED, order=replace(ROW, side=Side.SELL), sized=huge, walk=None, quote_asset="XYZ")
    assert after_sizing(closing) is None


@pytest.mark.parametrize("value", [None, 0, -5, "1000", True, float("nan"), float("inf"), [], {}])
def test_settings_without_a_number_fall_back_to_our_own_cap(value: object) -> None:
    """Go writes 0 for no limit; no limit is no answer for us."""
    caps = user_caps({"max_position_size_usd": value, "max_total_exposure_usd": value}, CAPS)
    assert caps == CAPS


def test_settings_with_numbers_are_the_users_caps() -> None:
    """The cap per order stays ours."""
    settings = {"max_position_size_usd": 250, "max_total_exposure_usd": 99.5, "min_position_size_usd": 10}
    assert user_caps(settings, CAPS) == Caps(D(1000), D(250), D("99.5"), D(10))


def test_walking_the_book() -> None:
    """The last level touched counts; a book that is too thin says so."""
    levels = [(D(100), D(1)), (D(101), D(2)), (D(105), D(1))]
    assert walk(levels, D(1)) == Walk(D(100), enough=True)
    assert walk(levels, D("1.1")) == Walk(D(101), enough=True)
    assert walk(levels, D(4)) == Walk(D(105), enough=True)
    assert walk(levels, D("4.1")) == Walk(D(105), enough=False)
    assert walk([], D(1)) is None
