"""PROTOCOL 7: `bridge resolve`: an operator settles an attempt that nobody can find out about.

The exchange is asked first. What it shows is believed, whatever the operator says; only where it shows
nothing, or cannot be asked, does his word count.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from services.command_line.exchange_access import Looked, NotAskedError, access, base_url_of
from services.command_line.order import OrderId  # noqa: TC001 -- typer reads annotations at run time
from services.command_line.session import connected, find_order, operator_name
from services.command_line.settling import compare_epoch, report_of, settle_now
from services.command_line.terminal import SHORT_ID, CommandError, ExitCode, Json, moment, print_json
from shared.database import accounts, resolution
from shared.domain.attempt import SigningWindow
from shared.domain.fill import FillOrigin
from shared.domain.money import ZERO
from shared.domain.order import Market
from shared.domain.settlement import OrderReport, Outcome
from shared.domain.states import AttemptOutcome, EntryState, ExchangeStatus
from shared.settings import ProtocolSettings, load

if TYPE_CHECKING:
    from uuid import UUID

    from services.command_line.exchange_access import Access
    from shared.database.accounts import StoredAccount
    from shared.database.operator import Connection, Row
    from shared.database.settle import Finding

CLOCK_MARGIN_MS = 5000


@dataclass(frozen=True, slots=True)
class _Found:
    """What the exchange was found to have, and what it said where it has nothing."""

    report: OrderReport | None
    looked: Looked


def resolve(
    order_id: OrderId,
    placed: Annotated[
        bool,
        typer.Option("--placed/--not-placed", help="What you know: it is at the exchange, or it is not."),
    ],
    retry: Annotated[
        bool, typer.Option("--retry", help="With --not-placed: send it again instead of rejecting it.")
    ] = False,
    exchange_order_id: Annotated[
        int | None,
        typer.Option(min=1, help="With --placed: the order's number, as the exchange's own page shows it."),
    ] = None,
    without_asking: Annotated[
        bool,
        typer.Option(
            "--without-asking", help="With --not-placed: go on although the exchange cannot be asked."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Settle an order whose fate is unknown and cannot be found out.

    The exchange is asked first. What it shows counts: --not-placed is refused while the order is visible
    (exit code 4), and it is settled as placed. --not-placed ends the row rejected, unless --retry. Look at
    the account on the exchange's own page before you say so: what you say cannot be taken back.
    """
    if (placed and (retry or without_asking)) or (not placed and exchange_order_id is not None):
        raise CommandError(
            "--retry and --without-asking go with --not-placed, --exchange-order-id with --placed.",
            ExitCode.USAGE,
        )
    with connected() as connection:
        identity = find_order(connection, order_id)
        case = _case(connection, identity)
        account = accounts.read_account(connection, case["account_id"])
        if account is None:
            raise CommandError(f"Its account {case['account_id']} is gone.", ExitCode.NOT_FOUND)
        epoch = accounts.environment_epoch(connection, base_url_of(account, Market(case["market"])))
        if not placed:
            _not_too_early(case)
        found = _ask(case, account, epoch, exchange_order_id)
        if found.report is None:
            finding = _word(connection, case, found.looked, placed, retry, exchange_order_id, without_asking)
        else:
            finding = found.report
            _note(connection, identity, placed=placed, retry=retry, why=found.looked.why)
        settled = settle_now(finding)
    if not settled.lines:
        raise CommandError(
            f"It was settled by somebody else meanwhile; look: bridge order {str(identity)[:SHORT_ID]}",
            ExitCode.REFUSED,
        )
    line = settled.lines[0]
    if as_json:
        print_json(
            {
                "order": identity,
                "attempt": line.number,
                "exchange": found.looked.why,
                "outcome": line.outcome,
                "state": line.entry_state,
                "status": line.order_status,
            }
        )
    else:
        typer.echo(f"The exchange: {found.looked.why}.")
        typer.echo(f"Settled: attempt {line.number} is {line.outcome}, the row is {line.order_status}.")
        if line.entry_state is EntryState.BACKOFF:
            typer.echo("It is sent again under the next number.")
    if found.report is not None and not placed:
        raise CommandError(
            "Refused: the order is at the exchange, so it was settled as placed. To get rid of it: "
            f"bridge cancel {str(identity)[:SHORT_ID]}",
            ExitCode.REFUSED,
        )


def _case(connection: Connection, order_id: UUID) -> Row:
    """Read the unknown attempt.

    Raises:
        CommandError: there is none.

    """
    case = resolution.read_case(connection, order_id)
    if case is None:
        raise CommandError("The bridge has not taken this order in.", ExitCode.NOT_FOUND)
    compare_epoch(case["account_id"])  # also makes an attempt unknown whose worker died
    case = resolution.read_case(connection, order_id)
    assert case is not None
    if case["state"] != EntryState.UNKNOWN:
        short = str(order_id)[:SHORT_ID]
        raise CommandError(
            f"It is {case['state']}, not unknown, so there is nothing to settle; look: bridge order {short}",
            ExitCode.REFUSED,
        )
    if case["awaits_round"]:
        raise CommandError(
            "The database changed under us, and the exchange has not been asked for all nine ids of this row "
            "yet (PROTOCOL 10). A running executor does it after the quarantine: bridge epoch show",
            ExitCode.REFUSED,
        )
    return case


def _not_too_early(case: Row) -> None:
    """Refuse to call an order absent that may still be on its way."""
    protocol = load(ProtocolSettings)
    earliest = (
        case["claimed_at"]
        + timedelta(milliseconds=case["recv_window_ms"])
        + protocol.engine_delay
        + protocol.query_lag
    )
    if case["now"] < earliest:
        raise CommandError(
            f"Too early: until {moment(earliest)} the request may still take effect, or the exchange's "
            "queries may lag behind. Try again then.",
            ExitCode.REFUSED,
        )


def _ask(case: Row, account: StoredAccount, environment_epoch: int, exchange_order_id: int | None) -> _Found:
    """Ask the exchange for the attempt, by its own id and in the lists, then by the number given."""
    if (
        case["base_url"] != base_url_of(account, Market(case["market"]))
        or case["environment_epoch"] != environment_epoch
    ):
        why = f"it was sent to {case['base_url']}, which is another exchange than the account's now"
        return _Found(None, Looked(None, answered=False, why=why))
    try:
        return asyncio.run(_look(case, account, exchange_order_id))
    except NotAskedError as error:
        return _Found(None, Looked(None, answered=False, why=str(error).rstrip(".")))


async def _look(case: Row, account: StoredAccount, exchange_order_id: int | None) -> _Found:
    window = SigningWindow(case["signed_at_ms"], case["recv_window_ms"])
    async with access(account, Market(case["market"])) as exchange:
        looked = await exchange.look_for(
            case["symbol"],
            case["client_order_id"],
            since_ms=window.signed_at_ms - CLOCK_MARGIN_MS,
            conditional=case["conditional"],
        )
        if looked.order is None and exchange_order_id is not None:
            by_number = await exchange.look_for_number(case["symbol"], exchange_order_id)
            _must_be_ours(by_number, case["client_order_id"], exchange_order_id)
            looked = by_number if by_number.order is not None else looked
        if looked.order is not None:
            return _Found(await _report(exchange, case, looked), looked)
        if exchange.credentials.fingerprint != case["api_key_hash"]:
            why = "the account's key is not the one it was sent with, so that it is not shown proves nothing"
            return _Found(None, Looked(None, answered=False, why=why))
        return _Found(None, looked)


def _must_be_ours(looked: Looked, client_order_id: str, number: int) -> None:
    """Refuse another order's number.

    Raises:
        CommandError: the exchange shows another order under it, or says that there is none.

    """
    if looked.order is not None and looked.order.get("clientOrderId") != client_order_id:
        raise CommandError(
            f"Order {number} is another one: its client order id is not {client_order_id}.", ExitCode.REFUSED
        )
    if looked.order is None and looked.answered:
        raise CommandError(
            f"The exchange has no order {number} of this symbol and account.", ExitCode.REFUSED
        )


async def _report(exchange: Access, case: Row, looked: Looked) -> OrderReport:
    assert looked.order is not None
    origin = FillOrigin(
        case["account_id"],
        exchange.market,
        case["environment_epoch"],
        (case["base_asset"], case["quote_asset"]),
    )
    return await report_of(
        exchange, looked.order, order_id=case["order_id"], number=case["number"], origin=origin
    )


def _word(
    connection: Connection,
    case: Row,
    looked: Looked,
    placed: bool,
    retry: bool,
    exchange_order_id: int | None,
    without_asking: bool,
) -> Finding:
    """Make a finding of the operator's word, where the exchange shows nothing.

    Raises:
        CommandError: his word is not enough.

    """
    if placed and exchange_order_id is None:
        raise CommandError(
            f"The exchange: {looked.why}. If you see the order on the exchange's own page, give its number: "
            "--exchange-order-id N.",
            ExitCode.REFUSED,
        )
    if not placed and not looked.answered and not without_asking:
        raise CommandError(
            f"The exchange could not be asked: {looked.why}. Look at the account on the exchange's own page; "
            "if the order is not there, say so with --without-asking.",
            ExitCode.REFUSED,
        )
    taken = _note(connection, case["order_id"], placed=placed, retry=retry, why=looked.why)
    if placed:
        return OrderReport(
            order_id=case["order_id"],
            number=case["number"],
            account_id=case["account_id"],
            market=Market(case["market"]),
            symbol=case["symbol"],
            client_order_id=case["client_order_id"],
            exchange_order_id=str(exchange_order_id),
            status=ExchangeStatus.NEW,  # the least that can be meant; the listener asks for the rest
            executed=ZERO,
            executed_quote=ZERO,
            occurred_at=datetime.now(UTC),
            source="operator",
            pair=(case["base_asset"], case["quote_asset"]),
        )
    number, token = taken
    return Outcome(
        order_id=case["order_id"],
        number=number,
        token=token,
        outcome=AttemptOutcome.ABSENT,
        reason_code="operator",
        reason=f"Operator {operator_name()} says that it is not at the exchange",
        final=not retry,
    )


def _note(connection: Connection, order_id: UUID, *, placed: bool, retry: bool, why: str) -> tuple[int, UUID]:
    """Write the operator's word into the audit trail, and keep others from settling meanwhile.

    Raises:
        CommandError: it is not unknown any more.

    """
    word = {"word": "placed" if placed else "not_placed", "retry": retry, "exchange": why}
    taken = resolution.take_over(connection, order_id, by=operator_name(), word=word)
    if taken is None:
        raise CommandError("It was settled by somebody else meanwhile.", ExitCode.REFUSED)
    return taken
