"""Configuration is read once, refused in words a person can act on, and described by its own page."""

from __future__ import annotations

import os
import traceback
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from shared.domain.order import Market
from shared.environment import documentation
from shared.settings import (
    MODELS,
    ConfigurationError,
    DatabaseSettings,
    EncryptionSettings,
    ExchangeSettings,
    GuardSettings,
    OptionSettings,
    ProtocolSettings,
    TelemetrySettings,
    load,
    load_configuration,
    refuse_hurried_live_trading,
)

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
OTHER_KEY = "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM="


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch):
    """Leave none of our variables from outside."""
    for name in list(os.environ):
        if name.startswith(("BRIDGE_", "POSTGRES_", "ENCRYPTION_", "OTEL_")):
            monkeypatch.delenv(name)


def set_all(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def refusal(model):
    with pytest.raises(ConfigurationError) as caught:
        load(model)
    message = str(caught.value)
    assert (
        "".join(traceback.format_exception(caught.value)).rstrip().endswith(f"ConfigurationError: {message}")
    )
    assert "ValidationError" not in "".join(traceback.format_exception(caught.value))
    return message


def test_the_page_is_printed_from_the_models():
    """docs/configuration.md is what `python -m shared.settings` prints."""
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == documentation(MODELS), (
        "run: python -m shared.settings > docs/configuration.md"
    )


@pytest.mark.parametrize(
    "model", [ExchangeSettings, GuardSettings, OptionSettings, ProtocolSettings, TelemetrySettings]
)
def test_defaults_are_complete(model):
    """Only the database and the key have to be named."""
    load(model)


def test_the_defaults_of_the_protocol():
    """The numbers are those PROTOCOL names."""
    protocol = load(ProtocolSettings)
    assert protocol.recv_window == timedelta(seconds=5)
    assert (protocol.engine_delay, protocol.query_lag) == (timedelta(seconds=10), timedelta(seconds=50))
    assert (protocol.gap_wait, protocol.max_order_age) == (timedelta(minutes=5), timedelta(minutes=15))
    assert (protocol.max_key_block, protocol.twin_window) == (timedelta(seconds=90), timedelta(seconds=5))
    assert protocol.sweep_interval == timedelta(seconds=5)


def test_a_model_is_frozen():
    """Settings do not change after the start."""
    with pytest.raises(ValidationError):
        load(ProtocolSettings).send_slots = 1


@pytest.mark.parametrize(
    ("text", "duration"),
    [("2", 2), ("0.25", 0.25), ("PT5M", 300), ("PT0.5S", 0.5)],
)
def test_durations(monkeypatch, text, duration):
    """Durations are seconds or ISO 8601."""
    monkeypatch.setenv("BRIDGE_SWEEP_INTERVAL", text)
    assert load(ProtocolSettings).sweep_interval == timedelta(seconds=duration)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "inf", "1e400", "5 s"])
def test_impossible_durations(monkeypatch, text):
    """A duration that is none is refused with its variable, its meaning and its default."""
    monkeypatch.setenv("BRIDGE_SWEEP_INTERVAL", text)
    message = refusal(ProtocolSettings)
    assert message.startswith("BRIDGE_SWEEP_INTERVAL: ")
    assert "how often rows are looked for" in message.lower()
    assert "Default: 5 s" in message


def test_every_fault_is_named_at_once(monkeypatch):
    """A person mends all variables in one round."""
    set_all(monkeypatch, BRIDGE_SEND_SLOTS="many", BRIDGE_LEASE="-3", BRIDGE_RECV_WINDOW_MS="90000")
    lines = refusal(ProtocolSettings).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "BRIDGE_RECV_WINDOW_MS",
        "BRIDGE_LEASE",
        "BRIDGE_SEND_SLOTS",
    ]


def test_nothing_but_the_named_variable_counts(monkeypatch):
    """Fields are not read from variables of their own name, and an empty variable is one that is not set."""
    set_all(monkeypatch, lease="1", LEASE="1", live_trading="on", BRIDGE_LEASE="")
    assert load(ProtocolSettings).lease == timedelta(seconds=30)
    assert not load(GuardSettings).live_trading


def test_a_misspelled_switch_is_refused(monkeypatch):
    """A BRIDGE_ variable that only looks like a setting stops the start; a foreign one does not."""
    monkeypatch.setenv("BRIDGE_SOMETHING_ELSE_ENTIRELY", "1")
    load(TelemetrySettings)
    monkeypatch.setenv("BRIDGE_MAX_ORDER_UDS", "10")
    assert (
        refusal(TelemetrySettings)
        == "BRIDGE_MAX_ORDER_UDS is not a setting; did you mean BRIDGE_MAX_ORDER_USD?"
    )


def test_database_from_the_names_of_the_bot(monkeypatch):
    """POSTGRES_* as the bot has them make both URLs."""
    set_all(
        monkeypatch,
        POSTGRES_HOST="db",
        POSTGRES_USER="trading",
        POSTGRES_PASSWORD="p@ss/w:rd ?",
        POSTGRES_DB="prometheus",
    )
    settings = load(DatabaseSettings)
    assert settings.work_dsn == (
        "postgresql://trading:p%40ss%2Fw%3Ard%20%3F@db:5432/prometheus?sslmode=disable"
    )
    assert settings.listen_dsn == settings.work_dsn
    assert "p@ss" not in repr(settings)


@given(
    user=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    host=st.sampled_from(["db", "127.0.0.1", "::1", "/run/postgresql"]),
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1),
)
def test_both_drivers_read_the_url_as_it_was_meant(user, password, host, name):
    """Whatever user, password and name hold, psycopg reads them back from the URL."""
    settings = DatabaseSettings(user=user, password=SecretStr(password), host=host, name=name, port=6543)
    read = psycopg.conninfo.conninfo_to_dict(settings.work_dsn)
    assert (read["user"], read["password"], read["dbname"]) == (user, password, name)
    assert (read["host"], read["port"]) == (host, "6543")


@pytest.mark.parametrize(
    ("host", "address"),
    [("/run/postgresql", "/run/postgresql/.s.PGSQL.6543"), ("::1", ("::1", 6543)), ("db", ("db", 6543))],
)
async def test_asyncpg_goes_where_it_was_meant(monkeypatch, host, address):
    """The other driver finds the same address, a folder of sockets included."""
    tried = []

    async def connect_to(target, **_):
        tried.append(target)
        raise ConnectionRefusedError

    monkeypatch.setattr("asyncpg.connect_utils._connect_addr", lambda *, addr, **_: connect_to(addr))
    settings = DatabaseSettings(user="u", password=SecretStr("p"), host=host, name="n", port=6543)
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(settings.work_dsn)
    assert tried == [address]


def test_two_urls(monkeypatch):
    """Work may lead through a pooler while LISTEN reaches Postgres directly."""
    set_all(
        monkeypatch,
        BRIDGE_DATABASE_URL="postgresql://u:p@pooler:6432/bot",
        BRIDGE_LISTEN_URL="postgresql://u:p@db/bot",
        BRIDGE_PREPARED_STATEMENTS="off",
    )
    settings = load(DatabaseSettings)
    assert urlsplit(settings.work_dsn).port == 6432
    assert urlsplit(settings.listen_dsn).hostname == "db"
    assert not settings.prepared_statements


def test_every_secret_of_the_settings_is_known_to_the_redactor(monkeypatch):
    """Keys and passwords are handed over as they are, those inside a URL without its encoding."""
    set_all(
        monkeypatch,
        ENCRYPTION_KEY=KEY,
        BRIDGE_FORMER_ENCRYPTION_KEYS=OTHER_KEY,
        BRIDGE_DATABASE_URL="postgresql://u:work%40word@db/bot",
        BRIDGE_LISTEN_URL="postgresql://u:listenword@db/bot",
        POSTGRES_PASSWORD="otherword",
        TELEGRAM_BOT_TOKEN="42:telegramword",
    )
    secrets = load_configuration().secrets()
    assert set(secrets) == {KEY, OTHER_KEY, "work@word", "listenword", "otherword", "42:telegramword"}


def test_the_accounts_served(monkeypatch):
    """No list means all accounts."""
    assert load(GuardSettings).accounts is None
    monkeypatch.setenv("BRIDGE_ONLY_ACCOUNTS", str(UUID(int=1)))
    assert load(GuardSettings).accounts == [UUID(int=1)]


def test_no_database(monkeypatch):
    """Without any address the message says which variables would give one."""
    assert "POSTGRES_HOST" in refusal(DatabaseSettings)
    monkeypatch.setenv("BRIDGE_DATABASE_URL", "mysql://root:hunter2hunter2@db")
    message = refusal(DatabaseSettings)
    assert message.startswith("BRIDGE_DATABASE_URL")
    assert "hunter2" not in message


def test_secret_from_a_file(monkeypatch, tmp_path):
    """A secret may come from a mounted file, with or without a line end."""
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    monkeypatch.setenv("ENCRYPTION_KEY_FILE", str(path))
    ring = load(EncryptionSettings).keyring()
    assert ring.decrypt(bytes.fromhex("0c0d0e0f1011121314151617fc8d48fc4feb40fb574135e84e3886b7")) == ""


def test_secret_files_that_cannot_be_used(monkeypatch, tmp_path):
    """A missing, empty or doubled secret is said by name."""
    path = tmp_path / "key"
    monkeypatch.setenv("ENCRYPTION_KEY_FILE", str(path))
    assert "ENCRYPTION_KEY_FILE" in refusal(EncryptionSettings)
    path.write_text("\n")
    assert "is empty" in refusal(EncryptionSettings)
    path.write_bytes(b"\xff\xfe")
    assert "text" in refusal(EncryptionSettings)
    path.write_text(KEY)
    monkeypatch.setenv("ENCRYPTION_KEY", KEY)
    assert "both set" in refusal(EncryptionSettings)


@pytest.mark.parametrize("value", ["", KEY[:-1], "A" * 43 + "=="])
def test_a_bad_key_is_refused_without_showing_it(monkeypatch, value):
    """The message says what a key is and never repeats what was given."""
    monkeypatch.setenv("ENCRYPTION_KEY", value)
    message = refusal(EncryptionSettings)
    assert "ENCRYPTION_KEY" in message
    assert not value or value not in message


def test_former_keys(monkeypatch):
    """After a rotation the former key still reads, and the current one writes."""
    old = EncryptionSettings(key=SecretStr(KEY)).keyring().encrypt("text")
    set_all(monkeypatch, ENCRYPTION_KEY=OTHER_KEY, BRIDGE_FORMER_ENCRYPTION_KEYS=f"{KEY}, {OTHER_KEY}")
    settings = load(EncryptionSettings)
    assert settings.keyring().decrypt(old) == "text"
    assert KEY not in repr(settings)


def test_endpoints_of_binance():
    """Without a variable, each market and environment has Binance's own address."""
    exchange = load(ExchangeSettings)
    assert exchange.endpoints(Market.SPOT, testnet=True).rest == "https://testnet.binance.vision"
    assert exchange.endpoints(Market.FUTURES, testnet=True).rest == "https://demo-fapi.binance.com"
    assert exchange.endpoints(Market.SPOT, testnet=False) == (
        "https://api.binance.com",
        "wss://ws-api.binance.com:443/ws-api/v3",
        "wss://stream.binance.com:9443",
    )


def test_the_local_exchange_in_place_of_the_testnet(monkeypatch):
    """Testnet addresses may be plain and local; a slash at the end is dropped."""
    set_all(
        monkeypatch,
        BRIDGE_SPOT_TESTNET_REST_URL="http://127.0.0.1:8080/",
        BRIDGE_SPOT_TESTNET_WS_API_URL="ws://127.0.0.1:8080/ws-api/v3",
        BRIDGE_SPOT_TESTNET_STREAM_URL="ws://127.0.0.1:8080",
    )
    assert load(ExchangeSettings).endpoints(Market.SPOT, testnet=True) == (
        "http://127.0.0.1:8080",
        "ws://127.0.0.1:8080/ws-api/v3",
        "ws://127.0.0.1:8080",
    )


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("BRIDGE_SPOT_LIVE_REST_URL", "http://api.binance.com", "TLS"),
        ("BRIDGE_SPOT_LIVE_REST_URL", "http://127.0.0.1:8080", "TLS"),
        ("BRIDGE_SPOT_LIVE_WS_API_URL", "ws://ws-api.binance.com/ws-api/v3", "TLS"),
        ("BRIDGE_FUTURES_LIVE_STREAM_URL", "https://fstream.binance.com", "wss://host"),
        ("BRIDGE_SPOT_TESTNET_REST_URL", "http://testnet.binance.vision", "TLS"),
        ("BRIDGE_SPOT_TESTNET_REST_URL", "https://api.binance.com", "real money"),
        ("BRIDGE_SPOT_TESTNET_REST_URL", "https://API3.Binance.com", "real money"),
        ("BRIDGE_FUTURES_TESTNET_REST_URL", "https://fapi.binance.com", "real money"),
        ("BRIDGE_FUTURES_TESTNET_STREAM_URL", "wss://fstream.binance.com", "real money"),
        ("BRIDGE_SPOT_TESTNET_REST_URL", "testnet.binance.vision", "https://host"),
        ("BRIDGE_SPOT_TESTNET_REST_URL", "https://user:hunter2@localhost", "nothing but"),
        ("BRIDGE_SPOT_TESTNET_REST_URL", "http://localhost:port", "port"),
    ],
)
def test_addresses_that_are_refused(monkeypatch, variable, value, fault):
    """Real money goes over TLS only, and a testnet account never reaches it."""
    monkeypatch.setenv(variable, value)
    message = refusal(ExchangeSettings)
    assert message.startswith(variable)
    assert fault in message
    assert "hunter2" not in message


def test_guards_from_the_environment(monkeypatch):
    """Units, accounts and caps are read in the forms the page names."""
    set_all(
        monkeypatch,
        BRIDGE_ONLY_ACCOUNTS="00000000-0000-0000-0000-000000000001, 00000000-0000-0000-0000-000000000002",
        BRIDGE_AMOUNT_UNIT_BY_AGENT="test_agent=base, PortfolioArchitect=quote",
        BRIDGE_AMOUNT_UNIT_BY_MARKET="futures=base",
        BRIDGE_MAX_ORDER_USD="0.1",
    )
    guards = load(GuardSettings)
    assert guards.only_accounts == {UUID(int=1), UUID(int=2)}
    assert guards.unit_by_agent == {"test_agent": "base", "PortfolioArchitect": "quote"}
    assert guards.unit_by_market == {Market.FUTURES: "base"}
    assert guards.max_order_usd == Decimal("0.1")
    assert guards.unit == "quote"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BRIDGE_AMOUNT_UNIT_BY_AGENT", "test_agent"),
        ("BRIDGE_AMOUNT_UNIT_BY_AGENT", "test_agent=percent"),
        ("BRIDGE_AMOUNT_UNIT_BY_MARKET", "options=base"),
        ("BRIDGE_ONLY_ACCOUNTS", "mine"),
        ("BRIDGE_MAX_ORDER_USD", "0"),
        ("BRIDGE_MAX_ORDER_USD", "NaN"),
        ("BRIDGE_LIVE_TRADING", "maybe"),
    ],
)
def test_guards_that_are_refused(monkeypatch, variable, value):
    """A guard that cannot be read stops the start instead of being open."""
    monkeypatch.setenv(variable, value)
    assert refusal(GuardSettings).startswith(variable)


def test_live_trading_needs_two_words(monkeypatch):
    """The switch alone is not enough: the bot's own executor must be said to be off."""
    assert not load(GuardSettings).live_trading
    monkeypatch.setenv("BRIDGE_LIVE_TRADING", "on")
    assert refusal(GuardSettings).startswith("BRIDGE_BOT_EXECUTOR_OFF")
    monkeypatch.setenv("BRIDGE_BOT_EXECUTOR_OFF", "Confirmed")
    assert load(GuardSettings).live_trading


def test_live_trading_refuses_the_waits_of_a_crash_test(monkeypatch):
    """Scaled time is for the testnet; longer waits than the defaults are allowed everywhere."""
    short = ProtocolSettings(query_lag=timedelta(seconds=1))
    refuse_hurried_live_trading(GuardSettings(), short)
    live = GuardSettings(live_trading=True, bot_executor_off="confirmed")
    with pytest.raises(ConfigurationError, match="BRIDGE_QUERY_LAG"):
        refuse_hurried_live_trading(live, short)
    refuse_hurried_live_trading(live, ProtocolSettings(query_lag=timedelta(seconds=70)))


def test_times_that_contradict_each_other():
    """A lease inside the receive window, or a gap that shortens the wait, makes no sense."""
    with pytest.raises(ValidationError, match="BRIDGE_LEASE"):
        ProtocolSettings(lease=timedelta(seconds=5))
    with pytest.raises(ValidationError, match="BRIDGE_GAP_WAIT"):
        ProtocolSettings(gap_wait=timedelta(seconds=59))


def test_the_scale_of_the_crash_tests_is_possible():
    """DESIGN 9: recvWindow 500 ms, delays of 250 ms, a lease of one second."""
    quarter = timedelta(milliseconds=250)
    ProtocolSettings(recv_window_ms=500, lease=timedelta(seconds=1), engine_delay=quarter, query_lag=quarter)


def test_the_collector_must_be_an_address(monkeypatch):
    """An endpoint without a scheme is refused at the start, not at the first export."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")
    assert refusal(TelemetrySettings).startswith("OTEL_EXPORTER_OTLP_ENDPOINT")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BRIDGE_BOT_TIME_ZONE", "Mars/Olympus"),
        ("BRIDGE_TELEGRAM_URL", "api.telegram.org"),
    ],
)
def test_options_that_are_refused(monkeypatch, name, value):
    """A time zone nobody knows and an address without a scheme stop the start, with the variable's name."""
    set_all(monkeypatch, **{name: value})
    assert name in refusal(OptionSettings)
