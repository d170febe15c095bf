"""The floor: the same durable writes as the bridge in the fewest statements, and none of its decisions.

One statement claims (row, entry and attempt), one settles (row, entry, attempt, evidence, fill, position and
events). No guard, no sizing, no check of the epoch, no answer but a full fill is understood.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from importlib.resources import files
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import uvloop

from bench.contenders.job import Setting, setting, settled, signed
from shared.binance.transport import BinanceTransport

CHANNEL = "bridge_orders"
AT_ONCE = 64
CLAIM = files("bench.contenders").joinpath("floor_claim.sql").read_text(encoding="utf-8")
SETTLE = files("bench.contenders").joinpath("floor_settle.sql").read_text(encoding="utf-8")


async def work(here: Setting) -> None:
    """Take orders until killed."""
    pool = await asyncpg.create_pool(here.dsn, min_size=4, max_size=8)
    claimer = await asyncpg.connect(here.dsn)
    listener = await asyncpg.connect(here.dsn)
    transport = BinanceTransport()
    await transport.warm(here.url, 4)
    wake = asyncio.Event()
    slots = asyncio.Semaphore(AT_ONCE)
    answers: asyncio.Queue[tuple[object, ...]] = asyncio.Queue()

    async def carry(row: asyncpg.Record) -> None:
        query, api_key = signed({**row, "id": row["client_order_id"]}, here.keys)
        request = httpx.Request("POST", f"{here.url}/api/v3/order?{query}", headers={"X-MBX-APIKEY": api_key})
        answer = await transport.handle_async_request(request)
        body = await answer.aread()
        trade = orjson.loads(body)["fills"][0]["tradeId"]
        answers.put_nowait((*settled(row["order_id"], body), trade))

    async def settle() -> None:
        while True:
            batch = [await answers.get()]
            while len(batch) < AT_ONCE and not answers.empty():
                batch.append(answers.get_nowait())
            columns = list(zip(*batch, strict=True))
            await pool.execute(
                SETTLE,
                [UUID(str(order)) for order in columns[0]],
                columns[1],
                *[[Decimal(str(value)) for value in column] for column in columns[2:5]],
                columns[5],
                columns[6],
            )
            for _ in batch:
                slots.release()

    await listener.add_listener(CHANNEL, lambda *_: wake.set())
    here.say_ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(settle())
        while True:
            wake.clear()
            while True:
                await slots.acquire()
                free = 1
                while free < AT_ONCE and not slots.locked():
                    await slots.acquire()
                    free += 1
                rows = await claimer.fetch(CLAIM, free, [uuid4() for _ in range(free)])
                for _ in range(free - len(rows)):
                    slots.release()
                for row in rows:
                    tasks.create_task(carry(row))
                if len(rows) < free:
                    break
            await wake.wait()


if __name__ == "__main__":
    uvloop.run(work(setting()))
