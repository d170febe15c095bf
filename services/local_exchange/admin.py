"""The admin API on its own port: faults, ledger, accounts, prices, clock. JSON in, JSON out."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from aiohttp import web

from services.local_exchange.admin_json import as_json, read_object
from services.local_exchange.futures.admin import FuturesAdmin
from services.local_exchange.futures.ledger_view import futures_entries
from services.local_exchange.ledger import spot_entries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from services.local_exchange.exchange import Exchange
    from services.local_exchange.prices import Crowd
    from services.local_exchange.sockets import Sockets


@web.middleware
async def explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn a bad admin request into a sentence."""
    try:
        return await handler(request)
    except KeyError as absent:
        return as_json({"error": f"{absent} is missing or unknown."}, 400)
    except (ValueError, TypeError, InvalidOperation) as wrong:
        return as_json({"error": str(wrong)}, 400)


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
                web.get("/secrets", self.secrets),
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
        app.add_routes(FuturesAdmin(self.exchange).routes())
        return app

    async def list_faults(self, request: web.Request) -> web.Response:
        """GET /faults: the rules, how often each applied."""
        return as_json(self.exchange.faults.shown())

    async def add_fault(self, request: web.Request) -> web.Response:
        """POST /faults: add a rule."""
        rule = self.exchange.faults.add(await read_object(request))
        return as_json({"id": rule.id})

    async def clear_faults(self, request: web.Request) -> web.Response:
        """DELETE /faults: all rules away."""
        self.exchange.faults.clear()
        return as_json({})

    async def remove_fault(self, request: web.Request) -> web.Response:
        """DELETE /faults/ID: one rule away."""
        found = self.exchange.faults.remove(int(request.match_info["id"]))
        return as_json({}, 200 if found else 404)

    async def ledger(self, request: web.Request) -> web.Response:
        """GET /ledger?market=&account=&client_id_prefix=&symbol=: orders, trades, events; spot by default."""
        query = request.query
        account, symbol = query.get("account"), query.get("symbol")
        prefix = query.get("client_id_prefix", "")
        if query.get("market") == "futures":
            futures = self.exchange.futures
            entries = futures_entries(futures, account, prefix, symbol)
            return as_json(futures.ledger.shown(entries, account))
        entries = spot_entries(self.exchange.markets, account, prefix, symbol)
        return as_json(self.exchange.ledger.shown(entries, account))

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
        return as_json(shown)

    async def secrets(self, _request: web.Request) -> web.Response:
        """GET /secrets: signatures seen and listen keys given out, for whoever looks where else they went."""
        signatures = {record.signature for record in self.exchange.ledger.requests}
        listen_keys = list(self.exchange.futures.listen_keys.owners)
        return as_json({"signatures": sorted(signatures - {""}), "listen_keys": listen_keys})

    async def accounts(self, request: web.Request) -> web.Response:
        """GET /accounts: names, uids, balances; no secrets."""
        return as_json(
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
        body = await read_object(request)
        added = [self.exchange.accounts.add(one) for one in body.get("accounts", [body])]
        return as_json([{"name": account.name, "uid": account.uid} for account in added])

    async def change_account(self, request: web.Request) -> web.Response:
        """POST /accounts/NAME: key_revoked, can_trade, bnb_discount, maker_rate, taker_rate, max_asset."""
        account = self.exchange.accounts.by_name[request.match_info["name"]]
        body = await read_object(request)
        for flag in ("key_revoked", "can_trade", "bnb_discount"):
            if flag in body:
                setattr(account, flag, bool(body[flag]))
        for asset, limit in body.get("max_asset", {}).items():
            account.max_asset[asset] = Decimal(str(limit))
        for rate in ("maker_rate", "taker_rate"):
            if rate in body:
                setattr(account, rate, Decimal(str(body[rate])))
        return as_json({})

    async def change_balance(self, request: web.Request) -> web.Response:
        """POST /balances {"account","asset","delta","market"?}: a deposit or withdrawal, with its events."""
        body = await read_object(request)
        account = self.exchange.accounts.by_name[body["account"]]
        asset, delta = str(body["asset"]), Decimal(str(body["delta"]))
        if body.get("market") == "futures":
            self.exchange.futures.transfer(self.exchange.futures.account(account), asset, delta)
        else:
            self.exchange.deposit(account, asset, delta)
        return as_json({})

    async def price(self, request: web.Request) -> web.Response:
        """POST /price {"symbol","price"?,"volatility"?,"mark_offset"?,"market"?}: both markets by default."""
        body = await read_object(request)
        moved = {}
        price = Decimal(str(body["price"])) if "price" in body else None
        if body.get("market") in {None, "spot"}:
            market = self.exchange.markets[body["symbol"]]
            market.path.volatility = int(body.get("volatility", market.path.volatility))
            if price is not None:
                self.exchange.move_price(market, price)
            moved = {"symbol": market.symbol.name, "price": f"{market.path.price:.8f}"}
        if body.get("market") in {None, "futures"}:
            contract = self.exchange.futures.markets[body["symbol"]]
            contract.path.volatility = int(body.get("volatility", contract.path.volatility))
            contract.mark_offset = Decimal(str(body.get("mark_offset", contract.mark_offset)))
            if price is not None or "mark_offset" in body:
                self.exchange.futures.move_price(contract, price or contract.path.price)
            moved |= {"symbol": contract.contract.name, "mark": f"{contract.mark:.8f}"}
        return as_json(moved)

    async def symbols(self, request: web.Request) -> web.Response:
        """POST /symbols {"symbol", "status"?, "price_range"?: ["0.99", "1.01"], any filter value}."""
        body = await read_object(request)
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
        return as_json(symbol.information())

    async def exchange_filters(self, request: web.Request) -> web.Response:
        """POST /exchange_filters {"max_num_orders"?, "max_num_algo_orders"?, "max_num_iceberg_orders"?}."""
        for name, value in (await read_object(request)).items():
            if name not in {"max_num_orders", "max_num_algo_orders", "max_num_iceberg_orders"}:
                raise ValueError(f"{name!r} is no filter across the exchange.")
            setattr(self.exchange.filters, name, None if value is None else int(value))
        return as_json(self.exchange.filters.shown())

    async def crowd(self, request: web.Request) -> web.Response:
        """POST /crowd {"symbol"?, "levels"?, "scale"?, "market"?}: thin books; levels 0 empties them."""
        body = await read_object(request)
        now = self.exchange.clock.now_ms()
        chosen = body.get("symbol")
        futures = self.exchange.futures
        if body.get("market") in {None, "spot"}:
            for name, market in self.exchange.markets.items():
                if chosen in {None, name}:
                    _thin(market.crowd, body)
                    self.exchange.engine.refresh(market, now)
        if body.get("market") in {None, "futures"}:
            for name, contract in futures.markets.items():
                if chosen in {None, name}:
                    _thin(contract.crowd, body)
                    futures.engine.refresh(contract, now)
        return as_json({})

    async def clock(self, request: web.Request) -> web.Response:
        """POST /clock {"skew_ms"}: how far the exchange is ahead of this machine."""
        self.exchange.clock.skew_us = int((await read_object(request))["skew_ms"]) * 1000
        return await self.read_clock(request)

    async def read_clock(self, request: web.Request) -> web.Response:
        """GET /clock."""
        clock = self.exchange.clock
        return as_json({"skew_ms": clock.skew_us // 1000, "serverTime": clock.now_ms()})

    async def ban(self, request: web.Request) -> web.Response:
        """POST /ban {"ms", "address"?}: answer 418 until then; WebSocket API connections are closed."""
        body = await read_object(request)
        now = self.exchange.clock.now_ms()
        address = str(body.get("address", "127.0.0.1"))
        for venue in (self.exchange.spot, self.exchange.futures_venue):
            venue.limits.ban(address, now + int(body["ms"]))
        for kind in ("ws-api", "futures-ws-api"):
            self.sockets.disconnect(kind, None, False)
        return as_json({})

    async def lift_bans(self, request: web.Request) -> web.Response:
        """DELETE /ban: lift all bans and forget used weight."""
        self.exchange.spot.limits.lift_bans()
        self.exchange.futures_venue.limits.lift_bans()
        return as_json({})

    async def maintenance(self, request: web.Request) -> web.Response:
        """POST /maintenance {"ms", "expire_orders"?}: answer 503 until then."""
        body = await read_object(request)
        now = self.exchange.clock.now_ms()
        self.exchange.maintenance_until = now + int(body["ms"])
        expired = 0
        if body.get("expire_orders"):
            for market in self.exchange.markets.values():
                expired += self.exchange.engine.expire_all(market, now)
        return as_json({"expired": expired})

    async def wipe(self, request: web.Request) -> web.Response:
        """POST /wipe: orders, trades and ids start again, as on the testnet every month."""
        self.exchange.wipe()
        return as_json({})

    async def streams(self, request: web.Request) -> web.Response:
        """GET /streams: open WebSocket connections."""
        return as_json(
            [
                {
                    "kind": self.sockets.kind_of(peer),
                    "accounts": self.sockets.accounts_of(peer),
                    "silent": peer.connection.silent,
                }
                for peer in self.sockets.peers
            ]
        )

    async def disconnect(self, request: web.Request) -> web.Response:
        """POST /streams/disconnect {"kind"?, "account"?, "clean"?}: close sockets."""
        body = await read_object(request)
        closed = self.sockets.disconnect(
            body.get("kind"), body.get("account"), bool(body.get("clean", False))
        )
        return as_json({"closed": closed})

    async def silence(self, request: web.Request) -> web.Response:
        """POST /streams/silence {"kind"?, "account"?, "silent"?}: sockets stay open and say nothing more."""
        body = await read_object(request)
        chosen = self.sockets.chosen(body.get("kind"), body.get("account"))
        for peer in chosen:
            peer.connection.silent = bool(body.get("silent", True))
        return as_json({"changed": len(chosen)})

    async def shutdown_notice(self, request: web.Request) -> web.Response:
        """POST /streams/shutdown {"close_after_ms"?}: serverShutdown to all, then close."""
        body = await read_object(request)
        told = self.sockets.announce_shutdown(float(body.get("close_after_ms", 0)) / 1000)
        return as_json({"told": told})

    async def disconnect_rest(self, request: web.Request) -> web.Response:
        """POST /rest/disconnect: drop every open REST connection."""
        return as_json({"closed": self.sockets.drop_rest()})


def _thin(crowd: Crowd, body: dict[str, Any]) -> None:
    crowd.levels = int(body.get("levels", crowd.levels))
    crowd.scale = Decimal(str(body.get("scale", crowd.scale)))


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
