"""Logs: one JSON object a line on stdout, the same for our own events and for what libraries log.

`configure` is called once, in `__main__`, before anything else. Every line carries an ISO 8601 time in UTC,
the service, what is bound with `about` (order, account, attempt) and the ids of the current trace. Secrets
are removed from it, and nothing in a text can begin a new line or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from uuid import UUID

    from structlog.typing import EventDict, WrappedLogger

    from shared.telemetry.redaction import Redactor

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# They log every request or frame, URLs and signatures included, at levels an operator asks us for.
_TALKATIVE = (
    "httpx",
    "httpcore",
    "websockets",
    "aiohttp.access",
    "asyncpg",
    "psycopg",
    "urllib3",
    "opentelemetry",
)

# What JSON leaves as it is though a terminal obeys it or a line splitter takes it for a line end: C1
# controls, DEL, line and paragraph separators, marks that turn the direction of writing.
_UNSHOWN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")

# One variable for all of it: structlog's own are one for each name, set and read again for every order.
_ABOUT: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))


def configure(service: str, level: str, redactor: Redactor, file: BinaryIO | None = None) -> None:
    """Set up logging for this process.

    Args:
        service: name of the service, in every line.
        level: one of `LEVELS`.
        redactor: removes the secrets; whoever decrypts or receives one registers it there.
        file: where the lines go; stdout unless a test says otherwise.

    """

    def name_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            add_what_it_is_about,
            structlog.processors.add_log_level,
            add_trace_ids,
            # Never with local variables: a frame of the signing code holds a key.
            structlog.processors.ExceptionRenderer(
                ExceptionDictTransformer(show_locals=False, max_frames=20)
            ),
            redactor,
            name_service,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    root.setLevel(LEVELS[level])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def record(name: str) -> Any:
    """Return a logger whose lines are written at every level: for what is a record, not a message.

    Args:
        name: of the module.

    """
    return structlog.wrap_logger(
        None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET), logger_factory_args=(name,)
    )


@contextmanager
def about(
    *, order_id: UUID | None = None, account_id: UUID | None = None, attempt: int | None = None
) -> Iterator[None]:
    """Bind what the lines of a block are about; in every line logged within, also by tasks started there.

    Args:
        order_id: row of `public.orders`.
        account_id: row of `exchange_accounts`.
        attempt: number of the attempt.

    """
    ids = {"order_id": order_id, "account_id": account_id, "attempt": attempt}
    token = _ABOUT.set({**_ABOUT.get(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def add_what_it_is_about(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add what is bound with `about`; what the line itself says comes first."""
    for name, value in _ABOUT.get().items():
        event.setdefault(name, value)
    return event


def add_trace_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the current span, if there is one, so that a line leads to its trace and back."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event


def render(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    """Return an event as one line of JSON in which every character that is not shown is escaped."""
    try:
        line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)
    except TypeError:
        # Lone surrogates and integers beyond 64 bit are beyond orjson; a line is never lost to its content.
        return json.dumps(event, default=str, ensure_ascii=True).replace("\x7f", "\\u007f").encode()
    if line.isascii() and b"\x7f" not in line:
        return line
    return _UNSHOWN.sub(lambda match: f"\\u{ord(match[0]):04x}", line.decode()).encode()


class _ToStructlog(logging.Handler):
    """Sends what libraries log through the same processors as our own events."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} {record.args}"
        values: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            values["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, message, **values)


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Log what ends a process or a thread like everything else, instead of a bare traceback on stderr."""
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught exception", exc_info=(kind, error, traceback))
