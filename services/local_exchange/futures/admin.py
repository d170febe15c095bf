"""The admin API's part for futures: funding, auto-deleveraging, listen keys, contracts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from aiohttp import web

from services.local_exchange.admin_json import as_json, read_object
from services.local_exchange.futures.positions import PositionSide

if TYPE_CHECKING:
    from services.local_exchange.exchange import Exchange

ADJUSTABLE_CONTRACT = frozenset(
    [
        "status",
        "contract_type",
        "tick",
        "step",
        "min_notional",
        "market_max_qty",
        "multiplier_up",
        "multiplier_down",
        "market_take_bound",
        "liquidation_fee",
    ]
)


class FuturesAdmin:
    """Handlers under `/futures` of the admin API.

    Args:
        exchange: what is administered.

    """

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/futures/funding", self.funding),
            web.post("/futures/adl", self.adl),
            web.post("/futures/settle", self.settle),
            web.post("/futures/expire_listen_key", self.expire_listen_key),
            web.post("/futures/contracts", self.contracts),
        ]

    async def funding(self, request: web.Request) -> web.Response:
        """POST /futures/funding {"symbol","rate"}: exchange funding now."""
        body = await read_object(request)
        futures = self.exchange.futures
        futures.fund(futures.markets[body["symbol"]], Decimal(str(body["rate"])))
        return as_json({})

    async def adl(self, request: web.Request) -> web.Response:
        """POST /futures/adl {"account","symbol","position_side"?,"quantity"?,"price"?}: deleverage."""
        body = await read_object(request)
        futures = self.exchange.futures
        account = futures.account(self.exchange.accounts.by_name[body["account"]])
        side = PositionSide(body.get("position_side", "BOTH"))
        futures.auto_deleverage(
            account,
            futures.markets[body["symbol"]],
            side,
            Decimal(str(body["quantity"])) if "quantity" in body else None,
            Decimal(str(body["price"])) if "price" in body else None,
        )
        return as_json({})

    async def settle(self, request: web.Request) -> web.Response:
        """POST /futures/settle {"symbol"}: delist a contract; positions end at the mark price."""
        futures = self.exchange.futures
        futures.settle(futures.markets[(await read_object(request))["symbol"]])
        return as_json({})

    async def expire_listen_key(self, request: web.Request) -> web.Response:
        """POST /futures/expire_listen_key {"account"}: as after an hour without a PUT."""
        body = await read_object(request)
        futures = self.exchange.futures
        account = futures.account(self.exchange.accounts.by_name[body["account"]])
        futures.listen_keys.end(account, futures.clock.now_ms())
        return as_json({})

    async def contracts(self, request: web.Request) -> web.Response:
        """POST /futures/contracts {"symbol","status"?,"liquidation_fee"?,"market_take_bound"?,...}."""
        body = await read_object(request)
        contract = self.exchange.futures.markets[body.pop("symbol")].contract
        for name, value in body.items():
            if name not in ADJUSTABLE_CONTRACT:
                raise ValueError(f"{name!r} cannot be set; known are {sorted(ADJUSTABLE_CONTRACT)}.")
            setattr(contract, name, value if name in ("status", "contract_type") else Decimal(str(value)))
        return as_json(contract.information())
