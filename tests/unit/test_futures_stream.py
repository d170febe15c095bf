"""The futures user stream: listen keys, routed connections, and what proves that one is alive."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from services.fill_listener.pace import Pace
from services.fill_listener.venues import Environment
from shared.binance import futures_stream
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.futures_stream import EVENTS, FuturesUserStream
from shared.binance.sign import Credentials
from shared.binance.user_stream import StreamDownError, StreamRefusedError
from shared.binance.venue import Venue
from shared.domain.order import Market
from shared.endpoints import Endpoints

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = 1_790_000_000_000
ALICE, BOB = UUID(int=1), UUID(int=2)
KEYS = {ALICE: Credentials("alice-api-key", "secret"), BOB: Credentials("bob-api-key", "secret")}


class Exchange:
    """Listen keys by API key, and the routed streams, as far as a listener sees them."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.refusal: httpx.Response | None = None
        self.paths: list[str] = []
        self.sockets: list[ServerConnection] = []
        self.subscribed: dict[ServerConnection, list[str]] = {}
        self.silent = False
        self.unlisted: set[str] = set()
        self.methods: list[str] = []
        self.port = 0

    def rest(self, request: httpx.Request) -> httpx.Response:
        api_key = request.headers["x-mbx-apikey"]
        self.calls.append((request.method, api_key))
        if self.refusal is not None:
            return self.refusal
        if request.method == "PUT" and api_key not in self.keys:
            return httpx.Response(400, json={"code": -1125, "msg": "This listenKey does not exist."})
        number = len(self.calls)
        return httpx.Response(
            200, json={"listenKey": self.keys.setdefault(api_key, f"key-{api_key}-{number}")}
        )

    async def stream(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.paths.append(socket.request.path)
        url = urlsplit(socket.request.path)
        query = parse_qs(url.query)
        self.subscribed[socket] = [
            f"{key}@{event}"
            for key in query.get("listenKey", [])
            for event in query["events"][0].split("/")
            if url.path == "/private/stream"
        ]
        self.sockets.append(socket)
        async for message in socket:
            if self.silent:
                continue
            asked = json.loads(message)
            self.methods.append(asked["method"])
            names = self.subscribed[socket]
            result: Any = None
            if asked["method"] == "SUBSCRIBE":
                names += asked["params"]
            elif asked["method"] == "UNSUBSCRIBE":
                self.subscribed[socket] = [name for name in names if name not in asked["params"]]
            else:
                result = [name for name in names if name.partition("@")[0] not in self.unlisted]
            await socket.send(json.dumps({"result": result, "id": asked["id"]}))

    async def push(self, name: str, event: dict[str, Any], *, wrapped: bool = True) -> None:
        frame = {"stream": name, "data": event} if wrapped else event
        await self.sockets[-1].send(json.dumps(frame))


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    local = Exchange()
    async with serve(local.stream, "127.0.0.1", 0) as server:
        local.port = server.sockets[0].getsockname()[1]
        yield local


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled-down times; the ten messages a second are not this server's rule."""
    monkeypatch.setattr(futures_stream, "BETWEEN_MESSAGES_S", 0.0)
    monkeypatch.setattr(futures_stream, "ANSWER_TIMEOUT_S", 0.3)


class Listening:
    """One stream with all it has told."""

    def __init__(self, exchange: Exchange) -> None:
        self.clock = Clock(lambda: 5000.0)
        self.clock.sample(4990.0, NOW, 5000.0)
        rest = FuturesRest(httpx.MockTransport(exchange.rest), "https://fapi.exchange.test", self.clock)
        self.events: asyncio.Queue[tuple[UUID, dict[str, Any]]] = asyncio.Queue()
        self.shutdowns = 0
        self.told_keys: list[str] = []
        self.connects = 0
        self.stream = FuturesUserStream(
            f"ws://127.0.0.1:{exchange.port}",
            rest,
            on_event=lambda account, event: self.events.put_nowait((account, event)),
            on_shutdown=self._shutdown,
            on_key=self.told_keys.append,
            before_connect=self._before,
        )
        self.ended: asyncio.Task[str] | None = None

    def _shutdown(self) -> None:
        self.shutdowns += 1

    async def _before(self) -> None:
        self.connects += 1

    async def subscribe(self, account: UUID) -> None:
        await self.stream.subscribe(account, KEYS[account])

    async def event(self) -> tuple[UUID, dict[str, Any]]:
        async with asyncio.timeout(2):
            return await self.events.get()

    async def why(self) -> str:
        assert self.ended is not None
        async with asyncio.timeout(2):
            return await self.ended


@asynccontextmanager
async def listening(exchange: Exchange) -> AsyncIterator[Listening]:
    one = Listening(exchange)
    one.ended = asyncio.create_task(one.stream.read())
    yield one
    await one.stream.close()
    await one.why()


async def test_the_connection_is_routed_and_names_every_event(exchange: Exchange) -> None:
    """`/private` with the key and all ten event names; anything less is a silent socket."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        (path,) = exchange.paths
        key = exchange.keys["alice-api-key"]
        assert path == f"/private/stream?listenKey={key}&events={'/'.join(EVENTS)}"
        assert len(EVENTS) == len(set(EVENTS)) == 10
        assert exchange.calls == [("POST", "alice-api-key")]
        assert one.told_keys == [key]
        assert one.connects == 1
        assert one.stream.accounts == {ALICE}


@pytest.mark.parametrize("wrapped", [True, False])
async def test_events_reach_their_account(exchange: Exchange, wrapped: bool) -> None:
    """Frames are unwrapped; on a connection of one account a bare frame is that account's."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        key = exchange.keys["alice-api-key"]
        event = {"e": "ORDER_TRADE_UPDATE", "E": 1, "o": {"s": "BTCUSDT"}}
        await exchange.push(f"{key}@ORDER_TRADE_UPDATE", event, wrapped=wrapped)
        assert await one.event() == (ALICE, event)


async def test_more_accounts_are_subscribed_on_the_open_connection(exchange: Exchange) -> None:
    """One socket, told apart by the names of the frames, whether they carry the event's name or not."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await one.subscribe(BOB)
        assert len(exchange.paths) == 1
        assert one.stream.accounts == {ALICE, BOB}
        await exchange.push(exchange.keys["bob-api-key"], {"e": "ACCOUNT_UPDATE"})
        await exchange.push(f"{exchange.keys['alice-api-key']}@ACCOUNT_UPDATE", {"e": "ACCOUNT_UPDATE"})
        assert await one.event() == (BOB, {"e": "ACCOUNT_UPDATE"})
        assert await one.event() == (ALICE, {"e": "ACCOUNT_UPDATE"})


async def test_a_frame_of_nobody_ends_a_shared_connection(exchange: Exchange) -> None:
    """It may have been a fill: both accounts are read again by REST."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await one.subscribe(BOB)
        await exchange.push("something-else", {"e": "ORDER_TRADE_UPDATE"})
        assert await one.why() == "unattributed frame"


@pytest.mark.parametrize("frame", ["no json", "[1]"])
async def test_an_unreadable_frame_ends_the_connection(exchange: Exchange, frame: str) -> None:
    """What cannot be read may have been a fill."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await exchange.sockets[0].send(frame)
        assert await one.why() == "unreadable frame"


async def test_unknown_events_are_handed_over_and_answers_are_not(exchange: Exchange) -> None:
    """New kinds of events are the reader's to ignore; an answer nobody waits for is nothing."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        key = exchange.keys["alice-api-key"]
        await exchange.sockets[0].send(json.dumps({"result": None, "id": 999}))
        await exchange.push(key, {"e": "SOMETHING_NEW"})
        assert await one.event() == (ALICE, {"e": "SOMETHING_NEW"})


async def test_an_account_that_is_not_listed_is_not_subscribed(exchange: Exchange) -> None:
    """The handshake succeeds with any key; only the list of subscriptions proves that one counts."""
    exchange.unlisted.add("key-alice-api-key-1")
    async with listening(exchange) as one:
        with pytest.raises(StreamDownError, match="not subscribed"):
            await one.subscribe(ALICE)
        assert not one.stream.accounts


async def test_a_probe_proves_a_moment_before_it_was_asked(exchange: Exchange) -> None:
    """Through when the exchange asked, at the earliest reading of its clock."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        error = one.clock.error_ms()
        assert error is not None
        assert error > 0
        assert await one.stream.probe() == one.clock.exchange_now_ms() - int(error) - 1


async def test_without_the_clock_a_probe_proves_nothing(exchange: Exchange) -> None:
    """The connection lives, but no moment can be named."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        one.clock.forget()
        with pytest.raises(StreamRefusedError):
            await one.stream.probe()


async def test_a_silent_connection_is_down(exchange: Exchange) -> None:
    """A question that is not answered in time says so, however open the socket is."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        exchange.silent = True
        with pytest.raises(StreamDownError, match="silent"):
            await one.stream.probe()


async def test_a_probe_finds_an_account_that_fell_off(exchange: Exchange) -> None:
    """The other accounts of the connection are not disturbed."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await one.subscribe(BOB)
        exchange.unlisted.add(exchange.keys["alice-api-key"])
        await one.stream.probe()
        assert await one.event() == (ALICE, {"e": "eventStreamTerminated"})
        assert one.stream.accounts == {BOB}


@pytest.mark.parametrize("at", [1736996475556, "1736996475556"])
async def test_an_expired_key_ends_its_own_connection(exchange: Exchange, at: object) -> None:
    """Nothing comes on it any more although the socket stays open; the next connection gets a new key."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        key = exchange.keys["alice-api-key"]
        await exchange.push(key, {"e": "listenKeyExpired", "E": at, "listenKey": key})
        assert await one.why() == "listen key expired"


async def test_an_expired_key_among_others_is_told_to_its_account(exchange: Exchange) -> None:
    """The account subscribes again with a new key, on the same connection."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await one.subscribe(BOB)
        key = exchange.keys.pop("alice-api-key")
        await exchange.push(key, {"e": "listenKeyExpired", "E": 1, "listenKey": key})
        assert await one.event() == (ALICE, {"e": "eventStreamTerminated"})
        await one.subscribe(ALICE)
        assert exchange.keys["alice-api-key"] != key
        assert one.stream.accounts == {ALICE, BOB}
        assert len(exchange.paths) == 1


async def test_two_rows_of_one_account_share_a_subscription(exchange: Exchange) -> None:
    """The same API key, or another key of the same account, gives the same listen key."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        with pytest.raises(StreamRefusedError) as refused:
            await one.stream.subscribe(BOB, KEYS[ALICE])
        assert refused.value.code == -2035
        assert one.stream.accounts == {ALICE}


async def test_keys_are_extended_before_their_hour_is_over(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PUT, without parameters, again and again; the key stays the same."""
    monkeypatch.setattr(futures_stream, "LOOK_AT_KEYS_EVERY_S", 0.01)
    monkeypatch.setattr(futures_stream, "EXTEND_AFTER_S", 0.0)
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        async with asyncio.timeout(2):
            while exchange.calls.count(("PUT", "alice-api-key")) < 3:
                await asyncio.sleep(0.01)
        assert one.stream.accounts == {ALICE}
        assert one.ended is not None
        assert not one.ended.done()


async def test_a_key_that_is_gone_is_noticed_when_it_is_to_be_extended(
    exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-1125: the connection has nothing to say any more, so it ends and a new key is asked for."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        exchange.keys.clear()
        monkeypatch.setattr(futures_stream, "LOOK_AT_KEYS_EVERY_S", 0.01)
        monkeypatch.setattr(futures_stream, "EXTEND_AFTER_S", 0.0)
        keeping = asyncio.create_task(one.stream._keep_keys())
        assert await one.why() == "listen key expired"
        keeping.cancel()


async def test_a_failed_extension_is_tried_again(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server error says nothing about the key."""
    monkeypatch.setattr(futures_stream, "LOOK_AT_KEYS_EVERY_S", 0.01)
    monkeypatch.setattr(futures_stream, "EXTEND_AFTER_S", 0.0)
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        exchange.refusal = httpx.Response(503, text="busy")
        async with asyncio.timeout(2):
            while exchange.calls.count(("PUT", "alice-api-key")) < 3:
                await asyncio.sleep(0.01)
        exchange.refusal = None
        assert one.stream.accounts == {ALICE}


async def test_listen_keys_are_never_deleted(exchange: Exchange) -> None:
    """The bot may listen under the same key, so leaving an account deletes nothing."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await one.subscribe(BOB)
        await one.stream.unsubscribe(ALICE)
        assert one.stream.accounts == {BOB}
        assert exchange.methods[-1] == "UNSUBSCRIBE"
        assert exchange.subscribed[exchange.sockets[0]] == [exchange.keys["bob-api-key"]]
        await one.stream.unsubscribe(BOB)
        assert await one.why() == "nobody left"
    assert {method for method, _ in exchange.calls} == {"POST"}


@pytest.mark.parametrize(
    ("response", "code", "retry"),
    [
        (httpx.Response(401, json={"code": -2014, "msg": "API-key format invalid."}), -2014, False),
        (
            httpx.Response(401, json={"code": -2015, "msg": "Invalid API-key, IP, or permissions."}),
            -2015,
            False,
        ),
        (httpx.Response(429, json={"code": -1003, "msg": "Too many requests."}), -1003, True),
        (httpx.Response(200, json={}), 0, False),
        (httpx.Response(503, text="busy"), 0, False),
    ],
)
async def test_a_refused_key_is_told_and_no_connection_made(
    exchange: Exchange, response: httpx.Response, code: int, retry: bool
) -> None:
    """The code says whose fault it is; a limit says until when nothing may be asked."""
    exchange.refusal = response
    async with listening(exchange) as one:
        with pytest.raises(StreamRefusedError) as refused:
            await one.subscribe(ALICE)
        assert refused.value.code == code
        assert (refused.value.retry_at_ms is not None) is retry
        assert exchange.paths == []


async def test_a_connection_that_cannot_be_made(exchange: Exchange) -> None:
    """The reader ends with the reason, without the key in it."""
    one = Listening(exchange)
    one.stream = FuturesUserStream(
        "ws://127.0.0.1:9",
        one.stream._rest,
        on_event=lambda *_: None,
        on_shutdown=lambda: None,
        on_key=one.told_keys.append,
        before_connect=one._before,
    )
    one.ended = asyncio.create_task(one.stream.read())
    with pytest.raises(StreamDownError) as down:
        await one.subscribe(ALICE)
    why = await one.why()
    assert why == str(down.value)
    assert why.startswith("connect: ")
    assert one.told_keys[0] not in repr(down.value)


async def test_the_servers_end_is_told(exchange: Exchange) -> None:
    """A close with its code, and a warning before it."""
    async with listening(exchange) as one:
        await one.subscribe(ALICE)
        await exchange.sockets[0].send(json.dumps({"e": "serverShutdown"}))
        await exchange.sockets[0].close(1011)
        assert await one.why() == "closed 1011"
        assert one.shutdowns == 1
        with pytest.raises(StreamDownError):
            await one.stream.probe()


async def test_connections_are_made_no_faster_than_is_allowed(exchange: Exchange) -> None:
    """A thousand accounts that begin at once connect one after the other, once the burst is spent."""
    clock = Clock(lambda: 5000.0)
    clock.sample(4990.0, NOW, 5000.0)
    rest = FuturesRest(httpx.MockTransport(exchange.rest), "https://fapi.exchange.test", clock)
    environment = Environment(
        testnet=True,
        endpoints=Endpoints(rest.base_url, "", f"ws://127.0.0.1:{exchange.port}"),
        venue=Venue(Market.FUTURES, rest, live=False, max_price_age_s=1.0),
        ready=asyncio.Event(),
        accounts_per_stream=1,
        on_listen_key=lambda _key: None,
        connects=Pace(weight_per_s=0.001, burst=2, now=lambda: 0.0),
    )
    streams = [
        await environment.open_stream(on_event=lambda *_: None, on_shutdown=lambda: None, recv_window_ms=5000)
        for _ in range(3)
    ]
    readers = [asyncio.create_task(stream.read()) for stream in streams]
    first, second, third = [asyncio.create_task(stream.subscribe(ALICE, KEYS[ALICE])) for stream in streams]
    await asyncio.gather(first, second)
    assert len(exchange.paths) == 2
    assert not third.done(), "it waits for its turn"
    third.cancel()
    for stream in streams:
        await stream.close()
    await asyncio.gather(*readers)
