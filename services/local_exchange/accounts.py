"""Accounts: their key, their balances, what they have open."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from services.local_exchange.errors import rejected
from services.local_exchange.orders import ZERO
from services.local_exchange.signature import Verifier, verifier_for

if TYPE_CHECKING:
    from services.local_exchange.orders import Order

INSUFFICIENT = "Account has insufficient balance for requested action."


@dataclass(slots=True)
class Balance:
    """What an account holds of one asset."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


@dataclass(slots=True, eq=False)
class Account:
    """One account of the exchange. Rates are fractions: 0.001 is 0.1 %."""

    name: str
    uid: int
    api_key: str
    verifier: Verifier
    balances: dict[str, Balance] = field(default_factory=dict)
    maker_rate: Decimal = Decimal("0.001")
    taker_rate: Decimal = Decimal("0.001")
    bnb_discount: bool = False
    can_trade: bool = True
    key_revoked: bool = False
    update_time: int = 0
    futures_balances: dict[str, Decimal] = field(default_factory=dict)
    max_asset: dict[str, Decimal] = field(default_factory=dict)
    open_orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    open_client_ids: dict[tuple[str, str], Order] = field(default_factory=dict)

    def balance(self, asset: str) -> Balance:
        """Return the balance of an asset, zero if the account never had any."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found

    def lock(self, asset: str, amount: Decimal) -> None:
        """Set money aside for a resting order.

        Raises:
            ExchangeError: -2010 when less than that is free.

        """
        balance = self.balance(asset)
        if balance.free < amount:
            raise rejected(INSUFFICIENT)
        balance.free -= amount
        balance.locked += amount

    def release(self, asset: str, amount: Decimal) -> None:
        """Give locked money back."""
        balance = self.balance(asset)
        balance.locked -= amount
        balance.free += amount


@dataclass(slots=True)
class Accounts:
    """All accounts, by API key and by name."""

    by_key: dict[str, Account] = field(default_factory=dict)
    by_name: dict[str, Account] = field(default_factory=dict)

    def add(self, description: dict[str, Any]) -> Account:
        """Open an account from its description in an accounts file or an admin request.

        Args:
            description: `name`, `api_key`, one of `secret` (HMAC) or `public_key` (PEM, Ed25519 or RSA), and
                optionally `uid`, `balances`, `futures_balances` (by default the spot USDT), `maker_rate`,
                `taker_rate`, `bnb_discount`, `can_trade`.

        Raises:
            ValueError: a mandatory field is missing or the name or key is taken.

        """
        try:
            name, api_key = str(description["name"]), str(description["api_key"])
        except KeyError as absent:
            raise ValueError(f"An account needs 'name' and 'api_key'; {absent} is missing.") from absent
        if name in self.by_name or api_key in self.by_key:
            raise ValueError(f"Account {name!r} or its key exists already; choose another name and key.")
        account = Account(
            name=name,
            uid=int(description.get("uid", 350_000_000 + len(self.by_name))),
            api_key=api_key,
            verifier=verifier_for(description.get("secret"), description.get("public_key")),
            maker_rate=Decimal(str(description.get("maker_rate", "0.001"))),
            taker_rate=Decimal(str(description.get("taker_rate", "0.001"))),
            bnb_discount=bool(description.get("bnb_discount", False)),
            can_trade=bool(description.get("can_trade", True)),
        )
        for asset, amount in description.get("balances", {}).items():
            account.balance(asset).free = Decimal(str(amount))
        futures = description.get(
            "futures_balances", {"USDT": description.get("balances", {}).get("USDT", 0)}
        )
        account.futures_balances = {asset: Decimal(str(amount)) for asset, amount in futures.items()}
        self.by_name[name] = self.by_key[api_key] = account
        return account
