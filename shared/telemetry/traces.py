"""Traces: one per order, from the bot's INSERT to the position, through both services.

The trace's context travels in the outbox as a W3C `traceparent`, so that whichever process goes on with an
order goes on with its trace. Nothing is made or sent unless a collector is configured. A span holds names,
numbers and ids only; of an exception it holds the type, because a message may quote a request.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from opentelemetry import context as current
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from shared.telemetry.redaction import Redactor

    Attribute = str | int | float | bool

EXPORT_TIMEOUT_S = 5.0
_PROPAGATOR = TraceContextTextMapPropagator()


class Begun:
    """A span that has begun and is not known to the collector before it ends.

    Args:
        span: of OpenTelemetry.

    Attributes:
        traceparent: for the outbox; None while tracing is off.

    """

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.traceparent = _traceparent(span)

    def end(self, ended: datetime) -> None:
        """End it; another machine's clock may say that it began later than that."""
        begun = getattr(self._span, "start_time", None) or 0
        self._span.end(max(begun, _nanoseconds(ended)))


class Tracing:
    """Makes the spans of one process.

    Args:
        tracer: of OpenTelemetry; one that does nothing when no collector is configured.
        redactor: cleans the attributes.

    Attributes:
        off: no span is kept, whatever is said of it.

    """

    def __init__(self, tracer: trace.Tracer, redactor: Redactor) -> None:
        self._tracer = tracer
        self._redactor = redactor
        self.off = isinstance(tracer, trace.NoOpTracer)

    @contextmanager
    def span(self, name: str, parent: str | None = None, **attributes: Attribute) -> Iterator[str | None]:
        """Trace a block; log lines written within carry the ids. Gives the block's own `traceparent`.

        Args:
            name: the step's name, the same as in logs and failpoints.
            parent: `traceparent` from the outbox; None = the current span, or a new trace.
            attributes: ids and numbers.

        """
        with self._tracer.start_as_current_span(
            name,
            context=_context(parent),
            attributes=self._clean(attributes),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _traceparent(span)
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise

    def within(self, parent: str | None) -> AbstractContextManager[None]:
        """Let log lines of a block carry the ids of an order's trace, without a span of their own."""
        return nullcontext() if parent is None else _attached(parent)

    def begin(self, name: str, begun: datetime, **attributes: Attribute) -> Begun:
        """Begin a trace; its first span counts only once it is ended, and is forgotten otherwise."""
        return Begun(self._start(name, begun, None, attributes))

    def record(
        self, name: str, begun: datetime, ended: datetime, parent: str | None = None, **attributes: Attribute
    ) -> str | None:
        """Add a span for something that is over, such as one order's part in a batch.

        Args:
            name: the step's name.
            begun: when it began, with its time zone.
            ended: when it ended.
            parent: `traceparent` from the outbox; None = a new trace, which begins with this span.
            attributes: ids and numbers.

        Returns:
            The span's `traceparent`, for the outbox; None while tracing is off.

        """
        begun_span = Begun(self._start(name, begun, parent, attributes))
        begun_span.end(ended)
        return begun_span.traceparent

    def _start(
        self, name: str, begun: datetime, parent: str | None, attributes: dict[str, Attribute]
    ) -> trace.Span:
        return self._tracer.start_span(
            name,
            # Never under whatever happens to be the current span: these are told after the fact.
            context=Context() if parent is None else _context(parent),
            attributes=self._clean(attributes),
            start_time=_nanoseconds(begun),
        )

    def _clean(self, attributes: dict[str, Attribute]) -> dict[str, Attribute]:
        if self.off:
            return {}
        return {
            name: self._redactor.clean(value) if isinstance(value, str) else value
            for name, value in attributes.items()
        }


@asynccontextmanager
async def tracing(
    service: str,
    redactor: Redactor,
    *,
    endpoint: str | None,
    ratio: float,
    exporter: SpanExporter | None = None,
) -> AsyncIterator[Tracing]:
    """Export traces while the block runs, or do nothing at no cost when there is no collector.

    Args:
        service: name of the service.
        redactor: cleans the attributes.
        endpoint: root of the collector, for OTLP over HTTP; None = tracing is off.
        ratio: share of the traces begun here that are kept, 0 to 1; what another process began is kept if it
            kept it.
        exporter: instead of OTLP, for tests.

    """
    if endpoint is None and exporter is None:
        yield Tracing(trace.NoOpTracer(), redactor)
        return
    provider = _provider(service, ratio, exporter or _otlp(endpoint or ""))
    try:
        yield Tracing(provider.get_tracer("bridge"), redactor)
    finally:
        # In a thread: it sends what is left and must not stop the loop while a collector is slow.
        await asyncio.to_thread(provider.shutdown)


# The SDK and its exporter are imported only where a collector is configured: together they take 0.3 s, which
# a start without traces need not spend.


def _provider(service: str, ratio: float, exporter: SpanExporter) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}),
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, export_timeout_millis=EXPORT_TIMEOUT_S * 1000))
    return provider


def _otlp(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)


def _context(traceparent: str | None) -> Context | None:
    return None if traceparent is None else _PROPAGATOR.extract({"traceparent": traceparent})


@contextmanager
def _attached(parent: str) -> Iterator[None]:
    token = current.attach(_PROPAGATOR.extract({"traceparent": parent}))
    try:
        yield
    finally:
        current.detach(token)


def _traceparent(span: trace.Span) -> str | None:
    if not span.get_span_context().is_valid:
        return None
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return carrier["traceparent"]


def _nanoseconds(moment: datetime) -> int:
    """Turn a moment into what OpenTelemetry counts; to the microsecond, without a float in between."""
    if moment.tzinfo is None:
        raise ValueError("a span's time needs its time zone")
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000_000 + moment.microsecond * 1_000
