"""Payloads of the real exchange, as tests compare with them.

A name says where a payload comes from: `live-` and `captured__` were seen on the wire; `doc-`, `rest__`,
`wsapi__`, `uds__`, `streams__` and `faq-` are published examples, `err-` too, some of them captured;
`derived` ones are composed of both; `tp-` come from other people's tests; `taxonomy__` is a reading of the
error codes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent / "payloads"


def original(market: str, name: str) -> Any:
    """Read one payload of `spot` or `futures`."""
    return json.loads((PAYLOADS / market / f"{name}.json").read_text(encoding="utf-8"))


def names(market: str, pattern: str) -> list[str]:
    """List the payloads of a market whose names match, in order."""
    return sorted(path.stem for path in (PAYLOADS / market).glob(f"{pattern}.json"))
