"""Public futures calls: time, contracts, prices, the book, funding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.local_exchange.candles import INTERVALS
from services.local_exchange.errors import ExchangeError
from services.local_exchange.futures.events import plain
from services.local_exchange.futures.trading import market_of
from services.local_exchange.orders import ZERO
from services.local_exchange.parameters import integer

if TYPE_CHECKING:
    from services.local_exchange.calls import Call
    from services.local_exchange.futures.market import FuturesMarket

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)


def exchange_info(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/exchangeInfo`: always all contracts, whatever `symbol` says."""
    futures = call.exchange.futures
    return {
        "timezone": "UTC",
        "serverTime": futures.clock.now_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": call.limits.exchange_limits(),
        "exchangeFilters": [],
        "assets": [
            {"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"},
            {"asset": "BNB", "marginAvailable": True, "autoAssetExchange": "-10"},
        ],
        "symbols": [market.contract.information() for market in futures.markets.values()],
    }


def _chosen(call: Call) -> list[FuturesMarket]:
    if "symbol" in call.params:
        return [market_of(call)]
    return list(call.exchange.futures.markets.values())


def _one_or_many(call: Call, rows: list[dict[str, Any]]) -> Any:
    return rows[0] if "symbol" in call.params else rows


def depth(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/depth`."""
    market = market_of(call)
    limit = integer(call.params, "limit") or 500
    if limit not in DEPTH_LIMITS:
        raise ExchangeError(-4021, f"{limit} is not valid depth limit")
    now = call.exchange.clock.now_ms()
    contract = market.contract
    return {
        "lastUpdateId": market.update_id,
        "E": now,
        "T": now,
        "bids": [[contract.price_text(p), plain(q)] for p, q in market.book.bids.depth(limit)],
        "asks": [[contract.price_text(p), plain(q)] for p, q in market.book.asks.depth(limit)],
    }


def open_interest(call: Call) -> dict[str, Any]:
    """`GET /fapi/v1/openInterest`: what is held long, and so what is held short."""
    market = market_of(call)
    held = [
        one.amount
        for account in call.exchange.futures.accounts.values()
        for one in account.held()
        if one.symbol == market.contract.name
    ]
    longs = sum((amount for amount in (*held, market.crowd_amount) if amount > 0), ZERO)
    return {
        "openInterest": market.contract.quantity_text(longs),
        "symbol": market.contract.name,
        "time": call.exchange.clock.now_ms(),
    }


def recent_trades(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/trades`."""
    market = market_of(call)
    limit = min(integer(call.params, "limit") or 500, 1000)
    return [
        {
            "id": trade.id,
            "price": market.contract.price_text(trade.price),
            "qty": plain(trade.qty),
            "quoteQty": plain(trade.price * trade.qty),
            "time": trade.time,
            "isBuyerMaker": trade.buyer_is_maker,
        }
        for trade in list(market.public_trades)[-limit:]
    ]


def aggregate_trades(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/aggTrades`: every trade an aggregate of its own."""
    market = market_of(call)
    limit = min(integer(call.params, "limit") or 500, 1000)
    return [
        {
            "a": trade.id,
            "p": market.contract.price_text(trade.price),
            "q": plain(trade.qty),
            "f": trade.id,
            "l": trade.id,
            "T": trade.time,
            "m": trade.buyer_is_maker,
        }
        for trade in list(market.public_trades)[-limit:]
    ]


def klines(call: Call) -> list[list[Any]]:
    """`GET /fapi/v1/klines`: since the exchange was started."""
    market = market_of(call)
    interval = call.params["interval"]
    if interval not in INTERVALS or interval == "1s":
        raise ExchangeError(-1120, "Invalid interval.")
    start, end = integer(call.params, "startTime"), integer(call.params, "endTime")
    limit = min(integer(call.params, "limit") or 500, 1500)
    chosen = [
        candle
        for candle in market.candles.of(interval)
        if (start is None or candle.start >= start) and (end is None or candle.start <= end)
    ]
    return [candle.row() for candle in chosen[-limit:]]


def ticker_price(call: Call) -> Any:
    """`GET /fapi/v1/ticker/price` and version 2."""
    now = call.exchange.clock.now_ms()
    return _one_or_many(
        call,
        [
            {"symbol": m.contract.name, "price": m.contract.price_text(m.last_price), "time": now}
            for m in _chosen(call)
        ],
    )


def book_ticker(call: Call) -> Any:
    """`GET /fapi/v1/ticker/bookTicker`."""
    now = call.exchange.clock.now_ms()
    rows = []
    for market in _chosen(call):
        bids, asks = market.book.bids.depth(1), market.book.asks.depth(1)
        price = market.contract.price_text
        rows.append(
            {
                "symbol": market.contract.name,
                "bidPrice": price(bids[0][0]) if bids else "0",
                "bidQty": plain(bids[0][1]) if bids else "0",
                "askPrice": price(asks[0][0]) if asks else "0",
                "askQty": plain(asks[0][1]) if asks else "0",
                "time": now,
                "lastUpdateId": market.update_id,
            }
        )
    return _one_or_many(call, rows)


def ticker_24hr(call: Call) -> Any:
    """`GET /fapi/v1/ticker/24hr`: since the exchange was started."""
    now = call.exchange.clock.now_ms()
    return _one_or_many(call, [_day(market, now) for market in _chosen(call)])


def _day(market: FuturesMarket, now: int) -> dict[str, Any]:
    day, price = market.day, market.contract.price_text
    last = market.public_trades[-1] if market.public_trades else None
    change = market.last_price - day.open
    average = day.quote_volume / day.volume if day.volume else market.last_price
    return {
        "symbol": market.contract.name,
        "priceChange": price(change),
        "priceChangePercent": f"{change / day.open * 100:.3f}",
        "weightedAvgPrice": price(average),
        "lastPrice": price(market.last_price),
        "lastQty": plain(last.qty) if last else "0",
        "openPrice": price(day.open),
        "highPrice": price(day.high),
        "lowPrice": price(day.low),
        "volume": plain(day.volume),
        "quoteVolume": f"{day.quote_volume:.2f}",
        "openTime": now - 86_400_000,
        "closeTime": now,
        "firstId": day.first_id,
        "lastId": last.id if last else -1,
        "count": day.count,
    }


def premium_index(call: Call) -> Any:
    """`GET /fapi/v1/premiumIndex`: mark price and funding."""
    now = call.exchange.clock.now_ms()
    return _one_or_many(
        call,
        [
            {
                "symbol": market.contract.name,
                "markPrice": f"{market.mark:.8f}",
                "indexPrice": f"{market.path.price:.8f}",
                "estimatedSettlePrice": f"{market.path.price:.8f}",
                "lastFundingRate": f"{market.funding_rate:.8f}",
                "interestRate": "0.00010000",
                "nextFundingTime": market.next_funding,
                "time": now,
            }
            for market in _chosen(call)
        ],
    )


def funding_rates(call: Call) -> list[dict[str, Any]]:
    """`GET /fapi/v1/fundingRate`: the current rate of each contract, no history."""
    return [
        {
            "symbol": market.contract.name,
            "fundingTime": market.next_funding,
            "fundingRate": f"{market.funding_rate:.8f}",
            "markPrice": f"{market.mark:.8f}",
        }
        for market in _chosen(call)
    ]
