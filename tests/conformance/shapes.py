"""The shape of a payload: its fields and their types, without its values."""

from __future__ import annotations

import re
from typing import Any

_decimal = re.compile(r"-?[0-9]+\.[0-9]+\Z").match


def shape(payload: Any) -> Any:
    """Return field names and types; a list has the shape of its first element."""
    if isinstance(payload, dict):
        return {name: shape(value) for name, value in payload.items()}
    if isinstance(payload, list):
        return [shape(payload[0])] if payload else []
    if isinstance(payload, bool):
        return "flag"
    if isinstance(payload, int):
        return "whole number"
    if isinstance(payload, str):
        return "decimal" if _decimal(payload) else "text"
    return "null" if payload is None else type(payload).__name__


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Say where two shapes differ, one sentence per field."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f"{path}{name} is missing here" for name in theirs if name not in ours]
        found += [f"{path}{name} is not in the original" for name in ours if name not in theirs]
        for name in theirs.keys() & ours.keys():
            found += differences(theirs[name], ours[name], f"{path}{name}.")
        return sorted(found)
    if isinstance(theirs, list) and isinstance(ours, list):
        if not theirs or not ours:
            return []
        return differences(theirs[0], ours[0], f"{path}[].")
    if {theirs, ours} <= {"decimal", "text"} and path.rstrip(".").split(".")[-1] in LOOSE_DECIMALS:
        return []
    return [] if theirs == ours else [f"{path.rstrip('.')}: {theirs} in the original, {ours} here"]


# Decimals that the exchange prints without a point when they are whole.
LOOSE_DECIMALS = frozenset(
    [
        "n",
        "p",
        "q",
        "P",
        "B",
        "v",
        "V",
        "Q",
        "A",
        "multiplierUp",
        "multiplierDown",
        "askMultiplierUp",
        "askMultiplierDown",
        "bidMultiplierUp",
        "bidMultiplierDown",
        "weightedAvgPrice",
    ]
)
