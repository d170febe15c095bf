"""Each event is one line of JSON that a machine can read and nobody can forge."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from unittest.mock import Mock
from uuid import UUID

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from services.order_executor import journal
from shared.telemetry import logs
from shared.telemetry.redaction import Redactor

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


@pytest.fixture(scope="module")
def lines():
    """Configure logging into memory for this module, and give back what was there before."""
    root = logging.getLogger()
    before = (structlog.get_config(), root.handlers, root.level, sys.excepthook)
    redactor = Redactor()
    redactor.register(SECRET)
    file = io.BytesIO()
    logs.configure("order_executor", "info", redactor, file)
    yield lambda: [json.loads(line) for line in file.getvalue().split(b"\n") if line]
    structlog.configure(**before[0])
    root.handlers, sys.excepthook = before[1], before[3]
    root.setLevel(before[2])
    logging.captureWarnings(capture=False)


def test_a_line(lines):
    """Event, level, service and a UTC time are in every line."""
    structlog.get_logger().info("order sent", symbol="BTCUSDT")
    line = lines()[-1]
    assert (line["event"], line["level"], line["service"], line["symbol"]) == (
        "order sent",
        "info",
        "order_executor",
        "BTCUSDT",
    )
    assert datetime.fromisoformat(line["timestamp"]).utcoffset() == timedelta(0)


def test_the_journal_is_written_at_any_level(lines, monkeypatch):
    """A database restored from an hour ago is completed from these lines: no level may silence them."""
    monkeypatch.setattr(journal, "line_of", lambda *_: {"client_order_id": "b1-1"})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        structlog.get_logger("some.module").warning("unheard")
        journal.write(Mock(), 5000)
    finally:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    line = lines()[-1]
    assert (line["event"], line["level"], line["client_order_id"]) == ("order.claimed", "info", "b1-1")
    assert line["service"] == "order_executor"
    assert "unheard" not in [one["event"] for one in lines()]


def test_levels(lines):
    """What is below the configured level is not written."""
    count = len(lines())
    structlog.get_logger().debug("unheard")
    logging.getLogger("anything").debug("unheard")
    logging.getLogger("httpx").info("HTTP Request: POST https://host/?signature=abc")
    assert len(lines()) == count


async def test_what_a_block_is_about(lines):
    """Ids bound once are in every line of the block, also of tasks it starts, and in none after it."""

    async def task():
        structlog.get_logger().info("in a task")

    with logs.about(order_id=UUID(int=1), account_id=UUID(int=2), attempt=1):
        async with asyncio.TaskGroup() as group:
            group.create_task(task())
    line = lines()[-1]
    assert (line["order_id"], line["account_id"], line["attempt"]) == (str(UUID(int=1)), str(UUID(int=2)), 1)
    structlog.get_logger().info("after")
    assert "order_id" not in lines()[-1]


def test_exceptions_are_structured_and_hold_no_local_variables(lines):
    """An exception is a list of frames; what its frames held is not shown, and its message is redacted."""

    def sign(key):
        raise ValueError(f"bad key {SECRET}")

    try:
        sign("local-variable-value")
    except ValueError:
        structlog.get_logger().exception("signing failed")
    line = lines()[-1]
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert line["exception"][0]["frames"][-1]["name"] == "sign"
    assert SECRET[:12] not in json.dumps(line)
    assert "local-variable-value" not in json.dumps(line)


def test_exception_groups(lines):
    """What a TaskGroup raises shows each of its errors."""
    try:
        raise ExceptionGroup("two", [ValueError("first"), OSError("second")])
    except ExceptionGroup:
        structlog.get_logger().exception("failed")
    assert "first" in json.dumps(lines()[-1])
    assert "second" in json.dumps(lines()[-1])


def test_what_libraries_log_goes_the_same_way(lines):
    """The standard library's logging is JSON, redacted, with the logger's name."""
    logging.getLogger("asyncio").error("Task failed with %s", SECRET, extra={"x": 1})
    line = lines()[-1]
    assert (line["level"], line["logger"], line["event"]) == (
        "error",
        "asyncio",
        "Task failed with [redacted]",
    )
    ours = next(handler for handler in logging.getLogger().handlers if isinstance(handler, logs._ToStructlog))
    ours.handle(logging.LogRecord("broken", logging.ERROR, "", 1, "%d and %s", ("not a number",), None))
    assert "not a number" in lines()[-1]["event"]


def test_trace_ids(lines):
    """A line within a span carries its ids."""
    with TracerProvider().get_tracer("test").start_as_current_span("send") as span:
        structlog.get_logger().info("traced")
    assert lines()[-1]["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert lines()[-1]["span_id"] == f"{span.get_span_context().span_id:016x}"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.dictionaries(st.text(), st.recursive(st.text() | st.integers() | st.floats() | st.binary(), st.lists))
)
def test_no_content_breaks_or_forges_a_line(event):
    """Whatever the bot or the exchange wrote, it stays one line of printable JSON with the same meaning."""
    line = logs.render(None, "info", Redactor()(None, "info", {"event": event})).decode()
    assert isinstance(json.loads(line), dict)
    assert line.splitlines() == [line]
    for character in line:
        number = ord(character)
        assert number >= 0x20
        assert not 0x7F <= number <= 0x9F
        assert number not in range(0x2028, 0x202F)
        assert number not in range(0x2066, 0x206A)


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\nb", "\x1b[2J", "\x9b2J", "\x7f", "a\u2028b", "\u202eabc", "\ud800", "\0"]
)
def test_control_characters_are_escaped(text):
    """The text can be read back from the line, but nothing in the line controls anything."""
    line = logs.render(None, "info", {"event": text})
    assert json.loads(line)["event"] == text
    assert line.isascii()
    assert min(line) >= 0x20
    assert 0x7F not in line


def test_an_uncaught_exception_is_a_redacted_line():
    """Warnings and what ends a thread or the process are lines too; stderr shows nothing in clear."""
    script = f"""
import threading, warnings
from shared.telemetry import logs
from shared.telemetry.redaction import Redactor
redactor = Redactor()
redactor.register({SECRET!r})
logs.configure("order_executor", "info", redactor)
warnings.warn("old {SECRET}")
def fail():
    raise ValueError("in a thread {SECRET}")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise RuntimeError("key {SECRET}")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [json.loads(line)["level"] for line in done.stdout.splitlines()] == [
        "warning",
        "critical",
        "critical",
    ]
    assert "key [redacted]" in done.stdout
    for part in (SECRET[i : i + 12] for i in range(len(SECRET) - 11)):
        assert part not in done.stdout + done.stderr
