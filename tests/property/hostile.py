"""Whatever may come in: any JSON at all, and the exchange's own payloads with some of it changed."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

PAYLOADS = Path(__file__).parents[1] / "payloads"

# orjson reads whole numbers up to 64 bit, larger ones as floats; NaN, infinities, lone surrogates it refuses.
TEXTS = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                "0",
                "-1",
                "1e9",
                "1E+999999999",
                "1E-999999999",
                "0E+999999999",
                "NaN",
                "sNaN",
                "Infinity",
                "-0",
            ),
            *(
                "\x00",
                "BTC\x00USDT",
                "\N{RIGHT-TO-LEFT OVERRIDE}x",
                "\N{FULLWIDTH DIGIT NINE}",
                "1_000",
                " 1 ",
                "9" * 400,
                "9" * 5000,
                "x" * 5000,
            ),
            *(
                "BUY",
                "sell",
                "TRADE",
                "NEW",
                "FILLED",
                "executionReport",
                "ORDER_TRADE_UPDATE",
                "ALGO_UPDATE",
            ),
            *("eventStreamTerminated", "serverShutdown", "listenKeyExpired"),
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)


@cache
def payload(market: str, name: str) -> Any:
    """Read one of the exchange's payloads."""
    return json.loads((PAYLOADS / market / f"{name}.json").read_text())


@cache
def names(market: str, part: str) -> tuple[str, ...]:
    """List the payloads of a market whose name holds a word."""
    return tuple(sorted(path.stem for path in (PAYLOADS / market).glob("*.json") if part in path.stem))


@st.composite
def changed(draw: st.DrawFn, original: Any, changes: int = 3) -> Any:
    """Change a payload in a few places: a value becomes anything, or is left out."""
    result = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, changes))):
        result = _changed_once(draw, result)
    return result


def _changed_once(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 5)):
            del value[key]
        else:
            value[key] = _changed_once(draw, value[key])
        return value
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        value[place] = _changed_once(draw, value[place])
        return value
    return draw(VALUES)
