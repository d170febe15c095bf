"""How a local exchange is set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_ACCOUNTS: tuple[dict[str, Any], ...] = (
    {
        "name": "alice",
        "api_key": "local-exchange-alice-key-not-a-secret",
        "secret": "local-exchange-alice-secret-not-a-secret",
        "balances": {"USDT": "100000", "BTC": "1", "ETH": "10", "BNB": "10"},
        "futures_balances": {"USDT": "100000", "BNB": "10"},
    },
    {
        "name": "bob",
        "api_key": "local-exchange-bob-key-not-a-secret",
        "secret": "local-exchange-bob-secret-not-a-secret",
        "balances": {"USDT": "100000", "BTC": "1", "ETH": "10", "BNB": "10"},
        "futures_balances": {"USDT": "100000", "BNB": "10"},
    },
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that may differ between two local exchanges.

    Args:
        host: address to bind.
        port: port of REST, WebSocket API and streams; 0 takes a free one.
        futures_port: port of the futures market; 0 takes a free one.
        admin_port: port of the admin API; 0 takes a free one.
        seed: seeds prices, crowd and invented ids.
        accounts: account descriptions, see `Accounts.add`.
        port_file: where the bound ports are written as JSON, if anywhere.
        step_ms: milliseconds between two steps of the price path; 0 stands still.
        volatility: largest price move per step, in millionths of the price.
        levels: price levels the crowd keeps per side.
        engine_delay_ms: time a request spends inside the engine after its last time check.
        query_lag_ms: how long a new order stays invisible to `GET /api/v3/order`.
        list_lag_ms: the same for openOrders, allOrders and myTrades; None takes query_lag_ms.
        rate_limit_scale: all limits are multiplied by this.
        ping_s: seconds between server pings on a WebSocket.
        pong_s: seconds after which a missing pong closes the connection.
        futures_ping_s: float = 180.0
    futures_pong_s: float = 600.0
    connection_life_s: life of a WebSocket connection.
        futures_ping_s, futures_pong_s: the same for futures streams.
        keep_alive_s: seconds after which an idle REST connection is closed.
        engine_timeout_ms: after this time in the engine the answer is -1007, execution goes on.

    """

    host: str = "127.0.0.1"
    port: int = 0
    futures_port: int = 0
    admin_port: int = 0
    seed: int = 7
    accounts: tuple[dict[str, Any], ...] = field(default=DEFAULT_ACCOUNTS)
    port_file: Path | None = None
    step_ms: int = 250
    volatility: int = 200
    levels: int = 20
    engine_delay_ms: int = 0
    query_lag_ms: int = 0
    list_lag_ms: int | None = None
    rate_limit_scale: int = 1
    ping_s: float = 20.0
    pong_s: float = 60.0
    futures_ping_s: float = 180.0
    futures_pong_s: float = 600.0
    connection_life_s: float = 24 * 3600.0
    keep_alive_s: float = 75.0
    engine_timeout_ms: int = 10_000
