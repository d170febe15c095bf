"""One trace per order through both processes, without secrets, and nothing at all when it is off."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.telemetry import traces
from shared.telemetry.redaction import Redactor
from shared.telemetry.traces import tracing

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def redactor():
    redactor = Redactor()
    redactor.register(SECRET)
    return redactor


async def test_one_trace_through_two_processes(redactor):
    """What the executor puts into the outbox makes the listener's spans children of the same trace."""
    executor, listener = InMemorySpanExporter(), InMemorySpanExporter()
    async with tracing("order_executor", redactor, endpoint=None, ratio=1.0, exporter=executor) as one:
        outbox = one.record("take_in", NOON, NOON + timedelta(milliseconds=3), order_id="1")
        with one.span("send", outbox, attempt=1):
            pass
    async with tracing("fill_listener", redactor, endpoint=None, ratio=0.0, exporter=listener) as two:
        with two.span("apply", outbox):
            pass
    spans = executor.get_finished_spans() + listener.get_finished_spans()
    assert [span.name for span in spans] == ["take_in", "send", "apply"]
    assert len({span.context.trace_id for span in spans}) == 1
    first = spans[0]
    assert {span.parent.span_id for span in spans[1:] if span.parent} == {first.context.span_id}
    assert first.parent is None
    assert first.start_time is not None
    assert first.end_time is not None
    assert first.start_time % 1_000_000_000 == 123_456_000
    assert first.end_time - first.start_time == 3_000_000
    assert listener.get_finished_spans()[0].resource.attributes["service.name"] == "fill_listener"


async def test_what_was_not_sampled_stays_so(redactor):
    """The decision is taken once, where the trace begins, and travels with it."""
    exporter = InMemorySpanExporter()
    async with tracing("order_executor", redactor, endpoint=None, ratio=0.0, exporter=exporter) as off:
        outbox = off.record("take_in", NOON, NOON)
    async with tracing("fill_listener", redactor, endpoint=None, ratio=1.0, exporter=exporter) as on:
        with on.span("apply", outbox):
            pass
    assert exporter.get_finished_spans() == ()
    assert outbox is not None
    assert int(outbox[-2:], 16) & 1 == 0


async def test_off(redactor):
    """Without a collector nothing is made, and a parent that another process recorded is passed on."""
    async with tracing("order_executor", redactor, endpoint=None, ratio=1.0) as off:
        assert off.record("take_in", NOON, NOON) is None
        parent = f"00-{1:032x}-{2:016x}-01"
        with off.span("send", parent) as traceparent:
            assert traceparent == parent
            assert trace.get_current_span().get_span_context().trace_id == 1
        with off.span("send", None) as traceparent:
            assert traceparent is None


@given(st.text())
def test_a_broken_parent_begins_a_new_trace(text):
    """Whatever stands in the column, a trace is never worth an error."""
    tracer = TracerProvider().get_tracer("test")
    assert traces.Tracing(tracer, Redactor()).record("take_in", NOON, NOON, text) is not None


async def test_no_secrets(redactor):
    """Attributes are redacted; of an exception only the type is kept."""
    exporter = InMemorySpanExporter()
    async with tracing("order_executor", redactor, endpoint=None, ratio=1.0, exporter=exporter) as on:
        with (
            pytest.raises(ValueError, match="key"),
            on.span("send", url=f"https://host/?signature=ab&k={SECRET}"),
        ):
            raise ValueError(f"bad key {SECRET}")
    (span,) = exporter.get_finished_spans()
    assert span.status.description == "ValueError"
    text = span.to_json()
    assert "signature=ab" not in text
    assert not any(SECRET[i : i + 12] in text for i in range(len(SECRET) - 11))


async def test_export_over_http(redactor):
    """A real collector receives the spans as OTLP over HTTP before the block is left."""
    received = []

    async def collect(request):
        received.append((request.path, ExportTraceServiceRequest.FromString(await request.read())))
        return web.Response()

    application = web.Application()
    application.router.add_post("/{path:.*}", collect)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with tracing("order_executor", redactor, endpoint=endpoint, ratio=1.0) as on:
            on.record("take_in", NOON, NOON, order_id="1")
    finally:
        await runner.cleanup()
    ((path, message),) = received
    assert path == "/v1/traces"
    assert message.resource_spans[0].scope_spans[0].spans[0].name == "take_in"


async def test_a_collector_that_is_away(redactor, monkeypatch):
    """Recording goes on, and leaving waits no longer than an export may take."""
    monkeypatch.setattr(traces, "EXPORT_TIMEOUT_S", 0.2)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        async with asyncio.timeout(30), tracing("x", redactor, endpoint=endpoint, ratio=1.0) as on:
            on.record("take_in", NOON, NOON)


def test_a_time_without_a_zone_is_refused(redactor):
    """A naive time would put the span hours away."""
    tracer = TracerProvider().get_tracer("test")
    with pytest.raises(ValueError, match="time zone"):
        traces.Tracing(tracer, redactor).record("take_in", NOON.replace(tzinfo=None), NOON)
