"""`python -m services.local_exchange`: a local Binance in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
from pathlib import Path

import uvloop

from services.local_exchange.server import RunningExchange, running_exchange
from services.local_exchange.settings import DEFAULT_ACCOUNTS, Settings


def settings_from(arguments: list[str]) -> tuple[Settings, bool]:
    """Read the command line.

    Raises:
        SystemExit: a wrong option, or an accounts file that cannot be read.

    """
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m services.local_exchange", description=__doc__)
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument(
        "--port", type=int, default=0, help="REST, WebSocket API and streams; 0 takes a free port"
    )
    parser.add_argument("--futures-port", type=int, default=0)
    parser.add_argument("--admin-port", type=int, default=0)
    parser.add_argument("--port-file", type=Path, help="write the bound ports and URLs here, as JSON")
    parser.add_argument("--json", action="store_true", help="say ports and URLs as one line of JSON")
    parser.add_argument("--accounts", type=Path, help="JSON list of accounts")
    for name in (
        "seed",
        "step_ms",
        "volatility",
        "levels",
        "engine_delay_ms",
        "query_lag_ms",
        "list_lag_ms",
        "rate_limit_scale",
        "engine_timeout_ms",
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(defaults, name))
    for name in ("ping_s", "pong_s", "futures_ping_s", "futures_pong_s", "connection_life_s", "keep_alive_s"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))
    chosen = vars(parser.parse_args(arguments))
    path = chosen.pop("accounts")
    accounts = DEFAULT_ACCOUNTS
    if path is not None:
        try:
            accounts = tuple(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError) as unreadable:
            parser.error(f"--accounts {path}: {unreadable}")
    as_json: bool = chosen.pop("json")
    return Settings(accounts=accounts, **chosen), as_json


def banner(running: RunningExchange, settings: Settings) -> str:
    """Where to point a client."""
    lines = [
        "Local Binance exchange (not the real one; nothing here is worth anything)",
        f"  REST           {running.rest_url}/api/v3",
        f"  WebSocket API  {running.ws_api_url}",
        f"  streams        {running.stream_url}/ws/<stream>   {running.stream_url}/stream?streams=<a>/<b>",
        f"  futures REST   {running.futures_rest_url}/fapi",
        f"  futures WS API {running.futures_ws_api_url}",
        f"  futures streams {running.futures_stream_url}/private, /public, /market",
        f"  admin          {running.admin_url}",
    ]
    if settings.accounts is DEFAULT_ACCOUNTS:
        lines += [
            f"  account {account['name']:6} key {account['api_key']}  secret {account['secret']}"
            for account in DEFAULT_ACCOUNTS
        ]
    return "\n".join(lines)


async def serve(settings: Settings, *, as_json: bool) -> None:
    """Run until SIGTERM or SIGINT."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)  # the ledger only grows; the default spends a sixth of the time on it
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running_exchange(settings) as running:
        said = json.dumps(running.urls()) if as_json else banner(running, settings)
        sys.stdout.write(said + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Entry point."""
    settings, as_json = settings_from(sys.argv[1:])
    uvloop.run(serve(settings, as_json=as_json))


if __name__ == "__main__":
    main()
