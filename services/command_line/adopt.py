"""PROTOCOL 1: `bridge adopt`: what becomes of a held row is its owner's word."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from psycopg import errors

from services.command_line.exchange_access import access
from services.command_line.order import OrderId  # noqa: TC001 -- typer reads annotations at run time
from services.command_line.session import connected, find_order, max_key_block, operator_name
from services.command_line.settling import compare_epoch, report_of, settle_now
from services.command_line.terminal import SHORT_ID, CommandError, ExitCode, Json, clean, print_json
from shared.database import accounts, adoption, story
from shared.domain.attempt import MAX_ATTEMPTS
from shared.domain.fill import FillOrigin
from shared.domain.order import Market
from shared.domain.states import ExchangeStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any
    from uuid import UUID

    from services.command_line.exchange_access import Access, Looked
    from shared.database.accounts import StoredAccount
    from shared.database.operator import Connection, Row
    from shared.domain.settlement import OrderReport
    from shared.domain.symbol import Instrument

FROM_BEFORE = "from_before"


class Word(StrEnum):
    """What can become of a held row."""

    SEND = "send"
    LINK = "link"
    REJECT = "reject"


def adopt(
    order_id: OrderId,
    word: Annotated[Word, typer.Argument(help="send, link or reject")],
    reason: Annotated[str, typer.Option(help="Why; for the audit trail and, on reject, the row.")] = "",
    exchange_order_id: Annotated[
        int | None, typer.Option(min=1, help="With link: the order's number, where the bot did not send it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide about a held order: send it, link it to an order the exchange has, or reject it.

    Held are rows that waited too long, twins, and rows from before the bridge was switched on. Of the last
    the exchange is asked first whether the bot has sent them itself; those can only be linked or rejected.
    """
    if exchange_order_id is not None and word is not Word.LINK:
        raise CommandError("--exchange-order-id goes with link.", ExitCode.USAGE)
    with connected() as connection:
        identity = find_order(connection, order_id)
        head = _held(connection, identity)
        match word:
            case Word.SEND:
                told = _send(connection, head, reason)
            case Word.LINK:
                told = _link(connection, head, exchange_order_id)
            case _:
                told = _reject(connection, head, reason)
    if as_json:
        print_json({"order": identity, "word": word} | told)
    else:
        typer.echo(told["said"])


def _held(connection: Connection, order_id: UUID) -> Row:
    found = story.read_story(connection, order_id, max_key_block())
    if found is None or found.head["state"] != "held":
        state = found.head["state"] or "not taken in" if found else "gone"
        raise CommandError(
            f"It is {state}, not held, so there is nothing to decide; held ones: bridge orders --state held",
            ExitCode.REFUSED,
        )
    return found.head


def _send(connection: Connection, head: Row, reason: str) -> dict[str, Any]:
    if head["attempts"] >= MAX_ATTEMPTS:
        raise CommandError(
            "All nine attempt numbers of this row are used up: reject it, and let a new row be placed.",
            ExitCode.REFUSED,
        )
    if head["reason_code"] == FROM_BEFORE:
        asyncio.run(_must_not_be_the_bots(head, _account(connection, head)))
    state = adoption.send(connection, head["id"], by=operator_name(), why=reason)
    if state is None:
        raise _changed(head)
    return {"state": state, "said": "Released: it is sent within 5 s, or its row says why not."}


async def _must_not_be_the_bots(head: Row, account: StoredAccount) -> None:
    """Ask whether the bot sent the row itself, under the bare id of the row.

    Raises:
        CommandError: it did, or the exchange could not be asked.

    """
    async with access(account, Market(head["market"])) as exchange:
        instrument = await exchange.instrument(head["symbol"])
        looked = await exchange.look_for(
            instrument.symbol, str(head["id"]), conditional=_is_conditional(head)
        )
    if looked.order is not None:
        raise CommandError(
            f"The bot has sent it itself: {looked.why}. Sending it again would double it; take that order "
            f"for it with: bridge adopt {str(head['id'])[:SHORT_ID]} link",
            ExitCode.REFUSED,
        )
    if not looked.answered:
        raise CommandError(
            f"Whether the bot has sent it itself could not be found out: {looked.why}. Try again.",
            ExitCode.UNREACHABLE,
        )


def _reject(connection: Connection, head: Row, reason: str) -> dict[str, Any]:
    compare_epoch()
    why = reason or "An operator decided that it is not to be sent."
    if not adoption.reject(connection, head["id"], by=operator_name(), why=clean(why)):
        raise _changed(head)
    return {"state": "done", "said": f"Rejected: {clean(why)}"}


def _link(connection: Connection, head: Row, exchange_order_id: int | None) -> dict[str, Any]:
    account = _account(connection, head)
    compare_epoch()
    report = asyncio.run(_linked(connection, head, account, exchange_order_id))
    settled = settle_now(report)
    if not settled.lines:
        raise _changed(head)
    line = settled.lines[0]
    return {
        "state": line.entry_state,
        "status": line.order_status,
        "exchange_order_id": line.exchange_order_id,
        "executed": line.executed,
        "said": f"Linked: order {line.exchange_order_id} of the exchange, {line.order_status}, "
        f"executed {line.executed}.",
    }


async def _linked(
    connection: Connection, head: Row, account: StoredAccount, exchange_order_id: int | None
) -> OrderReport:
    """Find the order, give the row an attempt for it, and read it."""
    async with access(account, Market(head["market"])) as exchange:
        instrument = await exchange.instrument(head["symbol"])
        if exchange_order_id is None:
            looked = await exchange.look_for(
                instrument.symbol, str(head["id"]), conditional=_is_conditional(head)
            )
        else:
            looked = await exchange.look_for_number(instrument.symbol, exchange_order_id)
        order = _linkable(looked, head, exchange_order_id)
        base_url = exchange.rest.base_url
        epoch = accounts.environment_epoch(connection, base_url)
        origin = FillOrigin(account.id, exchange.market, epoch, (instrument.base, instrument.quote))
        # Read before anything is written: a link without its trades would make a wrong position.
        number = head["attempts"] + 1
        report = await report_of(exchange, order, order_id=head["id"], number=number, origin=origin)
        _write_link(connection, head, exchange, instrument, report, epoch)
        return report


def _write_link(
    connection: Connection,
    head: Row,
    exchange: Access,
    instrument: Instrument,
    report: OrderReport,
    environment_epoch: int,
) -> None:
    link = adoption.Link(
        client_order_id=report.client_order_id,
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        lot_step=instrument.filters.lot_step,
        base_url=exchange.rest.base_url,
        environment_epoch=environment_epoch,
        api_key_hash=exchange.credentials.fingerprint,
    )
    try:
        number = adoption.link(connection, head["id"], link, by=operator_name())
    except errors.UniqueViolation:
        raise CommandError(
            f"Order {report.exchange_order_id} belongs to another row already.", ExitCode.REFUSED
        ) from None
    if number != report.number:
        raise _changed(head)


def _linkable(looked: Looked, head: Row, exchange_order_id: int | None) -> Mapping[str, Any]:
    """Return the order to link to.

    Raises:
        CommandError: there is none, it is another kind of order, or it is not over yet.

    """
    if looked.order is None:
        hint = "" if exchange_order_id else " If somebody else sent it: --exchange-order-id N."
        code = ExitCode.NOT_FOUND if looked.answered else ExitCode.UNREACHABLE
        raise CommandError(f"The exchange: {looked.why}.{hint}", code)
    order = looked.order
    if "algoId" in order:
        raise CommandError(
            f"The exchange: {looked.why}; it has become no order yet. Cancel it there or wait until it has "
            "triggered, then link the order it became: --exchange-order-id N.",
            ExitCode.REFUSED,
        )
    if str(order.get("side", "")).lower() != head["side"]:
        raise CommandError(
            f"Order {order.get('orderId')} is a {order.get('side')}, the row is a {head['side']}.",
            ExitCode.REFUSED,
        )
    if not ExchangeStatus(str(order.get("status"))).is_terminal:
        raise CommandError(
            f"Order {order.get('orderId')} still rests at the exchange, where the bridge does not follow "
            "orders of others. Cancel it there or wait until it is over, then link it.",
            ExitCode.REFUSED,
        )
    return order


def _account(connection: Connection, head: Row) -> StoredAccount:
    account = accounts.read_account(connection, head["account_id"])
    if account is None:
        raise CommandError(f"Its account {head['account_id']} is gone.", ExitCode.NOT_FOUND)
    return account


def _is_conditional(head: Row) -> bool:
    """Tell whether the row is an order of the algo service."""
    return head["market"] == Market.FUTURES and str(head["type"]).startswith("stop")


def _changed(head: Row) -> CommandError:
    return CommandError(
        f"It changed meanwhile, or must wait for a re-check; look: bridge order {str(head['id'])[:SHORT_ID]}",
        ExitCode.REFUSED,
    )
