"""Failpoints act where they are told to, and never where money is real."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared import failpoints
from shared.environment import ConfigurationError
from shared.failpoints import NAMES, FailpointError

ROOT = Path(__file__).parents[2]

CHILD = """
import asyncio, os
from shared import failpoints
failpoints.arm_from_environment(live_trading=False)
async def main():
    for _ in range(3):
        await failpoints.reached("claim.before")
        os.write(1, b"before\\n")
        failpoints.reached_without_await("claim.committed")
        os.write(1, b"committed\\n")
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def disarmed(monkeypatch):
    """Leave nothing armed behind."""
    monkeypatch.delenv(failpoints.VARIABLE, raising=False)
    yield
    failpoints.arm("")


def child(setting):
    """Start a process that passes two points three times."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=os.environ | {failpoints.VARIABLE: setting, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("setting", "output"),
    [
        ("claim.before=kill", ""),
        ("claim.committed=kill", "before\n"),
        ("claim.committed=kill@2", "before\ncommitted\nbefore\n"),
        ("claim.before=kill@3", "before\ncommitted\n" * 2),
    ],
)
def test_kill(setting, output):
    """The process dies at the very point, by SIGKILL, and says on stderr which it was."""
    process = child(setting)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert stdout == output
    assert stderr.startswith(f"failpoint {setting.split('=')[0]} kill")


def test_freeze():
    """The process stops at the point and goes on from there when it is continued."""
    process = child("claim.committed=freeze@2")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGSTOP
    assert os.read(process.stdout.fileno(), 1000) == b"before\ncommitted\nbefore\n"
    os.kill(process.pid, signal.SIGCONT)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stdout == "committed\nbefore\ncommitted\n"


async def test_error():
    """The action `error` raises where the point is, once when it says so."""
    failpoints.arm("send.before=error@1,send.written=error")
    with pytest.raises(FailpointError, match=r"send\.before"):
        await failpoints.reached("send.before")
    await failpoints.reached("send.before")
    with pytest.raises(FailpointError):
        failpoints.reached_without_await("send.written")


async def test_delay(monkeypatch):
    """The action `delay` waits for that many milliseconds, awaited or blocking."""
    waited = []

    async def sleep(seconds):
        waited.append(("await", seconds))

    monkeypatch.setattr("shared.failpoints.asyncio.sleep", sleep)
    monkeypatch.setattr("shared.failpoints.time.sleep", lambda seconds: waited.append(("block", seconds)))
    failpoints.arm("settle.before=delay:250@2,settle.committed=delay:1")
    for _ in range(3):
        await failpoints.reached("settle.before")
    failpoints.reached_without_await("settle.committed")
    assert waited == [("await", 0.25), ("block", 0.001)]


@pytest.mark.parametrize(
    "setting",
    [
        "claim.before",
        "claim.before=",
        "claim.before=explode",
        "claim.before=delay",
        "claim.before=kill@0",
        "=kill",
    ],
)
def test_unreadable_settings(setting):
    """A setting that cannot be read stops the start instead of testing nothing, and changes nothing."""
    failpoints.arm("send.before=error")
    with pytest.raises(ConfigurationError, match="BRIDGE_FAILPOINTS"):
        failpoints.arm(f"claim.committed=error,{setting}")
    failpoints.reached_without_await("claim.committed")
    with pytest.raises(FailpointError):
        failpoints.reached_without_await("send.before")


async def test_unknown_names():
    """A name that does not exist is refused, in the setting and, while anything is armed, in the code."""
    with pytest.raises(ConfigurationError, match=r"claim\.commited"):
        failpoints.arm("claim.commited=kill")
    failpoints.arm("claim.before=error")
    with pytest.raises(ConfigurationError):
        await failpoints.reached("claim.commited")
    with pytest.raises(ConfigurationError):
        failpoints.reached_without_await("claim.commited")


def test_never_with_live_trading(monkeypatch):
    """With live trading on, the variable alone stops the start; without either, nothing happens."""
    failpoints.arm_from_environment(live_trading=True)
    monkeypatch.setenv(failpoints.VARIABLE, "claim.before=error")
    with pytest.raises(ConfigurationError, match="live trading"):
        failpoints.arm_from_environment(live_trading=True)
    failpoints.reached_without_await("claim.before")
    failpoints.arm_from_environment(live_trading=False)
    with pytest.raises(FailpointError):
        failpoints.reached_without_await("claim.before")


def test_every_point_in_the_code_is_registered():
    """What the code says it reached is a name of the registry, written out in place."""
    for path in [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "failpoints"
                and node.func.attr in ("reached", "reached_without_await")
            ):
                assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}"
                assert node.args[0].value in NAMES, f"{path}:{node.lineno}"


@pytest.mark.parametrize("setting", ["", "send.before=delay:1"])
def test_a_point_that_does_not_act_gives_way_to_nothing(setting):
    """Whatever else is armed, the order of tasks is the one without failpoints."""
    failpoints.arm(setting)
    point = failpoints.reached("claim.before")
    with pytest.raises(StopIteration):
        point.send(None)
