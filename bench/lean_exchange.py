"""A lean HTTP server that takes orders, so that what is measured is the bridge and not a simulator.

It checks key and signature, fills every order at once at a price that stands still, and gives the FULL answer
with the caller's client id and symbol. When it read the last byte of an order's request is kept, on the
machine's monotonic clock, and told at `/bench/arrivals`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import hmac
import json
import os
import signal
import time
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
import uvloop

from services.local_exchange.symbols import default_symbols

FEE = Decimal("0.001")
EIGHT = Decimal("1e-8")


class Market:
    """Prices, and the state an order changes."""

    def __init__(self, accounts: dict[str, str]) -> None:
        self.keys = {
            key.encode(): hmac.new(secret.encode(), digestmod=hashlib.sha256)
            for key, secret in accounts.items()
        }
        self.symbols = {symbol.name: symbol for symbol in default_symbols()}
        self.arrivals: dict[str, int] = {}
        self.orders = 0
        self.answers: dict[bytes, bytes] = {
            b"/api/v3/ping": b"{}",
            b"/api/v3/exchangeInfo": orjson.dumps(self._information()),
            b"/api/v3/ticker/bookTicker": orjson.dumps([self._book(s.name) for s in default_symbols()]),
        }

    def answer(self, method: bytes, path: bytes, query: bytes, key: bytes, arrived: int) -> tuple[int, bytes]:
        """Return status and body of one request."""
        if path == b"/api/v3/order" and method == b"POST":
            return self._order(query, key, arrived)
        if path == b"/api/v3/ticker/bookTicker" and query:
            return 200, orjson.dumps(self._book(dict(parse_qsl(query.decode()))["symbol"]))
        if path == b"/api/v3/time":
            return 200, b'{"serverTime":%d}' % (time.time_ns() // 1_000_000)
        if path == b"/api/v3/depth":
            return 200, orjson.dumps(self._depth(dict(parse_qsl(query.decode()))["symbol"]))
        if path == b"/bench/arrivals":
            told, self.arrivals = self.arrivals, {}
            return 200, orjson.dumps(told)
        known = self.answers.get(path)
        return (200, known) if known is not None else (404, b'{"code":-1,"msg":"not served here"}')

    def _order(self, query: bytes, key: bytes, arrived: int) -> tuple[int, bytes]:
        signed, _, signature = query.rpartition(b"&signature=")
        known = self.keys.get(key)
        if known is None:
            return 401, b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'
        digest = known.copy()
        digest.update(signed)
        if digest.hexdigest().encode() != signature:
            return 400, b'{"code":-1022,"msg":"Signature for this request is not valid."}'
        wanted = dict(parse_qsl(signed.decode()))
        client_id = wanted["newClientOrderId"]
        self.arrivals[client_id] = arrived
        self.orders += 1
        symbol = self.symbols[wanted["symbol"]]
        price = symbol.start_price
        asked = wanted.get("quantity")
        quantity = (
            Decimal(asked)
            if asked
            else (Decimal(wanted["quoteOrderQty"]) / price).quantize(symbol.step, ROUND_DOWN)
        )
        quote = (quantity * price).quantize(EIGHT)
        now = time.time_ns() // 1_000_000
        return 200, (
            f'{{"symbol":"{symbol.name}","orderId":{self.orders},"orderListId":-1,'
            f'"clientOrderId":"{client_id}","transactTime":{now},"price":"0.00000000",'
            f'"origQty":"{quantity:.8f}","executedQty":"{quantity:.8f}","origQuoteOrderQty":"{quote:.8f}",'
            f'"cummulativeQuoteQty":"{quote:.8f}","status":"FILLED","timeInForce":"GTC",'
            f'"type":"{wanted["type"]}",'
            f'"side":"{wanted["side"]}","workingTime":{now},'
            f'"fills":[{{"price":"{price:.8f}","qty":"{quantity:.8f}","commission":"{quantity * FEE:.8f}",'
            f'"commissionAsset":"{symbol.base}","tradeId":{self.orders}}}],'
            f'"selfTradePreventionMode":"EXPIRE_MAKER"}}'
        ).encode()

    def _information(self) -> dict[str, Any]:
        return {
            "timezone": "UTC",
            "serverTime": 0,
            "rateLimits": [
                {
                    "rateLimitType": "REQUEST_WEIGHT",
                    "interval": "MINUTE",
                    "intervalNum": 1,
                    "limit": 60_000_000,
                },
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 10_000_000},
                {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 2_000_000_000},
                {
                    "rateLimitType": "RAW_REQUESTS",
                    "interval": "MINUTE",
                    "intervalNum": 5,
                    "limit": 300_000_000,
                },
            ],
            "exchangeFilters": [],
            "symbols": [symbol.information() for symbol in self.symbols.values()],
        }

    def _book(self, name: str) -> dict[str, str]:
        symbol = self.symbols[name]
        return {
            "symbol": name,
            "bidPrice": f"{symbol.start_price - symbol.tick:.8f}",
            "bidQty": "1000000",
            "askPrice": f"{symbol.start_price:.8f}",
            "askQty": "1000000",
        }

    def _depth(self, name: str) -> dict[str, Any]:
        book = self._book(name)
        return {
            "lastUpdateId": 1,
            "bids": [[book["bidPrice"], book["bidQty"]]],
            "asks": [[book["askPrice"], book["askQty"]]],
        }


class Peer(asyncio.Protocol):
    """One connection, kept alive; one request at a time, as HTTP/1.1 clients send them."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not derive from it

    def data_received(self, data: bytes) -> None:
        """Answer every whole request there is."""
        arrived = time.monotonic_ns()
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            lines = head.split(b"\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
            }
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            method, target, _ = lines[0].split(b" ", 2)
            path, _, query = target.partition(b"?")
            status, content = self._market.answer(
                method, path, query or body, headers.get(b"x-mbx-apikey", b""), arrived
            )
            assert self._transport is not None
            self._transport.write(
                b"HTTP/1.1 %d OK\r\nContent-Type: application/json;charset=UTF-8\r\n"
                b"x-mbx-used-weight-1m: 1\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content)
            )


async def serve(accounts: dict[str, str], port_file: Path) -> None:
    """Serve until SIGTERM."""
    market = Market(accounts)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Peer(market), "127.0.0.1", 0)
    gc.freeze()
    written = port_file.with_suffix(".part")
    written.write_text(json.dumps({"port": server.sockets[0].getsockname()[1], "pid": os.getpid()}))
    written.rename(port_file)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.lean_exchange", description=__doc__)
    parser.add_argument("--accounts", type=Path, required=True, help="JSON: secret by API key")
    parser.add_argument("--port-file", type=Path, required=True)
    chosen = parser.parse_args()
    uvloop.run(serve(json.loads(chosen.accounts.read_text()), chosen.port_file))
