"""Every metric is described, well named, and cannot grow without bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from shared.domain.verdicts import REFUSALS
from shared.telemetry.metrics import (
    EXECUTOR,
    LABELS,
    LISTENER,
    OTHER,
    SERIES_LIMIT,
    Family,
    Metrics,
    documentation,
)


def served(metrics):
    """Return the families a scrape sees."""
    return {
        family.name: family
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
    }


def touch(metrics):
    """Give every metric with labels one series."""
    for attribute in vars(metrics).values():
        if isinstance(attribute, Family):
            attribute(*("x" for _ in attribute._other))


def test_the_page_is_printed_from_the_code():
    """docs/metrics.md is what `python -m shared.telemetry.metrics` prints."""
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == documentation(), (
        "run: python -m shared.telemetry.metrics > docs/metrics.md"
    )


@pytest.mark.parametrize("service", [EXECUTOR, LISTENER])
def test_what_is_served_is_what_is_described(service):
    """A scrape shows the described metrics of the service and the client's own, nothing else."""
    metrics = Metrics(service)
    touch(metrics)
    described = {m.name.removesuffix("_total") for m in metrics.described if service in m.services}
    ours = {name for name in served(metrics) if not name.startswith(("process_", "python_"))}
    assert ours == described


def test_every_metric_is_reachable_by_an_attribute():
    """What is described can be counted: one attribute for each line of the page, except the info line."""
    metrics = Metrics(EXECUTOR)
    attributes = [v for v in vars(metrics).values() if isinstance(v, Family | Counter | Gauge | Histogram)]
    assert len(attributes) == len(metrics.described) - 1


@pytest.mark.parametrize("metric", Metrics(EXECUTOR).described, ids=lambda m: m.name)
def test_names_follow_the_convention(metric):
    """Prometheus naming: snake case, seconds and totals at the end; every label is explained on the page."""
    assert metric.name.startswith(("orders_", "bridge_"))
    assert metric.name.replace("_", "").isalnum()
    assert metric.name.islower()
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert (metric.kind != "histogram") or metric.name.endswith("_seconds")
    assert set(metric.labels) <= LABELS.keys()
    assert metric.meaning.endswith(".")


def test_every_label_is_used():
    """The page explains no label that no metric has."""
    used = {label for metric in Metrics(EXECUTOR).described for label in metric.labels}
    assert used == LABELS.keys()


def test_every_refusal_has_its_metric():
    """The counter the table of refusals names exists and has that label."""
    described = {metric.name: metric for metric in Metrics(EXECUTOR).described}
    for refusal in REFUSALS.values():
        metric = described[refusal.metric.split("{")[0]]
        assert "reason" in metric.labels


def test_a_gauge_of_the_other_service_is_not_served():
    """A zero nobody sets would wake somebody; a counter's zero is true."""
    executor, listener = served(Metrics(EXECUTOR)), served(Metrics(LISTENER))
    assert "bridge_listen_up" in executor
    assert "bridge_listen_up" not in listener
    assert "bridge_sweep_found" in listener
    Metrics(LISTENER).listen_up.set(1)


def test_series_are_bounded():
    """Text from outside cannot make series without end: from the limit on it is counted as other."""
    metrics = Metrics(EXECUTOR)
    for i in range(SERIES_LIMIT + 100):
        metrics.orders_failed("spot", f"reason {i}").inc()
    samples = served(metrics)["orders_failed"].samples
    assert len(samples) == SERIES_LIMIT + 1
    other = [s.value for s in samples if s.labels == {"market": OTHER, "reason": OTHER}]
    assert other == [100]


def test_memory_is_bounded_too():
    """What is counted as other is not remembered one by one."""
    metrics = Metrics(EXECUTOR)
    for i in range(SERIES_LIMIT * 3):
        metrics.orders_failed("spot", f"reason {i}").inc()
    assert len(metrics.orders_failed._series) <= SERIES_LIMIT + 1


def test_a_wrong_number_of_labels_is_refused():
    """A forgotten label is a mistake of ours, found at the first use."""
    with pytest.raises(ValueError, match="label"):
        Metrics(EXECUTOR).orders_failed("spot")


def test_replacing_the_series_of_a_gauge():
    """A state that is empty now, or an account that left, does not keep its last value."""
    metrics = Metrics(EXECUTOR)
    metrics.queue_depth.replace({("new",): 3, ("unknown",): 1})
    metrics.queue_depth.replace({("new",): 2})
    assert {s.labels["state"]: s.value for s in served(metrics)["bridge_queue_depth"].samples} == {"new": 2}


def test_two_processes_in_one_do_not_share():
    """Tests may make as many registries as they like."""
    one, two = Metrics(EXECUTOR), Metrics(EXECUTOR)
    one.sweep_found.inc()
    assert served(two)["bridge_sweep_found"].samples[0].value == 0
