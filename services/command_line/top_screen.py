"""The screen of `bridge top`: flow, latency, limits, streams, orders and positions.

A module of its own, because Textual takes 0.3 s to import and every other verb would pay for it.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import psycopg
from textual.app import App
from textual.containers import Horizontal
from textual.widgets import DataTable, Static

from services.command_line.terminal import cell, duration, first_line, moment
from shared.database import top as database
from shared.domain.money import to_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.app import ComposeResult

    from shared.database.operator import Row
    from shared.database.top import Picture

PICTURE_SIZE = (120, 40)
LONGEST_LABEL = 20

TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "limits": ("limits of the exchange", ("of", "limit", "window", "used", "")),
    "streams": ("user data streams", ("account", "market", "heard", "verified", "problem")),
    "orders": (
        "newest orders",
        ("order", "taken in", "side", "symbol", "amount", "status", "state", "filled", "why"),
    ),
    "positions": (
        "open positions",
        ("position", "symbol", "side", "size", "entry", "price", "unrealized", "realized"),
    ),
}


def rows_of(picture: Picture) -> dict[str, list[list[str]]]:
    """Lay out every table of a picture, as text."""
    return {
        "limits": [_limit(row) for row in picture.limits],
        "streams": [_stream(row) for row in picture.streams],
        "orders": [
            _cells(
                row["id"],
                row["created_at"].strftime("%H:%M:%S"),
                row["side"],
                row["symbol"],
                row["amount"],
                row["status"],
                row["state"],
                row["filled"],
                row["reason_code"],
            )
            for row in picture.orders
        ],
        "positions": [
            _cells(
                row["id"],
                row["symbol"],
                row["side"],
                row["size"],
                to_column(row["entry_price"]),
                row["current_price"],
                row["unrealized_pnl"],
                row["realized_pnl"],
            )
            for row in picture.positions
        ],
    }


def _cells(*values: object) -> list[str]:
    return [cell(value) for value in values]


def _limit(row: Row) -> list[str]:
    of = (
        urlsplit(row["key"]).netloc
        if row["scope"] == "address"
        else f"key {row['key'].rpartition(' ')[2][:8]}"
    )
    share = f"{100 * row['granted'] / max(row['ceiling'], 1):.0f} %"
    window = duration(timedelta(milliseconds=row["interval_ms"]))
    return _cells(of, row["kind"], window, f"{row['granted']} of {row['ceiling']}", share)


def _stream(row: Row) -> list[str]:
    ago = duration(row["verified_ago"]) + " ago" if row["verified_ago"] is not None else "never"
    account = _shortened(row["account_label"]) or row["account_id"]
    return _cells(account, row["market"], row["heard"], ago, row["problem"])


def _shortened(label: str) -> str:
    """Leave room for the columns to the right: the bot's own labels hold a whole id."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def head_of(picture: Picture) -> str:
    """Say in a few lines what matters most."""
    flow = picture.flow
    waits = ", ".join(
        f"{flow[state]} {state}" for state in ("new", "backoff", "held", "sending", "unknown", "submitted")
    )
    done = f"last {duration(database.WINDOW)}: {flow['sent']} sent, {flow['accepted']} accepted"
    claimed = f"INSERT to claim {_latency(flow, 'to_claim')}"
    settled = f"claim to settled {_latency(flow, 'to_settled')}"
    stops = [_stop(row) for row in picture.stops] or ["nothing is halted or paused"]
    return "\n".join([f"{moment(flow['at'])}   {waits}", f"{done}   {claimed}   {settled}", *stops])


def _latency(flow: Row, name: str) -> str:
    half, most = flow[f"{name}_p50"], flow[f"{name}_p95"]
    return "-" if half is None else f"p50 {half * 1000:.0f} ms, p95 {most * 1000:.0f} ms"


def _stop(row: Row) -> str:
    where = "everything" if row["scope"] == "global" else f"{row['scope']} {cell(row['key'])}"
    until = f" until {moment(row['until'])}" if row["until"] is not None else ""
    return f"{row['what'].upper()}: {where}{until}: {cell(row['reason'])}"


class Top(App[None]):
    """The live view.

    Args:
        look: reads a picture; called in a thread.
        every_s: between two looks.

    """

    TITLE = "bridge top"
    CSS = """
    #head { height: auto; padding: 0 1; background: $surface; }
    DataTable { height: 1fr; border: round $primary; }
    #upper { height: 1fr; }
    #orders { height: 2fr; }
    """
    BINDINGS: ClassVar[list[Any]] = [("q", "quit", "Quit")]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, look: Callable[[], Picture], every_s: float) -> None:
        super().__init__()
        self._look = look
        self._every_s = every_s

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static("looking ...", id="head", markup=False)
        with Horizontal(id="upper"):
            yield from (_table(name) for name in ("limits", "streams"))
        yield from (_table(name) for name in ("orders", "positions"))

    async def on_mount(self) -> None:
        """Begin to look, and go on."""
        for name, (_, columns) in TABLES.items():
            self.query_one(f"#{name}", DataTable).add_columns(*columns)
        await self.look_again()
        self.set_interval(self._every_s, self.look_again)

    async def look_again(self) -> None:
        """Read and show; a database that is away is said, and looked for again."""
        try:
            picture = await asyncio.to_thread(self._look)
        except psycopg.Error as error:
            self.query_one("#head", Static).update(f"the database does not answer: {first_line(error)}")
            return
        self.query_one("#head", Static).update(head_of(picture))
        for name, rows in rows_of(picture).items():
            _show(self.query_one(f"#{name}", DataTable), rows)


def _table(name: str) -> DataTable[str]:
    table: DataTable[str] = DataTable(id=name, cursor_type="none")
    table.border_title = TABLES[name][0]
    return table


def _show(table: DataTable[str], rows: Iterable[Sequence[str]]) -> None:
    scrolled = table.scroll_offset
    table.clear()
    table.add_rows(rows)
    table.scroll_to(scrolled.x, scrolled.y, animate=False)


async def picture_of(app: Top, size: tuple[int, int] = PICTURE_SIZE) -> str:
    """Return one screen as SVG, without a terminal."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        return app.export_screenshot(title=app.TITLE)
