"""DESIGN 6: many accounts, shared among listeners, coming, changing and going while they run."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.bot import encrypt
from tests.listening import LocalMarket, Trader, local_market, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from services.fill_listener.listener import FillListener
    from tests.bot import Bot


LEASE = timedelta(seconds=1)


@pytest.fixture
async def market(bridge_database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalMarket]:
    monkeypatch.setattr("services.fill_listener.share_out.BEAT_S", 0.1)
    async with local_market(bridge_database, monkeypatch) as running:
        yield running


async def owners(market: LocalMarket) -> dict[UUID, str | None]:
    rows = await market.pool.fetch(
        "SELECT account_id, owner FROM bridge.stream WHERE lease_until > clock_timestamp()"
    )
    return {row["account_id"]: row["owner"] for row in rows}


async def heard(market: LocalMarket, account: UUID) -> bool:
    query = "SELECT connection_id IS NOT NULL FROM bridge.stream WHERE account_id = $1"
    return bool(await market.pool.fetchval(query, account))


async def test_one_connection_carries_many_accounts(market: LocalMarket, bot: Bot) -> None:
    """Every account's order reaches its own row; there is one connection."""
    traders = [await market.trader(bot, f"trader{number}") for number in range(20)]
    await market.listen()
    orders = [await trader.buy("0.01") for trader in traders]
    for trader, order in zip(traders, orders, strict=True):
        await trader.filled(order)
    assert await market.pool.fetchval("SELECT count(*) FROM bridge.connection") == 1
    assert await market.pool.fetchval("SELECT count(DISTINCT connection_id) FROM bridge.stream") == 1


async def test_more_accounts_than_a_connection_takes(market: LocalMarket, bot: Bot) -> None:
    """A full connection is followed by the next."""
    market.monkeypatch.setattr("services.fill_listener.venues.MAX_SUBSCRIPTIONS", 3)
    traders = [await market.trader(bot, f"trader{number}") for number in range(7)]
    await market.listen()

    async def on_three() -> bool:
        heard = await market.pool.fetchval("SELECT count(DISTINCT connection_id) FROM bridge.stream")
        return bool(heard == 3)

    await until(on_three, "seven accounts are heard on three connections")
    for trader in traders:
        await trader.filled(await trader.buy("0.01"))


async def test_listeners_behind_one_address_divide_its_weight(market: LocalMarket, bot: Bot) -> None:
    """Two that live take half each; when one is gone the other has it all again."""
    market.monkeypatch.setattr("services.fill_listener.share_out.LEASE", LEASE)
    await market.trader(bot, "alice")
    first, second = await market.listen(), await market.listen()

    async def halves() -> bool:
        return [one._pace.sharers for one in (first, second)] == [2, 2]

    await until(halves, "both know of two")
    await market.kill(second)

    async def alone() -> bool:
        return first._pace.sharers == 1

    await until(alone, "the one left knows that it is alone")


async def test_an_account_added_while_it_runs(market: LocalMarket, bot: Bot) -> None:
    """No restart is needed: a new account is heard within a beat, its earlier order reconciled."""
    await market.listen()
    trader = await market.trader(bot, "late")
    order = await trader.order()
    await trader.abandon(order)
    await trader.send(order, type="MARKET", quantity="0.01")
    await trader.filled(order)


async def test_a_changed_key_is_used(market: LocalMarket, bot: Bot) -> None:
    """A rotated key replaces the old one on the same connection."""
    trader = await market.trader(bot, "rotating")
    await market.listen()
    await market.admin(
        "POST",
        "/accounts",
        {
            "name": "successor",
            "api_key": "key-2-not-a-secret",
            "secret": "secret-2-not-a-secret",
            "balances": {"USDT": "100000"},
        },
    )
    bot.connection.execute(
        "UPDATE exchange_accounts SET api_key_encrypted = %s, secret_encrypted = %s WHERE id = %s",
        [encrypt("key-2-not-a-secret"), encrypt("secret-2-not-a-secret"), trader.account],
    )

    async def moved() -> bool:
        streams = await market.admin("GET", "/streams")
        return "successor" in str(streams) and "rotating" not in str(streams)

    await until(moved, "the new key is subscribed instead of the old one")


async def test_an_unreadable_key_disturbs_nobody(market: LocalMarket, bot: Bot) -> None:
    """Seeds store plain text in place of a key: that account is told to its owner, the others are heard."""
    broken = await market.trader(bot, "broken")
    bot.connection.execute("UPDATE exchange_accounts SET api_key_encrypted = 'plain text'::bytea")
    trader = await market.trader(bot, "whole")
    await market.listen()
    await trader.filled(await trader.buy("0.01"))
    problem = await market.pool.fetchval(
        "SELECT problem FROM bridge.stream WHERE account_id = $1", broken.account
    )
    assert problem


async def test_a_refused_key_disturbs_nobody(market: LocalMarket, bot: Bot) -> None:
    """The exchange refuses one key; its account is marked, the others are heard."""
    refused = await market.trader(bot, "refused")
    await market.admin("POST", "/accounts/refused", {"key_revoked": True})
    trader = await market.trader(bot, "whole")
    listener = await market.listen()
    await trader.filled(await trader.buy("0.01"))
    assert listener.metrics.keys_refused(str(refused.account))._value.get() == 1
    assert not await heard(market, refused.account)


async def test_two_rows_of_one_binance_account(market: LocalMarket, bot: Bot) -> None:
    """Two users' rows hold the same key: one subscription serves both, each order finds its own row."""
    first = await market.trader(bot, "shared")
    second_user = bot.user()
    second = Trader(
        market,
        bot,
        second_user,
        bot.account(second_user, api_key=first.credentials.api_key, secret=first.credentials.secret),
        "shared",
        first.credentials,
    )
    await market.listen()
    for number, trader in enumerate((first, second), 1):
        await trader.filled(await trader.buy("0.01", exchange_order_id=number))
    assert len(first.positions()) == len(second.positions()) == 1
    assert await market.pool.fetchval("SELECT count(*) FROM bridge.control") == 0


async def test_a_switched_off_account_is_followed_while_it_has_something(
    market: LocalMarket, bot: Bot
) -> None:
    """`is_active` gates new sends only: a live order is followed to its end, then the account is given up."""
    trader = await market.trader(bot, "off")
    await market.listen()
    order = await trader.order()
    answer = await trader.send(order, type="LIMIT", quantity="0.01", price="50000", timeInForce="GTC")
    await until(lambda: trader.row(order)["exchange_order_id"] == str(answer["orderId"]), "it rests")
    bot.connection.execute("UPDATE exchange_accounts SET is_active = false")
    await asyncio.sleep(0.3)  # some beats, in which it must not be given up
    assert await heard(market, trader.account)
    await market.rest.cancel_order(trader.credentials, "BTCUSDT", order_id=answer["orderId"])
    await until(lambda: trader.row(order)["status"] == "canceled", "the row is canceled")

    async def given_up() -> bool:
        return not await owners(market)

    await until(given_up, "the account is given up")


async def test_listeners_share_the_accounts(market: LocalMarket, bot: Bot) -> None:
    """A second listener takes half; when the first dies the second takes all, and nothing is lost."""
    market.monkeypatch.setattr("services.fill_listener.share_out.LEASE", LEASE)
    traders = [await market.trader(bot, f"trader{number}") for number in range(6)]
    first = await market.listen()
    second = market.start()

    async def even() -> bool:
        held = list((await owners(market)).values())
        return sorted(held.count(name) for name in (first.name, second.name)) == [3, 3] and all(
            [await heard(market, trader.account) for trader in traders]
        )

    await until(even, "three accounts each, all heard")
    for number, trader in enumerate(traders, 1):
        await trader.filled(await trader.buy("0.01", exchange_order_id=number))
    orders = []
    for number, trader in enumerate(traders, 11):
        order = await trader.order(exchange_order_id=number)
        await trader.abandon(order)
        orders.append(order)
    await market.kill(first)
    for trader, order in zip(traders, orders, strict=True):
        await trader.send(order, type="MARKET", quantity="0.01")
    for trader, order in zip(traders, orders, strict=True):
        await trader.filled(order)
    await _alone(market, second, len(traders))


async def _alone(market: LocalMarket, listener: FillListener, accounts: int) -> None:
    async def alone() -> bool:
        return list((await owners(market)).values()) == [listener.name] * accounts

    await until(alone, "the survivor holds every account")


async def test_a_drained_listener_gives_its_accounts_up(market: LocalMarket, bot: Bot) -> None:
    """SIGTERM: what has come is applied, the leases are free at once."""
    trader = await market.trader(bot, "alice")
    listener = await market.listen()
    order = await trader.buy("0.01")
    await trader.filled(order)
    listener.drain()
    await market.listeners.pop(listener)
    assert await owners(market) == {}


async def test_real_money_is_not_followed_unless_switched_on(market: LocalMarket, bot: Bot) -> None:
    """An account with `is_testnet = false` is left alone while live trading is off."""
    await market.trader(bot, "live", is_testnet=False)
    await market.listen()
    assert await owners(market) == {}
