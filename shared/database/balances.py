"""DESIGN 6: balances at the exchange beside what our fills come to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.database.statements import statement
from shared.domain.order import Market

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

    from shared.database.connect import Connection

_NONE = Decimal(0)
_LEDGERS = {Market.SPOT: "ledger_balances", Market.FUTURES: "ledger_wallet"}
ROUNDING = {Market.SPOT: _NONE, Market.FUTURES: Decimal("0.00001")}
"""What a wallet may move by although nothing happened: futures round the profit of every fill."""


@dataclass(frozen=True, slots=True)
class Balance:
    """What there is of one asset.

    Attributes:
        exchange: spot: free and locked; futures: the wallet, without what is not realized.
        ledger: spot: sum over our fills; futures: realized profit and funding; fees included.
        held: what open spot positions of the ledger hold.

    """

    exchange: Decimal = _NONE
    ledger: Decimal = _NONE
    held: Decimal = _NONE

    @property
    def rest(self) -> Decimal:
        """What did not come by our trading: deposits, and what was there before us."""
        return self.exchange - self.ledger


async def compared(
    connection: Connection,
    account_id: UUID,
    market: Market,
    environment_epoch: int,
    exchange: Mapping[str, Decimal],
) -> dict[str, Balance]:
    """Put what the exchange tells of an account beside the ledger, asset by asset."""
    rows = await connection.fetch(statement(_LEDGERS[market]), account_id, environment_epoch)
    ledger = {row["asset"]: row for row in rows}
    return {
        asset: Balance(
            exchange.get(asset, _NONE),
            ledger[asset]["ledger"] if asset in ledger else _NONE,
            ledger[asset]["held"] if asset in ledger else _NONE,
        )
        for asset in sorted(exchange.keys() | ledger.keys())
    }


async def remembered(
    connection: Connection, account_id: UUID, market: Market, environment_epoch: int
) -> dict[str, Decimal]:
    """Return what did not come by our trading at the last look, by asset; empty when there was none."""
    rows = await connection.fetch(
        "SELECT asset, exchange - ledger AS rest FROM bridge.wallet "
        "WHERE account_id = $1 AND market = $2 AND environment_epoch = $3",
        account_id,
        market,
        environment_epoch,
    )
    return {row["asset"]: row["rest"] for row in rows}


async def write(
    connection: Connection,
    account_id: UUID,
    market: Market,
    environment_epoch: int,
    told: Mapping[str, Balance],
) -> dict[str, Decimal]:
    """Remember a look, and report in the feed what has changed beside our trading; returns it by asset."""
    rows = await connection.fetch(
        statement("write_balances"),
        account_id,
        market,
        environment_epoch,
        list(told),
        [one.exchange for one in told.values()],
        [one.ledger for one in told.values()],
        ROUNDING[market],
    )
    return {row["asset"]: row["change"] for row in rows}


async def traded_symbols(
    connection: Connection, accounts: Collection[UUID], market: str, environment_epoch: int
) -> dict[UUID, list[str]]:
    """Return the symbols that accounts have traded through us."""
    rows = await connection.fetch(statement("traded_symbols"), list(accounts), market, environment_epoch)
    return {row["account_id"]: row["symbols"] for row in rows}
