"""What every contender but the bridge does with an order: sign the POST, send it, write the row."""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

SETTLE = """
UPDATE public.orders
   SET status = 'filled', exchange_order_id = $2, filled_amount = $3::numeric, avg_fill_price = $4::numeric,
       fee = $5::numeric, fee_currency = $6, filled_at = clock_timestamp()
 WHERE id = $1
"""
"""What is known after the answer, in the bot's row. The arguments are `settled`'s."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a contender works.

    Attributes:
        dsn: its database.
        url: the exchange.
        keys: API key and secret by account.
        ready: the file to write once it listens.

    """

    dsn: str
    url: str
    keys: Mapping[str, tuple[str, str]]
    ready: Path

    def say_ready(self) -> None:
        """Tell the runner that the next order can be taken."""
        self.ready.write_text(str(os.getpid()))


def setting() -> Setting:
    """Read the command line all contenders share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--ready", type=Path, required=True)
    chosen = parser.parse_args()
    keys = {account: (key, secret) for account, (key, secret) in json.loads(chosen.keys.read_text()).items()}
    return Setting(chosen.dsn, chosen.url, keys, chosen.ready)


def signed(job: Mapping[str, Any], keys: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Return the signed query of a market order, and the API key it goes with.

    Args:
        job: id, account, symbol, side and amount of the row, as text.
        keys: API key and secret by account.

    """
    api_key, secret = keys[job["account"]]
    query = urlencode(
        {
            "symbol": job["symbol"].replace("/", ""),
            "side": job["side"].upper(),
            "type": "MARKET",
            "quoteOrderQty": job["amount"],
            "newOrderRespType": "FULL",
            "newClientOrderId": job["id"],
            "recvWindow": 5000,
            "timestamp": time.time_ns() // 1_000_000,
        }
    )
    signature = hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    return f"{query}&signature={signature}", api_key


def settled(order_id: Any, body: bytes) -> tuple[Any, ...]:
    """Read an answer into the arguments of `SETTLE`.

    Raises:
        ValueError: the order was not filled.

    """
    answer = orjson.loads(body)
    if answer.get("status") != "FILLED":
        raise ValueError(f"not filled: {answer}")
    (fill,) = answer["fills"]
    return (
        order_id,
        str(answer["orderId"]),
        answer["executedQty"],
        fill["price"],
        fill["commission"],
        fill["commissionAsset"],
    )
