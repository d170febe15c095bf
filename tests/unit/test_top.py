"""`bridge top` shows what it is given, where it belongs, and says so when the database is away."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import psycopg

from services.command_line.top_screen import Top, picture_of
from shared.database.top import Picture

SNAPSHOT = Path(__file__).with_name("top.txt")
NOON = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)
ACCOUNT = UUID(int=0xA11CE << 96)

FLOW: dict[str, Any] = {
    "new": 3,
    "backoff": 1,
    "held": 2,
    "sending": 4,
    "unknown": 1,
    "submitted": 7,
    "sent": 250,
    "accepted": 248,
    "at": NOON,
    "to_claim_p50": 0.0042,
    "to_claim_p95": 0.018,
    "to_settled_p50": 0.031,
    "to_settled_p95": 0.09,
}
PICTURE = Picture(
    flow=FLOW,
    stops=[
        {"what": "halted", "scope": "symbol", "key": "BTCUSDT", "reason": "a drill", "until": None},
        {"what": "paused", "scope": "address", "key": "http://x", "reason": "banned", "until": NOON},
    ],
    limits=[
        {
            "scope": "key",
            "key": "http://x 0123456789abcdef",
            "kind": "ORDERS",
            "interval_ms": 10_000,
            "granted": 40,
            "ceiling": 50,
        }
    ],
    streams=[
        {
            "account_id": ACCOUNT,
            "account_label": "main",
            "market": "spot",
            "owner": "listener",
            "heard": True,
            "verified_ago": timedelta(seconds=2.5),
            "problem": "",
        }
    ],
    orders=[
        {
            "id": ACCOUNT,
            "created_at": NOON,
            "symbol": "BTC/USDT",
            "side": "buy",
            "amount": Decimal(350),
            "status": "open",
            "state": "held",
            "filled": Decimal("0.00100000"),
            "reason_code": "twin\x1b[2J",
        }
    ],
    positions=[
        {
            "id": ACCOUNT,
            "symbol": "ETH/USDT",
            "side": "long",
            "size": Decimal("0.5"),
            "entry_price": Decimal(2800),
            "current_price": Decimal(2850),
            "unrealized_pnl": Decimal(25),
            "realized_pnl": Decimal("-1.25"),
        }
    ],
)


def screen(svg: str) -> str:
    """The text of a picture, line by line: fonts, colours and ids of the SVG are not ours to hold."""
    lines: dict[float, dict[float, str]] = defaultdict(dict)
    for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if "title" not in element.get("class", ""):
            lines[float(element.get("y", 0))][float(element.get("x", 0))] = element.text or ""
    texts = ["".join(text for _, text in sorted(parts.items())) for _, parts in sorted(lines.items())]
    return "\n".join(re.sub("\\s+", " ", text.replace("\xa0", " ")).strip() for text in texts) + "\n"


async def test_screen_is_as_it_was() -> None:
    """One fixed picture makes one fixed screen; a change that is meant is written into the file by hand."""
    said = screen(await picture_of(Top(lambda: PICTURE, 60)))
    assert said == SNAPSHOT.read_text()
    for text in ("1 unknown", "HALTED: symbol BTCUSDT: a drill", "40 of 50", "2.5 s ago", "0.001", "-1.25"):
        assert text in said
    assert "\x1b" not in said


async def test_database_away_is_said_and_looked_for_again() -> None:
    """A look that fails is a sentence on the screen; the next one shows the picture."""
    answers: list[Picture | psycopg.Error] = [psycopg.OperationalError("connection refused"), PICTURE]

    def look() -> Picture:
        answer = answers.pop(0)
        if isinstance(answer, psycopg.Error):
            raise answer
        return answer

    app = Top(look, 3600)
    async with app.run_test(size=(120, 40)):
        assert "does not answer: connection refused" in screen(app.export_screenshot())
        await app.look_again()
        assert "does not answer" not in screen(app.export_screenshot())
