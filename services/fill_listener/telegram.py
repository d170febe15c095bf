"""Telegram: an optional word to the user when an order is filled or rejected and when a position is closed.

Off without a token. Only `sendMessage` is called: the bot polls with the same token, and a second poller or a
webhook would take its updates away. What happened is read from the feed, so nothing waits for Telegram, and
the reader moves on before it sends: a message may get lost, none comes twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog

from shared.database import feed

if TYPE_CHECKING:
    from decimal import Decimal

    import asyncpg

    from shared.database.connect import Pool
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

EVERY_S = 1.0  # Telegram allows a chat one message a second; what comes together goes together
NOT_OLDER_THAN = timedelta(minutes=10)
ANSWER_WITHIN_S = 10.0
LONGEST_TEXT = 4000  # of 4,096
RESTS_S = (1.0, 5.0)  # between the tries of one message
LONGEST_RETRY_AFTER_S = 60.0


class Telegram:
    """Tells users what became of their orders.

    Args:
        pool: work connections.
        url: of Telegram's Bot API.
        token: the bot's.
        metrics: of this process.

    """

    def __init__(self, pool: Pool, url: str, token: str, metrics: Metrics) -> None:
        self._pool = pool
        self._address = f"{url.rstrip('/')}/bot{token}/sendMessage"
        self._metrics = metrics
        self._begun = False

    async def tell(self) -> None:
        """Tell what is new, one message a user."""
        if not self._begun:
            await feed.begin(self._pool, "telegram")
            self._begun = True
        lines: defaultdict[int, list[str]] = defaultdict(list)
        for row in await feed.telegram_news(self._pool, not_older_than=NOT_OLDER_THAN):
            lines[row["telegram_id"]].append(sentence(row))
        if lines:
            timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                for chat, told in lines.items():
                    result = await self._send(session, chat, "\n".join(told)[:LONGEST_TEXT])
                    self._metrics.telegram(result).inc()

    async def _send(self, session: aiohttp.ClientSession, chat: int, text: str) -> str:
        """Send one message; returns how it ended, for the metric."""
        for rest_s in (*RESTS_S, None):
            try:
                async with session.post(self._address, json={"chat_id": chat, "text": text}) as answer:
                    status = answer.status
                    asked_to_wait_s = await _retry_after(answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                # Only the type: the message of some names the address, and with it the token.
                log.warning("telegram.unreachable", error=type(error).__name__)
                status, asked_to_wait_s = None, 0.0
            if status == HTTPStatus.OK:
                return "ok"
            if status is not None and status < 500 and status != HTTPStatus.TOO_MANY_REQUESTS:
                # The user has blocked the bot, or never spoken to it: trying again changes nothing.
                log.warning("telegram.refused", status=status)
                return "refused"
            if rest_s is not None:
                await asyncio.sleep(max(rest_s, asked_to_wait_s))
        return "failed"


async def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Read how long Telegram asks to wait, on 429."""
    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return 0.0
    try:
        body: Any = await answer.json(content_type=None)
        return min(LONGEST_RETRY_AFTER_S, max(0.0, float(body["parameters"]["retry_after"])))
    except (ValueError, KeyError, TypeError):
        return 0.0


def sentence(row: asyncpg.Record) -> str:
    """Say in a line what happened, with the numbers a user wants to see."""
    symbol, base = str(row["symbol"]), str(row["symbol"]).partition("/")[0]
    match row["kind"]:
        case "position_closed":
            quote = symbol.partition("/")[2]
            sign = "+" if row["realized"] > 0 else ""
            return f"{symbol} {row['position_side']} closed: {sign}{plain(row['realized'])} {quote}".rstrip()
        case "rejected":
            reason = str(row["reason"]).rstrip(".") or "no reason was given"
            return f"{symbol} {row['side']} rejected: {reason}."
    verb = "bought" if row["side"] == "buy" else "sold"
    fee = f", fee {plain(row['fee'])} {row['fee_currency']}" if row["fee"] else ""
    rest = "" if row["kind"] == "filled" else f"; the rest is {row['kind']}"
    return f"{symbol}: {verb} {plain(row['filled'])} {base} at {plain(row['price'])}{fee}{rest}"


def plain(number: Decimal) -> str:
    """Write a number without exponent, to 8 decimals, and without zeros at its end."""
    text = f"{number:.8f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
