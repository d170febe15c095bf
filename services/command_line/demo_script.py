"""What the bot inserts in the demo, and how each order has to end."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(slots=True)
class Wanted:
    """One order of the demo: what the bot writes, and how it has to end."""

    title: str
    columns: dict[str, Any]
    ends: str
    account: str = "trader"
    reason: str | None = None
    order_id: UUID | None = None
    committed_ns: int = 0
    shown: str = "pending"

    @property
    def market(self) -> str:
        """Spot or futures."""
        return str(self.columns.get("market_type", "spot"))


def script() -> list[Wanted]:
    """Return the spot orders of the demo, in the order in which the bot inserts them."""
    return [
        Wanted("BTC/USDT   market buy  350 USDT", {"symbol": "BTC/USDT", "amount": Decimal(350)}, "filled"),
        Wanted("ETH/USDT   market buy  200 USDT", {"symbol": "ETH/USDT", "amount": Decimal(200)}, "filled"),
        Wanted("SOL/USDT   market buy  120 USDT", {"symbol": "SOL/USDT", "amount": Decimal(120)}, "filled"),
        Wanted("BNB/USDT   market buy  150 USDT", {"symbol": "BNB/USDT", "amount": Decimal(150)}, "filled"),
        Wanted(
            "XRP/USDT   limit buy    90 USDT, 5 % below the market",
            {"symbol": "XRP/USDT", "amount": Decimal(90), "type": "limit"},
            "open",
        ),
        Wanted(
            "BTC/USDT   market buy on an account that is switched off",
            {"symbol": "BTC/USDT", "amount": Decimal(100)},
            "rejected",
            account="inactive",
            reason="account_inactive",
        ),
        Wanted(
            "BTC/USDT   market buy on another user's account",
            {"symbol": "BTC/USDT", "amount": Decimal(110)},
            "rejected",
            account="foreign",
            reason="account_foreign",
        ),
        Wanted(
            "MOON/USDT  market buy, a symbol the exchange does not have",
            {"symbol": "MOON/USDT", "amount": Decimal(130)},
            "rejected",
            reason="symbol_unknown",
        ),
    ]
