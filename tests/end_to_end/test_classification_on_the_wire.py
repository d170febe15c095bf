"""PROTOCOL 5 on the wire: every row of the classification table, as bytes through socket and transport.

A server of bare sockets sends what the exchange would; transport, client and table have to come to what the
row says, and to nothing else.
"""

from __future__ import annotations

import http
import socketserver
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from shared.binance.clock_offset import Clock
from shared.binance.rest import Answer, RestEndpoint
from shared.binance.transport import BinanceTransport
from shared.domain.answers import CANCEL, PLACE, QUERY
from shared.domain.classify import Expected, classify, classify_cancel, classify_query
from shared.domain.order import Market

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.domain.answers_row import ExampleAnswer, Row

EXPECTED = Expected("b0123456789abcdef0123456789abcdef-1", "BTCUSDT")
PATHS = {Market.SPOT: "/api/v3/order", Market.FUTURES: "/fapi/v1/order"}
RETRY_AFTER_S = 17
TLS = ssl.create_default_context()  # made once: it takes longer than a test


class ScriptedServer(socketserver.ThreadingTCPServer):
    """Answers every request with the bytes it was last given."""

    daemon_threads = True
    answer = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.received: list[bytes] = []


class _Connection(socketserver.StreamRequestHandler):
    server: ScriptedServer

    def handle(self) -> None:
        while head := self.rfile.readline():
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head += line
            self.server.received.append(head)
            self.wfile.write(self.server.answer)


@pytest.fixture(scope="session")
def scripted() -> Iterator[ScriptedServer]:
    """One server for all rows."""
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def as_bytes(example: ExampleAnswer, status: int) -> bytes:
    """Frame a row's example the way a server does, under one of the row's statuses."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = "Said By Nobody"
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {example.content_type}\r\n"
        f"Content-Length: {len(example.body)}\r\nRetry-After: {RETRY_AFTER_S}\r\n\r\n"
    )
    return head.encode() + example.body


def statuses(row: Row[Any]) -> tuple[int, ...]:
    """Pick the statuses to send a row under: the ends of what it holds for."""
    return (row.statuses[0],) if len(row.statuses) == 1 else (row.statuses[0], row.statuses[-1])


def name(row: Row[Any]) -> str:
    """Name a row's test by its key."""
    words = "" if row.message is None else "-" + "_".join(row.message.split()[:6])
    return f"{row.market}-{row.statuses[0]}-{row.code}{words}"


async def ask(scripted: ScriptedServer, row: Row[Any], method: str, status: int) -> Answer:
    """Send one request of ours and return the answer our transport read."""
    scripted.answer = as_bytes(row.example(), status)
    scripted.received.clear()
    async with BinanceTransport(tls=TLS) as transport:
        endpoint = RestEndpoint(
            transport, f"http://127.0.0.1:{scripted.server_address[1]}", Clock(), recv_window_ms=5000
        )
        result = await endpoint.send(method, PATHS[row.market], "symbol=BTCUSDT", "key")
    assert isinstance(result, Answer), result
    assert len(scripted.received) == 1, "one request, whatever the answer"
    return result


def wins(row: Row[Any], status: int, table: Any) -> Row[Any]:
    """Find the row that has to decide: a more special one of the same table, where there is one."""
    code = row.code
    found = table.find(row.market, status, code, row.message or "")
    assert found is not None
    return found if row.message is None else row


@pytest.mark.parametrize("row", PLACE.rows, ids=name)
async def test_answer_to_an_order(scripted: ScriptedServer, row: Row[Any]) -> None:
    """What came back for an order just sent means what its row says, with everything that follows from it."""
    for status in statuses(row):
        answer = await ask(scripted, row, "POST", status)
        said = classify(
            row.market, answer.status, answer.body, EXPECTED, retry_after=answer.headers.get("retry-after")
        )
        deciding = wins(row, status, PLACE)
        assert (said.outcome, said.reason_code, said.source) == (
            deciding.outcome,
            deciding.reason,
            deciding.source,
        )
        assert (said.pause, said.resync_clock, said.alarm) == (
            deciding.pause,
            deciding.resync_clock,
            deciding.alarm,
        )
        if deciding.pause is not None and deciding.pause != "key":
            assert said.retry_after_s == RETRY_AFTER_S
        assert said.sentence.startswith(deciding.sentence.rstrip("."))


@pytest.mark.parametrize("row", QUERY.rows, ids=name)
async def test_answer_to_a_question(scripted: ScriptedServer, row: Row[Any]) -> None:
    """What came back for a question is an absence only where its row says so."""
    for status in statuses(row):
        answer = await ask(scripted, row, "GET", status)
        said = classify_query(row.market, answer.status, answer.body, EXPECTED)
        deciding = wins(row, status, QUERY)
        assert (said.outcome, said.reason_code) == (deciding.outcome, deciding.reason)


@pytest.mark.parametrize("row", CANCEL.rows, ids=name)
async def test_answer_to_a_cancel(scripted: ScriptedServer, row: Row[Any]) -> None:
    """What came back for a cancel means what its row says."""
    for status in statuses(row):
        answer = await ask(scripted, row, "DELETE", status)
        said = classify_cancel(row.market, answer.status, answer.body, EXPECTED)
        deciding = wins(row, status, CANCEL)
        assert (said.outcome, said.reason_code) == (deciding.outcome, deciding.reason)
