"""A local exchange without sockets: time stands still until a call waits, signing included."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from services.local_exchange.clock import ExchangeClock
from services.local_exchange.exchange import Exchange
from services.local_exchange.ledger import spot_entries
from services.local_exchange.rest import Answer, Request, respond
from services.local_exchange.settings import DEFAULT_ACCOUNTS, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

START_US = 1_795_000_000_000_000
SECRETS = {account["name"]: account["secret"] for account in DEFAULT_ACCOUNTS}
KEYS = {account["name"]: account["api_key"] for account in DEFAULT_ACCOUNTS}


class StillClock(ExchangeClock):
    """A clock that moves only when told."""

    __slots__ = ("us",)

    def __init__(self) -> None:
        super().__init__()
        self.us = START_US

    def now_us(self) -> int:
        return self.us + self.skew_us


class Listener:
    """Collects an account's events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def deliver(self, payload: bytes) -> None:
        self.events.append(json.loads(payload))

    def take(self) -> list[dict[str, Any]]:
        taken, self.events = self.events, []
        return taken


class Desk:
    """Talks to an exchange the way a client would."""

    def __init__(self, **settings: Any) -> None:
        self.clock = StillClock()
        self.waiting: list[tuple[int, Callable[[], None]]] = []
        self.exchange = Exchange(Settings(**{"volatility": 0, **settings}), self._later, self.clock)
        self.listeners: dict[str, Listener] = {}
        for account in self.exchange.accounts.by_name.values():
            listener = self.listeners[account.name] = Listener()
            self.exchange.user_streams.subscribe(account.name, listener)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.waiting.append((self.clock.us + int(seconds * 1_000_000), callback))

    def advance(self, seconds: float) -> None:
        """Let time pass; what was due is run."""
        end = self.clock.us + int(seconds * 1_000_000)
        while due := sorted((entry for entry in self.waiting if entry[0] <= end), key=lambda entry: entry[0]):
            self.waiting.remove(due[0])
            self.clock.us = max(self.clock.us, due[0][0])
            due[0][1]()
        self.clock.us = end

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    def send(self, method: str, path: str, query: str, body: str = "", **headers: str) -> Answer:
        """Drive a request to its answer; each wait moves the clock."""
        request = Request(
            method,
            path,
            query.encode("utf-8"),
            body.encode("utf-8"),
            {name.replace("_", "-").lower(): value for name, value in headers.items()},
            "127.0.0.1",
            self.clock.us * 1000,
        )
        venue = self.exchange.futures_venue if path.startswith("/fapi/") else self.exchange.spot
        steps = respond(self.exchange, venue, request)
        while True:
            try:
                self.advance(next(steps))
            except StopIteration as done:
                answer = done.value
                assert isinstance(answer, Answer)
                return answer

    def signed_query(self, account: str = "alice", **params: Any) -> str:
        params.setdefault("timestamp", self.now)
        query = urlencode(params)
        signature = hmac.new(SECRETS[account].encode(), query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={signature}"

    def ask(self, method: str, path: str, account: str = "alice", **params: Any) -> tuple[int, Any]:
        """Send a signed request and return status and JSON."""
        answer = self.send(method, path, self.signed_query(account, **params), X_MBX_APIKEY=KEYS[account])
        return answer.status, json.loads(answer.body)

    def place(self, account: str = "alice", **params: Any) -> dict[str, Any]:
        """Place an order that must be accepted."""
        status, answer = self.ask("POST", "/api/v3/order", account, **params)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def refuse(self, account: str = "alice", path: str = "/api/v3/order", **params: Any) -> tuple[int, str]:
        """Send an order that must be refused; return code and message."""
        status, answer = self.ask("POST", path, account, **params)
        assert status >= 400, answer
        return answer["code"], answer["msg"]

    def free(self, asset: str, account: str = "alice") -> Decimal:
        return self.exchange.accounts.by_name[account].balance(asset).free

    def locked(self, asset: str, account: str = "alice") -> Decimal:
        return self.exchange.accounts.by_name[account].balance(asset).locked

    def ledger(self, account: str | None, prefix: str = "", symbol: str | None = None) -> dict[str, Any]:
        """Read the spot ledger."""
        entries = spot_entries(self.exchange.markets, account, prefix, symbol)
        return self.exchange.ledger.shown(entries, account)

    def empty_book(self, symbol: str = "BTCUSDT") -> None:
        """Take the crowd away."""
        market = self.exchange.markets[symbol]
        market.crowd.levels = 0
        market.withdraw_crowd()


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


def market(side: str, **more: Any) -> dict[str, Any]:
    """Parameters of a MARKET order on BTCUSDT."""
    return {"symbol": "BTCUSDT", "side": side, "type": "MARKET"} | more
