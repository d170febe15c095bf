"""The admin API on its own port: faults, ledger, accounts, prices, clock. JSON in, JSON out."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from services.local_exchange.websocket_api import ApiPeer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.sockets import Sockets


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def _read(request: web.Request) -> dict[str, Any]:
    text = await request.read()
    if not text:
        return {}
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as broken:
        raise ValueError(f"The body is not JSON: {broken}.") from broken
    if not isinstance(body, dict):
        raise TypeError("The body must be a JSON object.")
    return body


@web.middleware
async def explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn a bad admin request into a sentence."""
    try:
        return await handler(request)
    except KeyError as absent:
        return _json({"error": f"{absent} is missing or unknown."}, 400)
    except (ValueError, TypeError, InvalidOperation) as wrong:
        return _json({"error": str(wrong)}, 400)


class Admin:
    """Handlers of the admin API.

    Args:
        exchange: what is administered.
        sockets: the open WebSocket connections.

    """

    def __init__(self, exchange: Exchange, sockets: Sockets) -> None:
        self.exchange = exchange
        self.sockets = sockets

    def application(self) -> web.Application:
        """Return the admin API as an aiohttp application."""
        app = web.Application(middlewares=[explain], client_max_size=64 * 2**20)
        app.add_routes(
            [
                web.get("/faults", self.list_faults),
                web.post("/faults", self.add_fault),
                web.delete("/faults", self.clear_faults),
                web.delete("/faults/{id}", self.remove_fault),
                web.get("/ledger", self.ledger),
                web.get("/requests", self.requests),
                web.get("/accounts", self.accounts),
                web.post("/accounts", self.add_accounts),
                web.post("/accounts/{name}", self.change_account),
                web.post("/balances", self.change_balance),
                web.post("/price", self.price),
                web.post("/symbols", self.symbols),
                web.post("/exchange_filters", self.exchange_filters),
                web.post("/crowd", self.crowd),
                web.post("/clock", self.clock),
                web.get("/clock", self.read_clock),
                web.post("/ban", self.ban),
                web.delete("/ban", self.lift_bans),
                web.post("/maintenance", self.maintenance),
                web.post("/wipe", self.wipe),
                web.get("/streams", self.streams),
                web.post("/streams/disconnect", self.disconnect),
                web.post("/streams/silence", self.silence),
                web.post("/streams/shutdown", self.shutdown_notice),
                web.post("/rest/disconnect", self.disconnect_rest),
            ]
        )
        return app

    async def list_faults(self, request: web.Request) -> web.Response:
        """GET /faults: the rules, how often each applied."""
        return _json(self.exchange.faults.shown())

    async def add_fault(self, request: web.Request) -> web.Response:
        """POST /faults: add a rule."""
        rule = self.exchange.faults.add(await _read(request))
        return _json({"id": rule.id})

    async def clear_faults(self, request: web.Request) -> web.Response:
        """DELETE /faults: all rules away."""
        self.exchange.faults.clear()
        return _json({})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """DELETE /faults/ID: one rule away."""
        found = self.exchange.faults.remove(int(request.match_info["id"]))
        return _json({}, 200 if found else 404)

    async def ledger(self, request: web.Request) -> web.Response:
        """GET /ledger?account=&client_id_prefix=&symbol=: orders, trades, events."""
        query = request.query
        return _json(
            self.exchange.ledger.shown(
                self.exchange.markets,
                query.get("account"),
                query.get("client_id_prefix", ""),
                query.get("symbol"),
            )
        )

    async def requests(self, request: web.Request) -> web.Response:
        """GET /requests?account=&path=&method=&client_id_prefix=: what came in and what became of it."""
        query = request.query
        prefix = query.get("client_id_prefix", "")
        shown = [
            entry
            for record in self.exchange.ledger.requests
            if query.get("account") in {None, record.account}
            and query.get("path") in {None, record.path}
            and query.get("method") in {None, record.method}
            and (entry := record.shown())["client_order_id"].startswith(prefix)
        ]
        return _json(shown)

    async def accounts(self, request: web.Request) -> web.Response:
        """GET /accounts: names, uids, balances; no secrets."""
        return _json(
            [
                {
                    "name": account.name,
                    "uid": account.uid,
                    "balances": {
                        asset: {"free": f"{b.free:.8f}", "locked": f"{b.locked:.8f}"}
                        for asset, b in account.balances.items()
                    },
                    "open_orders": len(account.open_orders),
                }
                for account in self.exchange.accounts.by_name.values()
            ]
        )

    async def add_accounts(self, request: web.Request) -> web.Response:
        """POST /accounts: one description, or {"accounts": [...]}."""
        body = await _read(request)
        added = [self.exchange.accounts.add(one) for one in body.get("accounts", [body])]
        return _json([{"name": account.name, "uid": account.uid} for account in added])

    async def change_account(self, request: web.Request) -> web.Response:
        """POST /accounts/NAME: key_revoked, can_trade, bnb_discount, maker_rate, taker_rate, max_asset."""
        account = self.exchange.accounts.by_name[request.match_info["name"]]
        body = await _read(request)
        for flag in ("key_revoked", "can_trade", "bnb_discount"):
            if flag in body:
                setattr(account, flag, bool(body[flag]))
        for asset, limit in body.get("max_asset", {}).items():
            account.max_asset[asset] = Decimal(str(limit))
        for rate in ("maker_rate", "taker_rate"):
            if rate in body:
                setattr(account, rate, Decimal(str(body[rate])))
        return _json({})

    async def change_balance(self, request: web.Request) -> web.Response:
        """POST /balances {"account","asset","delta"}: a deposit or withdrawal, with its events."""
        body = await _read(request)
        account = self.exchange.accounts.by_name[body["account"]]
        self.exchange.deposit(account, str(body["asset"]), Decimal(str(body["delta"])))
        return _json({})

    async def price(self, request: web.Request) -> web.Response:
        """POST /price {"symbol","price","volatility"?}: move a price at once."""
        body = await _read(request)
        market = self.exchange.markets[body["symbol"]]
        if "volatility" in body:
            market.path.volatility = int(body["volatility"])
        if "price" in body:
            self.exchange.move_price(market, Decimal(str(body["price"])))
        return _json({"symbol": market.symbol.name, "price": f"{market.path.price:.8f}"})

    async def symbols(self, request: web.Request) -> web.Response:
        """POST /symbols {"symbol", "status"?, "price_range"?: ["0.99", "1.01"], any filter value}."""
        body = await _read(request)
        symbol = self.exchange.markets[body.pop("symbol")].symbol
        if "status" in body:
            symbol.status = str(body.pop("status"))
        for name in ("price_range", "percent_price"):
            if name in body:
                limits = body.pop(name)
                setattr(symbol, name, None if limits is None else (Decimal(limits[0]), Decimal(limits[1])))
        if "notional_filter" in body:
            symbol.notional_filter = str(body.pop("notional_filter"))
        for name, value in body.items():
            if name not in ADJUSTABLE:
                raise ValueError(f"{name!r} cannot be set; known are {sorted(ADJUSTABLE)}.")
            setattr(symbol, name, int(value) if name.startswith("max_num") else Decimal(str(value)))
        return _json(symbol.information())

    async def exchange_filters(self, request: web.Request) -> web.Response:
        """POST /exchange_filters {"max_num_orders"?, "max_num_algo_orders"?, "max_num_iceberg_orders"?}."""
        for name, value in (await _read(request)).items():
            if name not in {"max_num_orders", "max_num_algo_orders", "max_num_iceberg_orders"}:
                raise ValueError(f"{name!r} is no filter across the exchange.")
            setattr(self.exchange.filters, name, None if value is None else int(value))
        return _json(self.exchange.filters.shown())

    async def crowd(self, request: web.Request) -> web.Response:
        """POST /crowd {"symbol"?, "levels"?, "scale"?}: thin or thick books; levels 0 empties them."""
        body = await _read(request)
        chosen = body.get("symbol")
        for market in self.exchange.markets.values():
            if chosen in {None, market.symbol.name}:
                market.crowd.levels = int(body.get("levels", market.crowd.levels))
                market.crowd.scale = Decimal(str(body.get("scale", market.crowd.scale)))
                self.exchange.engine.refresh(market, self.exchange.clock.now_ms())
        return _json({})

    async def clock(self, request: web.Request) -> web.Response:
        """POST /clock {"skew_ms"}: how far the exchange is ahead of this machine."""
        self.exchange.clock.skew_us = int((await _read(request))["skew_ms"]) * 1000
        return await self.read_clock(request)

    async def read_clock(self, request: web.Request) -> web.Response:
        """GET /clock."""
        clock = self.exchange.clock
        return _json({"skew_ms": clock.skew_us // 1000, "serverTime": clock.now_ms()})

    async def ban(self, request: web.Request) -> web.Response:
        """POST /ban {"ms", "address"?}: answer 418 until then; WebSocket API connections are closed."""
        body = await _read(request)
        now = self.exchange.clock.now_ms()
        self.exchange.spot.limits.ban(str(body.get("address", "127.0.0.1")), now + int(body["ms"]))
        self.sockets.disconnect("ws-api", None, False)
        return _json({})

    async def lift_bans(self, request: web.Request) -> web.Response:
        """DELETE /ban: lift all bans and forget used weight."""
        self.exchange.spot.limits.lift_bans()
        return _json({})

    async def maintenance(self, request: web.Request) -> web.Response:
        """POST /maintenance {"ms", "expire_orders"?}: answer 503 until then."""
        body = await _read(request)
        now = self.exchange.clock.now_ms()
        self.exchange.maintenance_until = now + int(body["ms"])
        expired = 0
        if body.get("expire_orders"):
            for market in self.exchange.markets.values():
                expired += self.exchange.engine.expire_all(market, now)
        return _json({"expired": expired})

    async def wipe(self, request: web.Request) -> web.Response:
        """POST /wipe: orders, trades and ids start again, as on the testnet every month."""
        self.exchange.wipe()
        return _json({})

    async def streams(self, request: web.Request) -> web.Response:
        """GET /streams: open WebSocket connections."""
        return _json(
            [
                {
                    "kind": "ws-api" if isinstance(peer, ApiPeer) else "stream",
                    "accounts": self.sockets.accounts_of(peer),
                    "silent": peer.connection.silent,
                }
                for peer in self.sockets.peers
            ]
        )

    async def disconnect(self, request: web.Request) -> web.Response:
        """POST /streams/disconnect {"kind"?, "account"?, "clean"?}: close sockets."""
        body = await _read(request)
        closed = self.sockets.disconnect(
            body.get("kind"), body.get("account"), bool(body.get("clean", False))
        )
        return _json({"closed": closed})

    async def silence(self, request: web.Request) -> web.Response:
        """POST /streams/silence {"kind"?, "account"?, "silent"?}: sockets stay open and say nothing more."""
        body = await _read(request)
        chosen = self.sockets.chosen(body.get("kind"), body.get("account"))
        for peer in chosen:
            peer.connection.silent = bool(body.get("silent", True))
        return _json({"changed": len(chosen)})

    async def shutdown_notice(self, request: web.Request) -> web.Response:
        """POST /streams/shutdown {"close_after_ms"?}: serverShutdown to all, then close."""
        body = await _read(request)
        told = self.sockets.announce_shutdown(float(body.get("close_after_ms", 0)) / 1000)
        return _json({"told": told})

    async def disconnect_rest(self, request: web.Request) -> web.Response:
        """POST /rest/disconnect: drop every open REST connection."""
        return _json({"closed": self.sockets.drop_rest()})


ADJUSTABLE = frozenset(
    [
        "tick",
        "step",
        "min_qty",
        "max_qty",
        "max_price",
        "market_max_qty",
        "min_notional",
        "max_notional",
        "bid_multiplier_up",
        "bid_multiplier_down",
        "ask_multiplier_up",
        "ask_multiplier_down",
        "max_num_orders",
        "max_num_algo_orders",
        "max_num_iceberg_orders",
        "market_min_qty",
        "market_step",
        "max_position",
    ]
)
