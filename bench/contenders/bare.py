"""The least a program can do: LISTEN, claim by one UPDATE, POST, write the row.

With `--polls` it does not listen but polls, as the bot's authors first planned.
"""

from __future__ import annotations

import asyncio
import sys
from uuid import UUID

import asyncpg
import httpx
import uvloop

from bench.contenders.job import SETTLE, Setting, setting, settled, signed
from shared.binance.transport import BinanceTransport

CHANNEL = "bench_orders"
AT_ONCE = 64
POLL_S = 5.0
CLAIM = """
WITH mine AS MATERIALIZED (
    SELECT id FROM public.orders WHERE status = 'pending'
     LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE public.orders AS o SET status = 'open' FROM mine WHERE o.id = mine.id
RETURNING o.id, o.exchange_account_id::text AS account, o.symbol, o.side::text AS side,
          o.amount::text AS amount
"""


async def work(here: Setting, *, listens: bool) -> None:
    """Take orders until killed."""
    pool = await asyncpg.create_pool(here.dsn, min_size=8, max_size=8)
    claimer = await asyncpg.connect(here.dsn)
    listener = await asyncpg.connect(here.dsn)
    transport = BinanceTransport()
    await transport.warm(here.url, 4)
    wake = asyncio.Event()
    slots = asyncio.Semaphore(AT_ONCE)

    async def carry(row: asyncpg.Record) -> None:
        try:
            query, api_key = signed({**row, "id": str(row["id"])}, here.keys)
            request = httpx.Request(
                "POST", f"{here.url}/api/v3/order?{query}", headers={"X-MBX-APIKEY": api_key}
            )
            answer = await transport.handle_async_request(request)
            await pool.execute(SETTLE, *settled(UUID(str(row["id"])), await answer.aread()))
        finally:
            slots.release()

    if listens:
        await listener.add_listener(CHANNEL, lambda *_: wake.set())
    here.say_ready()
    async with asyncio.TaskGroup() as tasks:
        while True:
            wake.clear()
            while True:
                await slots.acquire()
                free = 1
                while free < AT_ONCE and not slots.locked():
                    await slots.acquire()
                    free += 1
                rows = await claimer.fetch(CLAIM, free)
                for _ in range(free - len(rows)):
                    slots.release()
                for row in rows:
                    tasks.create_task(carry(row))
                if len(rows) < free:
                    break
            if listens:
                await wake.wait()
            else:
                await asyncio.sleep(POLL_S)


if __name__ == "__main__":
    polls = "--polls" in sys.argv
    if polls:
        sys.argv.remove("--polls")
    uvloop.run(work(setting(), listens=not polls))
