"""`bridge top`: flow, latency, limits, streams, orders and positions, live in a terminal."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 -- read at run time
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.session import connected
from services.command_line.terminal import Json, print_json
from shared.database import top as database
from shared.database.operator import connect
from shared.settings import DatabaseSettings, load

if TYPE_CHECKING:
    from shared.database.top import Picture


def top(
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 1.0,
    picture: Annotated[
        Path | None, typer.Option(help="Write one screen as SVG to this file, and end.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch the flow live: what waits, how fast it goes, limits, streams, orders, positions. `q` ends it.

    It reads the database only, and a bounded number of rows at every look; it may stay open all day.
    """
    with connected() as connection:
        now = database.look(connection)
    if as_json:
        print_json(asdict(now))
        return
    from services.command_line.top_screen import Top, picture_of

    if picture is not None:
        picture.write_text(asyncio.run(picture_of(Top(lambda: now, every))))
    else:
        Top(_look, every).run()


def _look() -> Picture:
    # A connection each time: one that broke needs no care, and a second between two looks leaves time for it.
    with connect(load(DatabaseSettings).work_dsn, application_name="bridge top") as connection:
        return database.look(connection)
