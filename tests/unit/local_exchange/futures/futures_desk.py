"""A desk on the futures market."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.unit.local_exchange.desk import Desk, Listener


class FuturesDesk(Desk):
    """Talks to the futures market the way a client would."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.futures = self.exchange.futures
        self.market = self.futures.markets["BTCUSDT"]
        self.private = {name: Listener() for name in ("alice", "bob")}
        for name, listener in self.private.items():
            self.futures.user_streams.subscribe(name, listener)

    def account(self, name: str = "alice") -> Any:
        return self.futures.account(self.exchange.accounts.by_name[name])

    def order(self, name: str = "alice", **params: Any) -> dict[str, Any]:
        """Place an order that must be accepted."""
        status, answer = self.ask("POST", "/fapi/v1/order", name, **params)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def refused(self, name: str = "alice", path: str = "/fapi/v1/order", **params: Any) -> tuple[int, str]:
        """Send an order that must be refused; return code and message."""
        status, answer = self.ask("POST", path, name, **params)
        assert status >= 400, answer
        return answer["code"], answer["msg"]

    def events(self, name: str = "alice") -> list[dict[str, Any]]:
        return self.private[name].take()

    def kinds(self, name: str = "alice") -> list[str]:
        """Return the names of the events since the last look, orders with their execution type."""
        return [
            f"{e['e']} {e['o']['x']}"
            if e["e"] == "ORDER_TRADE_UPDATE"
            else f"{e['e']} {e['o']['X']}"
            if e["e"] == "ALGO_UPDATE"
            else e["e"]
            for e in self.events(name)
        ]

    def thin(self) -> None:
        """Take the crowd away."""
        self.market.crowd.levels = 0
        self.market.withdraw_crowd()

    def move(self, price: str) -> None:
        self.futures.move_price(self.market, Decimal(price))

    def position(self, name: str = "alice", side: str = "BOTH") -> Any:
        return self.account(name).positions[("BTCUSDT", side)]


def limit(side: str, quantity: str, price: str, **more: Any) -> dict[str, Any]:
    """Parameters of a LIMIT order on BTCUSDT."""
    return {
        "symbol": "BTCUSDT",
        "side": side,
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": quantity,
        "price": price,
    } | more


def market(side: str, quantity: str, **more: Any) -> dict[str, Any]:
    """Parameters of a MARKET order on BTCUSDT."""
    return {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": quantity} | more


def stop(side: str, quantity: str, trigger: str, kind: str = "STOP_MARKET", **more: Any) -> dict[str, Any]:
    """Parameters of a conditional order on BTCUSDT."""
    return {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": side,
        "type": kind,
        "quantity": quantity,
        "triggerPrice": trigger,
    } | more
