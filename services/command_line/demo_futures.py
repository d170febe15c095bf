"""The futures half of the demo: a long, a short, a stop that triggers, a liquidation."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from services.command_line.demo_script import Wanted
from shared.domain.attempt import client_order_id

if TYPE_CHECKING:
    from uuid import UUID

    from services.command_line.demo import Demo

SETTINGS = {"BRIDGE_FUTURES_LEVERAGE": "20", "BRIDGE_FUTURES_MARGIN_MODE": "isolated"}
PLACING = ("/fapi/v1/order", "/fapi/v1/algoOrder")
PROTECTED, DOOMED = "SOL/USDT", "XRP/USDT"
ENDS = {
    ("BTC/USDT", "long"): "open",
    ("ETH/USDT", "short"): "open",
    (PROTECTED, "long"): "closed",
    (DOOMED, "long"): "liquidated",
}
"""The futures positions at the end of the demo."""


def script() -> list[Wanted]:
    """Return the orders that open futures positions."""
    rows: tuple[tuple[str, str, int], ...] = (
        ("BTC/USDT", "buy", 300),
        ("ETH/USDT", "sell", 220),
        (PROTECTED, "buy", 160),
        (DOOMED, "buy", 240),
    )
    return [
        Wanted(
            f"{symbol:<10} futures {'long ' if side == 'buy' else 'short'} {amount} USDT",
            {"symbol": symbol, "market_type": "futures", "side": side, "amount": Decimal(amount)},
            "filled",
        )
        for symbol, side, amount in rows
    ]


def trigger_and_liquidate(demo: Demo, account: UUID, user: UUID, *, within_s: float) -> bool:
    """Protect one position with a stop and reach it; let the exchange liquidate another.

    Returns:
        Whether both came to pass in time.

    """
    positions = demo.rows("SELECT symbol, size FROM positions WHERE market_type = 'futures'")
    (held,) = [row["size"] for row in positions if row["symbol"] == PROTECTED]
    trigger = demo.local.futures_price(PROTECTED, Decimal("0.98"))
    stop = Wanted(
        f"{PROTECTED:<10} futures stop at {trigger.normalize():f}, reduce-only",
        {
            "symbol": PROTECTED,
            "market_type": "futures",
            "side": "sell",
            "type": "stop_market",
            "stop_price": trigger,
            "amount": held,
            "reduce_only": True,
        },
        "filled",
    )
    demo.insert(stop, account, user)
    demo.orders.append(stop)
    assert stop.order_id is not None
    if not _until(demo, f"id = '{stop.order_id}' AND exchange_order_id LIKE 'algo-%'", "orders", within_s):
        return False
    demo.say(f"market moves   {PROTECTED} falls by 3 %; the stop rests with the exchange's algo service")
    _move(demo, PROTECTED, "0.97")
    if not demo.watch():
        return False
    demo.say(f"market moves   {DOOMED} falls by 7 %, more than the margin at a leverage of 20")
    _move(demo, DOOMED, "0.93")
    liquidated = f"market_type = 'futures' AND symbol = '{DOOMED}' AND status = 'liquidated'"
    if not _until(demo, liquidated, "positions", within_s):
        return False
    demo.say(f"  → liquidated {DOOMED:<10} futures long")
    return True


def positions_agree(positions: list[dict[str, Any]]) -> bool:
    """Compare the futures positions with what they have to be."""
    ends = {(p["symbol"], p["side"]): p["status"] for p in positions if p["market"] == "futures"}
    return ends == ENDS


def agrees_with_exchange(demo: Demo) -> bool:
    """Compare with the exchange's ledger: each futures order is there once, and no other but its own."""
    ledger = demo.local.admin("GET", "/ledger?market=futures")["orders"]
    plain = Counter(entry["order"]["clientOrderId"] for entry in ledger if "order" in entry)
    conditional = Counter(entry["algo"]["clientAlgoId"] for entry in ledger if "algo" in entry)
    rows = [w for w in demo.orders if w.market == "futures" and w.order_id is not None]
    ours = Counter(client_order_id(w.order_id, 1) for w in rows if w.order_id)
    stops = Counter(client_order_id(w.order_id, 1) for w in rows if w.order_id and "stop_price" in w.columns)
    forced = [name for name in plain if name.startswith("autoclose-")]
    plain -= Counter(forced)
    # What a stop became is an order with the stop's own id.
    return plain == ours and conditional == stops and len(forced) == 1


def _move(demo: Demo, symbol: str, factor: str) -> None:
    price = demo.local.futures_price(symbol, Decimal(factor))
    body = {"symbol": symbol.replace("/", ""), "price": str(price), "market": "futures"}
    demo.local.admin("POST", "/price", body)


def _until(demo: Demo, condition: str, table: str, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not demo.rows(f"SELECT 1 FROM {table} WHERE {condition}"):  # noqa: S608 - of our own making
        for process in demo.local.processes:
            process.check()
        if time.monotonic() > deadline:
            return False
        demo.show_changes()
        time.sleep(0.02)
    demo.show_changes()
    return True
