"""PROTOCOL 10: orders at the exchange that are not ours, or that say they are and we do not know them.

Manual orders are recorded and flagged. An order whose client id is the bare id of a row was sent by the bot's
own executor: both of us would trade the same rows, so the account is halted. The same for an order in our id
form that belongs to no row we know: another bridge, a clone, or history we have lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from shared.database import foreign
from shared.database.foreign import ExternalOrder
from shared.database.ledger import store_external_fills
from shared.database.positions import count_fills, lock
from shared.domain.attempt import parse_bot_client_order_id
from shared.domain.fill import LIQUIDATION, FillOrigin, UnreadablePayloadError, decimal_of, object_of, text_of
from shared.domain.futures_fills import fill_from_event
from shared.domain.money import parse_decimal
from shared.domain.order import Market
from shared.domain.reports import client_order_id_of_event, order_of_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from services.fill_listener.apply import Arrival
    from services.fill_listener.venues import Environment
    from shared.database.connect import Connection
    from shared.domain.fill import Fill
    from shared.domain.settlement import OrderReport
    from shared.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

BOT_TRADES = (
    "An order with the bare id of a row is at the exchange: the bot's own executor is trading the same rows. "
    "Switch it off (its worker is hard-wired on), then lift the halt."
)
UNKNOWN_ORDER = (
    "An order in our id form belongs to no row of this database: another bridge, a copy of this database or "
    "lost history trades on the account. Find out which, then lift the halt."
)


_FLAGS: Final = (
    (LIQUIDATION, "liquidation"),
    ("adl_autoclose", "adl"),
    ("settlement_autoclose-", "settlement"),
    ("delivery_autoclose-", "settlement"),
)


def flag_of(client_order_id: str) -> str:
    """Say whose an order that is not ours seems to be, by its client id (Futures docs, "Order Update")."""
    return next((flag for prefix, flag in _FLAGS if client_order_id.startswith(prefix)), "manual")


async def count_in(connection: Connection, fills: Sequence[Fill], source: str) -> None:
    """Store executions of strangers and count them into the positions they move."""
    keys = sorted({(f.account_id, str(f.market), f.symbol) for f in fills})
    async with connection.transaction():
        await lock(connection, keys)
        await store_external_fills(connection, fills, source)
        await count_fills(connection, keys)


class Foreign:
    """Records foreign orders and halts where two parties would trade the same rows.

    Args:
        metrics: of this process.

    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def record(
        self, connection: Connection, environment: Environment, arrivals: Sequence[Arrival]
    ) -> None:
        """Record the orders of some events that are not in our id form."""
        orders = [order for arrival in arrivals if (order := _order(arrival, environment)) is not None]
        new = await self._store(connection, orders)
        if environment.market is Market.FUTURES:
            await self._count_in(connection, environment, arrivals)
        await self._tell(connection, new)

    async def record_orders(self, connection: Connection, orders: Sequence[ExternalOrder]) -> None:
        """Record orders that a question brought and that are not in our id form."""
        await self._tell(connection, await self._store(connection, orders))

    async def _store(self, connection: Connection, orders: Sequence[ExternalOrder]) -> list[ExternalOrder]:
        """Record orders and return those new to us; the bot's own are flagged."""
        rows = {parse_bot_client_order_id(order.client_order_id) for order in orders} - {None}
        bots = await foreign.known_rows(connection, [row for row in rows if row]) if rows else set()
        flagged = [
            replace(order, flag="bot") if parse_bot_client_order_id(order.client_order_id) in bots else order
            for order in orders
        ]
        return await foreign.store_external(connection, flagged)

    async def _tell(self, connection: Connection, new: Sequence[ExternalOrder]) -> None:
        """Count and report orders that are new to us, and halt where the bot trades the same rows."""
        for order in new:
            if order.flag == "liquidation":
                self._metrics.alarms("liquidation").inc()
            self._metrics.foreign_orders(order.market).inc()
            log.warning(
                "order.foreign",
                account_id=str(order.account_id),
                symbol=order.symbol,
                exchange_order_id=order.exchange_order_id,
                flag=order.flag,
            )
        await self._halt(connection, {o.account_id for o in new if o.flag == "bot"}, "bot_trades", BOT_TRADES)

    async def _count_in(
        self, connection: Connection, environment: Environment, arrivals: Sequence[Arrival]
    ) -> None:
        """Count what others traded: the futures exchange keeps one position, whoever trades."""
        fills = []
        for arrival in arrivals:
            order = order_of_event(arrival.event) or {}
            origin = FillOrigin(
                account_id=arrival.account_id,
                market=environment.market,
                environment_epoch=environment.venue.environment_epoch,
                pair=environment.pair(str(order.get("s"))) or ("", ""),
                prices=environment.venue.prices(),
            )
            try:
                fills.append(fill_from_event(arrival.event, origin))
            except UnreadablePayloadError as error:
                self._metrics.alarms("event_unreadable").inc()
                log.warning("event.unreadable", account_id=str(arrival.account_id), error=str(error))
        await count_in(connection, [fill for fill in fills if fill is not None], "stream")

    async def orphans(
        self, connection: Connection, environment: Environment, reports: Sequence[OrderReport]
    ) -> list[OrderReport]:
        """Look into reports that settling knew nothing of.

        Returns:
            Those that belong to another row of the same Binance account, with that account, to settle again.

        """
        accounts = await foreign.accounts_of(connection, {report.order_id for report in reports})
        ours: list[OrderReport] = []
        strange: list[OrderReport] = []
        for report in reports:
            account_id = accounts.get(report.order_id)
            if account_id is None or account_id == report.account_id:
                strange.append(report)
            else:
                ours.append(_on_account(report, account_id))
        if strange:
            await self._record_strange(connection, environment, strange)
        return ours

    async def _record_strange(
        self, connection: Connection, environment: Environment, reports: Sequence[OrderReport]
    ) -> None:
        began = await foreign.installed_at(connection)
        orders = [
            ExternalOrder(
                account_id=report.account_id,
                market=environment.market,
                symbol=report.symbol,
                exchange_order_id=report.exchange_order_id,
                client_order_id=report.client_order_id,
                side="",
                type="",
                status=report.status,
                executed=report.executed,
                flag="before_us" if report.occurred_at < began else "other_bridge",
            )
            for report in reports
        ]
        new = await foreign.store_external(connection, orders)
        halted = {order.account_id for order in new if order.flag == "other_bridge"}
        await self._halt(connection, halted, "unknown_order", UNKNOWN_ORDER)

    async def _halt(self, connection: Connection, accounts: set[UUID], kind: str, reason: str) -> None:
        if not accounts:
            return
        await foreign.halt(connection, accounts, kind, reason)
        self._metrics.bot_conflicts.inc(len(accounts))
        self._metrics.alarms(kind).inc(len(accounts))
        for account_id in accounts:
            log.error("account.halted", account_id=str(account_id), kind=kind, advice=reason)


def _order(arrival: Arrival, environment: Environment) -> ExternalOrder | None:
    order = order_of_event(arrival.event) or {}
    if "aid" in order:
        return None  # somebody else's conditional order; it is recorded when it becomes one
    try:
        client_order_id = client_order_id_of_event(order)
        return ExternalOrder(
            account_id=arrival.account_id,
            market=environment.market,
            symbol=str(order["s"]),
            exchange_order_id=str(order["i"]),
            client_order_id=client_order_id,
            side=str(order["S"]).lower(),
            type=str(order["o"]),
            status=str(order["X"]),
            executed=parse_decimal(order["z"]),
            flag=flag_of(client_order_id),
        )
    except (KeyError, ValueError) as error:
        log.warning("event.unreadable", account_id=str(arrival.account_id), error=str(error))
        return None


def listed(order: Mapping[str, Any], account_id: UUID, market: Market) -> ExternalOrder:
    """Read an order of a list that is not ours.

    Raises:
        UnreadablePayloadError: its symbol or its executed quantity is missing.

    """
    client_order_id = str(object_of(order).get("clientOrderId") or "")
    return ExternalOrder(
        account_id=account_id,
        market=market,
        symbol=text_of(order, "symbol"),
        exchange_order_id=str(order.get("orderId")),
        client_order_id=client_order_id,
        side=str(order.get("side") or "").lower(),
        type=str(order.get("type") or ""),
        status=str(order.get("status") or ""),
        executed=decimal_of(order, "executedQty"),
        flag=flag_of(client_order_id),
    )


def _on_account(report: OrderReport, account_id: UUID) -> OrderReport:
    """Two rows may name the same Binance account; the order says which row it belongs to."""
    fills = tuple(replace(fill, account_id=account_id) for fill in report.fills)
    return replace(report, account_id=account_id, fills=fills)
