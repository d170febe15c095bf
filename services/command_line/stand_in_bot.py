"""The bot, as far as the database sees it: rows written exactly as the Go program writes them.

Absence is a zero value, never NULL: `exchange_order_id` is '', prices are 0, a missing passphrase or listen
key is an empty bytea; ids are random UUIDs and timestamps come from the bot's host, not from the database.
"""

from __future__ import annotations

import base64
import os
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import sql
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

ENCRYPTION_KEY = (
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # bytes 00..1f; the key of the published vectors
)
API_KEY = "test-api-key-0123456789abcdefghijklmnopqrstuvwxyz0123456789abcd"
API_SECRET = "test-api-secret-0123456789abcdefghijklmnopqrstuvwxyz0123456789"  # noqa: S105 - of nobody

Row = dict[str, Any]


def encrypt(plaintext: str, key: str = ENCRYPTION_KEY) -> bytes:
    """Encrypt as the bot does: AES-256-GCM, 12-byte nonce || ciphertext || tag, no associated data."""
    nonce = os.urandom(12)
    return nonce + AESGCM(base64.b64decode(key)).encrypt(nonce, plaintext.encode(), None)


class Bot:
    """One connection of the bot.

    Args:
        dsn: where the bot's tables are, as whatever role the bot has there.
        encryption_key: of the accounts' keys.

    """

    def __init__(self, dsn: str, encryption_key: str = ENCRYPTION_KEY) -> None:
        self.encryption_key = encryption_key
        self.connection = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()

    def user(self, **columns: Any) -> UUID:
        """Insert a user who came by Telegram; returns the id."""
        now = datetime.now(UTC)
        identity = uuid.uuid4()
        return self._insert(
            "users",
            {
                "id": identity,
                "telegram_id": identity.int >> 80,
                "telegram_username": "trader",
                "first_name": "T",
                "last_name": "",
                "language_code": "en",
                "email": None,
                "password_hash": None,
                "is_active": True,
                "is_premium": False,
                "settings": "{}",
                "limit_profile_id": None,
                "created_at": now,
                "updated_at": now,
            },
            columns,
        )

    def account(
        self,
        user_id: UUID,
        *,
        api_key: str = API_KEY,
        secret: str = API_SECRET,
        encryption_key: str | None = None,
        **columns: Any,
    ) -> UUID:
        """Insert a testnet account at Binance with encrypted keys; returns the id."""
        now = datetime.now(UTC)
        identity = uuid.uuid4()
        return self._insert(
            "exchange_accounts",
            {
                "id": identity,
                "user_id": user_id,
                "exchange": "binance",
                "label": f"binance {identity}",
                "api_key_encrypted": encrypt(api_key, encryption_key or self.encryption_key),
                "secret_encrypted": encrypt(secret, encryption_key or self.encryption_key),
                "passphrase": b"",
                "is_testnet": True,
                "permissions": ["read", "trade"],
                "is_active": True,
                "last_sync_at": None,
                "listen_key_encrypted": b"",
                "listen_key_expires_at": None,
                "created_at": now,
                "updated_at": now,
            },
            columns,
        )

    def strategy(self, user_id: UUID, **columns: Any) -> UUID:
        """Insert a strategy with 1000 USDT, all of it still cash; returns the id."""
        now = datetime.now()  # noqa: DTZ005 -- the bot writes its host's local time into naive columns
        return self._insert(
            "user_strategies",
            {
                "id": uuid.uuid4(),
                "user_id": user_id,
                "name": "Portfolio",
                "description": "",
                "status": "active",
                "allocated_capital": Decimal(1000),
                "current_equity": Decimal(1000),
                "cash_reserve": Decimal(1000),
                "market_type": "spot",
                "risk_tolerance": "moderate",
                "rebalance_frequency": "weekly",
                "target_allocations": '{"BTC/USDT": 0.5}',
                "total_pnl": Decimal(0),
                "total_pnl_percent": Decimal(0),
                "created_at": now,
                "updated_at": now,
                "reasoning_log": "[]",
            },
            columns,
        )

    def order(self, user_id: UUID, account_id: UUID, **columns: Any) -> UUID:
        """Insert one pending order, by default a market buy of BTC/USDT for 350 USDT; returns the id."""
        row = order_row(user_id, account_id, **columns)
        return self._insert("orders", row, {})

    def orders(self, rows: Iterable[Mapping[str, Any]]) -> list[UUID]:
        """Insert many orders (see `order_row`) with one INSERT statement; returns their ids."""
        listed = list(rows)
        one = sql.SQL("({})").format(sql.SQL(", ").join(sql.Placeholder() * len(listed[0])))
        self.connection.execute(
            sql.SQL("INSERT INTO orders ({}) VALUES {}").format(
                sql.SQL(", ").join(map(sql.Identifier, listed[0])), sql.SQL(", ").join([one] * len(listed))
            ),
            [value for row in listed for value in row.values()],
        )
        return [row["id"] for row in listed]

    def copy_orders(self, rows: Iterable[Mapping[str, Any]]) -> list[UUID]:
        """Insert many orders (see `order_row`) with COPY; returns their ids."""
        listed = list(rows)
        statement = sql.SQL("COPY orders ({}) FROM STDIN").format(
            sql.SQL(", ").join(map(sql.Identifier, listed[0]))
        )
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in listed:
                copy.write_row(list(row.values()))
        return [row["id"] for row in listed]

    def trip_breaker(self, user_id: UUID, reason: str = "daily drawdown", **columns: Any) -> None:
        """Trip the user's circuit breaker, as the bot's kill switch does."""
        now = datetime.now(UTC)
        row = {"is_triggered": True, "triggered_at": now, "trigger_reason": reason} | columns
        self.connection.execute("DELETE FROM circuit_breaker_states WHERE user_id = %s", [user_id])
        self._insert(
            "circuit_breaker_states", {"user_id": user_id, "updated_at": now}, row, returning="user_id"
        )

    def cancel(self, order_id: UUID) -> None:
        """Cancel as the bot's tool does: by id, whatever the status, without asking the exchange."""
        self.connection.execute(
            "UPDATE orders SET status = 'canceled', updated_at = now() WHERE id = %s", [order_id]
        )

    def read_order(self, order_id: UUID) -> Row:
        """Read one order, all columns, as the bot does."""
        row = self.connection.execute("SELECT * FROM orders WHERE id = %s", [order_id]).fetchone()
        assert row is not None, f"no order {order_id}"
        return row

    def read_positions(self, user_id: UUID) -> list[Row]:
        """Read a user's positions, oldest first."""
        return self.connection.execute(
            "SELECT * FROM positions WHERE user_id = %s ORDER BY opened_at, id", [user_id]
        ).fetchall()

    def _insert(self, table: str, defaults: Row, columns: Row, *, returning: str = "id") -> UUID:
        row = defaults | columns
        inserted = self.connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
                sql.Identifier(table),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(sql.Placeholder() * len(row)),
                sql.Identifier(returning),
            ),
            list(row.values()),
        ).fetchone()
        assert inserted is not None
        identity: UUID = inserted[returning]
        return identity


def order_row(user_id: UUID, account_id: UUID, **columns: Any) -> Row:
    """Build a pending order with every column the bot writes; the zero values are the bot's."""
    now = datetime.now(UTC)
    row: Row = {
        "id": uuid.uuid4(),
        "user_id": user_id,
        "strategy_id": None,
        "exchange_account_id": account_id,
        "exchange_order_id": "",
        "symbol": "BTC/USDT",
        "market_type": "spot",
        "side": "buy",
        "type": "market",
        "status": "pending",
        "price": Decimal(0),
        "amount": Decimal(350),
        "filled_amount": Decimal(0),
        "avg_fill_price": Decimal(0),
        "stop_price": Decimal(0),
        "reduce_only": False,
        "agent_id": "",
        "reasoning": "",
        "parent_order_id": None,
        "fee": Decimal(0),
        "fee_currency": "",
        "created_at": now,
        "updated_at": now,
        "filled_at": None,
    }
    return row | columns
