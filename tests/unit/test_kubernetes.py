"""The manifests hold what the compositions promise; their schemas are checked by `make kubernetes`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

import shared.settings  # noqa: F401 - known_names() knows the models that are imported
from shared.environment import known_names

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
COMPOSED = FOLDER.parent / "services.yaml"
SERVICES = {"order-executor": "order_executor", "fill-listener": "fill_listener"}


def manifests(folder: str, kind: str) -> dict[str, dict[str, Any]]:
    """The manifests of a kind by name."""
    found = [m for path in sorted((FOLDER / folder).glob("*")) for m in yaml.safe_load_all(path.read_text())]
    return {m["metadata"]["name"]: m for m in found if m["kind"] == kind}


@pytest.mark.parametrize("folder", ["base", "scale-on-queue"])
def test_every_file_is_in_its_kustomization(folder: str) -> None:
    """Nothing lies about that is not applied, and nothing is named that is not there."""
    kustomization = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text())
    files = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert files == {name for name in kustomization["resources"] if name.endswith(".yaml")}


@pytest.mark.parametrize(("name", "module"), SERVICES.items())
def test_pod_is_as_locked_up_as_the_container(name: str, module: str) -> None:
    """Non-root, read-only, without capabilities, probes on the port that is served, time enough to drain."""
    pod = manifests("base", "Deployment")[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][-1] == f"services.{module}"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    composed = yaml.safe_load(COMPOSED.read_text())["services"][module]["stop_grace_period"]
    assert f"{pod['terminationGracePeriodSeconds']}s" == composed


def test_every_variable_is_one_we_read() -> None:
    """A misspelt variable would stop the start; it is found here instead."""
    named = {
        variable["name"]
        for deployment in manifests("base", "Deployment").values()
        for variable in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    (generator,) = yaml.safe_load((FOLDER / "base/kustomization.yaml").read_text())["configMapGenerator"]
    named |= {literal.partition("=")[0] for literal in generator["literals"]}
    assert {name.removesuffix("_FILE") for name in named} <= known_names()


@pytest.mark.parametrize("name", SERVICES)
def test_one_of_each_service_stays_when_a_node_is_drained(name: str) -> None:
    """The budget is about the very pods of the deployment, of which there are more than it asks for."""
    budget, deployment = manifests("base", "PodDisruptionBudget")[name], manifests("base", "Deployment")[name]
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]
    assert deployment["spec"]["replicas"] > budget["spec"]["minAvailable"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (policy,) = manifests("base", "NetworkPolicy").values()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_scaler_counts_the_rows_that_wait(bridge_database: str) -> None:
    """The query runs on our schema, and names the deployment there is."""
    (scaled,) = manifests("scale-on-queue", "ScaledObject").values()
    assert scaled["spec"]["scaleTargetRef"]["name"] in manifests("base", "Deployment")
    (trigger,) = scaled["spec"]["triggers"]
    with psycopg.connect(bridge_database) as connection:
        row = connection.execute(trigger["metadata"]["query"].encode()).fetchone()
    assert row == (0,)
