"""`bridge place` and `bridge cancel`: what the bot does to its table, done by hand."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.scope import chosen
from services.command_line.session import connected, find_account, find_order, operator_name, parse_id
from services.command_line.terminal import (
    SHORT_ID,
    CommandError,
    ExitCode,
    Json,
    cell,
    print_json,
    table,
)
from shared.database import accounts, controls, preferences
from shared.domain.order import Market, OrderType, Side

if TYPE_CHECKING:
    from uuid import UUID

    from shared.database.operator import Connection, Row

LOOK_EVERY_S = 0.1
LONGEST_SYMBOL = 50  # orders.symbol is varchar(50)
SETTLED = ("held", "unknown", "submitted", "done")


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is no number") from None
    if not number.is_finite() or number < 0:
        raise typer.BadParameter(f"{text} is negative or no number")
    return number


Wait = Annotated[
    float, typer.Option(min=0, help="Seconds to wait for what becomes of it (exit code 6: nothing yet).")
]


def place(
    side: Annotated[Side, typer.Argument(help="buy or sell")],
    symbol: Annotated[str, typer.Argument(help="BTC/USDT")],
    amount: Annotated[
        Decimal,
        typer.Argument(parser=_number, metavar="AMOUNT", help="In quote: 350 = 350 USDT."),
    ],
    account: Annotated[str | None, typer.Option(help="On this account: id, its beginning, or label.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user; the account is then resolved.")] = None,
    strategy: Annotated[str | None, typer.Option(help="For this strategy; its user is known then.")] = None,
    kind: Annotated[OrderType, typer.Option("--type", help="Needs --price or --stop-price.")] = (
        OrderType.MARKET
    ),
    price: Annotated[Decimal, typer.Option(parser=_number, metavar="NUMBER", help="Limit price.")] = Decimal(
        0
    ),
    stop_price: Annotated[
        Decimal, typer.Option(parser=_number, metavar="NUMBER", help="Trigger of a stop order.")
    ] = Decimal(0),
    market: Annotated[Market, typer.Option(help="spot or futures")] = Market.SPOT,
    reduce_only: Annotated[
        bool, typer.Option("--reduce-only", help="It may only make a position smaller.")
    ] = False,
    parent: Annotated[str | None, typer.Option(help="Wait until this order is over.")] = None,
    agent: Annotated[str, typer.Option(help="orders.agent_id")] = "operator",
    reason: Annotated[str, typer.Option(help="orders.reasoning")] = "",
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Place an order: insert a pending row exactly as the bot does; the executor does the rest.

    Without --account it is resolved as `bridge.resolve_account(user, strategy)` does: the account the
    strategy prefers, else the one the user prefers (`bridge accounts prefer`), else his only active one at
    Binance. Exit code 1: it was rejected.
    """
    _check_numbers(kind, symbol, amount, price, stop_price)
    with connected() as connection:
        strategy_id = parse_id(strategy, "strategy") if strategy is not None else None
        account_id, user_id, why = _whose(connection, account, user, strategy_id)
        order_id = preferences.place(
            connection,
            preferences.NewOrder(
                user_id=user_id,
                account_id=account_id,
                symbol=symbol.strip(),
                side=side,
                type=kind,
                amount=amount,
                market=market,
                price=price,
                stop_price=stop_price,
                strategy_id=strategy_id,
                reduce_only=reduce_only,
                agent_id=agent,
                reasoning=reason,
                parent_id=find_order(connection, parent) if parent is not None else None,
            ),
        )
        became = await_order(connection, order_id, wait, SETTLED)
    if as_json:
        print_json({"order": order_id, "account": account_id, "account_chosen": why} | became)
    else:
        typer.echo(f"Placed {order_id} on account {account_id} ({why}).")
        typer.echo(progress(became) if wait else f"Follow it with: bridge order {str(order_id)[:SHORT_ID]}")
    if became["status"] == "rejected":
        raise typer.Exit(ExitCode.FAILED)
    if wait and became["state"] not in SETTLED:
        raise typer.Exit(ExitCode.UNFINISHED)


def _check_numbers(
    kind: OrderType, symbol: str, amount: Decimal, price: Decimal, stop_price: Decimal
) -> None:
    """Refuse what the bot's own service would refuse; everything else is the executor's to judge."""
    missing = []
    if not amount:
        missing.append("the amount must be more than 0")
    if not symbol.strip() or len(symbol.strip()) > LONGEST_SYMBOL:
        missing.append("the symbol is like BTC/USDT")
    if kind.has_limit_price and not price:
        missing.append(f"a {kind} order needs --price")
    if kind.has_trigger and not stop_price:
        missing.append(f"a {kind} order needs --stop-price")
    if missing:
        raise CommandError("Nothing was placed: " + "; ".join(missing) + ".", ExitCode.USAGE)


def _whose(
    connection: Connection, account: str | None, user: str | None, strategy_id: UUID | None
) -> tuple[UUID, UUID, str]:
    """Decide account and user of a new row; returns them and why this account."""
    owner = preferences.strategy_owner(connection, strategy_id) if strategy_id is not None else None
    if strategy_id is not None and owner is None:
        raise CommandError(f"There is no strategy {strategy_id}.", ExitCode.NOT_FOUND)
    user_id = parse_id(user, "user") if user is not None else owner
    if owner is not None and user_id != owner:
        raise CommandError(f"Strategy {strategy_id} belongs to user {owner}.", ExitCode.USAGE)
    if account is not None:
        stored = accounts.read_account(connection, find_account(connection, account))
        assert stored is not None
        if user_id not in (None, stored.user_id):
            raise CommandError(f"Account {stored.id} belongs to user {stored.user_id}.", ExitCode.USAGE)
        return stored.id, stored.user_id, "named"
    if user_id is None:
        raise CommandError("Name --account, --user or --strategy.", ExitCode.USAGE)
    account_id, why = preferences.choose_account(connection, user_id, strategy_id)
    if account_id is None:
        raise CommandError(
            f"No account can be chosen: {why}. Name one with --account, or keep a preference with "
            "`bridge accounts prefer`.",
            ExitCode.REFUSED,
        )
    return account_id, user_id, why


def cancel(
    order_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ORDER]...", help="Their ids, or the beginnings.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="All of this account.")] = None,
    symbol: Annotated[str | None, typer.Option(help="All of this symbol, on all accounts.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Cancel orders the way the bot does; the executor takes them off the exchange within 5 s.

    What was not sent yet is never sent. What filled meanwhile stays filled: the exchange has the last word,
    and the row shows it. New rows are not kept from coming: `bridge halt --cancel-open` does both.
    """
    if sum((bool(order_ids), account is not None, symbol is not None, everything)) != 1:
        raise CommandError("Name orders, or --account, or --symbol, or --all.", ExitCode.USAGE)
    with connected() as connection:
        named = [find_order(connection, text) for text in order_ids] if order_ids else None
        scope = chosen(connection, account, symbol)
        rows = controls.cancel(connection, scope, by=operator_name(), order_ids=named)
        deadline = time.monotonic() + wait
        became = {
            row["id"]: await_order(connection, row["id"], deadline - time.monotonic(), ("done",))
            for row in rows
        }
    if as_json:
        print_json([{"order": row["id"], "before": row["before"]} | became[row["id"]] for row in rows])
    elif not rows:
        typer.echo("Nothing to cancel: none of them is pending, open or partial.")
    else:
        typer.echo(
            table(
                ("order", "was", "is", "state", "filled"),
                [
                    (
                        row["id"],
                        row["before"],
                        became[row["id"]]["status"],
                        became[row["id"]]["state"],
                        became[row["id"]]["filled"],
                    )
                    for row in rows
                ],
            )
        )
    if named and len(rows) < len(set(named)):
        raise typer.Exit(ExitCode.REFUSED)
    if wait and any(one["state"] != "done" for one in became.values()):
        raise typer.Exit(ExitCode.UNFINISHED)


def await_order(connection: Connection, order_id: UUID, seconds: float, states: tuple[str, ...]) -> Row:
    """Look until an order has come to one of the states, or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        progress = preferences.progress(connection, order_id)
        if progress["state"] in states or time.monotonic() >= deadline:
            return progress
        time.sleep(LOOK_EVERY_S)


def progress(row: Row) -> str:
    """Say how far an order is."""
    filled = f", filled {cell(row['filled'])} at {cell(row['average_price'])}" if row["filled"] else ""
    why = f": {cell(row['reason'])}" if row["reason"] else ""
    return f"{row['status']} ({row['state'] or 'not taken in'}){filled}{why}"
