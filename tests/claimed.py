"""Orders as they stand right after a claim, and what the exchange says about them, for tests of settling."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from shared.database import epoch
from shared.domain.attempt import client_order_id
from shared.domain.fill import FillOrigin
from shared.domain.order import Market
from shared.domain.reports import report_of_event

if TYPE_CHECKING:
    from shared.database.connect import Connection
    from shared.domain.settlement import OrderReport
    from tests.bot import Bot

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
BASE_URL = "http://127.0.0.1:1"


@dataclass
class Claimed:
    """One order in flight; `event` writes what the user stream says about it."""

    order_id: UUID
    account_id: UUID
    token: UUID
    base: str
    quote: str
    exchange_order_id: int
    side: str
    number: int = 1
    executed: Decimal = Decimal(0)
    executed_quote: Decimal = Decimal(0)
    moment: datetime = START
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def origin(self) -> FillOrigin:
        """What the payloads do not say."""
        return FillOrigin(self.account_id, Market.SPOT, 1, (self.base, self.quote))

    def event(self, **keys: Any) -> dict[str, Any]:
        """Write one `executionReport`; by default the order's NEW."""
        now = int(self.moment.timestamp() * 1000)
        event = {
            "e": "executionReport", "E": now, "T": now, "s": self.base + self.quote, "S": self.side.upper(),
            "c": client_order_id(self.order_id, self.number), "C": "", "i": self.exchange_order_id,
            "x": "NEW", "X": "NEW", "z": str(self.executed), "Z": str(self.executed_quote),
            "l": "0", "L": "0", "Y": "0", "n": "0", "N": None, "t": -1, "m": False,
        }  # fmt: skip
        event |= keys
        self.events.append(event)
        return event

    def trade(
        self,
        trade_id: int,
        quantity: str,
        price: str,
        *,
        fee: str = "0",
        asset: str | None = None,
        last: bool = False,
        after_ms: int = 1,
    ) -> dict[str, Any]:
        """Write the event of one execution, some time after the one before."""
        self.moment += timedelta(milliseconds=after_ms)
        self.executed += Decimal(quantity)
        self.executed_quote += Decimal(quantity) * Decimal(price)
        return self.event(
            x="TRADE", X="FILLED" if last else "PARTIALLY_FILLED", t=trade_id, l=quantity, L=price,
            Y=str(Decimal(quantity) * Decimal(price)), n=fee, N=asset,
        )  # fmt: skip

    def report(self, event: dict[str, Any]) -> OrderReport:
        """Read an event the way the listener does."""
        report = report_of_event(event, self.origin)
        assert report is not None
        return report

    def reports(self) -> list[OrderReport]:
        """Read all events so far."""
        return [self.report(event) for event in self.events]


async def claimed(
    connection: Connection,
    bot: Bot,
    account: tuple[UUID, UUID],
    *,
    base: str = "BTC",
    quote: str = "USDT",
    lot_step: str = "0.00001",
    exchange_order_id: int = 100,
    parameters: str = "",
    **columns: Any,
) -> Claimed:
    """Insert an order as the bot does and put it where a claim leaves it.

    Args:
        connection: as the bridge's role.
        bot: writes the row.
        account: (user, account).
        base: base asset.
        quote: quote asset.
        lot_step: of the symbol.
        exchange_order_id: what the exchange will call it.
        parameters: what was signed.
        columns: of the row; `market_type` decides the market.

    """
    user_id, account_id = account
    await epoch.current(connection, quarantine=timedelta(0))
    order_id = bot.order(user_id, account_id, symbol=f"{base}/{quote}", **columns)
    token = uuid4()
    async with connection.transaction():
        await connection.execute("UPDATE public.orders SET status = 'open' WHERE id = $1", order_id)
        await connection.execute(
            "UPDATE bridge.outbox SET state = 'sending', attempts = 1, token = $2, owner = 'test', "
            "lease_until = clock_timestamp() + interval '30 s' WHERE order_id = $1",
            order_id,
            token,
        )
        await connection.execute(
            "INSERT INTO bridge.attempt (order_id, number, client_order_id, account_id, user_id, market, "
            "symbol, parameters, signed_at_ms, recv_window_ms, base_url, api_key_hash, epoch, token, "
            "base_asset, quote_asset, lot_step) "
            "VALUES ($1, 1, $2, $3, $10, $11, $4, $12, 0, 5000, $5, '', 1, $6, $7, $8, $9)",
            order_id,
            client_order_id(order_id, 1),
            account_id,
            base + quote,
            BASE_URL,
            token,
            base,
            quote,
            Decimal(lot_step),
            user_id,
            str(columns.get("market_type", Market.SPOT)),
            parameters,
        )
    return Claimed(
        order_id,
        account_id,
        token,
        base,
        quote,
        exchange_order_id,
        str(columns.get("side", "buy")),
        # The exchange hands out rising numbers: a later order trades later.
        moment=START + timedelta(seconds=exchange_order_id),
    )
