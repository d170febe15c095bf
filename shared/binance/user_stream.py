"""DESIGN 6: one connection to the WebSocket API, carrying the user data of many accounts.

Source: Binance WebSocket API docs, "User Data Stream subscriptions". A signature subscription works with any
kind of key and needs no logon; one connection takes one of each account, at most 1,000 at a time. Every event
is wrapped with the id of its subscription. There is no sequence number and no replay: whoever loses the
connection reads again by REST. The server pings every 20 s; the library answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.binance.sign import signed_websocket_params

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from websockets.asyncio.client import ClientConnection

    from shared.binance.clock_offset import Clock
    from shared.binance.sign import Credentials

MAX_SUBSCRIPTIONS: Final = 1000
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
TERMINATED: Final = "eventStreamTerminated"
SHUTDOWN: Final = "serverShutdown"


class StreamDownError(Exception):
    """The connection could not be made, or is gone; the message is a short label for logs and metrics."""


class StreamRefusedError(Exception):
    """The exchange answered a request with an error.

    Attributes:
        code: Binance's error code.
        retry_at_ms: epoch milliseconds before which nothing may be asked (429 and 418), or None.

    """

    def __init__(self, code: int, message: str, retry_at_ms: int | None = None) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.retry_at_ms = retry_at_ms


class UserStream:
    """One open connection.

    Args:
        socket: see `open_user_stream`.
        clock: the exchange's, for timestamps; learns from probes.
        on_event: called with the account and each of its events, in the order in which they come.
        on_shutdown: called when the server says that it is about to go.
        recv_window_ms: of the signed requests.

    """

    def __init__(
        self,
        socket: ClientConnection,
        clock: Clock,
        *,
        on_event: Callable[[UUID, dict[str, Any]], None],
        on_shutdown: Callable[[], None],
        recv_window_ms: int,
    ) -> None:
        self._socket = socket
        self._clock = clock
        self._on_event = on_event
        self._on_shutdown = on_shutdown
        self._recv_window_ms = recv_window_ms
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[Any], None]]] = {}
        self._last_id = 0
        self._accounts: dict[int, UUID] = {}

    @property
    def accounts(self) -> frozenset[UUID]:
        """The accounts subscribed on this connection now."""
        return frozenset(self._accounts.values())

    async def read(self) -> str:
        """Read until the connection ends, and say why in a word or two.

        A frame that is no JSON object ends it too: what cannot be read may have been a fill.
        """
        try:
            async for message in self._socket:
                frame = _parsed(message)
                if frame is None:
                    return "unreadable frame"
                self._take(frame)
        except ConnectionClosed as error:
            return f"closed {error.rcvd.code}" if error.rcvd else "lost"
        finally:
            self._abandon()
        return "closed"

    async def subscribe(self, account_id: UUID, credentials: Credentials) -> None:
        """Subscribe to an account's events (weight 2).

        Raises:
            StreamRefusedError: the key is refused, or the account is subscribed here already (-2035).
            StreamDownError: the connection is gone, or did not answer in time.
            ClockUnknownError: ask for the time first.

        """
        params = {"timestamp": self._clock.exchange_now_ms(), "recvWindow": self._recv_window_ms}

        def begun(result: Any) -> None:
            # At once, in the reader: the account's first event may be the very next frame.
            self._accounts[_whole(result, "subscriptionId")] = account_id

        await self._request(
            "userDataStream.subscribe.signature", signed_websocket_params(params, credentials), begun
        )

    async def unsubscribe(self, account_id: UUID) -> None:
        """End the subscription of an account, if there is one (weight 2).

        Raises:
            StreamRefusedError, StreamDownError: see `subscribe`.

        """
        for subscription_id in [number for number, who in self._accounts.items() if who == account_id]:
            del self._accounts[subscription_id]
            await self._request("userDataStream.unsubscribe", {"subscriptionId": subscription_id})

    async def probe(self) -> int:
        """Ask the time (weight 1) and return it in epoch milliseconds.

        An answer proves that this very connection still carries frames both ways; every frame that came
        before it has been handed over when this returns.

        Raises:
            StreamRefusedError, StreamDownError: see `subscribe`.

        """
        sent_ms = self._clock.now_ms()
        server_ms, received_ms = 0, sent_ms

        def arrived(result: Any) -> None:
            nonlocal server_ms, received_ms
            server_ms, received_ms = _whole(result, "serverTime"), self._clock.now_ms()

        await self._request("time", {}, arrived)
        self._clock.sample(sent_ms, server_ms, received_ms)
        return server_ms

    async def close(self) -> None:
        """Close the connection; `read` then returns."""
        await self._socket.close()

    async def _request(
        self, method: str, params: dict[str, Any], at_once: Callable[[Any], None] = lambda _result: None
    ) -> Any:
        self._last_id += 1
        request_id = self._last_id
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = (answered, at_once)
        request = {"id": request_id, "method": method}
        if params:
            request["params"] = params
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._socket.send(orjson.dumps(request).decode())
                return await answered
        except TimeoutError:
            raise StreamDownError("silent") from None
        except ConnectionClosed:
            raise StreamDownError("lost") from None
        finally:
            self._waiting.pop(request_id, None)

    def _take(self, frame: dict[str, Any]) -> None:
        event = frame.get("event")
        if isinstance(event, dict):
            self._push(frame.get("subscriptionId"), event)
            return
        request_id = frame.get("id")
        waiting = self._waiting.pop(request_id, None) if is_id(request_id) else None
        if waiting is None or waiting[0].done():
            return
        answered, at_once = waiting
        if "result" not in frame:
            answered.set_exception(_refusal(frame))
            return
        try:
            at_once(frame["result"])
        except (KeyError, TypeError, ValueError):
            answered.set_exception(StreamRefusedError(0, "an answer of another form than documented"))
            return
        answered.set_result(frame["result"])

    def _push(self, subscription_id: Any, event: dict[str, Any]) -> None:
        if event.get("e") == SHUTDOWN:
            self._on_shutdown()
            return
        if not is_id(subscription_id):
            return
        account_id = self._accounts.get(subscription_id)
        if event.get("e") == TERMINATED:
            self._accounts.pop(subscription_id, None)
        if account_id is not None:
            self._on_event(account_id, event)

    def _abandon(self) -> None:
        """Answer everybody who still waits: nothing will come any more."""
        for answered, _ in self._waiting.values():
            if not answered.done():
                answered.set_exception(StreamDownError("lost"))
        self._waiting.clear()


async def open_user_stream(
    url: str,
    clock: Clock,
    *,
    on_event: Callable[[UUID, dict[str, Any]], None],
    on_shutdown: Callable[[], None],
    recv_window_ms: int,
) -> UserStream:
    """Open a connection (weight 2; at most 300 in 5 minutes from one address).

    Args:
        url: of the WebSocket API.
        clock: see `UserStream`.
        on_event: see `UserStream`.
        on_shutdown: see `UserStream`.
        recv_window_ms: see `UserStream`.

    Raises:
        StreamDownError: it could not be opened.

    """
    try:
        socket = await connect(
            # Nobody reads the limits here, and they would double the size of every answer.
            f"{url}?returnRateLimits=false",
            proxy=None,
            compression=None,
            open_timeout=CONNECT_TIMEOUT_S,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_FRAME_BYTES,
            max_queue=None,
        )
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise StreamDownError(f"connect: {type(error).__name__}") from error
    return UserStream(
        socket, clock, on_event=on_event, on_shutdown=on_shutdown, recv_window_ms=recv_window_ms
    )


def _parsed(message: str | bytes) -> dict[str, Any] | None:
    try:
        frame = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) else None


def is_id(value: object) -> TypeGuard[int]:
    """Whether it can be a number of ours: `true` equals 1, and is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(result: Any, name: str) -> int:
    """Read a whole number of an answer.

    Raises:
        KeyError, TypeError: there is none.

    """
    value = result[name]
    if not is_id(value):
        raise TypeError(f"{name} is no whole number")
    return value


def _refusal(frame: dict[str, Any]) -> StreamRefusedError:
    error = frame.get("error")
    error = error if isinstance(error, dict) else {}
    code, data = error.get("code"), error.get("data")
    retry_at = data.get("retryAfter") if isinstance(data, dict) else None
    return StreamRefusedError(
        code if isinstance(code, int) else 0,
        str(error.get("msg", "an answer without result"))[:200],
        retry_at if isinstance(retry_at, int) else None,
    )
