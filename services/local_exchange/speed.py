"""`python -m services.local_exchange.speed`: signed orders per second that one core of the exchange takes.

The load comes from this process, the exchange runs in a second one. Every request is a signed MARKET order of
its own; requests are signed beforehand and sent over a few connections, each waiting for its answer before
the next.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from services.local_exchange.settings import DEFAULT_ACCOUNTS

CONNECTIONS = 16
KEY = DEFAULT_ACCOUNTS[0]["api_key"]
SECRET = DEFAULT_ACCOUNTS[0]["secret"].encode()


def signed_orders(count: int, port: int) -> list[bytes]:
    """Write `count` signed requests, alternating BUY and SELL so that no balance runs out."""
    stamp = time.time_ns() // 1_000_000
    written = []
    for number in range(count):
        side = "BUY" if number % 2 == 0 else "SELL"
        query = (
            f"symbol=BTCUSDT&side={side}&type=MARKET&quantity=0.001&newClientOrderId=speed-{number}"
            f"&recvWindow=60000&timestamp={stamp}"
        )
        signature = hmac.new(SECRET, query.encode(), hashlib.sha256).hexdigest()
        written.append(
            f"POST /api/v3/order?{query}&signature={signature} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"X-MBX-APIKEY: {KEY}\r\nContent-Length: 0\r\n\r\n".encode()
        )
    return written


class Sender(asyncio.Protocol):
    """Sends one request after another, the next when the last is answered."""

    def __init__(self, requests: list[bytes], done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._done = done
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self.filled = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transport is no subclass
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        if self._requests:
            self._transport.write(self._requests.pop())
        else:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.lower().index(b"content-length: ") + 16
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self.filled += b'"status":"FILLED"' in rest
        self._buffer = b""
        self._next()


async def measure(count: int) -> dict[str, float]:
    """Run the exchange in a process of its own, send `count` orders, and say how fast they went."""
    with tempfile.TemporaryDirectory() as folder:
        ports = Path(folder) / "ports.json"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.local_exchange",
            "--port-file",
            str(ports),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            while not ports.exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
            port = json.loads(ports.read_text(encoding="utf-8"))["port"]
            await _send(signed_orders(count // 10, port), port)
            requests = signed_orders(count, port)
            cpu_before, started = _cpu_seconds(process.pid), time.perf_counter()
            filled = await _send(requests, port)
            wall = time.perf_counter() - started
            cpu = _cpu_seconds(process.pid) - cpu_before
        finally:
            process.terminate()
            await process.wait()
    return {
        "orders": count,
        "filled": filled,
        "orders_per_second": round(count / wall, 1),
        "orders_per_cpu_second": round(count / cpu, 1),
        "exchange_cpu_share": round(cpu / wall, 3),
    }


async def _send(requests: list[bytes], port: int) -> int:
    loop = asyncio.get_running_loop()
    senders = []
    finished = []
    for _ in range(CONNECTIONS):
        done: asyncio.Future[None] = loop.create_future()
        sender = Sender(requests, done)
        senders.append(sender)
        finished.append(done)
        await loop.create_connection(lambda sender=sender: sender, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*finished)
    return sum(sender.filled for sender in senders)


def _cpu_seconds(pid: int) -> float:
    """Processor seconds a process has used; from /proc, so Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m services.local_exchange.speed", description=__doc__)
    parser.add_argument("--orders", type=int, default=20_000)
    result = uvloop.run(measure(parser.parse_args().orders))
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    if result["filled"] < result["orders"]:
        sys.exit("Not every order was filled: the machine was too busy, their windows passed. Try again.")


if __name__ == "__main__":
    main()
