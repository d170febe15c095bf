"""procrastinate with its own defaults; the task signs, POSTs with stock httpx and writes the row."""

from __future__ import annotations

import re
from typing import Any

import httpx
import procrastinate
import psycopg_pool
import uvloop

from bench.contenders.job import SETTLE, Setting, setting, settled, signed

AT_ONCE = 64
_SETTLE = re.sub(r"\$\d", "%s", SETTLE)


async def work(here: Setting) -> None:
    """Take orders until killed."""
    client = httpx.AsyncClient(base_url=here.url)
    pool = psycopg_pool.AsyncConnectionPool(
        here.dsn, min_size=4, max_size=10, open=False, kwargs={"autocommit": True}
    )
    await pool.open()
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=here.dsn))

    @app.task(name="order", queue="orders")
    async def carry(**order: Any) -> None:
        query, api_key = signed(order, here.keys)
        answer = await client.post(f"/api/v3/order?{query}", headers={"X-MBX-APIKEY": api_key})
        order_id, *rest = settled(order["id"], answer.content)
        async with pool.connection() as connection:
            await connection.execute(_SETTLE, [*rest, order_id])

    async with app.open_async():
        here.say_ready()
        await app.run_worker_async(queues=["orders"], concurrency=AT_ONCE, install_signal_handlers=True)


if __name__ == "__main__":
    uvloop.run(work(setting()))
