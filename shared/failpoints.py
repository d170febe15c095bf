"""DESIGN 7: named points of the send path at which a crash test kills, freezes or delays a process.

Armed by `BRIDGE_FAILPOINTS`, a comma-separated list of `name=action[@n]`:

    claim.committed=kill        SIGKILL to itself, as if the machine had lost its power
    send.before=freeze@2        SIGSTOP to itself, the second time it gets there; the test sends SIGCONT
    settle.before=delay:250     250 ms, every time
    resolve.asked=error         raises FailpointError

Without `@n` a point acts every time. Off, a point costs one look at an empty dictionary. With live trading
on, a process that finds the variable set refuses to start.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from dataclasses import dataclass, field
from enum import StrEnum

from shared.environment import ConfigurationError

VARIABLE = "BRIDGE_FAILPOINTS"

STEPS: dict[str, tuple[str, ...]] = {
    "prepare": ("peeked", "sized"),
    "claim": ("before", "committed"),
    "send": ("before", "written", "answered"),
    "classify": ("done",),
    "settle": ("before", "committed"),
    "resolve": ("asked", "judged"),
    "cancel": ("before", "sent"),
}
"""Every failpoint by the step of the send path it lies in, in the order in which an order passes them."""

NAMES = tuple(f"{step}.{point}" for step, points in STEPS.items() for point in points)


class FailpointError(Exception):
    """What the action `error` raises; nothing in the bridge handles it."""


class Action(StrEnum):
    """What an armed point does."""

    KILL = "kill"
    FREEZE = "freeze"
    ERROR = "error"
    DELAY = "delay"


@dataclass(slots=True)
class _Armed:
    """One armed point; it counts how often it was reached."""

    action: Action
    delay_s: float = 0.0
    only_time: int | None = None
    times: int = field(default=0, init=False)

    def is_due(self) -> bool:
        self.times += 1
        return self.only_time is None or self.only_time == self.times


_armed: dict[str, _Armed] = {}

_SETTING = re.compile(
    r"(?P<name>[a-z_.]+)=(?:(?P<action>kill|freeze|error)|delay:(?P<ms>\d{1,7}))(?:@(?P<time>[1-9]\d{0,6}))?"
)


def refuse_with_live_trading(*, live_trading: bool) -> None:
    """Refuse to start a process that may trade real money while failpoints are set.

    Raises:
        ConfigurationError: when both are on.

    """
    if live_trading and os.environ.get(VARIABLE):
        raise ConfigurationError(
            f"{VARIABLE}: failpoints kill this process on purpose and are never used with live trading; "
            "remove the variable, or switch BRIDGE_LIVE_TRADING off"
        )


def arm_from_environment(*, live_trading: bool) -> None:
    """Arm what `BRIDGE_FAILPOINTS` names, and nothing else; called once in `__main__`.

    Args:
        live_trading: whether this process may trade real money.

    Raises:
        ConfigurationError: with live trading on, for an unknown name or an unreadable setting.

    """
    refuse_with_live_trading(live_trading=live_trading)
    arm(os.environ.get(VARIABLE, ""))


def arm(settings: str) -> None:
    """Arm these points and disarm all others; the counts begin anew.

    Args:
        settings: `name=action[@n]`, comma-separated; '' disarms.

    Raises:
        ConfigurationError: for an unknown name or an unreadable setting; then nothing has changed.

    """
    wanted: dict[str, _Armed] = {}
    for setting in filter(None, (part.strip() for part in settings.split(","))):
        match = _SETTING.fullmatch(setting)
        if match is None:
            raise ConfigurationError(
                f"{VARIABLE}: {setting!r} is not name=kill, name=freeze, name=error or name=delay:ms, with "
                "@n behind it for the n-th time only"
            )
        _require_known(match["name"])
        wanted[match["name"]] = _Armed(
            action=Action(match["action"] or Action.DELAY),
            delay_s=int(match["ms"] or 0) / 1000,
            only_time=int(match["time"]) if match["time"] else None,
        )
    _armed.clear()
    _armed.update(wanted)


async def reached(name: str) -> None:
    """Say that a point of the send path was reached; does what the point is armed with.

    Args:
        name: one of `NAMES`.

    Raises:
        FailpointError: when the point is armed with `error`.
        ConfigurationError: for an unknown name, while anything is armed.

    """
    if _armed and (delay_s := _act(name)):
        await asyncio.sleep(delay_s)


def reached_without_await(name: str) -> None:
    """Do the same where nothing may be awaited; a delay blocks the process.

    Args:
        name: one of `NAMES`.

    Raises:
        FailpointError: when the point is armed with `error`.
        ConfigurationError: for an unknown name, while anything is armed.

    """
    if _armed and (delay_s := _act(name)):
        time.sleep(delay_s)


def _act(name: str) -> float:
    """Do what a point is armed with and return how many seconds to wait."""
    _require_known(name)
    armed = _armed.get(name)
    if armed is None or not armed.is_due():
        return 0.0
    # Unbuffered: after the next line this process may not exist any more.
    os.write(2, f"failpoint {name} {armed.action}\n".encode())
    if armed.action is Action.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif armed.action is Action.FREEZE:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif armed.action is Action.ERROR:
        raise FailpointError(f"failpoint {name}")
    return armed.delay_s


def _require_known(name: str) -> None:
    if name not in NAMES:
        raise ConfigurationError(f"{VARIABLE}: there is no failpoint {name!r}; there are {', '.join(NAMES)}")
