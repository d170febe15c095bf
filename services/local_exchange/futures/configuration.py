"""Futures account calls: balances, positions, leverage, margin type, modes, listen keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures import account_answers, answers, events
from services.local_exchange.futures.parameters import flag, not_valid, number
from services.local_exchange.futures.positions import Position, PositionSide
from services.local_exchange.futures.trading import holder, market_of
from services.local_exchange.parameters import integer, member

if TYPE_CHECKING:
    from services.local_exchange.calls import Call
    from services.local_exchange.futures.wallet import FuturesAccount

SUCCESS = {"code": 200, "msg": "success"}
LARGEST_LEVERAGE = 125


def _shown_positions(call: Call, account: FuturesAccount, everything: bool) -> list[Position]:
    """Return the positions a query shows: all sides of the mode, or only those in use."""
    futures = call.exchange.futures
    symbol = market_of(call).contract.name if "symbol" in call.params else None
    sides = (PositionSide.LONG, PositionSide.SHORT) if account.hedge else (PositionSide.BOTH,)
    ordered = {(o.symbol, o.position_side) for o in account.open_orders.values()}
    return [
        account.positions.get((name, side), Position(name, side))
        for name in futures.markets
        if symbol in {None, name}
        for side in sides
        if everything
        or (name, side) in ordered
        or ((found := account.positions.get((name, side))) is not None and found.amount)
    ]


def position_risk_v3(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v3/positionRisk`: only what has a position or open orders."""
    account = holder(call)
    markets = call.exchange.futures.markets
    shown = _shown_positions(call, account, everything=False)
    return [answers.position_v3(account, p, markets[p.symbol]) for p in shown]


def position_risk_v2(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v2/positionRisk`: every contract."""
    account = holder(call)
    markets = call.exchange.futures.markets
    shown = _shown_positions(call, account, everything=True)
    return [answers.position_v2(account, p, markets[p.symbol]) for p in shown]


def account_v3(call: Call) -> dict[str, Any]:
    """`GET /fapi/v3/account`."""
    account = holder(call)
    shown = _shown_positions(call, account, everything=False)
    return account_answers.account(account, call.exchange.futures.markets, shown, v3=True)


def account_v2(call: Call) -> dict[str, Any]:
    """`GET /fapi/v2/account`."""
    account = holder(call)
    shown = _shown_positions(call, account, everything=True)
    return account_answers.account(account, call.exchange.futures.markets, shown, v3=False)


def balance(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v3/balance`."""
    account = holder(call)
    marks = call.exchange.futures.engine.marks()
    now = call.exchange.clock.now_ms()
    return [answers.balance(account, asset, marks, now) for asset in sorted(account.wallet)]


def account_config(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/accountConfig`."""
    account = holder(call)
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": account.hedge,
        "updateTime": 0,
        "multiAssetsMargin": account.multi_assets,
        "tradeGroupId": -1,
    }


def symbol_config(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/symbolConfig`."""
    account = holder(call)
    markets = call.exchange.futures.markets
    chosen = [market_of(call)] if "symbol" in call.params else list(markets.values())
    rows = []
    for market in chosen:
        config = account.config(market.contract.name)
        rows.append(
            {
                "symbol": market.contract.name,
                "marginType": "ISOLATED" if config.isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": config.leverage,
                "maxNotionalValue": f"{market.contract.largest_notional(config.leverage):f}",
            }
        )
    return rows


def commission_rate(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/commissionRate`."""
    account = holder(call)
    return {
        "symbol": market_of(call).contract.name,
        "makerCommissionRate": f"{account.maker_rate:.6f}",
        "takerCommissionRate": f"{account.taker_rate:.6f}",
        "rpiCommissionRate": "0",
    }


def leverage_brackets(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/leverageBracket`."""
    markets = call.exchange.futures.markets
    chosen = [market_of(call)] if "symbol" in call.params else list(markets.values())
    return [
        {
            "symbol": market.contract.name,
            "brackets": [
                {
                    "bracket": bracket.number,
                    "initialLeverage": bracket.leverage,
                    "notionalCap": int(bracket.cap),
                    "notionalFloor": int(bracket.floor),
                    "maintMarginRatio": float(bracket.rate),
                    "cum": float(bracket.cum),
                }
                for bracket in market.contract.brackets
            ],
        }
        for market in chosen
    ]


def adl_quantile(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/adlQuantile`: a rank of 1 for whatever is held."""
    account = holder(call)
    rows: dict[str, dict[str, int]] = {}
    for position in account.held():
        rows.setdefault(position.symbol, {})[str(position.side)] = 1
    chosen = market_of(call).contract.name if "symbol" in call.params else None
    return [{"symbol": s, "adlQuantile": ranks} for s, ranks in rows.items() if chosen in {None, s}]


def change_leverage(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/leverage`."""
    futures = call.exchange.futures
    market = market_of(call)
    leverage = integer(call.params, "leverage") or 0
    if not 1 <= leverage <= LARGEST_LEVERAGE:
        raise ExchangeError(-4028, f"Leverage {leverage} is not valid")
    account = holder(call)
    name = market.contract.name
    largest = market.contract.largest_notional(leverage)
    held = [p for p in account.held() if p.symbol == name]
    if any(position.notional(market.mark) > largest for position in held):
        raise ExchangeError(-2027, "Exceeded the maximum allowable position at current leverage.")
    config = account.config(name)
    before, config.leverage = config.leverage, leverage
    if leverage < before and account.available(futures.engine.marks()) < 0:
        config.leverage = before
        raise ExchangeError(-2019, "Margin is insufficient.")
    if leverage != before:
        now = futures.clock.now_ms()
        futures.account_event(account, None, events.leverage_update(name, leverage, now))
    return {"leverage": leverage, "maxNotionalValue": f"{largest:f}", "symbol": name}


def change_margin_type(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/marginType`: not while there is a position or an open order."""
    market = market_of(call)
    wanted = call.params.get("marginType")
    if wanted not in {"ISOLATED", "CROSSED"}:
        raise not_valid("marginType")
    account = holder(call)
    name = market.contract.name
    config = account.config(name)
    if config.isolated is (wanted == "ISOLATED"):
        raise ExchangeError(-4046, "No need to change margin type.")
    if any(symbol == name for symbol, _ in account.open_orders):
        raise ExchangeError(-4047, "Margin type cannot be changed if there exists open orders.")
    if any(position.symbol == name for position in account.held()):
        raise ExchangeError(-4048, "Margin type cannot be changed if there exists position.")
    config.isolated = wanted == "ISOLATED"
    return SUCCESS


def change_position_margin(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/positionMargin`: add (type 1) or take (type 2) isolated margin."""
    futures = call.exchange.futures
    market = market_of(call)
    account = holder(call)
    side = member(PositionSide, call.params.get("positionSide", "BOTH"), not_valid("positionSide"))
    amount = number(call.params, "amount", 8)
    kind = integer(call.params, "type")
    position = account.position(market.contract.name, side)
    if not account.config(market.contract.name).isolated or not position.amount:
        raise ExchangeError(-4046, "Cannot change margin of a position that is not isolated.")
    change = amount if kind == 1 else -amount
    needed = account.position_margin(position, market.mark)
    if change > account.available(futures.engine.marks()) or (
        change < 0 and position.isolated_wallet + position.unrealized(market.mark) + change < needed
    ):
        raise ExchangeError(-4051, "Isolated balance insufficient.")
    position.isolated_wallet += change
    now = futures.clock.now_ms()
    update = events.account_update(account, "MARGIN_TRANSFER", ["USDT"], [(position, market.mark)], now)
    futures.account_event(account, None, update)
    return {
        "amount": float(amount),
        "code": 200,
        "msg": "Successfully modify position margin.",
        "type": kind,
    }


def position_mode(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/positionSide/dual`."""
    return {"dualSidePosition": holder(call).hedge}


def change_position_mode(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/positionSide/dual`: not while there are orders or positions."""
    account = holder(call)
    wanted = flag(call.params, "dualSidePosition")
    if account.hedge is wanted:
        raise ExchangeError(-4059, "No need to change position side.")
    if account.open_orders or account.open_algos:
        raise ExchangeError(-4067, "Position side cannot be changed if there exists open orders.")
    if account.held():
        raise ExchangeError(-4068, "Position side cannot be changed if there exists position.")
    account.hedge = wanted
    return SUCCESS


def assets_mode(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/multiAssetsMargin`."""
    return {"multiAssetsMargin": holder(call).multi_assets}


def change_assets_mode(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/multiAssetsMargin`: remembered and told, without effect on margins here."""
    account = holder(call)
    wanted = flag(call.params, "multiAssetsMargin")
    if account.multi_assets is wanted:
        raise ExchangeError(-4171, "No need to change multi-assets mode.")
    account.multi_assets = wanted
    futures = call.exchange.futures
    now = futures.clock.now_ms()
    futures.account_event(account, None, events.multi_assets_update(wanted, now))
    return SUCCESS


def sign_tradfi_agreement(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/stock/contract`: from now on the account may trade TRADIFI_PERPETUAL contracts."""
    holder(call).signed_tradfi = True
    return SUCCESS


def order_limits(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/rateLimit/order`: the limits, without counts."""
    return [
        {
            "rateLimitType": "ORDERS",
            "interval": window.interval,
            "intervalNum": window.number,
            "limit": window.limit,
        }
        for window in call.limits.windows
    ]


def start_listen_key(call: Call) -> dict[str, Any]:
    """`POST /fapi/v1/listenKey`."""
    futures = call.exchange.futures
    return {"listenKey": futures.listen_keys.start(holder(call), futures.clock.now_ms())}


def keep_listen_key(call: Call) -> dict[str, Any]:
    """`PUT /fapi/v1/listenKey`: returns the key."""
    futures = call.exchange.futures
    return {"listenKey": futures.listen_keys.keep(holder(call), futures.clock.now_ms())}


def end_listen_key(call: Call) -> dict[str, Any]:
    """`DELETE /fapi/v1/listenKey`."""
    futures = call.exchange.futures
    futures.listen_keys.end(holder(call), futures.clock.now_ms())
    return {}
