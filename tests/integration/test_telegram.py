"""Messages to users: what is told, to whom, once; and that whatever Telegram does disturbs nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from services.fill_listener import aside, telegram
from services.fill_listener.telegram import Telegram
from shared.database import epoch
from shared.database.connect import open_pool
from shared.database.settle import refuse, settle
from shared.telemetry.metrics import LISTENER, Metrics
from tests.claimed import claimed
from tests.listening import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from shared.database.connect import Pool
    from tests.bot import Bot

TOKEN = "42:not-a-token"


@dataclass
class Chats:
    """A Telegram that remembers what it was sent, and answers as it is told to."""

    url: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    answers: list[tuple[int, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.paths.add(request.path)
        self.messages.append(await request.json())
        status, body = self.answers.pop(0) if self.answers else (200, {"ok": True})
        return web.json_response(body, status=status)


@asynccontextmanager
async def running(chats: Chats) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", chats.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    chats.url = f"http://{host}:{port}"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def chats() -> AsyncIterator[Chats]:
    chats = Chats()
    async with running(chats):
        yield chats


@pytest.fixture
async def pool(bridge_database: str) -> AsyncIterator[Pool]:
    pool = await open_pool(bridge_database, size=4, application_name="test")
    yield pool
    await pool.close()


@pytest.fixture
async def teller(pool: Pool, chats: Chats, monkeypatch: pytest.MonkeyPatch) -> Telegram:
    monkeypatch.setattr(telegram, "RESTS_S", (0.0, 0.0))
    teller = Telegram(pool, chats.url, TOKEN, Metrics(LISTENER))
    await teller.tell()
    return teller


def trader(bot: Bot, chat: int | None = 7, settings: str = '{"notifications_on": true}') -> tuple[UUID, UUID]:
    identity: dict[str, Any] = {"telegram_id": chat, "settings": settings}
    if chat is None:
        identity |= {"email": "a@example.org", "password_hash": "x"}
    user = bot.user(**identity)
    return user, bot.account(user)


async def filled(pool: Pool, bot: Bot, account: tuple[UUID, UUID], number: int = 100, **columns: Any) -> None:
    async with pool.acquire() as connection:
        order = await claimed(connection, bot, account, exchange_order_id=number, **columns)
        order.trade(number, "0.5", "60000", fee="12.5", asset="USDT", last=True)
        await settle(connection, order.reports())


async def test_a_fill_and_a_closed_position_are_told_once(
    pool: Pool, bot: Bot, chats: Chats, teller: Telegram
) -> None:
    """One message a user, with the numbers that count; asked again there is nothing new."""
    account = trader(bot)
    await filled(pool, bot, account)
    await teller.tell()
    assert chats.messages == [
        {"chat_id": 7, "text": "BTC/USDT: bought 0.5 BTC at 60000, fee 12.5 USDT"},
    ]
    await filled(pool, bot, account, 101, side="sell")
    await teller.tell()
    assert chats.messages[1]["text"].splitlines() == [
        "BTC/USDT: sold 0.5 BTC at 60000, fee 12.5 USDT",
        "BTC/USDT long closed: -25 USDT",
    ]
    await teller.tell()
    assert len(chats.messages) == 2
    assert chats.paths == {f"/bot{TOKEN}/sendMessage"}


async def test_a_rejection_is_told_with_its_reason(
    pool: Pool, bot: Bot, chats: Chats, teller: Telegram
) -> None:
    """The sentence of the refusal is what the user reads."""
    user, account = trader(bot)
    order = bot.order(user, account)
    async with pool.acquire() as connection:
        await epoch.current(connection, quarantine=timedelta(0))
        row = await connection.fetchrow(
            "SELECT e.id, o.xmin::text AS xmin, o.ctid::text AS ctid FROM public.orders AS o "
            "JOIN bridge.outbox AS e ON e.order_id = o.id WHERE o.id = $1",
            order,
        )
        assert row is not None
        assert await refuse(connection, [(row["id"], (row["xmin"], row["ctid"]), "cap", "Too large.")])
    await teller.tell()
    assert [one["text"] for one in chats.messages] == ["BTC/USDT buy rejected: Too large."]


@pytest.mark.parametrize(
    ("chat", "settings"),
    [(None, '{"notifications_on": true}'), (7, '{"notifications_on": false}'), (7, "{}"), (7, "[]")],
)
async def test_who_does_not_want_messages_gets_none(
    pool: Pool, bot: Bot, chats: Chats, teller: Telegram, chat: int | None, settings: str
) -> None:
    """No chat, switched off, or never switched on (the bot reads a missing key as off)."""
    await filled(pool, bot, trader(bot, chat, settings))
    await teller.tell()
    assert chats.messages == []


async def test_two_replicas_tell_once(pool: Pool, bot: Bot, chats: Chats, teller: Telegram) -> None:
    """Whoever reads first has told."""
    other = Telegram(pool, chats.url, TOKEN, Metrics(LISTENER))
    await filled(pool, bot, trader(bot))
    await asyncio.gather(*(one.tell() for one in (teller, other) * 3))
    await teller.tell()
    assert len(chats.messages) == 1


async def test_throttled_and_failing_answers(pool: Pool, bot: Bot, chats: Chats, teller: Telegram) -> None:
    """Asked to wait it waits and sends again; refused for good it goes on with the next."""
    account = trader(bot)
    chats.answers = [(429, {"parameters": {"retry_after": 0}}), (502, None), (200, {})]
    await filled(pool, bot, account)
    await teller.tell()
    assert len(chats.messages) == 3
    chats.answers = [(403, {})]
    await filled(pool, bot, account, 101)
    await teller.tell()
    assert len(chats.messages) == 4


async def test_a_telegram_that_is_away_disturbs_nothing(
    pool: Pool, bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody answers at that address: the fill is stored all the same, and the token is in no log line."""
    lines: list[Any] = []
    monkeypatch.setattr(telegram, "RESTS_S", (0.0, 0.0))
    monkeypatch.setattr(telegram.log, "warning", lambda *words, **named: lines.append((words, named)))
    metrics = Metrics(LISTENER)
    teller = Telegram(pool, "http://127.0.0.1:1", TOKEN, metrics)
    await teller.tell()
    await filled(pool, bot, trader(bot))
    await teller.tell()
    assert metrics.telegram("failed")._value.get() == 1
    assert await pool.fetchval("SELECT count(*) FROM bridge.fill WHERE applied") == 1
    assert lines
    assert TOKEN not in repr(lines)


async def test_an_option_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a mistake of ours ends nothing: it is counted, and the next round comes."""
    metrics, rounds = Metrics(LISTENER), 0

    async def step() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ZeroDivisionError

    keeping = asyncio.create_task(aside.keep_doing("telegram", step, metrics, every_s=0.001))
    try:
        await until(lambda: rounds >= 3, "it goes on")
    finally:
        keeping.cancel()
    assert metrics.alarms("telegram")._value.get() == 1


def test_numbers_are_plain() -> None:
    """No exponent, no zeros at the end, no minus before nothing."""
    told = [telegram.plain(Decimal(text)) for text in ("1E+5", "0.10000000", "-0.000000001", "12", "0E-8")]
    assert told == ["100000", "0.1", "0", "12", "0"]
