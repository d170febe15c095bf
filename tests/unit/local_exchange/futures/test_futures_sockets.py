"""The futures market behind real sockets: listen keys, private and public paths, WebSocket API."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import websockets

from services.local_exchange.server import running_exchange
from services.local_exchange.settings import Settings
from tests.unit.local_exchange.desk import KEYS, SECRETS
from tests.unit.local_exchange.futures.futures_desk import market, stop


@pytest.fixture
async def running():
    async with running_exchange(Settings(step_ms=50, volatility=0)) as running:
        yield running


async def ask(running, method, path, **params):
    params.setdefault("timestamp", time.time_ns() // 1_000_000)
    query = urlencode(params)
    signature = hmac.new(SECRETS["alice"].encode(), query.encode(), hashlib.sha256).hexdigest()
    async with httpx.AsyncClient(headers={"X-MBX-APIKEY": KEYS["alice"]}) as client:
        return await client.request(method, f"{running.futures_rest_url}{path}?{query}&signature={signature}")


async def listen_key(running, method="POST"):
    async with httpx.AsyncClient(headers={"X-MBX-APIKEY": KEYS["alice"]}) as client:
        return await client.request(method, f"{running.futures_rest_url}/fapi/v1/listenKey")


async def administer(running, method, path, **body):
    async with httpx.AsyncClient(base_url=running.admin_url) as client:
        answer = await client.request(method, path, json=body or None)
    answer.raise_for_status()
    return answer.json()


async def receive(socket, count):
    return [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in range(count)]


async def silent(socket):
    """Wait a moment in which nothing comes."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.recv(), 0.2)


async def buy(running):
    answer = await ask(running, "POST", "/fapi/v1/order", **market("BUY", "0.01"))
    assert answer.status_code == 200


async def test_listen_keys_live_by_api_key_alone(running):
    """No signature; the same key while it lives; PUT returns it; without one -1125; without header -2014."""
    first = (await listen_key(running)).json()["listenKey"]
    assert len(first) == 64
    assert (await listen_key(running)).json() == {"listenKey": first}
    assert (await listen_key(running, "PUT")).json() == {"listenKey": first}
    assert (await listen_key(running, "DELETE")).json() == {}
    gone = await listen_key(running, "PUT")
    assert (gone.status_code, gone.json()["code"]) == (400, -1125)
    assert (await listen_key(running)).json()["listenKey"] != first
    async with httpx.AsyncClient() as client:
        bare = await client.post(f"{running.futures_rest_url}/fapi/v1/listenKey")
    assert (bare.status_code, bare.json()["code"]) == (401, -2014)


async def test_private_paths_deliver_raw_and_wrapped(running):
    """By query with events, by path, and by SUBSCRIBE on the combined path."""
    key = (await listen_key(running)).json()["listenKey"]
    base = running.futures_stream_url
    async with (
        websockets.connect(f"{base}/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE") as chosen,
        websockets.connect(f"{base}/private/ws/{key}") as whole,
        websockets.connect(f"{base}/private/stream") as wrapped,
    ):
        await wrapped.send(json.dumps({"method": "SUBSCRIBE", "params": [key], "id": 1}))
        assert await receive(wrapped, 1) == [{"result": None, "id": 1}]
        await chosen.send('{"method":"LIST_SUBSCRIPTIONS","id":9}')
        assert await receive(chosen, 1) == [{"result": [f"{key}@ORDER_TRADE_UPDATE"], "id": 9}]
        await buy(running)
        assert [e["o"]["x"] for e in await receive(chosen, 2)] == ["NEW", "TRADE"]
        kinds = ["TRADE_LITE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE"]
        assert [e["e"] for e in await receive(whole, 4)] == kinds
        frames = await receive(wrapped, 4)
        assert {frame["stream"] for frame in frames} == {key}
        assert [frame["data"]["e"] for frame in frames] == kinds


async def test_the_unrouted_path_and_wrong_keys_stay_silent(running):
    """The handshake succeeds and nothing ever comes, not even an error."""
    key = (await listen_key(running)).json()["listenKey"]
    base = running.futures_stream_url
    async with (
        websockets.connect(f"{base}/ws/{key}") as unrouted,
        websockets.connect(f"{base}/private/ws?listenKey=bogus&events=ORDER_TRADE_UPDATE") as bogus,
        websockets.connect(f"{base}/private/ws?listenKey={key}&events=ORDER_UPDATE") as typo,
        websockets.connect(f"{base}/public/ws/{key}") as public,
    ):
        await buy(running)
        for socket in (unrouted, bogus, typo, public):
            await silent(socket)


async def test_an_expired_key_says_so_and_then_nothing(running):
    """listenKeyExpired; the socket stays open."""
    key = (await listen_key(running)).json()["listenKey"]
    async with websockets.connect(f"{running.futures_stream_url}/private/ws/{key}") as socket:
        await administer(running, "POST", "/futures/expire_listen_key", account="alice")
        (event,) = await receive(socket, 1)
        assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
        await buy(running)
        await silent(socket)
        await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert (await receive(socket, 1))[0]["id"] == 1


async def test_eleven_messages_in_a_second_end_the_connection(running):
    """At most ten."""
    async with websockets.connect(f"{running.futures_stream_url}/market/ws") as socket:
        for number in range(25):
            await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await receive(socket, 25)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_public_data_is_split_between_public_and_market(running):
    """Mark prices on /market, the book on /public and on unrouted paths; elsewhere silence."""
    base = running.futures_stream_url
    async with (
        websockets.connect(f"{base}/market/stream?streams=btcusdt@markPrice@1s/btcusdt@aggTrade") as marks,
        websockets.connect(f"{base}/public/ws/btcusdt@bookTicker") as book,
        websockets.connect(f"{base}/public/ws/btcusdt@markPrice") as wrong,
    ):
        frames = await receive(marks, 4)
        assert {frame["data"]["e"] for frame in frames} == {"markPriceUpdate", "aggTrade"}
        assert (await receive(book, 1))[0]["e"] == "bookTicker"
        await silent(wrong)


async def test_the_websocket_api_places_and_cancels(running):
    """order.place, order.status, order.cancel, algoOrder.place, userDataStream.start; no subscriptions."""

    async def call(socket, method, **params: Any):
        params |= {"apiKey": KEYS["alice"], "timestamp": time.time_ns() // 1_000_000}
        text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        params["signature"] = hmac.new(SECRETS["alice"].encode(), text.encode(), hashlib.sha256).hexdigest()
        await socket.send(json.dumps({"id": "x", "method": method, "params": params}))
        return (await receive(socket, 1))[0]

    async with websockets.connect(running.futures_ws_api_url) as socket:
        placed = await call(socket, "order.place", **market("BUY", "0.01", newOrderRespType="RESULT"))
        assert placed["result"]["status"] == "FILLED"
        assert placed["rateLimits"][0]["limit"] == 300
        which = {"symbol": "BTCUSDT", "orderId": placed["result"]["orderId"]}
        assert (await call(socket, "order.status", **which))["result"]["avgPrice"]
        assert (await call(socket, "order.cancel", **which))["error"]["code"] == -2011
        algo = await call(socket, "algoOrder.place", **stop("SELL", "0.01", "60000"))
        assert algo["result"]["algoStatus"] == "NEW"
        positions = await call(socket, "v2/account.position")
        assert positions["result"][0]["positionAmt"] == "0.010"
        refused = await call(socket, "userDataStream.subscribe.signature")
        assert refused["error"]["code"] == -1000
        await socket.send(
            json.dumps({"id": 1, "method": "userDataStream.start", "params": {"apiKey": KEYS["alice"]}})
        )
        assert len((await receive(socket, 1))[0]["result"]["listenKey"]) == 64


async def test_the_admin_api_reaches_the_futures_market(running):
    """Prices, funding, deleveraging, the ledger, connections."""
    key = (await listen_key(running)).json()["listenKey"]
    async with websockets.connect(f"{running.futures_stream_url}/private/ws/{key}") as socket:
        await buy(running)
        await receive(socket, 4)
        streams = await administer(running, "GET", "/streams")
        assert streams == [{"kind": "futures-private", "accounts": ["alice"], "silent": False}]
        await administer(running, "POST", "/futures/funding", symbol="BTCUSDT", rate="0.001")
        assert (await receive(socket, 1))[0]["a"]["m"] == "FUNDING_FEE"
        await administer(running, "POST", "/futures/adl", account="alice", symbol="BTCUSDT")
        assert (await receive(socket, 3))[-1]["o"]["c"] == "adl_autoclose"
        await administer(
            running, "POST", "/balances", account="alice", asset="USDT", delta="5", market="futures"
        )
        assert (await receive(socket, 1))[0]["a"]["m"] == "DEPOSIT"
        moved = await administer(running, "POST", "/price", symbol="BTCUSDT", price="65000", market="futures")
        assert moved == {"symbol": "BTCUSDT", "mark": "65000.00000000"}
        assert running.exchange.markets["BTCUSDT"].path.price == 70_000
        ledger = await administer(running, "GET", "/ledger?market=futures&account=alice")
        assert [entry["order"]["status"] for entry in ledger["orders"]] == ["FILLED", "FILLED"]
        contract = await administer(
            running, "POST", "/futures/contracts", symbol="BTCUSDT", status="SETTLING"
        )
        assert contract["status"] == "SETTLING"
        closed = await ask(running, "POST", "/fapi/v1/order", **market("BUY", "0.01"))
        assert closed.json() == {"code": -4141, "msg": "Symbol is closed"}
        fault = {"action": "event_lose", "event": r"ORDER_TRADE_UPDATE\..*"}
        await administer(running, "POST", "/faults", **fault)
        await administer(running, "POST", "/futures/contracts", symbol="BTCUSDT", status="TRADING")
        await buy(running)
        assert [e["e"] for e in await receive(socket, 2)] == ["TRADE_LITE", "ACCOUNT_UPDATE"]
        await silent(socket)
        assert await administer(running, "POST", "/streams/disconnect", kind="futures-private") == {
            "closed": 1
        }
