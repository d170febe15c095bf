"""What the admin API's ledger shows of the futures market: orders and algo orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.local_exchange.futures import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.local_exchange.futures.exchange import FuturesExchange
    from services.local_exchange.ledger import Entry


def futures_entries(
    futures: FuturesExchange, account: str | None, prefix: str, symbol: str | None
) -> Iterator[Entry]:
    """Return orders with their trades, then algo orders, filtered by account, client id and contract."""
    for market in futures.markets.values():
        if symbol in {None, market.contract.name}:
            for order in market.orders.values():
                name = order.account.name
                if account in {None, name} and order.client_order_id.startswith(prefix):
                    yield (
                        order,
                        {
                            "account": name,
                            "order": answers.queried(order, market.contract),
                            "trades": [answers.trade(trade, market.contract) for trade in order.trades],
                        },
                    )
    for holder in futures.accounts.values():
        for algo in holder.algos:
            if account in {None, holder.name} and algo.client_algo_id.startswith(prefix):
                contract = futures.markets[algo.symbol].contract
                if symbol in {None, algo.symbol}:
                    yield (algo, {"account": holder.name, "algo": answers.algo_queried(algo, contract)})
