"""One HTTP/1.1 answer out of bytes: no I/O, no clock.

Stricter than HTTP where an order's fate hangs on it: an answer must state its length (a body that ends with
the connection cannot be told from half a body), bytes after the answer make it untrustworthy (which of the
two is ours?), and its size is bounded before memory is spent on it.
"""

from dataclasses import dataclass
from typing import Final

import httptools

from shared.binance.failures import Reason

MAX_HEADER_BYTES: Final = 64 * 1024
_BODILESS: Final = frozenset({204, 304})


class BadAnswerError(Exception):
    """The bytes are no answer that can be trusted.

    Attributes:
        reason: `Reason.FRAMING` or `Reason.TOO_LARGE`.

    """

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """A complete answer as it came over the wire.

    Attributes:
        status: the final HTTP status, 200 or higher.
        headers: names and values in wire order.
        body: the body without its chunk framing, still encoded as `Content-Encoding` says.
        keep_alive: whether the server leaves the connection open for another request.

    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep_alive: bool


class AnswerReader:
    """Collects one answer; fed with any cut of the bytes, it gives the same result.

    Args:
        max_bytes: the most this answer may measure on the wire, headers and chunk framing included.

    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._fed = 0
        self._in_body = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._unbounded = False
        self._declared = 0
        self._surplus = False
        self._whole: WholeAnswer | None = None

    @property
    def begun(self) -> bool:
        """Whether any byte of an answer was seen."""
        return self._fed > 0

    def feed(self, data: bytes) -> WholeAnswer | None:
        """Take the next bytes; return the answer once it is whole.

        Raises:
            BadAnswerError: the bytes are not one well-framed answer within the bound.

        """
        self._fed += len(data)
        if self._fed > self._max_bytes:
            raise BadAnswerError(Reason.TOO_LARGE, f"The answer exceeds {self._max_bytes} bytes.")
        if self._whole is not None:
            raise BadAnswerError(Reason.FRAMING, "Bytes followed the answer.")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise BadAnswerError(Reason.FRAMING, "The server switched protocols unasked.") from None
        except httptools.HttpParserError as error:
            # The parser's message is fixed text; the bytes themselves stay out of it.
            raise BadAnswerError(Reason.FRAMING, f"The answer is not HTTP/1.1 ({error}).") from None
        self._check()
        return self._whole

    def _check(self) -> None:
        if self._surplus:
            raise BadAnswerError(Reason.FRAMING, "Bytes followed the answer.")
        if self._unbounded:
            raise BadAnswerError(Reason.FRAMING, "The answer states no length, so its end cannot be known.")
        if self._declared > self._max_bytes:
            raise BadAnswerError(Reason.TOO_LARGE, f"The answer announces more than {self._max_bytes} bytes.")
        if not self._in_body and self._fed > MAX_HEADER_BYTES:
            raise BadAnswerError(Reason.TOO_LARGE, f"The answer's headers exceed {MAX_HEADER_BYTES} bytes.")

    # Called by the parser. An exception here would reach `feed` wrapped, so they only take notes.

    def on_message_begin(self) -> None:
        """Note a second message behind the first."""
        self._surplus = self._whole is not None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header, or one trailer."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Judge how the body's end will be known."""
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        self._in_body = True
        framed = self._status in _BODILESS
        for name, value in self._headers:
            lowered = name.lower()
            if lowered == b"content-length":
                framed = True
                self._declared = int(value)  # digits only: the parser has refused anything else
            elif lowered == b"transfer-encoding":
                framed = framed or value.lower().rpartition(b",")[2].strip() == b"chunked"
        self._unbounded = not framed

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        """Close the answer, or drop an interim one (1xx) and wait for the final one."""
        if self._status < 200:
            self._headers.clear()
            return
        self._whole = WholeAnswer(
            self._status, self._headers, b"".join(self._chunks), bool(self._parser.should_keep_alive())
        )
