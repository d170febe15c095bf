"""DESIGN 6: one connection for the user data of futures accounts, by listen key.

Source: Binance USDⓈ-M Futures docs, "User Data Streams" and "Important WebSocket Change Notice". Only
`/private` carries user data, an unrouted connection stays open and silent, and so does one with an expired
key: an open socket proves nothing, an entry in the answer of LIST_SUBSCRIPTIONS does. The first key and the
names of all wanted events stand in the URL; further keys are subscribed on the open connection. Frames are
wrapped with the name of their stream. Nothing is replayed.

A listen key belongs to the account and not to us: it is created (which gives the active one, if there is
one), extended before its hour is over, asked for anew when it is gone, and never deleted.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from shared.binance.futures import listen_key_of
from shared.binance.rest import Answer
from shared.binance.user_stream import (
    ANSWER_TIMEOUT_S,
    CLOSE_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    MAX_FRAME_BYTES,
    SHUTDOWN,
    TERMINATED,
    StreamDownError,
    StreamRefusedError,
    is_id,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from websockets.asyncio.client import ClientConnection

    from shared.binance.futures import FuturesRest
    from shared.binance.rest import Result
    from shared.binance.sign import Credentials

EVENTS: Final = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "TRADE_LITE",
    "ALGO_UPDATE",
    "MARGIN_CALL",
    "ACCOUNT_CONFIG_UPDATE",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
    "listenKeyExpired",
)
"""All there are; names are not checked by the exchange, so a misspelled one is silence."""
EXPIRED: Final = "listenKeyExpired"
NO_LISTEN_KEY: Final = -1125
ALREADY_SUBSCRIBED: Final = -2035
"""Spot's code for an account that is subscribed already; here it is the same listen key twice."""
EXTEND_AFTER_S: Final = 1500.0
"""A key lives 60 minutes; this leaves room for a second and a third try."""
LOOK_AT_KEYS_EVERY_S: Final = 60.0
BETWEEN_MESSAGES_S: Final = 0.15  # more than 10 messages a second end the connection


@dataclass(slots=True)
class _Kept:
    """A listen key in use."""

    account_id: UUID
    api_key: str
    extended_at: float


class FuturesUserStream:
    """One connection, made when the first account is subscribed.

    Args:
        url: root of the streams, without `/private`.
        rest: for the listen keys.
        on_event: called with the account and each of its events, in the order in which they come; an account
            whose key expired gets `eventStreamTerminated`, as on spot.
        on_shutdown: called when the server says that it is about to go.
        on_key: told every listen key before anything can log it.
        before_connect: waited for before the connection is made.

    """

    def __init__(
        self,
        url: str,
        rest: FuturesRest,
        *,
        on_event: Callable[[UUID, dict[str, Any]], None],
        on_shutdown: Callable[[], None],
        on_key: Callable[[str], None],
        before_connect: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = url
        self._rest = rest
        self._on_event = on_event
        self._on_shutdown = on_shutdown
        self._on_key = on_key
        self._before_connect = before_connect
        self._keys: dict[str, _Kept] = {}
        # What still comes under a key that has left is not the one's who remains.
        self._left: set[str] = set()
        self._socket: ClientConnection | None = None
        self._settled = asyncio.Event()
        self._ended = ""
        self._connecting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._silent_until = 0.0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0

    @property
    def accounts(self) -> frozenset[UUID]:
        """The accounts subscribed on this connection now."""
        return frozenset(kept.account_id for kept in self._keys.values())

    async def read(self) -> str:
        """Read until the connection ends, and say why in a word or two; keys are extended meanwhile.

        A frame that cannot be read, or belongs to no account, ends it too: it may have been a fill.
        """
        await self._settled.wait()
        socket = self._socket
        if socket is None:
            return self._ended
        async with asyncio.TaskGroup() as tasks:
            extending = tasks.create_task(self._keep_keys())
            why = await self._read(socket)
            extending.cancel()
        return self._ended or why

    async def subscribe(self, account_id: UUID, credentials: Credentials) -> None:
        """Subscribe to an account's events (weight 1).

        Raises:
            StreamRefusedError: the key is refused, or the account is subscribed here already (-2035).
            StreamDownError: the connection is gone or could not be made, or no answer came in time.

        """
        key = await self._listen_key(credentials)
        if key in self._keys:
            raise StreamRefusedError(ALREADY_SUBSCRIBED, "this account's listen key is subscribed here")
        # Before anything is sent: its first event may be the very next frame.
        self._left.discard(key)
        self._keys[key] = _Kept(account_id, credentials.api_key, time.monotonic())
        try:
            async with self._connecting:
                if self._socket is None:
                    await self._connect(key)
                else:
                    await self._request("SUBSCRIBE", [key])
            await self._require_listed(key)
        except (StreamDownError, StreamRefusedError):
            self._keys.pop(key, None)
            self._left.add(key)
            raise

    async def unsubscribe(self, account_id: UUID) -> None:
        """End the subscription of an account, if there is one; its listen key lives on.

        Raises:
            StreamRefusedError, StreamDownError: see `subscribe`.

        """
        for key in [name for name, kept in self._keys.items() if kept.account_id == account_id]:
            del self._keys[key]
            self._left.add(key)
            if not self._keys:
                await self._end("nobody left")
                return
            await self._request("UNSUBSCRIBE", _names_of(key, await self._listed()))

    async def probe(self) -> int:
        """Ask what is subscribed; returns a moment through which everything has come, in epoch milliseconds.

        The answer has no time of its own, so it is the exchange's clock when the question left, less what we
        may be wrong about it. An account that is not listed any more is told so.

        Raises:
            StreamRefusedError: it answered, but nothing is proven.
            StreamDownError: the connection is gone, or did not answer in time.

        """
        clock = self._rest.clock
        error_ms = clock.error_ms()
        if not clock.known or error_ms is None:
            raise StreamRefusedError(0, "the exchange's clock is not known")
        asked_ms = clock.exchange_now_ms() - int(error_ms) - 1
        if self._socket is not None:
            listed = await self._listed()
            for key in [key for key in self._keys if not _names_of(key, listed)]:
                await self._expire(key)
        return asked_ms

    async def close(self) -> None:
        """Close the connection; `read` then returns."""
        await self._end("closed")

    async def _end(self, why: str) -> None:
        self._ended = self._ended or why
        self._settled.set()
        if self._socket is not None:
            await self._socket.close()

    async def _connect(self, key: str) -> None:
        await self._before_connect()
        if self._ended:
            raise StreamDownError(self._ended)
        try:
            self._socket = await connect(
                f"{self._url}/private/stream?listenKey={quote(key, safe='')}&events={'/'.join(EVENTS)}",
                proxy=None,
                compression=None,
                open_timeout=CONNECT_TIMEOUT_S,
                ping_interval=None,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_FRAME_BYTES,
                max_queue=None,
            )
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            # The message of the error may hold the URL, and with it the key.
            await self._end(f"connect: {type(error).__name__}")
            raise StreamDownError(self._ended) from None
        self._settled.set()

    async def _listen_key(self, credentials: Credentials) -> str:
        answer = await self._rest.create_listen_key(credentials.api_key)
        key = listen_key_of(answer)
        if key is None:
            raise self._refusal(answer)
        self._on_key(key)
        return key

    def _refusal(self, answer: Result) -> StreamDownError | StreamRefusedError:
        if not isinstance(answer, Answer):
            return StreamDownError(answer.reason)
        retry_at_ms = None
        if answer.status in (418, 429) and self._rest.clock.known:
            retry_at_ms = self._rest.clock.exchange_now_ms() + (answer.retry_after_s or 60) * 1000
        message = answer.message or f"HTTP {answer.status} without a listen key"
        return StreamRefusedError(answer.code or 0, message[:200], retry_at_ms)

    async def _keep_keys(self) -> None:
        """Extend every key in time; one that is gone is told to its account."""
        while True:
            await asyncio.sleep(LOOK_AT_KEYS_EVERY_S)
            now = time.monotonic()
            for key, kept in list(self._keys.items()):
                if now - kept.extended_at < EXTEND_AFTER_S:
                    continue
                answer = await self._rest.extend_listen_key(kept.api_key)
                extended = listen_key_of(answer)
                if extended == key:
                    kept.extended_at = time.monotonic()
                elif extended is not None or (isinstance(answer, Answer) and answer.code == NO_LISTEN_KEY):
                    # Another key is the account's now, or none: nothing more comes on this one.
                    await self._expire(key)

    async def _expire(self, key: str) -> None:
        """Tell an account that nothing more comes under its key; a connection nobody is left on ends."""
        kept = self._keys.pop(key, None)
        if kept is None:
            return
        self._left.add(key)
        if self._keys:
            self._on_event(kept.account_id, {"e": TERMINATED})
        else:
            await self._end("listen key expired")

    async def _read(self, socket: ClientConnection) -> str:
        try:
            async for message in socket:
                try:
                    frame = orjson.loads(message)
                except orjson.JSONDecodeError:
                    return "unreadable frame"
                if not isinstance(frame, dict):
                    return "unreadable frame"
                if not await self._take(frame):
                    return "unattributed frame"
        except ConnectionClosed as error:
            return f"closed {error.rcvd.code}" if error.rcvd else "lost"
        finally:
            self._abandon()
            await socket.close()
        return "closed"

    async def _take(self, frame: dict[str, Any]) -> bool:
        """Hand a frame over; False when it is user data of we do not know whom."""
        event = frame.get("data", frame)
        if not isinstance(event, dict) or "e" not in event:
            self._answered(frame)
            return True
        if event["e"] == SHUTDOWN:
            self._on_shutdown()
            return True
        if event["e"] == EXPIRED:
            await self._expire(str(event.get("listenKey") or _key_of(frame)))
            return True
        key = _key_of(frame)
        if key in self._left:
            return True
        kept = self._keys.get(key)
        if kept is None and len(self._keys) == 1:
            kept = next(iter(self._keys.values()))
        if kept is not None:
            self._on_event(kept.account_id, event)
        return kept is not None or not self._keys

    def _answered(self, frame: dict[str, Any]) -> None:
        request_id = frame.get("id")
        answered = self._waiting.pop(request_id, None) if is_id(request_id) else None
        if answered is None or answered.done():
            return
        error = frame.get("error", frame if "code" in frame else None)
        if isinstance(error, dict):
            code = error.get("code")
            answered.set_exception(
                StreamRefusedError(code if isinstance(code, int) else 0, str(error.get("msg", ""))[:200])
            )
        else:
            answered.set_result(frame.get("result"))

    async def _require_listed(self, key: str) -> None:
        if not _names_of(key, await self._listed()):
            raise StreamDownError("not subscribed")

    async def _listed(self) -> list[str]:
        result = await self._request("LIST_SUBSCRIPTIONS", None)
        if not isinstance(result, list):
            raise StreamRefusedError(0, "the answer to LIST_SUBSCRIPTIONS is no list")
        return [name for name in result if isinstance(name, str)]

    async def _request(self, method: str, params: list[str] | None) -> Any:
        if self._socket is None or self._ended:
            raise StreamDownError(self._ended or "not connected")
        self._last_id += 1
        request_id = self._last_id
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answered
        request = {"method": method, "id": request_id}
        if params is not None:
            request["params"] = params
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                async with self._sending:
                    # The rest is kept before the next message, so that nobody waits for it with his answer.
                    await asyncio.sleep(self._silent_until - time.monotonic())
                    await self._socket.send(orjson.dumps(request).decode())
                    self._silent_until = time.monotonic() + BETWEEN_MESSAGES_S
                return await answered
        except TimeoutError:
            raise StreamDownError("silent") from None
        except ConnectionClosed:
            raise StreamDownError("lost") from None
        finally:
            self._waiting.pop(request_id, None)

    def _abandon(self) -> None:
        """Answer everybody who still waits: nothing will come any more."""
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(StreamDownError("lost"))
        self._waiting.clear()


def _key_of(frame: dict[str, Any]) -> str:
    """Return the listen key a wrapped frame is named after, or what stands there instead."""
    return str(frame.get("stream", "")).partition("@")[0]


def _names_of(key: str, listed: list[str]) -> list[str]:
    """Pick the subscriptions of a key: the key itself, or one per event."""
    return [name for name in listed if name.partition("@")[0] == key]
