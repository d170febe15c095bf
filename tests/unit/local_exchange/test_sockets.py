"""The exchange behind real sockets: REST, WebSocket API, market streams, admin API, the process itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.local_exchange.server import running_exchange
from services.local_exchange.settings import Settings
from tests.unit.local_exchange.desk import KEYS, SECRETS, market


@asynccontextmanager
async def open_exchange(**settings):
    async with running_exchange(Settings(**settings)) as running:
        yield running


@pytest.fixture
async def running():
    async with open_exchange(step_ms=50) as running:
        yield running


def signature(account, text):
    return hmac.new(SECRETS[account].encode(), text.encode(), hashlib.sha256).hexdigest()


async def ask(running, method, path, account="alice", client=None, **params):
    """Send one signed request over HTTP."""
    params.setdefault("timestamp", time.time_ns() // 1_000_000)
    query = urlencode(params)
    url = f"{running.rest_url}{path}?{query}&signature={signature(account, query)}"
    headers = {"X-MBX-APIKEY": KEYS[account]}
    if client is not None:
        return await client.request(method, url, headers=headers)
    async with httpx.AsyncClient() as own:
        return await own.request(method, url, headers=headers)


def ws_params(account="alice", **params):
    params |= {"apiKey": KEYS[account], "timestamp": time.time_ns() // 1_000_000}
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    return params | {"signature": signature(account, text)}


async def call(socket, method, params=None, number=1):
    """One request over the WebSocket API; events that come before the answer are returned beside it."""
    await socket.send(json.dumps({"id": number, "method": method, "params": params or {}}))
    events: list[dict[str, Any]] = []
    while True:
        frame = json.loads(await socket.recv())
        if "event" not in frame:
            return frame, events
        events.append(frame)


async def administer(running, method, path, **body):
    async with httpx.AsyncClient(base_url=running.admin_url) as client:
        answer = await client.request(method, path, json=body or None)
    answer.raise_for_status()
    return answer.json()


async def test_an_order_travels_from_rest_to_the_user_stream(running):
    """Subscribe by signature, place by REST, read NEW, TRADE and position in the wrapper."""
    async with websockets.connect(running.ws_api_url) as socket:
        answer, _ = await call(socket, "userDataStream.subscribe.signature", ws_params())
        assert answer["result"] == {"subscriptionId": 0}
        assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
        placed = await ask(running, "POST", "/api/v3/order", **market("BUY", quoteOrderQty="350"))
        assert placed.status_code == 200
        events = [json.loads(await socket.recv()) for _ in range(3)]
        assert {event["subscriptionId"] for event in events} == {0}
        assert [e["event"].get("x", e["event"]["e"]) for e in events] == [
            "NEW",
            "TRADE",
            "outboundAccountPosition",
        ]


async def test_many_accounts_share_a_connection_and_one_account_subscribes_once(running):
    """Ids count up and are never used again; -2035 for the second subscription of an account."""
    async with websockets.connect(running.ws_api_url) as socket:
        first, _ = await call(socket, "userDataStream.subscribe.signature", ws_params("alice"))
        second, _ = await call(socket, "userDataStream.subscribe.signature", ws_params("bob"))
        assert [a["result"]["subscriptionId"] for a in (first, second)] == [0, 1]
        again, _ = await call(socket, "userDataStream.subscribe.signature", ws_params("alice"))
        assert (again["status"], again["error"]["code"]) == (400, -2035)
        shown, _ = await call(socket, "session.subscriptions")
        assert shown["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
        ended, events = await call(socket, "userDataStream.unsubscribe", {"subscriptionId": 0})
        assert ended["result"] == {}
        assert events[0]["event"]["e"] == "eventStreamTerminated"
        anew, _ = await call(socket, "userDataStream.subscribe.signature", ws_params("alice"))
        assert anew["result"] == {"subscriptionId": 2}


async def test_a_connection_uses_up_its_subscription_ids(running):
    """-2042 after 65,535 ids over a connection's life."""
    async with websockets.connect(running.ws_api_url) as socket:
        await call(socket, "ping")
        (connected,) = (await administer(running, "GET", "/streams"),)
        assert connected[0]["kind"] == "ws-api"
        running.exchange.user_streams.listeners.clear()
        peer = next(iter(running.sockets.peers))
        peer.next_subscription = 65_535
        answer, _ = await call(socket, "userDataStream.subscribe.signature", ws_params())
        assert answer["error"]["code"] == -2042


async def test_the_websocket_api_trades_like_rest(running):
    """order.place, order.status, order.cancel; order counts among the rate limits of a placement."""
    async with websockets.connect(running.ws_api_url) as socket:
        order = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.01",
            "price": "60000",
            "newClientOrderId": "over-ws",
        }
        placed, _ = await call(socket, "order.place", ws_params(**order))
        assert placed["result"]["status"] == "NEW"
        assert [entry["rateLimitType"] for entry in placed["rateLimits"]] == [
            "ORDERS",
            "ORDERS",
            "REQUEST_WEIGHT",
        ]
        which = {"symbol": "BTCUSDT", "origClientOrderId": "over-ws"}
        status, _ = await call(socket, "v3/order.status", ws_params(**which))
        assert status["result"]["isWorking"] is True
        cancelled, _ = await call(socket, "order.cancel", ws_params(**which))
        assert cancelled["result"]["status"] == "CANCELED"
        wrong = ws_params(**which) | {"signature": "00"}
        refused, _ = await call(socket, "order.status", wrong)
        assert (refused["status"], refused["error"]["code"]) == (400, -1022)


async def test_frames_that_are_no_requests_are_answered(running):
    """Bad JSON -1135, an unknown method -1000; the connection stays open."""
    async with websockets.connect(running.ws_api_url) as socket:
        await socket.send("{")
        assert json.loads(await socket.recv())["error"]["code"] == -1135
        answer, _ = await call(socket, "order.dance")
        assert answer["error"]["code"] == -1000
        answer, _ = await call(socket, "time", {"returnRateLimits": False})
        assert "rateLimits" not in answer
        assert (await call(socket, "session.logon", ws_params()))[0]["error"]["code"] == -1099


async def test_an_ed25519_key_logs_on_and_trades_without_signatures(running):
    """session.logon, subscribe, place unsigned, status, logout; a revoked key ends the session."""
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    await administer(
        running,
        "POST",
        "/accounts",
        name="eddie",
        api_key="eddie-key",
        public_key=pem,
        balances={"USDT": "1000"},
    )
    params = {"apiKey": "eddie-key", "timestamp": time.time_ns() // 1_000_000}
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    params["signature"] = base64.b64encode(private.sign(text.encode())).decode()
    async with websockets.connect(running.ws_api_url) as socket:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quoteOrderQty": "100"}
        early, _ = await call(socket, "order.place", order)
        assert (early["status"], early["error"]["code"]) == (401, -2014)
        logged_on, _ = await call(socket, "session.logon", params)
        assert logged_on["result"]["apiKey"] == "eddie-key"
        assert (await call(socket, "userDataStream.subscribe"))[0]["result"] == {"subscriptionId": 0}
        assert (await call(socket, "session.status"))[0]["result"]["userDataStream"] is True
        placed, events = await call(socket, "order.place", order)
        assert placed["result"]["status"] == "FILLED"
        assert len(events) == 3
        out, events = await call(socket, "session.logout")
        assert out["result"]["apiKey"] is None
        assert events[0]["event"]["e"] == "eventStreamTerminated"
        await call(socket, "session.logon", params)
        await administer(running, "POST", "/accounts/eddie", key_revoked=True)
        await socket.send('{"id":5,"method":"order.place","params":{}}')
        assert json.loads(await socket.recv()) == {
            "id": None,
            "status": 401,
            "error": {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."},
        }


async def test_rate_limits_can_be_left_out_by_url(running):
    """?returnRateLimits=false; ?timeUnit=MICROSECOND."""
    url = f"{running.ws_api_url}?returnRateLimits=false&timeUnit=MICROSECOND"
    async with websockets.connect(url) as socket:
        answer, _ = await call(socket, "time")
        assert "rateLimits" not in answer
        assert answer["result"]["serverTime"] > 10**15


async def test_market_streams_raw_and_combined(running):
    """/ws/<stream> sends the bare message, /stream?streams= wraps it; SUBSCRIBE adds."""
    async with websockets.connect(f"{running.stream_url}/ws/btcusdt@bookTicker") as socket:
        assert set(json.loads(await socket.recv())) == {"u", "s", "b", "B", "a", "A"}
    async with websockets.connect(f"{running.stream_url}/stream?streams=ethusdt@miniTicker") as socket:
        frame = json.loads(await socket.recv())
        assert (frame["stream"], frame["data"]["e"]) == ("ethusdt@miniTicker", "24hrMiniTicker")
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@kline_1m"], "id": 7}))
        seen: set[str] = set()
        while seen != {"answer", "kline"}:
            frame = json.loads(await socket.recv())
            if frame.get("id") == 7:
                assert frame == {"result": None, "id": 7}
                seen.add("answer")
            elif frame["stream"] == "ethusdt@kline_1m":
                assert frame["data"]["k"]["i"] == "1m"
                seen.add("kline")


async def test_six_messages_in_a_second_end_a_market_stream(running):
    """At most five."""
    async with websockets.connect(f"{running.stream_url}/ws/btcusdt@none") as socket:
        for number in range(15):  # more than two seconds' worth, should a second end in between
            await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        await asyncio.wait_for(socket.wait_closed(), 10)
        assert socket.close_code == 1008


async def test_a_banned_address_loses_its_websocket_api_connection(running):
    """The answer says until when; then the connection is closed."""
    async with websockets.connect(running.ws_api_url) as socket:
        running.exchange.spot.limits.ban("127.0.0.1", running.exchange.clock.now_ms() + 60_000)
        answer, _ = await call(socket, "ping")
        assert (answer["status"], answer["error"]["code"]) == (418, -1003)
        assert answer["error"]["data"]["retryAfter"] > answer["error"]["data"]["serverTime"]
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 5)


async def test_the_server_pings_and_drops_who_does_not_answer():
    """A client that never answers a ping is closed after the deadline, one that does stays."""
    async with open_exchange(ping_s=0.05, pong_s=0.2) as running:
        async with websockets.connect(running.ws_api_url) as socket:
            await asyncio.sleep(0.5)
            assert (await call(socket, "ping"))[0]["status"] == 200
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(
            b"GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        received = await asyncio.wait_for(reader.read(), 5)
        assert b"101 Switching Protocols" in received
        assert b"Pong timeout" in received
        writer.close()


async def test_a_connection_ends_when_its_life_is_over():
    """24 hours on the real exchange."""
    async with (
        open_exchange(connection_life_s=0.1) as running,
        websockets.connect(running.ws_api_url) as socket,
    ):
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 5)


async def test_a_shutdown_is_announced_on_both_kinds_of_connection(running):
    """serverShutdown without subscriptionId on the API, as a stream of its own on combined streams."""
    async with (
        websockets.connect(running.ws_api_url) as api,
        websockets.connect(f"{running.stream_url}/stream?streams=none@none") as stream,
    ):
        await call(api, "ping")
        await stream.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        await stream.recv()
        assert await administer(running, "POST", "/streams/shutdown", close_after_ms=20) == {"told": 2}
        frame = json.loads(await api.recv())
        assert set(frame) == {"event"}
        assert frame["event"]["e"] == "serverShutdown"
        assert json.loads(await stream.recv())["stream"] == "!serverShutdown"
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(api.recv(), 5)


async def test_sockets_can_be_silenced_and_cut(running):
    """A silent socket stays open and says nothing; a cut one dies without a close frame."""
    async with websockets.connect(running.ws_api_url) as socket:
        await call(socket, "userDataStream.subscribe.signature", ws_params())
        assert await administer(running, "POST", "/streams/silence", account="alice") == {"changed": 1}
        await ask(running, "POST", "/api/v3/order", **market("BUY", quoteOrderQty="350"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.2)
        assert await administer(running, "POST", "/streams/disconnect", account="bob") == {"closed": 0}
        assert await administer(running, "POST", "/streams/disconnect", account="alice") == {"closed": 1}
        with pytest.raises(websockets.ConnectionClosedError) as cut:
            await socket.recv()
        assert cut.value.rcvd is None


async def test_answers_can_be_dropped_truncated_or_never_come(running):
    """What the client sees; the order is there each time the fault comes after execution."""
    order = market("BUY", quoteOrderQty="350")
    await administer(running, "POST", "/faults", action="drop_after", client_id="drop", count=1)
    await administer(running, "POST", "/faults", action="truncate", client_id="cut", bytes=10)
    await administer(running, "POST", "/faults", action="never_after", client_id="never")
    await administer(
        running,
        "POST",
        "/faults",
        action="answer_before",
        client_id="html",
        status=403,
        body="<html>no</html>",
    )
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(running, "POST", "/api/v3/order", **order, newClientOrderId="drop")
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(running, "POST", "/api/v3/order", **order, newClientOrderId="cut")
    async with httpx.AsyncClient(timeout=0.3) as client:
        with pytest.raises(httpx.ReadTimeout):
            await ask(running, "POST", "/api/v3/order", client=client, **order, newClientOrderId="never")
    html = await ask(running, "POST", "/api/v3/order", **order, newClientOrderId="html")
    assert (html.status_code, html.text) == (403, "<html>no</html>")
    ledger = await administer(running, "GET", "/ledger?account=alice")
    assert [entry["order"]["clientOrderId"] for entry in ledger["orders"]] == ["drop", "cut", "never"]
    requests = await administer(running, "GET", "/requests?method=POST&client_id_prefix=cut")
    assert requests[0]["result"] == "200 (truncate)"
    assert requests[0]["answered_ns"] >= requests[0]["arrived_ns"]


async def test_a_held_request_does_not_stop_others(running):
    """Holding is per request; requests on other connections pass."""
    await administer(running, "POST", "/faults", action="hold", ms=1500, client_id="slow")
    order = market("BUY", quoteOrderQty="350")
    slow = asyncio.create_task(ask(running, "POST", "/api/v3/order", **order, newClientOrderId="slow"))
    while not running.exchange.ledger.requests:
        await asyncio.sleep(0.005)
    quick = await ask(running, "POST", "/api/v3/order", **order, newClientOrderId="quick")
    assert quick.status_code == (await slow).status_code == 200
    assert quick.json()["orderId"] < (await slow).json()["orderId"]


async def test_requests_on_one_connection_are_answered_in_order(running):
    """Two requests in one packet, the first held: both answers come, in sequence."""
    await administer(running, "POST", "/faults", action="delay_arrival", ms=100, route="/api/v3/time")
    reader, writer = await asyncio.open_connection(running.host, running.port)
    writer.write(
        b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    received = await asyncio.wait_for(reader.read(), 5)
    assert received.index(b"serverTime") < received.rindex(b"{}")
    writer.close()


async def test_garbage_is_a_bad_request_and_idle_connections_are_closed():
    """400 for what is no HTTP; the keep-alive limit closes a quiet connection."""
    async with open_exchange(keep_alive_s=0.1) as running:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(b"what is this\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400")
        writer.close()
        reader, writer = await asyncio.open_connection(running.host, running.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_the_admin_api_changes_the_world(running):
    """Accounts, balances, prices, thin books, the clock, bans."""
    added = await administer(
        running, "POST", "/accounts", name="carol", api_key="carol-key", secret="s", balances={"USDT": "500"}
    )
    assert added[0]["name"] == "carol"
    await administer(running, "POST", "/balances", account="carol", asset="USDT", delta="-100")
    carol = running.exchange.accounts.by_name["carol"]
    assert carol.balance("USDT").free == 400
    moved = await administer(running, "POST", "/price", symbol="BTCUSDT", price="50000", volatility=0)
    assert moved["price"] == "50000.00000000"
    await administer(running, "POST", "/crowd", symbol="BTCUSDT", levels=0)
    book = running.exchange.markets["BTCUSDT"].book
    assert book.bids.best() is None
    clock = await administer(running, "POST", "/clock", skew_ms=60_000)
    assert clock["serverTime"] - time.time_ns() // 1_000_000 > 50_000
    await administer(running, "POST", "/clock", skew_ms=0)
    await administer(running, "POST", "/ban", ms=60_000)
    async with httpx.AsyncClient() as client:
        banned = await client.get(f"{running.rest_url}/api/v3/ping")
    assert banned.status_code == 418
    assert int(banned.headers["retry-after"]) in {59, 60}
    await administer(running, "DELETE", "/ban")
    async with httpx.AsyncClient(base_url=running.admin_url) as client:
        wrong = await client.post("/price", json={"symbol": "NOPE"})
        assert (wrong.status_code, "NOPE" in wrong.json()["error"]) == (400, True)


@pytest.mark.parametrize("market_url", ["ws_api_url", "futures_ws_api_url"])
async def test_a_ban_cuts_the_websocket_api_of_both_markets(running, market_url):
    """Open sockets end at once; whoever connects again is sent away until the ban is lifted."""
    url = getattr(running, market_url)

    async def ping(socket):
        await socket.send(json.dumps({"id": 1, "method": "ping"}))
        return json.loads(await asyncio.wait_for(socket.recv(), 30))["status"]

    async with websockets.connect(url) as socket:
        assert await ping(socket) == 200
        await administer(running, "POST", "/ban", ms=60_000)
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 30)
    async with websockets.connect(url) as socket:
        with pytest.raises(websockets.ConnectionClosed, match=r"1008.*IP banned until"):
            await ping(socket)
    await administer(running, "DELETE", "/ban")
    async with websockets.connect(url) as socket:
        assert await ping(socket) == 200


async def test_the_process_writes_its_ports_and_ends_on_sigterm(tmp_path):
    """The port file appears whole; the banner names the addresses; SIGTERM ends it with 0."""
    ports = tmp_path / "ports.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.local_exchange",
        "--port-file",
        str(ports),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b"Local Binance exchange" in await process.stdout.readline()
    written = json.loads(ports.read_text(encoding="utf-8"))
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{written['rest_url']}/api/v3/ping")).json() == {}
    async with websockets.connect(written["ws_api_url"]):
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0
