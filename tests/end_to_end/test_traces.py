"""One trace per order, from the bot's INSERT to the closed position, told to a collector by both services."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import defaultdict
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from services.command_line.demo import EXECUTOR, LISTENER, fund
from services.command_line.local_testnet import LocalTestnet
from services.command_line.stand_in_bot import Bot
from tests.end_to_end.conftest import new_trader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.end_to_end.conftest import Trader


class Span(NamedTuple):
    """What is looked at of a span."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    begun: int
    ended: int
    attributes: dict[str, Any]


class Collector(ThreadingHTTPServer):
    """An OTLP receiver: keeps what is sent to `/v1/traces`, as sent and as spans."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.bodies: list[bytes] = []
        self.spans: list[Span] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def of(self, order: UUID) -> list[Span]:
        """All spans of the trace that begins with the order."""
        roots = [
            s for s in list(self.spans) if s.name == "take_in" and s.attributes["order_id"] == str(order)
        ]
        assert len(roots) <= 1, "one root per order"
        return [span for span in list(self.spans) if roots and span.trace == roots[0].trace]


class _Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") is not None:
            self.send_error(415)
            return
        self.server.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            (service,) = [
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            ]
            for scope in resource.scope_spans:
                for s in scope.spans:
                    values = {a.key: a.value.string_value or a.value.int_value for a in s.attributes}
                    self.server.spans.append(
                        Span(
                            service,
                            s.name,
                            s.trace_id.hex(),
                            s.span_id.hex(),
                            s.parent_span_id.hex(),
                            s.start_time_unix_nano,
                            s.end_time_unix_nano,
                            values,
                        )
                    )
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector that hears everything."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[LocalTestnet]:
    """A testnet whose services tell the collector; they send what they have every 100 ms."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with LocalTestnet([fund("nobody")], key, fsync=False, environment=environment) as local:
        local.start_service(EXECUTOR)
        local.start_service(LISTENER)
        yield local


@pytest.fixture
def trader(traced: LocalTestnet) -> Iterator[Trader]:
    """A user there."""
    assert traced.database_url is not None
    with Bot(traced.database_url, traced.encryption_key) as bot:
        yield new_trader(traced, bot)


def test_one_trace_from_the_insert_to_the_closed_position(
    trader: Trader, traced: LocalTestnet, collector: Collector
) -> None:
    """A limit order is sent by one service and filled in the other's sight; a second one sells it again."""
    buy = trader.order(symbol="SOL/USDT", type="limit", price=Decimal("142.5"), amount=Decimal(303))
    trader.until(lambda: trader.row(buy)["exchange_order_id"] != "", "the order rests")
    traced.admin("POST", "/price", {"symbol": "SOLUSDT", "price": "140"})
    trader.until_status(buy, "filled")
    (opened,) = trader.positions()
    sell = trader.order(symbol="SOL/USDT", side="sell", amount=opened["size"])
    trader.until_status(sell, "filled")
    trader.until(lambda: trader.positions()[0]["status"] == "closed", "the position is closed")

    def names(order: UUID) -> set[tuple[str, str]]:
        return {(span.service, span.name) for span in collector.of(order)}

    way = {("order_executor", name) for name in ("take_in", "prepare", "claim", "send", "settle")}
    trader.until(
        lambda: names(buy) >= way | {("fill_listener", "apply"), ("fill_listener", "position_opened")},
        "the buy's trace reaches through both services",
    )
    for order in (buy, sell):
        trader.until(
            lambda order=order: "position_closed" in {name for _, name in names(order)},  # type: ignore[misc]
            "the trace ends with the closed position",
        )
    trader.until(lambda: ("fill_listener", "apply") in names(sell), "the listener heard the sale")

    traces = {order: collector.of(order) for order in (buy, sell)}
    assert traces[buy][0].trace != traces[sell][0].trace
    for order, spans in traces.items():
        (root,) = [span for span in spans if span.name == "take_in"]
        assert root.parent == ""
        assert root.id == trader.entry(order)["trace"].split("-")[2], "the outbox carries the context"
        assert {span.parent for span in spans if span is not root} == {root.id}
        assert all(span.begun <= span.ended for span in spans)
        inserted = trader.entry(order)["created_at"].timestamp()
        assert root.begun == pytest.approx(inserted * 1e9, abs=2000), "it begins with the bot's INSERT"
    begun: dict[str, list[int]] = defaultdict(list)
    for span in traces[buy]:
        begun[span.name].append(span.begun)
    steps = ("take_in", "prepare", "claim", "send", "settle", "position_opened", "position_closed")
    order_of_steps = [min(begun[name]) for name in steps]
    assert order_of_steps == sorted(order_of_steps)


def test_log_lines_lead_to_the_trace(trader: Trader, traced: LocalTestnet, collector: Collector) -> None:
    """What is logged about an order in either service carries the id of its trace."""
    order = trader.order(symbol="BTC/USDT", amount=Decimal(311))
    trader.until_status(order, "filled")
    trace = trader.entry(order)["trace"].split("-")[1]
    trader.until(lambda: trader.positions() != [], "the position is there")

    def lines() -> list[dict[str, Any]]:
        texts = [process.log.read_text() for process in traced.processes if process is not traced.exchange]
        parsed = [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]
        return [line for line in parsed if line.get("order_id") == str(order)]

    trader.until(lambda: any(line["event"] == "order.settled" for line in lines()), "it was logged")
    assert {line.get("trace_id") for line in lines()} == {trace}


def test_rejected_row_has_a_trace_that_ends_there(trader: Trader, collector: Collector) -> None:
    """A row that never reaches the exchange is explained by its trace too."""
    order = trader.order(symbol="MOON/USDT", amount=Decimal(50))
    trader.until_status(order, "rejected")
    trader.until(lambda: any(span.name == "reject" for span in collector.of(order)), "the trace is told")
    (reject,) = [span for span in collector.of(order) if span.name == "reject"]
    assert reject.attributes["reason_code"] == trader.entry(order)["reason_code"]
    assert {span.name for span in collector.of(order)} == {"take_in", "prepare", "reject"}


def test_nothing_secret_is_exported(trader: Trader, traced: LocalTestnet, collector: Collector) -> None:
    """Neither keys, signatures nor the database's password are in what the collector was sent."""
    order = trader.order(symbol="ETH/USDT", amount=Decimal(77))
    trader.until_status(order, "filled")
    trader.until(lambda: {"send", "settle"} <= {span.name for span in collector.of(order)}, "it was told")
    sent = b"".join(collector.bodies)
    assert str(order).encode() in sent
    for name in ("api_key", "secret"):
        assert str(trader.at_local[name]).encode() not in sent
    assert traced.encryption_key.encode() not in sent
    assert b"signature" not in sent
