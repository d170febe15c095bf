"""Every metric of both services, declared in one place; `docs/metrics.md` is printed from here.

Printed by `python -m shared.telemetry.metrics`; a test holds page and code together. Label values are few by
construction: a metric that has reached `SERIES_LIMIT` series counts whatever is new under `other`.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIES_LIMIT = 500
OTHER = "other"

# From a local database's commit to a minute of waiting for an exchange that does not answer.
_LATENCY = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

LABELS = {
    "account": "id of the row in `exchange_accounts`",
    "environment": "`live`, `testnet`",
    "interval": "of the exchange's limit: `10s`, `1m`, `1d`",
    "kind": "what it was, one of the words the code names",
    "market": "`spot`, `futures`",
    "operation": "REST operation, such as `place`, `cancel`, `query_order`",
    "outcome": "`accepted`, `rejected`, `not_sent`, `unknown`, `absent`",
    "reason": "code of the table of refusals, or a class of errors",
    "result": "how it ended, such as `ok`, `failed`, `found`, `empty`, `timeout`",
    "scope": "`global`, `endpoint`, `account`, `symbol`",
    "service": "`order_executor`, `fill_listener`",
    "source": "where it came from: `answer`, `stream`, `query`, `reconcile`",
    "state": "of the entry: `new`, `held`, `sending`, `unknown`, `backoff`, `submitted`",
    "version": "of this software",
}
"""Every label there is, and what its values are."""

FEW = {"market": ("spot", "futures"), "environment": ("live", "testnet")}
"""The labels whose values are known beforehand."""

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Family(Generic[Metric]):
    """A metric with labels: call it with their values, in the declared order, to get the series to change."""

    def __init__(self, metric: Metric, labels: tuple[str, ...]) -> None:
        self._metric: Metric = metric
        self._other = (OTHER,) * len(labels)
        self._series: dict[tuple[str, ...], Metric] = {}

    def __call__(self, *values: str) -> Metric:
        """Return one series, or `other` when there are too many. ValueError: wrong number of labels."""
        series = self._series.get(values)
        if series is None:
            if len(self._series) >= SERIES_LIMIT:
                values = self._other
            series = self._series[values] = self._metric.labels(*values)
        return series

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge to exactly these series; others, such as of an account that left, disappear."""
        for labels in [labels for labels in self._series if labels not in values]:
            del self._series[labels]
            self._metric.remove(*labels)
        for labels, value in values.items():
            gauge = self(*labels)
            assert isinstance(gauge, Gauge)
            gauge.set(value)


EXECUTOR = "order_executor"
LISTENER = "fill_listener"
_BOTH = (EXECUTOR, LISTENER)


class Described(NamedTuple):
    """One line of the page."""

    section: str
    services: tuple[str, ...]
    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class _Declarations:
    """Makes the metrics of one process and remembers what was said about them.

    Counters and durations are served by both services: what settles an order or stores a fill runs in either.
    A gauge of the other service exists too, so that shared code need not ask whose process it runs in, but it
    is not in the registry: a gauge that nobody sets would tell a lie with its zero.
    """

    def __init__(self, service: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # each counter would have a second series
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self._service = service
        self._section = ""
        self._gauges_of: tuple[str, ...] = _BOTH
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _begin(self, section: str, gauges_of: tuple[str, ...] = _BOTH) -> None:
        """Begin a section of the page; its gauges are those of the named services."""
        self._section, self._gauges_of = section, gauges_of

    def _say(self, name: str, kind: str, labels: tuple[str, ...], meaning: str) -> CollectorRegistry | None:
        """Remember a line of the page and return where the metric is registered."""
        services = self._gauges_of if kind == "gauge" else _BOTH
        self.described.append(Described(self._section, services, name, kind, labels, meaning))
        return self.registry if self._service in services else None

    def _count(self, name: str, meaning: str) -> Counter:
        registry = self._say(f"{name}_total", "counter", (), meaning)
        return Counter(name, meaning, registry=registry)

    def _counts(self, name: str, meaning: str, *labels: str) -> Family[Counter]:
        registry = self._say(f"{name}_total", "counter", labels, meaning)
        family = Family(Counter(name, meaning, labels, registry=registry), labels)
        if set(labels) <= FEW.keys():
            for values in product(*(FEW[label] for label in labels)):
                family(*values)  # served as 0 from the start, or the first event would be no increase
        return family

    def _gauge(self, name: str, meaning: str) -> Gauge:
        registry = self._say(name, "gauge", (), meaning)
        return Gauge(name, meaning, registry=registry)

    def _gauges(self, name: str, meaning: str, *labels: str) -> Family[Gauge]:
        registry = self._say(name, "gauge", labels, meaning)
        return Family(Gauge(name, meaning, labels, registry=registry), labels)

    def _time(self, name: str, meaning: str) -> Histogram:
        registry = self._say(name, "histogram", (), meaning)
        return Histogram(name, meaning, registry=registry, buckets=_LATENCY)

    def _times(self, name: str, meaning: str, *labels: str) -> Family[Histogram]:
        registry = self._say(name, "histogram", labels, meaning)
        return Family(Histogram(name, meaning, labels, registry=registry, buckets=_LATENCY), labels)


class Metrics(_Declarations):
    """The metrics of one process.

    Args:
        service: `order_executor` or `fill_listener`; only its gauges are shown.
        version: of this software.

    """

    def __init__(self, service: str, version: str = "0") -> None:
        super().__init__(service)
        self._begin("State of the process")
        self._gauges("bridge_info", "Always 1; its labels say what runs.", "service", "version")(
            service, version
        ).set(1)
        self._declare_state()
        self._declare_exchange()
        self._declare_orders()
        self._declare_sending()
        self._declare_queue()
        self._declare_streams()
        self._declare_fills()
        self._declare_positions()
        self._declare_options()

    def _declare_orders(self) -> None:
        self._begin("Orders")
        self.orders_executed = self._counts("orders_executed", "Orders that the exchange accepted.", "market")
        self.orders_failed = self._counts(
            "orders_failed", "Rows that ended as rejected, by us or by the exchange.", "market", "reason"
        )
        self.orders_waiting = self._counts(
            "orders_waiting",
            "Verdicts that a row has to wait; one row may be counted often.",
            "market",
            "reason",
        )
        self.orders_held = self._counts(
            "orders_held", "Rows put aside until their owner's word.", "market", "reason"
        )
        self.wakeup = self._time(
            "bridge_wakeup_seconds", "From the bot's commit to the executor's look at the row."
        )
        self.commit_to_send = self._times(
            "bridge_commit_to_send_seconds", "From the bot's commit to the first byte of the order.", "market"
        )
        self.send_to_ack = self._times(
            "bridge_send_to_ack_seconds", "From the first byte to the exchange's answer.", "market"
        )

    def _declare_sending(self) -> None:
        self._begin("Sending", (EXECUTOR,))
        self.claim = self._time("bridge_claim_seconds", "Duration of a claim's commit.")
        self.settle = self._time("bridge_settle_seconds", "Duration of a settle's commit.")
        self.attempts = self._counts(
            "bridge_attempts", "Attempts by how they were settled.", "market", "outcome"
        )
        self.late_evidence = self._counts(
            "bridge_late_evidence", "Orders found that had been settled as not existing.", "market"
        )
        self.retries = self._counts(
            "bridge_retries", "Rows put back for another attempt.", "market", "reason"
        )
        self.questions = self._counts(
            "bridge_questions", "Questions about unknown attempts.", "market", "kind", "result"
        )
        self.send_slots_busy = self._gauge(
            "bridge_send_slots_busy",
            "Most orders at once between claim and settled answer in this process, since the sweep before.",
        )
        self.cancels = self._counts("bridge_cancels", "Cancels sent to the exchange.", "market", "result")

    def _declare_queue(self) -> None:
        self._begin("Queue", (EXECUTOR,))
        self.queue_depth = self._gauges("bridge_queue_depth", "Entries of the outbox.", "state")
        self.queue_oldest = self._gauges(
            "bridge_queue_oldest_seconds", "Time since the oldest entry entered this state.", "state"
        )
        self.queue_read = self._gauge(
            "bridge_queue_read_timestamp_seconds", "When depth and ages were last read from the database."
        )
        self.sweep_found = self._count(
            "bridge_sweep_found", "Rows found by the sweep that no notification had announced."
        )
        self.trigger_errors = self._gauge(
            "bridge_trigger_errors",
            "Errors the trigger caught since it was installed.",
        )
        self.listen_up = self._gauge("bridge_listen_up", "1 while the LISTEN connection proves itself.")
        self.listen_lag = self._gauge(
            "bridge_listen_lag_seconds", "How long the last probe took from its NOTIFY to its arrival."
        )
        self.listen_reconnects = self._count(
            "bridge_listen_reconnects", "Times the LISTEN connection was made anew."
        )

    def _declare_exchange(self) -> None:
        self._begin("What the exchange allows")
        self.requests = self._counts(
            "bridge_requests", "REST requests to the exchange.", "market", "operation", "result"
        )
        self.weight_used = self._gauges(
            "bridge_weight_used", "Request weight used in the current minute.", "market", "environment"
        )
        self.weight_limit = self._gauges(
            "bridge_weight_limit", "Request weight allowed a minute.", "market", "environment"
        )
        self.order_count_used = self._gauges(
            "bridge_order_count_used",
            "Orders of an account that the exchange counts.",
            "account",
            "market",
            "interval",
        )
        self.order_count_limit = self._gauges(
            "bridge_order_count_limit",
            "Orders the exchange allows an account.",
            "account",
            "market",
            "interval",
        )
        self.paused = self._gauges("bridge_paused", "Pauses in force.", "scope", "reason")
        self.pauses = self._counts("bridge_pauses", "Pauses begun.", "scope", "reason")
        self.bans = self._counts(
            "bridge_bans", "Bans of our address by the exchange (418).", "market", "environment"
        )
        self.clock_offset = self._gauges(
            "bridge_clock_offset_seconds", "The exchange's clock minus ours.", "market", "environment"
        )
        self.clock_error = self._gauges(
            "bridge_clock_error_seconds", "How far off that offset may be.", "market", "environment"
        )

    def _declare_streams(self) -> None:
        self._begin("Streams", (LISTENER,))
        self.stream_up = self._gauges(
            "bridge_stream_up", "1 while the account's user data stream proves itself.", "account", "market"
        )
        self.stream_last_event = self._gauges(
            "bridge_stream_last_event_timestamp_seconds",
            "When the account's stream last brought an event.",
            "account",
            "market",
        )
        self.stream_last_probe = self._gauges(
            "bridge_stream_last_probe_timestamp_seconds",
            "When a probe of the account's stream was last answered.",
            "account",
            "market",
        )
        self.stream_events = self._counts("bridge_stream_events", "Events received.", "market", "kind")
        self.stream_reconnects = self._counts(
            "bridge_stream_reconnects", "Streams connected anew.", "market", "reason"
        )
        self.accounts_followed = self._gauge(
            "bridge_accounts_followed", "Accounts this listener holds the lease of."
        )
        self.keys_refused = self._gauges(
            "bridge_keys_refused", "1 for an account whose key the exchange refuses.", "account"
        )

    def _declare_fills(self) -> None:
        self._begin("Fills", (LISTENER,))
        self.event_to_position = self._times(
            "bridge_event_to_position_seconds",
            "From the exchange's event time to the commit of the position.",
            "market",
        )
        self.fills = self._counts("bridge_fills", "Fills stored.", "market", "source")
        self.fills_repeated = self._counts("bridge_fills_repeated", "Fills seen again.", "market", "source")
        self.fill_conflicts = self._counts(
            "bridge_fill_conflicts", "Fills seen again with other content; never expected.", "market"
        )
        self.gaps_found = self._counts(
            "bridge_gaps_found", "Orders whose fills did not add up to what the exchange reported.", "market"
        )
        self.gaps_healed = self._counts("bridge_gaps_healed", "Such orders completed by asking.", "market")
        self.reconciliations = self._counts(
            "bridge_reconciliations", "Reconciliations ended.", "kind", "result"
        )
        self.reconcile_differences = self._counts(
            "bridge_reconcile_differences", "Differences that reconciling found.", "kind"
        )
        self.background_period = self._gauges(
            "bridge_background_period_seconds",
            "How long one background round over the accounts followed here takes.",
            "market",
            "environment",
        )
        self.foreign_orders = self._counts(
            "bridge_foreign_orders", "Orders seen that we did not place.", "market"
        )

    def _declare_state(self) -> None:
        self.live_trading = self._gauge("bridge_live_trading", "1 when real money may be traded.")
        self.halted = self._gauges("bridge_halted", "Halts in force.", "scope")
        self.reduce_only = self._gauges("bridge_reduce_only", "Reduce-only switches in force.", "scope")
        self.quarantine = self._gauge("bridge_quarantine", "1 during the quarantine after a change of epoch.")
        self.epoch_changes = self._count("bridge_epoch_changes", "Changes of the database's epoch noticed.")
        self.bot_conflicts = self._count(
            "bridge_bot_conflicts", "Rows that the bot's own executor took or changed under us."
        )
        self.contract_warnings = self._gauge(
            "bridge_contract_warnings", "Harmless differences between the bot's schema and the one we know."
        )
        self.draining = self._gauge(
            "bridge_draining", "1 from SIGTERM on, while what is in flight is settled."
        )
        self.database_up = self._gauge("bridge_database_up", "1 while the database answers.")
        self.database_errors = self._counts(
            "bridge_database_errors", "Statements that failed for the database's sake.", "reason"
        )
        self.alarms = self._counts("bridge_alarms", "Things that should never happen, and did.", "kind")

    def _declare_positions(self) -> None:
        self._begin("Positions", (LISTENER,))
        self.positions_open = self._gauges("bridge_positions_open", "Open positions.", "account", "market")
        self.unrealized_pnl = self._gauges(
            "bridge_unrealized_pnl_usd",
            "Unrealized profit and loss of the open positions.",
            "account",
            "market",
        )
        self.realized_pnl = self._gauges(
            "bridge_realized_pnl_usd", "Realized profit and loss of all positions.", "account", "market"
        )
        self.exposure = self._gauges(
            "bridge_exposure_usd", "Value of the open positions.", "account", "market"
        )
        self.marked = self._gauges(
            "bridge_marked_timestamp_seconds", "When positions last got a market price.", "market"
        )

    def _declare_options(self) -> None:
        self._begin("Options", (LISTENER,))
        self.telegram = self._counts(
            "bridge_telegram_messages", "Messages to users, by how sending them ended.", "result"
        )
        self.books = self._counts(
            "bridge_strategy_bookings", "Orders booked for their strategies, by how it ended.", "result"
        )


_PREFACE = """\
# Metrics

<!-- Printed by `python -m shared.telemetry.metrics`; a test compares. Change the code, not this page. -->

Each service serves these at `/metrics`, with the `process_*` and `python_*` metrics of the Prometheus client.
Times are in seconds, timestamps in seconds since 1970. Gauges of money are for looking at: the ledger is in
the database, in exact numbers."""


def documentation() -> str:
    """Return the page docs/metrics.md."""
    lines, section = [_PREFACE], ""
    for metric in Metrics(EXECUTOR).described:
        if metric.section != section:
            section = metric.section
            lines += [
                f"\n## {section}\n",
                "| metric | type | labels | served by | meaning |",
                "|---|---|---|---|---|",
            ]
        served_by = "both" if metric.services == _BOTH else metric.services[0]
        labels = ", ".join(metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {served_by} | {metric.meaning} |")
    lines += ["\n## Labels\n", "| label | values |", "|---|---|"]
    lines += [f"| {label} | {values} |" for label, values in LABELS.items()]
    lines.append(f"\nA metric has at most {SERIES_LIMIT} series; what comes later is counted as `{OTHER}`.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(documentation())
