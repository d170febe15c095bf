"""The plainest row, its entry and the instruments it names, for tests that change one thing about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from shared.database.outbox import AccountRow, Key, ReadyEntry
from shared.domain.filters import Filters, Notional, PercentPrice, StepRange
from shared.domain.order import Market, OrderType, PendingOrder, Side
from shared.domain.symbol import Instrument

D = Decimal
USER, ACCOUNT = UUID(int=2), UUID(int=3)
ROW = PendingOrder(
    id=UUID(int=1),
    user_id=USER,
    strategy_id=None,
    account_id=ACCOUNT,
    symbol="BTC/USDT",
    market=Market.SPOT,
    side=Side.BUY,
    type=OrderType.MARKET,
    amount=D(350),
    price=D(0),
    stop_price=D(0),
    reduce_only=False,
    agent_id="",
    reasoning="",
    parent_order_id=None,
    created_at=datetime(2026, 11, 1, tzinfo=UTC),
)
ENTRY = ReadyEntry(
    entry_id=1,
    key=Key(ACCOUNT, "spot", "BTCUSDT"),
    order=ROW,
    row_version=("1", "(0,1)"),
    account=AccountRow(USER, "binance", b"", b"", is_testnet=True, is_active=True, version="7"),
    attempts=0,
    counted=0,
    adopted=False,
    age=timedelta(seconds=1),
    twin_of=None,
    twin_apart=None,
    user_active=True,
    user_settings={},
    breaker=None,
    sent_last_minute=0,
    strategy_capital=None,
    parent_filled=D(0),
    quarantined_until=None,
    as_taken_in=True,
    halt=None,
    reduce_only=None,
    taken_in_at=datetime(2026, 11, 1, tzinfo=UTC),
    waiting_code=None,
    waiting_sentence=None,
    trace=None,
    settings_text="{}",
)
BTC = Instrument(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    status="TRADING",
    base_precision=8,
    quote_precision=8,
    order_types=frozenset(
        {"LIMIT", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"}
    ),
    quote_order_qty_allowed=True,
    filters=Filters(
        price=StepRange(D("0.01"), D(1000000), D("0.01")),
        lot_size=StepRange(D("0.00001"), D(9000), D("0.00001")),
        market_lot_size=StepRange(D(0), D(120), D(0)),
        notional=Notional("NOTIONAL", D(5), D(9000000)),
        percent_price=PercentPrice("PERCENT_PRICE_BY_SIDE", (D("0.2"), D(5)), (D("0.2"), D(5))),
    ),
)
BTC_PERPETUAL = Instrument(
    symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    status="TRADING",
    base_precision=3,
    quote_precision=8,
    order_types=frozenset(
        {
            "LIMIT",
            "MARKET",
            "STOP",
            "STOP_MARKET",
            "TAKE_PROFIT",
            "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET",
        }
    ),
    quote_order_qty_allowed=False,
    filters=Filters(
        price=StepRange(D("261.10"), D("809484"), D("0.10")),
        lot_size=StepRange(D("0.001"), D(1000), D("0.001")),
        market_lot_size=StepRange(D("0.001"), D(120), D("0.001")),
        notional=Notional("MIN_NOTIONAL", D(50)),
        percent_price=PercentPrice("PERCENT_PRICE", (None, D("1.05")), (D("0.95"), None)),
    ),
    contract="PERPETUAL",
)


def row(**changes: object) -> PendingOrder:
    """Return the row with something changed."""
    return replace(ROW, **changes)  # type: ignore[arg-type]


def futures_row(**changes: object) -> PendingOrder:
    """Return the row for the futures market, with something changed."""
    return row(**({"market": Market.FUTURES} | changes))
