"""What the exchange and the network do to requests and events of a soak, by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.crash.behaviours import BAD_GATEWAY, BROKEN, ORDER, QUESTIONS, SERVICE_UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

FAULTS: tuple[Mapping[str, Any], ...] = (
    {"action": "drop_before", "method": "POST", "route": ORDER, "probability": 0.02},
    {"action": "drop_after", "method": "POST", "route": ORDER, "probability": 0.03},
    {"action": "never_before", "method": "POST", "route": ORDER, "probability": 0.004},
    {"action": "never_after", "method": "POST", "route": ORDER, "probability": 0.004},
    {"action": "truncate", "method": "POST", "route": ORDER, "bytes": 30, "probability": 0.01},
    {"action": "answer_after", "method": "POST", "route": ORDER, "probability": 0.01, **BAD_GATEWAY},
    {"action": "answer_before", "method": "POST", "route": ORDER, "probability": 0.01, **SERVICE_UNAVAILABLE},
    {"action": "delay_arrival", "method": "POST", "route": ORDER, "ms": 2500, "probability": 0.005},
    {"action": "delay_forward", "method": "POST", "route": ORDER, "ms": 700, "probability": 0.01},
    {"action": "delay_engine", "method": "POST", "route": ORDER, "ms": 300, "probability": 0.01},
    {"action": "delay_answer", "method": "POST", "route": ORDER, "ms": 600, "probability": 0.01},
    {"action": "answer_before", "method": "GET", "route": QUESTIONS, "probability": 0.03, **BROKEN},
    {"action": "drop_after", "method": "GET", "route": QUESTIONS, "probability": 0.02},
    {"action": "lag", "method": "GET", "route": QUESTIONS, "ms": 400, "probability": 0.1},
    {"action": "drop_before", "method": "DELETE", "route": ORDER, "probability": 0.05},
    {"action": "drop_after", "method": "DELETE", "route": ORDER, "probability": 0.05},
    {"action": "event_lose", "probability": 0.02},
    {"action": "event_duplicate", "probability": 0.02},
    {"action": "event_delay", "ms": 300, "probability": 0.02},
    {"action": "event_reorder", "probability": 0.02},
)
