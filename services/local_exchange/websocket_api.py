"""The WebSocket API: requests by JSON frame, user data subscriptions on the same connection."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from services.local_exchange.calls import Call, Operation, Outcome, Security, run
from services.local_exchange.errors import ExchangeError
from services.local_exchange.http_front import ANSWERS, DROPS, NEVERS
from services.local_exchange.ledger import RequestRecord, client_order_id
from services.local_exchange.parameters import integer
from services.local_exchange.rest import result_of
from services.local_exchange.signature import websocket_payload
from services.local_exchange.time_units import event_in_microseconds, in_microseconds
from services.local_exchange.websocket_front import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from services.local_exchange.accounts import Account
    from services.local_exchange.exchange import Exchange
    from services.local_exchange.venue import Venue

MOST_SUBSCRIPTIONS = 1000
LAST_SUBSCRIPTION_ID = 65_535
BANNED = 418  # an address that is banned loses its connections (changelog 2023-03-13)
SIGNING = frozenset({"apiKey", "timestamp", "signature", "recvWindow"})


class Subscription:
    """One account's events on one connection."""

    __slots__ = ("account", "id", "peer", "prefix")

    def __init__(self, peer: ApiPeer, account: Account, subscription_id: int) -> None:
        self.peer = peer
        self.account = account
        self.id = subscription_id
        self.prefix = b'{"subscriptionId":%d,"event":' % subscription_id

    def deliver(self, payload: bytes) -> None:
        """See `UserStreams`."""
        if self.peer.microseconds:
            payload = orjson.dumps(event_in_microseconds(orjson.loads(payload)))
        self.peer.connection.send(self.prefix + payload + b"}")


class ApiPeer(Peer):
    """One connection to the WebSocket API.

    Args:
        exchange: who answers.
        venue: for which market.
        start: starts an answer that has to wait as a task.
        query: the query string of the URL (`returnRateLimits`, `timeUnit`).
        address: the client's address.

    """

    def __init__(
        self,
        exchange: Exchange,
        venue: Venue,
        start: Callable[[Coroutine[None, None, None]], None],
        query: str,
        address: str,
    ) -> None:
        self.exchange = exchange
        self.venue = venue
        self.methods = methods_of(venue)
        self.start = start
        self.address = address
        options = parse_qs(query)
        self.return_rate_limits = options.get("returnRateLimits", ["true"])[0].lower() != "false"
        self.microseconds = options.get("timeUnit", ["MILLISECOND"])[0].upper() == "MICROSECOND"
        self.connected_since = exchange.clock.now_ms()
        self.subscriptions: dict[int, Subscription] = {}
        self.next_subscription = 0
        self.logged_on: Account | None = None
        self.authorized_since: int | None = None
        self.logon_subscription: int | None = None

    def opened(self) -> None:
        """See `Peer`. Connecting costs weight 2."""
        try:
            self.venue.limits.connect(self.address, self.exchange.clock.now_ms())
        except ExchangeError as refusal:
            self.connection.close(1008, refusal.msg[:100])

    def closed(self) -> None:
        """See `Peer`."""
        for subscription in self.subscriptions.values():
            self.exchange.user_streams.unsubscribe(subscription.account.name, subscription)
        self.subscriptions.clear()

    def received(self, text: str) -> None:
        """See `Peer`: one request per frame."""
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError:
            self._error_frame(None, ExchangeError(-1135, "Invalid JSON Request"))
            return
        if not isinstance(frame, dict) or not isinstance(frame.get("method"), str):
            self._error_frame(None, ExchangeError(-1135, "Invalid JSON Request"))
            return
        steps = self._respond(frame)
        try:
            wait = next(steps)
        except StopIteration:
            return
        self.start(_continue(steps, wait))

    def _respond(self, frame: dict[str, Any]) -> Generator[float, None, None]:
        raw = frame.get("params") or {}
        if not isinstance(raw, dict):
            self._error_frame(frame.get("id"), ExchangeError(-1135, "Invalid JSON Request"))
            return
        params = {str(name): _text(value) for name, value in raw.items() if name != "returnRateLimits"}
        method = frame["method"].removeprefix("v3/")
        operation = self.methods.get(method)
        if self.logged_on is not None and self.logged_on.key_revoked:
            self._end_revoked_session()
            return
        show_limits = _shown(raw.get("returnRateLimits"), self.return_rate_limits)
        if operation is None:
            self._error_frame(frame.get("id"), ExchangeError(-1000, "Invalid request method."), show_limits)
            return
        call = self._call(method, params, raw)
        outcome = yield from run(call, operation)
        call.record.result = result_of(outcome)
        call.record.answered_ns = time.time_ns()
        self._answer(frame.get("id"), call, outcome, show_limits)

    def _end_revoked_session(self) -> None:
        """Tell a logged-on client at its next request that its key is gone (WebSocket API docs)."""
        self.logged_on = self.authorized_since = None
        error = ExchangeError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        self.connection.send(orjson.dumps({"id": None, "status": 401, "error": error.body()}))

    def _call(self, method: str, params: dict[str, str], raw: dict[str, Any]) -> Call:
        exchange = self.exchange
        api_key = params.get("apiKey")
        account = exchange.accounts.by_key.get(api_key) if api_key else self.logged_on
        record = RequestRecord(
            time.time_ns(), "ws-api", "WS", method, account.name if account else "", params
        )
        exchange.ledger.requests.append(record)
        payload = websocket_payload(raw) if "signature" in params else None
        call = ApiCall(exchange, params, self.address, api_key, payload, record, self.venue)
        call.peer = self
        if self.logged_on is not None and api_key is None:
            call.account, call.logged_on = self.logged_on, True
        if exchange.faults.on_requests:
            call.plan = exchange.faults.plan(
                "WS", method, record.account, params.get("symbol", ""), client_order_id(params)
            )
        return call

    def _answer(self, request_id: Any, call: Call, outcome: Outcome, show_limits: bool) -> None:
        rule = outcome.fault
        if rule is not None:
            if rule.action in DROPS:
                self.connection.abort()
                return
            if rule.action in NEVERS:
                return
            if rule.action in ANSWERS:
                self.connection.send(rule.body.encode())
                return
        answer: dict[str, Any] = {"id": request_id, "status": outcome.status}
        if outcome.error is None:
            answer["result"] = in_microseconds(outcome.result) if self.microseconds else outcome.result
        else:
            answer["error"] = outcome.error.body()
        if show_limits:
            answer["rateLimits"] = self._rate_limits(call)
        body = orjson.dumps(answer)
        self.connection.send(body if rule is None else body[: rule.size])
        if outcome.status == BANNED:
            self.connection.close(1008, "IP banned")

    def _rate_limits(self, call: Call | None) -> list[dict[str, Any]]:
        limits, now = self.venue.limits, self.exchange.clock.now_ms()
        shown = limits.weight_limits(self.address, now)
        if call is not None and call.counts_orders:
            return limits.order_limits(call.holder.name, now) + shown
        return shown

    def _error_frame(self, request_id: Any, error: ExchangeError, show_limits: bool = True) -> None:
        answer = {"id": request_id, "status": error.status, "error": error.body()}
        if show_limits:
            answer["rateLimits"] = self._rate_limits(None)
        self.connection.send(orjson.dumps(answer))

    def subscribe(self, account: Account) -> int:
        """Subscribe an account's events on this connection.

        Raises:
            ExchangeError: -2035 when the account is subscribed already or 1,000 accounts are; -2042 after
                65,535 ids.

        """
        taken = any(s.account is account for s in self.subscriptions.values())
        if taken or len(self.subscriptions) >= MOST_SUBSCRIPTIONS:
            raise ExchangeError(-2035, "User Data Stream subscription already active.")
        if self.next_subscription >= LAST_SUBSCRIPTION_ID:
            raise ExchangeError(-2042, "Maximum subscription ID reached for this connection.")
        subscription = Subscription(self, account, self.next_subscription)
        self.next_subscription += 1
        self.subscriptions[subscription.id] = subscription
        self.exchange.user_streams.subscribe(account.name, subscription)
        return subscription.id

    def unsubscribe(self, subscription_id: int) -> None:
        """End one subscription and say so by `eventStreamTerminated`."""
        subscription = self.subscriptions.pop(subscription_id)
        self.exchange.user_streams.unsubscribe(subscription.account.name, subscription)
        if self.logon_subscription == subscription_id:
            self.logon_subscription = None
        event = {"e": "eventStreamTerminated", "E": self.exchange.clock.now_ms()}
        subscription.deliver(orjson.dumps(event))

    def shut_down(self) -> None:
        """Tell the client that the server is about to go."""
        event = {"event": {"e": "serverShutdown", "E": self.exchange.clock.now_ms()}}
        self.connection.send(orjson.dumps(event))

    def session(self) -> dict[str, Any]:
        """Return what `session.status` shows."""
        return {
            "apiKey": None if self.logged_on is None else self.logged_on.api_key,
            "authorizedSince": self.authorized_since,
            "connectedSince": self.connected_since,
            "returnRateLimits": self.return_rate_limits,
            "serverTime": self.exchange.clock.now_ms(),
            "userDataStream": self.logon_subscription is not None,
        }


class ApiCall(Call):
    """A call that came over a WebSocket API connection."""

    peer: ApiPeer


def _peer(call: Call) -> ApiPeer:
    assert isinstance(call, ApiCall)
    return call.peer


def subscribe_signature(call: Call) -> dict[str, Any]:
    """`userDataStream.subscribe.signature`: any key type, no logon."""
    return {"subscriptionId": _peer(call).subscribe(call.holder)}


def subscribe(call: Call) -> dict[str, Any]:
    """`userDataStream.subscribe`: for the account that logged on."""
    peer = _peer(call)
    if peer.logged_on is None:
        raise ExchangeError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
    peer.logon_subscription = peer.subscribe(peer.logged_on)
    return {"subscriptionId": peer.logon_subscription}


def unsubscribe(call: Call) -> dict[str, Any]:
    """`userDataStream.unsubscribe`: one subscription, or all."""
    peer = _peer(call)
    chosen = integer(call.params, "subscriptionId")
    if chosen is None:
        for subscription_id in tuple(peer.subscriptions):
            peer.unsubscribe(subscription_id)
    elif chosen in peer.subscriptions:
        peer.unsubscribe(chosen)
    else:
        raise ExchangeError(-2036, "User Data Stream subscription not active.")
    return {}


def subscriptions(call: Call) -> list[dict[str, Any]]:
    """`session.subscriptions`: ids only."""
    return [{"subscriptionId": subscription_id} for subscription_id in _peer(call).subscriptions]


def logon(call: Call) -> dict[str, Any]:
    """`session.logon`: Ed25519 keys only."""
    peer = _peer(call)
    if not call.holder.verifier.can_log_on:
        raise ExchangeError(-1099, "Not found, authenticated, or authorized.", 401)
    peer.logged_on = call.holder
    peer.authorized_since = call.exchange.clock.now_ms()
    return peer.session()


def logout(call: Call) -> dict[str, Any]:
    """`session.logout`: ends the logon's own subscription, not those by signature."""
    peer = _peer(call)
    if peer.logon_subscription is not None:
        peer.unsubscribe(peer.logon_subscription)
    peer.logged_on = peer.authorized_since = None
    return peer.session()


def session_status(call: Call) -> dict[str, Any]:
    """`session.status`."""
    return _peer(call).session()


SESSION_METHODS: dict[str, Operation] = {
    "session.subscriptions": Operation(subscriptions, weight=2),
    "session.logon": Operation(logon, Security.SIGNED, 2, optional=SIGNING),
    "session.logout": Operation(logout, weight=2),
    "session.status": Operation(session_status, weight=2),
}
SUBSCRIPTION_METHODS: dict[str, Operation] = {
    "userDataStream.subscribe.signature": Operation(
        subscribe_signature, Security.SIGNED, 2, optional=SIGNING
    ),
    "userDataStream.subscribe": Operation(subscribe, weight=2),
    "userDataStream.unsubscribe": Operation(unsubscribe, weight=2, optional=frozenset({"subscriptionId"})),
}


@cache
def _with_sessions(name: str, methods: tuple[tuple[str, Operation], ...]) -> dict[str, Operation]:
    made = {
        method: replace(operation, optional=operation.optional | SIGNING)
        if operation.security is not Security.NONE
        else operation
        for method, operation in methods
    }
    return made | SESSION_METHODS | (SUBSCRIPTION_METHODS if name == "spot" else {})


def methods_of(venue: Venue) -> dict[str, Operation]:
    """Return a market's WebSocket API methods, sessions included; only spot subscribes user data here."""
    return _with_sessions(venue.name, tuple(venue.methods.items()))


async def _continue(steps: Generator[float, None, None], wait: float) -> None:
    while True:
        await asyncio.sleep(wait)
        try:
            wait = next(steps)
        except StopIteration:
            return


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _shown(asked: Any, default: bool) -> bool:
    return default if asked is None else str(asked).lower() != "false"
