"""pgqueuer over asyncpg with its own defaults; the handler signs, POSTs with stock httpx, writes the row."""

import asyncpg
import httpx
import orjson
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job

from bench.contenders.job import SETTLE, Setting, setting, settled, signed

AT_ONCE = 64  # httpx opens at most 100 connections and then fails after 5 s; the bridge has as many slots


async def work(here: Setting) -> None:
    """Take orders until killed."""
    pool = await asyncpg.create_pool(here.dsn)
    client = httpx.AsyncClient(base_url=here.url)
    queue = PgQueuer.from_asyncpg_pool(pool)

    @queue.entrypoint("order", concurrency_limit=AT_ONCE)
    async def carry(job: Job) -> None:
        assert job.payload is not None
        order = orjson.loads(job.payload)
        query, api_key = signed(order, here.keys)
        answer = await client.post(f"/api/v3/order?{query}", headers={"X-MBX-APIKEY": api_key})
        await pool.execute(SETTLE, *settled(order["id"], answer.content))

    here.say_ready()
    await queue.run()


if __name__ == "__main__":
    uvloop.run(work(setting()))
