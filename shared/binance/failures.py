"""PROTOCOL 5: what our transport reports when a request brought no answer that can be trusted.

There are two kinds of failure and a caller needs no third. `NotSent`: our socket accepted no byte of the
request, so the exchange cannot act on it. `OutcomeUnknown`: at least one byte went out, so it may have acted.

Only these two classes are proof. Any other `httpx.TransportError` (of a mock, of another transport) says
nothing about the bytes and has to be read as `OutcomeUnknown`: there are httpx transports that raise
`ConnectTimeout` for a request the server did receive.
"""

from enum import StrEnum

import httpx


class Reason(StrEnum):
    """Why no answer came, in words for a metric label and for the classification table."""

    BAD_REQUEST = "bad_request"  # the request itself cannot be written as HTTP/1.1
    NO_FREE_CONNECTION = "no_free_connection"  # every connection to this host stayed busy
    DNS = "dns"
    CONNECT = "connect"  # refused, unreachable, reset while connecting
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"  # handshake or certificate
    TOO_LATE = "too_late"  # the moment after which the first byte must not leave has passed
    RESET = "reset"
    CLOSED = "closed"  # end of file before the answer was whole
    WRITE = "write"
    SILENCE = "silence"  # no whole answer within the time allowed
    FRAMING = "framing"  # not HTTP, no length, or more bytes than one answer
    TOO_LARGE = "too_large"
    CLOSED_HERE = "closed_here"  # our own side closed the transport


class NoAnswer(httpx.TransportError):
    """The root of both: no answer that can be trusted.

    Attributes:
        reason: the cause as a label.
        bytes_written: bytes of the request (of its TLS records on https) that our socket accepted.

    """

    def __init__(self, reason: Reason, sentence: str, bytes_written: int) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.bytes_written = bytes_written


class NotSent(NoAnswer, httpx.ConnectError):
    """No byte of the request was accepted by our socket: the exchange cannot have acted on it."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(reason, f"{sentence} Nothing was sent.", 0)


class OutcomeUnknown(NoAnswer, httpx.ReadError):
    """At least one byte of the request left and no trustworthy answer came: ask the exchange."""

    def __init__(self, reason: Reason, sentence: str, bytes_written: int) -> None:
        ask = f"{bytes_written} bytes of the request had been written; ask the exchange about it."
        super().__init__(reason, f"{sentence} {ask}", bytes_written)
