"""Whether an account can trade: its key, the clock, its limits, on both markets. It only asks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from services.command_line.findings import failed, ok, warning
from shared.binance.clock_offset import Clock
from shared.binance.futures import FuturesRest
from shared.binance.rest import Answer
from shared.binance.spot import SpotRest
from shared.binance.transport import BinanceTransport
from shared.domain.order import Market
from shared.settings import ExchangeSettings, ProtocolSettings, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.command_line.findings import Finding
    from shared.binance.rest import Result
    from shared.binance.sign import Credentials

NEARLY_USED = 0.8
WITHIN_S = 5.0
KEY_REFUSED = {
    -2014: "the API key is no key",
    -2015: "the key is unknown, or not allowed to do this, or not from this address",
    -1022: "the secret does not belong to the key",
}
SKEW_NOTICED_MS = 1000


async def check_account(credentials: Credentials, *, testnet: bool) -> list[Finding]:
    """Ask both markets with one key."""
    settings, recv_window_ms = load(ExchangeSettings), load(ProtocolSettings).recv_window_ms
    found: list[Finding] = []
    async with BinanceTransport() as transport:
        for market in Market:
            clock = Clock()
            url = settings.endpoints(market, testnet=testnet).rest
            rest: SpotRest | FuturesRest
            if market is Market.SPOT:
                rest = SpotRest(transport, url, clock, recv_window_ms)
            else:
                rest = FuturesRest(transport, url, clock, recv_window_ms)
            answered = await rest.server_time()
            if not clock.known:
                found.append(_unreachable(market, url, answered, testnet=testnet))
                continue
            if market is Market.SPOT:
                found.append(_clock(clock, recv_window_ms))
            found += _account(market, await rest.account(credentials))
            if isinstance(rest, SpotRest):
                found += _limits(answered, await rest.rate_limit_order(credentials))
    return found


def _unreachable(market: Market, url: str, answer: Result, *, testnet: bool) -> Finding:
    if isinstance(answer, Answer):
        why = f"answered HTTP {answer.status}"
    else:
        why = f"does not answer: {answer.detail}"
    advice = f"check the network and {_variable(market, 'REST', testnet=testnet)}"
    if market is Market.FUTURES:
        return warning(market, f"{url} {why}", advice + "; spot orders do not need it")
    return failed(market, f"{url} {why}", advice)


def _variable(market: Market, kind: str, *, testnet: bool) -> str:
    return f"BRIDGE_{market.value.upper()}_{'TESTNET' if testnet else 'LIVE'}_{kind}_URL"


def _clock(clock: Clock, recv_window_ms: int) -> Finding:
    error_ms = clock.error_ms() or 0.0
    skew_ms = time.time() * 1000 - clock.exchange_now_ms()
    says = f"known to {error_ms:.0f} ms; this machine's is {skew_ms:+.0f} ms off"
    if not clock.trusted(recv_window_ms):
        return failed("clock", says, f"nothing is sent beyond {recv_window_ms // 4} ms: check the network")
    if abs(skew_ms) > SKEW_NOTICED_MS:
        return warning("clock", says, "harmless for orders, which use the exchange's time; logs lie: run NTP")
    return ok("clock", says)


def _account(market: Market, answer: Result) -> Iterator[Finding]:
    if not isinstance(answer, Answer):
        yield failed(market, f"the account was not told: {answer.detail}", "try again")
        return
    if not answer.ok or not isinstance(answer.body, dict):
        yield _refused(market, answer)
        return
    body = answer.body
    uid = f", uid {body['uid']}" if "uid" in body else ""
    permissions = ", ".join(str(one) for one in body.get("permissions", ()))
    says = f"the key works{uid}{f', permissions {permissions}' if permissions else ''}"
    # Futures says it too, where it says it at all (Futures docs, "Account Information").
    if body.get("canTrade") is False:
        yield failed(market, f"{says}; but it may not trade", "allow trading for it on the exchange's page")
    else:
        yield ok(market, says)


def _refused(market: Market, answer: Answer) -> Finding:
    why = KEY_REFUSED.get(answer.code or 0)
    says = f"HTTP {answer.status}" + (f", {answer.code}: {answer.message}" if answer.code else "")
    if why is None:
        return failed(market, f"the account was not told: {says}", "try again")
    if market is Market.FUTURES:
        return warning(
            market,
            f"{why} ({says})",
            "spot orders do not need it, but the bot switches such an account off: give the key futures "
            "permission, or set WEBSOCKET_ENABLED=false for the bot",
        )
    return failed(market, f"{why} ({says})", "enter key and secret again: bridge accounts add")


def _limits(time_answer: Result, answer: Result) -> Iterator[Finding]:
    if isinstance(time_answer, Answer):
        used = time_answer.headers.get("x-mbx-used-weight-1m", "")
        if used:
            yield ok("request weight", f"{used} used by this address in this minute")
    if not isinstance(answer, Answer) or not answer.ok or not isinstance(answer.body, list):
        return
    for limit in answer.body:
        if not isinstance(limit, dict):
            continue
        count, most = limit.get("count"), limit.get("limit")
        if not isinstance(count, int) or not isinstance(most, int) or not most:
            continue
        number, unit = limit.get("intervalNum"), str(limit.get("interval")).lower()
        says = f"{count} of {most} in {number} {unit}{'' if number == 1 else 's'}"
        if count >= NEARLY_USED * most:
            yield warning("order limit", says, "orders wait until the exchange takes more")
        else:
            yield ok("order limit", says)


async def check_stream(settings: ExchangeSettings, *, testnet: bool) -> Finding:
    """Look whether the WebSocket API, which carries the fills, answers."""
    url = settings.endpoints(Market.SPOT, testnet=testnet).ws_api
    try:
        async with connect(url, open_timeout=WITHIN_S, close_timeout=1) as socket:
            await socket.send('{"id": "doctor", "method": "ping"}')
            await asyncio.wait_for(socket.recv(), WITHIN_S)
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed) as error:
        why = f"{url} does not answer: {type(error).__name__}"
        return failed(
            "stream",
            why,
            f"no fill arrives: check the network and {_variable(Market.SPOT, 'WS_API', testnet=testnet)}",
        )
    return ok("stream", f"{url} answers")
