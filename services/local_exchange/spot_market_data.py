"""Public calls: time, symbols, prices, the book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from services.local_exchange.errors import ExchangeError
from services.local_exchange.parameters import bad_combination, illegal, integer, symbol_of

if TYPE_CHECKING:
    from services.local_exchange.calls import Call
    from services.local_exchange.market import Market

SYMBOLS_RANGE = '^\\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\\]$'


def ping(call: Call) -> dict[str, Any]:
    """`GET /api/v3/ping`."""
    return {}


def time(call: Call) -> dict[str, Any]:
    """`GET /api/v3/time`."""
    return {"serverTime": call.exchange.clock.now_ms()}


def chosen_markets(call: Call) -> list[Market]:
    """Return the markets a call names by `symbol` or `symbols`, else all."""
    markets = call.exchange.markets
    if "symbol" in call.params and "symbols" in call.params:
        raise bad_combination()
    if "symbol" in call.params:
        return [markets[symbol_of(call.params, markets)]]
    if "symbols" not in call.params:
        return list(markets.values())
    try:
        names = orjson.loads(call.params["symbols"])
    except orjson.JSONDecodeError as broken:
        raise illegal("symbols", SYMBOLS_RANGE) from broken
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise illegal("symbols", SYMBOLS_RANGE)
    if any(name not in markets for name in names):
        raise ExchangeError(-1121, "Invalid symbol.")
    return [markets[name] for name in names]


def exchange_info(call: Call) -> dict[str, Any]:
    """`GET /api/v3/exchangeInfo`."""
    exchange = call.exchange
    status = call.params.get("symbolStatus")
    if status is not None and status not in {"TRADING", "HALT", "BREAK"}:
        raise ExchangeError(-1122, "Invalid symbolStatus.")
    return {
        "timezone": "UTC",
        "serverTime": exchange.clock.now_ms(),
        "rateLimits": call.limits.exchange_limits(call.record.api == "ws-api"),
        "exchangeFilters": exchange.filters.shown(),
        "symbols": [
            market.symbol.information()
            for market in chosen_markets(call)
            if status is None or market.symbol.status == status
        ],
    }


def _one_or_many(call: Call, rows: list[dict[str, Any]]) -> Any:
    return rows[0] if "symbol" in call.params else rows


def ticker_price(call: Call) -> Any:
    """`GET /api/v3/ticker/price`: one object for one symbol, else a list."""
    rows = [{"symbol": m.symbol.name, "price": f"{m.last_price:.8f}"} for m in chosen_markets(call)]
    return _one_or_many(call, rows)


def book_ticker(call: Call) -> Any:
    """`GET /api/v3/ticker/bookTicker`; zeros where a side is empty."""
    return _one_or_many(call, [_best(market) for market in chosen_markets(call)])


def _best(market: Market) -> dict[str, Any]:
    bids, asks = market.book.bids.depth(1), market.book.asks.depth(1)
    return {
        "symbol": market.symbol.name,
        "bidPrice": f"{bids[0][0] if bids else 0:.8f}",
        "bidQty": f"{bids[0][1] if bids else 0:.8f}",
        "askPrice": f"{asks[0][0] if asks else 0:.8f}",
        "askQty": f"{asks[0][1] if asks else 0:.8f}",
    }


def depth(call: Call) -> dict[str, Any]:
    """`GET /api/v3/depth`."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    limit = integer(call.params, "limit") or 100
    return {
        "lastUpdateId": market.update_id,
        "bids": [[f"{p:.8f}", f"{q:.8f}"] for p, q in market.book.bids.depth(limit)],
        "asks": [[f"{p:.8f}", f"{q:.8f}"] for p, q in market.book.asks.depth(limit)],
    }


def average_price(call: Call) -> dict[str, Any]:
    """`GET /api/v3/avgPrice`: the price that filters take as reference."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    return {
        "mins": 5,
        "price": f"{market.path.price:.8f}",
        "closeTime": market.public_trades[-1].time if market.public_trades else call.exchange.clock.now_ms(),
    }


def recent_trades(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/trades` and `historicalTrades`."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    limit = min(integer(call.params, "limit") or 500, 1000)
    from_id = integer(call.params, "fromId")
    chosen = [trade for trade in market.public_trades if from_id is None or trade.id >= from_id]
    return [
        {
            "id": trade.id,
            "price": f"{trade.price:.8f}",
            "qty": f"{trade.qty:.8f}",
            "quoteQty": f"{trade.price * trade.qty:.8f}",
            "time": trade.time,
            "isBuyerMaker": trade.buyer_is_maker,
            "isBestMatch": True,
        }
        for trade in (chosen[-limit:] if from_id is None else chosen[:limit])
    ]


def aggregate_trades(call: Call) -> list[dict[str, Any]]:
    """`GET /api/v3/aggTrades`: every trade an aggregate of its own."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    limit = min(integer(call.params, "limit") or 500, 1000)
    from_id = integer(call.params, "fromId")
    start, end = integer(call.params, "startTime"), integer(call.params, "endTime")
    chosen = [
        trade
        for trade in market.public_trades
        if (from_id is None or trade.id >= from_id)
        and (start is None or trade.time >= start)
        and (end is None or trade.time <= end)
    ]
    oldest_first = from_id is not None or start is not None
    return [
        {
            "a": trade.id,
            "p": f"{trade.price:.8f}",
            "q": f"{trade.qty:.8f}",
            "f": trade.id,
            "l": trade.id,
            "T": trade.time,
            "m": trade.buyer_is_maker,
            "M": True,
        }
        for trade in (chosen[:limit] if oldest_first else chosen[-limit:])
    ]


def execution_rules(call: Call) -> dict[str, Any]:
    """`GET /api/v3/executionRules`: the price range rule of the symbols that have one."""
    rules = []
    for market in chosen_markets(call):
        limits = market.symbol.price_range
        if limits is not None:
            down, up = f"{limits[0]:.4f}", f"{limits[1]:.4f}"
            rule = {
                "ruleType": "PRICE_RANGE",
                "bidLimitMultUp": up,
                "bidLimitMultDown": down,
                "askLimitMultUp": up,
                "askLimitMultDown": down,
            }
            rules.append({"symbol": market.symbol.name, "rules": [rule]})
    return {"symbolRules": rules}


def reference_price(call: Call) -> dict[str, Any]:
    """`GET /api/v3/referencePrice`: -2043 for symbols without a price range rule."""
    market = call.exchange.markets[symbol_of(call.params, call.exchange.markets)]
    if market.symbol.price_range is None:
        raise ExchangeError(-2043, "This symbol doesn't have a reference price.")
    return {
        "symbol": market.symbol.name,
        "referencePrice": f"{market.path.price:.8f}",
        "timestamp": call.exchange.clock.now_ms(),
    }


def ticker_24hr(call: Call) -> Any:
    """`GET /api/v3/ticker/24hr`: since the exchange was started."""
    now = call.exchange.clock.now_ms()
    return _one_or_many(call, [_day(market, now) for market in chosen_markets(call)])


def _day(market: Market, now: int) -> dict[str, Any]:
    day, best = market.day, _best(market)
    last = market.public_trades[-1] if market.public_trades else None
    change = market.last_price - day.open
    average = day.quote_volume / day.volume if day.volume else market.last_price
    return {
        "symbol": market.symbol.name,
        "priceChange": f"{change:.8f}",
        "priceChangePercent": f"{change / day.open * 100:.3f}",
        "weightedAvgPrice": f"{average:.8f}",
        "prevClosePrice": f"{day.open:.8f}",
        "lastPrice": f"{market.last_price:.8f}",
        "lastQty": f"{last.qty if last else 0:.8f}",
        "bidPrice": best["bidPrice"],
        "bidQty": best["bidQty"],
        "askPrice": best["askPrice"],
        "askQty": best["askQty"],
        "openPrice": f"{day.open:.8f}",
        "highPrice": f"{day.high:.8f}",
        "lowPrice": f"{day.low:.8f}",
        "volume": f"{day.volume:.8f}",
        "quoteVolume": f"{day.quote_volume:.8f}",
        "openTime": now - 86_400_000,
        "closeTime": now,
        "firstId": day.first_id,
        "lastId": last.id if last else -1,
        "count": day.count,
    }
