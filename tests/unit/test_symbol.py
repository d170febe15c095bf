"""Which instrument a symbol means."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.order import Market
from shared.domain.symbol import Instrument, Instruments, parse_instruments
from shared.domain.verdicts import Code, Rejected


def listed(symbol: str, base: str, quote: str, **more: object) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "quoteOrderQtyMarketAllowed": True,
        "filters": [
            {
                "filterType": "LOT_SIZE",
                "minQty": "0.00001000",
                "maxQty": "9000.00000000",
                "stepSize": "0.00001000",
            }
        ],
        **more,
    }


SPOT = parse_instruments(
    Market.SPOT,
    {
        "exchangeFilters": [],
        "symbols": [
            listed("BTCUSDT", "BTC", "USDT"),
            listed("ETHUSDT", "ETH", "USDT"),
            listed("BTCUSDC", "BTC", "USDC"),
            listed("这是测试币456USDT", "这是测试币456", "USDT"),
            listed("ABUSD", "AB", "USD"),
            listed("ABUSDX", "A", "BUSD", status="BREAK"),
        ],
    },
)
FUTURES = parse_instruments(
    Market.FUTURES,
    {
        "symbols": [
            listed("BTCUSDT", "BTC", "USDT", contractType="PERPETUAL"),
            listed("BTCUSDT_261225", "BTC", "USDT", contractType="CURRENT_QUARTER"),
        ]
    },
)


def found(verdict: Instrument | Rejected) -> str:
    assert isinstance(verdict, Instrument), verdict
    return verdict.symbol


def refused(verdict: Instrument | Rejected, code: Code) -> str:
    assert isinstance(verdict, Rejected), verdict
    assert verdict.code is code
    return verdict.sentence


@pytest.mark.parametrize(
    "text", ["BTC/USDT", "BTC-USDT", "BTCUSDT", "btc/usdt", "Btc-uSdt", " btcusdt \n", "BTC / USDT"]
)
def test_every_spelling_means_the_same(text: str) -> None:
    """Slash, dash, none, any case, blanks around."""
    assert found(SPOT.resolve(text)) == "BTCUSDT"


@pytest.mark.parametrize("text", ["这是测试币456/USDT", "这是测试币456usdt"])
def test_non_ascii_symbols_are_symbols(text: str) -> None:
    """The exchange has them."""
    assert found(SPOT.resolve(text)) == "这是测试币456USDT"


def test_slash_form_for_the_bot() -> None:
    """Positions are written as BASE/QUOTE."""
    instrument = SPOT.resolve("btcusdt")
    assert isinstance(instrument, Instrument)
    assert instrument.slash == "BTC/USDT"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "BTC/",
        "BTC//USDT",
        "BTC/USDT/X",
        "BTC_USDT",
        "XYZ/USDT",
        "\x00",
        "BTCUSDT'; DROP TABLE orders",
    ],
)
def test_unknown_symbols_are_rejected(text: str) -> None:
    """With a sentence, whatever the text is."""
    sentence = refused(SPOT.resolve(text), Code.SYMBOL_UNKNOWN)
    assert "\x00" not in sentence


@pytest.mark.parametrize(
    "text", ["b\u0131tc/usdt", "\uff22\uff34\uff23/USDT", "BT\u0421/USDT", "BTC\u2215USDT", "BTCU\u017fDT"]
)
def test_look_alikes_are_not_the_symbol(text: str) -> None:
    """Dotless i, full width, Cyrillic Es, division slash, long s: none of them is folded."""
    refused(SPOT.resolve(text), Code.SYMBOL_UNKNOWN)


def test_bare_base_is_ambiguous_and_names_the_candidates() -> None:
    """Nobody guesses the quote currency."""
    sentence = refused(SPOT.resolve("btc"), Code.SYMBOL_AMBIGUOUS)
    assert "BTC/USDC or BTC/USDT" in sentence
    refused(SPOT.resolve("ETH"), Code.SYMBOL_AMBIGUOUS)


def test_two_pairs_with_one_joined_spelling_are_ambiguous() -> None:
    """AB/USD and A/BUSD both join to ABUSD; with the slash each is clear."""
    refused(SPOT.resolve("ABUSD"), Code.SYMBOL_AMBIGUOUS)
    assert found(SPOT.resolve("AB/USD")) == "ABUSD"
    assert found(SPOT.resolve("A/BUSD")) == "ABUSDX"


def test_turned_pair_is_named() -> None:
    """USDT/BTC is unknown, and the sentence says what is known."""
    assert "BTC/USDT" in refused(SPOT.resolve("USDT/BTC"), Code.SYMBOL_UNKNOWN)


def test_futures_pair_means_the_perpetual() -> None:
    """A delivery contract has to be named in full."""
    assert found(FUTURES.resolve("BTC/USDT")) == "BTCUSDT"
    assert found(FUTURES.resolve("btcusdt_261225")) == "BTCUSDT_261225"


def test_one_unreadable_symbol_hides_no_other() -> None:
    """It is listed instead."""
    bad = [
        listed("X", "X", ""),
        "text",
        {"symbol": 7},
        listed("BADUSDT", "BAD", "USDT", filters=[{"filterType": "LOT_SIZE"}]),
    ]
    answer = parse_instruments(Market.SPOT, {"symbols": [*bad, listed("BTCUSDT", "BTC", "USDT")]})
    assert found(answer.resolve("BTC/USDT")) == "BTCUSDT"
    assert len(answer.unreadable) == 4


def test_answer_without_symbols_is_no_exchange_info() -> None:
    """An error body must not become an empty exchange."""
    with pytest.raises(ValueError, match="symbols"):
        parse_instruments(Market.SPOT, {"code": -1003, "msg": "Too many requests"})


def test_fields_of_the_instrument() -> None:
    """What sizing and filters need."""
    instrument = SPOT.by_symbol["BTCUSDT"]
    assert instrument.filters.lot_size.step == Decimal("0.00001")
    assert instrument.order_types == {"LIMIT", "MARKET"}
    assert instrument.quote_order_qty_allowed
    assert instrument.is_trading
    assert not SPOT.by_symbol["ABUSDX"].is_trading


@given(st.text(max_size=80))
def test_any_text_gets_an_instrument_or_a_sentence(text: str) -> None:
    """Nothing the bot writes makes the resolving fail."""
    for instruments in (SPOT, FUTURES, Instruments(Market.SPOT, {}, {}, {}, {})):
        verdict = instruments.resolve(text)
        assert isinstance(verdict, Instrument) or verdict.sentence.isprintable()
