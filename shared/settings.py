"""Configuration: one frozen model per concern, read from the environment, checked when the process starts.

`docs/configuration.md` is printed from these models by `python -m shared.settings`; a test holds the two
together.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import SecretStr, model_validator

from shared.crypto import EncryptionKeyError, Keyring
from shared.database_settings import DatabaseSettings
from shared.domain.order import Market
from shared.endpoints import Endpoints, ExchangeSettings
from shared.environment import (
    ConfigurationError,
    Duration,
    Items,
    Lower,
    Pairs,
    Settings,
    documentation,
    load,
    name_of,
    variable,
)
from shared.futures_settings import FuturesSettings
from shared.option_settings import OptionSettings

__all__ = [
    "Configuration",
    "ConfigurationError",
    "DatabaseSettings",
    "EncryptionSettings",
    "Endpoints",
    "ExchangeSettings",
    "GuardSettings",
    "OptionSettings",
    "ProtocolSettings",
    "TelemetrySettings",
    "load",
    "load_configuration",
    "refuse_hurried_live_trading",
]

Unit = Literal["quote", "base"]

_ZERO = timedelta(0)


class EncryptionSettings(Settings):
    """The keys of the credentials in `exchange_accounts`, shared with the bot."""

    key: SecretStr = variable("ENCRYPTION_KEY", "The bot's key: standard base64 of 32 bytes. Required.")
    former_keys: SecretStr = variable(
        "BRIDGE_FORMER_ENCRYPTION_KEYS",
        "Keys from before a rotation, comma-separated; they only read. In a file: one a line.",
        SecretStr(""),
    )

    def keyring(self) -> Keyring:
        """Return the keys, the current one first."""
        former = self.former_keys.get_secret_value().replace("\n", ",").split(",")
        return Keyring([self.key.get_secret_value(), *(key.strip() for key in former if key.strip())])

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.keyring()
        except EncryptionKeyError as error:
            raise ValueError(f"ENCRYPTION_KEY or BRIDGE_FORMER_ENCRYPTION_KEYS: {error}") from None
        return self


class ProtocolSettings(Settings):
    """The times and numbers of docs/PROTOCOL.md; crash tests scale them down, live trading refuses that."""

    recv_window_ms: int = variable(
        "BRIDGE_RECV_WINDOW_MS",
        "How long after signing an order may still enter the exchange.",
        5000,
        ge=100,
        le=60000,
    )
    lease: Duration = variable(
        "BRIDGE_LEASE",
        "After it, a silent worker's order is `unknown` (section 7).",
        timedelta(seconds=30),
        gt=_ZERO,
    )
    engine_delay: Duration = variable(
        "BRIDGE_ENGINE_DELAY",
        "Longest delay inside the matching engine (section 7).",
        timedelta(seconds=10),
        ge=_ZERO,
    )
    query_lag: Duration = variable(
        "BRIDGE_QUERY_LAG",
        "Longest lag of the exchange's queries (section 7).",
        timedelta(seconds=50),
        ge=_ZERO,
    )
    gap_wait: Duration = variable(
        "BRIDGE_GAP_WAIT",
        "Wait before an absence is believed while the user stream had a gap (section 7).",
        timedelta(minutes=5),
        ge=_ZERO,
    )
    max_key_block: Duration = variable(
        "BRIDGE_MAX_KEY_BLOCK",
        "Longest wait of a row for an earlier unknown one of its key (section 11).",
        timedelta(seconds=90),
        ge=_ZERO,
    )
    max_order_age: Duration = variable(
        "BRIDGE_MAX_ORDER_AGE",
        "A row that waited longer is held for its owner's word (section 1).",
        timedelta(minutes=15),
        gt=_ZERO,
    )
    twin_window: Duration = variable(
        "BRIDGE_TWIN_WINDOW",
        "Equal rows closer together than this are twins; 0 = off (section 1).",
        timedelta(seconds=5),
        ge=_ZERO,
    )
    sweep_interval: Duration = variable(
        "BRIDGE_SWEEP_INTERVAL",
        "How often rows are looked for that no notification announced (section 1).",
        timedelta(seconds=5),
        gt=_ZERO,
    )
    send_slots: int = variable(
        "BRIDGE_SEND_SLOTS",
        "Orders one executor may have between claim and answer (section 2).",
        64,
        ge=1,
        le=1000,
    )

    @property
    def quarantine(self) -> timedelta:
        """How long rows from before a change of the database stay untouched (section 10).

        The clock's error is at most recvWindow / 4 while anything is claimed (section 8).
        """
        return self.recv_window * 1.25 + self.engine_delay + self.query_lag

    @property
    def recv_window(self) -> timedelta:
        """The same as `recv_window_ms`, as a duration."""
        return timedelta(milliseconds=self.recv_window_ms)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lease <= self.recv_window:
            raise ValueError(
                "BRIDGE_LEASE: it must be longer than BRIDGE_RECV_WINDOW_MS, or answers arrive too late"
            )
        if self.gap_wait < self.engine_delay + self.query_lag:
            raise ValueError(
                "BRIDGE_GAP_WAIT: it must not be shorter than BRIDGE_ENGINE_DELAY plus BRIDGE_QUERY_LAG, "
                "because a gap in the stream makes us wait longer, not shorter"
            )
        return self


class GuardSettings(Settings):
    """What may be sent at all."""

    live_trading: bool = variable(
        "BRIDGE_LIVE_TRADING", "`on` lets accounts with real money trade.", default=False
    )
    bot_executor_off: Annotated[Literal["", "confirmed"], Lower] = variable(
        "BRIDGE_BOT_EXECUTOR_OFF",
        "`confirmed` says that the bot's own executor is off; live trading needs it, or orders double.",
        "",
    )
    standbys_fenced: Annotated[Literal["", "declared"], Lower] = variable(
        "BRIDGE_STANDBYS_FENCED",
        "`declared` says that before a standby is promoted the old primary is always fenced; live trading "
        "with an asynchronous standby needs it.",
        "",
    )
    only_accounts: Annotated[frozenset[UUID], Items] = variable(
        "BRIDGE_ONLY_ACCOUNTS", "Ids of the accounts served, comma-separated; empty = all.", frozenset()
    )
    unit: Unit = variable("BRIDGE_AMOUNT_UNIT", "What `orders.amount` counts: `quote` or `base`.", "quote")
    unit_by_market: Annotated[dict[Market, Unit], Pairs] = variable(
        "BRIDGE_AMOUNT_UNIT_BY_MARKET", "Exceptions by market: `futures=base`.", {}
    )
    unit_by_agent: Annotated[dict[str, Unit], Pairs] = variable(
        "BRIDGE_AMOUNT_UNIT_BY_AGENT",
        "Exceptions by `agent_id`, before those by market: `test_agent=base`.",
        {},
    )
    max_order_usd: Decimal = variable(
        "BRIDGE_MAX_ORDER_USD", "No order is larger, whoever places it.", Decimal(1000), gt=0
    )
    max_position_usd: Decimal = variable(
        "BRIDGE_MAX_POSITION_USD",
        "Cap of a position where `users.settings.max_position_size_usd` is 0 or missing.",
        Decimal(1000),
        gt=0,
    )
    max_exposure_usd: Decimal = variable(
        "BRIDGE_MAX_EXPOSURE_USD",
        "Cap of all positions of a user where `users.settings.max_total_exposure_usd` is 0 or missing.",
        Decimal(5000),
        gt=0,
    )
    max_orders_per_minute: int = variable(
        "BRIDGE_MAX_ORDERS_PER_MINUTE", "Orders of one user; the rest waits.", 60, ge=1
    )
    limit_collar_percent: Decimal = variable(
        "BRIDGE_LIMIT_COLLAR_PERCENT",
        "A limit price that much worse than the book (a buy above it, a sell below) is refused.",
        Decimal(5),
        gt=0,
    )
    resting_collar_percent: Decimal = variable(
        "BRIDGE_RESTING_COLLAR_PERCENT",
        "A limit price that waits farther from the book, or a stop price farther away, is refused.",
        Decimal(50),
        gt=0,
    )
    market_collar_percent: Decimal = variable(
        "BRIDGE_MARKET_COLLAR_PERCENT",
        "A market order that would walk the book farther is refused.",
        Decimal(2),
        gt=0,
    )
    max_price_age: Duration = variable(
        "BRIDGE_MAX_PRICE_AGE", "A price older than this is not fresh.", timedelta(seconds=5), gt=_ZERO
    )

    @property
    def accounts(self) -> list[UUID] | None:
        """The accounts served, None = all."""
        return sorted(self.only_accounts) or None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.live_trading and self.bot_executor_off != "confirmed":
            raise ValueError(
                "BRIDGE_BOT_EXECUTOR_OFF: live trading is on, but nobody said that the bot's own executor "
                "is off; both would send the same rows. Switch it off, then set it to confirmed"
            )
        return self


class TelemetrySettings(Settings):
    """What the processes tell about themselves."""

    metrics_host: str = variable(
        "BRIDGE_METRICS_HOST",
        "Address of /metrics, /healthz and /readyz; `0.0.0.0` in a container.",
        "127.0.0.1",
    )
    metrics_port: int = variable("BRIDGE_METRICS_PORT", "Their port; 0 = any free one.", 9464, ge=0, le=65535)
    metrics_port_file: Path | None = variable(
        "BRIDGE_METRICS_PORT_FILE", "Where the port is written once it is bound.", None
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Lower] = variable(
        "BRIDGE_LOG_LEVEL",
        "`debug`, `info`, `warning` or `error`. An attempt's line (`order.claimed`) is written at any.",
        "info",
    )
    otlp_endpoint: str | None = variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Where traces go, by OTLP over HTTP: `http://collector:4318`. Not set: nowhere.",
        None,
    )
    trace_ratio: float = variable(
        "BRIDGE_TRACE_RATIO", "Share of the orders that are traced.", 1.0, ge=0, le=1
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.otlp_endpoint is not None and urlsplit(self.otlp_endpoint).scheme not in ("http", "https"):
            raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT: it must begin with http:// or https://")
        return self


_HURRY = ("engine_delay", "query_lag", "gap_wait")


def refuse_hurried_live_trading(guards: GuardSettings, protocol: ProtocolSettings) -> None:
    """Refuse to trade real money with the short waits of a crash test.

    An absence believed too early sends an order twice (PROTOCOL 7), so with live trading on the waits may be
    longer than the defaults, never shorter.

    Raises:
        ConfigurationError: naming each wait that is too short.

    """
    model = ProtocolSettings.model_fields
    short = [name_of(model[name]) for name in _HURRY if getattr(protocol, name) < model[name].default]
    if guards.live_trading and short:
        raise ConfigurationError(
            f"{', '.join(short)}: shorter than the default, which is for tests only; remove it, or switch "
            "BRIDGE_LIVE_TRADING off"
        )


class Configuration(NamedTuple):
    """All settings of one process."""

    database: DatabaseSettings
    encryption: EncryptionSettings
    guards: GuardSettings
    exchange: ExchangeSettings
    protocol: ProtocolSettings
    telemetry: TelemetrySettings
    futures: FuturesSettings
    options: OptionSettings

    def secrets(self) -> list[str]:
        """Return every secret of the settings, for the redaction of logs."""
        texts = [
            self.encryption.key.get_secret_value(),
            *self.encryption.former_keys.get_secret_value().replace(",", "\n").split("\n"),
            self.database.password.get_secret_value(),
            self.options.telegram_token.get_secret_value() if self.options.telegram_token else "",
        ]
        urls = [url.get_secret_value() for url in (self.database.url, self.database.listen_url) if url]
        texts += [unquote(urlsplit(url).password or "") for url in urls]
        return [text for text in texts if text]


def load_configuration() -> Configuration:
    """Read everything a service needs from the environment.

    Raises:
        ConfigurationError: naming the variable, what is wrong with it and what to set.

    """
    configuration = Configuration(
        load(DatabaseSettings),
        load(EncryptionSettings),
        load(GuardSettings),
        load(ExchangeSettings),
        load(ProtocolSettings),
        load(TelemetrySettings),
        load(FuturesSettings),
        load(OptionSettings),
    )
    refuse_hurried_live_trading(configuration.guards, configuration.protocol)
    return configuration


MODELS: tuple[type[Settings], ...] = (
    DatabaseSettings,
    EncryptionSettings,
    GuardSettings,
    ExchangeSettings,
    FuturesSettings,
    ProtocolSettings,
    TelemetrySettings,
    OptionSettings,
)

if __name__ == "__main__":
    sys.stdout.write(documentation(MODELS))
