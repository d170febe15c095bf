"""The truth: every accepted order with its life, every event, every request."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson

from services.local_exchange import answers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from services.local_exchange.market import Market

REQUESTS_KEPT = 200_000
Entry = tuple[object, dict[str, Any]]


@dataclass(slots=True)
class RequestRecord:
    """One request; `result` is the HTTP status and code, or what else became of it."""

    arrived_ns: int
    api: str
    method: str
    path: str
    account: str
    sent: bytes | dict[str, str]
    result: str = "pending"
    answered_ns: int = 0

    @property
    def params(self) -> dict[str, str]:
        """The parameters as sent."""
        if isinstance(self.sent, bytes):
            return dict(parse_qsl(self.sent.decode("latin-1")))
        return self.sent

    @property
    def signature(self) -> str:
        """The signature as sent, "" when there was none."""
        return self.params.get("signature", "")

    def shown(self) -> dict[str, Any]:
        """Return the record as the admin API shows it."""
        params = self.params
        shown = {k: v for k, v in params.items() if k not in {"signature", "apiKey"}}
        return {
            "arrived_ns": self.arrived_ns,
            "answered_ns": self.answered_ns,
            "api": self.api,
            "method": self.method,
            "path": self.path,
            "account": self.account,
            "client_order_id": client_order_id(shown),
            "params": shown,
            "result": self.result,
        }


def client_order_id(params: dict[str, str]) -> str:
    """Return the client order id a request is about."""
    names = ("origClientOrderId", "newClientOrderId", "clientAlgoId")
    return next((params[name] for name in names if params.get(name)), "")


class EventLog:
    """The events of one account, their JSON end to end in one buffer.

    One growing buffer, since keeping every serialised event as an object of its own costs ten times as much
    as serialising it.
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends: list[tuple[int, object]] = []

    def append(self, about: object, payload: bytes) -> None:
        """Keep one event and the order it is about, if it is about one."""
        self._text += payload
        self._ends.append((len(self._text), about))

    def __iter__(self) -> Iterator[tuple[object, bytes]]:
        start = 0
        for end, about in self._ends:
            yield about, bytes(self._text[start:end])
            start = end


class Ledger:
    """Everything that happened, for tests to compare with."""

    def __init__(self) -> None:
        self.events: dict[str, EventLog] = {}
        self.requests: deque[RequestRecord] = deque(maxlen=REQUESTS_KEPT)
        self.events_emitted = 0

    def remember_event(self, account: str, about: object, payload: bytes) -> None:
        """Keep an event as emitted, before any event fault."""
        log = self.events.get(account)
        if log is None:
            log = self.events[account] = EventLog()
        log.append(about, payload)
        self.events_emitted += 1

    def forget(self) -> None:
        """Forget all events and requests (a wipe)."""
        self.events.clear()
        self.requests.clear()

    def shown(self, entries: Iterable[Entry], account: str | None) -> dict[str, Any]:
        """Return entries with their events, and the events that are about no order.

        Args:
            entries: orders with what the admin API shows of them.
            account: whose events; None for all.

        """
        by_order: dict[int, list[Any]] = {}
        others: list[dict[str, Any]] = []
        for name, events in self.events.items():
            if account is not None and name != account:
                continue
            for about, payload in events:
                event = orjson.loads(payload)
                if about is None:
                    others.append({"account": name, "event": event})
                else:
                    by_order.setdefault(id(about), []).append(event)
        orders = [shown | {"events": by_order.get(id(about), [])} for about, shown in entries]
        return {"orders": orders, "account_events": others}


def spot_entries(
    markets: Mapping[str, Market], account: str | None, prefix: str, symbol: str | None
) -> Iterator[Entry]:
    """Return spot orders with their trades, filtered by account, client order id and symbol."""
    for market in markets.values():
        if symbol is not None and market.symbol.name != symbol:
            continue
        for order in market.orders.values():
            if account in {None, order.account.name} and order.client_order_id.startswith(prefix):
                yield (
                    order,
                    {
                        "account": order.account.name,
                        "order": answers.queried(order),
                        "trades": [answers.trade(trade) for trade in order.trades],
                    },
                )
