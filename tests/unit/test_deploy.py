"""Compositions, dashboards, alerts and runbook hold together with the code they are about."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import shared.settings  # noqa: F401 - known_names() knows the models that are imported
from deploy.grafana.write_dashboards import texts
from deploy.prometheus.prove_alerts import RUNBOOK, alerts, expectations, has_runbook
from shared.environment import known_names
from shared.telemetry.metrics import EXECUTOR, Described, Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSITIONS = ("compose.yaml", "compose.testnet.yaml", "compose.beside-bot.yaml")
OURS = {"order_executor", "fill_listener", "migrate", "exchange", "secrets", "trader"}
# What Prometheus, its client and Postgres' own image make, not we.
FOREIGN_METRICS = {"up", "ALERTS", "process_resident_memory_bytes"}
FOREIGN_VARIABLES = re.compile(r"GF_[A-Z_]+")
ANSWER_S, SETTLE_S = 15, 10  # the longest wait for an answer (BinanceTransport), and room to settle it


def described() -> dict[str, Described]:
    return {metric.name: metric for metric in Metrics(EXECUTOR).described}


def dashboards() -> dict[str, dict[str, Any]]:
    return {
        path.name: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana/dashboards").glob("*"))
    }


def queries() -> list[tuple[str, str]]:
    """Every query there is, with where it comes from."""
    found = [
        (f"{name}: {panel['title']}", target["expr"])
        for name, dashboard in dashboards().items()
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ]
    return found + [(rule["alert"], rule["expr"]) for rule in alerts()]


def resolved(composition: str) -> dict[str, dict[str, Any]]:
    """The services of a composition with what they extend merged in, as far as these tests look."""
    base = yaml.safe_load((DEPLOY / "services.yaml").read_text())["services"]

    def merge(service: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
        above = service.get("extends")
        under = merge(others[above["service"]], others) if above else {}
        merged = {**under, **service}
        merged["environment"] = {**under.get("environment", {}), **service.get("environment", {})}
        merged["volumes"] = [*under.get("volumes", []), *service.get("volumes", [])]
        return merged

    services = yaml.safe_load((DEPLOY / composition).read_text())["services"]
    return {name: merge(service, base) for name, service in services.items()}


@pytest.mark.parametrize("name", texts())
def test_dashboards_are_as_the_script_writes_them(name: str) -> None:
    """Nobody edits the JSON; the script is the source."""
    assert (DEPLOY / "grafana/dashboards" / name).read_text(encoding="utf-8") == texts()[name]


@pytest.mark.parametrize(("where", "query"), queries())
def test_every_metric_of_a_query_exists_with_its_labels(where: str, query: str) -> None:
    """A renamed metric or label is noticed here, not by an empty panel or an alert that never fires."""
    known = described()
    named = set(re.findall(r"\b((?:bridge|orders)_[a-z_]+|up|ALERTS|process_[a-z_]+)\b(?=[\s{\[)]|$)", query))
    named -= {"bridge"}
    assert named
    labels: set[str] = {"job", "instance", "le", "alertstate"}
    for name in named - FOREIGN_METRICS:
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        metric = known.get(name) or known[plain]
        assert metric.kind == "histogram" if name != metric.name else metric.kind != "histogram", name
        labels |= set(metric.labels)
    used = {
        label
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", query)
        for label in group.split(", ")
        if label
    }
    used |= set(re.findall(r"([a-z]+)(?:=~|!~|!=|=)\"", query))
    assert used <= labels, where


def test_every_panel_has_a_place_of_its_own() -> None:
    """No two panels of a dashboard overlap, and their ids differ."""
    for dashboard in dashboards().values():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])
            }
            assert place["x"] + place["w"] <= 24
            assert not cells & taken, panel["title"]
            taken |= cells
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_runbook_section_and_a_test(rule: dict[str, Any]) -> None:
    """Who is woken finds what it means, where to look, what to do and when it is over."""
    assert has_runbook(rule, (ROOT / RUNBOOK).read_text())
    assert expectations(rule["alert"]) == (True, True)
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_runbook_and_alerts_know_the_same_alerts() -> None:
    """No section is about an alert that is gone, and no test either."""
    names = {rule["alert"] for rule in alerts()}
    assert set(re.findall(r"^### (Bridge\w+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)) == names
    assert {path.stem for path in (DEPLOY / "prometheus/tests").glob("*.yaml")} == names


def test_links_within_the_runbook_lead_somewhere() -> None:
    """Every `#anchor` is a heading of the page."""
    text = (ROOT / RUNBOOK).read_text()
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_compositions_are_closed_and_bounded(composition: str) -> None:
    """Ports are bound to this machine only; each container has limits; ours write nowhere, gain nothing."""
    for name, service in resolved(composition).items():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"]), name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not {"privileged", "network_mode"} & set(service) or name == "secrets"
        if name in OURS:
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_compositions_give_time_to_drain_and_start_again(composition: str) -> None:
    """A stop waits longer than the longest answer and its settling; a crash is followed by a restart."""
    services = resolved(composition)
    executor = services["order_executor"]
    assert int(executor["stop_grace_period"].rstrip("s")) > ANSWER_S + SETTLE_S
    for name in ("order_executor", "fill_listener"):
        assert services[name]["restart"] == "unless-stopped"
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("composition", COMPOSITIONS)
def test_compositions_set_only_variables_that_exist_and_no_secret(composition: str) -> None:
    """Secrets come by file; a misspelled variable would be set in vain."""
    known = known_names()
    for name, service in resolved(composition).items():
        for variable in service["environment"]:
            assert variable in known or FOREIGN_VARIABLES.fullmatch(variable), (name, variable)
            secret = re.search(r"PASSWORD|KEY|SECRET|DATABASE_URL|LISTEN_URL", variable)
            assert not secret or variable.endswith("_FILE"), (name, variable)


@pytest.mark.parametrize("composition", ["compose.testnet.yaml", "compose.beside-bot.yaml"])
def test_every_variable_can_be_set_in_one_file(composition: str) -> None:
    """`bridge.env` is read, and nothing in the composition counts more than what stands there."""
    for name in ("order_executor", "fill_listener"):
        service = resolved(composition)[name]
        assert service["env_file"] == [{"path": "bridge.env", "required": False}]
        assert not [
            variable for variable in service["environment"] if variable.startswith(("BRIDGE_", "OTEL_"))
        ]


def test_the_image_is_pinned_unprivileged_and_needs_no_frontend_from_a_registry() -> None:
    """What the Dockerfile promises its users."""
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"^# *syntax *=", text, re.MULTILINE)
    assert re.search(r"^ARG BASE_IMAGE=python:3\.\d+-slim$", text, re.MULTILINE)
    assert text.count("FROM ${BASE_IMAGE}") == text.count("\nFROM ") == 2
    assert all(
        "--require-hashes" in line or "--no-index" in line for line in re.findall(r"pip install .*", text)
    )
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert "org.opencontainers.image.revision" in final
