"""DESIGN 6: whatever comes over a user stream, what is readable is handed over, and the rest ends no process.

A frame that is no JSON object ends the connection, which has everything read again by REST; any other frame
leaves those around it alone.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.binance import futures_stream
from shared.binance.clock_offset import Clock
from shared.binance.futures_stream import FuturesUserStream
from shared.binance.market_stream import MarketStream
from shared.binance.sign import Credentials
from shared.binance.user_stream import StreamDownError, StreamRefusedError, UserStream
from tests.property.hostile import VALUES, changed, names, payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from decimal import Decimal

ALICE = UUID(int=1)
UNHURT = [HealthCheck.function_scoped_fixture]  # which changes no state
KEY = "listen-key-of-alice"
NOW = 1_790_000_000_000
SPOT_EVENTS = [payload("spot", name) for name in names("spot", "uds__")]
FUTURES_EVENTS = [payload("futures", name) for name in names("futures", "event-")]
ANSWERS = [
    {"id": 1, "status": 200, "result": {"subscriptionId": 3}},
    {"id": 1, "status": 200, "result": {"serverTime": NOW}},
    {
        "id": 1,
        "status": 400,
        "error": {"code": -2015, "msg": "Invalid API-key.", "data": {"retryAfter": NOW}},
    },
    {"id": 1, "result": [f"{KEY}@ORDER_TRADE_UPDATE"]},
]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause between two messages would be the only thing these tests wait for."""
    monkeypatch.setattr(futures_stream, "BETWEEN_MESSAGES_S", 0.0)


class Socket:
    """A connection on which everything has been said already."""

    def __init__(self, said: Sequence[str | bytes]) -> None:
        self.said = list(said)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        for message in self.said:
            await asyncio.sleep(0)
            yield message

    async def send(self, _message: str) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.sleep(0)


def written(frame: Any) -> bytes:
    return orjson.dumps(frame)


def broken() -> st.SearchStrategy[str | bytes]:
    """Make what is no JSON object: cut off, of another form, no text at all, nested beyond reason."""
    cut = st.builds(
        lambda frame, at: written(frame)[: at % max(len(written(frame)), 1)],
        st.sampled_from([*SPOT_EVENTS, *ANSWERS]),
        st.integers(0, 10_000),
    )
    deep = st.sampled_from([b"[" * 100_000, b'{"e":' * 100_000 + b"1" + b"}" * 100_000])
    other = st.sampled_from([b"", b"\xff\xfe", "NaN", b"[]", b"7", b"null", b'{"e": 1e999}'])
    return st.one_of(cut, deep, other, st.binary(max_size=30), st.text(max_size=30))


def is_object(message: str | bytes) -> bool:
    try:
        return isinstance(orjson.loads(message), dict)
    except orjson.JSONDecodeError:
        return False


def frames(events: Sequence[Any]) -> st.SearchStrategy[list[str | bytes]]:
    """Make a conversation of changed events and answers, and now and then something broken."""
    known = st.sampled_from([*events, *ANSWERS])
    readable = known.flatmap(changed).filter(lambda frame: isinstance(frame, dict)).map(written)
    return st.lists(st.one_of(readable, readable, readable, VALUES.map(written), broken()), max_size=12)


def marked(number: int) -> dict[str, Any]:
    """Make a good event that can be told from the others."""
    return {"e": "executionReport", "number": number}


def interleaved(hostile: list[str | bytes], good: list[bytes]) -> list[str | bytes]:
    """Put a good frame after each of the others."""
    return [one for pair in zip(hostile, good, strict=True) for one in pair]


def before_the_end(hostile: list[str | bytes]) -> int:
    """Say how many of the good frames come before the first that ends the connection."""
    return next((place for place, frame in enumerate(hostile) if not is_object(frame)), len(hostile))


@settings(max_examples=300, suppress_health_check=UNHURT)
@given(frames(SPOT_EVENTS))
def test_spot_stream_hands_over_what_is_readable(hostile: list[str | bytes]) -> None:
    """Each good event comes once, in turn, until a frame ends the connection; who asked is answered."""
    good = [written({"subscriptionId": 8, "event": marked(number)}) for number in range(len(hostile))]
    heard: list[Any] = []

    async def converse() -> str:
        clock = Clock()
        clock.sample(clock.now_ms(), NOW, clock.now_ms())
        stream = UserStream(
            Socket(interleaved(hostile, good)),  # type: ignore[arg-type]
            clock,
            on_event=lambda account, event: heard.append((account, event)),
            on_shutdown=lambda: None,
            recv_window_ms=5000,
        )
        stream._accounts = {8: ALICE, 3: UUID(int=2)}
        asked: list[asyncio.Task[Any]] = [
            asyncio.create_task(stream.probe()),
            asyncio.create_task(stream.subscribe(UUID(int=2), Credentials("a", "b"))),
        ]
        why = await stream.read()
        for one in await asyncio.gather(*asked, return_exceptions=True):
            assert one is None or isinstance(one, int | StreamDownError | StreamRefusedError), one
        return why

    why = asyncio.run(converse())
    expected = before_the_end(hostile)
    assert why == ("closed" if expected == len(hostile) else "unreadable frame")
    # A changed frame may have ended the subscription; what came before it is there all the same.
    numbers = [event["number"] for account, event in heard if "number" in event]
    ended = any("eventStreamTerminated" in str(frame) for frame in hostile)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == expected or ended


async def futures_conversation(hostile: list[str | bytes]) -> tuple[str, bool, list[Any]]:
    """Say why a connection ended, whether Alice was still subscribed, and what was handed over to whom."""
    good = [written({"stream": f"{KEY}@ORDER_TRADE_UPDATE", "data": marked(n)}) for n in range(len(hostile))]
    heard: list[Any] = []
    clock = Clock()
    clock.sample(clock.now_ms(), NOW, clock.now_ms())
    stream: Any = FuturesUserStream(
        "ws://127.0.0.1:1",
        SimpleNamespace(clock=clock),  # type: ignore[arg-type]
        on_event=lambda account, event: heard.append((account, event)),
        on_shutdown=lambda: None,
        on_key=lambda _key: None,
        before_connect=lambda: asyncio.sleep(0),
    )
    other = futures_stream._Kept(UUID(int=2), "key of bob", 0.0)
    stream._keys = {KEY: futures_stream._Kept(ALICE, "key of alice", 0.0), "of bob": other}
    stream._socket = Socket(interleaved(hostile, good))
    asked = asyncio.create_task(stream.probe())
    await asyncio.sleep(0)
    why: str = await stream._read(stream._socket)
    told: list[Any] = list(await asyncio.gather(asked, return_exceptions=True))
    assert isinstance(told[0], int | StreamDownError | StreamRefusedError), told
    return why, KEY in stream._keys, heard


@settings(max_examples=300, suppress_health_check=UNHURT)
@given(frames(FUTURES_EVENTS))
def test_futures_stream_hands_over_what_is_readable(hostile: list[str | bytes]) -> None:
    """The same where frames are named after listen keys; a frame of nobody ends the connection."""
    why, kept, heard = asyncio.run(futures_conversation(hostile))
    assert why in ("closed", "unreadable frame", "unattributed frame")
    numbers = [event["number"] for _, event in heard if "number" in event]
    assert numbers == list(range(len(numbers)))
    assert all(account == ALICE for account, event in heard if "number" in event)
    # A changed frame may have ended the subscription; what came before it is there all the same.
    if why == "closed" and kept:
        assert len(numbers) == len(hostile)


@pytest.mark.parametrize("answer", [{"id": 1, "status": 200}, {"id": 1, "result": {}}])
async def test_an_answer_that_is_no_list_ends_no_subscription(answer: Any) -> None:
    """Only a list without the key says that the key is not subscribed."""
    _, kept, heard = await futures_conversation([written(answer)])
    assert (kept, len(heard)) == (True, 1)


async def test_what_comes_after_a_key_has_left_is_nobody_elses() -> None:
    """One account remains on the connection; what still comes for the other is not taken for its own."""
    unlisted = written({"id": 1, "result": ["of bob"]})
    _, kept, heard = await futures_conversation([unlisted, written({"id": 9})])
    assert not kept
    assert {account for account, _ in heard} == {ALICE}


@settings(max_examples=200, suppress_health_check=UNHURT)
@given(
    frames([{"stream": "btcusdt@miniTicker", "data": {"e": "24hrMiniTicker", "s": "BTCUSDT", "c": "70000"}}])
)
def test_market_stream_tells_prices_only(said: list[str | bytes]) -> None:
    """What is no price is passed over."""
    told: list[tuple[str, Decimal]] = []
    nothing: Any = Socket([])
    stream = MarketStream(nothing, lambda symbol, price: told.append((symbol, price)))
    for message in said:
        stream._take(message)
    assert all(price > 0 and price.adjusted() < 50 for _, price in told)


@pytest.mark.parametrize("odd", [[1], {"a": 1}, True, 1.5, None, "1", 2**64 - 1])
def test_an_odd_request_id_answers_nobody(odd: Any) -> None:
    """`true` is not 1, and a list is no key of a table."""
    answer = {"id": odd, "result": {"serverTime": NOW}}

    async def converse() -> list[Any]:
        futures: Any = FuturesUserStream.__new__(FuturesUserStream)
        futures._waiting = {1: asyncio.get_running_loop().create_future()}
        futures._answered(answer)
        assert not futures._waiting[1].done()
        return await probed(answer)

    (told,) = asyncio.run(converse())
    assert isinstance(told, StreamDownError)


@pytest.mark.parametrize("result", [None, {}, [], 7, {"serverTime": "soon"}, {"serverTime": True}])
def test_a_probe_answered_in_another_form_proves_nothing(result: Any) -> None:
    """It is refused, as an error would be, and the connection goes on."""
    (told,) = asyncio.run(probed({"id": 1, "result": result}))
    assert isinstance(told, StreamRefusedError)


async def probed(answer: Any) -> list[Any]:
    """Probe a connection on which only this is said; returns what came of the probe."""
    stream = UserStream(
        Socket([written(answer)]),  # type: ignore[arg-type]
        Clock(),
        on_event=lambda _account, _event: None,
        on_shutdown=lambda: None,
        recv_window_ms=5000,
    )
    asked = asyncio.create_task(stream.probe())
    await asyncio.sleep(0)
    assert await stream.read() == "closed"
    return list(await asyncio.gather(asked, return_exceptions=True))
