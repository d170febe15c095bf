"""`bridge order`: one order's whole story, in time order, and what its operator can do next."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.session import connected, find_order, max_key_block
from services.command_line.terminal import (
    SHORT_ID,
    CommandError,
    ExitCode,
    Json,
    cell,
    clean,
    duration,
    moment,
    print_json,
)
from shared.database import story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.database.operator import Row
    from shared.database.story import Story

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="Its id, or the beginning of it.")]


def order(order_id: OrderId, as_json: Json = False) -> None:
    """Tell one order's whole story: row, entry, attempts, evidence, questions, events and fills."""
    with connected() as connection:
        found = story.read_story(connection, find_order(connection, order_id), max_key_block())
    if found is None:
        raise CommandError(f"There is no order {order_id}.", ExitCode.NOT_FOUND)
    steps = _next_steps(found.head)
    if as_json:
        print_json(asdict(found) | {"next": steps})
        return
    typer.echo(_head(found.head))
    typer.echo("")
    for at, what in timeline(found):
        typer.echo(f"{moment(at)}  {what}")
    if steps:
        typer.echo("\n" + "\n".join(steps))


def _head(head: Row) -> str:
    amount = f"amount {cell(head['amount'])}"
    amount += f" at {cell(head['price'])}" if head["price"] else ""
    amount += f", stop {cell(head['stop_price'])}" if head["stop_price"] else ""
    amount += ", reduce-only" if head["reduce_only"] else ""
    status = head["status"]
    if head["filled"]:
        status += f", filled {cell(head['filled'])} at {cell(head['average_price'])}"
    if head["fee"]:
        status += f", fee {cell(head['fee'])} {cell(head['fee_currency'])}"
    environment = "testnet" if head["is_testnet"] else "real money"
    lines = [
        ("order", str(head["id"])),
        ("row", f"{head['side']} {head['type']} {cell(head['symbol'])} ({head['market']}), {amount}"),
        ("status", status),
        ("account", f"{head['account_id']} {cell(head['account_label'])} ({environment})"),
        ("user", str(head["user_id"])),
        ("entry", _entry(head)),
    ]
    if head["reasoning"]:
        lines.append(("reason", clean(head["reasoning"])))
    if head["parent_order_id"]:
        lines.append(("parent", str(head["parent_order_id"])))
    return "\n".join(f"{name:8} {text}" for name, text in lines)


def _entry(head: Row) -> str:
    if head["state"] is None:
        return "none: the bridge has not taken it in"
    code = f" [{head['reason_code']}]" if head["reason_code"] else ""
    why = f": {clean(head['reason'])}" if head["reason"] else ""
    return f"{head['state']}{code}{why}; {head['attempts']} attempts, {head['counted']} judged absent"


def timeline(found: Story) -> list[tuple[datetime, str]]:
    """Put everything that happened to an order into one line of time."""
    # Of things at the same moment, those that cause others come first.
    moments = [*_row(found.head)]
    for parts, tell in (
        (found.attempts, _attempt),
        (found.evidence, _evidence),
        (found.questions, _question),
        (found.fills, _fill),
        (found.events, _event),
    ):
        for part in parts:
            moments += tell(part)
    return sorted(moments, key=lambda item: item[0])


def _row(head: Row) -> Iterator[tuple[datetime, str]]:
    if head["created_at"] is not None:
        yield head["created_at"], "row       the bot inserted it (by the bot's clock)"
    if head["taken_in_at"] is not None:
        yield head["taken_in_at"], "entry     taken in"


def _attempt(attempt: Row) -> Iterator[tuple[datetime, str]]:
    what = f"attempt   {attempt['number']}:"
    deadline = datetime.fromtimestamp((attempt["signed_at_ms"] + attempt["recv_window_ms"]) / 1000, UTC)
    claimed = f"{what} claimed as {clean(attempt['client_order_id'])} for {clean(attempt['base_url'])}"
    sent = f"{'':36}{clean(attempt['parameters'])}"
    yield attempt["claimed_at"], f"{claimed}, deadline {moment(deadline)}, epoch {attempt['epoch']}\n{sent}"
    if attempt["cancel_sent_at"] is not None:
        yield attempt["cancel_sent_at"], f"{what} cancel sent to the exchange"
    if attempt["settled_at"] is None:
        return
    text = f"{what} {attempt['outcome']}"
    text += f", {attempt['exchange_status']}" if attempt["exchange_status"] else ""
    text += f", executed {cell(attempt['executed'])}" if attempt["executed"] else ""
    gap = attempt["executed"] - attempt["filled"]
    text += f", GAP: fills of {cell(gap)} are missing" if gap else ""
    text += f": {clean(attempt['reason'])}" if attempt["reason"] else ""
    yield attempt["settled_at"], text


def _evidence(seen: Row) -> Iterator[tuple[datetime, str]]:
    late = ", LATE: it had been settled as not existing" if seen["late"] else ""
    order = f"order {clean(seen['exchange_order_id'])} {clean(seen['exchange_status'])}"
    yield seen["seen_at"], f"evidence  {seen['number']}: {seen['source']} shows {order}{late}"


def _question(question: Row) -> Iterator[tuple[datetime, str]]:
    detail = f" ({clean(question['detail'])})" if question["detail"] else ""
    what = f"{question['number']}: {question['kind']}: {question['result']}{detail}"
    yield question["asked_at"], f"question  {what}"


def _event(event: Row) -> Iterator[tuple[datetime, str]]:
    number = f"{event['number']}: " if event["number"] else ""
    texts = [f"{key} {clean(str(value))}" for key, value in event["data"].items() if value not in (None, "")]
    data = f" ({', '.join(texts)})" if texts else ""
    yield event["at"], f"event     {number}{event['kind']}{data}"


def _fill(fill: Row) -> Iterator[tuple[datetime, str]]:
    fee = f", fee {cell(fill['commission'])} {cell(fill['commission_asset'])}" if fill["commission"] else ""
    counted = "" if fill["applied"] else ", not yet counted into a position"
    what = f"{fill['side']} {cell(fill['quantity'])} at {cell(fill['price'])}{fee}"
    yield fill["traded_at"], f"fill      {what} (trade {fill['trade_id']}, from {fill['source']}{counted})"


def _next_steps(head: Row) -> list[str]:
    short = str(head["id"])[:SHORT_ID]
    match head["state"]:
        case None if head["status"] == "pending":
            return ["A running executor takes it in within 5 s; `bridge doctor` says what is wrong."]
        case "held":
            return [
                "Held: it is sent only on your word.",
                f"  bridge adopt {short} send      send it now",
                f"  bridge adopt {short} link      the exchange has it already: take that order for it",
                f"  bridge adopt {short} reject    it is not to be sent",
            ]
        case "unknown":
            return [
                "Unknown: it is asked about until the exchange shows it or its absence is proven.",
                f"If that cannot be: bridge resolve {short} --placed, or --not-placed.",
            ]
        case "new" | "backoff" if head["reason"]:
            return [f"It has waited for {duration(head['age'])}, and goes on by itself."]
        case "new" | "backoff":
            return [
                f"It has waited for {duration(head['age'])}, and no executor has looked at it.",
                "`bridge doctor` says whether one is running.",
            ]
        case _:
            return []
