"""Where Binance is, by market and environment, and which addresses are refused.

An account of the testnet never reaches a host of real money, and real money is never sent unencrypted. The
addresses are those of Binance's general information pages (spot, spot testnet, USD-M futures and its demo).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from shared.environment import Settings, fields, name_of, variable

if TYPE_CHECKING:
    from shared.domain.order import Market


class Endpoints(NamedTuple):
    """Where one market of one environment is reached; no URL ends with a slash."""

    rest: str
    ws_api: str
    stream: str


_SCHEMES = {"rest": ("https", "http"), "ws_api": ("wss", "ws"), "stream": ("wss", "ws")}
_BINANCE = ("binance.com", "binance.vision", "binance.us", "binancefuture.com")


def _is_binance(host: str) -> bool:
    return any(host == domain or host.endswith("." + domain) for domain in _BINANCE)


def _is_production(host: str) -> bool:
    """Whether a host of Binance trades real money; the others say `testnet`, `demo` or binancefuture."""
    practice = "testnet" in host or "demo" in host or host.endswith("binancefuture.com")
    return _is_binance(host) and not practice


def _url_fault(text: str, kind: str, *, live: bool) -> str | None:
    """Say what is wrong with a URL of the exchange, or None."""
    secure, plain = _SCHEMES[kind]
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return "its host or its port is none"
    if url.scheme not in (secure, plain) or not host:
        return f"it must be {secure}://host"
    if url.username or url.password or url.query or url.fragment:
        return "it must hold nothing but scheme, host, port and path"
    if url.scheme == plain and (live or _is_binance(host)):
        return f"this host is only spoken to over TLS; begin it with {secure}://"
    if not live and _is_production(host):
        return "this is a host of real money; a testnet account must never reach it"
    return None


_KINDS = {"REST": "REST", "WS_API": "WebSocket API", "STREAM": "root of the streams"}


def _endpoint(where: str, kind: str, default: str) -> Any:
    description = f"{where.capitalize().replace('_', ', ')}: {_KINDS[kind]}."
    return variable(f"BRIDGE_{where}_{kind}_URL", description, default)


class ExchangeSettings(Settings):
    """Where Binance is: by default its own addresses; those of the testnet may name the local exchange."""

    spot_testnet_rest: str = _endpoint("SPOT_TESTNET", "REST", "https://testnet.binance.vision")
    spot_testnet_ws_api: str = _endpoint(
        "SPOT_TESTNET", "WS_API", "wss://ws-api.testnet.binance.vision/ws-api/v3"
    )
    spot_testnet_stream: str = _endpoint("SPOT_TESTNET", "STREAM", "wss://stream.testnet.binance.vision")
    futures_testnet_rest: str = _endpoint("FUTURES_TESTNET", "REST", "https://demo-fapi.binance.com")
    futures_testnet_ws_api: str = _endpoint(
        "FUTURES_TESTNET", "WS_API", "wss://testnet.binancefuture.com/ws-fapi/v1"
    )
    futures_testnet_stream: str = _endpoint("FUTURES_TESTNET", "STREAM", "wss://demo-fstream.binance.com")
    spot_live_rest: str = _endpoint("SPOT_LIVE", "REST", "https://api.binance.com")
    spot_live_ws_api: str = _endpoint("SPOT_LIVE", "WS_API", "wss://ws-api.binance.com:443/ws-api/v3")
    spot_live_stream: str = _endpoint("SPOT_LIVE", "STREAM", "wss://stream.binance.com:9443")
    futures_live_rest: str = _endpoint("FUTURES_LIVE", "REST", "https://fapi.binance.com")
    futures_live_ws_api: str = _endpoint("FUTURES_LIVE", "WS_API", "wss://ws-fapi.binance.com/ws-fapi/v1")
    futures_live_stream: str = _endpoint("FUTURES_LIVE", "STREAM", "wss://fstream.binance.com")

    def endpoints(self, market: Market, *, testnet: bool) -> Endpoints:
        """Return where the orders of an account go.

        Args:
            market: of the row.
            testnet: `exchange_accounts.is_testnet`.

        """
        prefix = f"{market.value}_{'testnet' if testnet else 'live'}_"
        return Endpoints(*(getattr(self, prefix + kind).rstrip("/") for kind in Endpoints._fields))

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, field in fields(type(self)):
            _, environment, kind = name.split("_", 2)
            if fault := _url_fault(getattr(self, name), kind, live=environment == "live"):
                raise ValueError(f"{name_of(field)}: {fault} (default {field.default})")
        return self
