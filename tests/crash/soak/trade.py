"""What the bot does in a soak: it draws rows of both markets by a seed, and cancels some of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from services.command_line.demo import fund
from services.command_line.stand_in_bot import order_row

if TYPE_CHECKING:
    import random
    from datetime import datetime
    from uuid import UUID

    from tests.crash.soak.database import Database
    from tests.crash.world import Exchange

NO_CAPS = '{"max_position_size_usd": 100000000, "max_total_exposure_usd": 100000000}'
MONEY = "100000000"
RESTS_AT = {
    "BTC/USDT": Decimal(64500),
    "ETH/USDT": Decimal(3230),
    "SOL/USDT": Decimal(138),
    "BNB/USDT": Decimal(555),
    "XRP/USDT": Decimal("0.555"),
}
CONTRACTS = {"ETH/USDT": Decimal(3500), "SOL/USDT": Decimal(150), "BNB/USDT": Decimal(600)}
"""What they cost on futures while nobody moves the market."""
# A swing of the market goes over every stop that waits, and over no limit order.
LIMIT_BELOW, STOP_AWAY, SWING = Decimal("0.95"), Decimal("0.01"), Decimal("0.02")

KINDS = {
    "buy": 44,
    "sell": 10,
    "rests": 10,
    "bad": 2,
    "futures long": 9,
    "futures short": 7,
    "futures rests": 4,
    "futures stop": 14,
}
MAY_BE_REJECTED = frozenset({"sell", "bad", "futures stop"})
"""Nothing to sell, no such symbol, or a trigger the market has passed meanwhile."""
FIRST_AMOUNT = {"spot": Decimal(6), "futures": Decimal(40)}


class Trading:
    """The bot and its users.

    Args:
        exchange: where their accounts are.
        database: where their rows are.
        chance: draws.
        accounts: how many trade.

    """

    def __init__(self, exchange: Exchange, database: Database, chance: random.Random, accounts: int) -> None:
        self._exchange = exchange
        self._database = database
        self._chance = chance
        self._waiting: list[UUID] = []
        self._users: dict[UUID, UUID] = {}
        self.names: dict[UUID, str] = {}
        self.kinds: dict[UUID, str] = {}
        self.canceled_at: dict[UUID, datetime | None] = {}
        for number in range(accounts):
            self._open_account(f"soak-{number}")

    def _open_account(self, name: str) -> None:
        described = fund(name)
        described["balances"] = {"USDT": MONEY, "BNB": "0"}
        described["futures_balances"] = {"USDT": MONEY}
        self._exchange.admin("POST", "/accounts", described)
        bot = self._database.bot
        user = bot.user(settings=NO_CAPS)
        account = bot.account(user, api_key=described["api_key"], secret=described["secret"])
        self.names[account] = described["name"]
        self._users[account] = user

    def burst(self, most: int) -> int:
        """Insert an order of each account with one statement; returns how many."""
        rows = [self._draw(account) for account in list(self.names)[:most]]
        self._database.bot.orders(rows)
        return len(rows)

    def _draw(self, account: UUID) -> dict[str, Any]:
        """Draw a row with an amount no other row has."""
        kind = self._chance.choices(list(KINDS), list(KINDS.values()))[0]
        market = "futures" if kind.startswith("futures") else "spot"
        amount = FIRST_AMOUNT[market] + Decimal(len(self.kinds)) / 10_000
        columns = self._on_futures(kind) if market == "futures" else self._on_spot(kind)
        row = order_row(self._users[account], account, amount=amount, market_type=market, **columns)
        self.kinds[row["id"]] = kind
        if kind in ("rests", "futures rests", "futures stop"):
            self._waiting.append(row["id"])
        return row

    def _on_spot(self, kind: str) -> dict[str, Any]:
        symbol = self._chance.choice(list(RESTS_AT))
        match kind:
            case "sell":
                return {"symbol": symbol, "side": "sell"}
            case "rests":
                return {"symbol": symbol, "type": "limit", "price": RESTS_AT[symbol]}
            case "bad":
                return {"symbol": "MOON/USDT"}
        return {"symbol": symbol}

    def _on_futures(self, kind: str) -> dict[str, Any]:
        symbol, market_price = self._chance.choice(list(CONTRACTS.items()))
        side, away = self._chance.choice((("buy", 1 + STOP_AWAY), ("sell", 1 - STOP_AWAY)))
        match kind:
            case "futures short":
                return {"symbol": symbol, "side": "sell"}
            case "futures rests":
                return {"symbol": symbol, "type": "limit", "price": market_price * LIMIT_BELOW}
            case "futures stop":
                return {
                    "symbol": symbol,
                    "type": "stop_market",
                    "side": side,
                    "stop_price": market_price * away,
                }
        return {"symbol": symbol}

    def cancel_some(self) -> None:
        """Let the bot cancel orders that wait, at whatever stage they are; as many others stay."""
        for _ in range(min(1 + len(self.names) // 10, len(self._waiting) // 2)):
            order = self._waiting.pop(self._chance.randrange(len(self._waiting)))
            done = self._database.rows(
                "UPDATE orders SET status = 'canceled', updated_at = now() WHERE id = %s"
                " AND status IN ('pending', 'open', 'partial') RETURNING clock_timestamp() AS at",
                order,
            )
            self.canceled_at[order] = done[0]["at"] if done else None

    def swing(self) -> None:
        """Move the futures market up, down and back, so that whatever waits for a trigger gets it."""
        for symbol, price in CONTRACTS.items():
            for moved in (price * (1 + SWING), price * (1 - SWING), price):
                body = {"symbol": symbol.replace("/", ""), "price": str(moved), "market": "futures"}
                self._exchange.admin("POST", "/price", body)
