"""PROTOCOL 2: slices of a limit, leased by several processes at once, together never exceed it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.database.connect import open_pool
from shared.database.rate import RateKey, Request, lease, take_seat

KEY = RateKey("key", "http://exchange hash", "ORDERS", 10_000)
CEILING = 95


def asked(window: int, wanted: int = 5, seen: int = 0, ceiling: int = CEILING) -> Request:
    return Request(KEY, window, ceiling, wanted, seen)


async def test_leases_of_many_at_once_add_up_to_the_ceiling(bridge_database: str) -> None:
    """Eight processes ask until nothing is left: each order is given once, and not one too many."""
    pool = await open_pool(bridge_database, size=8, application_name="test")

    async def work() -> int:
        sum_given = 0
        async with pool.acquire() as connection:
            while given := (await lease(connection, [asked(7)]))[KEY][1]:
                sum_given += given
        return sum_given

    try:
        assert sum(await asyncio.gather(*(work() for _ in range(8)))) == CEILING
        async with pool.acquire() as connection:
            assert (await lease(connection, [asked(8)]))[KEY] == (8, 5), "a new window begins anew"
            assert (await lease(connection, [asked(7)]))[KEY][1] == 0, "nobody gets more of one that is over"
    finally:
        await pool.close()


async def test_what_the_exchange_has_seen_is_not_leased_again(bridge_database: str) -> None:
    """Somebody else used 93: two are left, whoever asks, and reads stop at their own ceiling."""
    pool = await open_pool(bridge_database, size=2, application_name="test")
    try:
        async with pool.acquire() as first, pool.acquire() as second:
            assert (await lease(first, [asked(7, seen=93)]))[KEY][1] == 2
            assert (await lease(second, [asked(7)]))[KEY][1] == 0
            assert (await lease(second, [asked(8, seen=75, ceiling=75)]))[KEY][1] == 0
            assert (await lease(second, [asked(8)]))[KEY][1] == 5, "placements may use what reads may not"
    finally:
        await pool.close()


async def test_a_seat_is_one_process_own_until_its_lease_ends(bridge_database: str) -> None:
    """Two seats for three processes; who renews keeps his, and one that was given up goes to the next."""
    pool = await open_pool(bridge_database, size=2, application_name="test")
    long, over = timedelta(minutes=1), timedelta(0)
    try:
        async with pool.acquire() as connection:
            first = await take_seat(connection, "a", lasting=long, seats=2)
            second = await take_seat(connection, "b", lasting=long, seats=2)
            assert {first, second} == {1, 2}
            assert await take_seat(connection, "c", lasting=long, seats=2) is None
            assert await take_seat(connection, "a", lasting=over, seats=2) == first
            assert await take_seat(connection, "c", lasting=long, seats=2) == first
    finally:
        await pool.close()
