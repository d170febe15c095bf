"""`bridge orders` and `bridge positions`: what there is."""

from __future__ import annotations

import time
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.session import connected, find_account, max_key_block, parse_id
from services.command_line.terminal import Json, cell, moment, print_json, print_json_line, table
from shared.database import story
from shared.domain.order import OrderStatus  # noqa: TC001 -- read at run time
from shared.domain.states import EntryState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.database.operator import Connection, Row


class State(StrEnum):
    """The states of PROTOCOL 12, and the two questions an operator asks most."""

    NEW = "new"
    HELD = "held"
    SENDING = "sending"
    UNKNOWN = "unknown"
    BACKOFF = "backoff"
    SUBMITTED = "submitted"
    DONE = "done"
    WAITING = "waiting"
    OPEN = "open"

    @property
    def entry_states(self) -> tuple[EntryState, ...]:
        """The states of the entry it stands for."""
        if self is State.WAITING:
            return EntryState.NEW, EntryState.BACKOFF
        if self is State.OPEN:
            return tuple(state for state in EntryState if state is not EntryState.DONE)
        return (EntryState(self),)


Many = Annotated[
    list[State] | None,
    typer.Option("--state", help="State of the entry; `waiting` = new or backoff, `open` = not done."),
]
Account = Annotated[str | None, typer.Option(help="On this account: id, its beginning, or label.")]
Symbol = Annotated[str | None, typer.Option(help="In any spelling: BTC/USDT, btcusdt.")]
User = Annotated[str | None, typer.Option(help="Of this user: the whole id.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="No more than this, the newest.")]


def orders(
    state: Many = None,
    status: Annotated[list[OrderStatus] | None, typer.Option(help="Status of the bot's row.")] = None,
    account: Account = None,
    user: User = None,
    symbol: Symbol = None,
    why: Annotated[str | None, typer.Option(help="Reason code: twin, too_old, halted, cap_order ...")] = None,
    since: Annotated[float | None, typer.Option(help="Not older than this many hours.")] = None,
    limit: Limit = 50,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print each change as it happens; end with Ctrl-C.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List orders, the newest first.

    An order has the status the bot sees, and a state of ours: new and backoff wait to be sent, held
    wants your word (`bridge adopt`), sending and unknown may be at the exchange, submitted rests there.
    """
    with connected() as connection:
        wanted = story.Wanted(
            states=tuple(dict.fromkeys(s for one in state for s in one.entry_states)) if state else None,
            statuses=tuple(status) if status else None,
            account_id=find_account(connection, account) if account is not None else None,
            user_id=parse_id(user, "user") if user is not None else None,
            symbol=symbol,
            reason_code=why,
            newer_than=timedelta(hours=since) if since is not None else None,
            limit=limit,
        )
        rows = story.list_orders(connection, wanted, max_key_block())
        if not watch:
            _print_orders(rows, as_json)
            return
        _watch(connection, wanted, rows, as_json)


def _print_orders(rows: Sequence[Row], as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif not rows:
        typer.echo("No order is like that.")
    else:
        typer.echo(
            table(
                (
                    "order",
                    "created",
                    "market",
                    "side",
                    "type",
                    "symbol",
                    "amount",
                    "price",
                    "status",
                    "state",
                    "filled",
                    "why",
                ),
                [_columns(row) for row in rows],
            )
        )


def _columns(row: Row) -> list[object]:
    return [
        row["id"],
        row["created_at"],
        row["market"],
        row["side"],
        row["type"],
        row["symbol"],
        row["amount"],
        row["price"] or None,
        row["status"],
        row["state"] or "not taken in",
        row["filled"],
        row["reason_code"],
    ]


WATCH_EVERY_S = 0.5


def _watch(connection: Connection, wanted: story.Wanted, rows: Sequence[Row], as_json: bool) -> None:
    """Print what is there, then what changed; a slow watcher misses steps between, never the last one."""
    shown: dict[object, tuple[object, ...]] = {}
    try:
        while True:
            for row in reversed(rows):
                key = (row["status"], row["state"], row["filled"], row["reason_code"], row["attempts"])
                if shown.get(row["id"]) == key:
                    continue
                shown[row["id"]] = key
                if as_json:
                    print_json_line(row)
                else:
                    at = row["changed_at"] or row["created_at"]
                    rest = [cell(value) for value in _columns(row)[3:]]
                    typer.echo(f"{moment(at)}  {cell(row['id'])}  {'  '.join(text for text in rest if text)}")
            time.sleep(WATCH_EVERY_S)
            rows = story.list_orders(connection, wanted, max_key_block())
    except KeyboardInterrupt:
        raise typer.Exit from None


def positions(
    closed: Annotated[bool, typer.Option("--closed", help="Closed ones too.")] = False,
    account: Account = None,
    user: User = None,
    symbol: Symbol = None,
    limit: Limit = 200,
    as_json: Json = False,
) -> None:
    """List positions of the ledger, with what the bot's rows show of their profit."""
    with connected() as connection:
        rows = story.list_positions(
            connection,
            closed=closed,
            account_id=find_account(connection, account) if account is not None else None,
            user_id=parse_id(user, "user") if user is not None else None,
            symbol=symbol,
            limit=limit,
        )
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("There is no position like that.")
        return
    typer.echo(
        table(
            (
                "position",
                "market",
                "symbol",
                "side",
                "size",
                "entry",
                "price",
                "unrealized",
                "%",
                "realized",
                "status",
                "account",
            ),
            [
                (
                    row["id"],
                    row["market"],
                    row["symbol"],
                    row["side"],
                    row["size"],
                    row["entry_price"],
                    row["current_price"],
                    row["unrealized_pnl"],
                    row["unrealized_pnl_percent"],
                    row["realized_pnl"],
                    _position_status(row),
                    row["account_id"],
                )
                for row in rows
            ],
        )
    )


def _position_status(row: Row) -> str:
    if row["status"] == "open" and row["bot_closed_at"] is not None:
        return "open, closed by the bot: `bridge flatten` sells it"
    return str(row["status"])
